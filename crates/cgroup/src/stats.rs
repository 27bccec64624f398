//! What the cgroup has used, as `runc events --stats` tells it.

use std::collections::BTreeMap;

use serde::Serialize;

use crate::hierarchy::Version;
use crate::{Cgroup, Directory, Error};

/// The figures of one moment. What no controller here counts is left out or zero, as runc has it.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize)]
#[non_exhaustive]
pub struct Stats {
    /// Processor time.
    pub cpu: Cpu,
    /// Memory.
    pub memory: Memory,
    /// Processes.
    pub pids: Pids,
    /// Block devices.
    pub blkio: BlockIo,
    /// Huge pages, by size.
    pub hugetlb: BTreeMap<String, HugePages>,
}

/// Processor time.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize)]
#[non_exhaustive]
pub struct Cpu {
    /// Used.
    pub usage: CpuUsage,
    /// Withheld.
    pub throttling: Throttling,
}

/// Nanoseconds.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize)]
#[non_exhaustive]
pub struct CpuUsage {
    /// All.
    #[serde(skip_serializing_if = "is_zero")]
    pub total: u64,
    /// By processor (v1).
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub percpu: Vec<u64>,
    /// In the kernel.
    pub kernel: u64,
    /// Outside it.
    pub user: u64,
}

/// The quota at work.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
#[non_exhaustive]
pub struct Throttling {
    /// Periods that have passed.
    #[serde(skip_serializing_if = "is_zero")]
    pub periods: u64,
    /// Those in which the quota was used up.
    #[serde(skip_serializing_if = "is_zero")]
    pub throttled_periods: u64,
    /// Nanoseconds of waiting for the next.
    #[serde(skip_serializing_if = "is_zero")]
    pub throttled_time: u64,
}

/// Bytes.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize)]
#[non_exhaustive]
pub struct Memory {
    /// Of files.
    #[serde(skip_serializing_if = "is_zero")]
    pub cache: u64,
    /// All but swap.
    pub usage: MemoryEntry,
    /// Memory and swap together (v1), swap (v2).
    pub swap: MemoryEntry,
    /// The kernel's (v1).
    pub kernel: MemoryEntry,
    /// That of TCP buffers (v1).
    #[serde(rename = "kernelTCP")]
    pub kernel_tcp: MemoryEntry,
    /// `memory.stat`.
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    pub raw: BTreeMap<String, u64>,
}

/// One counter of memory.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize)]
#[non_exhaustive]
pub struct MemoryEntry {
    /// The most there may be; `u64::MAX` for no limit (v2).
    pub limit: u64,
    /// Now.
    #[serde(skip_serializing_if = "is_zero")]
    pub usage: u64,
    /// The most there was.
    #[serde(skip_serializing_if = "is_zero")]
    pub max: u64,
    /// How often the limit was hit.
    pub failcnt: u64,
}

/// Processes.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize)]
#[non_exhaustive]
pub struct Pids {
    /// Now.
    #[serde(skip_serializing_if = "is_zero")]
    pub current: u64,
    /// The most there may be; zero for no limit.
    #[serde(skip_serializing_if = "is_zero")]
    pub limit: u64,
}

/// Block devices.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
#[non_exhaustive]
pub struct BlockIo {
    /// Bytes moved.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub io_service_bytes_recursive: Vec<BlockEntry>,
    /// Operations done.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub io_serviced_recursive: Vec<BlockEntry>,
}

/// One device's counter.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize)]
#[non_exhaustive]
pub struct BlockEntry {
    /// The device's number.
    pub major: u64,
    /// The device's number.
    pub minor: u64,
    /// `Read`, `Write`, `Sync`, `Async`, `Discard`, `Total`.
    pub op: String,
    /// How much.
    pub value: u64,
}

/// Bytes in huge pages of one size.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize)]
#[non_exhaustive]
pub struct HugePages {
    /// Now.
    #[serde(skip_serializing_if = "is_zero")]
    pub usage: u64,
    /// The most there was (v1).
    #[serde(skip_serializing_if = "is_zero")]
    pub max: u64,
    /// How often the limit was hit.
    pub failcnt: u64,
}

#[expect(clippy::trivially_copy_pass_by_ref, reason = "serde hands it a reference")]
fn is_zero(value: &u64) -> bool {
    *value == 0
}

impl Cgroup {
    /// What it has used until now.
    ///
    /// # Errors
    /// [`Error::Io`] with the file; [`Error::Unreadable`] for one that has not the documented form.
    pub fn stats(&self) -> Result<Stats, Error> {
        let mut stats = Stats::default();
        for directory in &self.directories {
            match directory.hierarchy.version {
                Version::V1 => directory.stats_v1(&mut stats)?,
                Version::V2 => directory.stats_v2(&mut stats)?,
            }
        }
        Ok(stats)
    }
}

