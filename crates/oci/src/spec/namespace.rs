//! Which namespaces the runtime makes or joins. One that is not listed is the host's.

use crate::{CgroupVersion, Error, Host, Namespace, Namespaces};
use oci_spec::runtime::{LinuxNamespace, LinuxNamespaceType};

pub(crate) fn namespaces(wanted: &Namespaces, host: &Host) -> Result<Vec<LinuxNamespace>, Error> {
    // podman's default: the view of a v1 tree is the host's, that of a v2 tree begins at the container's own cgroup.
    let by_version = match host.cgroup.version {
        CgroupVersion::V2 => Namespace::Private,
        _ => Namespace::Host,
    };
    let cgroup = wanted.cgroup.as_ref().unwrap_or(&by_version);
    let all = [
        (LinuxNamespaceType::Pid, &wanted.pid),
        (LinuxNamespaceType::Network, &wanted.network),
        (LinuxNamespaceType::Ipc, &wanted.ipc),
        (LinuxNamespaceType::Uts, &wanted.uts),
        (LinuxNamespaceType::Mount, &Namespace::Private),
        (LinuxNamespaceType::Cgroup, cgroup),
    ];
    let mut list = Vec::with_capacity(all.len());
    for (kind, namespace) in all {
        let path = match namespace {
            Namespace::Host => continue,
            Namespace::Private | Namespace::None => None,
            Namespace::Path(path) if path.is_absolute() => Some(path.clone()),
            Namespace::Path(path) => {
                return Err(Error::invalid(
                    "namespace path",
                    path.to_string_lossy(),
                    "the path is not absolute",
                ));
            }
        };
        let mut spec = LinuxNamespace::default();
        spec.set_typ(kind).set_path(path);
        list.push(spec);
    }
    Ok(list)
}
