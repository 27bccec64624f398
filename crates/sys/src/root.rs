//! Paths of an untrusted tree: every name is resolved by the kernel with the directory as its root.
//!
//! An image, a volume or a container's file system is written by somebody else: `etc/passwd` may be a symlink to the
//! host's `/etc/shadow`, `data/../../x` may climb out. [`Root`] hands each path to `openat2(2)` with `RESOLVE_IN_ROOT`
//! (absolute links and `..` stay inside) and `RESOLVE_NO_MAGICLINKS`, so there is no moment between a check and a use.
//!
//! INVARIANT: nothing here looks a path up by its host name, nor opens a device or a fifo for reading: a file's type is
//! learned through an `O_PATH` descriptor before it is opened. An absolute path and the same path without its leading
//! slash mean the same. Needs Linux 5.6.

use std::collections::VecDeque;
use std::ffi::{OsStr, OsString};
use std::fs::{File, Metadata};
use std::io::{self, Read};
use std::os::fd::{AsFd, AsRawFd, BorrowedFd, OwnedFd};
use std::os::unix::ffi::{OsStrExt, OsStringExt};
use std::os::unix::fs::MetadataExt;
use std::path::{Component, Path, PathBuf};

use rustix::fs::{FileType, ResolveFlags};
use rustix::io::Errno;

pub use rustix::fs::{Mode, OFlags};

/// As the kernel's own limit on links in one path.
const MAX_LINKS: u32 = 40;
/// `openat2` answers EAGAIN when a rename elsewhere makes `..` unsafe to follow; the kernel asks for a retry.
const MAX_RETRIES: u32 = 32;

/// A directory used as the root of all lookups.
#[derive(Debug)]
pub struct Root {
    fd: OwnedFd,
    dir: PathBuf,
}

impl AsFd for Root {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.fd.as_fd()
    }
}

impl Root {
    /// Opens `dir`, which is the caller's own and is resolved in the ordinary way.
    ///
    /// # Errors
    /// That of `open(2)`.
    pub fn open(dir: impl AsRef<Path>) -> io::Result<Root> {
        let dir = dir.as_ref();
        let fd = rustix::fs::open(
            dir,
            OFlags::PATH | OFlags::DIRECTORY | OFlags::CLOEXEC,
            Mode::empty(),
        )?;
        Ok(Root { fd, dir: dir.to_path_buf() })
    }

    /// The same over a directory that is already open; `dir` is for messages and [`Root::host_path`].
    pub fn from_fd(fd: OwnedFd, dir: impl Into<PathBuf>) -> Root {
        Root { fd, dir: dir.into() }
    }

    /// The directory as it was given to [`Root::open`].
    pub fn dir(&self) -> &Path {
        &self.dir
    }

    /// `openat2(2)` inside the root, always close-on-exec.
    ///
    /// # Errors
    /// That of the kernel.
    pub fn open_at(
        &self,
        path: impl AsRef<Path>,
        flags: OFlags,
        mode: Mode,
    ) -> io::Result<OwnedFd> {
        self.open_how(path.as_ref(), flags, mode, ResolveFlags::IN_ROOT)
    }

    /// As [`Root::open_at`] with `O_PATH`, and refusing to step onto another mount.
    ///
    /// # Errors
    /// EXDEV where `path` leads across a mount point.
    pub fn open_same_mount(&self, path: impl AsRef<Path>, flags: OFlags) -> io::Result<OwnedFd> {
        self.open_how(
            path.as_ref(),
            flags,
            Mode::empty(),
            ResolveFlags::IN_ROOT | ResolveFlags::NO_XDEV,
        )
    }

    /// Opens a regular file for reading.
    ///
    /// # Errors
    /// `InvalidInput` when it is something else: a fifo would block, a device would act.
    pub fn open_file(&self, path: impl AsRef<Path>) -> io::Result<File> {
        let file = File::from(self.open_at(path, OFlags::PATH, Mode::empty())?);
        reopen(&file, OFlags::RDONLY)
    }

