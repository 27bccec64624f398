//! `pause` and `unpause`: the freezer, through the runtime.

use dhow_oci::runtime::RuntimeStatus;
use dhow_state::{Phase, Status};

use crate::engine::Engine;
use crate::error::{Error, Result};

impl Engine {
    /// Freezes the container's processes.
    ///
    /// # Errors
    /// [`Error::InvalidState`] unless it runs; the runtime's refusal.
    pub fn pause(&self, container: &str) -> Result<()> {
        let id = self.resolve(container)?;
        let mut held = self.hold(&id)?;
        if held.status() != Status::Running {
            return Err(Error::InvalidState {
                verb: "pause",
                id,
                status: held.status(),
                hint: "; only a running container can be paused",
            });
        }
        held.locked.update(|record| record.phase = Phase::Pausing).map_err(Error::State)?;
        if let Err(e) = self.runtime(&held.config)?.pause(id.as_str()) {
            held.locked.update(|record| record.phase = Phase::Running).map_err(Error::State)?;
            return Err(Error::Runtime(e));
        }
        held.locked.update(|record| record.phase = Phase::Paused).map_err(Error::State)
    }

    /// Thaws the container's processes.
    ///
    /// # Errors
    /// [`Error::InvalidState`] unless it is paused; the runtime's refusal.
    pub fn unpause(&self, container: &str) -> Result<()> {
        let id = self.resolve(container)?;
        let mut held = self.hold(&id)?;
        if held.status() != Status::Paused {
            return Err(Error::InvalidState {
                verb: "unpause",
                id,
                status: held.status(),
                hint: "; only a paused container can be unpaused",
            });
        }
        // Freezing or thawing: whoever finds it so with no command at work asks the runtime.
        held.locked.update(|record| record.phase = Phase::Pausing).map_err(Error::State)?;
        let runtime = self.runtime(&held.config)?;
        if let Err(e) = runtime.resume(id.as_str())
            && !runtime.state(id.as_str()).is_ok_and(|state| state.status == RuntimeStatus::Running)
        {
            held.locked.update(|record| record.phase = Phase::Paused).map_err(Error::State)?;
            return Err(Error::Runtime(e));
        }
        held.locked.update(|record| record.phase = Phase::Running).map_err(Error::State)
    }
}
