//! `attach`, and what lets a command in the foreground do the cleanup itself.

use std::path::{Path, PathBuf};

use dhow_state::{ContainerId, Status};
use dhow_sys::lock::{FileLock, LockMode};

use crate::engine::Engine;
use crate::error::{Error, Result};
use crate::request::{AttachRequest, RemoveRequest};
use crate::session::AttachSession;

/// The empty file whose lock says that a command attends the container.
const ATTENDED: &str = "attended";

impl Engine {
    /// Attaches to a running container, or to one that waits to be started.
    ///
    /// # Errors
    /// [`Error::InvalidState`] where there is nothing to attach to.
    pub fn attach(&self, request: &AttachRequest) -> Result<AttachSession> {
        let id = self.resolve(&request.container)?;
        let snapshot = self.snapshot(&id)?;
        let config = self.config_of(&snapshot)?;
        match snapshot.status() {
            Status::Running | Status::Initialized | Status::Paused | Status::Stopping => {}
            status => {
                return Err(Error::InvalidState {
                    verb: "attach to",
                    id,
                    status,
                    hint: "; start it first",
                });
            }
        }
        if config.log.driver == crate::request::LogDriver::Passthrough {
            return Err(Error::Invalid(format!(
                "container {id} writes to the terminal it was started from (--log-driver passthrough); there is nothing to attach to"
            )));
        }
        let log = config.log.whole().map(Path::to_owned);
        AttachSession::connect(&self.run_dir(&id), config.spec.terminal, log)
    }

    /// Attends the container, before it is started: as long as the guard lives, the monitor leaves the cleanup to us.
    /// If this process dies, the monitor's exit command does it.
    ///
    /// # Errors
    /// The lock cannot be made.
    pub fn attend(&self, container: &str) -> Result<Attendance<'_>> {
        let id = self.resolve(container)?;
        let path = self.attended(&id);
        let lock =
            FileLock::acquire(&path, LockMode::Exclusive, Some(std::time::Duration::from_secs(10)))
                .map_err(|source| Error::Lock { path: path.clone(), source })?;
        Ok(Attendance { engine: self, id, lock: Some(lock) })
    }

    /// The file that says so.
    pub(crate) fn attended(&self, id: &ContainerId) -> PathBuf {
        self.run_dir(id).join(ATTENDED)
    }
}

/// The promise to clean up after a container.
#[must_use = "dropped, it leaves the cleanup to the monitor"]
#[derive(Debug)]
pub struct Attendance<'a> {
    engine: &'a Engine,
    id: ContainerId,
    lock: Option<FileLock>,
}

impl Attendance<'_> {
    /// Keeps the promise: cleans up, or removes with `--rm`.
    ///
    /// # Errors
    /// What the cleanup says; the monitor tries again then.
    pub fn finish(mut self) -> Result<()> {
        let engine = self.engine;
        let snapshot = match engine.snapshot(&self.id) {
            // Somebody else has removed it.
            Err(Error::NoSuch { .. }) => return Ok(()),
            other => other?,
        };
        if snapshot.config.auto_remove {
            let request = RemoveRequest {
                container: self.id.to_string(),
                volumes: true,
                ..RemoveRequest::default()
            };
            match engine.remove(&request) {
                Err(Error::NoSuch { .. }) | Ok(()) => {}
                Err(e) => return Err(e),
            }
        } else {
            engine.clean(&self.id)?;
            if let Some(lock) = self.lock.take() {
                // ORDER: unlinked while locked. The monitor finds no file and leaves.
                let path = engine.attended(&self.id);
                lock.unlink().map_err(|source| Error::Lock { path, source })?;
            }
        }
        Ok(())
    }
}
