//! The logs of a container: each chunk of output goes to every file, in that file's format.
//!
//! INVARIANT: a log that fails never stops the output; what it lost is counted, and a torn line is ended before the next.

mod file;
mod journal;
mod losses;
pub(crate) mod zone;

use std::io;
use std::path::{Path, PathBuf};

use dhow_shim::attach::{LogPlace, Stream};
use dhow_shim::log::Format;
use dhow_sys::memory::Pages;
use jiff::Timestamp;
use jiff::tz::TimeZone;
use mio::Registry;

use crate::options::{Log, LogLimits};
use file::LogFile;
use journal::JournalLog;

/// Bytes of records a write. More than any one has.
const BATCH: usize = 256 * 1024;

/// A log that may not be rotated grows.
fn limits(log: &Log, path: &Path) -> LogLimits {
    if log.limits.rotate.is_none() || may_rotate(path, &log.rotate_below) {
        return log.limits;
    }
    LogLimits { max_size: None, rotate: None, ..log.limits }
}

/// Whether the log's directory is one of those, or below one. Where it really is counts, not how it is written.
fn may_rotate(path: &Path, allowed: &[PathBuf]) -> bool {
    let real = |path: &Path| std::fs::canonicalize(path).ok();
    let parent = path.parent().filter(|parent| !parent.as_os_str().is_empty());
    let Some(directory) = real(parent.unwrap_or(Path::new("."))) else { return false };
    allowed.is_empty()
        || allowed.iter().filter_map(|dir| real(dir)).any(|dir| directory.starts_with(dir))
}

/// All log files of a container.
#[derive(Debug)]
pub(crate) struct Logs {
    files: Vec<LogFile>,
    journal: Option<Box<JournalLog>>,
    zone: TimeZone,
    sync: bool,
    never_rotated: Vec<PathBuf>,
    /// Where records are put together.
    batch: Pages,
}

impl Logs {
    /// Opens them; what is in them stays.
    pub(crate) fn open(log: &Log) -> Result<Self, (PathBuf, io::Error)> {
        let mut files = Vec::new();
        for (format, path) in [(Format::K8sFile, &log.k8s_file), (Format::JsonFile, &log.json_file)]
        {
            if let Some(path) = path {
                let file = LogFile::open(path.clone(), format, limits(log, path));
                files.push(file.map_err(|e| (path.clone(), e))?);
            }
        }
        // The zone is read from a file: not where nothing is stamped with it.
        let zone = if log.k8s_file.is_some() { zone::local() } else { TimeZone::UTC };
        let never_rotated = [&log.k8s_file, &log.json_file]
            .into_iter()
            .flatten()
            .filter(|path| log.limits.rotate.is_some() && !may_rotate(path, &log.rotate_below))
            .cloned()
            .collect();
        let journal = log.journal.as_ref().map(|journal| Box::new(JournalLog::new(journal)));
        let batch = Pages::new(BATCH).map_err(|e| (PathBuf::from("memory"), e))?;
        Ok(Logs { files, journal, zone, sync: log.sync, never_rotated, batch })
    }

    /// Those that would be rotated if they were where that is allowed.
    pub(crate) fn never_rotated(&self) -> &[PathBuf] {
        &self.never_rotated
    }

    /// Where the next chunk will be, if all output is to be found in one file as it was written.
    pub(crate) fn place(&self) -> Option<LogPlace> {
        match self.files.as_slice() {
            [file] => file.place(),
            _ => None,
        }
    }

    /// Writes what was read from a stream just now.
    pub(crate) fn write(&mut self, stream: Stream, chunk: &[u8]) {
        if let Some(journal) = &mut self.journal {
            journal.write(stream, chunk);
        }
        if self.files.is_empty() {
            return;
        }
        let now = Timestamp::now();
        let offset = self.zone.to_offset(now);
        for file in &mut self.files {
            file.write(now, offset, stream, chunk, &mut self.batch);
        }
    }

    /// Whether there are none: nobody has to see the output.
    pub(crate) fn are_none(&self) -> bool {
        self.files.is_empty() && self.journal.is_none()
    }

    /// Nothing is to be logged for now: gives back the memory that it took.
    pub(crate) fn rest(&mut self) {
        self.batch.discard();
    }

    /// The output has to wait.
    pub(crate) fn are_clogged(&self) -> bool {
        self.journal.as_ref().is_some_and(|journal| journal.is_clogged())
    }

    /// The journal takes entries again.
    pub(crate) fn ready(&mut self, registry: &Registry) {
        if let Some(journal) = &mut self.journal {
            journal.ready();
        }
        self.watch(registry);
    }

    /// Has the loop listen for what the logs wait for.
    pub(crate) fn watch(&mut self, registry: &Registry) {
        if let Some(journal) = &mut self.journal {
            journal.watch(registry);
        }
    }

    /// What is to be told about losses, if that has changed since the last time.
    pub(crate) fn news(&mut self) -> Option<String> {
        let journal = self.journal.as_mut().and_then(|journal| journal.losses.news("the journal"));
        journal.or_else(|| self.files.iter_mut().find_map(LogFile::news))
    }

    /// Bytes that the logs did not take.
    pub(crate) fn lost(&self) -> u64 {
        let files = self.files.iter().map(LogFile::lost).sum::<u64>();
        files + self.journal.as_ref().map_or(0, |journal| journal.losses.bytes)
    }

    /// The files were moved away: goes on in new ones.
    pub(crate) fn reopen(&mut self) {
        self.files.iter_mut().for_each(LogFile::reopen);
    }

    /// Writes what was held back, and has it on the disk unless told not to.
    pub(crate) fn finish(&mut self) {
        if let Some(journal) = &mut self.journal {
            journal.finish();
        }
        let now = Timestamp::now();
        for file in &mut self.files {
            file.finish(now, self.sync);
        }
    }
}
