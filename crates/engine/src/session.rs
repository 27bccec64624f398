//! A client's end of a running container or exec session: its output, its stdin, its window, its exit code.
//!
//! Never blocks; whoever pumps it polls [`AsFd::as_fd`].

use std::os::fd::{AsFd, BorrowedFd};
use std::path::PathBuf;

use dhow_shim::attach::AttachClient;
use dhow_shim::ctl::{self, Control};

use crate::error::{Error, Result};

pub use dhow_shim::attach::{PACKET, Received as AttachEvent, Stream};

/// A connection to a container's monitor.
#[derive(Debug)]
pub struct AttachSession {
    client: AttachClient,
    ctl: PathBuf,
    terminal: bool,
}

impl AttachSession {
    /// Connects to the sockets in `dir`.
    pub(crate) fn connect(dir: &std::path::Path, terminal: bool) -> Result<Self> {
        let socket = dir.join(dhow_shim::files::ATTACH);
        let client = AttachClient::connect(&socket)
            .map_err(Error::io("connect to the monitor at", &socket))?;
        Ok(AttachSession { client, ctl: dir.join(dhow_shim::files::CTL), terminal })
    }

    /// Takes one packet of output; `buf` must hold [`dhow_shim::attach::PACKET`] bytes.
    ///
    /// # Errors
    /// The socket failed; the container goes on.
    pub fn read(&mut self, buf: &mut [u8]) -> Result<AttachEvent> {
        self.client.receive(buf).map_err(Error::io("read from the monitor at", &self.ctl))
    }

    /// Gives bytes to the container's stdin: how many were taken, 0 when none can be now.
    ///
    /// # Errors
    /// The monitor has closed the connection.
    pub fn write_stdin(&mut self, bytes: &[u8]) -> Result<usize> {
        self.client.send(bytes).map_err(Error::io("write to the monitor at", &self.ctl))
    }

    /// Says that no more input comes: the container's stdin is closed where it is a pipe.
    ///
    /// # Errors
    /// The monitor has closed the connection.
    pub fn close_stdin(&mut self) -> Result<()> {
        self.client.close_stdin().map_err(Error::io("close the input of the monitor at", &self.ctl))
    }

    /// Tells the container's terminal its new size.
    ///
    /// # Errors
    /// There is no monitor any more.
    pub fn resize(&self, rows: u16, columns: u16) -> Result<()> {
        ctl::send(&self.ctl, &Control::Resize { rows, columns })
            .map_err(Error::io("resize the terminal through", &self.ctl))
    }

    /// Whether the process has a terminal.
    #[must_use]
    pub fn terminal(&self) -> bool {
        self.terminal
    }
}

impl AsFd for AttachSession {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.client.as_fd()
    }
}
