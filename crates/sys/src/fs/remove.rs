//! Removing a directory tree that others may have filled with anything.
//!
//! Works on descriptors, so that a directory exchanged for a symbolic link meanwhile is not followed; asks for each
//! directory with `RESOLVE_NO_XDEV`, so that a mount (a bind mount of the same file system too) is an error and never
//! emptied; keeps at most [`MAX_DEPTH`] descriptors open however deep the tree is.

use std::ffi::{CString, OsStr};
use std::io;
use std::os::fd::{AsFd, OwnedFd};
use std::os::unix::ffi::OsStrExt;
use std::path::Path;

use rustix::fs::{AtFlags, Dir, FileType, Mode, OFlags, RenameFlags, ResolveFlags};
use rustix::io::Errno;

/// Directories open at the same time. What is deeper is first moved up into the top of the tree.
const MAX_DEPTH: usize = 48;
/// How often a directory is read again because it was not empty after all (somebody fills it, or readdir skipped).
const MAX_PASSES: u32 = 16;

/// Removes `path` and everything below it. Nothing there: `Ok`. A symbolic link is removed, not followed.
///
/// CRASH: what is left is a smaller tree; the same call finishes it.
///
/// # Errors
/// `CrossesDevices` or `ResourceBusy` naming the entry if something is mounted in the tree (what is beside it may be
/// gone already); what unlink(2) says otherwise.
pub fn remove_tree(path: &Path) -> io::Result<()> {
    let (Some(parent), Some(name)) = (path.parent(), path.file_name()) else {
        return Err(io::Error::new(
            io::ErrorKind::InvalidInput,
            "cannot remove a path without a last component",
        ));
    };
    let parent = if parent.as_os_str().is_empty() { Path::new(".") } else { parent };
    let parent = match rustix::fs::open(
        parent,
        OFlags::PATH | OFlags::DIRECTORY | OFlags::CLOEXEC,
        Mode::empty(),
    ) {
        Ok(fd) => fd,
        Err(Errno::NOENT) => return Ok(()),
        Err(e) => return Err(e.into()),
    };
    let name = c_name(name.as_bytes())?;
    let error = |e: Errno| named(path, e);
    match unlink(&parent, &name).map_err(error)? {
        Unlinked::Gone => return Ok(()),
        Unlinked::Directory => {}
    }
    let Some(top) = open_dir(&parent, &name).map_err(error)? else { return Ok(()) };
    empty(path, top)?;
    match rustix::fs::unlinkat(&parent, &name, AtFlags::REMOVEDIR) {
        Ok(()) | Err(Errno::NOENT) => Ok(()),
        Err(e) => Err(error(e)),
    }
}

/// One directory being emptied; `name` is its entry in the frame below.
struct Frame {
    dir: Dir,
    fd: OwnedFd,
    name: CString,
    passes: u32,
}

fn frame(fd: OwnedFd, name: CString) -> Result<Frame, Errno> {
    Ok(Frame { dir: Dir::read_from(&fd)?, fd, name, passes: 0 })
}

/// Removes everything in the directory `top`, whose path is `path` (for messages).
fn empty(path: &Path, top: OwnedFd) -> io::Result<()> {
    let mut stack = vec![frame(top, CString::default()).map_err(|e| named(path, e))?];
    let mut moved = 0_u64;
    while let Some(current) = stack.last_mut() {
        let entry = match current.dir.next() {
            Some(Ok(entry)) => entry,
            Some(Err(e)) => return Err(named(&path_of(path, &stack, None), e)),
            None => {
                leave(path, &mut stack)?;
                continue;
            }
        };
        let name = entry.file_name().to_owned();
        if matches!(name.to_bytes(), b"." | b"..") {
            continue;
        }
        let step = if entry.file_type() == FileType::Directory {
            Ok(Unlinked::Directory)
        } else {
            unlink(&current.fd, &name)
        };
        match step {
            Ok(Unlinked::Gone) => {}
            Ok(Unlinked::Directory) => enter(path, &mut stack, &name, &mut moved)?,
            Err(e) => return Err(named(&path_of(path, &stack, Some(&name)), e)),
        }
    }
    Ok(())
}

