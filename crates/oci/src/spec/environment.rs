//! The environment and the arguments of a process: merged, defaulted, and checked against what execve(2) takes.

use crate::Error;
use crate::error::{no_nul, shorten};

pub(crate) const DEFAULT_PATH: &str =
    "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin";

/// The kernel's MAX_ARG_STRLEN: one string with its NUL.
const MAX_STRING: usize = 128 << 10;
/// The kernel gives arguments and environment at most three quarters of its default stack limit of 8 MiB.
const MAX_TOTAL: usize = 6 << 20;

/// An environment in the order in which its keys were first set.
#[derive(Clone, Debug, Default)]
pub(crate) struct Environment(Vec<(String, String)>);

impl Environment {
    /// From `KEY=VALUE` entries; of two with one key the later wins.
    pub(crate) fn parse(entries: &[String]) -> Result<Environment, Error> {
        let mut env = Environment::default();
        for entry in entries {
            no_nul("environment variable", entry)?;
            let (key, value) = entry
                .split_once('=')
                .ok_or_else(|| Error::invalid("environment variable", entry, "not KEY=VALUE"))?;
            if key.is_empty() || key.contains('\n') {
                return Err(Error::invalid(
                    "environment variable",
                    entry,
                    "the name is empty or has a newline",
                ));
            }
            env.set(key, value);
        }
        Ok(env)
    }

    pub(crate) fn set(&mut self, key: &str, value: &str) {
        match self.0.iter_mut().find(|(known, _)| known == key) {
            Some((_, old)) => value.clone_into(old),
            None => self.0.push((key.to_owned(), value.to_owned())),
        }
    }

    pub(crate) fn get(&self, key: &str) -> Option<&str> {
        self.0.iter().find(|(known, _)| known == key).map(|(_, value)| value.as_str())
    }

    /// Sets what is not set.
    pub(crate) fn or_default(&mut self, key: &str, value: &str) {
        if self.get(key).is_none() {
            self.set(key, value);
        }
    }

    /// Sets each of `other`'s.
    pub(crate) fn extend(&mut self, other: Environment) {
        for (key, value) in other.0 {
            self.set(&key, &value);
        }
    }

    pub(crate) fn unset(&mut self, key: &str) {
        self.0.retain(|(known, _)| known != key);
    }

    /// The entries, if the kernel will take them.
    pub(crate) fn finish(self) -> Result<Vec<String>, Error> {
        let entries: Vec<String> =
            self.0.into_iter().map(|(key, value)| format!("{key}={value}")).collect();
        check_size("environment", &entries)?;
        Ok(entries)
    }
}

/// Whether these can be the arguments of a program.
pub(crate) fn check_args(args: &[String]) -> Result<(), Error> {
    match args.first() {
        None => {
            return Err(Error::invalid(
                "command",
                "",
                "no command or entrypoint provided, and no CMD or ENTRYPOINT from image",
            ));
        }
        Some(first) if first.is_empty() => {
            return Err(Error::invalid("command", "", "the program's name is empty"));
        }
        Some(_) => {}
    }
    args.iter().try_for_each(|arg| no_nul("argument", arg))?;
    check_size("command", args)
}

fn check_size(what: &'static str, strings: &[String]) -> Result<(), Error> {
    if let Some(long) = strings.iter().find(|text| text.len() >= MAX_STRING) {
        let why =
            format!("one string of {} bytes, the kernel takes {}", long.len(), MAX_STRING - 1);
        return Err(Error::invalid(what, shorten(long), why));
    }
    let total: usize = strings.iter().map(|text| text.len() + 1 + size_of::<usize>()).sum();
    if total > MAX_TOTAL {
        return Err(Error::invalid(
            what,
            "",
            format!("{total} bytes in all, the kernel takes {MAX_TOTAL}"),
        ));
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn parse(entries: &[&str]) -> Result<Vec<String>, String> {
        let entries: Vec<String> = entries.iter().map(|&e| e.to_owned()).collect();
        Environment::parse(&entries).and_then(Environment::finish).map_err(|e| e.to_string())
    }

    #[test]
    fn the_later_wins_and_newlines_in_values_are_kept() {
        assert_eq!(parse(&["A=1", "B=x\ny", "A=2=3", "C="]).unwrap(), ["A=2=3", "B=x\ny", "C="]);
    }

    #[test]
    fn what_the_kernel_would_not_take() {
        assert_eq!(
            parse(&["A=\0"]).unwrap_err(),
            r#"invalid environment variable "A=\0": it contains a NUL byte"#
        );
        assert_eq!(
            parse(&["A"]).unwrap_err(),
            r#"invalid environment variable "A": not KEY=VALUE"#
        );
        assert_eq!(
            parse(&["=x"]).unwrap_err(),
            r#"invalid environment variable "=x": the name is empty or has a newline"#
        );
        assert_eq!(
            parse(&["A\n=x"]).unwrap_err(),
            r#"invalid environment variable "A\n=x": the name is empty or has a newline"#
        );
        let long = format!("A={}", "é".repeat(70_000));
        let message = parse(&[&long]).unwrap_err();
        assert!(
            message.ends_with("one string of 140002 bytes, the kernel takes 131071"),
            "{message}"
        );
        assert!(message.len() < 400, "{message}");
        let many: Vec<String> = (0..70).map(|n| format!("K{n}={}", "x".repeat(100_000))).collect();
        assert!(Environment::parse(&many).unwrap().finish().is_err());
    }

    #[test]
    fn arguments() {
        assert!(check_args(&[]).unwrap_err().to_string().contains("no CMD or ENTRYPOINT"));
        assert!(check_args(&[String::new()]).is_err());
        assert!(check_args(&["sh".into(), String::new()]).is_ok());
        assert!(check_args(&["sh".into(), "\0".into()]).is_err());
    }

    proptest! {
        #[test]
        fn any_entries_give_an_answer(entries in prop::collection::vec("(?s).{0,30}", 0..8)) {
            if let Ok(env) = Environment::parse(&entries) {
                let out = env.finish().unwrap();
                prop_assert!(out.iter().all(|entry| entries.contains(entry)));
            }
        }
    }
}
