//! `info`: the machine, what the engine would use on it, and how much it holds. `version` beside it.
//!
//! What cannot be found out is left empty: a question about the machine is no reason to fail.

use std::collections::BTreeMap;
use std::path::Path;
use std::time::Duration;

use dhow_oci::Host;
use dhow_state::Status;
use dhow_sys::process::{OutputLimits, Spawn, output};

use crate::engine::Engine;
use crate::error::{Error, Result};
use crate::report::{
    ContainerStore, Distribution, Executable, HostInfo, ImageStore, Info, Plugins, Security,
    StoreInfo, Version,
};

/// How large a file of /proc, /etc or /sys may be.
const MAX_FILE: u64 = 1 << 20;
/// How long a program may take to tell its version.
const VERSION_TIMEOUT: Duration = Duration::from_secs(5);

impl Engine {
    /// The machine, the engine and what it holds.
    ///
    /// # Errors
    /// The engine's own directories cannot be read.
    pub fn info(&self) -> Result<Info> {
        let host = self.host()?;
        Ok(Info {
            host: self.host_info(host),
            plugins: plugins(),
            store: self.store_info()?,
            version: self.version().client,
        })
    }

    /// The version of this build.
    #[must_use]
    pub fn version(&self) -> Version {
        Version::of_this_build()
    }

    fn host_info(&self, host: &Host) -> HostInfo {
        let memory = text("/proc/meminfo");
        let os_release = Some(text("/etc/os-release"))
            .filter(|t| !t.is_empty())
            .unwrap_or_else(|| text("/usr/lib/os-release"));
        HostInfo {
            cgroup_controllers: host.cgroup.controllers.iter().cloned().collect(),
            cgroup_manager: "cgroupfs".to_owned(),
            cgroup_version: if host.cgroup.version.is_v1() { "v1" } else { "v2" }.to_owned(),
            cpus: std::thread::available_parallelism().map_or(0, usize::from),
            distribution: Distribution::from_os_release(&os_release),
            hostname: host.hostname.clone(),
            kernel: text("/proc/sys/kernel/osrelease").trim().to_owned(),
            log_driver: crate::request::LogDriver::default().to_string(),
            mem_free: meminfo(&memory, "MemAvailable"),
            mem_total: meminfo(&memory, "MemTotal"),
            monitor: self.monitor_info(),
            oci_runtime: self.runtime_info(),
            security: security(host),
            swap_free: meminfo(&memory, "SwapFree"),
            swap_total: meminfo(&memory, "SwapTotal"),
            uptime: uptime(&text("/proc/uptime")),
            ..HostInfo::of_this_build()
        }
    }

    /// The monitor by its own word, or why it has none.
    fn monitor_info(&self) -> Executable {
        let path = &self.options.monitor;
        let name =
            path.file_name().map(|name| name.to_string_lossy().into_owned()).unwrap_or_default();
        let limits = OutputLimits { timeout: Some(VERSION_TIMEOUT), ..OutputLimits::default() };
        let spawn =
            Spawn::new(path).arg("--version").envs(self.options.environment.iter().cloned());
        let version = match output(spawn, &limits) {
            Ok(output) => String::from_utf8_lossy(&output.stdout).trim().to_owned(),
            Err(why) => format!("cannot be run: {why}"),
        };
        Executable { name, path: path.display().to_string(), version }
    }

    fn runtime_info(&self) -> Executable {
        match self.find_runtime(None) {
            Ok(runtime) => Executable {
                name: runtime.name(),
                path: runtime.path().display().to_string(),
                version: runtime.version().map_or_else(
                    |why| format!("cannot be run: {why}"),
                    |version| version.text.trim().to_owned(),
                ),
            },
            Err(why) => Executable { version: crate::error::chain(&why), ..Executable::default() },
        }
    }

