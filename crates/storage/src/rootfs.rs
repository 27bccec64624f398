//! The root file system of one container: its writable layer and the overlay mount, in a directory of the container's.
//!
//! ```text
//! fs/upper, fs/work   writable layer and what overlayfs needs beside it
//! fs/merged           where it is mounted
//! fs/holds.json       how often the user has asked for it to be mounted, and in which boot
//! ```
//! INVARIANT: whether it is mounted is the kernel's word. Mounting costs one mount, whatever the layers hold: none of
//! them is walked or even opened here.
//! The caller holds the container's lock around everything that changes something.

use std::io;
use std::os::fd::AsFd;
use std::path::{Path, PathBuf};

use dhow_sys::fs::Durability;
use dhow_sys::mount::{Overlay, mount_overlay, unmount};
use dhow_sys::mountinfo::is_mount_point;
use dhow_sys::root::Mode;
use serde::{Deserialize, Serialize};

use crate::attributes::Attributes;
use crate::changes::Change;
use crate::error::{Doing, Error, Result};
use crate::merged::{OPEN_DIR, read_dir, stat};
use crate::{ChainId, Storage, export};

const MAX_RECORD: u64 = 4096;

/// What lies under the writable layer.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Base {
    /// An image's layers, the lowest first.
    Layers(Vec<ChainId>),
    /// `--rootfs DIR`: no layer at all, the directory is used as it is.
    Directory(PathBuf),
    /// `--rootfs DIR:O`: the directory stays as it is.
    Overlay(PathBuf),
}

/// How to mount it.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct MountOptions {
    /// Nothing can be written, not even into the writable layer.
    pub read_only: bool,
    /// Nothing reaches the disk on purpose: for a container that is removed when it ends.
    pub volatile: bool,
    /// SELinux context of every file.
    pub context: Option<String>,
}

/// A container's root file system.
#[derive(Debug)]
pub struct RootFs<'a> {
    storage: &'a Storage,
    dir: PathBuf,
    base: Base,
}

/// `holds.json`.
#[derive(Debug, Default, Serialize, Deserialize)]
struct Holds {
    boot_id: String,
    count: u32,
}

