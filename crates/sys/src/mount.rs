//! Mounts: overlay, tmpfs, bind; the new mount API first, `mount(2)` where the kernel has no such thing.
//!
//! The new API builds a mount that nobody sees yet and then puts it in place in one step, so a process killed half way
//! leaves nothing, and an overlay may have any number of layers. `mount(2)` takes all options in one page of text; there
//! each layer is named `/proc/self/fd/N`, some 17 bytes, so that 120 layers fit whatever their real paths are.
//!
//! INVARIANT: an error leaves nothing mounted. This module keeps no list of what it mounted: see
//! [`mountinfo`](crate::mountinfo).

mod legacy;
mod modern;

use std::io;
use std::path::Path;

use rustix::io::Errno;
use rustix::mount::{MountPropagationFlags, UnmountFlags};

/// An overlay file system, see the kernel's `filesystems/overlayfs.rst`.
#[derive(Debug, Clone, Default)]
pub struct Overlay<'a> {
    /// Read-only layers, the topmost first.
    pub lower: &'a [&'a Path],
    /// Where writes go; none makes the whole mount read-only, and then there must be two lower layers or more.
    pub upper: Option<&'a Path>,
    /// An empty directory on the file system of `upper`; needed with it.
    pub work: Option<&'a Path>,
    /// No fsync reaches the disk: for what must not outlive a crash of the machine anyway.
    pub volatile: bool,
    /// Marks in `user.overlay.*` in place of `trusted.overlay.*`: mounts by an unprivileged user.
    pub userxattr: bool,
    /// Refuse writes although there is an upper layer.
    pub read_only: bool,
    /// SELinux context of every file.
    pub context: Option<&'a str>,
}

/// A file system in memory, tmpfs(5).
#[derive(Debug, Clone, Default)]
pub struct Tmpfs<'a> {
    /// What mount tables show as the source; `tmpfs` when empty.
    pub source: &'a str,
    /// Bytes; the kernel's default is half of the memory.
    pub size: Option<u64>,
    /// Number of files.
    pub inodes: Option<u64>,
    /// Mode of its root directory.
    pub mode: u32,
    /// Restrictions.
    pub flags: MountFlags,
    /// SELinux context of every file.
    pub context: Option<&'a str>,
}

/// A bind mount.
#[derive(Debug, Clone, Copy, Default)]
pub struct Bind {
    /// With all mounts below the source.
    pub recursive: bool,
    /// Restrictions, on all mounts below too when `recursive`.
    pub flags: MountFlags,
}

/// Restrictions of one mount.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct MountFlags {
    /// Nothing can be written through it.
    pub read_only: bool,
    /// Set-user-id bits and file capabilities have no effect.
    pub nosuid: bool,
    /// Device nodes cannot be opened.
    pub nodev: bool,
    /// No program can be executed.
    pub noexec: bool,
}

/// How mounts made below a mount travel to other mount namespaces, mount_namespaces(7).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Propagation {
    /// Not at all.
    Private,
    /// Only inwards.
    Slave,
    /// Both ways.
    Shared,
    /// Not at all, and it cannot be bound elsewhere.
    Unbindable,
}

/// Why the new API did not do it: an old kernel, or an error that `mount(2)` would meet too.
#[derive(Debug)]
enum Refused {
    Unsupported,
    Failed(Errno),
}

/// Mounts an overlay on `target`.
///
/// # Errors
/// ELOOP where layers overlap; `InvalidInput` where a kernel before 6.8 cannot take so many layers; else the kernel's.
pub fn mount_overlay(overlay: &Overlay<'_>, target: &Path) -> io::Result<()> {
    or_legacy(|| modern::overlay(overlay, target), || legacy::overlay(overlay, target))
}

/// Mounts a new, empty tmpfs on `target`.
///
/// # Errors
/// The kernel's.
pub fn mount_tmpfs(tmpfs: &Tmpfs<'_>, target: &Path) -> io::Result<()> {
    or_legacy(|| modern::tmpfs(tmpfs, target), || legacy::tmpfs(tmpfs, target))
}

/// Shows `source` at `target` as well.
///
/// # Errors
/// The kernel's.
pub fn bind(source: &Path, target: &Path, options: &Bind) -> io::Result<()> {
    or_legacy(|| modern::bind(source, target, options), || legacy::bind(source, target, options))
}

/// Takes away the topmost mount at `target`, which is not followed if it is a link. `lazy`: at once for new lookups,
/// for real when the last user is gone. False: nothing was mounted there.
///
/// # Errors
/// `ResourceBusy` when in use and not `lazy`; else the kernel's.
pub fn unmount(target: &Path, lazy: bool) -> io::Result<bool> {
    let mut flags = UnmountFlags::NOFOLLOW;
    if lazy {
        flags |= UnmountFlags::DETACH;
    }
    match rustix::mount::unmount(target, flags) {
        Ok(()) => Ok(true),
        // EINVAL is "not a mount point" for umount(2), but also "locked", which must not pass for success.
        Err(Errno::INVAL) if !crate::mountinfo::is_mount_point(target)? => Ok(false),
        Err(Errno::NOENT | Errno::NOTDIR) => Ok(false),
        Err(e) => Err(e.into()),
    }
}

/// Changes how the mount at `target`, and with `recursive` those below it, propagate.
///
/// # Errors
/// The kernel's; EINVAL when `target` is no mount point.
pub fn set_propagation(target: &Path, kind: Propagation, recursive: bool) -> io::Result<()> {
    let mut flags = match kind {
        Propagation::Private => MountPropagationFlags::PRIVATE,
        Propagation::Slave => MountPropagationFlags::DOWNSTREAM,
        Propagation::Shared => MountPropagationFlags::SHARED,
        Propagation::Unbindable => MountPropagationFlags::UNBINDABLE,
    };
    if recursive {
        flags |= MountPropagationFlags::REC;
    }
    Ok(rustix::mount::mount_change(target, flags)?)
}

fn or_legacy(
    modern: impl FnOnce() -> Result<(), Refused>,
    legacy: impl FnOnce() -> io::Result<()>,
) -> io::Result<()> {
    match modern() {
        Ok(()) => Ok(()),
        Err(Refused::Failed(e)) => Err(e.into()),
        Err(Refused::Unsupported) => legacy(),
    }
}

#[cfg(test)]
mod tests;
