//! What `info` tells: the machine, what the engine found on it, and how much it holds.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use super::version::{VersionSide, go_arch};

/// The answer of `info`.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct Info {
    /// The machine.
    pub host: HostInfo,
    /// What can be chosen.
    pub plugins: Plugins,
    /// The engine's directories and what lies in them.
    pub store: StoreInfo,
    /// This program.
    pub version: VersionSide,
}

/// The machine and the programs the engine would use on it.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct HostInfo {
    /// The processor, as images name it.
    pub arch: String,
    /// The cgroup controllers a container can be given.
    pub cgroup_controllers: Vec<String>,
    /// Who makes the cgroups.
    pub cgroup_manager: String,
    /// `v1` (also hybrid) or `v2`.
    pub cgroup_version: String,
    /// Processors online.
    pub cpus: usize,
    /// The distribution.
    pub distribution: Distribution,
    /// The machine's name.
    pub hostname: String,
    /// The kernel's release.
    pub kernel: String,
    /// Where the output of containers goes unless they say otherwise.
    pub log_driver: String,
    /// Bytes of memory available.
    pub mem_free: u64,
    /// Bytes of memory.
    pub mem_total: u64,
    /// The monitor.
    pub monitor: Executable,
    /// The OCI runtime that would be used now.
    pub oci_runtime: Executable,
    /// `linux`.
    pub os: String,
    /// What confines containers.
    pub security: Security,
    /// Bytes of swap available.
    pub swap_free: u64,
    /// Bytes of swap.
    pub swap_total: u64,
    /// How long the machine has been up, in words.
    pub uptime: String,
}

/// A distribution, as os-release(5) names it.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct Distribution {
    /// VERSION_CODENAME.
    #[serde(skip_serializing_if = "String::is_empty")]
    pub codename: String,
    /// ID.
    pub distribution: String,
    /// VERSION_ID.
    pub version: String,
}

/// A program the engine starts.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct Executable {
    /// Its name.
    pub name: String,
    /// Where it is; empty: not found.
    pub path: String,
    /// What it says of itself, or why it cannot be used.
    pub version: String,
}

/// What confines containers.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct Security {
    /// AppArmor is enabled in the kernel.
    pub apparmor_enabled: bool,
    /// The capabilities a container has by default, comma separated.
    pub capabilities: String,
    /// The engine does not run as root.
    pub rootless: bool,
    /// The kernel can filter system calls.
    pub seccomp_enabled: bool,
    /// SELinux is enabled in the kernel.
    pub selinux_enabled: bool,
}

/// What can be chosen with flags.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct Plugins {
    /// Log drivers.
    pub log: Vec<String>,
    /// Network modes.
    pub network: Vec<String>,
    /// Volume drivers.
    pub volume: Vec<String>,
}

/// The engine's directories and what lies in them.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct StoreInfo {
    /// The containers.
    pub container_store: ContainerStore,
    /// How root file systems are put together.
    pub graph_driver_name: String,
    /// The directory that survives a reboot.
    pub graph_root: String,
    /// Bytes of the file system it lies on.
    pub graph_root_allocated: u64,
    /// Bytes used on it, by whomever.
    pub graph_root_used: u64,
    /// Particulars of that file system.
    pub graph_status: BTreeMap<String, String>,
    /// The images.
    pub image_store: ImageStore,
    /// The directory that does not survive a reboot.
    pub run_root: String,
    /// Where named volumes lie.
    pub volume_path: String,
}

/// How many containers there are.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct ContainerStore {
    /// All.
    pub number: usize,
    /// Paused.
    pub paused: usize,
    /// Running.
    pub running: usize,
    /// Neither.
    pub stopped: usize,
}

/// How many images there are.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct ImageStore {
    /// All.
    pub number: usize,
}

impl HostInfo {
    /// What is known without looking at the machine: its processor and system.
    #[must_use]
    pub fn of_this_build() -> HostInfo {
        HostInfo {
            arch: go_arch(std::env::consts::ARCH).to_owned(),
            os: std::env::consts::OS.to_owned(),
            ..HostInfo::default()
        }
    }
}

impl Distribution {
    /// Reads the text of os-release(5): `KEY=value` or `KEY="value"` a line.
    #[must_use]
    pub fn from_os_release(text: &str) -> Distribution {
        let field = |key: &str| {
            text.lines()
                .filter_map(|line| line.trim().split_once('='))
                .find(|(name, _)| *name == key)
                .map(|(_, value)| value.trim_matches(['"', '\'']).to_owned())
                .unwrap_or_default()
        };
        Distribution {
            codename: field("VERSION_CODENAME"),
            distribution: Some(field("ID"))
                .filter(|id| !id.is_empty())
                .unwrap_or_else(|| "unknown".to_owned()),
            version: Some(field("VERSION_ID"))
                .filter(|id| !id.is_empty())
                .unwrap_or_else(|| "unknown".to_owned()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use expect_test::expect;

    #[test]
    fn os_release_is_read() {
        let text = "PRETTY_NAME=\"Debian GNU/Linux 12 (bookworm)\"\nVERSION_ID=\"12\"\nVERSION_CODENAME=bookworm\nID=debian\n";
        let distribution = Distribution::from_os_release(text);
        expect![[r#"{"codename":"bookworm","distribution":"debian","version":"12"}"#]]
            .assert_eq(&serde_json::to_string(&distribution).unwrap());
        let none = Distribution::from_os_release("nonsense\n===\n");
        expect![[r#"{"distribution":"unknown","version":"unknown"}"#]]
            .assert_eq(&serde_json::to_string(&none).unwrap());
    }

    #[test]
    fn json_has_podmans_names() {
        let json =
            serde_json::to_value(Info { host: HostInfo::of_this_build(), ..Info::default() })
                .unwrap();
        for pointer in [
            "/host/arch",
            "/host/cgroupVersion",
            "/host/ociRuntime/name",
            "/host/security/rootless",
            "/store/containerStore/running",
            "/store/graphRoot",
            "/store/runRoot",
            "/store/imageStore/number",
            "/version/Version",
        ] {
            assert!(json.pointer(pointer).is_some(), "{pointer} is missing");
        }
    }
}
