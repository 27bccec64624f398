//! `--detach-keys`: the key sequence that leaves a container running.

use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Serialize};

use super::Invalid;

/// The bytes that a terminal sends for the sequence; empty: detaching by keys is switched off.
///
/// Text form: keys separated by commas, each one ASCII character or `ctrl-X` where X is a letter or one of
/// `@ [ \ ] ^ _`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct DetachKeys(Vec<u8>);

impl DetachKeys {
    /// No keys: nothing typed detaches.
    pub fn none() -> Self {
        Self(Vec::new())
    }

    /// The bytes, in order.
    pub fn bytes(&self) -> &[u8] {
        &self.0
    }
}

impl Default for DetachKeys {
    /// ctrl-p,ctrl-q.
    fn default() -> Self {
        Self(vec![16, 17])
    }
}

impl FromStr for DetachKeys {
    type Err = Invalid;

    fn from_str(text: &str) -> Result<Self, Invalid> {
        if text.is_empty() {
            return Ok(Self(Vec::new()));
        }
        text.split(',').map(|key| key_byte(key, text)).collect::<Result<_, _>>().map(Self)
    }
}

fn key_byte(key: &str, text: &str) -> Result<u8, Invalid> {
    let invalid = || {
        let why = format!(
            "{key:?} is not a key: expected one character or ctrl-X with X one of a-z @ [ \\ ] ^ _, separated by commas"
        );
        Invalid::new("detach keys", text, why)
    };
    if let [byte @ 0x20..=0x7e] = key.as_bytes() {
        return Ok(*byte);
    }
    let control =
        key.get(..5).filter(|p| p.eq_ignore_ascii_case("ctrl-")).and_then(|_| key.get(5..));
    match control.map(str::as_bytes) {
        Some([letter]) if letter.is_ascii_alphabetic() => {
            Ok(letter.to_ascii_lowercase() - b'a' + 1)
        }
        Some([b'@']) => Ok(0),
        Some([symbol @ b'['..=b'_']) => Ok(symbol - b'[' + 27),
        _ => Err(invalid()),
    }
}

impl fmt::Display for DetachKeys {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (n, &byte) in self.0.iter().enumerate() {
            if n > 0 {
                f.write_str(",")?;
            }
            match byte {
                0 => f.write_str("ctrl-@")?,
                1..=26 => write!(f, "ctrl-{}", char::from(byte - 1 + b'a'))?,
                27..=31 => write!(f, "ctrl-{}", char::from(byte - 27 + b'['))?,
                _ => write!(f, "{}", char::from(byte))?,
            }
        }
        Ok(())
    }
}

impl TryFrom<String> for DetachKeys {
    type Error = Invalid;

    fn try_from(text: String) -> Result<Self, Invalid> {
        text.parse()
    }
}

impl From<DetachKeys> for String {
    fn from(keys: DetachKeys) -> Self {
        keys.to_string()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn reads_sequences() {
        assert_eq!("ctrl-p,ctrl-q".parse(), Ok(DetachKeys::default()));
        assert_eq!("a,ctrl-@,ctrl-\\,Z".parse(), Ok(DetachKeys(vec![b'a', 0, 28, b'Z'])));
        assert_eq!("".parse(), Ok(DetachKeys(vec![])));
        for bad in ["ctrl-", "ctrl-1", "aa", ",", "ctrl-aa", "é", "ctrl-é"] {
            assert!(bad.parse::<DetachKeys>().is_err(), "{bad}");
        }
    }

    proptest::proptest! {
        #[test]
        fn never_panics(text in ".{0,12}") {
            let _read = text.parse::<DetachKeys>();
        }

        #[test]
        fn prints_what_it_reads(bytes in proptest::collection::vec((0u8..0x7f).prop_filter("a comma separates", |b| *b != b','), 0..5)) {
            let keys = DetachKeys(bytes);
            proptest::prop_assert_eq!(keys.to_string().parse(), Ok(keys));
        }
    }
    use proptest::strategy::Strategy as _;
}
