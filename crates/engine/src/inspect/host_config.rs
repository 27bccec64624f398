//! The part of `inspect` that says what a container may do to the host, and what of it it gets.

use std::collections::BTreeMap;

use dhow_oci::{BlockDeviceRate, MountKind, Resources, Seccomp};
use dhow_state::Snapshot;
use oci_spec::runtime::Process;

use crate::config::{ContainerConfig, MountShown};
use crate::engine::Engine;
use crate::error::Result;
use crate::report::{
    BlkioDeviceRate, BlkioDeviceWeight, DeviceShown, HostConfig, InspectUlimit, LogConfigShown,
    RestartPolicyShown,
};
use crate::request::{NamespaceKind, NamespaceMode, RestartPolicy};

/// Processes a container may have where nothing was asked for: podman's default, which the spec generator sets.
const PIDS_LIMIT: i64 = 2048;

impl Engine {
    pub(super) fn host_config(
        &self,
        snapshot: &Snapshot,
        config: &ContainerConfig,
        process: Option<&Process>,
    ) -> Result<HostConfig> {
        let spec = &config.spec;
        let resources = &spec.resources;
        let modes = &config.namespace_modes;
        let mode = |kind, mode: Option<&NamespaceMode>, default: &str| {
            namespace(config, kind, mode, default)
        };
        let cgroup_default = if self.host()?.cgroup.version.is_v1() { "host" } else { "private" };
        let mut shown = HostConfig {
            binds: config
                .mounts_shown
                .iter()
                .filter(|mount| mount.kind != "tmpfs")
                .map(bind)
                .collect(),
            cgroup_manager: "cgroupfs".to_owned(),
            cgroup_mode: mode(NamespaceKind::Cgroup, modes.cgroup.as_ref(), cgroup_default),
            container_id_file: config
                .cidfile
                .as_ref()
                .map(|path| path.display().to_string())
                .unwrap_or_default(),
            log_config: log_config(config),
            network_mode: match config.networks.first() {
                Some(first) => first.network.to_string(),
                None => mode(NamespaceKind::Network, modes.network.as_ref(), "none"),
            },
            port_bindings: super::network::host_ports(&config.ports),
            restart_policy: restart_policy(config.restart),
            auto_remove: snapshot.config.auto_remove,
            cap_add: spec.security.cap_add.clone(),
            cap_drop: spec.security.cap_drop.clone(),
            dns: config.network_files.dns_servers.clone(),
            dns_options: config.network_files.dns_options.clone(),
            dns_search: config.network_files.dns_search.clone(),
            extra_hosts: config
                .network_files
                .add_hosts
                .iter()
                .map(|(name, ip)| format!("{name}:{ip}"))
                .collect(),
            group_add: spec.group_add.clone(),
            ipc_mode: mode(NamespaceKind::Ipc, modes.ipc.as_ref(), "shareable"),
            cgroups: if spec.cgroup.disabled { "disabled" } else { "default" }.to_owned(),
            oom_score_adj: spec.oom_score_adj.unwrap_or(0),
            pid_mode: mode(NamespaceKind::Pid, modes.pid.as_ref(), "private"),
            privileged: spec.security.privileged,
            readonly_rootfs: spec.read_only,
            security_opt: security_options(config),
            tmpfs: tmpfs(config),
            uts_mode: mode(NamespaceKind::Uts, modes.uts.as_ref(), "private"),
            shm_size: config.shm_size.unwrap_or(0),
            runtime: "oci".to_owned(),
            init: spec.init.is_some(),
            sysctls: spec.sysctls.clone(),
            cgroup_parent: cgroup_parent(&spec.cgroup.path),
            devices: spec
                .devices
                .iter()
                .map(|device| DeviceShown {
                    path_on_host: device.source.clone(),
                    path_in_container: device.destination.clone(),
                    cgroup_permissions: device.access.clone(),
                })
                .collect(),
            pids_limit: if spec.cgroup.disabled {
                0
            } else {
                resources.pids_limit.unwrap_or(PIDS_LIMIT)
            },
            ulimits: ulimits(config, process),
            ..HostConfig::default()
        };
        limits(&mut shown, resources);
        Ok(shown)
    }
}

