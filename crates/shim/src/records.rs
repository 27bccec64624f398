//! The facts that only the monitor can know, as it writes them, atomically. Start and end are written once and never changed.
//!
//! INVARIANT: a field is never renamed or given another meaning within a version; readers ignore fields they do not know.

use dhow_sys::pidfd::ProcessId;
use serde::{Deserialize, Serialize};

/// The version this build writes.
pub const VERSION: u32 = 1;

/// The container's process exists: `started.json`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Started {
    /// [`VERSION`].
    pub version: u32,
    /// The container's first process.
    pub container: ProcessId,
    /// The monitor.
    pub monitor: ProcessId,
    /// When it was learned, in nanoseconds since the epoch.
    pub at: i64,
}

/// The container's process has ended: `exit.json`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Exit {
    /// [`VERSION`].
    pub version: u32,
    /// 0..255 as the process gave it; 128 + signal; −1 if nobody can know, or the time limit was hit.
    pub code: i32,
    /// The signal that ended it.
    pub signal: Option<i32>,
    /// Whether the out-of-memory killer was at work in its cgroup.
    pub oom: bool,
    /// When the end was seen, in nanoseconds since the epoch.
    pub at: i64,
    /// What else there is to say: `command timed out`, or why the code is not known.
    pub message: Option<String>,
}

/// The log could not take all output: `lost.json`, written anew when that begins, when it is over, and at the end.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Losses {
    /// [`VERSION`].
    pub version: u32,
    /// Bytes of log records that were not written, since the container was started.
    pub bytes: u64,
    /// When this was written, in nanoseconds since the epoch.
    pub at: i64,
}