    /// Creates a regular file that must not exist yet, `mode` exactly.
    ///
    /// # Errors
    /// `AlreadyExists`, also for a dangling symlink.
    pub fn create_file(&self, path: impl AsRef<Path>, mode: u32) -> io::Result<File> {
        let flags = OFlags::WRONLY | OFlags::CREATE | OFlags::EXCL | OFlags::NOFOLLOW;
        let file = File::from(self.open_at(path, flags, Mode::from_raw_mode(mode))?);
        rustix::fs::fchmod(&file, Mode::from_raw_mode(mode))?;
        Ok(file)
    }

    /// Opens a directory for reading and for use as the base of `*at` calls.
    ///
    /// # Errors
    /// `NotADirectory` when it is something else.
    pub fn open_dir(&self, path: impl AsRef<Path>) -> io::Result<OwnedFd> {
        self.open_at(path, OFlags::RDONLY | OFlags::DIRECTORY, Mode::empty())
    }

    /// The directory that holds the last component of `path`, and that component, which is not looked at.
    ///
    /// # Errors
    /// `InvalidInput` where there is no last component to create or remove: `/`, `.`, `a/..`.
    pub fn open_parent(&self, path: impl AsRef<Path>) -> io::Result<(OwnedFd, OsString)> {
        let path = path.as_ref();
        let Some(Component::Normal(name)) = path.components().next_back() else {
            return Err(io::Error::new(
                io::ErrorKind::InvalidInput,
                format!("{} names no entry of a directory", path.display()),
            ));
        };
        let parent = path.parent().unwrap_or(Path::new("/"));
        Ok((self.open_dir(parent)?, name.to_os_string()))
    }

    /// What `path` leads to, links followed inside the root.
    ///
    /// # Errors
    /// That of the lookup.
    pub fn metadata(&self, path: impl AsRef<Path>) -> io::Result<Metadata> {
        File::from(self.open_at(path, OFlags::PATH, Mode::empty())?).metadata()
    }

    /// What `path` is; a link as its last component is not followed.
    ///
    /// # Errors
    /// That of the lookup.
    pub fn symlink_metadata(&self, path: impl AsRef<Path>) -> io::Result<Metadata> {
        File::from(self.open_at(path, OFlags::PATH | OFlags::NOFOLLOW, Mode::empty())?).metadata()
    }

    /// Does `path` lead to something? A dangling link does not.
    ///
    /// # Errors
    /// Any but "there is no such thing".
    pub fn exists(&self, path: impl AsRef<Path>) -> io::Result<bool> {
        match self.open_at(path, OFlags::PATH, Mode::empty()) {
            Ok(_) => Ok(true),
            Err(e) if is_absent(&e) => Ok(false),
            Err(e) => Err(e),
        }
    }

    /// The content of a regular file of at most `max` bytes.
    ///
    /// # Errors
    /// `FileTooLarge` beyond `max`, whatever size the file claims to have.
    pub fn read_bounded(&self, path: impl AsRef<Path>, max: u64) -> io::Result<Vec<u8>> {
        let path = path.as_ref();
        let file = self.open_file(path)?;
        let mut bytes = Vec::new();
        file.take(max.saturating_add(1)).read_to_end(&mut bytes)?;
        if u64::try_from(bytes.len()).unwrap_or(u64::MAX) > max {
            return Err(io::Error::new(
                io::ErrorKind::FileTooLarge,
                format!("{} is larger than {max} bytes", path.display()),
            ));
        }
        Ok(bytes)
    }

    /// The text of a symlink.
    ///
    /// # Errors
    /// `InvalidInput` when `path` is not a symlink.
    pub fn read_link(&self, path: impl AsRef<Path>) -> io::Result<PathBuf> {
        read_link_fd(&self.open_at(path, OFlags::PATH | OFlags::NOFOLLOW, Mode::empty())?)
    }