impl<'a> RootFs<'a> {
    /// The root file system in `dir`, which need not exist yet.
    pub fn new(storage: &'a Storage, dir: impl Into<PathBuf>, base: Base) -> RootFs<'a> {
        RootFs { storage, dir: dir.into(), base }
    }

    /// Makes the directories. What exists stays.
    ///
    /// # Errors
    /// [`Error::NotFound`] without the topmost layer or the directory; [`Error::Io`].
    pub fn prepare(&self) -> Result<()> {
        let Some(top) = self.lower().into_iter().next() else { return Ok(()) };
        let merged = self.merged();
        // Made last: its presence says that the others are there.
        if merged.is_dir() {
            return Ok(());
        }
        for dir in [self.dir.clone(), self.dir.join("work"), self.dir.join("empty")] {
            dhow_sys::fs::create_dir_all(&dir, 0o700).doing("create", &dir)?;
        }
        let upper = self.upper();
        dhow_sys::fs::create_dir_all(&upper, 0o755).doing("create", &upper)?;
        // The root of the mount looks like that of its topmost directory, which is this one.
        let what = if matches!(self.base, Base::Layers(_)) { "layer" } else { "directory" };
        copy_attributes(&top, &upper, what)?;
        dhow_sys::fs::create_dir_all(&merged, 0o700).doing("create", &merged)
    }

    /// Mounts it, unless it is; gives where.
    ///
    /// # Errors
    /// [`Error::Io`] with the kernel's word.
    pub fn mount(&self, options: &MountOptions) -> Result<PathBuf> {
        if let Some(mounted) = self.mounted()? {
            return Ok(mounted);
        }
        self.prepare()?;
        let (upper, work, merged) = (self.upper(), self.dir.join("work"), self.merged());
        let mut lower = self.lower();
        if options.read_only {
            lower.insert(0, upper.clone());
        }
        let lower: Vec<&Path> = lower.iter().map(PathBuf::as_path).collect();
        let writable = !options.read_only;
        if writable {
            // The kernel's mark that this was mounted without syncs and may have lost writes in a crash, which refuses
            // every later mount. It is of this boot: a container that is mounted so does not outlive one.
            let mark = work.join("work/incompat/volatile");
            dhow_sys::fs::remove_tree(&mark).doing("remove", &mark)?;
        }
        let overlay = Overlay {
            lower: &lower,
            upper: writable.then_some(upper.as_path()),
            work: writable.then_some(work.as_path()),
            volatile: options.volatile,
            userxattr: self.storage.options().userxattr,
            read_only: options.read_only,
            context: options.context.as_deref(),
        };
        mount_overlay(&overlay, &merged).doing("mount overlay on", &merged)?;
        Ok(merged)
    }

    /// Where it can be used now, if it can.
    ///
    /// # Errors
    /// [`Error::Io`].
    pub fn mounted(&self) -> Result<Option<PathBuf>> {
        if let Base::Directory(dir) = &self.base {
            return Ok(dir.is_dir().then(|| dir.clone()));
        }
        let merged = self.merged();
        Ok(is_mount_point(&merged).doing("look at", &merged)?.then_some(merged))
    }

    /// Unmounts it, whoever has asked for it; processes that are in it keep what they have. False: it was not mounted.
    ///
    /// # Errors
    /// [`Error::Io`].
    pub fn unmount(&self) -> Result<bool> {
        let merged = self.merged();
        let mut mounted = false;
        while unmount(&merged, true).doing("unmount", &merged)? {
            mounted = true;
        }
        if mounted {
            self.write_holds(0)?;
        }
        Ok(mounted)
    }

    /// Unmounts and removes all. Gone already is as good.
    ///
    /// CRASH: the next call finishes it.
    ///
    /// # Errors
    /// [`Error::Io`] naming what is still in the way.
    pub fn remove(&self) -> Result<()> {
        self.unmount()?;
        dhow_sys::fs::remove_tree(&self.dir).doing("remove", &self.dir)
    }

    /// The user wants it mounted once more; gives how often now. The caller mounts it first.
    ///
    /// # Errors
    /// [`Error::Io`].
    pub fn hold(&self) -> Result<u32> {
        let count = self.holds()?.saturating_add(1);
        self.write_holds(count)?;
        Ok(count)
    }

    /// The user wants it mounted once less; gives how often still. At 0 the caller may unmount it.
    ///
    /// # Errors
    /// [`Error::Io`].
    pub fn release(&self) -> Result<u32> {
        let count = self.holds()?.saturating_sub(1);
        self.write_holds(count)?;
        Ok(count)
    }

    /// How often the user wants it mounted. A mount that is gone, with its boot or by hand, is wanted by nobody.
    ///
    /// # Errors
    /// [`Error::Io`].
    pub fn holds(&self) -> Result<u32> {
        if self.mounted()?.is_none() {
            return Ok(0);
        }
        let path = self.holds_path();
        let bytes = match dhow_sys::fs::read_bounded(&path, MAX_RECORD) {
            Err(e) if e.kind() == io::ErrorKind::NotFound => return Ok(0),
            other => other.doing("read", &path)?,
        };
        // Not readable: then nobody is known to want it.
        let holds: Holds = serde_json::from_slice(&bytes).unwrap_or_default();
        Ok(if holds.boot_id == boot_id()? { holds.count } else { 0 })
    }

    /// Bytes in the writable layer.
    ///
    /// # Errors
    /// [`Error::Io`].
    pub fn size(&self) -> Result<u64> {
        tree_size(&self.upper())
    }

    /// What the container has changed, in order of the paths.
    ///
    /// # Errors
    /// [`Error::Invalid`] for [`Base::Directory`], of which no earlier state is known; [`Error::Io`].
    pub fn changes(&self) -> Result<Vec<Change>> {
        let upper = self.own_layer()?;
        crate::changes::changes(&upper, &self.lower(), self.storage.options().userxattr)
    }

    /// Writes the writable layer to `out` as an uncompressed OCI layer.
    ///
    /// # Errors
    /// As [`RootFs::changes`].
    pub fn diff(&self, out: impl io::Write) -> Result<()> {
        let upper = self.own_layer()?;
        export::layer_tar(&upper, out, self.storage.options().userxattr)
    }

    fn own_layer(&self) -> Result<PathBuf> {
        match &self.base {
            Base::Directory(dir) => Err(Error::Invalid {
                what: "container with a layer of its own",
                value: dir.display().to_string(),
                why: "a root file system given as a directory is used as it is",
            }),
            Base::Layers(_) | Base::Overlay(_) => {
                self.prepare()?;
                Ok(self.upper())
            }
        }
    }

    /// Directories below the writable layer, the topmost first; none for [`Base::Directory`].
    fn lower(&self) -> Vec<PathBuf> {
        match &self.base {
            Base::Directory(_) => Vec::new(),
            Base::Overlay(dir) => vec![dir.clone()],
            // overlayfs wants at least one.
            Base::Layers(layers) if layers.is_empty() => vec![self.dir.join("empty")],
            Base::Layers(layers) => {
                layers.iter().rev().map(|chain| self.storage.layer_diff(chain)).collect()
            }
        }
    }

    fn upper(&self) -> PathBuf {
        self.dir.join("upper")
    }

    fn merged(&self) -> PathBuf {
        self.dir.join("merged")
    }

    fn holds_path(&self) -> PathBuf {
        self.dir.join("holds.json")
    }

    fn write_holds(&self, count: u32) -> Result<()> {
        let path = self.holds_path();
        if count == 0 {
            return dhow_sys::fs::remove_tree(&path).doing("remove", &path);
        }
        dhow_sys::fs::create_dir_all(&self.dir, 0o700).doing("create", &self.dir)?;
        let holds = Holds { boot_id: boot_id()?, count };
        let text = serde_json::to_vec(&holds).map_err(io::Error::from).doing("write", &path)?;
        // It means nothing in another boot.
        let durability = Durability::Volatile;
        dhow_sys::fs::write_atomic(&path, &text, 0o600, durability).doing("write", &path)
    }
}

fn boot_id() -> Result<String> {
    dhow_sys::boot::boot_id().doing("read", "/proc/sys/kernel/random/boot_id")
}

fn copy_attributes(from: &Path, to: &Path, what: &'static str) -> Result<()> {
    let flags = OPEN_DIR.difference(dhow_sys::root::OFlags::NOFOLLOW);
    let source = match rustix::fs::open(from, flags, Mode::empty()) {
        Err(rustix::io::Errno::NOENT) => {
            return Err(Error::NotFound { what, name: from.display().to_string() });
        }
        other => other.doing("open", from)?,
    };
    let copy = || -> io::Result<()> {
        let target = rustix::fs::open(to, flags, Mode::empty())?;
        let stat = rustix::fs::fstat(&source)?;
        Attributes::of(source.as_fd(), std::ffi::OsStr::new("."), &stat)?.set(&target)
    };
    copy().doing("set the attributes of", to)
}

/// Bytes of the files below a directory; none where there is no such directory.
///
/// # Errors
/// [`Error::Io`].
pub fn tree_size(dir: &Path) -> Result<u64> {
    match rustix::fs::open(dir, OPEN_DIR, Mode::empty()) {
        Ok(open) => size_below(&open, 0).doing("measure", dir),
        Err(rustix::io::Errno::NOENT) => Ok(0),
        Err(e) => Err(Error::io("open", dir, e.into())),
    }
}

fn size_below(dir: impl AsFd, depth: usize) -> io::Result<u64> {
    let dir = dir.as_fd();
    let mut size = 0u64;
    for name in read_dir(dir)? {
        let Some(stat) = stat(dir, &name)? else { continue };
        match rustix::fs::FileType::from_raw_mode(stat.st_mode) {
            rustix::fs::FileType::Directory if depth < crate::copy::MAX_DEPTH => {
                let child = rustix::fs::openat(dir, &name, OPEN_DIR, Mode::empty())?;
                size = size.saturating_add(size_below(child, depth + 1)?);
            }
            rustix::fs::FileType::RegularFile => {
                size = size.saturating_add(u64::try_from(stat.st_size).unwrap_or_default());
            }
            _ => {}
        }
    }
    Ok(size)
}

#[cfg(test)]
mod tests;
