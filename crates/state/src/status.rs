//! What a container is, from the facts. Nothing is written when somebody looks.

use std::fmt;

use serde::{Deserialize, Serialize};

use crate::record::Phase;

/// What a container is. `Display` says it in podman's words.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Status {
    /// It has a configuration; the runtime does not know it.
    Created,
    /// The runtime has made it; its process waits to be started.
    Initialized,
    /// Its process runs.
    Running,
    /// Its processes are frozen.
    Paused,
    /// It was asked to end and has not yet.
    Stopping,
    /// Its process has ended; runtime and mounts are still to be cleaned up.
    Stopped,
    /// It has ended and is cleaned up.
    Exited,
    /// It is being removed, or its removal is to be finished.
    Removing,
}

impl Status {
    /// Every status, in the order of a life.
    pub const ALL: [Status; 8] = [
        Status::Created,
        Status::Initialized,
        Status::Running,
        Status::Paused,
        Status::Stopping,
        Status::Stopped,
        Status::Exited,
        Status::Removing,
    ];

    /// As podman prints it.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Status::Created => "created",
            Status::Initialized => "initialized",
            Status::Running => "running",
            Status::Paused => "paused",
            Status::Stopping => "stopping",
            Status::Stopped => "stopped",
            Status::Exited => "exited",
            Status::Removing => "removing",
        }
    }

    /// Whether it has a process that has not ended.
    #[must_use]
    pub fn is_alive(self) -> bool {
        matches!(self, Status::Initialized | Status::Running | Status::Paused | Status::Stopping)
    }
}

impl fmt::Display for Status {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        // `pad`, so that a width in a format string counts.
        f.pad(self.as_str())
    }
}

/// What a status is made of.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Facts {
    /// The removal was begun, in this boot or an earlier one.
    pub removing: bool,
    /// The phase in the record of this boot; `None` if there is no record of this boot.
    pub phase: Option<Phase>,
    /// It has ended in an earlier boot, or with it.
    pub past: bool,
    /// It goes when it has ended, and with the boot it was made in.
    pub auto_remove: bool,
    /// The monitor's word that the process exists.
    pub started: bool,
    /// The monitor's word that the process has ended.
    pub exit: bool,
    /// Whether the monitor (if there is none that is known: the container's process) lives; `None`: neither is known.
    /// ORDER: looked at before `exit`, or a monitor that writes its last word and leaves in between would seem to have
    /// died without one.
    pub alive: Option<bool>,
}

/// What a container with these facts is.
#[must_use]
pub fn status(facts: &Facts) -> Status {
    let Some(phase) = facts.phase else {
        return match facts {
            _ if facts.removing || facts.auto_remove => Status::Removing,
            Facts { past: true, .. } => Status::Exited,
            _ => Status::Created,
        };
    };
    if facts.removing {
        return Status::Removing;
    }
    // The monitor knows better than the record, whose writer may have been killed in between (libpod.md P1); a monitor
    // that has died without a word is an end too: its container has lost its streams, and nobody will tell its code.
    let ended = facts.exit || facts.alive == Some(false);
    match phase {
        Phase::Configured => Status::Created,
        Phase::Exited => Status::Exited,
        Phase::Removing => Status::Removing,
        // Whoever initialized it may have been killed at any point: only the monitor can tell how far it got.
        Phase::Initializing if facts.exit => Status::Stopped,
        Phase::Initializing if !facts.started => Status::Created,
        Phase::Initializing | Phase::Created => {
            if ended {
                Status::Stopped
            } else {
                Status::Initialized
            }
        }
        Phase::Starting | Phase::Running => {
            if ended {
                Status::Stopped
            } else {
                Status::Running
            }
        }
        Phase::Pausing | Phase::Paused => {
            if ended {
                Status::Stopped
            } else {
                Status::Paused
            }
        }
        Phase::Stopping => {
            if ended {
                Status::Stopped
            } else {
                Status::Stopping
            }
        }
    }
}

#[cfg(test)]
mod tests;
