//! The part of `inspect` that says what a container may do to the host, and how much of it it gets.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use super::network::HostPort;

/// What a container may do to the host, and what of it it gets. 0 or empty: no limit was set.
#[derive(Debug, Clone, PartialEq, Default, Serialize, Deserialize)]
#[serde(rename_all = "PascalCase", default)]
pub struct HostConfig {
    /// Volumes and binds as `source:destination:options`.
    pub binds: Vec<String>,
    /// Who makes the control group.
    pub cgroup_manager: String,
    /// The cgroup namespace: `private`, `host`, …
    pub cgroup_mode: String,
    /// The file its id was written to.
    #[serde(rename = "ContainerIDFile")]
    pub container_id_file: String,
    /// Where its output goes.
    pub log_config: LogConfigShown,
    /// `none`, `private`, `host`, `container:ID`, …
    pub network_mode: String,
    /// Published ports.
    pub port_bindings: BTreeMap<String, Vec<HostPort>>,
    /// What happens when it ends.
    pub restart_policy: RestartPolicyShown,
    /// It is removed when it ends.
    pub auto_remove: bool,
    /// Capabilities added to the default.
    pub cap_add: Vec<String>,
    /// Capabilities taken from the default.
    pub cap_drop: Vec<String>,
    /// Name servers.
    pub dns: Vec<String>,
    /// Resolver options.
    pub dns_options: Vec<String>,
    /// Search domains.
    pub dns_search: Vec<String>,
    /// Lines added to its /etc/hosts, `name:address`.
    pub extra_hosts: Vec<String>,
    /// Groups added to its process.
    pub group_add: Vec<String>,
    /// The IPC namespace.
    pub ipc_mode: String,
    /// `default`, `disabled`.
    pub cgroups: String,
    /// How early the kernel kills it when memory runs out.
    pub oom_score_adj: i32,
    /// The PID namespace.
    pub pid_mode: String,
    /// It is hardly confined at all.
    pub privileged: bool,
    /// All ports of its image are published.
    pub publish_all_ports: bool,
    /// It cannot write to its root file system.
    pub readonly_rootfs: bool,
    /// seccomp, label, apparmor, mask options as given.
    pub security_opt: Vec<String>,
    /// Memory file systems: where, and with which options.
    pub tmpfs: BTreeMap<String, String>,
    /// The UTS namespace.
    #[serde(rename = "UTSMode")]
    pub uts_mode: String,
    /// The user namespace.
    pub userns_mode: String,
    /// Bytes of its /dev/shm.
    pub shm_size: u64,
    /// The runtime's name; docker's place for it.
    pub runtime: String,
    /// An init process reaps its children.
    pub init: bool,
    /// Kernel parameters of its namespaces.
    pub sysctls: BTreeMap<String, String>,
    /// Relative share of the processors.
    pub cpu_shares: u64,
    /// Bytes of memory.
    pub memory: i64,
    /// Billionths of a processor.
    pub nano_cpus: i64,
    /// The control group above its own.
    pub cgroup_parent: String,
    /// Relative share of block I/O.
    pub blkio_weight: u16,
    /// The same, by device.
    pub blkio_weight_device: Vec<BlkioDeviceWeight>,
    /// Bytes a second read.
    pub blkio_device_read_bps: Vec<BlkioDeviceRate>,
    /// Bytes a second written.
    pub blkio_device_write_bps: Vec<BlkioDeviceRate>,
    /// Reads a second.
    #[serde(rename = "BlkioDeviceReadIOps")]
    pub blkio_device_read_iops: Vec<BlkioDeviceRate>,
    /// Writes a second.
    #[serde(rename = "BlkioDeviceWriteIOps")]
    pub blkio_device_write_iops: Vec<BlkioDeviceRate>,
    /// Microseconds of the scheduler's period.
    pub cpu_period: u64,
    /// Microseconds of processor time in a period.
    pub cpu_quota: i64,
    /// The same for real-time tasks.
    pub cpu_realtime_period: u64,
    /// The same for real-time tasks.
    pub cpu_realtime_runtime: i64,
    /// Processors it may use.
    pub cpuset_cpus: String,
    /// Memory nodes it may use.
    pub cpuset_mems: String,
    /// Devices added to the default.
    pub devices: Vec<DeviceShown>,
    /// Bytes of memory it is pressed down to when memory is short.
    pub memory_reservation: i64,
    /// Bytes of memory and swap.
    pub memory_swap: i64,
    /// How eagerly it is swapped; −1: the host's.
    pub memory_swappiness: i64,
    /// It is not killed when its memory runs out (cgroup v1).
    pub oom_kill_disable: bool,
    /// Processes and threads.
    pub pids_limit: i64,
    /// Resource limits of its processes.
    pub ulimits: Vec<InspectUlimit>,
    /// cgroup v2 files set directly.
    pub cgroup_conf: BTreeMap<String, String>,
}

/// Where the output of a container goes.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "PascalCase", default)]
pub struct LogConfigShown {
    /// The driver.
    #[serde(rename = "Type")]
    pub kind: String,
    /// Options by name.
    pub config: BTreeMap<String, String>,
    /// The file.
    pub path: String,
    /// The tag.
    pub tag: String,
    /// The size it is rotated at, with its unit.
    pub size: String,
}

/// What happens when a container ends.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "PascalCase", default)]
pub struct RestartPolicyShown {
    /// `no`, `on-failure`, `always`, `unless-stopped`.
    pub name: String,
    /// How often `on-failure` tries; 0: for ever.
    pub maximum_retry_count: u32,
}

/// A device given to a container.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "PascalCase", default)]
pub struct DeviceShown {
    /// On the host.
    pub path_on_host: String,
    /// In the container.
    pub path_in_container: String,
    /// `r`, `w`, `m`.
    pub cgroup_permissions: String,
}

/// A resource limit.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "PascalCase", default)]
pub struct InspectUlimit {
    /// `RLIMIT_NOFILE` and its like.
    pub name: String,
    /// What counts.
    pub soft: i64,
    /// What it can be raised to; −1: no limit.
    pub hard: i64,
}

/// A share of a block device.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "PascalCase", default)]
pub struct BlkioDeviceWeight {
    /// The device on the host.
    pub path: String,
    /// 10 to 1000.
    pub weight: u16,
}

/// A limit on a block device.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "PascalCase", default)]
pub struct BlkioDeviceRate {
    /// The device on the host.
    pub path: String,
    /// Bytes or operations a second.
    pub rate: u64,
}
