//! `rename`.

use dhow_state::ContainerName;

use crate::engine::{Engine, lookup_error};
use crate::error::{Error, Result};

impl Engine {
    /// Gives the container another name.
    ///
    /// # Errors
    /// [`Error::NameInUse`]; the name is not one ([`Error::State`]).
    pub fn rename(&self, container: &str, new: &str) -> Result<()> {
        let id = self.resolve(container)?;
        let name: ContainerName = new.parse().map_err(Error::State)?;
        let mut held = self.hold(&id)?;
        held.locked.rename(&name).map_err(|e| match e {
            dhow_state::Error::NameInUse { name, by } => Error::NameInUse {
                name: name.to_string(),
                by: by.map_or_else(|| "another command".to_owned(), |id| id.to_string()),
            },
            other => lookup_error(other, id.as_str()),
        })
    }
}
