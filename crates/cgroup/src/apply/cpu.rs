//! Processor time and processors.

use oci_spec::runtime::LinuxCpu;

use crate::{Cgroup, Directory, Error};

impl Cgroup {
    pub(super) fn apply_cpu(&self, cpu: &LinuxCpu) -> Result<(), Error> {
        if cpu.shares().is_some_and(|value| value != 0)
            || cpu.quota().is_some_and(|value| value != 0)
            || cpu.period().is_some_and(|value| value != 0)
            || cpu.burst().is_some()
            || cpu.idle().is_some()
            || cpu.realtime_runtime().is_some_and(|value| value != 0)
            || cpu.realtime_period().is_some_and(|value| value != 0)
        {
            let directory = self.need("cpu")?;
            if directory.is_v2() { directory.cpu_v2(cpu)? } else { directory.cpu_v1(cpu)? }
        }
        for (what, file, list) in
            [("cpu.cpus", "cpuset.cpus", cpu.cpus()), ("cpu.mems", "cpuset.mems", cpu.mems())]
        {
            if let Some(list) = list.as_deref().filter(|list| !list.is_empty()) {
                self.need("cpuset")?.set(file, what, list)?;
            }
        }
        Ok(())
    }
}

impl Directory {
    fn cpu_v1(&self, cpu: &LinuxCpu) -> Result<(), Error> {
        if let Some(shares) = cpu.shares().filter(|value| *value != 0) {
            self.write("cpu.shares", shares)?;
        }
        self.realtime(cpu)?;
        let period = cpu.period().filter(|value| *value != 0);
        let quota = cpu.quota().filter(|value| *value != 0);
        // ORDER: the burst must not be above the quota at any moment: a smaller one goes first, a greater one last.
        if let Some(burst) = cpu.burst() {
            let now = self.number_if_there("cpu.cfs_burst_us")?;
            if now.is_some_and(|now| burst < now) {
                self.set("cpu.cfs_burst_us", "cpu.burst", burst)?;
            }
        }
        if let Some(period) = period {
            // A parent's quota may allow the new pair in the other order only.
            match self.write("cpu.cfs_period_us", period) {
                Err(Error::Write { source, .. })
                    if source.raw_os_error() == Some(22) && quota.is_some() =>
                {
                    self.quota(quota)?;
                    self.write("cpu.cfs_period_us", period)?;
                }
                other => other?,
            }
        }
        self.quota(quota)?;
        if let Some(burst) = cpu.burst() {
            self.set("cpu.cfs_burst_us", "cpu.burst", burst)?;
        }
        if let Some(idle) = cpu.idle() {
            self.set("cpu.idle", "cpu.idle", idle)?;
        }
        Ok(())
    }

    fn quota(&self, quota: Option<i64>) -> Result<(), Error> {
        quota.map_or(Ok(()), |quota| self.write("cpu.cfs_quota_us", quota))
    }

    fn realtime(&self, cpu: &LinuxCpu) -> Result<(), Error> {
        const PERIOD: (&str, &str) = ("cpu.rt_period_us", "cpu.realtimePeriod");
        const RUNTIME: (&str, &str) = ("cpu.rt_runtime_us", "cpu.realtimeRuntime");
        let period = cpu.realtime_period().filter(|value| *value != 0);
        let runtime = cpu.realtime_runtime().filter(|value| *value != 0);
        if let Some(period) = period {
            // As for the quota: a longer period may have to wait for the runtime.
            match self.set(PERIOD.0, PERIOD.1, period) {
                Err(Error::Write { .. }) if runtime.is_some() => {
                    if let Some(runtime) = runtime {
                        self.set(RUNTIME.0, RUNTIME.1, runtime)?;
                    }
                    self.set(PERIOD.0, PERIOD.1, period)?;
                }
                other => other?,
            }
        }
        if let Some(runtime) = runtime {
            self.set(RUNTIME.0, RUNTIME.1, runtime)?;
        }
        Ok(())
    }

    fn cpu_v2(&self, cpu: &LinuxCpu) -> Result<(), Error> {
        if cpu.realtime_runtime().is_some_and(|value| value != 0)
            || cpu.realtime_period().is_some_and(|value| value != 0)
        {
            return Err(Error::unsupported("cpu.realtimeRuntime with cgroup v2"));
        }
        // ORDER: an idle cgroup takes no weight, so that it wakes first.
        if cpu.idle() == Some(0) {
            self.set("cpu.idle", "cpu.idle", 0)?;
        }
        if let Some(shares) = cpu.shares().filter(|value| *value != 0) {
            self.write("cpu.weight", weight(shares))?;
        }
        if let Some(burst) = cpu.burst()
            && self.number_if_there("cpu.max.burst")?.is_some_and(|now| burst < now)
        {
            self.set("cpu.max.burst", "cpu.burst", burst)?;
        }
        let period = cpu.period().filter(|value| *value != 0);
        let quota = cpu.quota().filter(|value| *value != 0);
        if period.is_some() || quota.is_some() {
            let quota = match quota {
                Some(quota) if quota > 0 => quota.to_string(),
                // A period alone keeps the quota that there is.
                None => self.read("cpu.max")?.split(' ').next().unwrap_or("max").to_owned(),
                Some(_) => "max".to_owned(),
            };
            let value = period.map_or(quota.clone(), |period| format!("{quota} {period}"));
            self.write("cpu.max", value)?;
        }
        if let Some(burst) = cpu.burst() {
            self.set("cpu.max.burst", "cpu.burst", burst)?;
        }
        if let Some(idle) = cpu.idle().filter(|idle| *idle != 0) {
            self.set("cpu.idle", "cpu.idle", idle)?;
        }
        Ok(())
    }
}

/// Shares from 2 to 262144 as a weight from 1 to 10000.
fn weight(shares: u64) -> u64 {
    1 + (shares.clamp(2, 262_144) - 2) * 9999 / 262_142
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn shares_as_v2_counts_them() {
        let rows = [(1, 1), (2, 1), (1024, 39), (2048, 79), (262_144, 10_000), (1 << 40, 10_000)];
        for (shares, expected) in rows {
            assert_eq!(weight(shares), expected, "{shares}");
        }
    }
}
