//! Changing the owner of a directory tree that others may be changing at the same time.

use std::ffi::{CString, OsStr};
use std::io;
use std::os::unix::ffi::OsStrExt;
use std::path::{Path, PathBuf};

use rustix::fs::{AtFlags, Dir, FileType, Gid, Mode, OFlags, ResolveFlags, Uid};
use rustix::io::Errno;

/// Gives `path` and everything below it, on its file system, to `uid` and `gid`. Symbolic links are changed themselves and
/// never followed, and other mounts are left alone. Entries that vanish meanwhile are passed over.
///
/// # Errors
/// What chown(2) or openat2(2) says, naming the entry; what was before it is changed already, and the same call goes on.
pub fn change_owner(path: &Path, uid: u32, gid: u32) -> io::Result<()> {
    let (uid, gid) = (Some(Uid::from_raw(uid)), Some(Gid::from_raw(gid)));
    let named = |entry: &Path, e: Errno| {
        io::Error::new(
            io::Error::from(e).kind(),
            format!("{}: {}", path.join(entry).display(), io::Error::from(e)),
        )
    };
    let top = rustix::fs::open(path, OFlags::PATH | OFlags::CLOEXEC, Mode::empty())?;
    rustix::fs::chownat(&top, c"", uid, gid, AtFlags::EMPTY_PATH)?;
    if FileType::from_raw_mode(rustix::fs::fstat(&top)?.st_mode) != FileType::Directory {
        return Ok(());
    }
    let mut pending = vec![PathBuf::from(".")];
    while let Some(relative) = pending.pop() {
        // Asked for from the top each time, so that one descriptor is open however deep the tree is.
        let opened = rustix::fs::openat2(
            &top,
            &relative,
            OFlags::RDONLY | OFlags::DIRECTORY | OFlags::NOFOLLOW | OFlags::CLOEXEC,
            Mode::empty(),
            ResolveFlags::BENEATH | ResolveFlags::NO_SYMLINKS | ResolveFlags::NO_XDEV,
        );
        let directory = match opened {
            Ok(fd) => fd,
            // Gone, exchanged for something else, or a mount.
            Err(Errno::NOENT | Errno::NOTDIR | Errno::LOOP | Errno::XDEV) => continue,
            Err(e) => return Err(named(&relative, e)),
        };
        for entry in Dir::read_from(&directory).map_err(|e| named(&relative, e))? {
            let entry = entry.map_err(|e| named(&relative, e))?;
            let name: CString = entry.file_name().to_owned();
            if matches!(name.to_bytes(), b"." | b"..") {
                continue;
            }
            let below = relative.join(OsStr::from_bytes(name.to_bytes()));
            match rustix::fs::chownat(&directory, &name, uid, gid, AtFlags::SYMLINK_NOFOLLOW) {
                Ok(()) | Err(Errno::NOENT) => {}
                Err(e) => return Err(named(&below, e)),
            }
            if matches!(entry.file_type(), FileType::Directory | FileType::Unknown) {
                pending.push(below);
            }
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::os::unix::fs::MetadataExt;

    #[test]
    fn changes_what_is_below_and_follows_no_link() {
        if !rustix::process::geteuid().is_root() {
            return;
        }
        let dir = tempfile::tempdir().unwrap();
        let outside = dir.path().join("outside");
        std::fs::create_dir(&outside).unwrap();
        let tree = dir.path().join("tree");
        std::fs::create_dir_all(tree.join("a/b")).unwrap();
        std::fs::File::create(tree.join("a/b/file")).unwrap();
        std::os::unix::fs::symlink(&outside, tree.join("a/link")).unwrap();
        change_owner(&tree, 1234, 2345).unwrap();
        for path in ["", "a", "a/b", "a/b/file", "a/link"] {
            let meta = std::fs::symlink_metadata(tree.join(path)).unwrap();
            assert_eq!((meta.uid(), meta.gid()), (1234, 2345), "{path}");
        }
        assert_eq!(std::fs::metadata(&outside).unwrap().uid(), 0);
    }
}
