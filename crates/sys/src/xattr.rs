//! Extended attributes, through a descriptor or through (directory, name) without following a link.
//!
//! The kernel has no `*xattrat` before 6.13; `/proc/self/fd/<dir>/<name>` with the `l*xattr` calls means the same,
//! because the last component is not followed and the one before it is a descriptor that we hold.

use std::ffi::{OsStr, OsString};
use std::io;
use std::os::fd::{AsFd, AsRawFd};
use std::os::unix::ffi::{OsStrExt, OsStringExt};
use std::path::PathBuf;

use rustix::fs::XattrFlags;
use rustix::io::Errno;

/// The kernel's limit on one value (XATTR_SIZE_MAX) and on a list of names (XATTR_LIST_MAX).
const MAX: usize = 65536;

/// The value of an attribute; `None` where there is none or the file system has no such thing.
///
/// # Errors
/// Any other of `fgetxattr(2)`.
pub fn get(fd: impl AsFd, name: impl AsRef<OsStr>) -> io::Result<Option<Vec<u8>>> {
    let (fd, name) = (fd.as_fd(), name.as_ref());
    value(|buffer| rustix::fs::fgetxattr(fd, name, buffer))
}

/// The names of all attributes.
///
/// # Errors
/// That of `flistxattr(2)`; a file system without attributes has none.
pub fn list(fd: impl AsFd) -> io::Result<Vec<OsString>> {
    let fd = fd.as_fd();
    names(|buffer| rustix::fs::flistxattr(fd, buffer))
}

/// Sets an attribute, new or not.
///
/// # Errors
/// That of `fsetxattr(2)`.
pub fn set(fd: impl AsFd, name: impl AsRef<OsStr>, value: &[u8]) -> io::Result<()> {
    Ok(rustix::fs::fsetxattr(fd, name.as_ref(), value, XattrFlags::empty())?)
}

/// Removes an attribute; that there is none is no error.
///
/// # Errors
/// Any other of `fremovexattr(2)`.
pub fn remove(fd: impl AsFd, name: impl AsRef<OsStr>) -> io::Result<()> {
    match rustix::fs::fremovexattr(fd, name.as_ref()) {
        Err(Errno::NODATA | Errno::OPNOTSUPP) => Ok(()),
        other => Ok(other?),
    }
}

/// [`get`] of an entry of a directory, a link itself included.
///
/// # Errors
/// As [`get`].
pub fn get_at(
    dir: impl AsFd,
    entry: impl AsRef<OsStr>,
    name: impl AsRef<OsStr>,
) -> io::Result<Option<Vec<u8>>> {
    let (path, name) = (entry_path(dir, entry.as_ref()), name.as_ref());
    value(|buffer| rustix::fs::lgetxattr(&path, name, buffer))
}

/// [`list`] of an entry of a directory, a link itself included.
///
/// # Errors
/// As [`list`].
pub fn list_at(dir: impl AsFd, entry: impl AsRef<OsStr>) -> io::Result<Vec<OsString>> {
    let path = entry_path(dir, entry.as_ref());
    names(|buffer| rustix::fs::llistxattr(&path, buffer))
}

/// [`set`] on an entry of a directory, a link itself included.
///
/// # Errors
/// As [`set`].
pub fn set_at(
    dir: impl AsFd,
    entry: impl AsRef<OsStr>,
    name: impl AsRef<OsStr>,
    value: &[u8],
) -> io::Result<()> {
    let path = entry_path(dir, entry.as_ref());
    Ok(rustix::fs::lsetxattr(path, name.as_ref(), value, XattrFlags::empty())?)
}

/// Is this what a file system says that does not know the attribute or its namespace?
pub fn is_unsupported(error: &io::Error) -> bool {
    error.raw_os_error() == Some(Errno::OPNOTSUPP.raw_os_error())
}

fn entry_path(dir: impl AsFd, entry: &OsStr) -> PathBuf {
    PathBuf::from(format!("/proc/self/fd/{}", dir.as_fd().as_raw_fd())).join(entry)
}

fn value(read: impl Fn(&mut [u8]) -> Result<usize, Errno>) -> io::Result<Option<Vec<u8>>> {
    match filled(read) {
        Ok(bytes) => Ok(Some(bytes)),
        Err(Errno::NODATA | Errno::OPNOTSUPP) => Ok(None),
        Err(e) => Err(e.into()),
    }
}

fn names(read: impl Fn(&mut [u8]) -> Result<usize, Errno>) -> io::Result<Vec<OsString>> {
    let list = match filled(read) {
        Err(Errno::OPNOTSUPP) => return Ok(Vec::new()),
        other => other?,
    };
    let parts = list.split(|byte| *byte == 0).filter(|name| !name.is_empty());
    Ok(parts.map(|name| OsString::from_vec(name.to_vec())).collect())
}

/// Nearly every list and value fits in the small buffer: one call, no query for the size first.
fn filled(read: impl Fn(&mut [u8]) -> Result<usize, Errno>) -> Result<Vec<u8>, Errno> {
    let mut small = [0; 512];
    match read(&mut small) {
        Ok(length) => Ok(small.get(..length).unwrap_or_default().to_vec()),
        Err(Errno::RANGE) => {
            let mut large = vec![0; MAX];
            let length = read(&mut large)?;
            large.truncate(length);
            Ok(large)
        }
        Err(e) => Err(e),
    }
}

/// Names as bytes compare more easily than `OsStr`.
pub fn has_prefix(name: &OsStr, prefix: &str) -> bool {
    name.as_bytes().starts_with(prefix.as_bytes())
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::os::unix::fs::symlink;

    #[test]
    fn values_large_and_small_and_absent() {
        let temp = tempfile::tempfile_in("/var/tmp").unwrap();
        assert_eq!(get(&temp, "user.none").unwrap(), None);
        let large = vec![7; 3000];
        set(&temp, "user.small", b"v").unwrap();
        set(&temp, "user.large", &large).unwrap();
        assert_eq!(get(&temp, "user.small").unwrap().unwrap(), b"v");
        assert_eq!(get(&temp, "user.large").unwrap().unwrap(), large);
        let mut names = list(&temp).unwrap();
        names.sort();
        assert_eq!(names, ["user.large", "user.small"]);
        remove(&temp, "user.small").unwrap();
        remove(&temp, "user.small").unwrap();
        assert_eq!(list(&temp).unwrap(), ["user.large"]);
    }

    #[test]
    fn a_link_has_its_own() {
        let dir = tempfile::tempdir_in("/var/tmp").unwrap();
        symlink("nowhere", dir.path().join("link")).unwrap();
        let fd = crate::root::Root::open(dir.path()).unwrap();
        set_at(&fd, "link", "trusted.test", b"x").unwrap();
        assert_eq!(get_at(&fd, "link", "trusted.test").unwrap().unwrap(), b"x");
        assert_eq!(list_at(&fd, "link").unwrap(), ["trusted.test"]);
        assert!(set_at(&fd, "link", "user.test", b"x").is_err());
    }
}
