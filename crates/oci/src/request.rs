//! What a container's runtime spec is made from: plain, serialisable data, known at create time.
//!
//! The engine builds a [`SpecRequest`] from flags and the image's config, stores it in the container's
//! immutable config and hands it to [`crate::generate`] at every init. Nothing here touches the machine;
//! values are checked when the spec is generated, so that a request read back from disk is checked too.
//! Every struct is `serde(default)`: a field added later is absent in old files and takes its default.

mod device;
mod limit;
mod mount;
mod resources;

pub(crate) use device::is_access;
pub use device::{Device, DeviceRule, DeviceType};
pub use limit::Rlimit;
pub use mount::{Mount, MountKind};
pub use resources::{BlockDeviceRate, BlockDeviceWeight, HugepageLimit, Resources};

use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;
use std::path::PathBuf;

/// Everything the spec needs that is known when a container is created.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct SpecRequest {
    /// The command as resolved: entrypoint and arguments. Empty is an error.
    pub args: Vec<String>,
    /// The environment, `KEY=VALUE` each; of two with one key the later wins. `PATH`, `TERM`, `HOSTNAME`, `HOME` and
    /// `container` are added where the key is neither given here nor in [`Self::unset_env`].
    pub env: Vec<String>,
    /// Keys that must not be in the environment, not even by default (`--unsetenv`).
    pub unset_env: Vec<String>,
    /// The working directory; `None` is `/`.
    pub cwd: Option<Cwd>,
    /// `user`, `uid`, `user:group`, `uid:gid`, …, looked up in the root file system; empty is root.
    pub user: String,
    /// Supplementary groups by name or number, besides those that the group file gives the user.
    pub group_add: Vec<String>,
    /// The container gets a terminal.
    pub terminal: bool,
    /// Columns and rows of that terminal at the start, where known.
    pub console_size: Option<ConsoleSize>,
    /// The umask; `None` is 0022.
    pub umask: Option<u32>,
    /// Host name for a private UTS namespace; `None` is the short container id, or the machine's name where the
    /// network is the host's (as podman does). With the host's UTS namespace it must be `None`.
    pub hostname: Option<String>,
    /// The id of the container: default host name and messages.
    pub container_id: String,
    /// Capabilities, profiles, labels, masks.
    pub security: Security,
    /// Limits of the process. `nofile` and `nproc` have defaults, clamped to what may be set here; an explicit limit
    /// that cannot be set is an error. One named `host` takes the defaults away.
    pub rlimits: Vec<Rlimit>,
    /// The OOM score adjustment, −1000..=1000; raised to what this process may set.
    pub oom_score_adj: Option<i32>,
    /// Which namespaces are new, shared or joined.
    pub namespaces: Namespaces,
    /// Binds and tmpfs in the order they were given. A destination replaces the default mount of the same destination.
    pub mounts: Vec<Mount>,
    /// The root is mounted read-only.
    pub read_only: bool,
    /// With `read_only`: a writable tmpfs on /run, /tmp and /var/tmp (podman's default is yes).
    pub read_only_tmpfs: bool,
    /// Propagation of the root mount (`private`, `rslave`, …); empty is the runtime's default.
    pub root_propagation: String,
    /// Devices of the host given to the container.
    pub devices: Vec<Device>,
    /// Further rules for the device cgroup.
    pub device_rules: Vec<DeviceRule>,
    /// Limits enforced by cgroups.
    pub resources: Resources,
    /// Kernel parameters of the container's namespaces.
    pub sysctls: BTreeMap<String, String>,
    /// Where in the cgroup tree.
    pub cgroup: Cgroup,
    /// Annotations of the spec.
    pub annotations: BTreeMap<String, String>,
    /// An init program *on the host*, mounted at [`crate::INIT_PATH`] and put before `args` (`--init`).
    pub init: Option<PathBuf>,
    /// A time zone name (`Europe/Berlin`), or `local` for the host's; makes `/etc/localtime`.
    pub tz: Option<String>,
    /// Size in bytes of the tmpfs on /dev/shm where the spec mounts it itself; `None` is 64 MiB.
    pub shm_size: Option<u64>,
}

