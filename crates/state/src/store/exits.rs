//! How removed containers ended, for those who waited for them: `run/exits/<id>.json`.

use std::time::SystemTime;

use dhow_sys::fs::Durability;

use crate::document;
use crate::error::Result;
use crate::id::ContainerId;
use crate::layout::Layout;
use crate::record::Exit;

/// So many are kept; a few more until somebody counts.
const KEPT: usize = 1024;

/// Keeps the end of a container that is about to go.
pub(super) fn keep(layout: &Layout, id: &ContainerId, exit: &Exit) -> Result<()> {
    document::write(&layout.exit_of_removed(id), exit, Durability::Volatile)?;
    // Counting takes a listing: one removal in sixteen does it.
    if id.as_str().starts_with('0') {
        prune(layout, KEPT);
    }
    Ok(())
}

/// Removes the oldest, as far as it goes.
pub(super) fn prune(layout: &Layout, keep: usize) {
    let Ok(entries) = std::fs::read_dir(layout.exits()) else { return };
    let mut files: Vec<(SystemTime, std::path::PathBuf)> = entries
        .flatten()
        .filter_map(|entry| Some((entry.metadata().ok()?.modified().ok()?, entry.path())))
        .collect();
    files.sort();
    let surplus = files.len().saturating_sub(keep);
    for (_, path) in files.into_iter().take(surplus) {
        if let Err(error) = std::fs::remove_file(&path) {
            tracing::debug!(path = %path.display(), %error, "old exit fact not removed");
        }
    }
}
