//! `stop` and `kill`: the intent under the lock, the waiting without it.

use std::time::Duration;

use dhow_state::{ContainerId, Phase, Status};
use dhow_sys::pidfd::Process;

use crate::engine::{Engine, Held, Outcome};
use crate::error::{Error, Result};
use crate::request::{KillRequest, RemoveRequest, Signal, StopRequest};

/// How long a killed process may take to be reaped and recorded by its monitor.
const REAP_TIMEOUT: Duration = Duration::from_secs(10);

impl Engine {
    /// Stops the container: its stop signal, then, when the time is over, SIGKILL.
    ///
    /// # Errors
    /// [`Error::InvalidState`] while it is paused or being removed.
    pub fn stop(&self, request: &StopRequest) -> Result<Outcome> {
        let id = self.resolve(&request.container)?;
        let auto_remove = self.snapshot(&id)?.config.auto_remove;
        let outcome = self.stop_id(&id, request.timeout.map(crate::request::Timeout::duration))?;
        if auto_remove && outcome == Outcome::Done {
            // Its monitor would do so in a moment; the name is free when we return.
            let request = RemoveRequest {
                container: id.to_string(),
                volumes: true,
                ..RemoveRequest::default()
            };
            match self.remove(&request) {
                Ok(()) | Err(Error::NoSuch { .. }) => {}
                Err(e) => return Err(e),
            }
        }
        Ok(outcome)
    }

    /// `timeout`: none: the container's own; `Some(None)`: no limit.
    pub(crate) fn stop_id(
        &self,
        id: &ContainerId,
        timeout: Option<Option<Duration>>,
    ) -> Result<Outcome> {
        let mut held = self.hold(id)?;
        let status = held.status();
        match status {
            Status::Running | Status::Initialized | Status::Stopping => {}
            Status::Paused | Status::Removing => {
                let hint = if status == Status::Paused { "; unpause it first" } else { "" };
                return Err(Error::InvalidState { verb: "stop", id: id.clone(), status, hint });
            }
            _ => {
                // The intent counts though nothing runs: a restart policy must not bring it back.
                held.locked.update(|record| record.stopped_by_user = true).map_err(Error::State)?;
                return Ok(Outcome::AlreadyThere);
            }
        }
        let signal = held.config.stop_signal;
        let timeout =
            timeout.unwrap_or_else(|| Some(Duration::from_secs(held.config.stop_timeout.into())));
        if status == Status::Initialized {
            // Nothing of the user's runs yet that could be asked politely.
            held.locked.update(|record| record.stopped_by_user = true).map_err(Error::State)?;
            self.tear_down(&held)?;
            held.locked.update(|record| record.phase = Phase::Configured).map_err(Error::State)?;
            return Ok(Outcome::Done);
        }
        let init = self.init_process(&held)?;
        held.locked
            .update(|record| {
                record.stopped_by_user = true;
                record.phase = Phase::Stopping;
            })
            .map_err(Error::State)?;
        // ORDER: the lock goes before the waiting: ps, inspect, kill and a second stop work meanwhile.
        drop(held);
        if let Some(init) = init {
            let gone = match timeout {
                Some(Duration::ZERO) => false,
                limit => {
                    signal_process(&init, signal)?;
                    wait_process(&init, limit)?
                }
            };
            if !gone {
                signal_process(&init, Signal::KILL.number())?;
                wait_process(&init, Some(REAP_TIMEOUT))?;
            }
        }
        // The process is gone before its monitor has said so; one that was to be removed at its end may be gone too.
        match self.await_exit_record(id, REAP_TIMEOUT).and_then(|()| self.clean(id)) {
            Ok(()) => {}
            Err(Error::NoSuch { .. }) => return Ok(Outcome::Done),
            Err(e) => return Err(e),
        }
        match self.status(id) {
            Ok(status @ (Status::Running | Status::Stopping | Status::Paused)) => {
                Err(Error::InvalidState {
                    verb: "stop",
                    id: id.clone(),
                    status,
                    hint: "; its process has not ended after SIGKILL",
                })
            }
            Ok(_) | Err(Error::NoSuch { .. }) => Ok(Outcome::Done),
            Err(e) => Err(e),
        }
    }

    /// Sends a signal to the container's first process; with SIGKILL its end is waited for.
    ///
    /// # Errors
    /// [`Error::InvalidState`] where nothing runs.
    pub fn kill(&self, request: &KillRequest) -> Result<()> {
        let id = self.resolve(&request.container)?;
        let mut held = self.hold(&id)?;
        let status = held.status();
        if !matches!(status, Status::Running | Status::Stopping | Status::Paused) {
            return Err(Error::InvalidState {
                verb: "kill",
                id,
                status,
                hint: "; only what runs can be killed",
            });
        }
        let signal = request.signal.number();
        let fatal = request.signal == Signal::KILL;
        let init = self.init_process(&held)?;
        if fatal {
            held.locked.update(|record| record.stopped_by_user = true).map_err(Error::State)?;
        }
        if let Some(init) = &init {
            signal_process(init, signal)?;
        }
        if fatal && status == Status::Paused {
            // A frozen process cannot die before it thaws (cgroup v1).
            self.runtime(&held.config)?.resume(id.as_str()).map_err(Error::Runtime)?;
            held.locked.update(|record| record.phase = Phase::Running).map_err(Error::State)?;
        }
        drop(held);
        if let (true, Some(init)) = (fatal, init) {
            wait_process(&init, Some(REAP_TIMEOUT))?;
            self.await_exit_record(&id, REAP_TIMEOUT)?;
        }
        Ok(())
    }

    /// The container's first process; `None` when it has gone.
    pub(crate) fn init_process(&self, held: &Held) -> Result<Option<Process>> {
        let Some(id) = held.locked.snapshot().init() else { return Ok(None) };
        Process::open(id).map_err(Error::io("find the process", format!("/proc/{}", id.pid)))
    }

    /// Kills what runs of a container and waits until its end is recorded. The lock is not held.
    pub(crate) fn kill_and_wait(&self, id: &ContainerId) -> Result<()> {
        let held = self.hold(id)?;
        let paused = held.status() == Status::Paused;
        let init = self.init_process(&held)?;
        if let Some(init) = &init {
            signal_process(init, Signal::KILL.number())?;
        }
        if paused {
            self.runtime(&held.config)?.resume(id.as_str()).map_err(Error::Runtime)?;
        }
        drop(held);
        if let Some(init) = init {
            wait_process(&init, Some(REAP_TIMEOUT))?;
        }
        self.await_exit_record(id, REAP_TIMEOUT)
    }
}

fn signal_process(process: &Process, signal: i32) -> Result<()> {
    let path = || format!("/proc/{}", process.id().pid);
    process.signal(signal).map(drop).map_err(|e| Error::io("signal the process", path())(e))
}

fn wait_process(process: &Process, timeout: Option<Duration>) -> Result<bool> {
    let path = || format!("/proc/{}", process.id().pid);
    process.wait_exit(timeout).map_err(|e| Error::io("wait for the process", path())(e))
}
