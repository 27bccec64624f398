//! Namespaces of a planned container: which are new, which are the host's, which are another container's.

use dhow_oci::{Namespace, Namespaces};
use dhow_state::ContainerId;

use crate::config::Join;
use crate::error::{Error, Result};
use crate::request::{NamespaceKind, NamespaceMode, NamespaceOptions};

/// The namespaces, and those to be joined once their owner runs.
pub(super) struct Planned {
    pub(super) spec: Namespaces,
    pub(super) joins: Vec<Join>,
    /// /dev/shm is a mount that other containers can share (the default).
    pub(super) shareable_shm: bool,
}

/// Resolves the modes; `find` turns the name of another container into its id.
pub(super) fn namespaces(
    options: &NamespaceOptions,
    privileged: bool,
    find: &dyn Fn(&str) -> Result<ContainerId>,
) -> Result<Planned> {
    let mut joins = Vec::new();
    let mut one = |kind: NamespaceKind, mode: &Option<NamespaceMode>| -> Result<Namespace> {
        Ok(match mode {
            None | Some(NamespaceMode::Private | NamespaceMode::Shareable) => Namespace::Private,
            Some(NamespaceMode::Host) => Namespace::Host,
            Some(NamespaceMode::None) => Namespace::None,
            Some(NamespaceMode::Path(path)) => {
                if !path.exists() {
                    return Err(Error::Invalid(format!(
                        "the namespace path {} does not exist",
                        path.display()
                    )));
                }
                Namespace::Path(path.clone())
            }
            Some(NamespaceMode::Container(name)) => {
                joins.push(Join { kind, container: find(name)? });
                // Replaced by the path of the owner's namespace at each init.
                Namespace::Private
            }
        })
    };
    let pid = one(NamespaceKind::Pid, &options.pid)?;
    let ipc = one(NamespaceKind::Ipc, &options.ipc)?;
    let uts = one(NamespaceKind::Uts, &options.uts)?;
    let network = one(NamespaceKind::Network, &options.network)?;
    let cgroup = match &options.cgroup {
        // The host's view is podman's default for a privileged container on cgroup v1 and v2 alike.
        None if privileged => Some(Namespace::Host),
        None => None,
        mode => Some(one(NamespaceKind::Cgroup, mode)?),
    };
    let shareable_shm = matches!(options.ipc, None | Some(NamespaceMode::Shareable));
    Ok(Planned { spec: Namespaces { pid, ipc, uts, network, cgroup }, joins, shareable_shm })
}
