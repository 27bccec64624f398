//! `diff`: what a container has changed in its image, or an image in the one below it.

use dhow_storage::{Change, ChangeKind};

use crate::engine::Engine;
use crate::error::{Error, Result};
use crate::report::DiffReport;

/// What the engine and the runtime put into every container: mount points and the files mounted there. Podman leaves
/// the same out.
const MADE_BY_THE_ENGINE: [&str; 10] = [
    "/dev",
    "/etc/hostname",
    "/etc/hosts",
    "/etc/mtab",
    "/etc/resolv.conf",
    "/proc",
    "/run",
    "/run/.containerenv",
    "/run/dhow-init",
    "/sys",
];

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
                self.rootfs(&id, &config)?.changes().map(users_own)
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

/// The changes that the container's user has made.
fn users_own(changes: Vec<Change>) -> Vec<Change> {
    let made = |change: &Change| {
        change.kind != ChangeKind::Deleted
            && MADE_BY_THE_ENGINE.iter().any(|path| change.path == std::path::Path::new(path))
    };
    changes.into_iter().filter(|change| !made(change)).collect()
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_the_engine_made_is_left_out_and_what_was_deleted_is_not() {
        let change = |kind, path: &str| Change { path: path.into(), kind };
        let own = users_own(vec![
            change(ChangeKind::Modified, "/etc"),
            change(ChangeKind::Added, "/etc/hosts"),
            change(ChangeKind::Added, "/run"),
            change(ChangeKind::Added, "/run/mine"),
            change(ChangeKind::Deleted, "/sys"),
        ]);
        let paths: Vec<_> = own.iter().map(|change| change.path.display().to_string()).collect();
        assert_eq!(paths, ["/etc", "/run/mine", "/sys"]);
    }
}