impl Directory {
    fn stats_v1(&self, stats: &mut Stats) -> Result<(), Error> {
        let of = |name: &str| self.hierarchy.has(name);
        if of("cpu") {
            let stat = self.table("cpu.stat")?;
            stats.cpu.throttling = throttling(&stat, "throttled_time", 1);
        }
        if of("cpuacct") {
            let usage = &mut stats.cpu.usage;
            usage.total = self.number("cpuacct.usage")?;
            let each = self.read("cpuacct.usage_percpu")?;
            usage.percpu = each.split_whitespace().filter_map(|one| one.parse().ok()).collect();
            usage.kernel = self.number_if_there("cpuacct.usage_sys")?.unwrap_or(0);
            usage.user = self.number_if_there("cpuacct.usage_user")?.unwrap_or(0);
        }
        if of("memory") {
            let memory = &mut stats.memory;
            memory.raw = self.table("memory.stat")?;
            memory.cache = memory.raw.get("cache").copied().unwrap_or(0);
            memory.usage = self.memory_entry("memory")?;
            memory.swap = self.memory_entry("memory.memsw")?;
            memory.kernel = self.memory_entry("memory.kmem")?;
            memory.kernel_tcp = self.memory_entry("memory.kmem.tcp")?;
        }
        if of("pids") {
            stats.pids = self.pids_entry()?;
        }
        if of("blkio") {
            stats.blkio = BlockIo {
                io_service_bytes_recursive: self.blocks("io_service_bytes_recursive")?,
                io_serviced_recursive: self.blocks("io_serviced_recursive")?,
            };
        }
        if of("hugetlb") {
            self.huge_pages(stats, ".usage_in_bytes")?;
        }
        Ok(())
    }

    fn memory_entry(&self, prefix: &str) -> Result<MemoryEntry, Error> {
        let number =
            |name: &str| Ok(self.number_if_there(&format!("{prefix}.{name}"))?.unwrap_or(0));
        Ok(MemoryEntry {
            limit: number("limit_in_bytes")?,
            usage: number("usage_in_bytes")?,
            max: number("max_usage_in_bytes")?,
            failcnt: number("failcnt")?,
        })
    }

    fn stats_v2(&self, stats: &mut Stats) -> Result<(), Error> {
        let of = |name: &str| self.hierarchy.has(name);
        if of("cpu") {
            let stat = self.table("cpu.stat")?;
            let nanoseconds =
                |name: &str| stat.get(name).copied().unwrap_or(0).saturating_mul(1000);
            stats.cpu.usage = CpuUsage {
                total: nanoseconds("usage_usec"),
                percpu: Vec::new(),
                kernel: nanoseconds("system_usec"),
                user: nanoseconds("user_usec"),
            };
            stats.cpu.throttling = throttling(&stat, "throttled_usec", 1000);
        }
        if of("memory") {
            let memory = &mut stats.memory;
            memory.raw = self.table("memory.stat")?;
            memory.cache = memory.raw.get("file").copied().unwrap_or(0);
            let events = self.table("memory.events")?;
            let number = |name: &str| Ok::<u64, Error>(self.number_if_there(name)?.unwrap_or(0));
            memory.usage = MemoryEntry {
                limit: number("memory.max")?,
                usage: number("memory.current")?,
                max: number("memory.peak")?,
                failcnt: events.get("max").copied().unwrap_or(0),
            };
            memory.swap = MemoryEntry {
                limit: number("memory.swap.max")?,
                usage: number("memory.swap.current")?,
                max: number("memory.swap.peak")?,
                failcnt: 0,
            };
        }
        if of("pids") {
            stats.pids = self.pids_entry()?;
        }
        if of("io") {
            let text = self.read("io.stat")?;
            for (device, counters) in text.lines().filter_map(io_line) {
                let entry = |op: &str, value: u64| BlockEntry {
                    op: op.to_owned(),
                    value,
                    ..device.clone()
                };
                let blkio = &mut stats.blkio;
                for (key, op, bytes) in IO {
                    let Some(value) = counters.get(key) else { continue };
                    let list = if bytes {
                        &mut blkio.io_service_bytes_recursive
                    } else {
                        &mut blkio.io_serviced_recursive
                    };
                    list.push(entry(op, *value));
                }
            }
        }
        if of("hugetlb") {
            self.huge_pages(stats, ".current")?;
        }
        Ok(())
    }

    fn pids_entry(&self) -> Result<Pids, Error> {
        let limit = self.number_if_there("pids.max")?.unwrap_or(u64::MAX);
        Ok(Pids {
            current: self.number_if_there("pids.current")?.unwrap_or(0),
            limit: if limit == u64::MAX { 0 } else { limit },
        })
    }

    /// BFQ counts by itself; where it does not, the throttling layer does.
    fn blocks(&self, name: &str) -> Result<Vec<BlockEntry>, Error> {
        for prefix in ["blkio.bfq", "blkio", "blkio.throttle"] {
            let Some(text) = self.read_if_there(&format!("{prefix}.{name}"))? else { continue };
            let entries: Vec<BlockEntry> = text.lines().filter_map(block_line).collect();
            if !entries.is_empty() {
                return Ok(entries);
            }
        }
        Ok(Vec::new())
    }

