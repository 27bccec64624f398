//! What a container has changed: its writable layer compared with those below.

use std::collections::BTreeSet;
use std::ffi::OsString;
use std::fmt;
use std::io;
use std::os::fd::{AsFd, BorrowedFd};
use std::path::{Path, PathBuf};

use rustix::fs::{FileType, Mode};
use serde::{Deserialize, Serialize};

use crate::copy::{MAX_DEPTH, too_deep};
use crate::error::{Doing, Result};
use crate::merged::{Found, MergedDir, OPEN_DIR, is_opaque, is_whiteout, read_dir, stat};
use crate::{ChainId, Storage};

/// One changed path.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Change {
    /// From the container's root: `/etc/passwd`.
    pub path: PathBuf,
    /// How it differs.
    pub kind: ChangeKind,
}

/// How a path differs. Shown as one letter.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub enum ChangeKind {
    /// `C`: other content or attributes; of a directory also: something in it has changed.
    Modified,
    /// `A`: not there before.
    Added,
    /// `D`: no longer there.
    Deleted,
}

impl fmt::Display for ChangeKind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            ChangeKind::Modified => "C",
            ChangeKind::Added => "A",
            ChangeKind::Deleted => "D",
        })
    }
}

/// Compares the layer `upper` with `lower`, the topmost of it first. In order of the paths.
pub(crate) fn changes(upper: &Path, lower: &[PathBuf], userxattr: bool) -> Result<Vec<Change>> {
    let below = MergedDir::root(lower, userxattr).doing("open the layers of", upper)?;
    let flags = OPEN_DIR.difference(dhow_sys::root::OFlags::NOFOLLOW);
    let dir = rustix::fs::open(upper, flags, Mode::empty()).doing("open", upper)?;
    let mut walk = Walk { userxattr, path: PathBuf::from("/"), found: Vec::new() };
    walk.directory(dir.as_fd(), &below, false, 0)?;
    walk.found.sort_by(|a, b| a.path.cmp(&b.path));
    Ok(walk.found)
}

impl Storage {
    /// What the topmost of these layers changes in those below it; `layers` has the lowest first.
    ///
    /// # Errors
    /// [`crate::Error::Io`], also for a layer that is not there.
    pub fn layer_changes(&self, layers: &[ChainId]) -> Result<Vec<Change>> {
        let mut dirs = layers.iter().rev().map(|chain| self.layer_diff(chain));
        let Some(top) = dirs.next() else { return Ok(Vec::new()) };
        changes(&top, &dirs.collect::<Vec<_>>(), self.options().userxattr)
    }
}

struct Walk {
    userxattr: bool,
    path: PathBuf,
    found: Vec<Change>,
}

impl Walk {
    /// `covered`: nothing of `below` is seen through this directory.
    fn directory(
        &mut self,
        dir: BorrowedFd<'_>,
        below: &MergedDir,
        covered: bool,
        depth: usize,
    ) -> Result<()> {
        if depth > MAX_DEPTH {
            return Err(too_deep());
        }
        let names = read_dir(dir).doing("read", &self.path)?;
        if covered {
            let here: BTreeSet<&OsString> = names.iter().collect();
            for name in below.names().doing("read", &self.path)? {
                if !here.contains(&name) {
                    self.push(&name, ChangeKind::Deleted);
                }
            }
        }
        for name in names {
            self.path.push(&name);
            let entered = self.entry(dir, below, &name, covered, depth);
            self.path.pop();
            entered?;
        }
        Ok(())
    }

    fn entry(
        &mut self,
        dir: BorrowedFd<'_>,
        below: &MergedDir,
        name: &OsString,
        covered: bool,
        depth: usize,
    ) -> Result<()> {
        let Some(here) = stat(dir, name).doing("stat", &self.path)? else { return Ok(()) };
        let found = below.lookup(name).doing("look up", &self.path)?;
        let before = !matches!(found, Found::Nothing);
        if is_whiteout(&here) {
            if before {
                self.found.push(Change { path: self.path.clone(), kind: ChangeKind::Deleted });
            }
            return Ok(());
        }
        let kind = if before { ChangeKind::Modified } else { ChangeKind::Added };
        self.found.push(Change { path: self.path.clone(), kind });
        if FileType::from_raw_mode(here.st_mode) != FileType::Directory {
            return Ok(());
        }
        let open = || -> io::Result<_> {
            let child = rustix::fs::openat(dir, name, OPEN_DIR, Mode::empty())?;
            let opaque = is_opaque(&child, self.userxattr)?;
            Ok((child, opaque))
        };
        let (child, opaque) = open().doing("open", &self.path)?;
        let child_below = match found {
            Found::Directory(below) => below,
            Found::Nothing | Found::Other(..) => MergedDir::default(),
        };
        self.directory(child.as_fd(), &child_below, covered || opaque, depth + 1)
    }

    fn push(&mut self, name: &OsString, kind: ChangeKind) {
        self.found.push(Change { path: self.path.join(name), kind });
    }
}
