//! What `inspect` tells of a container: podman's shape, which is docker's with more in it.

mod host_config;
mod network;

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use super::time::Time;
pub use host_config::{
    BlkioDeviceRate, BlkioDeviceWeight, DeviceShown, HostConfig, InspectUlimit, LogConfigShown,
    RestartPolicyShown,
};
pub use network::{HostPort, NetworkEndpoint, NetworkSettings};

/// Everything known of one container.
#[derive(Debug, Clone, PartialEq, Default, Serialize, Deserialize)]
#[serde(rename_all = "PascalCase", default)]
pub struct ContainerInspect {
    /// 64 hexadecimal digits.
    pub id: String,
    /// When it was created.
    pub created: Time,
    /// The program it runs: the first word of entry point and command.
    pub path: String,
    /// The other words.
    pub args: Vec<String>,
    /// What it is doing.
    pub state: ContainerState,
    /// The image's id without `sha256:`; empty with `--rootfs`.
    pub image: String,
    /// The digest of the image's manifest.
    pub image_digest: String,
    /// The image's name as it was found.
    pub image_name: String,
    /// The directory given with `--rootfs`.
    pub rootfs: String,
    /// Id of its pod, or empty.
    pub pod: String,
    /// What is mounted as its /etc/resolv.conf.
    pub resolv_conf_path: String,
    /// What is mounted as its /etc/hostname.
    pub hostname_path: String,
    /// What is mounted as its /etc/hosts.
    pub hosts_path: String,
    /// The directory of what is kept of it.
    pub static_dir: String,
    /// The runtime specification it was last started with.
    #[serde(rename = "OCIConfigPath")]
    pub oci_config_path: String,
    /// The runtime that carries it: a name or a path.
    #[serde(rename = "OCIRuntime")]
    pub oci_runtime: String,
    /// Where the monitor writes its own pid.
    pub conmon_pid_file: String,
    /// Where the monitor writes the pid of the container's process.
    pub pid_file: String,
    /// Its name.
    pub name: String,
    /// How often the restart policy has started it again.
    pub restart_count: u32,
    /// How its root file system is put together: `overlay`.
    pub driver: String,
    /// The SELinux label of its files.
    pub mount_label: String,
    /// The SELinux label of its process.
    pub process_label: String,
    /// The AppArmor profile of its process.
    pub app_armor_profile: String,
    /// The capabilities its process has.
    pub effective_caps: Vec<String>,
    /// The capabilities it can have at most.
    pub bounding_caps: Vec<String>,
    /// Ids of the exec sessions in it.
    #[serde(rename = "ExecIDs")]
    pub exec_ids: Vec<String>,
    /// Where the parts of its root file system lie.
    pub graph_driver: GraphDriver,
    /// Bytes of its own layer, where sizes were asked for.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub size_rw: Option<u64>,
    /// Bytes of all its layers, where sizes were asked for.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub size_root_fs: Option<u64>,
    /// Its volumes and binds.
    pub mounts: Vec<InspectMount>,
    /// Ids of containers it needs.
    pub dependencies: Vec<String>,
    /// Its network.
    pub network_settings: NetworkSettings,
    /// It holds the namespaces of a pod.
    pub is_infra: bool,
    /// What runs in it.
    pub config: InspectConfig,
    /// What it may do to the host, and what of it.
    pub host_config: HostConfig,
}

/// What a container is doing, and what it did last.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "PascalCase", default)]
pub struct ContainerState {
    /// The version of the runtime specification.
    pub oci_version: String,
    /// One word: `created`, `initialized`, `running`, `paused`, `stopping`, `stopped`, `exited`, `removing`.
    pub status: String,
    /// It runs; also while paused.
    pub running: bool,
    /// It is frozen.
    pub paused: bool,
    /// The restart policy is about to start it again.
    pub restarting: bool,
    /// It was killed because it asked for more memory than it may have.
    #[serde(rename = "OOMKilled")]
    pub oom_killed: bool,
    /// Always false: a docker word for a container that cannot be removed.
    pub dead: bool,
    /// Its process; 0 when there is none.
    pub pid: i32,
    /// Its monitor; 0 when there is none.
    pub conmon_pid: i32,
    /// What its process returned last; −1 where nobody saw it.
    pub exit_code: i32,
    /// Why it could not be started last time.
    pub error: String,
    /// When it was started last.
    pub started_at: Time,
    /// When it ended last.
    pub finished_at: Time,
    /// The result of health checks: there are none.
    pub health: HealthState,
    /// Its control group, where it has one.
    pub cgroup_path: String,
}

/// The result of health checks; empty while a container has none.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "PascalCase", default)]
pub struct HealthState {
    /// `starting`, `healthy`, `unhealthy`, or empty.
    pub status: String,
    /// Failures in a row.
    pub failing_streak: u32,
    /// The last results.
    pub log: Vec<serde_json::Value>,
}

/// Where the parts of a root file system lie.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "PascalCase", default)]
pub struct GraphDriver {
    /// `overlay`, or empty where a directory is used as it is.
    pub name: String,
    /// `LowerDir` (top first, separated by colons), `UpperDir`, `WorkDir`, `MergedDir`.
    pub data: BTreeMap<String, String>,
}

