//! The directory that an entry goes into, though only a lower layer may have it.

use std::collections::VecDeque;
use std::ffi::{OsStr, OsString};
use std::io;
use std::os::fd::OwnedFd;
use std::os::unix::ffi::OsStringExt;
use std::path::{Path, PathBuf};

use dhow_sys::root::{OFlags, components};
use rustix::fs::{FileType, Mode, Stat};
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
    /// The directory in this layer, if it is in it.
    dir: Option<OwnedFd>,
    /// What is seen of the layers below.
    lower: MergedDir,
}

/// What a walk makes of directories that this layer has not.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Make {
    /// Nothing: it only looks.
    Nothing,
    /// Those that the layers below show.
    Seen,
    /// All.
    All,
}

/// What lower layers show where this one has nothing.
enum Below {
    Nothing,
    /// Something, but this layer removes it.
    Hidden,
    Directory(Option<Attributes>),
    Link(PathBuf),
}

impl Extractor<'_> {
    /// The directory `path`, made if need be as it is seen in the layers below, or plain where they have none.
    pub(super) fn parent(&mut self, path: &Path) -> Result<OwnedFd> {
        if let Some((_, dir)) = self.cached.take_if(|(known, _)| known == path) {
            return Ok(dir);
        }
        if let Some(dir) = self.existing(path)? {
            return Ok(dir);
        }
        let made = self.walk(path, Make::All)?.and_then(|walk| walk.dir);
        made.ok_or_else(|| Error::io("create", path, io::ErrorKind::NotFound.into()))
    }

    /// The directory `path` if this layer has it, or if lower ones show it: then it is made here with their owner and
    /// mode.
    pub(super) fn parent_if_seen(&mut self, path: &Path) -> Result<Option<OwnedFd>> {
        Ok(self.walk(path, Make::Seen)?.and_then(|walk| walk.dir))
    }

    /// What is seen of the layers below in the directory `path`, through what this layer has made so far.
    pub(super) fn seen_below(&mut self, path: &Path) -> Result<Option<MergedDir>> {
        Ok(self.walk(path, Make::Nothing)?.map(|walk| walk.lower))
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

    /// Component by component, links followed as the merged view has them. `None`: there is no such directory, and
    /// `make` does not want it.
    fn walk(&mut self, path: &Path, make: Make) -> Result<Option<Walk>> {
        let mut pending = components(path);
        let mut links = 0;
        let mut at = self.walk_from_root()?;
        while let Some(name) = pending.pop_front() {
            if name == ".." {
                at = self.step_up(at)?;
                continue;
            }
            let here = at.dir.as_ref().map(|dir| stat(dir, &name)).transpose();
            let target = match here.doing("look up", path)?.flatten() {
                Some(stat) => match FileType::from_raw_mode(stat.st_mode) {
                    FileType::Directory => None,
                    FileType::Symlink => {
                        let dir = at.dir.as_ref().ok_or(Errno::NOENT).doing("enter", path)?;
                        Some(read_link(dir, &name).doing("read", path)?)
                    }
                    // What covers the lower layers' directory leaves nothing to be seen in it.
                    _ if make != Make::All => return Ok(None),
                    _ if is_whiteout(&stat) => {
                        self.make_fresh(&at, &name)?;
                        None
                    }
                    _ => return Err(Error::io("enter", path, Errno::NOTDIR.into())),
                },
                None => match self.look_below(&at, &name)? {
                    Below::Link(target) => Some(target),
                    Below::Directory(_) if make == Make::Nothing => None,
                    Below::Directory(attributes) => {
                        self.make_plain(&at, &name)?;
                        if let Some(attributes) = attributes {
                            self.set_directory(&at.child(&name), &attributes)?;
                        }
                        None
                    }
                    Below::Nothing | Below::Hidden if make != Make::All => return Ok(None),
                    Below::Nothing => self.make_plain(&at, &name).map(|_| None)?,
                    Below::Hidden => self.make_fresh(&at, &name).map(|()| None)?,
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
        if real != path && at.dir.is_some() {
            self.redirects.insert(path.to_path_buf(), real);
        }
        Ok(Some(at))
    }

    fn walk_from_root(&mut self) -> Result<Walk> {
        let lower = self.lower()?;
        let dir = self.root.open_at("", OPEN_DIR, Mode::empty()).doing("open", self.root.dir())?;
        Ok(Walk { real: Vec::new(), dir: Some(dir), lower })
    }

    fn step_up(&mut self, mut at: Walk) -> Result<Walk> {
        at.real.pop();
        let mut up = self.walk_from_root()?;
        for name in at.real {
            up = self.step_down(up, name)?;
        }
        Ok(up)
    }

    /// Into a directory that this layer has, or that is seen below.
    fn step_down(&self, at: Walk, name: OsString) -> Result<Walk> {
        let step = || -> io::Result<(Option<OwnedFd>, MergedDir)> {
            let dir = match &at.dir {
                Some(dir) if stat(dir, &name)?.is_some() => {
                    Some(rustix::fs::openat(dir, &name, OPEN_DIR, Mode::empty())?)
                }
                _ => None,
            };
            let opaque = dir.as_ref().map(|dir| is_opaque(dir, self.userxattr)).transpose()?;
            let lower = match at.lower.lookup(&name)? {
                Found::Directory(lower) if opaque != Some(true) => lower,
                _ => MergedDir::default(),
            };
            Ok((dir, lower))
        };
        let (dir, lower) = step().doing("enter", &name)?;
        let mut real = at.real;
        real.push(name);
        Ok(Walk { real, dir, lower })
    }

    fn look_below(&self, at: &Walk, name: &OsStr) -> Result<Below> {
        let path = at.child(name);
        let opaque = path.ancestors().skip(1).any(|dir| self.opaque.contains(dir));
        if opaque || self.whiteouts.contains(&path) {
            return Ok(Below::Hidden);
        }
        match at.lower.lookup(name).doing("look up below", name)? {
            Found::Nothing => Ok(Below::Nothing),
            Found::Other(dir, stat) if is_symlink(&stat) => {
                Ok(Below::Link(read_link(dir, name).doing("read", name)?))
            }
            // A file below, a directory here: the file is replaced.
            Found::Other(..) => Ok(Below::Nothing),
            Found::Directory(dir) => {
                let attributes = dir.top().map(|top| -> io::Result<Attributes> {
                    Attributes::of(top, OsStr::new("."), &rustix::fs::fstat(top)?)
                });
                let attributes = attributes.transpose();
                Ok(Below::Directory(attributes.doing("read the attributes of", name)?))
            }
        }
    }

    /// A directory that shows nothing of the layers below.
    fn make_fresh(&self, at: &Walk, name: &OsStr) -> Result<()> {
        if let Some(dir) = &at.dir {
            remove(dir, name, false).doing("replace", name)?;
        }
        let made = self.make_plain(at, name)?;
        self.set_opaque(&made)
    }

    fn make_plain(&self, at: &Walk, name: &OsStr) -> Result<OwnedFd> {
        let make = || -> io::Result<OwnedFd> {
            let parent = at.dir.as_ref().ok_or(Errno::NOENT)?;
            rustix::fs::mkdirat(parent, name, Mode::from_raw_mode(0o755))?;
            let dir = rustix::fs::openat(parent, name, OPEN_DIR, Mode::empty())?;
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
        if self.whiteouts.contains(path) {
            return Ok(false);
        }
        let Some(lower) = self.seen_below(parent)? else { return Ok(false) };
        match lower.lookup(name).doing("look below for", path)? {
            Found::Other(from, stat) => {
                let Some(dir) = self.parent_if_seen(parent)? else { return Ok(false) };
                let copied = crate::copy::copy_node(from, name, &stat, &dir, name);
                self.size = self.size.saturating_add(copied.doing("copy up", path)?);
                Ok(true)
            }
            Found::Nothing | Found::Directory(_) => Ok(false),
        }
    }
}

impl Walk {
    fn child(&self, name: &OsStr) -> PathBuf {
        self.real.iter().map(OsString::as_os_str).chain([name]).collect()
    }
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

fn is_symlink(stat: &Stat) -> bool {
    FileType::from_raw_mode(stat.st_mode) == FileType::Symlink
}

/// Errors that a look at the layers below may mend.
fn is_missing(error: &io::Error) -> bool {
    matches!(error.kind(), io::ErrorKind::NotFound | io::ErrorKind::NotADirectory)
}
