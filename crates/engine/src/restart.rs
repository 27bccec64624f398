//! `restart`: stop, then start.

use std::path::PathBuf;
use std::time::Duration;

use dhow_state::ContainerId;
use dhow_sys::lock::{FileLock, LockMode};

use crate::engine::Engine;
use crate::error::{Error, Result};
use crate::request::{RestartRequest, Timeout};

/// The file whose lock says that a restart is at work, so that the end in its middle is none.
const RESTARTING: &str = "restarting";
/// How long another restart of the same container may take before this one gives up.
const PATIENCE: Duration = Duration::from_secs(60);

impl Engine {
    /// Stops the container where it runs, and starts it. One made with `--rm` stays.
    ///
    /// # Errors
    /// As [`Engine::stop`] and [`Engine::start`].
    pub fn restart(&self, request: &RestartRequest) -> Result<()> {
        let id = self.resolve(&request.container)?;
        let path = self.restarting(&id);
        dhow_sys::fs::create_dir_all(&self.run_dir(&id), 0o700)
            .map_err(Error::io("create", self.run_dir(&id)))?;
        let lock = FileLock::acquire(&path, LockMode::Exclusive, Some(PATIENCE))
            .map_err(|source| Error::Lock { path: path.clone(), source })?;
        self.stop_id(&id, request.timeout.map(Timeout::duration))?;
        let started = self.start_id(&id).map(drop);
        lock.unlink().map_err(|source| Error::Lock { path, source })?;
        started
    }

    /// Whether a restart is at work: the monitor's exit command leaves the container to it. CRASH: a restart that dies
    /// between stop and start leaves an ended container, which the next command about it cleans up.
    pub(crate) fn is_restarting(&self, id: &ContainerId) -> Result<bool> {
        let path = self.restarting(id);
        if !path.exists() {
            return Ok(false);
        }
        match FileLock::try_acquire(&path, LockMode::Shared) {
            Ok(lock) => Ok(lock.is_none()),
            Err(source) => Err(Error::Lock { path, source }),
        }
    }

    fn restarting(&self, id: &ContainerId) -> PathBuf {
        self.run_dir(id).join(RESTARTING)
    }
}
