//! Memory: limit, swap, reservation and the rest.
//!
//! The spec, as v1, counts swap together with memory; v2 counts it alone.

use oci_spec::runtime::LinuxMemory;

use super::limit;
use crate::{Cgroup, Directory, Error};

impl Cgroup {
    pub(super) fn apply_memory(&self, memory: &LinuxMemory) -> Result<(), Error> {
        let directory = self.need("memory")?;
        // Zero is how engines leave a value out.
        let set = |value: Option<i64>| value.filter(|value| *value != 0);
        let wanted = Wanted {
            limit: set(memory.limit()),
            swap: set(memory.swap()),
            reservation: set(memory.reservation()),
            check: memory.check_before_update() == Some(true),
        };
        if directory.is_v2() {
            let absent: [(&str, bool); 4] = [
                ("memory.kernel", set(memory.kernel()).is_some()),
                ("memory.kernelTCP", set(memory.kernel_tcp()).is_some()),
                ("memory.swappiness", memory.swappiness().is_some()),
                ("memory.disableOOMKiller", memory.disable_oom_killer() == Some(true)),
            ];
            for (what, asked) in absent {
                if asked {
                    return Err(Error::unsupported(format!("{what} with cgroup v2")));
                }
            }
            // v2 always counts the children.
            if memory.use_hierarchy() == Some(false) {
                return Err(Error::unsupported("memory.useHierarchy off with cgroup v2"));
            }
            return directory.memory_v2(&wanted);
        }
        directory.memory_v1(&wanted)?;
        if let Some(kernel) = set(memory.kernel()) {
            directory.set("memory.kmem.limit_in_bytes", "memory.kernel", kernel)?;
        }
        if let Some(tcp) = set(memory.kernel_tcp()) {
            directory.set("memory.kmem.tcp.limit_in_bytes", "memory.kernelTCP", tcp)?;
        }
        if memory.disable_oom_killer() == Some(true) {
            directory.set("memory.oom_control", "memory.disableOOMKiller", 1)?;
        }
        if let Some(swappiness) = memory.swappiness() {
            if swappiness > 100 {
                return Err(Error::invalid(
                    "memory.swappiness",
                    format!("{swappiness} is above 100"),
                ));
            }
            directory.set("memory.swappiness", "memory.swappiness", swappiness)?;
        }
        if let Some(hierarchy) = memory.use_hierarchy() {
            directory.set("memory.use_hierarchy", "memory.useHierarchy", u8::from(hierarchy))?;
        }
        Ok(())
    }
}

struct Wanted {
    limit: Option<i64>,
    swap: Option<i64>,
    reservation: Option<i64>,
    check: bool,
}

impl Directory {
    fn memory_v1(&self, wanted: &Wanted) -> Result<(), Error> {
        const LIMIT: &str = "memory.limit_in_bytes";
        const SWAP: &str = "memory.memsw.limit_in_bytes";
        if let (true, Some(limit)) = (wanted.check, wanted.limit) {
            self.check_usage("memory.usage_in_bytes", limit)?;
        }
        // Memory without a limit and swap with one cannot be: with −1 for the one goes −1 for the other.
        let swap = match (wanted.limit, wanted.swap) {
            (Some(-1), None) if self.has(SWAP) => Some(-1),
            (_, swap) => swap,
        };
        match (wanted.limit, swap) {
            (Some(limit), Some(swap)) => {
                // ORDER: the sum is at no moment below the limit of memory, or the kernel refuses.
                let now = self.number(LIMIT)?;
                let raises = swap < 0 || u64::try_from(swap).is_ok_and(|swap| now < swap);
                if raises {
                    self.set(SWAP, "memory.swap", swap)?;
                    self.write(LIMIT, limit)?;
                } else {
                    self.write(LIMIT, limit)?;
                    self.set(SWAP, "memory.swap", swap)?;
                }
            }
            (Some(limit), None) => self.write(LIMIT, limit)?,
            (None, Some(swap)) => self.set(SWAP, "memory.swap", swap)?,
            (None, None) => {}
        }
        if let Some(reservation) = wanted.reservation {
            self.write("memory.soft_limit_in_bytes", reservation)?;
        }
        Ok(())
    }

    fn memory_v2(&self, wanted: &Wanted) -> Result<(), Error> {
        if let (true, Some(limit)) = (wanted.check, wanted.limit) {
            self.check_usage("memory.current", limit)?;
        }
        if let Some(swap) = swap_alone(wanted.limit, wanted.swap)? {
            // Where the limit goes away, that of swap goes with it, also on a kernel that does not count swap.
            if wanted.swap.is_some() || self.has("memory.swap.max") {
                self.set("memory.swap.max", "memory.swap", limit(swap))?;
            }
        }
        if let Some(value) = wanted.limit {
            self.write("memory.max", limit(value))?;
        }
        if let Some(reservation) = wanted.reservation {
            self.write("memory.low", limit(reservation))?;
        }
        Ok(())
    }

    fn check_usage(&self, name: &str, limit: i64) -> Result<(), Error> {
        let used = self.number(name)?;
        match u64::try_from(limit) {
            Ok(limit) if limit < used => Err(Error::invalid(
                "memory.limit",
                format!("{limit} is below the {used} bytes in use, and checkBeforeUpdate is set"),
            )),
            _ => Ok(()),
        }
    }
}

/// The spec's sum of memory and swap as swap alone.
fn swap_alone(limit: Option<i64>, swap: Option<i64>) -> Result<Option<i64>, Error> {
    match (limit, swap) {
        (Some(-1), None) => Ok(Some(-1)),
        (_, None) => Ok(None),
        (_, Some(-1)) => Ok(Some(-1)),
        (None | Some(-1), Some(_)) => {
            Err(Error::invalid("memory.swap", "a limit of swap needs a limit of memory"))
        }
        (Some(limit), Some(swap)) if swap < limit => Err(Error::invalid(
            "memory.swap",
            format!("{swap}, which counts memory too, is below the limit of memory, {limit}"),
        )),
        (Some(limit), Some(swap)) => Ok(Some(swap - limit)),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn swap_as_v2_counts_it() {
        assert_eq!(swap_alone(Some(100), Some(150)).unwrap(), Some(50));
        assert_eq!(swap_alone(Some(100), Some(100)).unwrap(), Some(0));
        assert_eq!(swap_alone(Some(100), Some(-1)).unwrap(), Some(-1));
        assert_eq!(swap_alone(None, Some(-1)).unwrap(), Some(-1));
        assert_eq!(swap_alone(Some(-1), None).unwrap(), Some(-1));
        assert_eq!(swap_alone(Some(100), None).unwrap(), None);
        assert!(swap_alone(None, Some(5)).is_err());
        assert!(swap_alone(Some(-1), Some(5)).is_err());
        assert!(swap_alone(Some(100), Some(99)).is_err());
    }
}
