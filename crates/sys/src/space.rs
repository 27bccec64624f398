//! How much a file system holds.

use std::io;
use std::path::Path;

/// Bytes of a file system.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Space {
    /// It has so many.
    pub total: u64,
    /// So many are taken.
    pub used: u64,
}

/// The space of the file system that `path` lies on: statvfs(3).
///
/// # Errors
/// The path does not exist or cannot be reached.
pub fn space(path: &Path) -> io::Result<Space> {
    let found = rustix::fs::statvfs(path)?;
    let total = found.f_blocks.saturating_mul(found.f_frsize);
    Ok(Space { total, used: total.saturating_sub(found.f_bfree.saturating_mul(found.f_frsize)) })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn no_more_is_used_than_there_is() {
        let root = space(Path::new("/")).unwrap();
        assert!(root.total > 0 && root.used <= root.total);
        assert!(space(Path::new("/nonexistent")).is_err());
    }
}