    fn store_info(&self) -> Result<StoreInfo> {
        let layout = self.layout();
        let mut containers = ContainerStore::default();
        for id in self.store.ids().map_err(Error::State)? {
            containers.number += 1;
            // One that cannot be read is counted, and is neither running nor paused as far as anybody knows.
            match self.snapshot(&id).map(|snapshot| snapshot.status()) {
                Ok(Status::Running | Status::Stopping) => containers.running += 1,
                Ok(Status::Paused) => containers.paused += 1,
                _ => containers.stopped += 1,
            }
        }
        let space = dhow_sys::space::space(&layout.root)
            .map_err(Error::io("ask for the space on", &layout.root))?;
        Ok(StoreInfo {
            container_store: containers,
            graph_driver_name: "overlay".to_owned(),
            graph_root: layout.root.display().to_string(),
            graph_root_allocated: space.total,
            graph_root_used: space.used,
            graph_status: graph_status(&layout.root),
            image_store: ImageStore {
                number: self.storage()?.images().map_err(Error::Storage)?.images.len(),
            },
            run_root: layout.run.display().to_string(),
            volume_path: layout.volumes().display().to_string(),
        })
    }
}

fn plugins() -> Plugins {
    let words = |words: &[&str]| words.iter().map(|word| (*word).to_owned()).collect();
    Plugins {
        log: words(&["k8s-file", "json-file", "none", "passthrough"]),
        network: words(&["none", "private", "host", "container"]),
        volume: words(&["local"]),
    }
}

fn security(host: &Host) -> Security {
    Security {
        apparmor_enabled: host.apparmor,
        capabilities: dhow_oci::CapSet::default_names().join(","),
        rootless: false,
        seccomp_enabled: Path::new("/proc/sys/kernel/seccomp/actions_avail").exists(),
        selinux_enabled: Path::new("/sys/fs/selinux/enforce").exists(),
    }
}

/// The file system that the root lies on.
fn graph_status(root: &Path) -> BTreeMap<String, String> {
    let mounts = dhow_sys::mountinfo::mounts().unwrap_or_default();
    // The last mount of those that are deepest is the one that is seen.
    let below = mounts.iter().filter(|mount| root.starts_with(&mount.target));
    let fstype = below
        .max_by_key(|mount| mount.target.components().count())
        .map(|mount| mount.fstype.clone());
    fstype.map(|fstype| ("Backing Filesystem".to_owned(), fstype)).into_iter().collect()
}

fn text(path: &str) -> String {
    let bytes = dhow_sys::fs::read_bounded(Path::new(path), MAX_FILE).unwrap_or_default();
    String::from_utf8_lossy(&bytes).into_owned()
}

/// Bytes of a line of proc_meminfo(5), which has them in kibibytes.
fn meminfo(text: &str, key: &str) -> u64 {
    let line = text.lines().filter_map(|line| line.split_once(':')).find(|(name, _)| *name == key);
    let kibibytes =
        line.and_then(|(_, value)| value.split_whitespace().next()?.parse::<u64>().ok());
    kibibytes.unwrap_or(0).saturating_mul(1024)
}

/// The first number of proc_uptime(5) in words.
fn uptime(text: &str) -> String {
    let seconds = text.split(['.', ' ']).next().and_then(|seconds| seconds.parse::<u64>().ok());
    let Some(seconds) = seconds else { return String::new() };
    let (hours, minutes, seconds) = (seconds / 3600, seconds / 60 % 60, seconds % 60);
    match hours / 24 {
        0 => format!("{hours}h {minutes}m {seconds}s"),
        days => format!("{hours}h {minutes}m {seconds}s (about {days} days)"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn files_of_proc_are_read() {
        let text = "MemTotal:       24684084 kB\nMemFree: 1 kB\nHugePages_Total: 0\nodd\n";
        assert_eq!(meminfo(text, "MemTotal"), 24_684_084 * 1024);
        assert_eq!(meminfo(text, "SwapTotal"), 0);
        assert_eq!(uptime("876.31 1700.00\n"), "0h 14m 36s");
        assert_eq!(uptime("200000.31 1\n"), "55h 33m 20s (about 2 days)");
        assert_eq!(uptime(""), "");
    }

    #[test]
    fn the_root_lies_on_some_file_system() {
        assert!(graph_status(Path::new("/")).contains_key("Backing Filesystem"));
    }
}