/// The limits that were set; what was not is 0 or empty.
fn limits(shown: &mut HostConfig, resources: &Resources) {
    shown.cpu_shares = resources.cpu_shares.unwrap_or(0);
    shown.memory = resources.memory.unwrap_or(0);
    shown.memory_reservation = resources.memory_reservation.unwrap_or(0);
    // Twice the memory where only that was set.
    shown.memory_swap = resources
        .memory_swap
        .or(resources.memory.map(|memory| memory.saturating_mul(2)))
        .unwrap_or(0);
    shown.memory_swappiness =
        resources.memory_swappiness.and_then(|value| i64::try_from(value).ok()).unwrap_or(0);
    shown.oom_kill_disable = resources.oom_kill_disable;
    shown.cpu_period = resources.cpu_period.unwrap_or(0);
    shown.cpu_quota = resources.cpu_quota.unwrap_or(0);
    shown.nano_cpus = nano_cpus(shown.cpu_quota, shown.cpu_period);
    shown.cpu_realtime_period = resources.cpu_rt_period.unwrap_or(0);
    shown.cpu_realtime_runtime = resources.cpu_rt_runtime.unwrap_or(0);
    shown.cpuset_cpus = resources.cpuset_cpus.clone().unwrap_or_default();
    shown.cpuset_mems = resources.cpuset_mems.clone().unwrap_or_default();
    shown.blkio_weight = resources.blkio_weight.unwrap_or(0);
    shown.blkio_weight_device = resources
        .blkio_weight_device
        .iter()
        .map(|device| BlkioDeviceWeight { path: device.path.clone(), weight: device.weight })
        .collect();
    shown.blkio_device_read_bps = rates(&resources.device_read_bps);
    shown.blkio_device_write_bps = rates(&resources.device_write_bps);
    shown.blkio_device_read_iops = rates(&resources.device_read_iops);
    shown.blkio_device_write_iops = rates(&resources.device_write_iops);
    shown.cgroup_conf = resources.unified.clone();
}

/// Billionths of a processor that a quota in a period comes to.
fn nano_cpus(quota: i64, period: u64) -> i64 {
    match i64::try_from(period) {
        Ok(period) if period > 0 && quota > 0 => {
            i64::try_from(i128::from(quota) * 1_000_000_000 / i128::from(period))
                .unwrap_or(i64::MAX)
        }
        _ => 0,
    }
}

fn rates(rates: &[BlockDeviceRate]) -> Vec<BlkioDeviceRate> {
    rates.iter().map(|rate| BlkioDeviceRate { path: rate.path.clone(), rate: rate.rate }).collect()
}

/// `private`, `host`, `container:ID`, …; the id, because names change.
fn namespace(
    config: &ContainerConfig,
    kind: NamespaceKind,
    mode: Option<&NamespaceMode>,
    default: &str,
) -> String {
    match (config.joins.iter().find(|join| join.kind == kind), mode) {
        (Some(join), _) => format!("container:{}", join.container),
        (None, Some(mode)) => mode.to_string(),
        (None, None) => default.to_owned(),
    }
}

/// `SOURCE:DESTINATION:OPTIONS`.
fn bind(mount: &MountShown) -> String {
    let source = mount.name.as_deref().unwrap_or(&mount.source);
    let access = if mount.rw { "rw" } else { "ro" };
    let options = [access, mount.propagation.as_str()].into_iter().filter(|word| !word.is_empty());
    let options: Vec<&str> = options.chain(mount.options.iter().map(String::as_str)).collect();
    format!("{source}:{}:{}", mount.destination, options.join(","))
}

fn tmpfs(config: &ContainerConfig) -> BTreeMap<String, String> {
    let mounts = config.spec.mounts.iter().filter(|mount| mount.kind == MountKind::Tmpfs);
    mounts.map(|mount| (mount.destination.clone(), mount.options.join(","))).collect()
}

fn log_config(config: &ContainerConfig) -> LogConfigShown {
    let log = &config.log;
    let mut options = BTreeMap::new();
    if let Some(size) = log.max_size {
        options.insert("max-size".to_owned(), size.to_string());
    }
    if let Some(files) = log.max_files {
        options.insert("max-file".to_owned(), files.to_string());
    }
    LogConfigShown {
        kind: log.driver.to_string(),
        config: options,
        path: log.path.as_ref().map(|path| path.display().to_string()).unwrap_or_default(),
        tag: String::new(),
        size: format!("{}B", log.max_size.unwrap_or(0)),
    }
}

