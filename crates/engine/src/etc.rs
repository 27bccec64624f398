//! The files that the engine makes for a container and the spec binds over its root: /etc/hosts, /etc/hostname,
//! /etc/resolv.conf, /run/.containerenv. Made anew at each init, in the run directory.

use std::net::IpAddr;
use std::path::{Path, PathBuf};

use dhow_network::Attachment;
use dhow_oci::etc::{self, ContainerEnv, DnsRequest, HostEntry, HostsRequest};
use dhow_oci::{BundlePaths, Namespace};
use dhow_state::ContainerId;
use dhow_sys::fs::{Durability, write_atomic};
use dhow_sys::root::Root;

use crate::config::ContainerConfig;
use crate::error::{Error, Result};

/// The names of the host in a container: podman's and docker's.
const HOST_NAMES: [&str; 2] = ["host.containers.internal", "host.docker.internal"];
/// The largest file of the host that is taken as a base.
const MAX_HOST_FILE: u64 = 1 << 20;

/// The container that the files are for.
pub(crate) struct Whose<'a> {
    pub(crate) id: &'a ContainerId,
    pub(crate) name: &'a str,
    pub(crate) host_name: &'a str,
    pub(crate) config: &'a ContainerConfig,
}

/// Writes the files below `dir` and says where they are.
pub(crate) fn write(
    dir: &Path,
    whose: &Whose<'_>,
    attachment: Option<&Attachment>,
    root: &Root,
    paths: &mut BundlePaths,
) -> Result<()> {
    dhow_sys::fs::create_dir_all(dir, 0o755).map_err(Error::io("create", dir))?;
    let Whose { id, name, host_name, config } = *whose;
    let spec = &config.spec;
    if !config.network_files.no_hosts {
        let text = hosts(whose, attachment)?;
        paths.hosts = Some(put(dir, "hosts", &text)?);
    }
    let resolv = resolv_conf(config, attachment)?;
    paths.resolv_conf = resolv.map(|text| put(dir, "resolv.conf", &text)).transpose()?;

    paths.hostname = Some(put(dir, "hostname", &etc::hostname(host_name))?);
    // A user given by number alone has no entry; programs that ask for their own name get one, as podman does.
    let user = dhow_oci::user::resolve(root, &spec.user, &spec.group_add).map_err(Error::Spec)?;
    let cwd = spec.cwd.as_ref().map_or("/", |cwd| cwd.path.as_str());
    let passwd = dhow_oci::user::passwd_with_entry(root, &user, cwd).map_err(Error::Spec)?;
    paths.passwd = passwd.map(|text| put(dir, "passwd", &text)).transpose()?;
    let image = config.image.as_ref();
    let env = etc::containerenv(&ContainerEnv {
        engine: format!("dhow-{}", env!("CARGO_PKG_VERSION")),
        name: name.to_owned(),
        id: id.to_string(),
        image: image.map(|i| i.name.clone()).unwrap_or_default(),
        image_id: image.map(|i| i.id.to_string()).unwrap_or_default(),
        privileged: spec.security.privileged,
        ..ContainerEnv::default()
    });
    paths.containerenv = Some(put(dir, "containerenv", &env)?);
    Ok(())
}

/// /etc/hosts: the user's lines, the machine's, the container's own names, and the host's where there is a way to it.
fn hosts(whose: &Whose<'_>, attachment: Option<&Attachment>) -> Result<String> {
    let files = &whose.config.network_files;
    let mut own_names = vec![whose.host_name.to_owned()];
    if !own_names.iter().any(|n| n == whose.name) {
        own_names.push(whose.name.to_owned());
    }
    let base = dhow_sys::fs::read_bounded(Path::new("/etc/hosts"), MAX_HOST_FILE)
        .ok()
        .and_then(|bytes| String::from_utf8(bytes).ok());
    let gateway = attachment.and_then(gateway);
    let mut add: Vec<HostEntry> = files
        .add_hosts
        .iter()
        .map(|(name, ip)| HostEntry { name: name.clone(), ip: *ip })
        .collect();
    match gateway {
        Some(ip) => {
            let names = HOST_NAMES.iter().map(|name| (*name).to_owned());
            for name in files.gateway_hosts.iter().cloned().chain(names) {
                if !add.iter().any(|entry| entry.name == name) {
                    add.push(HostEntry { name, ip });
                }
            }
        }
        None if !files.gateway_hosts.is_empty() => {
            return Err(Error::Invalid(
                "--add-host NAME:host-gateway: the container's networks have no gateway".into(),
            ));
        }
        None => {}
    }
    let host_network = whose.config.spec.namespaces.network == Namespace::Host;
    let own_ip = match attachment.and_then(first_address) {
        Some(address) => address,
        None if host_network => IpAddr::from([127, 0, 1, 1]),
        None => IpAddr::from([127, 0, 0, 1]),
    };
    etc::hosts(&HostsRequest { add, own_names, own_ip: Some(own_ip), base }).map_err(Error::Spec)
}

/// The container's first address.
fn first_address(attachment: &Attachment) -> Option<IpAddr> {
    attachment.endpoints.iter().find_map(|e| e.ipv4.or(e.ipv6)).map(|net| net.addr())
}

/// The address of the host as the container can reach it.
fn gateway(attachment: &Attachment) -> Option<IpAddr> {
    attachment.endpoints.iter().filter(|e| !e.internal).find_map(|e| e.gateway4.or(e.gateway6))
}

fn resolv_conf(
    config: &ContainerConfig,
    _attachment: Option<&Attachment>,
) -> Result<Option<String>> {
    let files = &config.network_files;
    etc::resolv_conf(
        &DnsRequest {
            servers: files.dns_servers.clone(),
            search: files.dns_search.clone(),
            options: files.dns_options.clone(),
            none: false,
            host_network: config.spec.namespaces.network == Namespace::Host,
        },
        &etc::host_resolv_conf().map_err(Error::Spec)?,
    )
    .map_err(Error::Spec)
}

fn put(dir: &Path, name: &str, text: &str) -> Result<PathBuf> {
    let path = dir.join(name);
    write_atomic(&path, text.as_bytes(), 0o644, Durability::Volatile)
        .map_err(Error::io("write", &path))?;
    Ok(path)
}
