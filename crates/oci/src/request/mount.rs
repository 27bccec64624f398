//! A mount the user asked for.

use serde::{Deserialize, Serialize};

/// A mount the user asked for: a bind (also of a volume's directory, resolved by the engine) or a tmpfs.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Mount {
    /// What is mounted.
    pub kind: MountKind,
    /// For a bind, the absolute path on the host; not looked at otherwise.
    #[serde(default)]
    pub source: String,
    /// Absolute path in the container.
    pub destination: String,
    /// Mount options as typed (`ro`, `nosuid`, `rshared`, `size=64m`, `tmpcopyup`, …). The options that the engine
    /// itself must have carried out (`z`, `Z`, `O`, `U`, `copy`, `idmap`, …) are an error here: the engine takes them out.
    #[serde(default)]
    pub options: Vec<String>,
}

/// What is mounted.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum MountKind {
    /// A file or directory of the host.
    Bind,
    /// Memory.
    Tmpfs,
    /// POSIX message queues.
    Mqueue,
    /// Pseudo-terminals (`--mount type=devpts`).
    Devpts,
    /// Memory that needs no `tmpfs`.
    Ramfs,
}
