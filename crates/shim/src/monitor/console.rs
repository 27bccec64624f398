//! The console socket: where the runtime sends the master side of the terminal that it made.
//!
//! The socket is in the run directory, which is its owner's only, not in a place that everybody may write to. It is gone
//! as soon as a connection was accepted.

use std::io;
use std::os::fd::{AsFd, AsRawFd, OwnedFd};
use std::path::{Path, PathBuf};

use dhow_sys::socket::{Listener, receive_fd};
use dhow_sys::{pipe, tty};
use mio::unix::SourceFd;
use mio::{Interest, Registry};

use super::source::Source;

/// How far it has come.
#[derive(Debug)]
pub(super) enum Console {
    /// Nobody has connected yet.
    Listening(Listener),
    /// Somebody has, and has sent nothing yet.
    Connected(OwnedFd),
}

impl Console {
    pub(super) fn listen(directory: &Path, registry: &Registry) -> io::Result<Self> {
        let name = format!("console.{}", std::process::id());
        let listener = Listener::stream(&directory.join(name), 0o700)?;
        registry.register(
            &mut SourceFd(&listener.as_fd().as_raw_fd()),
            Source::Console.token(),
            Interest::READABLE,
        )?;
        Ok(Console::Listening(listener))
    }

    /// What the runtime is told. It need not be the socket's path: a runtime connects to 107 bytes at most.
    pub(super) fn path(&self) -> Option<PathBuf> {
        match self {
            Console::Listening(listener) => Some(listener.short_path()),
            Console::Connected(_) => None,
        }
    }

    /// Goes on as far as it goes without waiting; the terminal, if it has come.
    pub(super) fn advance(&mut self, registry: &Registry) -> io::Result<Option<OwnedFd>> {
        if let Console::Listening(listener) = self {
            let Some(stream) = listener.accept_stream()? else { return Ok(None) };
            pipe::set_nonblocking(&stream)?;
            registry.register(
                &mut SourceFd(&stream.as_raw_fd()),
                Source::ConsoleStream.token(),
                Interest::READABLE,
            )?;
            *self = Console::Connected(stream);
        }
        let Console::Connected(stream) = self else { return Ok(None) };
        let master = match receive_fd(stream.as_fd()) {
            Err(e) if e.kind() == io::ErrorKind::WouldBlock => return Ok(None),
            other => other?,
        };
        if let Some(master) = &master {
            // A terminal that refuses this is still one.
            tty::enable_onlcr(master).ok();
        }
        Ok(master)
    }
}
