//! What the machine and this process can do, as far as a spec depends on it: read once, handed in, so that the
//! generation itself is a function of its arguments.

use crate::Error;
use crate::capability::{CapSet, SYS_RESOURCE};
use rustix::process::{Resource, getrlimit};
use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::{Path, PathBuf};

/// What the machine and this process can do.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct Host {
    /// How cgroups are mounted.
    pub cgroup: CgroupHost,
    /// The bounding set of this process: what a container can be given.
    pub capabilities: CapSet,
    /// The effective set of this process: what it can do itself.
    pub effective: CapSet,
    /// Soft and hard limits of this process by the name without `RLIMIT_`, in lower case.
    pub rlimits: BTreeMap<&'static str, (u64, u64)>,
    /// `fs.nr_open`: above it nobody can raise `nofile`.
    pub nr_open: u64,
    /// The machine's architecture as `uname -m` prints it.
    pub machine: String,
    /// The kernel's version, major and minor.
    pub kernel: (u32, u32),
    /// The machine's name.
    pub hostname: String,
    /// AppArmor is on.
    pub apparmor: bool,
    /// The OOM score adjustment of this process, the least that a container can get without CAP_SYS_RESOURCE.
    pub oom_score_adj: i32,
    /// Where the time zones are.
    pub zoneinfo: PathBuf,
}

/// How cgroups are mounted.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct CgroupHost {
    /// Which hierarchy holds the controllers.
    pub version: CgroupVersion,
    /// The controllers that can be used.
    pub controllers: BTreeSet<String>,
    /// Where: /sys/fs/cgroup.
    pub mount: PathBuf,
}

/// Which hierarchy holds the controllers.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum CgroupVersion {
    /// One hierarchy a controller.
    V1,
    /// As `V1`, and some controllers in a v2 hierarchy beside them (`/sys/fs/cgroup/unified`). crun refuses it.
    Hybrid,
    /// One hierarchy for all.
    V2,
    /// None is mounted.
    None,
}

impl CgroupVersion {
    /// Whether limits are set in the v1 manner.
    pub fn is_v1(self) -> bool {
        matches!(self, CgroupVersion::V1 | CgroupVersion::Hybrid)
    }
}

const LIMITS: [(&str, Resource); 16] = [
    ("as", Resource::As),
    ("core", Resource::Core),
    ("cpu", Resource::Cpu),
    ("data", Resource::Data),
    ("fsize", Resource::Fsize),
    ("locks", Resource::Locks),
    ("memlock", Resource::Memlock),
    ("msgqueue", Resource::Msgqueue),
    ("nice", Resource::Nice),
    ("nofile", Resource::Nofile),
    ("nproc", Resource::Nproc),
    ("rss", Resource::Rss),
    ("rtprio", Resource::Rtprio),
    ("rttime", Resource::Rttime),
    ("sigpending", Resource::Sigpending),
    ("stack", Resource::Stack),
];

impl Host {
    /// Looks at this machine and this process: a handful of small files, no walk.
    pub fn probe() -> Result<Host, Error> {
        let status = read("/proc/self/status")?;
        let uname = rustix::system::uname();
        Ok(Host {
            cgroup: CgroupHost::probe(Path::new("/sys/fs/cgroup"))?,
            capabilities: CapSet::from_bits(status_mask(&status, "CapBnd:")),
            effective: CapSet::from_bits(status_mask(&status, "CapEff:")),
            rlimits: LIMITS
                .iter()
                .map(|(name, resource)| {
                    let limit = getrlimit(*resource);
                    (*name, (limit.current.unwrap_or(u64::MAX), limit.maximum.unwrap_or(u64::MAX)))
                })
                .collect(),
            nr_open: number("/proc/sys/fs/nr_open").unwrap_or(1 << 20),
            machine: uname.machine().to_string_lossy().into_owned(),
            kernel: kernel_version(&uname.release().to_string_lossy()),
            hostname: uname.nodename().to_string_lossy().into_owned(),
            apparmor: fs::read("/sys/module/apparmor/parameters/enabled")
                .is_ok_and(|text| text.starts_with(b"Y")),
            oom_score_adj: number("/proc/self/oom_score_adj").unwrap_or(0),
            zoneinfo: PathBuf::from("/usr/share/zoneinfo"),
        })
    }

    /// Whether limits may be raised above the inherited hard ones.
    pub fn may_raise_limits(&self) -> bool {
        self.effective.has(SYS_RESOURCE)
    }

    /// The most that a container can get of a limit, by its name without `RLIMIT_`.
    pub(crate) fn hard_limit(&self, name: &str) -> u64 {
        let own = self.rlimits.get(name).map_or(u64::MAX, |(_, hard)| *hard);
        match (self.may_raise_limits(), name) {
            (false, _) => own,
            (true, "nofile") => self.nr_open,
            (true, _) => u64::MAX,
        }
    }
}

