//! The container's stdin: the write end of a pipe, or its terminal.

use std::io;
use std::os::fd::{AsFd, AsRawFd, OwnedFd};

use dhow_sys::pipe;
use mio::unix::SourceFd;
use mio::{Interest, Registry};

use super::source::Source;

/// Where input goes.
#[derive(Debug)]
pub(super) struct Stdin {
    to: To,
    /// Whether the last write was taken whole, or the kernel has said since that there is room.
    pub(super) writable: bool,
}

#[derive(Debug)]
enum To {
    /// There is no stdin: input is thrown away.
    Nobody,
    /// There will be a terminal: input waits.
    Later,
    /// A pipe, closed when a client ends (if it may be).
    Pipe(OwnedFd),
    /// A terminal, which is never closed for that.
    Terminal(OwnedFd),
}

impl Stdin {
    /// No stdin, or that of a terminal that is yet to come.
    pub(super) fn none(terminal_comes: bool) -> Self {
        Stdin { to: if terminal_comes { To::Later } else { To::Nobody }, writable: !terminal_comes }
    }

    /// A pipe.
    pub(super) fn pipe(fd: OwnedFd, registry: &Registry) -> io::Result<Self> {
        pipe::set_nonblocking(&fd)?;
        registry.register(
            &mut SourceFd(&fd.as_raw_fd()),
            Source::Stdin.token(),
            Interest::WRITABLE,
        )?;
        Ok(Stdin { to: To::Pipe(fd), writable: true })
    }

    /// The terminal has come. (It is registered for reading and writing by whoever reads it.)
    pub(super) fn terminal(&mut self, fd: OwnedFd) {
        *self = Stdin { to: To::Terminal(fd), writable: true };
    }

    /// Writes as much as is taken now; how much of it is settled. What nobody will read is settled too.
    pub(super) fn write(&mut self, bytes: &[u8]) -> usize {
        let fd = match &self.to {
            To::Nobody => return bytes.len(),
            To::Later => return 0,
            To::Pipe(fd) | To::Terminal(fd) => fd,
        };
        match pipe::write(fd.as_fd(), bytes) {
            Ok(written) => {
                // Less than all: the next room is reported by an event.
                self.writable = written == bytes.len();
                written
            }
            // EPIPE: the container closed its stdin. EIO: nobody has the terminal open.
            Err(_) => {
                if matches!(self.to, To::Pipe(_)) {
                    self.close();
                }
                bytes.len()
            }
        }
    }

    /// A client has ended its input: the container reads the end, if its stdin is a pipe.
    pub(super) fn close(&mut self) {
        if matches!(self.to, To::Pipe(_)) {
            // Closing deregisters it.
            *self = Stdin { to: To::Nobody, writable: true };
        }
    }
}
