//! `logs`: the lines of a container's log, and with `follow` those to come.

use std::os::fd::{AsFd, OwnedFd};

use dhow_shim::log::{Ending, Format, LogReader, Next, ReadOptions};
use dhow_sys::pidfd::Process;

pub use dhow_shim::log::LogLine;

use crate::engine::Engine;
use crate::error::{Error, Result};
use crate::request::{LogDriver, LogsRequest};

/// The lines of a log, oldest first. With `follow` it ends when the container has ended.
#[derive(Debug)]
pub struct LogStream {
    reader: Option<LogReader>,
    following: bool,
}

impl Engine {
    /// Opens the log of a container. No lock is taken, and a container of any status has a log, if an empty one.
    ///
    /// # Errors
    /// The log driver keeps nothing that could be read.
    pub fn logs(&self, request: &LogsRequest) -> Result<LogStream> {
        let id = self.resolve(&request.container)?;
        let snapshot = self.snapshot(&id)?;
        let config = self.config_of(&snapshot)?;
        let format = match config.log.driver {
            LogDriver::K8sFile => Format::K8sFile,
            LogDriver::JsonFile => Format::JsonFile,
            driver @ (LogDriver::None | LogDriver::Passthrough) => {
                return Err(Error::Invalid(format!(
                    "container {id} uses the log driver {driver}, which keeps no log that could be read"
                )));
            }
        };
        let path = config.log.path.unwrap_or_else(|| self.layout().log(&id));
        let now = jiff::Timestamp::now().as_nanosecond();
        let now = i64::try_from(now).unwrap_or(i64::MAX);
        let options = ReadOptions {
            tail: request.tail.map(|lines| usize::try_from(lines).unwrap_or(usize::MAX)),
            since: request.since.map(|moment| moment.resolve(now)),
            until: request.until.map(|moment| moment.resolve(now)),
        };
        if !path.exists() {
            // Never started: there is nothing yet.
            return Ok(LogStream { reader: None, following: false });
        }
        let mut reader = LogReader::open(&path, format, options).map_err(Error::Log)?;
        if request.follow {
            let monitor: Option<OwnedFd> = match snapshot.monitor() {
                Some(monitor) => Process::open(monitor)
                    .map_err(Error::io("find the monitor of", self.run_dir(&id)))?
                    .map(|process| process.as_fd().try_clone_to_owned())
                    .transpose()
                    .map_err(Error::io("watch the monitor of", self.run_dir(&id)))?,
                None => None,
            };
            reader.follow(Ending { run_dir: self.run_dir(&id), monitor }).map_err(Error::Log)?;
        }
        Ok(LogStream { reader: Some(reader), following: request.follow })
    }
}

impl Iterator for LogStream {
    type Item = Result<LogLine>;

    fn next(&mut self) -> Option<Self::Item> {
        let reader = self.reader.as_mut()?;
        if !self.following {
            return reader.next().map(|line| line.map_err(Error::Log));
        }
        match reader.next_within(None) {
            Ok(Next::Line(line)) => Some(Ok(line)),
            Ok(Next::End | Next::TimedOut) => None,
            Err(e) => Some(Err(Error::Log(e))),
        }
    }
}