/// Goes into the directory `name` of the last frame, or puts it off when that is too deep.
fn enter(path: &Path, stack: &mut Vec<Frame>, name: &CString, moved: &mut u64) -> io::Result<()> {
    let depth = stack.len();
    let Some(current) = stack.last_mut() else { return Ok(()) };
    let result = match rustix::fs::unlinkat(&current.fd, name, AtFlags::REMOVEDIR) {
        Ok(()) | Err(Errno::NOENT) => Ok(None),
        Err(_) if depth < MAX_DEPTH => open_dir(&current.fd, name),
        Err(_) => put_off(stack, name, moved).map(|()| None),
    };
    let opened = result.and_then(|fd| fd.map(|fd| frame(fd, name.clone())).transpose());
    match opened {
        Ok(Some(next)) => stack.push(next),
        Ok(None) => {}
        Err(e) => return Err(named(&path_of(path, stack, Some(name)), e)),
    }
    Ok(())
}

/// Moves a directory that is too deep into the top of the tree, whose next pass will meet it there.
fn put_off(stack: &[Frame], name: &CString, moved: &mut u64) -> Result<(), Errno> {
    let (Some(first), Some(last)) = (stack.first(), stack.last()) else { return Ok(()) };
    loop {
        let to = format!(".removing-{moved}");
        *moved += 1;
        match rustix::fs::renameat_with(
            &last.fd,
            name,
            &first.fd,
            to.as_str(),
            RenameFlags::NOREPLACE,
        ) {
            Err(Errno::EXIST) => {}
            other => return other,
        }
    }
}

/// The last frame has no entry left: removes its directory from the one above, or reads it again if it is not empty.
fn leave(path: &Path, stack: &mut Vec<Frame>) -> io::Result<()> {
    let Some(mut done) = stack.pop() else { return Ok(()) };
    let result = match stack.last() {
        Some(above) => rustix::fs::unlinkat(&above.fd, &done.name, AtFlags::REMOVEDIR),
        None if is_empty(&done.fd).map_err(|e| named(path, e))? => Ok(()),
        None => Err(Errno::NOTEMPTY),
    };
    match result {
        Ok(()) | Err(Errno::NOENT) => Ok(()),
        // POSIX says EEXIST or ENOTEMPTY. The top is read again whenever something was moved up into it.
        Err(Errno::NOTEMPTY | Errno::EXIST) if done.passes < MAX_PASSES || stack.is_empty() => {
            done.dir.rewind();
            done.passes += 1;
            stack.push(done);
            Ok(())
        }
        Err(e) => Err(named(&path_of(path, stack, Some(&done.name)), e)),
    }
}

fn is_empty(fd: &OwnedFd) -> Result<bool, Errno> {
    for entry in Dir::read_from(fd)? {
        if !matches!(entry?.file_name().to_bytes(), b"." | b"..") {
            return Ok(false);
        }
    }
    Ok(true)
}

enum Unlinked {
    Gone,
    Directory,
}

fn unlink(dir: impl AsFd, name: &CString) -> Result<Unlinked, Errno> {
    match rustix::fs::unlinkat(dir.as_fd(), name, AtFlags::empty()) {
        Ok(()) | Err(Errno::NOENT) => Ok(Unlinked::Gone),
        Err(Errno::ISDIR) => Ok(Unlinked::Directory),
        // Some file systems answer EPERM for a directory: look.
        Err(e) => match rustix::fs::statat(dir.as_fd(), name, AtFlags::SYMLINK_NOFOLLOW) {
            Ok(stat) if FileType::from_raw_mode(stat.st_mode) == FileType::Directory => {
                Ok(Unlinked::Directory)
            }
            Ok(_) => Err(e),
            Err(Errno::NOENT) => Ok(Unlinked::Gone),
            Err(_) => Err(e),
        },
    }
}

