//! `--label`, `--label-file` and `--annotation`.

use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Serialize};

use super::Invalid;

/// `KEY[=VALUE]`; without `=` the value is empty.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub struct Label {
    /// Not empty.
    pub key: String,
    /// May be empty.
    pub value: String,
}

impl Label {
    /// An annotation: like a label, but the value must be given.
    pub fn parse_annotation(text: &str) -> Result<Self, Invalid> {
        if text.contains('=') && !text.starts_with('=') {
            text.parse()
        } else {
            Err(Invalid::new("annotation", text, "expected KEY=VALUE"))
        }
    }
}

impl FromStr for Label {
    type Err = Invalid;

    fn from_str(text: &str) -> Result<Self, Invalid> {
        let (key, value) = text.split_once('=').unwrap_or((text, ""));
        if key.is_empty() {
            return Err(Invalid::new(
                "label",
                text,
                "the key is missing: expected KEY=VALUE or KEY",
            ));
        }
        Ok(Self { key: key.into(), value: value.into() })
    }
}

impl fmt::Display for Label {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}={}", self.key, self.value)
    }
}

/// Reads the text of a `--label-file`: a label a line, blank lines and `#` lines passed over. `file` names it in errors.
pub fn parse_label_file(file: &str, text: &str) -> Result<Vec<Label>, Invalid> {
    text.lines()
        .enumerate()
        .map(|(number, line)| (number, line.trim_start()))
        .filter(|(_, line)| !line.is_empty() && !line.starts_with('#'))
        .map(|(number, line)| {
            line.parse().map_err(|e: Invalid| {
                Invalid::new("label file", file, format!("line {}: {}", number + 1, e.why))
            })
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn reads_labels() {
        assert_eq!("a=b=c".parse(), Ok(Label { key: "a".into(), value: "b=c".into() }));
        assert_eq!("a".parse(), Ok(Label { key: "a".into(), value: String::new() }));
        assert!("=b".parse::<Label>().is_err());
        assert!(Label::parse_annotation("a").is_err());
        assert_eq!(Label::parse_annotation("a=").map(|l| l.to_string()), Ok("a=".into()));
        assert_eq!(parse_label_file("f", "a=1\n# c\n\nb\n").map(|l| l.len()), Ok(2));
        assert!(parse_label_file("f", "=1").unwrap_err().to_string().contains("line 1"));
    }
}
