//! The logs of a container: each chunk of output goes to every file, in that file's format.
//!
//! INVARIANT: a log that fails never stops the output; what it lost is counted, and a torn line is ended before the next.

mod file;

use std::io;
use std::path::PathBuf;

use dhow_shim::attach::{LogPlace, Stream};
use dhow_shim::log::Format;
use jiff::Timestamp;
use jiff::tz::TimeZone;

use crate::options::Log;
use file::LogFile;

/// The machine's time zone (tzset(3)): its file as it is. `TimeZone::system` reads the whole data base to name it, which
/// takes longer than all else before the runtime is started; that is for `$TZ` alone.
fn local_zone() -> TimeZone {
    const FILE: &str = "/etc/localtime";
    const MAX_SIZE: u64 = 1 << 20;
    if std::env::vars_os().any(|(name, _)| name == "TZ") {
        return TimeZone::system();
    }
    let zone = dhow_sys::fs::read_bounded(FILE.as_ref(), MAX_SIZE)
        .map(|bytes| TimeZone::tzif(FILE, &bytes));
    match zone {
        Ok(Ok(zone)) => zone,
        // No file, or none that says anything: UTC, as in the C library.
        _ => TimeZone::UTC,
    }
}

/// All log files of a container.
#[derive(Debug)]
pub(crate) struct Logs {
    files: Vec<LogFile>,
    zone: TimeZone,
    sync: bool,
}

impl Logs {
    /// Opens them; what is in them stays.
    pub(crate) fn open(log: &Log) -> Result<Self, (PathBuf, io::Error)> {
        let mut files = Vec::new();
        for (format, path) in [(Format::K8sFile, &log.k8s_file), (Format::JsonFile, &log.json_file)]
        {
            if let Some(path) = path {
                files.push(
                    LogFile::open(path.clone(), format, log.limits)
                        .map_err(|e| (path.clone(), e))?,
                );
            }
        }
        // The zone is read from a file: not where nothing is stamped with it.
        let zone = if log.k8s_file.is_some() { local_zone() } else { TimeZone::UTC };
        Ok(Logs { files, zone, sync: log.sync })
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
        if self.files.is_empty() {
            return;
        }
        let now = Timestamp::now();
        let offset = self.zone.to_offset(now);
        for file in &mut self.files {
            file.write(now, offset, stream, chunk);
        }
    }

    /// The files were moved away: goes on in new ones.
    pub(crate) fn reopen(&mut self) {
        self.files.iter_mut().for_each(LogFile::reopen);
    }

    /// Writes what was held back, and has it on the disk unless told not to.
    pub(crate) fn finish(&mut self) {
        let now = Timestamp::now();
        for file in &mut self.files {
            file.finish(now, self.sync);
        }
    }
}
