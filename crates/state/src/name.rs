//! Names that users give to containers, volumes and artifacts, and those that containers get when they give none.
//!
//! INVARIANT: a valid name is a single path component that is neither hidden nor `.` nor `..`.

use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Serialize};

use crate::error::{Error, Result};
use crate::id::{ContainerId, cut};

mod random;

pub(crate) use random::random_name;

/// NAME_MAX of every file system of interest: a name is a directory entry.
const MAX_LENGTH: usize = 255;

/// `[a-zA-Z0-9][a-zA-Z0-9_.-]*`, at most 255 characters.
fn check(what: &'static str, text: &str) -> Result<()> {
    let why = if text.is_empty() {
        "it is empty"
    } else if text.len() > MAX_LENGTH {
        "it is longer than 255 characters"
    } else if !text.starts_with(|c: char| c.is_ascii_alphanumeric()) {
        "it must begin with a letter or digit"
    } else if !text.bytes().all(|b| b.is_ascii_alphanumeric() || matches!(b, b'_' | b'.' | b'-')) {
        "only letters, digits and the characters _ . - may be in it"
    } else {
        return Ok(());
    };
    Err(Error::Invalid { what, text: cut(text), why })
}

macro_rules! name {
    ($(#[$doc:meta])* $type:ident, $what:literal, $extra:expr) => {
        $(#[$doc])*
        #[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
        #[serde(try_from = "String", into = "String")]
        pub struct $type(String);

        impl $type {
            /// The name as text.
            #[must_use]
            pub fn as_str(&self) -> &str {
                &self.0
            }
        }

        impl FromStr for $type {
            type Err = Error;

            fn from_str(text: &str) -> Result<Self> {
                check($what, text)?;
                let extra: fn(&str) -> Option<&'static str> = $extra;
                match extra(text) {
                    Some(why) => Err(Error::Invalid { what: $what, text: cut(text), why }),
                    None => Ok($type(text.to_owned())),
                }
            }
        }

        impl TryFrom<String> for $type {
            type Error = Error;

            fn try_from(text: String) -> Result<Self> {
                text.parse()
            }
        }

        impl From<$type> for String {
            fn from(name: $type) -> String {
                name.0
            }
        }

        impl fmt::Display for $type {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str(&self.0)
            }
        }

        impl fmt::Debug for $type {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str(&self.0)
            }
        }
    };
}

name!(
    /// The name of a container: `[a-zA-Z0-9][a-zA-Z0-9_.-]*`, at most 255 characters, and nothing that could be an id.
    ContainerName,
    "container name",
    |text| text.parse::<ContainerId>().is_ok().then_some("64 hex digits would be taken for an id")
);
name!(
    /// The name of a volume; the names of anonymous volumes are 64 hex digits.
    VolumeName,
    "volume name",
    |_| None
);
name!(
    /// The name of an artifact of a container.
    ArtifactName,
    "artifact name",
    |_| None
);

impl VolumeName {
    /// A name for a volume that the user has not named.
    ///
    /// # Errors
    /// The kernel gives no random bytes.
    pub fn random() -> Result<Self> {
        Ok(VolumeName(ContainerId::random()?.into()))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn good_names() {
        for good in ["a", "A", "0", "web-1", "a.b_c-d", "x".repeat(255).as_str(), "abcdef"] {
            assert_eq!(good.parse::<ContainerName>().unwrap().as_str(), good);
        }
    }

    #[test]
    fn bad_names_say_which_rule_they_break() {
        for (bad, why) in [
            ("", "empty"),
            (".", "begin"),
            ("..", "begin"),
            (".hidden", "begin"),
            ("-x", "begin"),
            ("_x", "begin"),
            ("/etc", "begin"),
            ("a/b", "only"),
            ("../x", "begin"),
            ("a b", "only"),
            ("a%", "only"),
            ("a\0b", "only"),
            ("a\n", "only"),
            ("\u{e9}t\u{e9}", "begin"),
            ("a\u{e9}", "only"),
            ("x".repeat(256).as_str(), "longer"),
            ("a".repeat(64).as_str(), "id"),
        ] {
            let error = bad.parse::<ContainerName>().unwrap_err().to_string();
            assert!(error.contains(why), "{bad:?}: {error}");
        }
        assert!("a".repeat(64).parse::<VolumeName>().is_ok());
        assert!(serde_json::from_str::<ContainerName>("\"a/b\"").is_err());
    }

    proptest::proptest! {
        #[test]
        fn a_name_is_always_one_plain_path_component(text in "[a-c./_%\\-\u{0}A]{0,8}") {
            if let Ok(name) = text.parse::<ContainerName>() {
                let path = std::path::Path::new(name.as_str());
                assert_eq!(path.file_name().and_then(|n| n.to_str()), Some(text.as_str()));
                assert_eq!(path.components().count(), 1);
                assert!(!text.starts_with('.'));
            }
        }
    }
}