fn restart_policy(policy: RestartPolicy) -> RestartPolicyShown {
    let maximum_retry_count = match policy {
        RestartPolicy::OnFailure(count) => count.unwrap_or(0),
        RestartPolicy::No | RestartPolicy::Always | RestartPolicy::UnlessStopped => 0,
    };
    RestartPolicyShown { name: crate::ps::policy_name(policy).to_owned(), maximum_retry_count }
}

/// The security options in the words of the command line; a profile, which is kept as its text, is `profile`.
fn security_options(config: &ContainerConfig) -> Vec<String> {
    let security = &config.spec.security;
    let mut options = Vec::new();
    if security.no_new_privileges {
        options.push("no-new-privileges".to_owned());
    }
    match &security.seccomp {
        Seccomp::Default => {}
        Seccomp::Unconfined => options.push("seccomp=unconfined".to_owned()),
        Seccomp::Profile(_) => options.push("seccomp=profile".to_owned()),
    }
    options.extend(security.apparmor.iter().map(|profile| format!("apparmor={profile}")));
    for (word, paths) in [("mask", &security.mask), ("unmask", &security.unmask)] {
        if !paths.is_empty() {
            options.push(format!("{word}={}", paths.join(":")));
        }
    }
    options
}

/// The control group above the container's own.
fn cgroup_parent(path: &str) -> String {
    path.rsplit_once('/').map(|(parent, _)| parent.to_owned()).unwrap_or_default()
}

/// The limits the process was started with; before that, those asked for.
fn ulimits(config: &ContainerConfig, process: Option<&Process>) -> Vec<InspectUlimit> {
    let number = |value: u64| i64::try_from(value).unwrap_or(-1);
    match process.and_then(|process| process.rlimits().as_ref()) {
        Some(limits) => limits
            .iter()
            .map(|limit| InspectUlimit {
                name: limit.typ().to_string(),
                soft: number(limit.soft()),
                hard: number(limit.hard()),
            })
            .collect(),
        None => config
            .spec
            .rlimits
            .iter()
            .map(|limit| InspectUlimit {
                name: format!("RLIMIT_{}", limit.name.to_uppercase()),
                soft: number(limit.soft),
                hard: number(limit.hard),
            })
            .collect(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn binds_are_shown_as_they_are_typed() {
        let mount = |name: Option<&str>, rw, options: &[&str]| MountShown {
            kind: "bind".into(),
            name: name.map(str::to_owned),
            source: "/srv".into(),
            destination: "/data".into(),
            options: options.iter().map(|word| (*word).to_owned()).collect(),
            rw,
            propagation: "rprivate".into(),
        };
        assert_eq!(bind(&mount(None, false, &["rbind"])), "/srv:/data:ro,rprivate,rbind");
        assert_eq!(bind(&mount(Some("data"), true, &[])), "data:/data:rw,rprivate");
    }

    #[test]
    fn processors_are_quota_in_period() {
        assert_eq!(nano_cpus(150_000, 100_000), 1_500_000_000);
        assert_eq!(nano_cpus(-1, 100_000), 0);
        assert_eq!(nano_cpus(1, 0), 0);
        assert_eq!(nano_cpus(i64::MAX, 1), i64::MAX);
    }

    #[test]
    fn swap_is_twice_the_memory_where_only_that_is_set() {
        let mut shown = HostConfig::default();
        limits(&mut shown, &Resources { memory: Some(1 << 20), ..Resources::default() });
        assert_eq!((shown.memory, shown.memory_swap), (1 << 20, 2 << 20));
    }

    #[test]
    fn the_parent_is_what_is_above() {
        assert_eq!(cgroup_parent("/dhow/1f56"), "/dhow");
        assert_eq!(cgroup_parent(""), "");
    }

    #[test]
    fn policies_have_names_and_counts() {
        let shown = restart_policy(RestartPolicy::OnFailure(Some(3)));
        assert_eq!((shown.name.as_str(), shown.maximum_retry_count), ("on-failure", 3));
        assert_eq!(restart_policy(RestartPolicy::No).name, "no");
    }
}
