//! `export`: a container's file system as a tar stream.

use std::io::Write;

use crate::engine::Engine;
use crate::error::{Error, Result};

impl Engine {
    /// Writes the container's whole file system to `output` as an uncompressed tar archive. Volumes are not in it.
    /// No lock is held meanwhile: a container that writes goes on writing, and one that is removed ends the export
    /// with an error.
    ///
    /// # Errors
    /// [`Error::NoSuch`]; the file system cannot be mounted or read; `output` cannot be written.
    pub fn export(&self, container: &str, output: &mut (dyn Write + Send)) -> Result<()> {
        // Counted like a user's mount, so that a cleanup meanwhile leaves it to us.
        let id = self.resolve(container)?;
        let mounted = self.mount(id.as_str())?;
        let exported = dhow_storage::export(&mounted, output).map_err(Error::Storage);
        let unmounted = self.unmount(id.as_str(), false);
        exported.and(unmounted)
    }
}
