//! Limits enforced by cgroups, in podman's terms; [`crate::generate`] turns them into what the host's cgroup version takes.

use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;

/// Limits enforced by cgroups. `None` sets nothing.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct Resources {
    /// Bytes; `-1` is unlimited.
    pub memory: Option<i64>,
    /// Soft limit in bytes.
    pub memory_reservation: Option<i64>,
    /// Memory *and* swap in bytes; `-1` is unlimited. `None` with `memory` set is twice the memory, as in podman.
    pub memory_swap: Option<i64>,
    /// 0..=100; cgroup v1 only.
    pub memory_swappiness: Option<u64>,
    /// The OOM killer stays away; cgroup v1 only.
    pub oom_kill_disable: bool,
    /// Number of CPUs (`1.5`); together with `cpu_period`/`cpu_quota` it is an error.
    pub cpus: Option<f64>,
    /// Relative weight.
    pub cpu_shares: Option<u64>,
    /// Microseconds.
    pub cpu_period: Option<u64>,
    /// Microseconds a period; `-1` is unlimited.
    pub cpu_quota: Option<i64>,
    /// Microseconds; cgroup v1 only.
    pub cpu_rt_period: Option<u64>,
    /// Microseconds; cgroup v1 only.
    pub cpu_rt_runtime: Option<i64>,
    /// CPUs that may be used: `0-2,4`.
    pub cpuset_cpus: Option<String>,
    /// Memory nodes that may be used.
    pub cpuset_mems: Option<String>,
    /// Number of processes; `0` and `-1` are unlimited. `None` is 2048.
    pub pids_limit: Option<i64>,
    /// 10..=1000.
    pub blkio_weight: Option<u16>,
    /// Weight of single devices.
    pub blkio_weight_device: Vec<BlockDeviceWeight>,
    /// Bytes a second.
    pub device_read_bps: Vec<BlockDeviceRate>,
    /// Bytes a second.
    pub device_write_bps: Vec<BlockDeviceRate>,
    /// Operations a second.
    pub device_read_iops: Vec<BlockDeviceRate>,
    /// Operations a second.
    pub device_write_iops: Vec<BlockDeviceRate>,
    /// Huge pages by size.
    pub hugepages: Vec<HugepageLimit>,
    /// Files of cgroup v2 set as they are (`--cgroup-conf`).
    pub unified: BTreeMap<String, String>,
}

/// A weight of one block device.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct BlockDeviceWeight {
    /// Path of the device on the host.
    pub path: String,
    /// 10..=1000.
    pub weight: u16,
}

/// A rate of one block device.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct BlockDeviceRate {
    /// Path of the device on the host.
    pub path: String,
    /// Bytes or operations a second.
    pub rate: u64,
}

/// A limit of one huge page size.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct HugepageLimit {
    /// `2MB`, `1GB`.
    pub page_size: String,
    /// Bytes.
    pub limit: u64,
}
