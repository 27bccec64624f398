//! `--user NAME|UID[:GROUP|GID]`.

use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Serialize};

use super::Invalid;

/// A user, resolved in the container's passwd and group files when it starts.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct User {
    /// A name or a number.
    pub user: String,
    /// A name or a number; none: the user's own group.
    pub group: Option<String>,
}

impl FromStr for User {
    type Err = Invalid;

    fn from_str(text: &str) -> Result<Self, Invalid> {
        let (user, group) = match text.split_once(':') {
            Some((user, group)) => (user, Some(group)),
            None => (text, None),
        };
        let bad = |word: &str| {
            word.is_empty()
                || word.contains(|c: char| c == ':' || c.is_whitespace() || c.is_control())
        };
        if bad(user) || group.is_some_and(bad) {
            return Err(Invalid::new(
                "user",
                text,
                "expected USER or USER:GROUP, each a name or a number",
            ));
        }
        Ok(Self { user: user.into(), group: group.map(Into::into) })
    }
}

impl fmt::Display for User {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.user)?;
        self.group.as_ref().map_or(Ok(()), |group| write!(f, ":{group}"))
    }
}

impl TryFrom<String> for User {
    type Error = Invalid;

    fn try_from(text: String) -> Result<Self, Invalid> {
        text.parse()
    }
}

impl From<User> for String {
    fn from(user: User) -> Self {
        user.to_string()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn reads_and_prints() {
        for text in ["root", "0", "1000:1000", "www-data:adm"] {
            assert_eq!(text.parse::<User>().unwrap().to_string(), text);
        }
        for bad in ["", ":", "a:", ":b", "a:b:c", "a b", "a\nb"] {
            assert!(bad.parse::<User>().is_err(), "{bad:?}");
        }
    }
}
