//! A container's networks: reserved before its files are written, put up while the runtime creates it, given back when
//! its mounts are.
//!
//! ORDER: the namespace is made before the runtime is started, since the specification names it. Its devices, addresses and
//! rules are made at the same time as the runtime works: whoever runs the container waits for the longer of the two. Its
//! process, which waits to be started, sees none of it unfinished.

use std::os::fd::OwnedFd;

use dhow_network::{AttachRequest, Attachment, EndpointRequest};
use dhow_oci::BundlePaths;
use dhow_state::ContainerId;

use crate::config::ContainerConfig;
use crate::engine::Engine;
use crate::error::Result;
use crate::network::network_error;
use crate::request::NamespaceKind;

/// What is reserved for a container that is being brought up.
pub(crate) struct Attached {
    pub(crate) attachment: Attachment,
    /// They hold its ports until the rules are in place.
    _sockets: Vec<OwnedFd>,
}

impl Engine {
    /// Reserves addresses and ports, and makes the namespace; nothing for a container without networks.
    pub(crate) fn reserve_networks(
        &self,
        id: &ContainerId,
        name: &str,
        config: &ContainerConfig,
    ) -> Result<Option<Attached>> {
        if config.networks.is_empty() {
            return Ok(None);
        }
        let endpoint = |of: &crate::config::NetworkUse| EndpointRequest {
            network: of.network.to_string(),
            ipv4: of.ipv4,
            ipv6: of.ipv6,
            mac: of.mac.map(|mac| mac.0),
            interface: of.interface.clone(),
            aliases: of.aliases.clone(),
        };
        let request = AttachRequest {
            id: id.to_string(),
            name: name.to_owned(),
            endpoints: config.networks.iter().map(endpoint).collect(),
            ports: config.ports.clone(),
            dns_servers: config
                .network_files
                .dns_servers
                .iter()
                .filter_map(|s| s.parse().ok())
                .collect(),
            namespace: self.layout().network_namespace(id),
        };
        let networks = self.networks();
        let (attachment, _sockets) = networks.reserve(&request).map_err(network_error)?;
        networks.make_namespace(&attachment).map_err(network_error)?;
        Ok(Some(Attached { attachment, _sockets }))
    }

    /// Puts the networks up while `work` runs. An error of `work` is the one that is told.
    pub(crate) fn while_connecting<T>(
        &self,
        attached: Option<&Attached>,
        work: impl FnOnce() -> Result<T>,
    ) -> Result<T> {
        let Some(attached) = attached else { return work() };
        let networks = self.networks();
        std::thread::scope(|scope| {
            let connecting = scope.spawn(|| networks.connect(&attached.attachment));
            let done = work();
            let connected = match connecting.join() {
                Ok(connected) => connected.map_err(network_error),
                Err(panic) => std::panic::resume_unwind(panic),
            };
            let done = done?;
            connected?;
            Ok(done)
        })
    }

    /// Gives back what a container has of networks. Nothing where it has nothing.
    pub(crate) fn release_networks(&self, id: &ContainerId) -> Result<()> {
        self.networks().release(id.as_str()).map_err(network_error)
    }

    /// A container on another's network has the other's names for things.
    pub(crate) fn share_network_files(&self, config: &ContainerConfig, paths: &mut BundlePaths) {
        let Some(join) = config.joins.iter().find(|join| join.kind == NamespaceKind::Network)
        else {
            return;
        };
        let dir = self.run_dir(&join.container).join("etc");
        for (slot, name) in [(&mut paths.hosts, "hosts"), (&mut paths.resolv_conf, "resolv.conf")] {
            let file = dir.join(name);
            if file.is_file() {
                *slot = Some(file);
            }
        }
    }

    /// What a container is connected to now. A record that cannot be read says nothing.
    pub(crate) fn attachment(&self, id: &ContainerId) -> Option<Attachment> {
        self.networks()
            .attachment(id.as_str())
            .inspect_err(|error| tracing::debug!(%id, %error, "no word of its networks"))
            .ok()
            .flatten()
    }
}

/// A port of a container as it is published: those that are being published now, else those that will be.
pub(crate) fn ports_of(
    config: &ContainerConfig,
    attachment: Option<&Attachment>,
) -> Vec<dhow_network::PortMapping> {
    match attachment {
        Some(attachment) if attachment.reserved => attachment.ports.clone(),
        _ => config.ports.clone(),
    }
}
