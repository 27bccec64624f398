//! Block devices: weights and throttles.

use oci_spec::runtime::{LinuxBlockIo, LinuxThrottleDevice, LinuxWeightDevice};

use crate::{Cgroup, Directory, Error};

impl Cgroup {
    pub(super) fn apply_block(&self, block: &LinuxBlockIo) -> Result<(), Error> {
        let throttles = [
            (
                "throttleReadBpsDevice",
                "blkio.throttle.read_bps_device",
                "rbps",
                block.throttle_read_bps_device(),
            ),
            (
                "throttleWriteBpsDevice",
                "blkio.throttle.write_bps_device",
                "wbps",
                block.throttle_write_bps_device(),
            ),
            (
                "throttleReadIOPSDevice",
                "blkio.throttle.read_iops_device",
                "riops",
                block.throttle_read_iops_device(),
            ),
            (
                "throttleWriteIOPSDevice",
                "blkio.throttle.write_iops_device",
                "wiops",
                block.throttle_write_iops_device(),
            ),
        ];
        let weight = block.weight().filter(|weight| *weight != 0);
        let leaf_weight = block.leaf_weight().filter(|weight| *weight != 0);
        let devices = block.weight_device().as_deref().unwrap_or_default();
        let throttled = throttles.iter().any(|row| row.3.iter().flatten().next().is_some());
        if weight.is_none() && leaf_weight.is_none() && devices.is_empty() && !throttled {
            return Ok(());
        }
        let directory = match self.controller("blkio") {
            Some(directory) => directory,
            None => self.controller("io").ok_or(Error::NoController { controller: "io" })?,
        };
        directory.weights(weight, leaf_weight, devices)?;
        for (what, legacy, key, devices) in throttles {
            for LinuxDevice { numbers, rate } in devices.iter().flatten().map(LinuxDevice::of) {
                if directory.is_v2() {
                    // Zero is "no limit" to the spec's v1, and an error to v2.
                    let rate = if rate == 0 { "max".to_owned() } else { rate.to_string() };
                    directory.set("io.max", what, format!("{numbers} {key}={rate}"))?;
                } else {
                    directory.set(legacy, what, format!("{numbers} {rate}"))?;
                }
            }
        }
        Ok(())
    }
}

struct LinuxDevice {
    numbers: String,
    rate: u64,
}

impl LinuxDevice {
    fn of(device: &LinuxThrottleDevice) -> LinuxDevice {
        LinuxDevice {
            numbers: format!("{}:{}", device.major(), device.minor()),
            rate: device.rate(),
        }
    }
}

impl Directory {
    fn weights(
        &self,
        weight: Option<u16>,
        leaf_weight: Option<u16>,
        devices: &[LinuxWeightDevice],
    ) -> Result<(), Error> {
        if let Some(weight) = weight {
            let (file, weight) = self.weight(weight);
            self.set(file, "blockIO.weight", weight)?;
        }
        if let Some(weight) = leaf_weight {
            if self.is_v2() {
                return Err(Error::unsupported("blockIO.leafWeight with cgroup v2"));
            }
            self.set("blkio.leaf_weight", "blockIO.leafWeight", weight)?;
        }
        for device in devices {
            let numbers = format!("{}:{}", device.major(), device.minor());
            if let Some(weight) = device.weight().filter(|weight| *weight != 0) {
                let (file, weight) = self.weight(weight);
                let file = match file {
                    "blkio.weight" => "blkio.weight_device",
                    "blkio.bfq.weight" => "blkio.bfq.weight_device",
                    file => file,
                };
                self.set(file, "blockIO.weightDevice", format!("{numbers} {weight}"))?;
            }
            if let Some(weight) = device.leaf_weight().filter(|weight| *weight != 0) {
                if self.is_v2() {
                    return Err(Error::unsupported(
                        "blockIO.weightDevice's leafWeight with cgroup v2",
                    ));
                }
                let value = format!("{numbers} {weight}");
                self.set("blkio.leaf_weight_device", "blockIO.weightDevice's leafWeight", value)?;
            }
        }
        Ok(())
    }

    /// The file for weights, and a weight as it counts: BFQ's scheduler takes the spec's 10 to 1000 as they are.
    fn weight(&self, weight: u16) -> (&'static str, u64) {
        let weight = u64::from(weight);
        match (self.is_v2(), self.has("blkio.bfq.weight") || self.has("io.bfq.weight")) {
            (false, true) => ("blkio.bfq.weight", weight),
            (false, false) => ("blkio.weight", weight),
            (true, true) => ("io.bfq.weight", weight),
            (true, false) => ("io.weight", io_weight(weight)),
        }
    }
}

/// A weight from 10 to 1000 as one from 1 to 10000.
fn io_weight(weight: u64) -> u64 {
    1 + weight.clamp(10, 1000).saturating_sub(10) * 9999 / 990
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn weights_as_v2_counts_them() {
        assert_eq!([10, 100, 500, 1000].map(io_weight), [1, 910, 4950, 10_000]);
    }
}
