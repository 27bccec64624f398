//! The files that the engine makes for a container and the spec binds over its root: /etc/hosts, /etc/hostname,
//! /etc/resolv.conf, /run/.containerenv. Made anew at each init, in the run directory.

use std::net::IpAddr;
use std::path::{Path, PathBuf};

use dhow_oci::etc::{self, ContainerEnv, DnsRequest, HostEntry, HostsRequest};
use dhow_oci::{BundlePaths, Namespace};
use dhow_state::ContainerId;
use dhow_sys::fs::{Durability, write_atomic};
use dhow_sys::root::Root;

use crate::config::ContainerConfig;
use crate::error::{Error, Result};

/// The largest file of the host that is taken as a base.
const MAX_HOST_FILE: u64 = 1 << 20;

/// Writes the files below `dir` and says where they are.
pub(crate) fn write(
    dir: &Path,
    id: &ContainerId,
    name: &str,
    host_name: &str,
    config: &ContainerConfig,
    root: &Root,
    paths: &mut BundlePaths,
) -> Result<()> {
    dhow_sys::fs::create_dir_all(dir, 0o755).map_err(Error::io("create", dir))?;
    let spec = &config.spec;
    let host_network = spec.namespaces.network == Namespace::Host;
    let files = &config.network_files;

    let mut own_names = vec![host_name.to_owned()];
    if !own_names.iter().any(|n| n == name) {
        own_names.push(name.to_owned());
    }
    let base = dhow_sys::fs::read_bounded(Path::new("/etc/hosts"), MAX_HOST_FILE)
        .ok()
        .and_then(|bytes| String::from_utf8(bytes).ok());
    let hosts = etc::hosts(&HostsRequest {
        add: files
            .add_hosts
            .iter()
            .map(|(name, ip)| HostEntry { name: name.clone(), ip: *ip })
            .collect(),
        own_names,
        own_ip: if host_network {
            Some(IpAddr::from([127, 0, 1, 1]))
        } else {
            Some(IpAddr::from([127, 0, 0, 1]))
        },
        base,
    })
    .map_err(Error::Spec)?;
    paths.hosts = Some(put(dir, "hosts", &hosts)?);

    let resolv = etc::resolv_conf(
        &DnsRequest {
            servers: files.dns_servers.clone(),
            search: files.dns_search.clone(),
            options: files.dns_options.clone(),
            none: false,
            host_network,
        },
        &etc::host_resolv_conf().map_err(Error::Spec)?,
    )
    .map_err(Error::Spec)?;
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

fn put(dir: &Path, name: &str, text: &str) -> Result<PathBuf> {
    let path = dir.join(name);
    write_atomic(&path, text.as_bytes(), 0o644, Durability::Volatile)
        .map_err(Error::io("write", &path))?;
    Ok(path)
}
