//! `wait`: blocks on what announces a change, and takes no lock.
//!
//! A container's run directory changes with every record and exit fact; its monitor's pidfd becomes readable when that
//! dies. So a look at the facts after making the watch, then a wait for either, misses nothing and polls nothing.

use std::os::fd::AsFd;
use std::time::{Duration, Instant};

use dhow_state::{ContainerId, Snapshot, Status};
use dhow_sys::pidfd::Process;
use dhow_sys::watch::DirWatch;

use crate::engine::Engine;
use crate::error::{Error, Result};
use crate::request::{WaitCondition, WaitRequest};

/// What is reported where nobody saw the exit code.
const UNKNOWN: i32 = -1;

impl Engine {
    /// Waits until one of the conditions holds: the exit code then, or −1 where there is none. Without conditions: until
    /// the container does not run; one that never ran counts as ended with 0.
    ///
    /// # Errors
    /// There is no such container, or it was removed before the condition held.
    pub fn wait(&self, request: &WaitRequest) -> Result<i32> {
        let id = self.resolve(&request.container)?;
        let conditions = &request.conditions;
        self.wait_until(&id, None, &|snapshot| {
            let status = snapshot.status();
            if conditions.is_empty() {
                return match status {
                    Status::Created | Status::Initialized => Some(0),
                    Status::Stopped | Status::Exited => {
                        Some(snapshot.exit_code().unwrap_or(UNKNOWN))
                    }
                    _ => None,
                };
            }
            conditions
                .iter()
                .any(|condition| holds(*condition, status))
                .then(|| snapshot.exit_code().unwrap_or(UNKNOWN))
        })
        .map(|code| code.unwrap_or(UNKNOWN))
    }

    /// Waits until the container's end is recorded, by its monitor or by the monitor's own death.
    pub(crate) fn await_exit_record(&self, id: &ContainerId, timeout: Duration) -> Result<()> {
        self.wait_until(id, Some(timeout), &|snapshot| {
            (!matches!(snapshot.status(), Status::Running | Status::Paused | Status::Stopping))
                .then_some(0)
        })
        .map(drop)
    }

    /// Waits until `done` says so; `None` when the time is over first. Of a container removed meanwhile the exit code
    /// that it left behind counts.
    pub(crate) fn wait_until(
        &self,
        id: &ContainerId,
        timeout: Option<Duration>,
        done: &dyn Fn(&Snapshot) -> Option<i32>,
    ) -> Result<Option<i32>> {
        let deadline = timeout.map(|t| Instant::now() + t);
        let run = self.run_dir(id);
        loop {
            // ORDER: the watch is there before the look.
            let watch = match DirWatch::new(&run) {
                Ok(watch) => Some(watch),
                Err(e) if e.kind() == std::io::ErrorKind::NotFound => None,
                Err(e) => return Err(Error::io("watch", &run)(e)),
            };
            let snapshot = match self.snapshot(id) {
                Ok(snapshot) => snapshot,
                Err(gone @ Error::NoSuch { .. }) => {
                    return match self.store.exit_of_removed(id).map_err(Error::State)? {
                        Some(exit) => Ok(Some(exit.code)),
                        None => Err(gone),
                    };
                }
                Err(e) => return Err(e),
            };
            if let Some(value) = done(&snapshot) {
                return Ok(Some(value));
            }
            let left = deadline.map(|d| d.saturating_duration_since(Instant::now()));
            if left == Some(Duration::ZERO) {
                return Ok(None);
            }
            let Some(watch) = watch else {
                // No run directory and no exit: a container of an earlier boot. Nothing can announce its start but
                // the directory that is made for it then.
                let parent = run.parent().unwrap_or(&run).to_owned();
                let watch = DirWatch::new(&parent).map_err(Error::io("watch", &parent))?;
                if !run.exists() {
                    watch.wait(&[], left).map_err(Error::io("watch", &parent))?;
                }
                continue;
            };
            let monitor = match snapshot.monitor() {
                Some(monitor) => {
                    Process::open(monitor).map_err(Error::io("find the monitor of", &run))?
                }
                None => None,
            };
            let fds: Vec<_> = monitor.iter().map(AsFd::as_fd).collect();
            watch.wait(&fds, left).map_err(Error::io("watch", &run))?;
        }
    }
}

fn holds(condition: WaitCondition, status: Status) -> bool {
    match condition {
        WaitCondition::Configured | WaitCondition::Created => status == Status::Created,
        WaitCondition::Initialized => status == Status::Initialized,
        WaitCondition::Running => status == Status::Running,
        WaitCondition::Paused => status == Status::Paused,
        WaitCondition::Stopping => status == Status::Stopping,
        WaitCondition::Stopped => matches!(status, Status::Stopped | Status::Exited),
        WaitCondition::Exited => status == Status::Exited,
        WaitCondition::Removing => status == Status::Removing,
    }
}
