//! Log files: the two formats, written and read. What is here is pure, but for [`LogReader`].
//!
//! A record is one line of a file. It holds a line of output, or a part of one: output is cut where a read of the
//! container's pipe ended, and where a line is longer than a record may be. INVARIANT: the contents of a stream's records,
//! one after the other, are the bytes of that stream, whatever the cuts were.

mod catch_up;
mod follow;
pub mod frame;
pub mod json_file;
pub mod k8s_file;
mod reader;
mod tail;

use std::borrow::Cow;
use std::io;
use std::path::PathBuf;

pub use catch_up::CatchUp;
pub use follow::Ending;
pub use reader::{LogLine, LogReader, Next, ReadOptions};

use crate::attach::Stream;

/// How a log file is written.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Format {
    /// `2026-01-02T03:04:05.123456789+01:00 stdout F text`.
    K8sFile,
    /// `{"log":"text\n","stream":"stdout","time":"2026-01-02T02:04:05.123456789Z"}`.
    JsonFile,
}

/// One record of a log file.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Record<'a> {
    /// When it was read from the container, in nanoseconds since the epoch.
    pub at: i64,
    /// From where.
    pub stream: Stream,
    /// Whether a line of output ends here.
    pub ends_line: bool,
    /// The bytes, without the newline that ended the line.
    pub content: Cow<'a, [u8]>,
}

impl Format {
    /// Reads one line of a file, given without its newline; `None` if it is no record.
    #[must_use]
    pub fn parse(self, line: &[u8]) -> Option<Record<'_>> {
        match self {
            Format::K8sFile => k8s_file::parse(line),
            Format::JsonFile => json_file::parse(line),
        }
    }
}

/// Why a log cannot be read.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// A line is no record. Reading goes on behind it.
    #[error("no log record at byte {offset} of `{}`", path.display())]
    Corrupt {
        /// The file.
        path: PathBuf,
        /// Where the line begins.
        offset: u64,
    },
    /// The file cannot be read.
    #[error("cannot read the log `{}`", path.display())]
    Read {
        /// The file.
        path: PathBuf,
        /// Why.
        source: io::Error,
    },
    /// The file cannot be watched for what is yet to come.
    #[error("cannot watch `{}`", path.display())]
    Watch {
        /// The file or directory.
        path: PathBuf,
        /// Why.
        source: io::Error,
    },
}

pub(crate) fn nanoseconds(at: jiff::Timestamp) -> Option<i64> {
    i64::try_from(at.as_nanosecond()).ok()
}
