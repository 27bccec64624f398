//! Owner, mode, extended attributes and times: read from a file, or set on one in the order that keeps them all.
//!
//! ORDER: owner before mode, as chown(2) clears set-user-id; both before attributes, as chown drops
//! `security.capability`; times last, as everything else changes them.

use std::ffi::{OsStr, OsString};
use std::io;
use std::os::fd::{AsFd, BorrowedFd};
use std::os::unix::ffi::{OsStrExt, OsStringExt};

use dhow_sys::xattr;
use rustix::fs::{AtFlags, Gid, Mode, Stat, Timespec, Timestamps, Uid};

use crate::archive::Entry;

/// What a file has besides its content and its kind.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Attributes {
    pub(crate) mode: u32,
    pub(crate) uid: u32,
    pub(crate) gid: u32,
    pub(crate) mtime: (i64, u32),
    pub(crate) xattrs: Vec<(OsString, Vec<u8>)>,
}

/// Attributes that make sense on the machine and in the layer that set them, and nowhere else: overlayfs's own marks
/// (an archive could forge whiteouts, redirects into other directories and more with them), labels and signatures.
const FOREIGN: [&str; 5] =
    ["trusted.overlay.", "user.overlay.", "security.selinux", "security.ima", "security.evm"];

/// May this attribute go into or come out of an archive?
pub(crate) fn is_portable(name: &[u8]) -> bool {
    !FOREIGN.iter().any(|prefix| name.starts_with(prefix.as_bytes()))
}

impl Attributes {
    /// Those that an archive's entry asks for.
    pub(crate) fn of_entry(entry: &Entry) -> Attributes {
        let portable = entry.xattrs.iter().filter(|(name, _)| is_portable(name));
        let xattrs = portable
            .map(|(name, value)| (OsString::from_vec(name.clone()), value.clone()))
            .collect();
        Attributes { mode: entry.mode, uid: entry.uid, gid: entry.gid, mtime: entry.mtime, xattrs }
    }

    /// Those of an entry of a directory, links not followed; foreign attributes are left out.
    pub(crate) fn of(dir: BorrowedFd<'_>, name: &OsStr, stat: &Stat) -> io::Result<Attributes> {
        let mut xattrs = Vec::new();
        for key in xattr::list_at(dir, name)? {
            if is_portable(key.as_bytes())
                && let Some(value) = xattr::get_at(dir, name, &key)?
            {
                xattrs.push((key, value));
            }
        }
        xattrs.sort();
        Ok(Attributes {
            mode: stat.st_mode & 0o7777,
            uid: stat.st_uid,
            gid: stat.st_gid,
            mtime: mtime(stat),
            xattrs,
        })
    }

    /// Sets all on an open file.
    pub(crate) fn set(&self, file: impl AsFd) -> io::Result<()> {
        let file = file.as_fd();
        rustix::fs::fchown(file, Some(Uid::from_raw(self.uid)), Some(Gid::from_raw(self.gid)))?;
        rustix::fs::fchmod(file, Mode::from_raw_mode(self.mode))?;
        for (name, value) in &self.xattrs {
            tolerate(name, xattr::set(file, name, value))?;
        }
        Ok(rustix::fs::futimens(file, &times(self.mtime))?)
    }

    /// Sets all on an entry of a directory that must not be opened: link, device, fifo.
    pub(crate) fn set_at(&self, dir: BorrowedFd<'_>, name: &OsStr, link: bool) -> io::Result<()> {
        let (uid, gid) = (Uid::from_raw(self.uid), Gid::from_raw(self.gid));
        rustix::fs::chownat(dir, name, Some(uid), Some(gid), AtFlags::SYMLINK_NOFOLLOW)?;
        if !link {
            rustix::fs::chmodat(dir, name, Mode::from_raw_mode(self.mode), AtFlags::empty())?;
        }
        for (key, value) in &self.xattrs {
            tolerate(key, xattr::set_at(dir, name, key, value))?;
        }
        let flags = AtFlags::SYMLINK_NOFOLLOW;
        Ok(rustix::fs::utimensat(dir, name, &times(self.mtime), flags)?)
    }
}

/// Modification time as (seconds, nanoseconds).
pub(crate) fn mtime(stat: &Stat) -> (i64, u32) {
    (stat.st_mtime, u32::try_from(stat.st_mtime_nsec).unwrap_or_default())
}

/// Both times: nobody wants to know when a file of an image was read last.
pub(crate) fn times((seconds, nanos): (i64, u32)) -> Timestamps {
    let time = Timespec { tv_sec: seconds, tv_nsec: nanos.into() };
    Timestamps { last_access: time, last_modification: time }
}

/// Not every file system knows every attribute; a file without it is better than no image.
fn tolerate(name: &OsStr, result: io::Result<()>) -> io::Result<()> {
    match result {
        Err(e) if xattr::is_unsupported(&e) => {
            tracing::debug!(name = %name.to_string_lossy(), "extended attribute not supported");
            Ok(())
        }
        other => other,
    }
}
