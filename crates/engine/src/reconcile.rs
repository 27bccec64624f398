//! What a record says against what has happened: whoever takes a container's lock mends what a dead command has left.
//!
//! Nothing here runs on a healthy container but comparisons in memory.

use std::time::Duration;

use dhow_oci::runtime::RuntimeStatus;
use dhow_state::Phase;

use crate::engine::{Engine, Held};
use crate::error::{Error, Result};

const KILL: i32 = 9;
/// How long a killed process may take to end.
const REAP_TIMEOUT: Duration = Duration::from_secs(10);

impl Engine {
    /// Brings the record in line with the facts. The lock is held, so every command that began something and has not
    /// finished it is dead.
    pub(crate) fn reconcile(&self, held: &mut Held) -> Result<()> {
        let snapshot = held.locked.snapshot();
        let ended = snapshot.exit.is_some();
        match snapshot.record.phase {
            // CRASH: in the middle of init. What it had put up is taken down again.
            Phase::Initializing => {
                self.tear_down(held)?;
                held.locked.update(|record| record.phase = Phase::Configured).map_err(Error::State)
            }
            // CRASH: around the runtime's start. An exit record decides; else the runtime knows.
            Phase::Starting if !ended => {
                let state = self.runtime(&held.config)?.state(held.id().as_str());
                let phase = match state {
                    Ok(state) if state.status == RuntimeStatus::Created => Phase::Created,
                    _ => Phase::Running,
                };
                held.locked.update(|record| record.phase = phase).map_err(Error::State)
            }
            // CRASH: around the runtime's pause.
            Phase::Pausing if !ended => {
                let state = self.runtime(&held.config)?.state(held.id().as_str());
                let phase = match state {
                    Ok(state) if state.status == RuntimeStatus::Paused => Phase::Paused,
                    _ => Phase::Running,
                };
                held.locked.update(|record| record.phase = phase).map_err(Error::State)
            }
            Phase::Created | Phase::Running | Phase::Paused | Phase::Stopping
                if !ended && snapshot.alive == Some(false) =>
            {
                self.bury(held)
            }
            _ => Ok(()),
        }
    }

    /// The monitor has died without an exit record: nobody reads the container's output any more, and nobody will know
    /// how it ends. What is left of it is killed; the exit code is unknown (−1), which the status says by itself.
    fn bury(&self, held: &mut Held) -> Result<()> {
        let Some(init) = self.init_process(held)? else { return Ok(()) };
        let path = format!("/proc/{}", init.id().pid);
        init.signal(KILL).map_err(Error::io("kill the process", &path))?;
        if held.locked.snapshot().record.phase == Phase::Paused
            && let Err(e) = self.runtime(&held.config)?.resume(held.id().as_str())
        {
            tracing::debug!(id = %held.id(), error = %e, "cannot thaw");
        }
        init.wait_exit(Some(REAP_TIMEOUT)).map_err(Error::io("wait for the process", &path))?;
        held.locked
            .update(|record| {
                record.error = Some(
                    "the monitor died before the container; its exit code is not known".into(),
                );
            })
            .map_err(Error::State)
    }
}
