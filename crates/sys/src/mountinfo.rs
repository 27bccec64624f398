//! What is mounted, as the kernel tells it. Mounts are decided from here, never from a flag that we kept ourselves.
//!
//! `/proc/self/mountinfo` costs the kernel a walk over all mounts; [`is_mount_point`] asks `statx(2)` about one path
//! and is what hot paths use.

use std::ffi::OsString;
use std::io;
use std::os::unix::ffi::OsStringExt;
use std::path::{Path, PathBuf};

use rustix::fs::{AtFlags, CWD, StatxAttributes, StatxFlags};
use rustix::io::Errno;

/// One line of `/proc/self/mountinfo`, proc_pid_mountinfo(5).
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct MountEntry {
    /// Number of the mount, unique while it exists.
    pub id: u64,
    /// Number of the mount that it stands on.
    pub parent: u64,
    /// `major:minor` of the device.
    pub dev: String,
    /// What of the file system is seen here.
    pub root: PathBuf,
    /// Where it is mounted.
    pub target: PathBuf,
    /// `overlay`, `tmpfs`, …
    pub fstype: String,
    /// Device or name given when it was mounted.
    pub source: OsString,
    /// Options of this mount: `rw,nosuid,…`.
    pub options: String,
    /// Options of the file system.
    pub super_options: OsString,
    /// `shared:N`, `master:N`, … ; empty when private.
    pub propagation: Vec<String>,
}

/// All mounts that this process sees, in the order they were made.
///
/// # Errors
/// That of reading the file; `InvalidData` for a line that has not the documented form.
pub fn mounts() -> io::Result<Vec<MountEntry>> {
    parse(&std::fs::read("/proc/self/mountinfo")?)
}

/// The mounts at `path` and below it, children after parents.
///
/// # Errors
/// As [`mounts`]; that of resolving `path`.
pub fn mounts_below(path: &Path) -> io::Result<Vec<MountEntry>> {
    let real = path.canonicalize()?;
    let mut found = mounts()?;
    found.retain(|mount| mount.target.starts_with(&real));
    Ok(found)
}

/// Is something mounted right at `path`? False where nothing is; a link is followed except as the last component.
///
/// # Errors
/// That of `statx(2)`, but not `NotFound`.
pub fn is_mount_point(path: &Path) -> io::Result<bool> {
    let flags = AtFlags::SYMLINK_NOFOLLOW | AtFlags::NO_AUTOMOUNT;
    let stat = match rustix::fs::statx(CWD, path, flags, StatxFlags::empty()) {
        Err(Errno::NOENT | Errno::NOTDIR) => return Ok(false),
        other => other?,
    };
    if stat.stx_attributes_mask.contains(StatxAttributes::MOUNT_ROOT) {
        return Ok(stat.stx_attributes.contains(StatxAttributes::MOUNT_ROOT));
    }
    // Linux before 5.8.
    let real = path.canonicalize()?;
    Ok(mounts()?.iter().any(|mount| mount.target == real))
}

fn parse(text: &[u8]) -> io::Result<Vec<MountEntry>> {
    let lines = text.split(|byte| *byte == b'\n').filter(|line| !line.is_empty());
    lines
        .map(|line| {
            parse_line(line).ok_or_else(|| {
                let line = String::from_utf8_lossy(line);
                io::Error::new(io::ErrorKind::InvalidData, format!("bad mountinfo line {line:?}"))
            })
        })
        .collect()
}

fn parse_line(line: &[u8]) -> Option<MountEntry> {
    let mut fields = line.split(|byte| *byte == b' ');
    let mut next = || fields.next();
    let (id, parent, dev) = (number(next()?)?, number(next()?)?, text(next()?)?);
    let (root, target) = (unescape(next()?).into(), unescape(next()?).into());
    let options = text(next()?)?;
    let mut propagation = Vec::new();
    // Any number of optional fields, closed by a lone dash.
    loop {
        match next()? {
            b"-" => break,
            field => propagation.push(text(field)?),
        }
    }
    let (fstype, source) = (text(next()?)?, unescape(next()?));
    let super_options = unescape(next().unwrap_or_default());
    Some(MountEntry {
        id,
        parent,
        dev,
        root,
        target,
        fstype,
        source,
        options,
        super_options,
        propagation,
    })
}

fn number(field: &[u8]) -> Option<u64> {
    std::str::from_utf8(field).ok()?.parse().ok()
}

fn text(field: &[u8]) -> Option<String> {
    Some(std::str::from_utf8(field).ok()?.to_owned())
}

/// Space, tab, newline and backslash are written as three octal digits.
fn unescape(field: &[u8]) -> OsString {
    let mut out = Vec::with_capacity(field.len());
    let mut rest = field;
    while let Some((&first, tail)) = rest.split_first() {
        let octal = tail.get(..3).filter(|digits| {
            first == b'\\'
                && digits.iter().all(|digit| (b'0'..=b'7').contains(digit))
                && digits.first().is_some_and(|digit| *digit <= b'3')
        });
        match octal {
            Some(digits) => {
                out.push(digits.iter().fold(0, |value, digit| value * 8 + (digit - b'0')));
                rest = tail.get(3..).unwrap_or_default();
            }
            None => {
                out.push(first);
                rest = tail;
            }
        }
    }
    OsString::from_vec(out)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_line_with_everything() {
        let line = b"36 35 98:0 /mnt1 /m\\040n\\134t rw,noatime master:1 shared:7 - ext3 /dev/a\\011b rw,errors=x\n";
        let found = parse(line).unwrap();
        assert_eq!(
            found,
            [MountEntry {
                id: 36,
                parent: 35,
                dev: "98:0".into(),
                root: "/mnt1".into(),
                target: "/m n\\t".into(),
                fstype: "ext3".into(),
                source: "/dev/a\tb".into(),
                options: "rw,noatime".into(),
                super_options: "rw,errors=x".into(),
                propagation: vec!["master:1".into(), "shared:7".into()],
            }]
        );
    }

    #[test]
    fn half_a_line_is_an_error_and_names_itself() {
        let error = parse(b"36 35 98:0 / /mnt rw").unwrap_err();
        assert!(error.to_string().contains("98:0"), "{error}");
    }

    #[test]
    fn this_machine_is_understood() {
        let all = mounts().unwrap();
        assert!(all.iter().any(|mount| mount.target == Path::new("/proc")));
        assert!(is_mount_point(Path::new("/proc")).unwrap());
        assert!(!is_mount_point(Path::new("/proc/self")).unwrap());
        assert!(!is_mount_point(Path::new("/no/such/place")).unwrap());
        assert!(
            mounts_below(Path::new("/proc")).unwrap().iter().all(|m| m.target.starts_with("/proc"))
        );
    }

    proptest::proptest! {
        #[test]
        fn any_line_is_refused_or_read_without_panic(line in proptest::collection::vec(0u8..128, 0..120)) {
            if let Err(error) = parse(&line) {
                proptest::prop_assert_eq!(error.kind(), io::ErrorKind::InvalidData);
            }
            proptest::prop_assert!(unescape(&line).len() <= line.len());
        }
    }
}
