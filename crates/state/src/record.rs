//! What is kept of a container: five files, each with one writer.
//!
//! | file | type | written by |
//! |---|---|---|
//! | `config.json` | [`Config`] | [`crate::Reservation::commit`], once |
//! | `record.json` | [`Record`] | whoever holds the container's lock |
//! | `started.json` | [`Started`] | the monitor, once a life |
//! | `exit.json` | [`Exit`] | the monitor, once a life |
//! | `past.json` | [`Past`] | whoever holds the container's lock |
//!
//! All times are nanoseconds since the epoch, UTC.

use dhow_sys::pidfd::ProcessId;
use serde::{Deserialize, Serialize};
use serde_json::value::RawValue;

use crate::document::{VERSION, version};
use crate::id::ContainerId;
use crate::name::ContainerName;

/// The immutable part of a container. The payload is the engine's business.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct Config {
    /// Of the file's format.
    #[serde(default = "version")]
    pub version: u32,
    /// Whose it is: the same as the directory's name.
    pub id: ContainerId,
    /// The name at creation. The present one is [`crate::Snapshot::name`].
    pub name: ContainerName,
    /// When it was made.
    pub created: i64,
    /// Removed when it has ended, and never found again after a reboot.
    #[serde(default)]
    pub auto_remove: bool,
    /// The request as the engine has resolved it.
    pub payload: Box<RawValue>,
}

/// How far the engine has got with a container: the intent is written before its effects.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Phase {
    /// Made, never started, or its last start has failed and was undone.
    Configured,
    /// Being mounted and handed to the runtime.
    Initializing,
    /// The runtime has it; its process waits.
    Created,
    /// The runtime was told, or is about to be told, to start it.
    Starting,
    /// Started.
    Running,
    /// The runtime was told, or is about to be told, to freeze or to thaw it: which it is, only the runtime knows.
    Pausing,
    /// Frozen.
    Paused,
    /// Somebody has asked it to end.
    Stopping,
    /// Ended and cleaned up: not known to the runtime, not mounted.
    Exited,
    /// Being removed; never anything else again.
    Removing,
}

/// The engine's view of a container in this boot: `record.json`.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Record {
    /// Of the file's format.
    #[serde(default = "version")]
    pub version: u32,
    /// How far it has got.
    pub phase: Phase,
    /// The monitor of the present or last life; `None` before the first, or where its identity is not known.
    #[serde(default)]
    pub monitor: Option<ProcessId>,
    /// The container's first process of the present or last life.
    #[serde(default)]
    pub init: Option<ProcessId>,
    /// When it was last started.
    #[serde(default)]
    pub started_at: Option<i64>,
    /// When it last ended; set at cleanup.
    #[serde(default)]
    pub finished_at: Option<i64>,
    /// How it last ended; set at cleanup. −1: nobody saw it.
    #[serde(default)]
    pub exit_code: Option<i32>,
    /// Whether memory ran out in its last life; set at cleanup.
    #[serde(default)]
    pub oom: bool,
    /// A user wanted it to end: no restart policy applies until it is started again.
    #[serde(default)]
    pub stopped_by_user: bool,
    /// Restarts by policy since it was last started by a user.
    #[serde(default)]
    pub restart_count: u32,
    /// Why the last start failed, or what else went wrong.
    #[serde(default)]
    pub error: Option<String>,
    /// Fields of other builds, kept when this one rewrites the file.
    #[serde(flatten)]
    pub others: serde_json::Map<String, serde_json::Value>,
}

impl Record {
    /// Nothing has happened yet.
    #[must_use]
    pub fn new(phase: Phase) -> Self {
        Record {
            version: VERSION,
            phase,
            monitor: None,
            init: None,
            started_at: None,
            finished_at: None,
            exit_code: None,
            oom: false,
            stopped_by_user: false,
            restart_count: 0,
            error: None,
            others: serde_json::Map::new(),
        }
    }

    /// The record of a container that has none in this boot: what an earlier one has left.
    #[must_use]
    pub fn after_boot(past: Option<&Past>) -> Self {
        let Some(past) = past else { return Record::new(Phase::Configured) };
        Record {
            started_at: past.started_at,
            finished_at: past.finished_at,
            // It ran when the machine went down: nobody saw the end.
            exit_code: Some(if past.running { -1 } else { past.exit_code.unwrap_or(-1) }),
            oom: past.oom && !past.running,
            stopped_by_user: past.stopped_by_user,
            restart_count: if past.running { 0 } else { past.restart_count },
            error: past.error.clone(),
            ..Record::new(Phase::Exited)
        }
    }
}

/// The container's process exists: `started.json`. The monitor's words; this crate only reads them.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Started {
    /// Of the file's format.
    #[serde(default = "version")]
    pub version: u32,
    /// The container's first process.
    pub container: ProcessId,
    /// The monitor.
    pub monitor: ProcessId,
    /// When the monitor learned of it.
    pub at: i64,
}

/// The container's process has ended: `exit.json`. The monitor's words; this crate only reads them, and keeps them for
/// those who wait for a container that is removed meanwhile.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Exit {
    /// Of the file's format.
    #[serde(default = "version")]
    pub version: u32,
    /// 0 to 255 as the process gave it; 128 + signal; −1 if nobody can know.
    pub code: i32,
    /// The signal that ended it.
    #[serde(default)]
    pub signal: Option<i32>,
    /// Whether memory ran out in its cgroup.
    #[serde(default)]
    pub oom: bool,
    /// When the end was seen.
    pub at: i64,
    /// What else there is to say.
    #[serde(default)]
    pub message: Option<String>,
}

impl Exit {
    /// An end that nobody saw.
    #[must_use]
    pub fn unknown(at: i64) -> Self {
        Exit { version: VERSION, code: -1, signal: None, oom: false, at, message: None }
    }
}

/// What is to be known of a container after a reboot: `past.json`. Containers that are removed at their end have none.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Past {
    /// Of the file's format.
    #[serde(default = "version")]
    pub version: u32,
    /// The boot in which it was written.
    pub boot_id: String,
    /// It was started in that boot, and nobody has seen its end.
    pub running: bool,
    /// When it was last started.
    #[serde(default)]
    pub started_at: Option<i64>,
    /// When it last ended.
    #[serde(default)]
    pub finished_at: Option<i64>,
    /// How it last ended.
    #[serde(default)]
    pub exit_code: Option<i32>,
    /// Whether memory ran out.
    #[serde(default)]
    pub oom: bool,
    /// A user wanted it to end.
    #[serde(default)]
    pub stopped_by_user: bool,
    /// Restarts by policy.
    #[serde(default)]
    pub restart_count: u32,
    /// What went wrong.
    #[serde(default)]
    pub error: Option<String>,
}

impl Past {
    /// What the record says, for the next boot.
    #[must_use]
    pub fn of(record: &Record, boot_id: String, running: bool) -> Self {
        Past {
            version: VERSION,
            boot_id,
            running,
            started_at: record.started_at,
            finished_at: record.finished_at,
            exit_code: record.exit_code,
            oom: record.oom,
            stopped_by_user: record.stopped_by_user,
            restart_count: record.restart_count,
            error: record.error.clone(),
        }
    }
}

/// Now, in nanoseconds since the epoch.
#[must_use]
pub fn now() -> i64 {
    let since =
        std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH).unwrap_or_default();
    i64::try_from(since.as_nanos()).unwrap_or(i64::MAX)
}