/// The working directory and whose wish it was.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Cwd {
    /// Absolute path in the container.
    pub path: String,
    /// Made where it is missing: true for the image's WORKDIR, false for a `--workdir`, which must exist.
    pub create: bool,
}

/// The size of a terminal in characters.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct ConsoleSize {
    /// Columns.
    pub width: u16,
    /// Rows.
    pub height: u16,
}

/// What confines the process.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct Security {
    /// Everything the host has: all capabilities, all devices, no masks, no seccomp, writable /sys and cgroups.
    pub privileged: bool,
    /// Capabilities added to the default set; `ALL`, with or without `CAP_`, any case.
    pub cap_add: Vec<String>,
    /// Capabilities taken from it.
    pub cap_drop: Vec<String>,
    /// A set-user-id program gains nothing.
    pub no_new_privileges: bool,
    /// The system call filter.
    pub seccomp: Seccomp,
    /// AppArmor profile; `None` is none (dhow loads no profile of its own), `unconfined` likewise.
    pub apparmor: Option<String>,
    /// SELinux label of the process; empty is none.
    pub process_label: String,
    /// SELinux label of the mounts; empty is none.
    pub mount_label: String,
    /// Further paths to hide (`--security-opt mask=a:b`).
    pub mask: Vec<String>,
    /// Default masks and read-only paths to lift; `ALL` lifts each (`--security-opt unmask=…`). Globs as in podman.
    pub unmask: Vec<String>,
}

/// The system call filter.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Seccomp {
    /// The default profile of the containers world; none with `privileged`.
    #[default]
    Default,
    /// No filter.
    Unconfined,
    /// A profile in the docker format. It is its *text*, so that a file changed later changes no existing container:
    /// the engine reads the file at create time (bounded by [`crate::seccomp::MAX_PROFILE`]).
    Profile(String),
}

/// Which namespaces are new, shared or joined. The mount namespace is always new.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct Namespaces {
    /// Process ids.
    pub pid: Namespace,
    /// System V IPC, POSIX queues and /dev/shm. `None` means private and without /dev/shm.
    pub ipc: Namespace,
    /// Host name.
    pub uts: Namespace,
    /// Network. `Private` and `None` are both a new namespace with nothing but loopback.
    pub network: Namespace,
    /// Cgroup view; `None` here (the Option) is podman's default: private on cgroup v2, the host's on v1.
    pub cgroup: Option<Namespace>,
}

/// One namespace.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Namespace {
    /// A new one.
    #[default]
    Private,
    /// The host's.
    Host,
    /// An existing one, by path (`/proc/<pid>/ns/net` of another container's init).
    Path(PathBuf),
    /// A new one without what usually comes with it (network: no interfaces; ipc: no /dev/shm).
    None,
}

/// Where in the cgroup tree.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct Cgroup {
    /// The spec's `cgroupsPath` (`/dhow/<id>`, absolute below the hierarchy's root); empty leaves it to the runtime.
    pub path: String,
    /// No cgroup is made and no limit is set: the container stays in the caller's (`--cgroups=disabled`).
    pub disabled: bool,
}

/// A further program in a running container.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct ExecRequest {
    /// The command. Empty is an error.
    pub args: Vec<String>,
    /// `KEY=VALUE`, on top of the container's environment.
    pub env: Vec<String>,
    /// As [`SpecRequest::user`]; `None` is the container's own user.
    pub user: Option<String>,
    /// The working directory; `None` is the container's own.
    pub cwd: Option<String>,
    /// The program gets a terminal.
    pub terminal: bool,
    /// Its size where known.
    pub console_size: Option<ConsoleSize>,
    /// All capabilities that this process has, as with `--privileged` of create.
    pub privileged: bool,
}
