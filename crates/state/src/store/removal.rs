//! Taking a container away: the same steps for one that was removed, one that was never finished, and one that is damaged.

use std::io;
use std::path::Path;

use dhow_sys::fs::remove_tree;
use dhow_sys::lock::FileLock;

use crate::document;
use crate::error::{Error, Result};
use crate::id::ContainerId;
use crate::layout::Layout;
use crate::name::VolumeName;
use crate::store::names;
use crate::volumes::Volumes;

/// A container that is to go, whatever its files say; under its lock.
#[must_use = "nothing is removed before `finish`"]
#[derive(Debug)]
pub struct Eviction {
    layout: Layout,
    id: ContainerId,
    lock: FileLock,
}

impl Eviction {
    pub(super) fn new(layout: Layout, id: ContainerId, lock: FileLock) -> Self {
        Eviction { layout, id, lock }
    }

    /// Whose.
    #[must_use]
    pub fn id(&self) -> &ContainerId {
        &self.id
    }

    /// What can still be read of the monitor's and the engine's word about its processes; damaged files say nothing.
    #[must_use]
    pub fn processes(&self) -> Vec<dhow_sys::pidfd::ProcessId> {
        let started = crate::snapshot::read_started(&self.layout, &self.id).ok().flatten();
        let record: Option<crate::record::Record> =
            document::read(&self.layout.record(&self.id), document::MAX_RECORD).ok().flatten();
        let mut processes: Vec<_> = started.iter().flat_map(|s| [s.container, s.monitor]).collect();
        processes.extend(record.iter().flat_map(|r| [r.init, r.monitor]).flatten());
        processes
    }

    /// Removes name, run directory and directory.
    ///
    /// # Errors
    /// Something is mounted in there, or cannot be removed.
    pub fn finish(self) -> Result<()> {
        take_away(&self.layout, &self.id, self.lock)
    }
}

/// Removes everything of a container. Repeated after a crash at any point, it does the rest.
///
/// ORDER: the configuration goes before the name, and the name before the container's own word of it; the directory goes
/// last, for it is from there that an interrupted removal is found again; the lock goes before it, so that nothing is
/// left that is not.
pub(super) fn take_away(layout: &Layout, id: &ContainerId, lock: FileLock) -> Result<()> {
    let (dir, run_dir, config) = (layout.container_dir(id), layout.run_dir(id), layout.config(id));
    let names = names::all_of(layout, id)?;
    if config.symlink_metadata().is_ok() {
        // Committed: its volumes are not ours to judge. Must be gone before `config.json` is.
        names::unlink(&layout.intended_volumes(id))?;
    } else {
        remove_intended_volumes(layout, id)?;
    }
    empty(&run_dir, Some("lock"))?;
    if dir.symlink_metadata().is_ok_and(|meta| !meta.is_dir()) {
        // Somebody's damage.
        names::unlink(&dir)?;
    }
    // CRASH: from here on it is no container any more, for readers; whoever meets the directory goes on here.
    remove_tree(&config).map_err(Error::io("remove", &config))?;
    // ORDER: only now, so that until then the same name finds it, and the same command goes on.
    for name in &names {
        names::release(layout, name, id)?;
    }
    empty(&dir, None)?;
    // Those who wait for the lock find its file gone, make a new one, find the directory gone, and remove that again.
    lock.unlink().map_err(|source| Error::Lock { path: layout.lock(id), source })?;
    remove_dir(&run_dir)?;
    remove_dir(&dir)
}

fn remove_intended_volumes(layout: &Layout, id: &ContainerId) -> Result<()> {
    let path = layout.intended_volumes(id);
    let Ok(Some(bytes)) = document::read_bytes(&path, document::MAX_RECORD) else { return Ok(()) };
    for line in String::from_utf8_lossy(&bytes).lines() {
        if let Ok(name) = line.parse::<VolumeName>() {
            Volumes::new(layout).remove_if_there(&name)?;
        }
    }
    Ok(())
}

/// Removes what is in a directory, but one entry.
fn empty(dir: &Path, keep: Option<&str>) -> Result<()> {
    let entries = match std::fs::read_dir(dir) {
        Ok(entries) => entries,
        Err(e) if e.kind() == io::ErrorKind::NotFound => return Ok(()),
        // Not a directory at all: somebody's damage.
        Err(e) if e.kind() == io::ErrorKind::NotADirectory => {
            return remove_tree(dir).map_err(Error::io("remove", dir));
        }
        Err(e) => return Err(Error::io("read", dir)(e)),
    };
    for entry in entries {
        let entry = entry.map_err(Error::io("read", dir))?;
        if keep.is_none_or(|keep| entry.file_name() != keep) {
            let path = entry.path();
            remove_tree(&path).map_err(Error::io("remove", &path))?;
        }
    }
    Ok(())
}

/// Removes an empty directory. Not empty: somebody has come to lock it, and will do the same.
fn remove_dir(dir: &Path) -> Result<()> {
    match std::fs::remove_dir(dir) {
        Ok(()) => Ok(()),
        Err(e)
            if matches!(e.kind(), io::ErrorKind::NotFound | io::ErrorKind::DirectoryNotEmpty) =>
        {
            Ok(())
        }
        Err(e) => Err(Error::io("remove", dir)(e)),
    }
}
