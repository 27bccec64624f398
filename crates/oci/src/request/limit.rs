//! Limits of a process, as `--ulimit` writes them.

use crate::Error;
use serde::{Deserialize, Serialize};
use std::str::FromStr;

/// One limit. `u64::MAX` is unlimited.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Rlimit {
    /// The kernel's name in lower case without `RLIMIT_`: `nofile`. `host` takes the defaults away.
    pub name: String,
    /// What the kernel enforces.
    pub soft: u64,
    /// Up to where the process may raise it.
    pub hard: u64,
}

/// The names the kernel knows.
pub(crate) const NAMES: [&str; 16] = [
    "as",
    "core",
    "cpu",
    "data",
    "fsize",
    "locks",
    "memlock",
    "msgqueue",
    "nice",
    "nofile",
    "nproc",
    "rss",
    "rtprio",
    "rttime",
    "sigpending",
    "stack",
];

impl FromStr for Rlimit {
    type Err = Error;

    /// `NAME=SOFT[:HARD]`, `-1` is unlimited; or `host`.
    fn from_str(text: &str) -> Result<Rlimit, Error> {
        let bad = |why: &str| Error::invalid("--ulimit", text, why);
        if text == "host" {
            return Ok(Rlimit { name: text.to_owned(), soft: 0, hard: 0 });
        }
        let (name, values) = text.split_once('=').ok_or_else(|| bad("not NAME=SOFT[:HARD]"))?;
        let value = |text: &str| match text {
            "-1" | "unlimited" => Ok(u64::MAX),
            digits => digits.parse::<u64>().map_err(|_| bad("a limit is a number, or -1 for none")),
        };
        let (soft, hard) = match values.split_once(':') {
            Some((soft, hard)) => (value(soft)?, value(hard)?),
            None => (value(values)?, value(values)?),
        };
        let name = name.to_ascii_lowercase();
        let name = name.strip_prefix("rlimit_").unwrap_or(&name).to_owned();
        let limit = Rlimit { name, soft, hard };
        limit.validate()?;
        Ok(limit)
    }
}

impl Rlimit {
    /// What [`FromStr`] promises, for a value that came another way.
    pub(crate) fn validate(&self) -> Result<(), Error> {
        if !NAMES.contains(&self.name.as_str()) {
            return Err(Error::invalid(
                "--ulimit",
                &self.name,
                format!("not one of {}", NAMES.join(", ")),
            ));
        }
        if self.soft > self.hard {
            return Err(Error::invalid(
                "--ulimit",
                &self.name,
                "the soft limit is above the hard limit",
            ));
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn parse(text: &str) -> String {
        match text.parse::<Rlimit>() {
            Ok(l) => format!("{} {} {}", l.name, l.soft, l.hard),
            Err(e) => e.to_string(),
        }
    }

    #[test]
    fn limits() {
        assert_eq!(parse("nofile=512:600"), "nofile 512 600");
        assert_eq!(parse("RLIMIT_NOFILE=7"), "nofile 7 7");
        assert_eq!(parse("core=-1"), format!("core {0} {0}", u64::MAX));
        assert_eq!(parse("core=0:-1"), format!("core 0 {}", u64::MAX));
        assert_eq!(parse("host"), "host 0 0");
        assert_eq!(
            parse("nofile=9:8"),
            r#"invalid --ulimit "nofile": the soft limit is above the hard limit"#
        );
        assert_eq!(parse("nofile"), r#"invalid --ulimit "nofile": not NAME=SOFT[:HARD]"#);
        assert_eq!(
            parse("nofile="),
            r#"invalid --ulimit "nofile=": a limit is a number, or -1 for none"#
        );
        assert!(parse("foo=1").starts_with(r#"invalid --ulimit "foo": not one of as, core"#));
    }

    proptest! {
        #[test]
        fn any_text_gives_an_answer(text in "(?s)[a-z]{0,8}=?.{0,20}") {
            if let Ok(limit) = text.parse::<Rlimit>() {
                prop_assert!(limit.soft <= limit.hard);
            }
        }
    }
}