    /// The path inside the root, `/`-based and free of links, that `path` leads to.
    ///
    /// # Errors
    /// That of the lookup; `NotFound` when the place has been moved out of the root meanwhile.
    pub fn real_path(&self, path: impl AsRef<Path>) -> io::Result<PathBuf> {
        let path = path.as_ref();
        let base = proc_path(&self.fd)?;
        let real = proc_path(&self.open_at(path, OFlags::PATH, Mode::empty())?)?;
        let Ok(inside) = real.strip_prefix(&base) else {
            return Err(io::Error::new(
                io::ErrorKind::NotFound,
                format!("{} has left {}", path.display(), base.display()),
            ));
        };
        Ok(Path::new("/").join(inside))
    }

    /// [`Root::real_path`] as the host names it. Only good while nobody rearranges the tree.
    ///
    /// # Errors
    /// As [`Root::real_path`].
    pub fn host_path(&self, path: impl AsRef<Path>) -> io::Result<PathBuf> {
        let real = self.real_path(path)?;
        Ok(self.dir.join(real.strip_prefix("/").unwrap_or(&real)))
    }

    /// A directory of this root as a root of its own.
    ///
    /// # Errors
    /// That of the lookup.
    pub fn sub(&self, path: impl AsRef<Path>) -> io::Result<Root> {
        let path = path.as_ref();
        let fd = self.open_at(path, OFlags::PATH | OFlags::DIRECTORY, Mode::empty())?;
        Ok(Root { fd, dir: self.dir.join(path.strip_prefix("/").unwrap_or(path)) })
    }

    /// Makes `path` and what is missing above it, `mode` exactly and owned by `owner` where new; returns its
    /// [`Root::real_path`]. A link that leads nowhere yet gets the directory it names, inside the root.
    ///
    /// # Errors
    /// `NotADirectory` when a component is something else.
    pub fn create_dir_all(
        &self,
        path: impl AsRef<Path>,
        mode: u32,
        owner: Option<(u32, u32)>,
    ) -> io::Result<PathBuf> {
        let mut pending = components(path.as_ref());
        let mut real: Vec<OsString> = Vec::new();
        let mut links = 0;
        let mut dir = self.reopen_dir(&real)?;
        while let Some(name) = pending.pop_front() {
            if name == ".." {
                real.pop();
                dir = self.reopen_dir(&real)?;
                continue;
            }
            let next = match self.child(&dir, &name) {
                Ok(fd) => fd,
                Err(e) if e.kind() == io::ErrorKind::NotFound => {
                    make_dir(&dir, &name, mode, owner)?;
                    self.child(&dir, &name)?
                }
                Err(e) => return Err(e),
            };
            match file_type(&next)? {
                FileType::Directory => {
                    real.push(name);
                    dir = next;
                }
                FileType::Symlink => {
                    links += 1;
                    if links > MAX_LINKS {
                        return Err(Errno::LOOP.into());
                    }
                    let target = read_link_fd(&next)?;
                    if target.has_root() {
                        real.clear();
                        dir = self.reopen_dir(&real)?;
                    }
                    for part in components(&target).into_iter().rev() {
                        pending.push_front(part);
                    }
                }
                _ => return Err(Errno::NOTDIR.into()),
            }
        }
        Ok(Path::new("/").join(real.iter().collect::<PathBuf>()))
    }

    fn open_how(
        &self,
        path: &Path,
        flags: OFlags,
        mode: Mode,
        resolve: ResolveFlags,
    ) -> io::Result<OwnedFd> {
        let path = if path.as_os_str().is_empty() { Path::new(".") } else { path };
        for _ in 0..MAX_RETRIES {
            let resolve = resolve | ResolveFlags::NO_MAGICLINKS;
            match rustix::fs::openat2(&self.fd, path, flags | OFlags::CLOEXEC, mode, resolve) {
                Err(Errno::AGAIN | Errno::INTR) => {}
                other => return other.map_err(io::Error::from),
            }
        }
        Err(Errno::AGAIN.into())
    }

    /// `real` holds no link, so that nothing is followed here.
    fn reopen_dir(&self, real: &[OsString]) -> io::Result<OwnedFd> {
        let path: PathBuf = real.iter().collect();
        self.open_at(path, OFlags::PATH | OFlags::DIRECTORY, Mode::empty())
    }

