//! What `create` and `run` can ask for.

use std::path::PathBuf;

use serde::{Deserialize, Serialize};

use super::{
    ByteSize, Capability, CpuCount, Device, DeviceCgroupRule, EnvVar, HostEntry, Label, LogOptions,
    MemoryLimit, Mount, NamespaceMode, NetworkOptions, RestartPolicy, Rootfs, SeccompChoice,
    Signal, Sysctl, Timeout, Ulimit, User,
};

/// A container to be made.
///
/// Paths on the host must be absolute and environment variables resolved: the engine knows neither a working
/// directory nor an environment.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct CreateRequest {
    /// Where its root file system comes from.
    pub source: Source,
    /// The command and its arguments; empty: the image's.
    #[serde(default)]
    pub command: Vec<String>,
    /// `--name`; none: a random one.
    #[serde(default)]
    pub name: Option<String>,
    /// `--replace`: a container that has the name already is removed first.
    #[serde(default)]
    pub replace: bool,
    /// `--rm`: removed when it exits.
    #[serde(default)]
    pub auto_remove: bool,
    /// `--label`, `--label-file`; of two with one key the last wins.
    #[serde(default)]
    pub labels: Vec<Label>,
    /// `--annotation`: goes into the runtime spec.
    #[serde(default)]
    pub annotations: Vec<Label>,
    /// The process: arguments, environment, user, terminal.
    #[serde(default)]
    pub process: ProcessOptions,
    /// Capabilities, seccomp, labels, masked paths.
    #[serde(default)]
    pub security: SecurityOptions,
    /// Limits of the container's cgroup and of its processes.
    #[serde(default)]
    pub resources: ResourceOptions,
    /// Namespaces that are not private.
    #[serde(default)]
    pub namespaces: NamespaceOptions,
    /// Networks and published ports.
    #[serde(default)]
    pub network: NetworkOptions,
    /// /etc/hosts and /etc/resolv.conf.
    #[serde(default)]
    pub hosts: HostsOptions,
    /// `--volume`, `--mount` and `--tmpfs`, in this order of flags; two for one destination are an error.
    #[serde(default)]
    pub mounts: Vec<Mount>,
    /// `--device`.
    #[serde(default)]
    pub devices: Vec<Device>,
    /// `--log-driver`, `--log-opt`.
    #[serde(default)]
    pub logging: LogOptions,
    /// When it is stopped, killed, started again.
    #[serde(default)]
    pub lifetime: LifetimeOptions,
    /// `--pidfile`: receives the pid of the container's first process at each start.
    #[serde(default)]
    pub pid_file: Option<PathBuf>,
    /// `--conmon-pidfile`: receives the pid of the monitor at each start.
    #[serde(default)]
    pub monitor_pid_file: Option<PathBuf>,
    /// `--cidfile`: shown by inspect; whoever asks writes the file.
    #[serde(default)]
    pub cid_file: Option<PathBuf>,
    /// The whole command line, word for word, for inspect; empty where there was none.
    #[serde(default)]
    pub create_command: Vec<String>,
}

impl CreateRequest {
    /// A request with every option at its default.
    pub fn new(source: Source) -> Self {
        Self {
            source,
            command: Vec::new(),
            name: None,
            replace: false,
            auto_remove: false,
            labels: Vec::new(),
            annotations: Vec::new(),
            process: ProcessOptions::default(),
            security: SecurityOptions::default(),
            resources: ResourceOptions::default(),
            namespaces: NamespaceOptions::default(),
            network: NetworkOptions::default(),
            hosts: HostsOptions::default(),
            mounts: Vec::new(),
            devices: Vec::new(),
            logging: LogOptions::default(),
            lifetime: LifetimeOptions::default(),
            pid_file: None,
            monitor_pid_file: None,
            cid_file: None,
            create_command: Vec::new(),
        }
    }
}

