//! Whether `run` is of this boot. The boot id decides: a run directory is not always on a tmpfs.

use std::path::Path;

use dhow_sys::fs::{Durability, create_dir_all, read_bounded, remove_tree, write_atomic};
use dhow_sys::lock::{FileLock, LockMode};

use crate::error::{Error, Result};
use crate::layout::Layout;
use crate::store::SHORT_WAIT;

/// Begins the names of what is left of earlier boots and could not be removed at once.
const STALE: &str = "stale-";

/// Makes sure that all below `run` is of the boot `boot_id`; whether that took anything.
pub(super) fn check(layout: &Layout, boot_id: &str) -> Result<bool> {
    if is_of(layout, boot_id) {
        return Ok(false);
    }
    create_dir_all(&layout.run, 0o700).map_err(Error::io("create", &layout.run))?;
    let path = layout.run_lock();
    let lock = FileLock::acquire(&path, LockMode::Exclusive, Some(SHORT_WAIT))
        .map_err(|source| Error::Lock { path, source })?;
    if is_of(layout, boot_id) {
        // Somebody was faster.
        return Ok(false);
    }
    // Renamed, not emptied: it takes one step, and succeeds even if something is mounted in there. Only what is ours: the
    // user may have named a directory with other things in it.
    for dir in [layout.run_containers(), layout.exits(), layout.runtime(), layout.run_networks()] {
        set_aside(layout, &dir, boot_id)?;
        create_dir_all(&dir, 0o700).map_err(Error::io("create", &dir))?;
    }
    // CRASH: killed before this, the next one does it all again; there are no containers of this boot yet.
    write_atomic(&layout.boot(), boot_id.as_bytes(), 0o600, Durability::Volatile)
        .map_err(Error::io("write", &layout.boot()))?;
    remove_stale(layout);
    drop(lock);
    Ok(true)
}

fn is_of(layout: &Layout, boot_id: &str) -> bool {
    read_bounded(&layout.boot(), 4096).is_ok_and(|bytes| bytes == boot_id.as_bytes())
}

fn set_aside(layout: &Layout, dir: &Path, boot_id: &str) -> Result<()> {
    let name = dir.file_name().unwrap_or_default().to_string_lossy();
    for attempt in 0..1000 {
        let to = layout.run.join(format!("{STALE}{name}-{boot_id}-{attempt}"));
        match std::fs::rename(dir, &to) {
            Ok(()) => return Ok(()),
            Err(e) if e.kind() == std::io::ErrorKind::NotFound => return Ok(()),
            // Left by one who was killed in between, and not empty.
            Err(e)
                if matches!(
                    e.kind(),
                    std::io::ErrorKind::DirectoryNotEmpty | std::io::ErrorKind::AlreadyExists
                ) => {}
            Err(e) => return Err(Error::io("set aside", dir)(e)),
        }
    }
    Err(Error::io("set aside", dir)(std::io::ErrorKind::AlreadyExists.into()))
}

/// As far as it goes: what is mounted in there stays.
fn remove_stale(layout: &Layout) {
    let Ok(entries) = std::fs::read_dir(&layout.run) else { return };
    for entry in entries.flatten().filter(|e| e.file_name().to_string_lossy().starts_with(STALE)) {
        if let Err(error) = remove_tree(&entry.path()) {
            tracing::debug!(path = %entry.path().display(), %error, "what an earlier boot left cannot be removed");
        }
    }
}
