//! The directory that an entry goes into, though only a lower layer may have it.

use std::collections::VecDeque;
use std::ffi::{OsStr, OsString};
use std::io;
use std::os::fd::OwnedFd;
use std::os::unix::ffi::OsStringExt;
use std::path::{Path, PathBuf};

use dhow_sys::root::{OFlags, components};
use rustix::fs::{FileType, Mode};
use rustix::io::Errno;

use super::{Extractor, remove};
use crate::attributes::Attributes;
use crate::error::{Doing, Error, Result};
use crate::merged::{Found, MergedDir, OPEN_DIR, is_opaque, is_whiteout, stat};

const MAX_LINKS: u32 = 40;

/// Where a walk through this layer and those below it has come to.
struct Walk {
    /// Names from the layer's root, free of links.
    real: Vec<OsString>,
    dir: OwnedFd,
    lower: MergedDir,
}

impl Extractor<'_> {
    /// The directory `path`, made if need be as it is seen in the layers below, or plain where they have none.
    pub(super) fn parent(&mut self, path: &Path) -> Result<OwnedFd> {
        if let Some((_, dir)) = self.cached.take_if(|(known, _)| known == path) {
            return Ok(dir);
        }
        match self.existing(path)? {
            Some(dir) => Ok(dir),
            None => self.walk(path, true)?.ok_or_else(|| Error::Io {
                action: "create",
                path: path.to_path_buf(),
                source: io::ErrorKind::NotFound.into(),
            }),
        }
    }

    /// The directory `path` if this layer has it, or if lower ones do: then it is made here with their owner and mode.
    pub(super) fn parent_if_seen(&mut self, path: &Path) -> Result<Option<OwnedFd>> {
        match self.existing(path)? {
            Some(dir) => Ok(Some(dir)),
            None => self.walk(path, false),
        }
    }

    /// The common case: one system call.
    pub(super) fn existing(&self, path: &Path) -> Result<Option<OwnedFd>> {
        let path = self.redirects.get(path).map_or(path, PathBuf::as_path);
        let flags = OFlags::RDONLY | OFlags::DIRECTORY;
        match self.root.open_same_mount(path, flags) {
            Ok(dir) => Ok(Some(dir)),
            Err(e) if is_missing(&e) => Ok(None),
            Err(e) => Err(Error::io("open", path, e)),
        }
    }

    /// Component by component, links followed as the merged view has them. `None`: there is no such directory and
    /// `create` is false.
    fn walk(&mut self, path: &Path, create: bool) -> Result<Option<OwnedFd>> {
        let mut pending = components(path);
        let mut links = 0;
        let mut at = self.walk_from_root()?;
        while let Some(name) = pending.pop_front() {
            if name == ".." {
                at = self.step_up(at)?;
                continue;
            }
            let here = stat(&at.dir, &name).doing("look up", path)?;
            let target = match here {
                Some(stat) if is_kind(stat.st_mode, FileType::Symlink) => {
                    Some(read_link(&at.dir, &name).doing("read", path)?)
                }
                Some(stat) if is_kind(stat.st_mode, FileType::Directory) => None,
                Some(stat) if is_whiteout(&stat) => {
                    if !create {
                        return Ok(None);
                    }
                    remove(&at.dir, &name, false).doing("replace", path)?;
                    let made = self.make_plain(&at, &name)?;
                    self.set_opaque(&made)?;
                    None
                }
                // What covers the lower layers' directory leaves nothing to be seen in it.
                Some(_) if !create => return Ok(None),
                Some(_) => return Err(Error::io("enter", path, Errno::NOTDIR.into())),
                None => match self.look_below(&at, &name)? {
                    Below::Link(target) => Some(target),
                    Below::Made => None,
                    Below::Nothing | Below::Hidden if !create => return Ok(None),
                    Below::Nothing => self.make_plain(&at, &name).map(|_| None)?,
                    Below::Hidden => {
                        let made = self.make_plain(&at, &name)?;
                        self.set_opaque(&made)?;
                        None
                    }
                },
            };
            let Some(target) = target else {
                at = self.step_down(at, name)?;
                continue;
            };
            links += 1;
            if links > MAX_LINKS {
                return Err(Error::io("enter", path, Errno::LOOP.into()));
            }
            if target.has_root() {
                at = self.walk_from_root()?;
            }
            prepend(&mut pending, &target);
        }
        let real: PathBuf = at.real.iter().collect();
        if real != path {
            self.redirects.insert(path.to_path_buf(), real);
        }
        Ok(Some(at.dir))
    }

    fn walk_from_root(&mut self) -> Result<Walk> {
        let lower = self.lower()?;
        let dir = self.root.open_at("", OPEN_DIR, Mode::empty()).doing("open", self.root.dir())?;
        Ok(Walk { real: Vec::new(), dir, lower })
    }

    fn step_up(&mut self, mut at: Walk) -> Result<Walk> {
        at.real.pop();
        let mut up = self.walk_from_root()?;
        for name in at.real {
            up = self.step_down(up, name)?;
        }
        Ok(up)
    }

    /// Into a directory that this layer has.
    fn step_down(&self, mut at: Walk, name: OsString) -> Result<Walk> {
        let step = || -> io::Result<(OwnedFd, MergedDir)> {
            let dir = rustix::fs::openat(&at.dir, &name, OPEN_DIR, Mode::empty())?;
            if is_opaque(&dir, self.userxattr)? {
                return Ok((dir, MergedDir::default()));
            }
            let lower = match at.lower.lookup(&name)? {
                Found::Directory(lower) => lower,
                Found::Nothing | Found::Other(..) => MergedDir::default(),
            };
            Ok((dir, lower))
        };
        let (dir, lower) = step().doing("enter", &name)?;
        at.real.push(name);
        Ok(Walk { real: at.real, dir, lower })
    }

    /// A directory that only lower layers have is made here as it is seen there.
    fn look_below(&mut self, at: &Walk, name: &OsStr) -> Result<Below> {
        let path: PathBuf = at.real.iter().map(OsString::as_os_str).chain([name]).collect();
        if self.whiteouts.contains(&path) {
            return Ok(Below::Hidden);
        }
        let attributes = match at.lower.lookup(name).doing("look up below", name)? {
            Found::Nothing => return Ok(Below::Nothing),
            Found::Other(dir, stat) if is_kind(stat.st_mode, FileType::Symlink) => {
                return Ok(Below::Link(read_link(dir, name).doing("read", name)?));
            }
            // A file below, a directory here: the file is replaced.
            Found::Other(..) => return Ok(Below::Nothing),
            Found::Directory(dir) => dir.top().map(|top| -> io::Result<Attributes> {
                Attributes::of(top, OsStr::new("."), &rustix::fs::fstat(top)?)
            }),
        };
        let attributes = attributes.transpose().doing("read the attributes of", name)?;
        self.make_plain(at, name)?;
        if let Some(attributes) = attributes {
            self.set_directory(&path, &attributes)?;
        }
        Ok(Below::Made)
    }

    fn make_plain(&self, at: &Walk, name: &OsStr) -> Result<OwnedFd> {
        let make = || -> io::Result<OwnedFd> {
            rustix::fs::mkdirat(&at.dir, name, Mode::from_raw_mode(0o755))?;
            let dir = rustix::fs::openat(&at.dir, name, OPEN_DIR, Mode::empty())?;
            rustix::fs::fchmod(&dir, Mode::from_raw_mode(0o755))?;
            Ok(dir)
        };
        make().doing("create", name)
    }

    /// The target of a hard link that only lower layers have: copied up whole, as overlayfs would on a write.
    pub(super) fn copy_up(&mut self, path: &Path) -> Result<bool> {
        let (Some(parent), Some(name)) = (path.parent(), path.file_name()) else {
            return Ok(false);
        };
        if self.below.is_empty() {
            return Ok(false);
        }
        let Some(dir) = self.parent_if_seen(parent)? else { return Ok(false) };
        let real = self.redirects.get(parent).map_or(parent, PathBuf::as_path).to_path_buf();
        let lower = self.lower()?.descend(&real).doing("look below for", path)?;
        match lower.lookup(name).doing("look below for", path)? {
            Found::Other(from, stat) => {
                let copied = crate::copy::copy_node(from, name, &stat, &dir, name);
                self.size = self.size.saturating_add(copied.doing("copy up", path)?);
                Ok(true)
            }
            Found::Nothing | Found::Directory(_) => Ok(false),
        }
    }
}

/// What lower layers have where this one has nothing.
enum Below {
    Nothing,
    /// Something, but this layer removes it.
    Hidden,
    Made,
    Link(PathBuf),
}

fn prepend(pending: &mut VecDeque<OsString>, target: &Path) {
    for part in components(target).into_iter().rev() {
        pending.push_front(part);
    }
}

fn read_link(dir: impl std::os::fd::AsFd, name: &OsStr) -> io::Result<PathBuf> {
    let target = rustix::fs::readlinkat(dir, name, Vec::new())?;
    Ok(PathBuf::from(OsString::from_vec(target.into_bytes())))
}

fn is_kind(mode: u32, kind: FileType) -> bool {
    FileType::from_raw_mode(mode) == kind
}

/// Errors that a look at the layers below may mend.
fn is_missing(error: &io::Error) -> bool {
    matches!(error.kind(), io::ErrorKind::NotFound | io::ErrorKind::NotADirectory)
}