/// Where a root file system comes from.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Source {
    /// An image in the store: a name, an id or a prefix of an id.
    Image(String),
    /// `--rootfs`: a directory of the host.
    Rootfs(Rootfs),
}

/// The container's first process.
#[derive(Debug, Clone, PartialEq, Default, Serialize, Deserialize)]
#[serde(default)]
pub struct ProcessOptions {
    /// `--entrypoint`: one word, or a list when it was given as JSON; empty list: the image's is dropped. When it
    /// is given the image's command is dropped too.
    pub entrypoint: Option<Vec<String>>,
    /// `--env-file` then `--env`; the last of one name wins, and each wins over the image's.
    pub env: Vec<EnvVar>,
    /// `--unsetenv`: names dropped from the defaults and the image's environment.
    pub unset_env: Vec<String>,
    /// `--unsetenv-all`: nothing of the defaults and of the image's environment is kept.
    pub unset_env_all: bool,
    /// `--workdir`: absolute; none: the image's, else `/`. Given, it must exist in the rootfs.
    pub workdir: Option<PathBuf>,
    /// `--user`; none: the image's, else 0:0.
    pub user: Option<User>,
    /// `--group-add`: names (looked up in the rootfs) or numbers.
    pub groups: Vec<String>,
    /// `--hostname`; none: the first 12 digits of the id (the host's where the uts namespace is the host's).
    pub hostname: Option<String>,
    /// `--tty`.
    pub terminal: bool,
    /// `--interactive`: the container's stdin is kept open.
    pub stdin_open: bool,
    /// `--umask`; none: 0022.
    pub umask: Option<u32>,
    /// `--tz`: a zone name, or `local`.
    pub timezone: Option<String>,
    /// `--init` and `--init-path`.
    pub init: InitOptions,
    /// `--oom-score-adj`, −1000 to 1000.
    pub oom_score_adj: Option<i32>,
}

/// An init process in front of the command.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(default)]
pub struct InitOptions {
    /// `--init`.
    pub enabled: bool,
    /// `--init-path`: an executable of the host; none: catatonit where it is installed.
    pub path: Option<PathBuf>,
}

/// What the container's processes may do.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(default)]
pub struct SecurityOptions {
    /// `--privileged`.
    pub privileged: bool,
    /// `--cap-add`.
    pub cap_add: Vec<Capability>,
    /// `--cap-drop`.
    pub cap_drop: Vec<Capability>,
    /// `--security-opt no-new-privileges`.
    pub no_new_privileges: bool,
    /// `--security-opt seccomp=…`.
    pub seccomp: SeccompChoice,
    /// `--security-opt apparmor=PROFILE`.
    pub apparmor: Option<String>,
    /// `--security-opt label=…`: `disable`, `user:…`, `role:…`, `type:…`, `level:…`, `filetype:…`, `nested`.
    pub labels: Vec<String>,
    /// `--security-opt mask=…`: absolute paths masked besides the default ones.
    pub mask: Vec<PathBuf>,
    /// `--security-opt unmask=…`: absolute paths or patterns (`/proc/*`) not masked or read-only.
    pub unmask: Vec<PathBuf>,
    /// `--security-opt unmask=ALL`.
    pub unmask_all: bool,
    /// `--read-only`: the root file system.
    pub read_only: bool,
    /// `--read-only-tmpfs` (default true): with `read_only`, a writable tmpfs on /run, /tmp and /var/tmp.
    pub read_only_tmpfs: Option<bool>,
}

