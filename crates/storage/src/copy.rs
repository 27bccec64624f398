//! Copying files and trees with all that they have: owner, mode, attributes, times, holes, hard links.

use std::collections::HashMap;
use std::ffi::OsStr;
use std::fs::File;
use std::io::{self, Read, Seek, SeekFrom};
use std::os::fd::{AsFd, BorrowedFd};
use std::path::{Path, PathBuf};

use dhow_sys::root::{Mode, OFlags, Root, reopen};
use rustix::fs::{AtFlags, FileType, Stat};
use rustix::io::Errno;

use crate::attributes::Attributes;
use crate::error::{Doing, Error, Result};
use crate::merged::{OPEN_DIR, read_dir, stat};

/// Directories inside one another; each level is an open descriptor.
pub(crate) const MAX_DEPTH: usize = 400;

/// Copies what the directory `path` of `source` holds into `destination`, which takes over its owner, mode and times: a
/// new volume is filled with what the image has at its place. Links on the way to `path` are followed inside `source`;
/// in the tree they are copied as they are. Nothing at `path`, or no directory: nothing is done, as there is nothing to
/// fill the volume with.
///
/// # Errors
/// [`Error::Io`] naming the file; `destination` is then filled in part.
pub fn copy_tree(source: &Root, path: &Path, destination: &Path) -> Result<()> {
    let from = match source.open_at(path, OFlags::RDONLY | OFlags::DIRECTORY, Mode::empty()) {
        Ok(from) => from,
        Err(e) if matches!(e.kind(), io::ErrorKind::NotFound | io::ErrorKind::NotADirectory) => {
            return Ok(());
        }
        Err(e) => return Err(Error::io("open", path, e)),
    };
    let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::CLOEXEC;
    let to = rustix::fs::open(destination, flags, Mode::empty()).doing("open", destination)?;
    let mut copy = TreeCopy { to: to.as_fd(), links: HashMap::new() };
    copy.directory(from.as_fd(), to.as_fd(), &mut PathBuf::new(), 0)
}

struct TreeCopy<'a> {
    to: BorrowedFd<'a>,
    /// Where in the copy a file with several names is.
    links: HashMap<(u64, u64), PathBuf>,
}

impl TreeCopy<'_> {
    fn directory(
        &mut self,
        from: BorrowedFd<'_>,
        to: BorrowedFd<'_>,
        path: &mut PathBuf,
        depth: usize,
    ) -> Result<()> {
        if depth > MAX_DEPTH {
            return Err(too_deep());
        }
        for name in read_dir(from).doing("read", &*path)? {
            path.push(&name);
            // Gone since the directory was read: not copied.
            if let Some(stat) = stat(from, &name).doing("stat", &*path)? {
                self.node(from, to, &name, &stat, path, depth)?;
            }
            path.pop();
        }
        let set = || -> io::Result<()> {
            Attributes::of(from, OsStr::new("."), &rustix::fs::fstat(from)?)?.set(to)
        };
        set().doing("copy the attributes of", &*path)
    }

    fn node(
        &mut self,
        from: BorrowedFd<'_>,
        to: BorrowedFd<'_>,
        name: &OsStr,
        stat: &Stat,
        path: &mut PathBuf,
        depth: usize,
    ) -> Result<()> {
        if FileType::from_raw_mode(stat.st_mode) == FileType::Directory {
            let open = || -> io::Result<_> {
                let child = rustix::fs::openat(from, name, OPEN_DIR, Mode::empty())?;
                match rustix::fs::mkdirat(to, name, Mode::from_raw_mode(0o700)) {
                    Ok(()) | Err(Errno::EXIST) => {}
                    Err(e) => return Err(e.into()),
                }
                Ok((child, rustix::fs::openat(to, name, OPEN_DIR, Mode::empty())?))
            };
            let (child, made) = open().doing("copy", &*path)?;
            return self.directory(child.as_fd(), made.as_fd(), path, depth + 1);
        }
        let key = (stat.st_dev, stat.st_ino);
        if stat.st_nlink > 1
            && let Some(first) = self.links.get(&key)
        {
            let linked = rustix::fs::linkat(self.to, first, to, name, AtFlags::empty());
            return linked.doing("link", &*path);
        }
        copy_node(from, name, stat, to, name).doing("copy", &*path)?;
        if stat.st_nlink > 1 {
            self.links.insert(key, path.clone());
        }
        Ok(())
    }
}

pub(crate) fn too_deep() -> Error {
    Error::TooLarge { what: "directory tree", limit: format!("{MAX_DEPTH} levels") }
}

/// Copies one entry that is no directory; gives the length of a regular file. A socket is left out: it leads to a process.
pub(crate) fn copy_node(
    from: impl AsFd,
    name: &OsStr,
    stat: &Stat,
    to: impl AsFd,
    new: &OsStr,
) -> io::Result<u64> {
    let (from, to) = (from.as_fd(), to.as_fd());
    let attributes = Attributes::of(from, name, stat)?;
    let mode = Mode::from_raw_mode(0o600);
    match FileType::from_raw_mode(stat.st_mode) {
        FileType::RegularFile => {
            let mut source = open_file(from, name)?;
            let flags = OFlags::WRONLY | OFlags::CREATE | OFlags::EXCL | OFlags::CLOEXEC;
            let mut made = File::from(rustix::fs::openat(to, new, flags, mode)?);
            let length = copy_data(&mut source, &mut made)?;
            attributes.set(&made)?;
            return Ok(length);
        }
        FileType::Symlink => {
            rustix::fs::symlinkat(rustix::fs::readlinkat(from, name, Vec::new())?, to, new)?;
            attributes.set_at(to, new, true)?;
        }
        kind @ (FileType::CharacterDevice | FileType::BlockDevice | FileType::Fifo) => {
            rustix::fs::mknodat(to, new, kind, mode, stat.st_rdev)?;
            attributes.set_at(to, new, false)?;
        }
        _ => {}
    }
    Ok(0)
}

/// Opens a regular file of a directory, and nothing else, though it may have been replaced since it was looked at.
pub(crate) fn open_file(dir: BorrowedFd<'_>, name: &OsStr) -> io::Result<File> {
    let flags = OFlags::PATH | OFlags::NOFOLLOW | OFlags::CLOEXEC;
    reopen(&rustix::fs::openat(dir, name, flags, Mode::empty())?.into(), OFlags::RDONLY)
}

/// The data of a file, holes left out; gives its length.
fn copy_data(from: &mut File, to: &mut File) -> io::Result<u64> {
    let length = from.metadata()?.len();
    let mut at = 0;
    while at < length {
        let data = match rustix::fs::seek(&*from, rustix::fs::SeekFrom::Data(at)) {
            Ok(data) => data,
            // Nothing but a hole up to the end.
            Err(Errno::NXIO) => break,
            // A file system that knows no holes.
            Err(Errno::INVAL) => at,
            Err(e) => return Err(e.into()),
        };
        let end = rustix::fs::seek(&*from, rustix::fs::SeekFrom::Hole(data)).unwrap_or(length);
        from.seek(SeekFrom::Start(data))?;
        to.seek(SeekFrom::Start(data))?;
        let copied = io::copy(&mut from.take(end.saturating_sub(data)), to)?;
        if copied == 0 {
            // It has become shorter meanwhile.
            break;
        }
        at = data + copied;
    }
    to.set_len(length)?;
    Ok(length)
}
