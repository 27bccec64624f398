//! `--env` and `--env-file`.

use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Serialize};

use super::Invalid;

/// A variable of the container's environment.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub struct EnvVar {
    /// Not empty, without `=`.
    pub name: String,
    /// May be empty.
    pub value: String,
}

impl fmt::Display for EnvVar {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}={}", self.name, self.value)
    }
}

/// A variable as it was asked for: two forms take their value from the environment of whoever asks.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum EnvArgument {
    /// `NAME=VALUE`.
    Set(EnvVar),
    /// `NAME`: the caller's value, nothing where it has none.
    Inherit(String),
    /// `PREFIX*`: all the caller's variables whose names begin so.
    InheritPrefix(String),
}

impl EnvArgument {
    /// The variables meant, given the caller's environment.
    pub fn resolve(self, caller: &[(String, String)]) -> Vec<EnvVar> {
        let inherit = |wanted: &dyn Fn(&str) -> bool| {
            caller
                .iter()
                .filter(|(name, _)| wanted(name))
                .map(|(name, value)| EnvVar { name: name.clone(), value: value.clone() })
                .collect()
        };
        match self {
            Self::Set(var) => vec![var],
            Self::Inherit(name) => inherit(&|n| n == name),
            Self::InheritPrefix(prefix) => inherit(&|n| n.starts_with(&prefix)),
        }
    }
}

impl FromStr for EnvArgument {
    type Err = Invalid;

    fn from_str(text: &str) -> Result<Self, Invalid> {
        if text.contains('\0') {
            return Err(Invalid::new(
                "environment variable",
                text,
                "a NUL byte cannot be part of it",
            ));
        }
        match text.split_once('=') {
            Some(("", _)) | None if text.is_empty() || text.starts_with('=') => Err(Invalid::new(
                "environment variable",
                text,
                "the name is missing: expected NAME=VALUE or NAME",
            )),
            Some((name, value)) => Ok(Self::Set(EnvVar { name: name.into(), value: value.into() })),
            None => Ok(match text.strip_suffix('*') {
                Some(prefix) => Self::InheritPrefix(prefix.into()),
                None => Self::Inherit(text.into()),
            }),
        }
    }
}

/// Reads the text of an `--env-file`: a variable a line, in the forms of `--env`; blank lines and lines that begin
/// with `#` are passed over, space in front of a name is dropped. `file` names it in errors.
pub fn parse_env_file(file: &str, text: &str) -> Result<Vec<EnvArgument>, Invalid> {
    let mut arguments = Vec::new();
    for (number, line) in text.trim_start_matches('\u{feff}').lines().enumerate() {
        let line = line.trim_start();
        if line.is_empty() || line.starts_with('#') {
            continue;
        }
        let fault = |why: String| {
            Invalid::new("environment file", file, format!("line {}: {why}", number + 1))
        };
        if let Some((name, _)) = line.split_once('=')
            && name.contains(char::is_whitespace)
        {
            return Err(fault(format!("the name {name:?} has white space in it")));
        }
        arguments.push(line.parse::<EnvArgument>().map_err(|e| fault(e.why))?);
    }
    Ok(arguments)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn set(name: &str, value: &str) -> EnvArgument {
        EnvArgument::Set(EnvVar { name: name.into(), value: value.into() })
    }

    #[test]
    fn reads_the_three_forms() {
        assert_eq!("A=b=c".parse(), Ok(set("A", "b=c")));
        assert_eq!("A=".parse(), Ok(set("A", "")));
        assert_eq!("A".parse(), Ok(EnvArgument::Inherit("A".into())));
        assert_eq!("LC_*".parse(), Ok(EnvArgument::InheritPrefix("LC_".into())));
        for bad in ["", "=b", "a\0=b"] {
            assert!(bad.parse::<EnvArgument>().is_err(), "{bad:?}");
        }
    }

    #[test]
    fn a_name_alone_takes_the_callers_value_or_nothing() {
        let caller = [("A".to_owned(), "1".to_owned()), ("AB".to_owned(), "2".to_owned())];
        assert_eq!(EnvArgument::Inherit("A".into()).resolve(&caller).len(), 1);
        assert_eq!(EnvArgument::Inherit("X".into()).resolve(&caller), []);
        assert_eq!(EnvArgument::InheritPrefix("A".into()).resolve(&caller).len(), 2);
    }

    #[test]
    fn reads_files() {
        let text = "\u{feff}# comment\nA=1\r\n\n  B=two words # not a comment\nHOME\n";
        assert_eq!(
            parse_env_file("f", text),
            Ok(vec![
                set("A", "1"),
                set("B", "two words # not a comment"),
                EnvArgument::Inherit("HOME".into())
            ])
        );
        assert_eq!(
            parse_env_file("f", "A=1\n=x").unwrap_err().to_string(),
            r#"invalid environment file "f": line 2: the name is missing: expected NAME=VALUE or NAME"#
        );
        assert!(parse_env_file("f", "A B=1").is_err());
    }

    proptest::proptest! {
        #[test]
        fn a_set_variable_prints_as_it_was_read(name in "[^=\0]{1,8}", value in "[^\0]{0,8}") {
            let text = format!("{name}={value}");
            let Ok(EnvArgument::Set(var)) = text.parse() else { panic!("{text:?}") };
            proptest::prop_assert_eq!(var.to_string(), text);
        }
    }
}
