//! Layers seen together, as overlayfs will show them, without mounting anything.
//!
//! Needed where one layer's meaning depends on those below: a parent directory or the target of a hard link that only a
//! lower layer has, whether a whiteout hides anything, what a container has changed.

use std::collections::BTreeMap;
use std::collections::btree_map::Entry;
use std::ffi::{OsStr, OsString};
use std::io;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::os::unix::ffi::{OsStrExt, OsStringExt};
use std::path::PathBuf;

use rustix::fs::{AtFlags, Dir, FileType, Mode, OFlags, Stat};
use rustix::io::Errno;

/// Opens a directory that is one component away, never through a link.
pub(crate) const OPEN_DIR: OFlags =
    OFlags::RDONLY.union(OFlags::DIRECTORY).union(OFlags::NOFOLLOW).union(OFlags::CLOEXEC);

/// The attribute that makes a directory hide what lower layers have in it.
pub(crate) fn opaque_name(userxattr: bool) -> &'static str {
    if userxattr { "user.overlay.opaque" } else { "trusted.overlay.opaque" }
}

/// A directory of the merged view: the directories that make it up, the topmost first; none where there is nothing.
#[derive(Debug, Default)]
pub(crate) struct MergedDir {
    parts: Vec<OwnedFd>,
    userxattr: bool,
}

/// What the merged view has under a name.
#[derive(Debug)]
pub(crate) enum Found<'a> {
    Nothing,
    Directory(MergedDir),
    /// Anything else, and the directory that has it.
    Other(BorrowedFd<'a>, Box<Stat>),
}

impl MergedDir {
    /// The root of the layers `dirs`, the topmost first.
    pub(crate) fn root(dirs: &[PathBuf], userxattr: bool) -> io::Result<MergedDir> {
        let open = |dir: &PathBuf| {
            let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::CLOEXEC;
            Ok(rustix::fs::open(dir, flags, Mode::empty())?)
        };
        let parts = dirs.iter().map(open).collect::<io::Result<_>>()?;
        Ok(MergedDir { parts, userxattr })
    }

    /// The topmost of its directories: the one whose owner and mode are seen.
    pub(crate) fn top(&self) -> Option<BorrowedFd<'_>> {
        self.parts.first().map(AsFd::as_fd)
    }

    /// Looks a name up, links not followed.
    pub(crate) fn lookup(&self, name: &OsStr) -> io::Result<Found<'_>> {
        let mut parts = Vec::new();
        for part in &self.parts {
            let Some(stat) = stat(part, name)? else { continue };
            if FileType::from_raw_mode(stat.st_mode) != FileType::Directory {
                // Whatever is not a directory ends the search; it is seen only if nothing covers it.
                if parts.is_empty() && !is_whiteout(&stat) {
                    return Ok(Found::Other(part.as_fd(), Box::new(stat)));
                }
                break;
            }
            let dir = rustix::fs::openat(part, name, OPEN_DIR, Mode::empty())?;
            let opaque = is_opaque(&dir, self.userxattr)?;
            parts.push(dir);
            if opaque {
                break;
            }
        }
        if parts.is_empty() {
            return Ok(Found::Nothing);
        }
        Ok(Found::Directory(MergedDir { parts, userxattr: self.userxattr }))
    }

    /// The names that are seen, in order.
    pub(crate) fn names(&self) -> io::Result<Vec<OsString>> {
        let mut seen: BTreeMap<OsString, bool> = BTreeMap::new();
        for part in &self.parts {
            for name in read_dir(part)? {
                if let Entry::Vacant(vacant) = seen.entry(name) {
                    let stat = stat(part, vacant.key())?;
                    vacant.insert(stat.is_some_and(|stat| !is_whiteout(&stat)));
                }
            }
        }
        Ok(seen.into_iter().filter(|(_, visible)| *visible).map(|(name, _)| name).collect())
    }
}

/// `None`: there is no such name.
pub(crate) fn stat(dir: impl AsFd, name: &OsStr) -> io::Result<Option<Stat>> {
    match rustix::fs::statat(dir, name, AtFlags::SYMLINK_NOFOLLOW) {
        Ok(stat) => Ok(Some(stat)),
        Err(Errno::NOENT) => Ok(None),
        Err(e) => Err(e.into()),
    }
}

/// overlayfs's "there is nothing here": a character device 0/0.
pub(crate) fn is_whiteout(stat: &Stat) -> bool {
    FileType::from_raw_mode(stat.st_mode) == FileType::CharacterDevice && stat.st_rdev == 0
}

/// Does this directory hide those below it?
pub(crate) fn is_opaque(dir: impl AsFd, userxattr: bool) -> io::Result<bool> {
    Ok(dhow_sys::xattr::get(dir, opaque_name(userxattr))?.is_some_and(|value| value == b"y"))
}

/// The entries of a directory in order of their names.
pub(crate) fn read_dir(dir: impl AsFd) -> io::Result<Vec<OsString>> {
    let mut names = Vec::new();
    for entry in Dir::read_from(dir)? {
        let name = entry?.file_name().to_bytes().to_vec();
        if name != b"." && name != b".." {
            names.push(OsString::from_vec(name));
        }
    }
    names.sort_by(|a, b| a.as_bytes().cmp(b.as_bytes()));
    Ok(names)
}
