//! Cgroup limits in the spec's terms. The spec speaks cgroup v1's language; runtimes translate it for v2. What this
//! machine's cgroups cannot do is an error, never dropped.

use crate::error::built;
use crate::{BlockDeviceRate, Cgroup, CgroupVersion, Error, Host, Resources};
use oci_spec::runtime as oci;
use std::fs;
use std::os::unix::fs::FileTypeExt;

/// One of these in the root of the hierarchy: this kernel has block I/O weights. BFQ's weight itself is below the root only.
const WEIGHT_FILES: [&str; 3] = ["blkio.weight", "blkio.bfq.weight", "blkio.bfq.io_service_bytes"];

/// Processes a container may have when nothing is asked for.
const DEFAULT_PIDS: i64 = 2048;
/// The kernel's default period of the CPU bandwidth controller, microseconds.
const DEFAULT_PERIOD: u64 = 100_000;

/// The limits of a spec, without the rules for devices.
pub(crate) fn resources(
    wanted: &Resources,
    cgroup: &Cgroup,
    host: &Host,
) -> Result<oci::LinuxResources, Error> {
    let mut spec = oci::LinuxResources::default();
    spec.set_devices(None);
    if cgroup.disabled {
        if *wanted != Resources::default() {
            return Err(Error::invalid(
                "--cgroups",
                "disabled",
                "a limit cannot be set without a cgroup",
            ));
        }
        return Ok(spec);
    }
    spec.set_memory(memory(wanted, host)?)
        .set_cpu(cpu(wanted, host)?)
        .set_pids(pids(wanted, host)?)
        .set_block_io(block_io(wanted, host)?)
        .set_hugepage_limits(hugepages(wanted, host)?)
        .set_unified(unified(wanted, host)?);
    Ok(spec)
}

/// The flag must have its controller.
fn need(
    host: &Host,
    flag: &'static str,
    value: &impl ToString,
    controller: &str,
) -> Result<(), Error> {
    if host.cgroup.has(controller) {
        return Ok(());
    }
    Err(Error::unsupported(
        flag,
        value.to_string(),
        format!("the cgroup controller {controller} is not available"),
    ))
}

fn only_v1(host: &Host, flag: &'static str, value: &impl ToString) -> Result<(), Error> {
    if host.cgroup.version.is_v1() {
        return Ok(());
    }
    Err(Error::unsupported(flag, value.to_string(), "it exists with cgroup v1 only"))
}

fn memory(wanted: &Resources, host: &Host) -> Result<Option<oci::LinuxMemory>, Error> {
    let limit = wanted.memory.filter(|bytes| *bytes != 0);
    let reservation = wanted.memory_reservation.filter(|bytes| *bytes != 0);
    let swap = wanted.memory_swap.filter(|bytes| *bytes != 0);
    for (flag, value) in
        [("--memory", limit), ("--memory-reservation", reservation), ("--memory-swap", swap)]
    {
        let Some(value) = value else { continue };
        need(host, flag, &value, "memory")?;
        if value < -1 {
            return Err(Error::invalid(
                flag,
                value.to_string(),
                "a size is not negative; -1 is unlimited",
            ));
        }
    }
    match (limit, swap) {
        (None, Some(swap)) if swap != -1 => {
            return Err(Error::invalid(
                "--memory-swap",
                swap.to_string(),
                "it limits memory and swap together: set --memory too",
            ));
        }
        (Some(limit), Some(swap)) if swap != -1 && swap < limit => {
            return Err(Error::invalid(
                "--memory-swap",
                swap.to_string(),
                "it is below --memory, and limits both together",
            ));
        }
        _ => {}
    }
    if let (Some(limit), Some(reservation)) = (limit, reservation)
        && limit > 0
        && reservation > limit
    {
        return Err(Error::invalid(
            "--memory-reservation",
            reservation.to_string(),
            "it is above --memory",
        ));
    }
    let swap = swap_limit(limit, swap, host)?;
    if let Some(swappiness) = wanted.memory_swappiness {
        only_v1(host, "--memory-swappiness", &swappiness)?;
        if swappiness > 100 {
            return Err(Error::invalid(
                "--memory-swappiness",
                swappiness.to_string(),
                "it is between 0 and 100",
            ));
        }
    }
    if wanted.oom_kill_disable {
        only_v1(host, "--oom-kill-disable", &true)?;
    }
    let mut memory = oci::LinuxMemory::default();
    memory
        .set_limit(limit)
        .set_reservation(reservation)
        .set_swap(swap)
        .set_swappiness(wanted.memory_swappiness)
        .set_disable_oom_killer(wanted.oom_kill_disable.then_some(true));
    Ok((memory != oci::LinuxMemory::default()).then_some(memory))
}