/// Limits.
#[derive(Debug, Clone, PartialEq, Default, Serialize, Deserialize)]
#[serde(default)]
pub struct ResourceOptions {
    /// `--memory`, bytes.
    pub memory: Option<ByteSize>,
    /// `--memory-reservation`, bytes.
    pub memory_reservation: Option<ByteSize>,
    /// `--memory-swap`: memory and swap together.
    pub memory_swap: Option<MemoryLimit>,
    /// `--memory-swappiness`, 0 to 100.
    pub memory_swappiness: Option<u64>,
    /// `--cpus`: turned into a quota of 100 ms periods; excludes `cpu_period` and `cpu_quota`.
    pub cpus: Option<CpuCount>,
    /// `--cpu-period`, µs.
    pub cpu_period: Option<u64>,
    /// `--cpu-quota`, µs.
    pub cpu_quota: Option<i64>,
    /// `--cpu-rt-period`, µs.
    pub cpu_rt_period: Option<u64>,
    /// `--cpu-rt-runtime`, µs.
    pub cpu_rt_runtime: Option<i64>,
    /// `--cpu-shares`.
    pub cpu_shares: Option<u64>,
    /// `--cpuset-cpus`: `0-3,8`.
    pub cpuset_cpus: Option<String>,
    /// `--cpuset-mems`.
    pub cpuset_mems: Option<String>,
    /// `--pids-limit`: −1 or 0: none; none: the engine's default.
    pub pids_limit: Option<i64>,
    /// `--blkio-weight`, 10 to 1000.
    pub blkio_weight: Option<u16>,
    /// `--shm-size`, bytes.
    pub shm_size: Option<ByteSize>,
    /// `--ulimit`.
    pub ulimits: Vec<Ulimit>,
    /// `--sysctl`.
    pub sysctls: Vec<Sysctl>,
    /// `--device-cgroup-rule`.
    pub device_cgroup_rules: Vec<DeviceCgroupRule>,
    /// `--cgroup-parent`.
    pub cgroup_parent: Option<String>,
    /// `--cgroups`.
    pub cgroups: CgroupMode,
}

/// `--cgroups`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum CgroupMode {
    /// The container has a cgroup of its own.
    #[default]
    Enabled,
    /// The container stays in the cgroup of whoever starts it.
    Disabled,
}

/// Namespaces; none: the default of the kind (private; the ipc namespace can be joined by others).
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(default)]
pub struct NamespaceOptions {
    /// `--pid`.
    pub pid: Option<NamespaceMode>,
    /// `--ipc`.
    pub ipc: Option<NamespaceMode>,
    /// `--uts`.
    pub uts: Option<NamespaceMode>,
    /// `--network`.
    pub network: Option<NamespaceMode>,
    /// `--cgroupns`.
    pub cgroup: Option<NamespaceMode>,
}

/// Names and addresses the container knows.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(default)]
pub struct HostsOptions {
    /// `--add-host`: lines of /etc/hosts.
    pub add_hosts: Vec<HostEntry>,
    /// `--dns`: name servers instead of the host's.
    pub dns_servers: Vec<std::net::IpAddr>,
    /// `--dns-option`.
    pub dns_options: Vec<String>,
    /// `--dns-search`; the single value `.` empties the list.
    pub dns_search: Vec<String>,
    /// `--no-hosts`: the image's /etc/hosts stays.
    pub no_hosts: bool,
}

/// How long it lives and how it ends.
#[derive(Debug, Clone, PartialEq, Default, Serialize, Deserialize)]
#[serde(default)]
pub struct LifetimeOptions {
    /// `--restart`.
    pub restart: RestartPolicy,
    /// `--stop-signal`; none: the image's, else TERM.
    pub stop_signal: Option<Signal>,
    /// `--stop-timeout`; none: 10 s.
    pub stop_timeout: Option<Timeout>,
    /// `--timeout`: seconds after which the monitor kills it; none or 0: never.
    pub run_timeout: Option<u32>,
}

impl SecurityOptions {
    /// Whether a read-only container gets writable tmpfs mounts: the default is yes.
    pub fn wants_read_only_tmpfs(&self) -> bool {
        self.read_only && self.read_only_tmpfs.unwrap_or(true)
    }
}

impl HostsOptions {
    /// Whether any of the `--dns` options was given.
    pub fn has_dns(&self) -> bool {
        !(self.dns_servers.is_empty() && self.dns_options.is_empty() && self.dns_search.is_empty())
    }
}
