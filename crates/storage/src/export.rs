//! A tree as a tar stream: a container's whole file system, or one layer with its whiteouts.
//!
//! Nothing is locked and no link is followed; a mount inside the tree is an empty directory in the archive. A file that
//! changes while it is read is in the archive with the length that it had when it was looked at.

use std::collections::HashMap;
use std::ffi::OsStr;
use std::io::{self, BufWriter, Write};
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::os::unix::ffi::{OsStrExt, OsStringExt};
use std::path::Path;

use rustix::fs::{FileType, Mode, ResolveFlags, Stat};
use rustix::io::Errno;

use crate::archive::{Entry, Kind, Writer};
use crate::attributes::Attributes;
use crate::copy::{MAX_DEPTH, open_file, too_deep};
use crate::error::{Doing, Error, Result};
use crate::merged::{OPEN_DIR, is_opaque, is_whiteout, read_dir, stat};

const BUFFER: usize = 128 * 1024;

/// Writes everything below `dir` to `out` as an uncompressed tar, in order of the names.
///
/// # Errors
/// [`Error::Io`] naming the file, or the output's error. `out` then holds a part of an archive without an end.
pub fn export(dir: &Path, out: impl Write) -> Result<()> {
    write(dir, out, Marks::None)
}

/// The same of one layer, overlayfs's marks written as OCI whiteouts.
pub(crate) fn layer_tar(dir: &Path, out: impl Write, userxattr: bool) -> Result<()> {
    write(dir, out, Marks::Oci { userxattr })
}

#[derive(Clone, Copy)]
enum Marks {
    None,
    Oci { userxattr: bool },
}

fn write(dir: &Path, out: impl Write, marks: Marks) -> Result<()> {
    let flags = OPEN_DIR.difference(dhow_sys::root::OFlags::NOFOLLOW);
    let root = rustix::fs::open(dir, flags, Mode::empty()).doing("open", dir)?;
    let mut tree = Tree {
        writer: Writer::new(BufWriter::with_capacity(BUFFER, out)),
        marks,
        path: Vec::new(),
        links: HashMap::new(),
    };
    tree.directory(root.as_fd(), 0)?;
    let out = tree.writer.finish().map_err(output)?;
    drop(out);
    Ok(())
}

fn output(source: io::Error) -> Error {
    Error::io("write", "archive", source)
}

struct Tree<W: Write> {
    writer: Writer<W>,
    marks: Marks,
    path: Vec<u8>,
    /// The first name of a file that has several.
    links: HashMap<(u64, u64), Vec<u8>>,
}

impl<W: Write> Tree<W> {
    fn directory(&mut self, dir: BorrowedFd<'_>, depth: usize) -> Result<()> {
        if depth > MAX_DEPTH {
            return Err(too_deep());
        }
        let length = self.path.len();
        for name in read_dir(dir).doing("read", self.shown())? {
            if length > 0 {
                self.path.push(b'/');
            }
            self.path.extend_from_slice(name.as_bytes());
            // What is gone since the directory was read is not in the archive.
            if let Some(stat) = stat(dir, &name).doing("stat", self.shown())? {
                self.entry(dir, &name, &stat, depth)?;
            }
            self.path.truncate(length);
        }
        Ok(())
    }

    fn entry(
        &mut self,
        dir: BorrowedFd<'_>,
        name: &OsStr,
        stat: &Stat,
        depth: usize,
    ) -> Result<()> {
        if matches!(self.marks, Marks::Oci { .. }) && is_whiteout(stat) {
            let parent = self.path.len() - name.len();
            let path = [self.path.get(..parent).unwrap_or_default(), b".wh.", name.as_bytes()];
            return self.append(&Entry::new(path.concat(), Kind::File), io::empty());
        }
        let kind = match FileType::from_raw_mode(stat.st_mode) {
            FileType::RegularFile => Kind::File,
            FileType::Directory => Kind::Directory,
            FileType::Symlink => Kind::Symlink,
            FileType::CharacterDevice => Kind::Character,
            FileType::BlockDevice => Kind::Block,
            FileType::Fifo => Kind::Fifo,
            // A socket leads to a process, which is not in the archive.
            _ => return Ok(()),
        };
        let attributes = match Attributes::of(dir, name, stat) {
            Err(e) if e.kind() == io::ErrorKind::NotFound => return Ok(()),
            other => other.doing("read the attributes of", self.shown())?,
        };
        let mut entry = Entry::new(self.path.clone(), kind);
        (entry.mode, entry.uid, entry.gid) = (attributes.mode, attributes.uid, attributes.gid);
        // Whole seconds, as every builder of images writes: a fraction would cost a header of its own for each file.
        entry.mtime = (attributes.mtime.0, 0);
        let xattrs = attributes.xattrs.into_iter();
        entry.xattrs = xattrs.map(|(name, value)| (name.into_vec(), value)).collect();
        let key = (stat.st_dev, stat.st_ino);
        if kind != Kind::Directory && stat.st_nlink > 1 {
            if let Some(first) = self.links.get(&key) {
                (entry.kind, entry.link) = (Kind::HardLink, first.clone());
                return self.append(&entry, io::empty());
            }
            self.links.insert(key, self.path.clone());
        }
        match kind {
            Kind::Directory => return self.subdirectory(dir, name, &entry, depth),
            Kind::File => {
                let file = match open_file(dir, name) {
                    Err(e) if e.kind() == io::ErrorKind::NotFound => return Ok(()),
                    other => other.doing("open", self.shown())?,
                };
                entry.size = file.metadata().doing("stat", self.shown())?.len();
                return self.append(&entry, file);
            }
            Kind::Symlink => {
                let link = rustix::fs::readlinkat(dir, name, Vec::new());
                entry.link = link.doing("read", self.shown())?.into_bytes();
            }
            Kind::Character | Kind::Block => {
                let device = stat.st_rdev;
                entry.device = (rustix::fs::major(device), rustix::fs::minor(device));
            }
            Kind::Fifo | Kind::HardLink => {}
        }
        self.append(&entry, io::empty())
    }

    fn subdirectory(
        &mut self,
        dir: BorrowedFd<'_>,
        name: &OsStr,
        entry: &Entry,
        depth: usize,
    ) -> Result<()> {
        self.append(entry, io::empty())?;
        let Some(child) = open_below(dir, name).doing("open", self.shown())? else {
            return Ok(());
        };
        if let Marks::Oci { userxattr } = self.marks
            && is_opaque(&child, userxattr).doing("read the attributes of", self.shown())?
        {
            let path = [self.path.as_slice(), b"/.wh..wh..opq"].concat();
            self.append(&Entry::new(path, Kind::File), io::empty())?;
        }
        self.directory(child.as_fd(), depth + 1)
    }

    fn append(&mut self, entry: &Entry, data: impl io::Read) -> Result<()> {
        self.writer.append(entry, data).map_err(output)
    }

    fn shown(&self) -> &Path {
        Path::new(OsStr::from_bytes(&self.path))
    }
}

/// `None` for what is mounted there, or gone.
fn open_below(dir: BorrowedFd<'_>, name: &OsStr) -> io::Result<Option<OwnedFd>> {
    let resolve = ResolveFlags::BENEATH | ResolveFlags::NO_XDEV | ResolveFlags::NO_SYMLINKS;
    match rustix::fs::openat2(dir, name, OPEN_DIR, Mode::empty(), resolve) {
        Ok(child) => Ok(Some(child)),
        Err(Errno::XDEV | Errno::NOENT) => Ok(None),
        Err(e) => Err(e.into()),
    }
}
