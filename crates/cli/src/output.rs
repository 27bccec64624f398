//! What goes to stdout: text that is ready, written at once.
//!
//! A reader that has gone (`dhow ps | head -1`) is no error: `error.rs` sees the broken pipe and keeps quiet.

use std::io::Write;

use anyhow::{Context, Result};

/// Writes to stdout.
pub(crate) fn print(text: &str) -> Result<()> {
    let mut stdout = std::io::stdout().lock();
    stdout
        .write_all(text.as_bytes())
        .and_then(|()| stdout.flush())
        .context("cannot write to stdout")
}

/// Writes a line to stdout.
pub(crate) fn line(text: &str) -> Result<()> {
    print(&format!("{text}\n"))
}
