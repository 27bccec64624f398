//! The network part of `inspect`: what the container is connected to now, and what is published.

use std::collections::BTreeMap;

use dhow_network::{Endpoint, PortMapping};
use dhow_state::{Snapshot, Status};

use crate::config::ContainerConfig;
use crate::connect::ports_of;
use crate::engine::Engine;
use crate::report::{HostPort, NetworkEndpoint, NetworkSettings};

impl Engine {
    pub(super) fn network_settings(
        &self,
        snapshot: &Snapshot,
        config: &ContainerConfig,
    ) -> NetworkSettings {
        let status = snapshot.status();
        let up = matches!(
            status,
            Status::Initialized | Status::Running | Status::Paused | Status::Stopping
        );
        let attachment = if up { self.attachment(snapshot.id()) } else { None };
        let mut settings = NetworkSettings {
            ports: host_ports(&ports_of(config, attachment.as_ref())),
            ..NetworkSettings::default()
        };
        let Some(attachment) = attachment else {
            for of in &config.networks {
                settings.networks.insert(of.network.to_string(), NetworkEndpoint::default());
            }
            return settings;
        };
        settings.sandbox_key = attachment.namespace.display().to_string();
        for endpoint in &attachment.endpoints {
            let mut shown = shown(endpoint);
            // As docker and podman have it: every container is found by its short id too.
            shown.aliases.push(snapshot.id().short().to_owned());
            settings.networks.insert(endpoint.network.to_string(), shown);
        }
        // Docker's fields of the days when there was one network: those of the first.
        if let Some(first) = attachment.endpoints.first().map(shown) {
            settings.gateway = first.gateway;
            settings.ip_address = first.ip_address;
            settings.ip_prefix_len = first.ip_prefix_len;
            settings.ipv6_gateway = first.ipv6_gateway;
            settings.global_ipv6_address = first.global_ipv6_address;
            settings.global_ipv6_prefix_len = first.global_ipv6_prefix_len;
            settings.mac_address = first.mac_address;
        }
        settings
    }
}

fn shown(endpoint: &Endpoint) -> NetworkEndpoint {
    let text =
        |address: Option<std::net::IpAddr>| address.map(|a| a.to_string()).unwrap_or_default();
    NetworkEndpoint {
        network_id: endpoint.network_id.clone(),
        gateway: text(endpoint.gateway4),
        ip_address: text(endpoint.ipv4.map(|net| net.addr())),
        ip_prefix_len: endpoint.ipv4.map_or(0, |net| net.prefix_len()),
        ipv6_gateway: text(endpoint.gateway6),
        global_ipv6_address: text(endpoint.ipv6.map(|net| net.addr())),
        global_ipv6_prefix_len: endpoint.ipv6.map_or(0, |net| net.prefix_len()),
        mac_address: endpoint.mac_text(),
        aliases: endpoint.aliases.clone(),
        ..NetworkEndpoint::default()
    }
}

/// `80/tcp` and where it is on the host.
pub(super) fn host_ports(ports: &[PortMapping]) -> BTreeMap<String, Vec<HostPort>> {
    let mut shown: BTreeMap<String, Vec<HostPort>> = BTreeMap::new();
    for port in ports {
        shown.entry(format!("{}/{}", port.container_port, port.protocol)).or_default().push(
            HostPort {
                host_ip: port.host_ip.map(|ip| ip.to_string()).unwrap_or_default(),
                host_port: if port.host_port == 0 {
                    String::new()
                } else {
                    port.host_port.to_string()
                },
            },
        );
    }
    shown
}