impl CgroupHost {
    /// How cgroups are mounted below `mount`.
    pub fn probe(mount: &Path) -> Result<CgroupHost, Error> {
        let version = match filesystem(mount) {
            Some(CGROUP2) => CgroupVersion::V2,
            Some(_) if has_unified_controllers(mount) => CgroupVersion::Hybrid,
            Some(TMPFS | CGROUP) => CgroupVersion::V1,
            _ => CgroupVersion::None,
        };
        let controllers = match version {
            CgroupVersion::V2 => read(mount.join("cgroup.controllers"))?
                .split_whitespace()
                .map(str::to_owned)
                .collect(),
            CgroupVersion::None => BTreeSet::new(),
            // ORDER does not matter: "N:controller,controller:/path", "0::/path" for v2.
            _ => read("/proc/self/cgroup")?
                .lines()
                .filter_map(|line| line.split(':').nth(1))
                .flat_map(|names| names.split(','))
                .filter(|name| !name.is_empty() && !name.contains('='))
                .map(str::to_owned)
                .collect(),
        };
        Ok(CgroupHost { version, controllers, mount: mount.to_path_buf() })
    }

    /// Whether limits of that v1 controller (`memory`, `cpu`, `cpuset`, `pids`, `blkio`, `hugetlb`) can be set.
    pub fn has(&self, v1_name: &str) -> bool {
        let name = match (self.version, v1_name) {
            (CgroupVersion::V2, "blkio") => "io",
            _ => v1_name,
        };
        self.controllers.contains(name)
    }

    /// Whether the kernel has that file of a v1 controller; on v2 the root cgroup shows few files, so: yes.
    pub(crate) fn has_v1_file(&self, controller: &str, files: &[&str]) -> bool {
        !self.version.is_v1()
            || files.iter().any(|file| self.mount.join(controller).join(file).exists())
    }
}

// statfs(2), linux/magic.h
const CGROUP2: u64 = 0x6367_7270;
const CGROUP: u64 = 0x0027_e0eb;
const TMPFS: u64 = 0x0102_1994;

/// systemd's own hybrid mode has an empty v2 hierarchy there: that one is plain v1.
fn has_unified_controllers(mount: &Path) -> bool {
    let unified = mount.join("unified");
    filesystem(&unified) == Some(CGROUP2)
        && fs::read_to_string(unified.join("cgroup.controllers"))
            .is_ok_and(|list| !list.trim().is_empty())
}

fn filesystem(path: &Path) -> Option<u64> {
    rustix::fs::statfs(path).ok().and_then(|found| u64::try_from(found.f_type).ok())
}

fn read(path: impl AsRef<Path>) -> Result<String, Error> {
    fs::read_to_string(path.as_ref()).map_err(Error::io("read", path))
}

fn number<T: std::str::FromStr>(path: &str) -> Option<T> {
    fs::read_to_string(path).ok()?.trim().parse().ok()
}

fn status_mask(status: &str, key: &str) -> u64 {
    let line = status.lines().find_map(|line| line.strip_prefix(key));
    line.and_then(|hex| u64::from_str_radix(hex.trim(), 16).ok()).unwrap_or(0)
}

fn kernel_version(release: &str) -> (u32, u32) {
    let mut numbers = release.split(|c: char| !c.is_ascii_digit()).map(|n| n.parse().unwrap_or(0));
    (numbers.next().unwrap_or(0), numbers.next().unwrap_or(0))
}

#[cfg(test)]
pub(crate) mod tests {
    use super::*;

    /// A machine where everything is possible, on cgroup v2.
    pub(crate) fn generous() -> Host {
        let all = CapSet::from_bits(u64::MAX);
        Host {
            cgroup: CgroupHost {
                version: CgroupVersion::V2,
                controllers: ["cpu", "cpuset", "hugetlb", "io", "memory", "pids"]
                    .map(str::to_owned)
                    .into(),
                mount: PathBuf::from("/nonexistent"),
            },
            capabilities: all,
            effective: all,
            rlimits: [("nofile", (1024, 524_288)), ("nproc", (1000, 1000))].into(),
            nr_open: 1 << 20,
            machine: "x86_64".into(),
            kernel: (6, 1),
            hostname: "machine".into(),
            apparmor: false,
            oom_score_adj: 0,
            zoneinfo: PathBuf::from("/usr/share/zoneinfo"),
        }
    }

    #[test]
    fn versions() {
        assert_eq!(kernel_version("6.1.0-13-amd64"), (6, 1));
        assert_eq!(kernel_version("5.15.167.4-microsoft"), (5, 15));
        assert_eq!(kernel_version("nonsense"), (0, 0));
    }

    #[test]
    fn probing_finds_this_machine() {
        let host = Host::probe().unwrap();
        assert!(host.rlimits["nofile"].1 > 0);
        assert!(!host.machine.is_empty());
        assert!(host.kernel >= (5, 0));
        let uid0 = rustix::process::geteuid().is_root();
        assert!(!uid0 || host.effective.has("CAP_CHOWN"));
        assert_eq!(
            host.hard_limit("nofile"),
            if host.may_raise_limits() { host.nr_open } else { host.rlimits["nofile"].1 }
        );
    }
}
