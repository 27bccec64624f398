//! Limits and devices of a planned container: the request's types into the spec request's.

use std::collections::BTreeMap;

use dhow_oci::{Device, DeviceRule, DeviceType, Resources, Rlimit};

use crate::error::{Error, Result};
use crate::request::{self, DeviceKind, LimitValue, ResourceOptions, Ulimit};

/// The limits that cgroups enforce.
pub(super) fn resources(options: &ResourceOptions) -> Result<Resources> {
    if options.cpus.is_some() && (options.cpu_period.is_some() || options.cpu_quota.is_some()) {
        return Err(Error::Invalid(
            "--cpus cannot be given together with --cpu-period or --cpu-quota".into(),
        ));
    }
    let bytes = |what: &str, size: Option<request::ByteSize>| {
        size.map(|size| {
            i64::try_from(size.0)
                .map_err(|_| Error::Invalid(format!("--{what} {} is too large", size.0)))
        })
        .transpose()
    };
    let memory = bytes("memory", options.memory)?;
    let memory_swap = options.memory_swap.map(request::MemoryLimit::as_spec);
    match (memory, memory_swap) {
        (None, Some(swap)) if swap > 0 => {
            return Err(Error::Invalid(
                "--memory-swap needs --memory: it limits memory and swap together".into(),
            ));
        }
        (Some(memory), Some(swap)) if swap > 0 && swap < memory => {
            return Err(Error::Invalid(
                "--memory-swap must not be below --memory: it limits both together".into(),
            ));
        }
        _ => {}
    }
    let reservation = bytes("memory-reservation", options.memory_reservation)?;
    if let (Some(memory), Some(reservation)) = (memory, reservation)
        && reservation > memory
    {
        return Err(Error::Invalid("--memory-reservation must not be above --memory".into()));
    }
    let (cpu_quota, cpu_period) = match options.cpus.and_then(request::CpuCount::quota_and_period) {
        Some((quota, period)) => (Some(quota), Some(period)),
        None => (options.cpu_quota, options.cpu_period),
    };
    Ok(Resources {
        memory,
        memory_reservation: reservation,
        memory_swap,
        memory_swappiness: options.memory_swappiness,
        cpu_shares: options.cpu_shares,
        cpu_period,
        cpu_quota,
        cpu_rt_period: options.cpu_rt_period,
        cpu_rt_runtime: options.cpu_rt_runtime,
        cpuset_cpus: options.cpuset_cpus.clone(),
        cpuset_mems: options.cpuset_mems.clone(),
        pids_limit: options.pids_limit,
        blkio_weight: options.blkio_weight,
        ..Resources::default()
    })
}

/// The limits of the process; the last of one name wins. `host` keeps the spec from
/// setting defaults.
pub(super) fn rlimits(limits: &[Ulimit]) -> Vec<Rlimit> {
    let value = |value: LimitValue| match value {
        LimitValue::Number(number) => number,
        LimitValue::Unlimited => u64::MAX,
    };
    let mut by_name = BTreeMap::new();
    for limit in limits {
        match limit {
            Ulimit::Limit { name, soft, hard } => {
                by_name.insert(name.as_str(), (value(*soft), value(*hard)))
            }
            Ulimit::Host => by_name.insert("host", (0, 0)),
        };
    }
    by_name
        .into_iter()
        .map(|(name, (soft, hard))| Rlimit { name: name.to_owned(), soft, hard })
        .collect()
}

/// Devices of the host.
pub(super) fn devices(devices: &[request::Device]) -> Result<Vec<Device>> {
    devices
        .iter()
        .map(|device| {
            let text = |path: &std::path::Path| {
                path.to_str().map(str::to_owned).ok_or_else(|| {
                    Error::Invalid(format!("the device path {} is not UTF-8", path.display()))
                })
            };
            Ok(Device {
                source: text(&device.source)?,
                destination: text(&device.destination)?,
                access: device.access.to_string(),
            })
        })
        .collect()
}

/// Rules for the device cgroup.
pub(super) fn device_rules(rules: &[request::DeviceCgroupRule]) -> Vec<DeviceRule> {
    rules
        .iter()
        .map(|rule| DeviceRule {
            kind: match rule.kind {
                DeviceKind::All => DeviceType::All,
                DeviceKind::Block => DeviceType::Block,
                DeviceKind::Character => DeviceType::Char,
            },
            major: rule.major.map(i64::from),
            minor: rule.minor.map(i64::from),
            access: rule.access.to_string(),
        })
        .collect()
}
