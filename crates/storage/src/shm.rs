//! `/dev/shm` of a container: a tmpfs on the host, so that containers can share it and it outlives a restart of init.

use std::path::Path;

use dhow_sys::mount::{MountFlags, Tmpfs, mount_tmpfs, unmount};
use dhow_sys::mountinfo::is_mount_point;

use crate::error::{Doing, Result};

/// Mounts a tmpfs of `size` bytes on `dir`, which is made if need be: mode 1777, nosuid, nodev, noexec. Mounted already:
/// nothing is done.
///
/// # Errors
/// [`Error::Io`](crate::Error::Io).
pub fn mount_shm(dir: &Path, size: u64, context: Option<&str>) -> Result<()> {
    if is_mount_point(dir).doing("look at", dir)? {
        return Ok(());
    }
    dhow_sys::fs::create_dir_all(dir, 0o700).doing("create", dir)?;
    let flags = MountFlags { nosuid: true, nodev: true, noexec: true, read_only: false };
    let shm = Tmpfs { source: "shm", size: Some(size), mode: 0o1777, flags, context, inodes: None };
    mount_tmpfs(&shm, dir).doing("mount tmpfs on", dir)
}

/// Unmounts it; false: it was not mounted. Processes that still have it keep it.
///
/// # Errors
/// [`Error::Io`](crate::Error::Io).
pub fn unmount_shm(dir: &Path) -> Result<bool> {
    let mut mounted = false;
    // More than one if two commands raced, which the container's lock should prevent.
    while unmount(dir, true).doing("unmount", dir)? {
        mounted = true;
    }
    Ok(mounted)
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::PermissionsExt;

    use super::*;

    #[test]
    fn mounted_once_with_its_size_and_mode() {
        let temp = tempfile::tempdir().unwrap();
        let dir = temp.path().join("shm");
        assert!(!unmount_shm(&dir).unwrap());
        mount_shm(&dir, 1 << 20, None).unwrap();
        mount_shm(&dir, 1 << 20, None).unwrap();
        let entry = &dhow_sys::mountinfo::mounts_below(&dir).unwrap()[0];
        assert!(entry.super_options.to_string_lossy().contains("size=1024k"), "{entry:?}");
        let mode = dir.metadata().unwrap().permissions().mode();
        assert_eq!(mode & 0o7777, 0o1777);
        assert!(unmount_shm(&dir).unwrap());
        assert!(!is_mount_point(&dir).unwrap());
    }
}
