//! GLib's option grammar (GOption), to the letter: callers of conmon rely on its corners.
//!
//! `--x VALUE` or `--x=VALUE`; short options may be put together (`-ti`), and one that has a value takes the next word,
//! whatever that begins with. A flag may have a value that means nothing; words that belong to no option are ignored (podman
//! writes `--api-version 1` for a flag); of an option given twice the last one counts, unless it is a list; nothing is
//! abbreviated; `--` ends the options. Numbers are strtol(3)'s with base 0, and are looked at as they are met.

use std::collections::BTreeMap;
use std::ffi::{OsStr, OsString};
use std::os::unix::ffi::OsStrExt as _;
use std::path::PathBuf;

use super::Refused;
use super::table::{Kind, Row, rows};

/// What was on the command line: for each option its values, in order (a flag's are empty).
#[derive(Debug, Default)]
pub(super) struct Given(BTreeMap<&'static str, Vec<OsString>>);

/// What the words ask for.
pub(super) enum Read {
    Help,
    Given(Given),
}

pub(super) fn read(argv: impl Iterator<Item = OsString>) -> Result<Read, Refused> {
    let mut given = Given::default();
    let mut words = argv;
    while let Some(word) = words.next() {
        match word.as_bytes() {
            b"--" => break,
            [b'-', b'-', name @ ..] => {
                if name == b"help" {
                    return Ok(Read::Help);
                }
                given.long(&word, name, &mut words)?;
            }
            [b'-', letters @ ..]
                if !letters.is_empty()
                    && given.short(&word, letters, &mut words)? == Help::Asked =>
            {
                return Ok(Read::Help);
            }
            _ => {}
        }
    }
    Ok(Read::Given(given))
}

#[derive(PartialEq, Eq)]
enum Help {
    Asked,
    NotAsked,
}

fn failed<T>(what: impl std::fmt::Display) -> Result<T, Refused> {
    Err(Refused(format!("option parsing failed: {what}")))
}

impl Given {
    /// `--name`, with its value behind `=` or in the next word.
    fn long(
        &mut self,
        word: &OsStr,
        name: &[u8],
        words: &mut impl Iterator<Item = OsString>,
    ) -> Result<(), Refused> {
        let (name, value) = match name.iter().position(|b| *b == b'=') {
            Some(at) => (&name[..at], Some(OsStr::from_bytes(&name[at + 1..]).to_os_string())),
            None => (name, None),
        };
        let Some(row) = rows().find(|row| row.is_called(name)) else {
            return failed(format_args!("Unknown option {}", word.display()));
        };
        let shown = format!("--{}", String::from_utf8_lossy(name));
        match (row.kind, value) {
            (Kind::Flag, _) => self.add(row, &shown, OsString::new()),
            (_, Some(value)) => self.add(row, &shown, value),
            (_, None) => match words.next() {
                Some(value) => self.add(row, &shown, value),
                None => failed(format_args!("Missing argument for {shown}")),
            },
        }
    }

    /// `-abc`: flags, and at most one option whose value is the next word.
    fn short(
        &mut self,
        word: &OsStr,
        letters: &[u8],
        words: &mut impl Iterator<Item = OsString>,
    ) -> Result<Help, Refused> {
        let mut unknown = false;
        let mut took = false;
        for letter in letters {
            if matches!(letter, b'h' | b'?') {
                return Ok(Help::Asked);
            }
            let Some(row) = rows().find(|row| row.letter == Some(char::from(*letter))) else {
                unknown = true;
                continue;
            };
            let shown = format!("-{}", char::from(*letter));
            if row.kind == Kind::Flag {
                self.add(row, &shown, OsString::new())?;
                continue;
            }
            if std::mem::replace(&mut took, true) {
                return failed(format_args!("Error parsing option {shown}"));
            }
            match words.next() {
                Some(value) => self.add(row, &shown, value)?,
                None => return failed(format_args!("Missing argument for {shown}")),
            }
        }
        if unknown {
            return failed(format_args!("Unknown option {}", word.display()));
        }
        Ok(Help::NotAsked)
    }

    fn add(&mut self, row: &'static Row, shown: &str, value: OsString) -> Result<(), Refused> {
        match row.kind {
            Kind::Int => drop(number(&value, shown, i32::MIN.into(), i32::MAX.into())?),
            Kind::Long => drop(number(&value, shown, i64::MIN, i64::MAX)?),
            Kind::Flag | Kind::One | Kind::Many => {}
        }
        self.0.entry(row.name).or_default().push(value);
        Ok(())
    }

    pub(super) fn has(&self, name: &str) -> bool {
        self.0.contains_key(name)
    }

    pub(super) fn flag(&self, name: &str) -> bool {
        self.has(name)
    }

    /// Of an option that has one value, the last that was given.
    pub(super) fn one(&self, name: &str) -> Option<OsString> {
        self.0.get(name)?.last().cloned()
    }

    pub(super) fn all(&self, name: &str) -> impl Iterator<Item = OsString> + use<'_> {
        self.0.get(name).into_iter().flatten().cloned()
    }

    pub(super) fn text(&self, name: &str) -> Option<String> {
        self.one(name).map(|value| value.to_string_lossy().into_owned())
    }

    pub(super) fn path(&self, name: &str) -> Option<PathBuf> {
        self.one(name).map(PathBuf::from)
    }

    /// The number, within what is sensible for the option.
    pub(super) fn integer(
        &self,
        name: &str,
        least: i64,
        most: i64,
    ) -> Result<Option<i64>, Refused> {
        self.one(name).map(|value| number(&value, &format!("--{name}"), least, most)).transpose()
    }
}

/// As strtol(3) reads with base 0: decimal, 0x…, 0…, after white space.
fn number(value: &OsStr, shown: &str, least: i64, most: i64) -> Result<i64, Refused> {
    let text = value.to_string_lossy();
    let trimmed = text.trim_start_matches([' ', '\t', '\n', '\u{b}', '\u{c}', '\r']);
    let (sign, digits) = match trimmed.strip_prefix('-') {
        Some(digits) => (-1, digits),
        None => (1, trimmed.strip_prefix('+').unwrap_or(trimmed)),
    };
    let (digits, base) = match digits.strip_prefix("0x").or_else(|| digits.strip_prefix("0X")) {
        Some(digits) => (digits, 16),
        None if digits.len() > 1 && digits.starts_with('0') => (&digits[1..], 8),
        None => (digits, 10),
    };
    if digits.is_empty() || !digits.chars().all(|c| c.is_digit(base)) {
        return failed(format_args!("Cannot parse integer value “{text}” for {shown}"));
    }
    // Too many digits for 128 bits are out of range as well.
    let number = i128::from_str_radix(digits, base).ok().and_then(|n| i64::try_from(sign * n).ok());
    match number.filter(|number| (least..=most).contains(number)) {
        Some(number) => Ok(number),
        None => failed(format_args!("Integer value “{text}” for {shown} out of range")),
    }
}
