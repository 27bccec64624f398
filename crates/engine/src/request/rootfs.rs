//! `--rootfs DIR[:O]`.

use std::fmt;
use std::path::PathBuf;
use std::str::FromStr;

use serde::{Deserialize, Serialize};

use super::Invalid;

/// A directory of the host used as a root file system.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Rootfs {
    /// The directory.
    pub path: PathBuf,
    /// `:O`: a throwaway overlay is put above it, the directory itself is never written to.
    pub overlay: bool,
}

impl FromStr for Rootfs {
    type Err = Invalid;

    fn from_str(text: &str) -> Result<Self, Invalid> {
        let (path, overlay) = match text.strip_suffix(":O") {
            Some(path) => (path, true),
            None => (text, false),
        };
        if path.is_empty() {
            return Err(Invalid::new("rootfs", text, "expected DIR or DIR:O"));
        }
        if let Some((_, option)) = path.rsplit_once(':')
            && !option.contains('/')
        {
            return Err(Invalid::new(
                "rootfs",
                text,
                format!("option {option:?} is not supported: expected DIR or DIR:O"),
            ));
        }
        Ok(Self { path: path.into(), overlay })
    }
}

impl fmt::Display for Rootfs {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}{}", self.path.display(), if self.overlay { ":O" } else { "" })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn reads_a_directory_and_an_overlay_of_it() {
        assert_eq!("/:O".parse(), Ok(Rootfs { path: "/".into(), overlay: true }));
        assert_eq!("/srv/r".parse(), Ok(Rootfs { path: "/srv/r".into(), overlay: false }));
        assert!("".parse::<Rootfs>().is_err());
        assert!(":O".parse::<Rootfs>().is_err());
        assert_eq!(
            "/srv:idmap".parse::<Rootfs>().unwrap_err().to_string(),
            r#"invalid rootfs "/srv:idmap": option "idmap" is not supported: expected DIR or DIR:O"#
        );
    }
}