/// A volume or bind of a container.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "PascalCase", default)]
pub struct InspectMount {
    /// `bind`, `volume` or `tmpfs`.
    #[serde(rename = "Type")]
    pub kind: String,
    /// The volume's name; empty for all that is no volume.
    pub name: String,
    /// The path on the host.
    pub source: String,
    /// The path in the container.
    pub destination: String,
    /// The volume's driver.
    pub driver: String,
    /// Docker's word for the options; always empty, as in podman.
    pub mode: String,
    /// Mount options without ro and rw.
    pub options: Vec<String>,
    /// It can be written to.
    #[serde(rename = "RW")]
    pub rw: bool,
    /// `private`, `rprivate`, `shared`, `rshared`, `slave` or `rslave`; empty where it does not apply.
    pub propagation: String,
}

/// What runs in a container: mostly what the image says and the command line changed.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "PascalCase", default)]
pub struct InspectConfig {
    /// Its host name.
    pub hostname: String,
    /// Its domain.
    pub domainname: String,
    /// The user of its process as given: name or number.
    pub user: String,
    /// Standard input is attached at start.
    pub attach_stdin: bool,
    /// Standard output is attached at start.
    pub attach_stdout: bool,
    /// Standard error is attached at start.
    pub attach_stderr: bool,
    /// It has a terminal.
    pub tty: bool,
    /// Its standard input stays open.
    pub open_stdin: bool,
    /// Its standard input is closed after the first client has gone.
    pub stdin_once: bool,
    /// `NAME=value`.
    pub env: Vec<String>,
    /// The command.
    pub cmd: Vec<String>,
    /// The image's name as it was asked for.
    pub image: String,
    /// Docker's list of volumes: dhow shows them under `Mounts`.
    pub volumes: Option<BTreeMap<String, serde_json::Value>>,
    /// Where its process begins.
    pub working_dir: String,
    /// The entry point: a list, as docker and podman 5 print it.
    pub entrypoint: Vec<String>,
    /// Labels of the image and of the container.
    pub labels: BTreeMap<String, String>,
    /// Annotations for the runtime.
    pub annotations: BTreeMap<String, String>,
    /// The signal of `stop`: a name, as docker and podman 5 print it.
    pub stop_signal: String,
    /// The command line it was created by.
    pub create_command: Vec<String>,
    /// The mask of file modes, octal.
    pub umask: String,
    /// Seconds until the monitor kills it; 0: never.
    pub timeout: u32,
    /// Seconds between the stop signal and SIGKILL.
    pub stop_timeout: u32,
    /// Its /etc/passwd gains an entry for its user.
    pub passwd: bool,
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The keys that scripts written for docker and podman ask for.
    #[test]
    fn json_has_the_names_scripts_know() {
        let json = serde_json::to_value(ContainerInspect {
            mounts: vec![InspectMount::default()],
            size_rw: Some(0),
            size_root_fs: Some(0),
            ..ContainerInspect::default()
        })
        .unwrap();
        for pointer in [
            "/Id",
            "/Created",
            "/Path",
            "/Args",
            "/State/Status",
            "/State/Running",
            "/State/OOMKilled",
            "/State/Pid",
            "/State/ConmonPid",
            "/State/ExitCode",
            "/State/StartedAt",
            "/State/CgroupPath",
            "/State/Health/FailingStreak",
            "/Image",
            "/ImageName",
            "/ImageDigest",
            "/OCIConfigPath",
            "/OCIRuntime",
            "/AppArmorProfile",
            "/EffectiveCaps",
            "/ExecIDs",
            "/GraphDriver/Data",
            "/SizeRw",
            "/SizeRootFs",
            "/Mounts/0/Type",
            "/Mounts/0/RW",
            "/Mounts/0/Name",
            "/Config/Env",
            "/Config/Cmd",
            "/Config/Entrypoint",
            "/Config/Labels",
            "/Config/WorkingDir",
            "/Config/StopSignal",
            "/HostConfig/Binds",
            "/HostConfig/NetworkMode",
            "/HostConfig/RestartPolicy/MaximumRetryCount",
            "/HostConfig/LogConfig/Type",
            "/HostConfig/UTSMode",
            "/HostConfig/PidsLimit",
            "/HostConfig/BlkioDeviceReadIOps",
            "/NetworkSettings/IPAddress",
            "/NetworkSettings/SandboxKey",
            "/NetworkSettings/Networks",
            "/NetworkSettings/GlobalIPv6PrefixLen",
        ] {
            assert!(json.pointer(pointer).is_some(), "{pointer} is missing");
        }
        let back: ContainerInspect = serde_json::from_value(json).unwrap();
        assert_eq!(back.size_rw, Some(0));
    }

    #[test]
    fn sizes_are_absent_unless_asked_for() {
        let json = serde_json::to_value(ContainerInspect::default()).unwrap();
        assert!(json.get("SizeRw").is_none() && json.get("SizeRootFs").is_none());
    }
}