/// Opens a directory for reading, without following a link or entering a mount; `None`: it is gone.
fn open_dir(dir: impl AsFd, name: &CString) -> Result<Option<OwnedFd>, Errno> {
    let open = || {
        rustix::fs::openat2(
            dir.as_fd(),
            name,
            OFlags::RDONLY | OFlags::DIRECTORY | OFlags::NOFOLLOW | OFlags::CLOEXEC,
            Mode::empty(),
            ResolveFlags::NO_XDEV | ResolveFlags::NO_SYMLINKS | ResolveFlags::BENEATH,
        )
    };
    let opened = match open() {
        // A directory that even its owner may not read (mode 0000), without CAP_DAC_OVERRIDE.
        Err(Errno::ACCESS) => {
            let fd = rustix::fs::openat(
                dir.as_fd(),
                name,
                OFlags::PATH | OFlags::DIRECTORY | OFlags::NOFOLLOW | OFlags::CLOEXEC,
                Mode::empty(),
            )?;
            // fchmod does not take O_PATH descriptors; their link in /proc does, and names exactly this directory.
            let link = format!("/proc/self/fd/{}", std::os::fd::AsRawFd::as_raw_fd(&fd));
            rustix::fs::chmod(link, Mode::RWXU)?;
            open()
        }
        other => other,
    };
    match opened {
        Ok(fd) => Ok(Some(fd)),
        Err(Errno::NOENT) => Ok(None),
        Err(e) => Err(e),
    }
}

fn c_name(name: &[u8]) -> io::Result<CString> {
    CString::new(name).map_err(|e| io::Error::new(io::ErrorKind::InvalidInput, e))
}

fn path_of(top: &Path, stack: &[Frame], last: Option<&CString>) -> std::path::PathBuf {
    let mut path = top.to_path_buf();
    for name in stack.iter().map(|f| &f.name).filter(|n| !n.is_empty()).chain(last) {
        path.push(OsStr::from_bytes(name.to_bytes()));
    }
    path
}

fn named(path: &Path, error: Errno) -> io::Error {
    let cause = io::Error::from(error);
    let text = match error {
        Errno::XDEV | Errno::BUSY => format!("something is mounted on {}", path.display()),
        _ => format!("cannot remove {}: {cause}", path.display()),
    };
    io::Error::new(cause.kind(), text)
}

#[cfg(test)]
#[expect(clippy::disallowed_methods, reason = "tests make plain files to look at")]
mod tests {
    use super::*;
    use std::os::unix::fs::{PermissionsExt, symlink};

    #[test]
    fn removes_files_links_and_directories_of_any_mode_and_nothing_outside() {
        let dir = tempfile::tempdir().unwrap();
        let outside = dir.path().join("outside");
        std::fs::create_dir(&outside).unwrap();
        std::fs::write(outside.join("keep"), "").unwrap();
        let tree = dir.path().join("tree");
        std::fs::create_dir_all(tree.join("a/b/c")).unwrap();
        std::fs::create_dir_all(tree.join("closed/in")).unwrap();
        std::fs::write(tree.join("a/b/file"), "x").unwrap();
        symlink(&outside, tree.join("a/link")).unwrap();
        symlink("/", tree.join("a/b/root")).unwrap();
        std::fs::set_permissions(tree.join("closed"), std::fs::Permissions::from_mode(0o000))
            .unwrap();
        remove_tree(&tree).unwrap();
        assert!(!tree.exists());
        assert!(outside.join("keep").exists());
        remove_tree(&tree).unwrap();
        remove_tree(&dir.path().join("no/such")).unwrap();
    }