    fn huge_pages(&self, stats: &mut Stats, current: &str) -> Result<(), Error> {
        let entries = std::fs::read_dir(&self.path).map_err(Error::io("read", &self.path))?;
        for entry in entries.flatten() {
            let name = entry.file_name().to_string_lossy().into_owned();
            let Some(size) =
                name.strip_prefix("hugetlb.").and_then(|name| name.strip_suffix(current))
            else {
                continue;
            };
            if size.contains('.') {
                continue;
            }
            let number = |name: String| Ok::<u64, Error>(self.number_if_there(&name)?.unwrap_or(0));
            let events = self.table_if_there(&format!("hugetlb.{size}.events"))?;
            let pages = HugePages {
                usage: self.number(&name)?,
                max: number(format!("hugetlb.{size}.max_usage_in_bytes"))?,
                failcnt: match events.get("max") {
                    Some(count) => *count,
                    None => number(format!("hugetlb.{size}.failcnt"))?,
                },
            };
            stats.hugetlb.insert(size.to_owned(), pages);
        }
        Ok(())
    }

    /// Lines of a name and a number.
    fn table(&self, name: &str) -> Result<BTreeMap<String, u64>, Error> {
        Ok(table(&self.read(name)?))
    }

    fn table_if_there(&self, name: &str) -> Result<BTreeMap<String, u64>, Error> {
        Ok(self.read_if_there(name)?.map(|text| table(&text)).unwrap_or_default())
    }
}

/// The keys of `io.stat`, what runc calls them, and whether they count bytes.
const IO: [(&str, &str, bool); 6] = [
    ("rbytes", "Read", true),
    ("wbytes", "Write", true),
    ("dbytes", "Discard", true),
    ("rios", "Read", false),
    ("wios", "Write", false),
    ("dios", "Discard", false),
];

fn table(text: &str) -> BTreeMap<String, u64> {
    let line = |line: &str| {
        let (name, value) = line.split_once(' ')?;
        Some((name.to_owned(), value.trim().parse().ok()?))
    };
    text.lines().filter_map(line).collect()
}

fn throttling(stat: &BTreeMap<String, u64>, time: &str, unit: u64) -> Throttling {
    let number = |name: &str| stat.get(name).copied().unwrap_or(0);
    Throttling {
        periods: number("nr_periods"),
        throttled_periods: number("nr_throttled"),
        throttled_time: number(time).saturating_mul(unit),
    }
}

/// `8:0 Read 4096`
fn block_line(line: &str) -> Option<BlockEntry> {
    let (device, rest) = line.split_once(' ')?;
    let (major, minor) = device.split_once(':')?;
    let (op, value) = rest.split_once(' ')?;
    Some(BlockEntry {
        major: major.parse().ok()?,
        minor: minor.parse().ok()?,
        op: op.to_owned(),
        value: value.parse().ok()?,
    })
}

/// `8:0 rbytes=4096 wbytes=0 …`
fn io_line(line: &str) -> Option<(BlockEntry, BTreeMap<&str, u64>)> {
    let (device, rest) = line.split_once(' ')?;
    let (major, minor) = device.split_once(':')?;
    let entry = BlockEntry {
        major: major.parse().ok()?,
        minor: minor.parse().ok()?,
        ..BlockEntry::default()
    };
    let counters = rest
        .split(' ')
        .filter_map(|one| {
            let (key, value) = one.split_once('=')?;
            Some((key, value.parse().ok()?))
        })
        .collect();
    Some((entry, counters))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lines_of_block_devices() {
        let entry = block_line("254:0 Write 4096").unwrap();
        assert_eq!(
            (entry.major, entry.minor, entry.op.as_str(), entry.value),
            (254, 0, "Write", 4096)
        );
        // The sum has no device.
        assert_eq!(block_line("Total 0"), None);
        let (entry, counters) =
            io_line("8:16 rbytes=1 wbytes=2 rios=3 wios=4 dbytes=5 dios=6").unwrap();
        assert_eq!((entry.major, entry.minor), (8, 16));
        assert_eq!(counters["dios"], 6);
        assert_eq!(io_line("8:16"), None);
    }

    #[test]
    fn the_form_that_runc_prints() {
        let pids = Pids { current: 2, limit: 0 };
        let mut stats = Stats { pids, ..Stats::default() };
        stats.memory.usage.limit = 7;
        assert_eq!(
            serde_json::to_string(&stats).unwrap(),
            r#"{"cpu":{"usage":{"kernel":0,"user":0},"throttling":{}},"memory":{"usage":{"limit":7,"failcnt":0},"swap":{"limit":0,"failcnt":0},"kernel":{"limit":0,"failcnt":0},"kernelTCP":{"limit":0,"failcnt":0}},"pids":{"current":2},"blkio":{},"hugetlb":{}}"#
        );
    }
}
