//! `--device` and `--device-cgroup-rule`.

use std::fmt;
use std::path::PathBuf;
use std::str::FromStr;

use serde::{Deserialize, Serialize};

use super::Invalid;

/// A device node of the host given to the container: `SOURCE[:DESTINATION][:ACCESS]`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Device {
    /// A device node, or a directory of which every device node is given.
    pub source: PathBuf,
    /// Where it appears in the container; none given: at the same path.
    pub destination: PathBuf,
    /// What may be done with it.
    pub access: DeviceAccess,
}

/// Permissions of the device cgroup: some of `r`, `w` and `m` (mknod).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct DeviceAccess {
    /// `r`.
    pub read: bool,
    /// `w`.
    pub write: bool,
    /// `m`.
    pub mknod: bool,
}

impl Default for DeviceAccess {
    /// rwm.
    fn default() -> Self {
        Self { read: true, write: true, mknod: true }
    }
}

impl DeviceAccess {
    fn parse(text: &str) -> Option<Self> {
        let mut access = Self { read: false, write: false, mknod: false };
        for c in text.chars() {
            let flag = match c {
                'r' => &mut access.read,
                'w' => &mut access.write,
                'm' => &mut access.mknod,
                _ => return None,
            };
            if std::mem::replace(flag, true) {
                return None;
            }
        }
        (!text.is_empty()).then_some(access)
    }
}

impl fmt::Display for DeviceAccess {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (set, letter) in [(self.read, "r"), (self.write, "w"), (self.mknod, "m")] {
            if set {
                f.write_str(letter)?;
            }
        }
        Ok(())
    }
}

impl FromStr for Device {
    type Err = Invalid;

    fn from_str(text: &str) -> Result<Self, Invalid> {
        let invalid = |why: &str| Invalid::new("device", text, why);
        let fields: Vec<&str> = text.split(':').collect();
        let (source, destination, access) = match fields[..] {
            [source] => (source, source, "rwm"),
            [source, second] if second.starts_with('/') => (source, second, "rwm"),
            [source, second] => (source, source, second),
            [source, destination, access] => (source, destination, access),
            _ => return Err(invalid("expected SOURCE[:DESTINATION][:ACCESS]")),
        };
        if !source.starts_with('/') {
            let why = if source.contains('=') && source.contains('/') {
                "CDI devices are not supported: expected the absolute path of a device of the host"
            } else {
                "the source must be the absolute path of a device of the host, as in /dev/fuse"
            };
            return Err(invalid(why));
        }
        if !destination.starts_with('/') {
            return Err(invalid(
                "the destination must be an absolute path, as in /dev/fuse:/dev/fuse:rw",
            ));
        }
        let access = DeviceAccess::parse(access).ok_or_else(|| {
            invalid("the access must be some of the letters r, w and m, each once")
        })?;
        Ok(Self { source: source.into(), destination: destination.into(), access })
    }
}

impl fmt::Display for Device {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}:{}:{}", self.source.display(), self.destination.display(), self.access)
    }
}

/// A rule of the device cgroup: `KIND MAJOR:MINOR ACCESS`, as in `c 1:3 rw`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct DeviceCgroupRule {
    /// Which kind.
    pub kind: DeviceKind,
    /// Major number; none: all (`*`).
    pub major: Option<u32>,
    /// Minor number; none: all (`*`).
    pub minor: Option<u32>,
    /// What may be done.
    pub access: DeviceAccess,
}

/// Kind of device.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum DeviceKind {
    /// `a`: both.
    All,
    /// `b`.
    Block,
    /// `c`.
    Character,
}

impl FromStr for DeviceCgroupRule {
    type Err = Invalid;

    fn from_str(text: &str) -> Result<Self, Invalid> {
        let invalid = || {
            Invalid::new(
                "device cgroup rule",
                text,
                "expected KIND MAJOR:MINOR ACCESS, as in \"c 1:3 rw\" or \"b *:* r\"",
            )
        };
        let number = |word: &str| match word {
            "*" => Ok(None),
            digits => digits.parse().map(Some).map_err(|_| invalid()),
        };
        let words: Vec<&str> = text.split_ascii_whitespace().collect();
        let [kind, numbers, access] = words[..] else { return Err(invalid()) };
        let kind = match kind {
            "a" => DeviceKind::All,
            "b" => DeviceKind::Block,
            "c" => DeviceKind::Character,
            _ => return Err(invalid()),
        };
        let (major, minor) = numbers.split_once(':').ok_or_else(invalid)?;
        Ok(Self {
            kind,
            major: number(major)?,
            minor: number(minor)?,
            access: DeviceAccess::parse(access).ok_or_else(invalid)?,
        })
    }
}

impl fmt::Display for DeviceCgroupRule {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let kind = match self.kind {
            DeviceKind::All => 'a',
            DeviceKind::Block => 'b',
            DeviceKind::Character => 'c',
        };
        let number = |n: Option<u32>| n.map_or_else(|| "*".to_owned(), |n| n.to_string());
        write!(f, "{kind} {}:{} {}", number(self.major), number(self.minor), self.access)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn device(text: &str) -> String {
        text.parse::<Device>().map_or_else(|e| e.to_string(), |d| d.to_string())
    }

    #[test]
    fn reads_devices() {
        assert_eq!(device("/dev/fuse"), "/dev/fuse:/dev/fuse:rwm");
        assert_eq!(device("/dev/fuse:/dev/f"), "/dev/fuse:/dev/f:rwm");
        assert_eq!(device("/dev/fuse:r"), "/dev/fuse:/dev/fuse:r");
        assert_eq!(device("/dev/fuse:/dev/f:wr"), "/dev/fuse:/dev/f:rw");
        assert!(device("fuse").contains("absolute path"));
        assert!(device("vendor.com/gpu=all").contains("CDI"));
        assert!(device("/dev/a:/dev/b:rr").contains("each once"));
        assert!(device("/dev/a:b:c:d").contains("expected SOURCE"));
        assert!(device("/dev/a:").contains("letters"));
    }

    #[test]
    fn reads_cgroup_rules() {
        for rule in ["c 1:3 rw", "b *:* r", "a *:* rwm", "c 10:* m"] {
            assert_eq!(rule.parse::<DeviceCgroupRule>().unwrap().to_string(), rule);
        }
        for bad in ["", "c", "c 1 rw", "x 1:1 r", "c 1:1 rr", "c -1:1 r", "c 1:1 r w"] {
            assert!(bad.parse::<DeviceCgroupRule>().is_err(), "{bad}");
        }
    }

    proptest::proptest! {
        #[test]
        fn never_panics(text in "[/a-z:*0-9 rwm=é]{0,24}") {
            let _device = text.parse::<Device>();
            let _rule = text.parse::<DeviceCgroupRule>();
        }
    }
}