    #[test]
    fn a_link_or_a_file_at_the_top_is_removed_itself() {
        let dir = tempfile::tempdir().unwrap();
        std::fs::create_dir(dir.path().join("d")).unwrap();
        symlink("d", dir.path().join("l")).unwrap();
        std::fs::write(dir.path().join("f"), "").unwrap();
        remove_tree(&dir.path().join("l")).unwrap();
        remove_tree(&dir.path().join("f")).unwrap();
        assert!(dir.path().join("d").exists());
        assert!(std::fs::symlink_metadata(dir.path().join("l")).is_err());
        assert!(!dir.path().join("f").exists());
    }

    #[test]
    fn a_tree_deeper_than_any_path_or_descriptor_limit_goes_too() {
        let dir = tempfile::tempdir().unwrap();
        let tree = dir.path().join("tree");
        std::fs::create_dir(&tree).unwrap();
        let mut at =
            rustix::fs::open(&tree, OFlags::RDONLY | OFlags::DIRECTORY, Mode::empty()).unwrap();
        for _ in 0..1500 {
            rustix::fs::mkdirat(&at, "deep-directory", Mode::RWXU).unwrap();
            rustix::fs::mkdirat(&at, "beside", Mode::RWXU).unwrap();
            at = rustix::fs::openat(
                &at,
                "deep-directory",
                OFlags::RDONLY | OFlags::DIRECTORY,
                Mode::empty(),
            )
            .unwrap();
        }
        drop(at);
        remove_tree(&tree).unwrap();
        assert!(!tree.exists());
    }

    #[test]
    fn many_entries_in_one_directory() {
        let dir = tempfile::tempdir().unwrap();
        let tree = dir.path().join("tree");
        std::fs::create_dir(&tree).unwrap();
        for n in 0..3000 {
            std::fs::write(tree.join(n.to_string()), "").unwrap();
        }
        remove_tree(&tree).unwrap();
        assert!(!tree.exists());
    }

    #[test]
    fn the_root_directory_and_dotdot_are_refused() {
        assert_eq!(remove_tree(Path::new("/")).unwrap_err().kind(), io::ErrorKind::InvalidInput);
        assert_eq!(
            remove_tree(Path::new("/tmp/..")).unwrap_err().kind(),
            io::ErrorKind::InvalidInput
        );
    }

    #[test]
    fn a_mount_inside_is_named_and_left_alone() {
        // CLONE_NEWNS for this thread only: the mount is seen by nobody else and ends with the thread.
        let done = std::thread::spawn(|| {
            if nix::sched::unshare(nix::sched::CloneFlags::CLONE_NEWNS).is_err() {
                return; // not root: no mount to protect
            }
            nix::mount::mount(
                None::<&str>,
                "/",
                None::<&str>,
                nix::mount::MsFlags::MS_REC | nix::mount::MsFlags::MS_PRIVATE,
                None::<&str>,
            )
            .unwrap();
            let dir = tempfile::tempdir().unwrap();
            let (tree, other) = (dir.path().join("tree"), dir.path().join("other"));
            std::fs::create_dir_all(tree.join("a/mounted")).unwrap();
            std::fs::create_dir(&other).unwrap();
            std::fs::write(other.join("keep"), "").unwrap();
            nix::mount::mount(
                Some(&other),
                &tree.join("a/mounted"),
                None::<&str>,
                nix::mount::MsFlags::MS_BIND,
                None::<&str>,
            )
            .unwrap();
            let error = remove_tree(&tree).unwrap_err();
            assert!(error.to_string().contains("a/mounted"), "{error}");
            assert!(other.join("keep").exists());
            let error = remove_tree(&tree.join("a/mounted")).unwrap_err();
            assert!(error.to_string().contains("a/mounted"), "{error}");
            nix::mount::umount(&tree.join("a/mounted")).unwrap();
            remove_tree(&tree).unwrap();
            assert!(!tree.exists());
        });
        done.join().unwrap();
    }
}
