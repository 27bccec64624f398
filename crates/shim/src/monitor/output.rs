//! One stream of output of the container: a pipe, or its terminal.

use std::io;
use std::os::fd::{AsFd, AsRawFd, OwnedFd};

use dhow_shim::attach::Stream;
use dhow_sys::pipe::{self, Read};
use mio::unix::SourceFd;
use mio::{Interest, Registry};

use super::source::Source;

/// The read end.
#[derive(Debug)]
pub(super) struct Output {
    pub(super) stream: Stream,
    fd: Option<OwnedFd>,
    /// Edge-triggered: whether it was not read until it had nothing more.
    pub(super) readable: bool,
    /// Splicing has not failed.
    spliced: bool,
}

impl Output {
    /// A stream that is not there, or not yet.
    pub(super) fn none(stream: Stream) -> Self {
        Output { stream, fd: None, readable: false, spliced: true }
    }

    /// Listens to `fd`; with `interest` to more than reading, if the same descriptor is written to.
    pub(super) fn listen(
        &mut self,
        fd: OwnedFd,
        interest: Interest,
        registry: &Registry,
    ) -> io::Result<()> {
        pipe::set_nonblocking(&fd)?;
        let source = match self.stream {
            Stream::Stdout => Source::Stdout,
            Stream::Stderr => Source::Stderr,
        };
        registry.register(&mut SourceFd(&fd.as_raw_fd()), source.token(), interest)?;
        self.fd = Some(fd);
        self.readable = true;
        Ok(())
    }

    /// Reads what is there into `buffer`; `None` if that is nothing (now, or ever again).
    pub(super) fn read<'a>(&mut self, buffer: &'a mut [u8]) -> Option<&'a [u8]> {
        let fd = self.fd.as_ref()?;
        match pipe::read(fd.as_fd(), buffer) {
            Ok(Read::Bytes(len)) => Some(&buffer[..len]),
            Ok(Read::WouldBlock) => {
                self.readable = false;
                None
            }
            Ok(Read::End) | Err(_) => {
                self.close();
                None
            }
        }
    }

    /// How many bytes are there of a pipe.
    pub(super) fn available(&self) -> usize {
        self.fd.as_ref().filter(|_| self.spliced).map_or(0, |fd| pipe::available(fd).unwrap_or(0))
    }

    /// Has the kernel forget `length` bytes of a pipe; how many it has.
    pub(super) fn throw_away(&mut self, length: usize) -> usize {
        let Some(fd) = &self.fd else { return 0 };
        // Our own stdout is /dev/null once the runtime is started.
        let moved = pipe::splice(fd, io::stdout(), length);
        // Where that is no way, they are read.
        self.spliced = moved.is_ok();
        moved.unwrap_or(0)
    }

    pub(super) fn close(&mut self) {
        self.fd = None;
        self.readable = false;
    }
}