/// As podman: twice the memory unless said otherwise, as far as the kernel counts swap.
fn swap_limit(limit: Option<i64>, swap: Option<i64>, host: &Host) -> Result<Option<i64>, Error> {
    let counted = host.cgroup.has_v1_file("memory", &["memory.memsw.limit_in_bytes"]);
    match (limit, swap) {
        (_, Some(swap)) if !counted => Err(Error::unsupported(
            "--memory-swap",
            swap.to_string(),
            "this kernel does not count swap",
        )),
        (_, Some(swap)) => Ok(Some(swap)),
        (Some(limit), None) if limit > 0 && counted => Ok(Some(limit.saturating_mul(2))),
        _ => Ok(None),
    }
}

fn cpu(wanted: &Resources, host: &Host) -> Result<Option<oci::LinuxCpu>, Error> {
    let (mut quota, mut period) = (wanted.cpu_quota, wanted.cpu_period);
    if let Some(cpus) = wanted.cpus {
        if quota.is_some() || period.is_some() {
            return Err(Error::invalid(
                "--cpus",
                cpus.to_string(),
                "it cannot be used with --cpu-period or --cpu-quota",
            ));
        }
        (quota, period) = (Some(quota_of(cpus)?), Some(DEFAULT_PERIOD));
    }
    let mut cpu = oci::LinuxCpu::default();
    let shares = wanted.cpu_shares.filter(|shares| *shares != 0);
    for (flag, value) in [("--cpu-shares", shares), ("--cpu-period", period)] {
        if let Some(value) = value {
            need(host, flag, &value, "cpu")?;
        }
    }
    if let Some(value) = quota {
        need(host, "--cpu-quota", &value, "cpu")?;
    }
    if let Some(value) = wanted.cpu_rt_period {
        only_v1(host, "--cpu-rt-period", &value)?;
    }
    if let Some(value) = wanted.cpu_rt_runtime {
        only_v1(host, "--cpu-rt-runtime", &value)?;
    }
    for (flag, list) in
        [("--cpuset-cpus", &wanted.cpuset_cpus), ("--cpuset-mems", &wanted.cpuset_mems)]
    {
        if let Some(list) = list {
            need(host, flag, list, "cpuset")?;
            check_cpu_list(flag, list)?;
        }
    }
    cpu.set_shares(shares)
        .set_quota(quota.filter(|quota| *quota != 0))
        .set_period(period.filter(|period| *period != 0))
        .set_realtime_period(wanted.cpu_rt_period)
        .set_realtime_runtime(wanted.cpu_rt_runtime)
        .set_cpus(wanted.cpuset_cpus.clone().filter(|list| !list.is_empty()))
        .set_mems(wanted.cpuset_mems.clone().filter(|list| !list.is_empty()));
    Ok((cpu != oci::LinuxCpu::default()).then_some(cpu))
}

/// Microseconds a period for that many CPUs.
#[expect(clippy::cast_possible_truncation, reason = "the range is checked on the line before")]
fn quota_of(cpus: f64) -> Result<i64, Error> {
    let quota = cpus * 100_000.0;
    // The kernel takes no less than a millisecond.
    if !(1_000.0..=1e12).contains(&quota) {
        return Err(Error::invalid(
            "--cpus",
            cpus.to_string(),
            "the number of CPUs is 0.01 or more",
        ));
    }
    Ok(quota.round() as i64)
}

