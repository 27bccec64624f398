//! Named blobs that belong to a container and go with it.

use std::io;

use dhow_sys::fs::read_bounded;

use crate::error::{Error, Result};
use crate::id::ContainerId;
use crate::layout::Layout;
use crate::name::ArtifactName;

/// Larger ones are not read.
const MAX_ARTIFACT: u64 = 256 << 20;

/// The artifacts of one container, for reading. [`crate::Locked`] adds and removes.
#[derive(Debug, Clone, Copy)]
pub struct Artifacts<'a> {
    layout: &'a Layout,
    id: &'a ContainerId,
}

impl<'a> Artifacts<'a> {
    pub(crate) fn new(layout: &'a Layout, id: &'a ContainerId) -> Self {
        Artifacts { layout, id }
    }

    /// Their names, sorted.
    ///
    /// # Errors
    /// The directory cannot be read.
    pub fn list(self) -> Result<Vec<ArtifactName>> {
        let dir = self.layout.artifacts(self.id);
        let entries = match std::fs::read_dir(&dir) {
            Ok(entries) => entries,
            Err(e) if e.kind() == io::ErrorKind::NotFound => return Ok(Vec::new()),
            Err(e) => return Err(Error::io("read", &dir)(e)),
        };
        let mut names = Vec::new();
        for entry in entries {
            let entry = entry.map_err(Error::io("read", &dir))?;
            // The temporary file of a killed writer begins with a dot, which no name does.
            names.extend(entry.file_name().to_str().and_then(|name| name.parse().ok()));
        }
        names.sort();
        Ok(names)
    }

    /// The bytes of one.
    ///
    /// # Errors
    /// [`Error::NoArtifact`].
    pub fn get(self, name: &ArtifactName) -> Result<Vec<u8>> {
        let path = self.layout.artifact(self.id, name);
        match read_bounded(&path, MAX_ARTIFACT) {
            Ok(bytes) => Ok(bytes),
            Err(e) if e.kind() == io::ErrorKind::NotFound => {
                Err(Error::NoArtifact { id: self.id.clone(), name: name.to_string() })
            }
            Err(e) => Err(Error::io("read", &path)(e)),
        }
    }
}
