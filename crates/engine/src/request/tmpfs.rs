//! `--tmpfs DESTINATION[:OPTIONS]` and `--mount type=tmpfs`.

use std::fmt;
use std::path::PathBuf;
use std::str::FromStr;

use serde::{Deserialize, Serialize};

use super::mount::{Field, MountOptions, destination};
use super::{ByteSize, Invalid};

/// Memory mounted in the container.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct TmpfsMount {
    /// Absolute.
    pub destination: PathBuf,
    /// How.
    pub options: TmpfsOptions,
}

/// How a tmpfs is mounted.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(default)]
pub struct TmpfsOptions {
    /// `size=`; none: half of the memory.
    pub size: Option<TmpfsSize>,
    /// `mode=`, octal.
    pub mode: Option<u32>,
    /// `uid=`.
    pub uid: Option<u32>,
    /// `gid=`.
    pub gid: Option<u32>,
    /// `nr_inodes=`.
    pub inodes: Option<u64>,
    /// What it has in common with other mounts.
    pub common: MountOptions,
}

/// A tmpfs' size.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum TmpfsSize {
    /// Bytes.
    Bytes(ByteSize),
    /// Per cent of the memory.
    Percent(u8),
}

impl TmpfsOptions {
    /// Takes an option; `Ok(false)`: not one of a tmpfs.
    pub(super) fn apply(&mut self, field: &Field<'_>) -> Result<bool, String> {
        match field.key {
            "size" | "tmpfs-size" => {
                field.once(&mut self.size, field.value()?.parse().map_err(|e: Invalid| e.why)?)?;
            }
            "mode" | "tmpfs-mode" => {
                let mode = u32::from_str_radix(field.value()?, 8).ok().filter(|m| *m <= 0o7777);
                field
                    .once(&mut self.mode, mode.ok_or("the mode must be octal, as in mode=1777")?)?;
            }
            "uid" => field.once(&mut self.uid, field.number()?)?,
            "gid" => field.once(&mut self.gid, field.number()?)?,
            "nr_inodes" => field.once(&mut self.inodes, field.number()?)?,
            "tmpcopyup" => field.flag().and_then(|on| field.once(&mut self.common.copy, on))?,
            "notmpcopyup" => field.flag().and_then(|on| field.once(&mut self.common.copy, !on))?,
            _ => return self.common.apply_flags(field),
        }
        Ok(true)
    }

    /// The options as words, in the runtime specification's and mount(8)'s form, with `tmpcopyup` or `notmpcopyup`
    /// where one was asked for.
    pub fn words(&self) -> Vec<String> {
        let mut words = self.common.words();
        words.extend(
            self.common
                .copy
                .map(|copy| if copy { "tmpcopyup".into() } else { "notmpcopyup".into() }),
        );
        words.extend(self.size.map(|size| format!("size={size}")));
        words.extend(self.mode.map(|mode| format!("mode={mode:o}")));
        words.extend(self.uid.map(|uid| format!("uid={uid}")));
        words.extend(self.gid.map(|gid| format!("gid={gid}")));
        words.extend(self.inodes.map(|inodes| format!("nr_inodes={inodes}")));
        words
    }
}

impl FromStr for TmpfsSize {
    type Err = Invalid;

    fn from_str(text: &str) -> Result<Self, Invalid> {
        match text.strip_suffix('%') {
            Some(percent) => percent.parse().map(Self::Percent).map_err(|_| {
                Invalid::new("size", text, "expected a percentage of the memory, as in 50%")
            }),
            None => text.parse().map(Self::Bytes),
        }
    }
}

impl fmt::Display for TmpfsSize {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Bytes(bytes) => write!(f, "{bytes}"),
            Self::Percent(percent) => write!(f, "{percent}%"),
        }
    }
}

impl FromStr for TmpfsMount {
    type Err = Invalid;

    fn from_str(text: &str) -> Result<Self, Invalid> {
        let invalid = |why: String| Invalid::new("tmpfs", text, why);
        let (path, words) = text.split_once(':').unwrap_or((text, ""));
        let destination = destination(path).map_err(|why| invalid(why.into()))?;
        let mut options = TmpfsOptions::default();
        for word in words.split(',').filter(|word| !word.is_empty()) {
            let field = Field::new(word);
            if !options.apply(&field).map_err(invalid)? {
                return Err(invalid(format!(
                    "unknown option {word:?}: expected size=, mode=, uid=, gid=, nr_inodes=, ro, rw, [no]exec, [no]dev, \
                     [no]suid, [no]tmpcopyup, U or a propagation"
                )));
            }
        }
        Ok(Self { destination, options })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(text: &str) -> String {
        match text.parse::<TmpfsMount>() {
            Ok(mount) => {
                format!("{} {}", mount.destination.display(), mount.options.words().join(","))
            }
            Err(e) => e.to_string(),
        }
    }

    #[test]
    fn reads_podmans_example() {
        assert_eq!(
            read("/run:rw,noexec,nosuid,size=64k,mode=1777"),
            "/run rw,noexec,nosuid,size=65536,mode=1777"
        );
        assert_eq!(read("/tmp"), "/tmp ");
        assert_eq!(read("/tmp:size=50%,tmpcopyup"), "/tmp tmpcopyup,size=50%");
    }

    #[test]
    fn refuses_what_a_tmpfs_has_not() {
        assert!(read("tmp").contains("absolute"));
        assert!(read("/").contains("root"));
        assert!(read("/a:size=x").contains("expected a number and a unit"));
        assert!(read("/a:mode=9").contains("octal"));
        assert!(read("/a:z").contains("unknown option"));
        assert!(read("/a:ro,rw").contains("already"));
        assert!(read("/a:mode").contains("needs a value"));
    }

    proptest::proptest! {
        #[test]
        fn never_panics(text in "/[a-z]{0,3}(:[a-z=0-9,%é]{0,16})?") {
            let _read = text.parse::<TmpfsMount>();
        }
    }
}
