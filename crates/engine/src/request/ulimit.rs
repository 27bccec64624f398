//! `--ulimit NAME=SOFT[:HARD]`.

use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Serialize};

use super::Invalid;

/// A resource limit of the container's processes.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub enum Ulimit {
    /// One limit; `soft` is never above `hard`.
    Limit {
        /// Which.
        name: LimitName,
        /// What a process has.
        soft: LimitValue,
        /// What it may raise it to.
        hard: LimitValue,
    },
    /// `host`: the limits of whoever starts the container are kept.
    Host,
}

/// A value of a limit; unlimited is above every number.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum LimitValue {
    /// In the limit's unit (setrlimit(2)).
    Number(u64),
    /// −1 in text.
    Unlimited,
}

macro_rules! limit_names {
    ($($variant:ident $text:literal),* $(,)?) => {
        /// The limits of setrlimit(2), by the names of ulimit.
        #[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
        #[expect(missing_docs, reason = "the names are those of setrlimit(2)")]
        pub enum LimitName { $($variant),* }

        impl LimitName {
            /// All of them.
            pub const ALL: &'static [Self] = &[$(Self::$variant),*];

            /// As in `--ulimit`: `nofile`. In upper case behind `RLIMIT_` it is the runtime specification's name.
            pub fn as_str(self) -> &'static str {
                match self { $(Self::$variant => $text),* }
            }
        }
    };
}

limit_names! {
    As "as", Core "core", Cpu "cpu", Data "data", Fsize "fsize", Locks "locks", Memlock "memlock",
    Msgqueue "msgqueue", Nice "nice", Nofile "nofile", Nproc "nproc", Rss "rss", Rtprio "rtprio",
    Rttime "rttime", Sigpending "sigpending", Stack "stack",
}

impl FromStr for Ulimit {
    type Err = Invalid;

    fn from_str(text: &str) -> Result<Self, Invalid> {
        let invalid = |why: String| Invalid::new("ulimit", text, why);
        if text == "host" {
            return Ok(Self::Host);
        }
        let (name, values) = text.split_once('=').ok_or_else(|| {
            invalid("expected NAME=SOFT[:HARD] or host, as in nofile=1024:4096".into())
        })?;
        let short = name.to_ascii_lowercase();
        let short = short.strip_prefix("rlimit_").unwrap_or(&short);
        let name =
            LimitName::ALL.iter().copied().find(|n| n.as_str() == short).ok_or_else(|| {
                let known: Vec<_> = LimitName::ALL.iter().map(|n| n.as_str()).collect();
                invalid(format!(
                    "no limit is called {name:?}: expected one of {}",
                    known.join(", ")
                ))
            })?;
        let value = |word: &str| {
            match word {
            "-1" | "unlimited" => Ok(LimitValue::Unlimited),
            digits => digits.parse().map(LimitValue::Number).map_err(|_| {
                invalid(format!("{word:?} is not a limit: expected a number that is not negative, or -1 for none"))
            }),
        }
        };
        let (soft, hard) = match values.split_once(':') {
            Some((soft, hard)) => (value(soft)?, value(hard)?),
            None => (value(values)?, value(values)?),
        };
        if soft > hard {
            return Err(invalid("the soft limit must not be above the hard limit".into()));
        }
        Ok(Self::Limit { name, soft, hard })
    }
}

impl fmt::Display for LimitValue {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Number(number) => write!(f, "{number}"),
            Self::Unlimited => f.write_str("-1"),
        }
    }
}

impl fmt::Display for Ulimit {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Limit { name, soft, hard } => write!(f, "{}={soft}:{hard}", name.as_str()),
            Self::Host => f.write_str("host"),
        }
    }
}

impl TryFrom<String> for Ulimit {
    type Error = Invalid;

    fn try_from(text: String) -> Result<Self, Invalid> {
        text.parse()
    }
}

impl From<Ulimit> for String {
    fn from(limit: Ulimit) -> Self {
        limit.to_string()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn reads_and_prints() {
        let printed =
            |text: &str| text.parse::<Ulimit>().map_or_else(|e| e.to_string(), |l| l.to_string());
        assert_eq!(printed("nofile=10:20"), "nofile=10:20");
        assert_eq!(printed("nproc=5"), "nproc=5:5");
        assert_eq!(printed("RLIMIT_CORE=-1"), "core=-1:-1");
        assert_eq!(printed("host"), "host");
        assert!(printed("nofile=20:10").contains("soft limit"));
        assert!(printed("nofile=-1:10").contains("soft limit"));
        assert!(printed("files=1").contains("expected one of as, core"));
        for bad in ["", "nofile", "nofile=", "nofile=a", "nofile=1:", "nofile=-2", "nofile=1:2:3"] {
            assert!(bad.parse::<Ulimit>().is_err(), "{bad}");
        }
    }

    proptest::proptest! {
        #[test]
        fn what_is_read_is_printed_and_read_again(text in "(nofile|core|RLIMIT_NPROC)=[-0-9]{1,4}(:[-0-9]{1,4})?") {
            if let Ok(limit) = text.parse::<Ulimit>() {
                proptest::prop_assert_eq!(limit.to_string().parse(), Ok(limit));
            }
        }
    }
}
