//! `--restart`.

use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Serialize};

use super::Invalid;

/// What happens when the container ends by itself.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub enum RestartPolicy {
    /// It stays down.
    #[default]
    No,
    /// Started again when its exit code is not 0, at most so many times in a row (none: for ever).
    OnFailure(Option<u32>),
    /// Started again, unless the user stopped it.
    Always,
    /// As `Always`; in addition a container the user stopped stays down over a reboot.
    UnlessStopped,
}

impl FromStr for RestartPolicy {
    type Err = Invalid;

    fn from_str(text: &str) -> Result<Self, Invalid> {
        let invalid = |why: &str| Invalid::new("restart policy", text, why);
        match text.split_once(':') {
            None => match text {
                "no" | "never" | "" => Ok(Self::No),
                "on-failure" => Ok(Self::OnFailure(None)),
                "always" => Ok(Self::Always),
                "unless-stopped" => Ok(Self::UnlessStopped),
                _ => Err(invalid(
                    "expected no, on-failure, on-failure:COUNT, always or unless-stopped",
                )),
            },
            Some(("on-failure", count)) => match count.parse() {
                Ok(0) => Ok(Self::OnFailure(None)),
                Ok(count) => Ok(Self::OnFailure(Some(count))),
                Err(_) => Err(invalid("the count must be a number, as in on-failure:3")),
            },
            Some(_) => Err(invalid("only on-failure takes a count, as in on-failure:3")),
        }
    }
}

impl fmt::Display for RestartPolicy {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::No => f.write_str("no"),
            Self::OnFailure(None) => f.write_str("on-failure"),
            Self::OnFailure(Some(count)) => write!(f, "on-failure:{count}"),
            Self::Always => f.write_str("always"),
            Self::UnlessStopped => f.write_str("unless-stopped"),
        }
    }
}

impl TryFrom<String> for RestartPolicy {
    type Error = Invalid;

    fn try_from(text: String) -> Result<Self, Invalid> {
        text.parse()
    }
}

impl From<RestartPolicy> for String {
    fn from(policy: RestartPolicy) -> Self {
        policy.to_string()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn reads_and_prints() {
        for text in ["no", "on-failure", "on-failure:3", "always", "unless-stopped"] {
            assert_eq!(text.parse::<RestartPolicy>().unwrap().to_string(), text);
        }
        assert_eq!("never".parse(), Ok(RestartPolicy::No));
        assert_eq!("on-failure:0".parse(), Ok(RestartPolicy::OnFailure(None)));
        for bad in
            ["sometimes", "on-failure:x", "on-failure:-1", "always:3", "on-failure:99999999999"]
        {
            assert!(bad.parse::<RestartPolicy>().is_err(), "{bad}");
        }
    }
}