/// `0-2,4`
fn check_cpu_list(flag: &'static str, list: &str) -> Result<(), Error> {
    let number = |text: &str| text.parse::<u32>().ok();
    let range = |text: &str| match text.split_once('-') {
        Some((from, to)) => number(from).zip(number(to)).is_some_and(|(from, to)| from <= to),
        None => number(text).is_some(),
    };
    if list.is_empty() || list.split(',').all(range) {
        return Ok(());
    }
    Err(Error::invalid(flag, list, "not a list of numbers and ranges such as 0-2,4"))
}

fn pids(wanted: &Resources, host: &Host) -> Result<Option<oci::LinuxPids>, Error> {
    let limit = match wanted.pids_limit {
        None if !host.cgroup.has("pids") => return Ok(None),
        None => DEFAULT_PIDS,
        Some(0 | -1) => return Ok(None),
        Some(limit) if limit < -1 => {
            return Err(Error::invalid(
                "--pids-limit",
                limit.to_string(),
                "it is not negative; -1 is unlimited",
            ));
        }
        Some(limit) => limit,
    };
    need(host, "--pids-limit", &limit, "pids")?;
    let mut pids = oci::LinuxPids::default();
    pids.set_limit(limit);
    Ok(Some(pids))
}

fn block_io(wanted: &Resources, host: &Host) -> Result<Option<oci::LinuxBlockIo>, Error> {
    let weight = wanted.blkio_weight.filter(|weight| *weight != 0);
    for (flag, weight) in weight.map(|w| ("--blkio-weight", w)).into_iter().chain(
        wanted.blkio_weight_device.iter().map(|device| ("--blkio-weight-device", device.weight)),
    ) {
        need(host, flag, &weight, "blkio")?;
        if !host.cgroup.has_v1_file("blkio", &WEIGHT_FILES) {
            return Err(Error::unsupported(
                flag,
                weight.to_string(),
                "this kernel has no block I/O weights",
            ));
        }
        if !(10..=1000).contains(&weight) {
            return Err(Error::invalid(
                flag,
                weight.to_string(),
                "a weight is between 10 and 1000",
            ));
        }
    }
    let mut block_io = oci::LinuxBlockIo::default();
    block_io
        .set_weight(weight)
        .set_weight_device(weight_devices(wanted)?)
        .set_throttle_read_bps_device(rates("--device-read-bps", &wanted.device_read_bps, host)?)
        .set_throttle_write_bps_device(rates("--device-write-bps", &wanted.device_write_bps, host)?)
        .set_throttle_read_iops_device(rates("--device-read-iops", &wanted.device_read_iops, host)?)
        .set_throttle_write_iops_device(rates(
            "--device-write-iops",
            &wanted.device_write_iops,
            host,
        )?);
    Ok((block_io != oci::LinuxBlockIo::default()).then_some(block_io))
}

fn weight_devices(wanted: &Resources) -> Result<Option<Vec<oci::LinuxWeightDevice>>, Error> {
    let devices = wanted.blkio_weight_device.iter().map(|device| {
        let (major, minor) = block_device("--blkio-weight-device", &device.path)?;
        built(
            oci::LinuxWeightDeviceBuilder::default()
                .major(major)
                .minor(minor)
                .weight(device.weight)
                .build(),
        )
    });
    non_empty(devices.collect::<Result<_, Error>>()?)
}

fn rates(
    flag: &'static str,
    list: &[BlockDeviceRate],
    host: &Host,
) -> Result<Option<Vec<oci::LinuxThrottleDevice>>, Error> {
    let devices = list.iter().map(|device| {
        need(host, flag, &device.rate, "blkio")?;
        let (major, minor) = block_device(flag, &device.path)?;
        built(
            oci::LinuxThrottleDeviceBuilder::default()
                .major(major)
                .minor(minor)
                .rate(device.rate)
                .build(),
        )
    });
    non_empty(devices.collect::<Result<_, Error>>()?)
}

fn non_empty<T>(list: Vec<T>) -> Result<Option<Vec<T>>, Error> {
    Ok((!list.is_empty()).then_some(list))
}

