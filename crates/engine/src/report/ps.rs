//! A row of `ps`: the facts that every column is made of.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use super::time::{Time, unix_seconds};

/// The containers there are.
#[derive(Debug, Default)]
pub struct PsReport {
    /// In the order they were created.
    pub rows: Vec<PsRow>,
    /// One for each container whose records cannot be read.
    pub errors: Vec<crate::Error>,
}

/// One container as `ps` lists it.
///
/// The words "Up 3 minutes" and "5 days ago" are not here: they depend on the moment of printing.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "PascalCase", default)]
pub struct PsRow {
    /// It removes itself when it ends.
    pub auto_remove: bool,
    /// Entry point and command, one word an element.
    pub command: Vec<String>,
    /// When it was created. In JSON seconds since the epoch.
    #[serde(with = "unix_seconds")]
    pub created: Time,
    /// It has run and ended.
    pub exited: bool,
    /// When it ended.
    #[serde(with = "unix_seconds")]
    pub exited_at: Time,
    /// What its process returned last; 0 while it has not ended, −1 where nobody saw it.
    pub exit_code: i32,
    /// 64 hexadecimal digits.
    pub id: String,
    /// The image's full name, or its id; the directory's path with `--rootfs`.
    pub image: String,
    /// The image's id without `sha256:`; empty with `--rootfs`.
    #[serde(rename = "ImageID")]
    pub image_id: String,
    /// It holds the namespaces of a pod.
    pub is_infra: bool,
    /// Its labels and its image's.
    pub labels: BTreeMap<String, String>,
    /// Where its volumes and binds are mounted in it.
    pub mounts: Vec<String>,
    /// Its name, as a list of one.
    pub names: Vec<String>,
    /// Inode numbers of its namespaces while it has a process.
    pub namespaces: Namespaces,
    /// Names of the networks it is connected to.
    pub networks: Vec<String>,
    /// Its process on the host; 0 when there is none.
    pub pid: i32,
    /// Id of its pod, or empty.
    pub pod: String,
    /// Name of its pod, or empty.
    pub pod_name: String,
    /// Published ports.
    pub ports: Vec<PortMapping>,
    /// How often the restart policy has started it again.
    pub restarts: u32,
    /// What it takes on disk, where that was asked for.
    pub size: Option<PsSize>,
    /// When it was started last.
    #[serde(with = "unix_seconds")]
    pub started_at: Time,
    /// Its status in one word: `created`, `initialized`, `running`, `paused`, `stopping`, `stopped`, `exited`, `removing`.
    pub state: String,
}

/// Inode numbers that name the namespaces of a process; empty where it has none.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(default)]
pub struct Namespaces {
    /// Mount.
    #[serde(rename = "MNT", skip_serializing_if = "String::is_empty")]
    pub mnt: String,
    /// Control group.
    #[serde(rename = "Cgroup", skip_serializing_if = "String::is_empty")]
    pub cgroup: String,
    /// Interprocess communication.
    #[serde(rename = "IPC", skip_serializing_if = "String::is_empty")]
    pub ipc: String,
    /// Network.
    #[serde(rename = "NET", skip_serializing_if = "String::is_empty")]
    pub net: String,
    /// Process ids.
    #[serde(rename = "PIDNS", skip_serializing_if = "String::is_empty")]
    pub pid: String,
    /// Users.
    #[serde(rename = "USERNS", skip_serializing_if = "String::is_empty")]
    pub user: String,
    /// Host name.
    #[serde(rename = "UTS", skip_serializing_if = "String::is_empty")]
    pub uts: String,
}

/// A published port.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(default)]
pub struct PortMapping {
    /// Address on the host; empty: all.
    pub host_ip: String,
    /// Port in the container.
    pub container_port: u16,
    /// Port on the host.
    pub host_port: u16,
    /// How many ports from there on.
    pub range: u16,
    /// `tcp`, `udp` or `sctp`.
    pub protocol: String,
}

/// Bytes on disk.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct PsSize {
    /// The image's layers and the container's own.
    pub root_fs_size: u64,
    /// The container's own layer.
    pub rw_size: u64,
}

#[cfg(test)]
mod tests {
    use super::*;
    use expect_test::expect;

    #[test]
    fn json_has_podmans_names() {
        let row = PsRow {
            id: "0506f64e1626".into(),
            image_id: "0fc222e2ab90".into(),
            created: Time::from_unix_nanos(1_795_458_704_029_417_272),
            names: vec!["web".into()],
            namespaces: Namespaces { pid: "4026532180".into(), ..Namespaces::default() },
            size: Some(PsSize { root_fs_size: 1_982_305, rw_size: 12 }),
            state: "running".into(),
            ..PsRow::default()
        };
        let json = serde_json::to_string_pretty(&row).unwrap();
        expect![[r#"
            {
              "AutoRemove": false,
              "Command": [],
              "Created": 1795458704,
              "Exited": false,
              "ExitedAt": -62135596800,
              "ExitCode": 0,
              "Id": "0506f64e1626",
              "Image": "",
              "ImageID": "0fc222e2ab90",
              "IsInfra": false,
              "Labels": {},
              "Mounts": [],
              "Names": [
                "web"
              ],
              "Namespaces": {
                "PIDNS": "4026532180"
              },
              "Networks": [],
              "Pid": 0,
              "Pod": "",
              "PodName": "",
              "Ports": [],
              "Restarts": 0,
              "Size": {
                "rootFsSize": 1982305,
                "rwSize": 12
              },
              "StartedAt": -62135596800,
              "State": "running"
            }"#]]
        .assert_eq(&json);
        let back: PsRow = serde_json::from_str(&json).unwrap();
        assert_eq!(back.created.unix_seconds(), row.created.unix_seconds());
        assert_eq!(back.names, row.names);
    }
}
