//! A client's end of a running container or exec session: its output, its stdin, its window, its exit code.
//!
//! Never blocks; whoever pumps it polls [`AttachSession::output`] for output, [`AsFd::as_fd`] for room for input.

use std::os::fd::{AsFd, BorrowedFd};
use std::path::{Path, PathBuf};

use dhow_shim::attach::{AttachClient, LogPlace, Received};
use dhow_shim::ctl::{self, Control};
use dhow_shim::log::{CatchUp, Ending};
use dhow_shim::records::Started;
use dhow_sys::pidfd::Process;

use crate::error::{Error, Result};

pub use dhow_shim::attach::{PACKET, Stream};

/// What [`AttachSession::read`] came back with.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum AttachEvent {
    /// This many bytes of output.
    Output {
        /// Of which stream.
        stream: Stream,
        /// How many.
        len: usize,
    },
    /// We read too slowly: output was lost, and the end follows.
    Dropped,
    /// Nothing there now.
    WouldBlock,
    /// The container has ended (or its monitor is gone).
    End,
}

/// A connection to a container's monitor.
#[derive(Debug)]
pub struct AttachSession {
    client: AttachClient,
    dir: PathBuf,
    terminal: bool,
    /// The log that has the output too.
    log: Option<PathBuf>,
    /// We were too slow for the monitor: its log has the rest.
    catch_up: Option<CatchUp>,
}

impl AttachSession {
    /// Connects to the sockets in `dir`; `log` has the output too, if the monitor was told that clients know that.
    pub(crate) fn connect(dir: &Path, terminal: bool, log: Option<PathBuf>) -> Result<Self> {
        let socket = dir.join(dhow_shim::files::ATTACH);
        let client = AttachClient::connect(&socket)
            .map_err(Error::io("connect to the monitor at", &socket))?;
        Ok(AttachSession { client, dir: dir.to_owned(), terminal, log, catch_up: None })
    }

    /// Takes one packet of output; `buf` must hold [`dhow_shim::attach::PACKET`] bytes.
    ///
    /// # Errors
    /// The socket failed; the container goes on.
    pub fn read(&mut self, buf: &mut [u8]) -> Result<AttachEvent> {
        loop {
            let received = match &mut self.catch_up {
                Some(log) => log.read(buf).map_err(Error::Log)?,
                None => self
                    .client
                    .receive(buf)
                    .map_err(Error::io("read from the monitor in", &self.dir))?,
            };
            match received {
                Received::Output { stream, len } => return Ok(AttachEvent::Output { stream, len }),
                Received::WouldBlock => return Ok(AttachEvent::WouldBlock),
                Received::End => return Ok(AttachEvent::End),
                Received::Dropped => return Ok(AttachEvent::Dropped),
                Received::ReadLog(place) => self.catch_up = Some(self.rest_of_log(place)?),
            }
        }
    }

    /// The log from `place` on.
    fn rest_of_log(&self, place: LogPlace) -> Result<CatchUp> {
        let Some(log) = &self.log else {
            return Err(Error::Invalid(format!(
                "the monitor in {} refers to a log that it does not write",
                self.dir.display()
            )));
        };
        let record = self.dir.join(dhow_shim::files::STARTED);
        let started: Started = dhow_sys::fs::read_bounded(&record, 64 * 1024)
            .and_then(|bytes| Ok(serde_json::from_slice(&bytes)?))
            .map_err(Error::io("read", &record))?;
        let monitor = Process::open(started.monitor)
            .and_then(|process| process.map(|p| p.as_fd().try_clone_to_owned()).transpose())
            .map_err(Error::io("watch the monitor in", &self.dir))?;
        CatchUp::open(log, place, Ending { run_dir: self.dir.clone(), monitor }).map_err(Error::Log)
    }

    /// Whether the container's log has what we do not read in time.
    #[must_use]
    pub fn has_log(&self) -> bool {
        self.log.is_some()
    }

    /// Whether a read may give something although [`AttachSession::output`] is not readable.
    #[must_use]
    pub fn has_more(&self) -> bool {
        self.catch_up.as_ref().is_some_and(CatchUp::has_more)
    }

    /// Readable when [`AttachSession::read`] may have something.
    #[must_use]
    pub fn output(&self) -> BorrowedFd<'_> {
        self.catch_up.as_ref().map_or(self.client.as_fd(), AsFd::as_fd)
    }

    /// Gives bytes to the container's stdin: how many were taken, 0 when none can be now.
    ///
    /// # Errors
    /// The monitor has closed the connection.
    pub fn write_stdin(&mut self, bytes: &[u8]) -> Result<usize> {
        self.client.send(bytes).map_err(Error::io("write to the monitor in", &self.dir))
    }

    /// Says that no more input comes: the container's stdin is closed where it is a pipe.
    ///
    /// # Errors
    /// The monitor has closed the connection.
    pub fn close_stdin(&mut self) -> Result<()> {
        self.client.close_stdin().map_err(Error::io("close the input of the monitor in", &self.dir))
    }

    /// Tells the container's terminal its new size.
    ///
    /// # Errors
    /// There is no monitor any more.
    pub fn resize(&self, rows: u16, columns: u16) -> Result<()> {
        let fifo = self.dir.join(dhow_shim::files::CTL);
        ctl::send(&fifo, &Control::Resize { rows, columns })
            .map_err(Error::io("resize the terminal through", &fifo))
    }

    /// Whether the process has a terminal.
    #[must_use]
    pub fn terminal(&self) -> bool {
        self.terminal
    }
}

/// The connection: writable when input is taken.
impl AsFd for AttachSession {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.client.as_fd()
    }
}
