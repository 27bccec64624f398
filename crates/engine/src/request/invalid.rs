//! The one error of the request parsers.

/// A value that cannot be understood.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("invalid {what} {value:?}: {why}")]
pub struct Invalid {
    /// What was being read, in the user's words: `volume`, `memory size`.
    pub what: &'static str,
    /// The text as it was given.
    pub value: String,
    /// What is wrong with it and what would be right.
    pub why: String,
}

impl Invalid {
    pub(crate) fn new(
        what: &'static str,
        value: impl Into<String>,
        why: impl Into<String>,
    ) -> Self {
        Self { what, value: value.into(), why: why.into() }
    }
}
