//! `diff`: what a container has changed in its image, or an image in the one below it.

use dhow_storage::{Change, ChangeKind};

use crate::engine::Engine;
use crate::error::{Error, Result};
use crate::report::DiffReport;

impl Engine {
    /// What the container or image `object` differs in from what it stands on. A container goes before an image of
    /// the same name.
    ///
    /// # Errors
    /// [`Error::NoSuch`] where neither exists.
    pub fn diff(&self, object: &str, other: Option<&str>) -> Result<DiffReport> {
        if let Some(other) = other {
            return Err(Error::Invalid(format!(
                "{object} cannot be compared with {other}: only with what it stands on itself"
            )));
        }
        let changes = match self.resolve(object) {
            Ok(id) => {
                let config = self.config_of(&self.snapshot(&id)?)?;
                self.rootfs(&id, &config)?.changes()
            }
            Err(Error::NoSuch { .. }) => {
                let image = self.find_image(object)?;
                self.storage()?.layer_changes(&image.layers)
            }
            Err(error) => return Err(error),
        };
        Ok(report(changes.map_err(Error::Storage)?))
    }
}

fn report(changes: Vec<Change>) -> DiffReport {
    let mut report = DiffReport::default();
    for change in changes {
        let path = change.path.to_string_lossy().into_owned();
        match change.kind {
            ChangeKind::Modified => report.changed.push(path),
            ChangeKind::Added => report.added.push(path),
            ChangeKind::Deleted => report.deleted.push(path),
        }
    }
    report
}
