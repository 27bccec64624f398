//! `restart`: stop, then start.

use crate::engine::Engine;
use crate::error::Result;
use crate::request::{RestartRequest, Timeout};

impl Engine {
    /// Stops the container where it runs, and starts it.
    ///
    /// # Errors
    /// As [`Engine::stop`] and [`Engine::start`].
    pub fn restart(&self, request: &RestartRequest) -> Result<()> {
        let id = self.resolve(&request.container)?;
        self.stop_id(&id, request.timeout.map(Timeout::duration))?;
        self.start_id(&id).map(drop)
    }
}