fn block_device(flag: &'static str, path: &str) -> Result<(i64, i64), Error> {
    let metadata = fs::metadata(path).map_err(Error::io("find the device", path))?;
    if !metadata.file_type().is_block_device() {
        return Err(Error::invalid(flag, path, "not a block device"));
    }
    Ok(super::device::numbers(&metadata))
}

fn hugepages(
    wanted: &Resources,
    host: &Host,
) -> Result<Option<Vec<oci::LinuxHugepageLimit>>, Error> {
    let limits = wanted.hugepages.iter().map(|limit| {
        need(host, "hugepage limit", &limit.limit, "hugetlb")?;
        let bytes = i64::try_from(limit.limit).map_err(|_| {
            Error::invalid("hugepage limit", limit.limit.to_string(), "it is too large")
        })?;
        let mut spec = oci::LinuxHugepageLimit::default();
        spec.set_page_size(limit.page_size.clone()).set_limit(bytes);
        Ok(spec)
    });
    non_empty(limits.collect::<Result<_, Error>>()?)
}

fn unified(
    wanted: &Resources,
    host: &Host,
) -> Result<Option<std::collections::HashMap<String, String>>, Error> {
    if wanted.unified.is_empty() {
        return Ok(None);
    }
    for (file, value) in &wanted.unified {
        if host.cgroup.version != CgroupVersion::V2 {
            return Err(Error::unsupported("--cgroup-conf", file, "it exists with cgroup v2 only"));
        }
        // The name becomes a path below the container's cgroup.
        if file.contains(['/', '\0'])
            || !file.contains('.')
            || file.starts_with('.')
            || value.contains('\0')
        {
            return Err(Error::invalid("--cgroup-conf", file, "not the name of a cgroup file"));
        }
    }
    Ok(Some(wanted.unified.clone().into_iter().collect()))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::CgroupHost;
    use crate::host::tests::generous;
    use expect_test::{Expect, expect};

    fn v1() -> Host {
        let controllers = ["cpu", "cpuset", "memory", "blkio", "pids"].map(str::to_owned).into();
        Host {
            cgroup: CgroupHost {
                version: CgroupVersion::Hybrid,
                controllers,
                mount: "/nonexistent".into(),
            },
            ..generous()
        }
    }

    fn check(wanted: &Resources, host: &Host, expected: &Expect) {
        let shown = match resources(wanted, &Cgroup::default(), host) {
            Ok(spec) => serde_json::to_string(&spec).unwrap(),
            Err(e) => e.to_string(),
        };
        expected.assert_eq(&shown);
    }

    #[test]
    fn limits_as_podman_writes_them() {
        check(&Resources::default(), &generous(), &expect![[r#"{"pids":{"limit":2048}}"#]]);
        let limited = Resources {
            memory: Some(64 << 20),
            memory_reservation: Some(32 << 20),
            cpus: Some(1.5),
            cpu_shares: Some(512),
            cpuset_cpus: Some("0-1".into()),
            pids_limit: Some(50),
            ..Resources::default()
        };
        check(
            &limited,
            &generous(),
            &expect![[
                r#"{"memory":{"limit":67108864,"reservation":33554432,"swap":134217728},"cpu":{"shares":512,"quota":150000,"period":100000,"cpus":"0-1"},"pids":{"limit":50}}"#
            ]],
        );
        // No memory.memsw.* there: the default swap limit is left out.
        check(
            &limited,
            &v1(),
            &expect![[
                r#"{"memory":{"limit":67108864,"reservation":33554432},"cpu":{"shares":512,"quota":150000,"period":100000,"cpus":"0-1"},"pids":{"limit":50}}"#
            ]],
        );
        check(
            &Resources {
                memory: Some(1 << 20),
                memory_swap: Some(-1),
                pids_limit: Some(-1),
                ..Resources::default()
            },
            &generous(),
            &expect![[r#"{"memory":{"limit":1048576,"swap":-1}}"#]],
        );
    }

    #[test]
    fn refused() {
        let memory = Some(64 << 20);
        check(
            &Resources { memory_swap: Some(1), ..Resources::default() },
            &generous(),
            &expect![[
                r#"invalid --memory-swap "1": it limits memory and swap together: set --memory too"#
            ]],
        );
        check(
            &Resources { memory, memory_swap: Some(1), ..Resources::default() },
            &generous(),
            &expect![[
                r#"invalid --memory-swap "1": it is below --memory, and limits both together"#
            ]],
        );
        check(
            &Resources { memory, memory_reservation: Some(65 << 20), ..Resources::default() },
            &generous(),
            &expect![[r#"invalid --memory-reservation "68157440": it is above --memory"#]],
        );
        check(
            &Resources { memory: Some(-2), ..Resources::default() },
            &generous(),
            &expect![[r#"invalid --memory "-2": a size is not negative; -1 is unlimited"#]],
        );
        check(
            &Resources { memory_swappiness: Some(5), ..Resources::default() },
            &generous(),
            &expect![[
                r#"--memory-swappiness "5" is not possible here: it exists with cgroup v1 only"#
            ]],
        );
        check(
            &Resources { oom_kill_disable: true, ..Resources::default() },
            &generous(),
            &expect![[
                r#"--oom-kill-disable "true" is not possible here: it exists with cgroup v1 only"#
            ]],
        );
        check(
            &Resources { memory, memory_swap: Some(128 << 20), ..Resources::default() },
            &v1(),
            &expect![[
                r#"--memory-swap "134217728" is not possible here: this kernel does not count swap"#
            ]],
        );
        check(
            &Resources { blkio_weight: Some(300), ..Resources::default() },
            &v1(),
            &expect![[
                r#"--blkio-weight "300" is not possible here: this kernel has no block I/O weights"#
            ]],
        );
        check(
            &Resources { blkio_weight: Some(5), ..Resources::default() },
            &generous(),
            &expect![[r#"invalid --blkio-weight "5": a weight is between 10 and 1000"#]],
        );
        check(
            &Resources { cpus: Some(f64::NAN), ..Resources::default() },
            &generous(),
            &expect![[r#"invalid --cpus "NaN": the number of CPUs is 0.01 or more"#]],
        );
        check(
            &Resources { cpus: Some(1.0), cpu_quota: Some(1), ..Resources::default() },
            &generous(),
            &expect![[r#"invalid --cpus "1": it cannot be used with --cpu-period or --cpu-quota"#]],
        );
        check(
            &Resources { cpuset_cpus: Some("2-1".into()), ..Resources::default() },
            &generous(),
            &expect![[
                r#"invalid --cpuset-cpus "2-1": not a list of numbers and ranges such as 0-2,4"#
            ]],
        );
        check(
            &Resources {
                unified: [("memory.high".into(), "1".into())].into(),
                ..Resources::default()
            },
            &v1(),
            &expect![[
                r#"--cgroup-conf "memory.high" is not possible here: it exists with cgroup v2 only"#
            ]],
        );
        check(
            &Resources { unified: [("../x.y".into(), "1".into())].into(), ..Resources::default() },
            &generous(),
            &expect![[r#"invalid --cgroup-conf "../x.y": not the name of a cgroup file"#]],
        );
        let rate = BlockDeviceRate { path: "/dev/null".into(), rate: 1 };
        check(
            &Resources { device_read_bps: vec![rate], ..Resources::default() },
            &generous(),
            &expect![[r#"invalid --device-read-bps "/dev/null": not a block device"#]],
        );
        let none = Host {
            cgroup: CgroupHost {
                version: CgroupVersion::None,
                controllers: Default::default(),
                mount: "/nonexistent".into(),
            },
            ..generous()
        };
        check(&Resources::default(), &none, &expect!["{}"]);
        check(
            &Resources { memory, ..Resources::default() },
            &none,
            &expect![[
                r#"--memory "67108864" is not possible here: the cgroup controller memory is not available"#
            ]],
        );
        let disabled = Cgroup { disabled: true, ..Cgroup::default() };
        assert!(
            resources(&Resources { memory, ..Resources::default() }, &disabled, &generous())
                .is_err()
        );
        assert!(resources(&Resources::default(), &disabled, &generous()).unwrap().pids().is_none());
    }
}
