//! Container ids: 256 random bits, so that nobody has to ask whether one is taken.

use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Serialize};

use crate::error::{Error, Result};

/// 64 lower-case hex digits.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct ContainerId(String);

impl ContainerId {
    /// Digits of an id.
    pub const LENGTH: usize = 64;

    /// A new one.
    ///
    /// # Errors
    /// The kernel gives no random bytes.
    pub fn random() -> Result<Self> {
        let mut bytes = [0_u8; Self::LENGTH / 2];
        dhow_sys::random::fill(&mut bytes)
            .map_err(Error::io("get random bytes from", "the kernel".as_ref()))?;
        Ok(ContainerId(hex(&bytes)))
    }

    /// All 64 digits.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// The first twelve digits, which are what users see.
    #[must_use]
    pub fn short(&self) -> &str {
        self.0.get(..12).unwrap_or(&self.0)
    }
}

fn hex(bytes: &[u8]) -> String {
    let digit = |n: u8| char::from_digit(u32::from(n), 16).unwrap_or('0');
    bytes.iter().flat_map(|b| [digit(b >> 4), digit(b & 15)]).collect()
}

/// Whether the text could be the beginning of an id, or one.
pub(crate) fn is_hex(text: &str) -> bool {
    !text.is_empty()
        && text.len() <= ContainerId::LENGTH
        && text.bytes().all(|b| matches!(b, b'0'..=b'9' | b'a'..=b'f'))
}

impl FromStr for ContainerId {
    type Err = Error;

    fn from_str(text: &str) -> Result<Self> {
        if text.len() == Self::LENGTH && is_hex(text) {
            Ok(ContainerId(text.to_owned()))
        } else {
            Err(Error::Invalid {
                what: "container id",
                text: cut(text),
                why: "an id is 64 lower-case hex digits",
            })
        }
    }
}

/// For messages: at most 80 characters of a user's text.
pub(crate) fn cut(text: &str) -> String {
    text.chars().take(80).collect()
}

impl TryFrom<String> for ContainerId {
    type Error = Error;

    fn try_from(text: String) -> Result<Self> {
        text.parse()
    }
}

impl From<ContainerId> for String {
    fn from(id: ContainerId) -> String {
        id.0
    }
}

impl fmt::Display for ContainerId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl fmt::Debug for ContainerId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn random_ids_parse_and_differ() {
        let (a, b) = (ContainerId::random().unwrap(), ContainerId::random().unwrap());
        assert_ne!(a, b);
        assert_eq!(a.as_str().parse::<ContainerId>().unwrap(), a);
        assert_eq!(a.short().len(), 12);
        assert!(a.as_str().starts_with(a.short()));
    }

    #[test]
    fn other_texts_are_no_ids() {
        let a = "a".repeat(64);
        for bad in [
            "",
            "abc",
            &a[1..],
            &format!("{a}a"),
            &a.to_uppercase(),
            &format!("{}g", &a[1..]),
            &format!("{}%", &a[1..]),
        ] {
            assert!(bad.parse::<ContainerId>().is_err(), "{bad}");
        }
        assert!(serde_json::from_str::<ContainerId>("\"../x\"").is_err());
        assert_eq!(
            serde_json::to_string(&a.parse::<ContainerId>().unwrap()).unwrap(),
            format!("\"{a}\"")
        );
    }
}