    fn child(&self, dir: &OwnedFd, name: &OsStr) -> io::Result<OwnedFd> {
        let flags = OFlags::PATH | OFlags::NOFOLLOW | OFlags::CLOEXEC;
        Ok(rustix::fs::openat(dir, name, flags, Mode::empty())?)
    }
}

/// The names of a path without `.`, empty parts and the leading slash; `..` is kept.
pub fn components(path: &Path) -> VecDeque<OsString> {
    path.components()
        .filter_map(|part| match part {
            Component::Normal(name) => Some(name.to_os_string()),
            Component::ParentDir => Some("..".into()),
            Component::RootDir | Component::CurDir | Component::Prefix(_) => None,
        })
        .collect()
}

/// Opens for real a regular file that is held by `O_PATH`.
///
/// # Errors
/// `InvalidInput` when it is not a regular file.
pub fn reopen(file: &File, flags: OFlags) -> io::Result<File> {
    if !file.metadata()?.is_file() {
        return Err(io::Error::new(io::ErrorKind::InvalidInput, "not a regular file"));
    }
    let path = format!("/proc/self/fd/{}", file.as_raw_fd());
    Ok(rustix::fs::open(path, flags | OFlags::CLOEXEC, Mode::empty())?.into())
}

/// Is this "there is no such thing", in any of the ways the kernel says it?
fn is_absent(error: &io::Error) -> bool {
    matches!(error.kind(), io::ErrorKind::NotFound | io::ErrorKind::NotADirectory)
}

fn make_dir(dir: &OwnedFd, name: &OsStr, mode: u32, owner: Option<(u32, u32)>) -> io::Result<()> {
    let mode = Mode::from_raw_mode(mode);
    match rustix::fs::mkdirat(dir, name, mode) {
        // Somebody else made it just now: theirs, and taken as it is.
        Err(Errno::EXIST) => return Ok(()),
        other => other?,
    }
    let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::NOFOLLOW | OFlags::CLOEXEC;
    let made = rustix::fs::openat(dir, name, flags, Mode::empty())?;
    if let Some((uid, gid)) = owner {
        let (uid, gid) = (rustix::fs::Uid::from_raw(uid), rustix::fs::Gid::from_raw(gid));
        rustix::fs::fchown(&made, Some(uid), Some(gid))?;
    }
    Ok(rustix::fs::fchmod(&made, mode)?)
}

fn file_type(fd: &OwnedFd) -> io::Result<FileType> {
    Ok(FileType::from_raw_mode(rustix::fs::fstat(fd)?.st_mode))
}

fn read_link_fd(fd: &OwnedFd) -> io::Result<PathBuf> {
    match rustix::fs::readlinkat(fd, "", Vec::new()) {
        Ok(target) => Ok(PathBuf::from(OsString::from_vec(target.into_bytes()))),
        // readlinkat(2) answers ENOENT for an empty path on something that is not a link.
        Err(Errno::NOENT | Errno::INVAL) => {
            Err(io::Error::new(io::ErrorKind::InvalidInput, "not a symbolic link"))
        }
        Err(e) => Err(e.into()),
    }
}

fn proc_path(fd: &OwnedFd) -> io::Result<PathBuf> {
    let path = std::fs::read_link(format!("/proc/self/fd/{}", fd.as_raw_fd()))?;
    // A deleted directory has link count 0 and a name ending in " (deleted)", which is no name at all.
    if path.as_os_str().as_bytes().ends_with(b" (deleted)") && rustix::fs::fstat(fd)?.st_nlink == 0
    {
        return Err(io::Error::new(io::ErrorKind::NotFound, "the directory has been removed"));
    }
    Ok(path)
}

/// Device and inode: is this the same file?
pub fn same_file(a: &Metadata, b: &Metadata) -> bool {
    (a.dev(), a.ino()) == (b.dev(), b.ino())
}

#[cfg(test)]
mod tests;
