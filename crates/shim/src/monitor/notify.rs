//! Messages of the container for systemd (sd_notify(3)), forwarded to the host's socket.
//!
//! The container is hostile: only lines that tell of its own state pass, so it can neither name another main process nor
//! leave descriptors with the service manager. The credentials that systemd sees are ours.

use std::io;
use std::os::fd::{AsFd, AsRawFd};
use std::path::{Path, PathBuf};

use dhow_sys::socket::{DatagramSocket, Listener};
use mio::unix::SourceFd;
use mio::{Interest, Registry};

use super::source::Source;
use crate::say::Say;

/// Where the container's messages come in, below the bundle. Its directory is made by the engine, and mounted.
const SOCKET: &str = "notify/notify.sock";
/// What is read of a datagram.
const LONGEST: usize = 32 * 1024;

#[derive(Debug)]
pub(super) struct Notify {
    listener: Listener,
    host: PathBuf,
}

impl Notify {
    pub(super) fn listen(
        bundle: Option<&Path>,
        host: &Path,
        registry: &Registry,
    ) -> io::Result<Self> {
        let path = bundle.unwrap_or(Path::new(".")).join(SOCKET);
        let listener = Listener::datagrams(&path, 0o777).map_err(|e| {
            io::Error::new(e.kind(), format!("cannot listen at {}: {e}", path.display()))
        })?;
        let fd = listener.as_fd().as_raw_fd();
        registry.register(&mut SourceFd(&fd), Source::Notify.token(), Interest::READABLE)?;
        Ok(Notify { listener, host: host.to_path_buf() })
    }

    /// Passes on what has come.
    pub(super) fn forward(&self, say: &Say) {
        let mut buffer = vec![0; LONGEST];
        while let Ok(Some(length)) = self.listener.receive(&mut buffer) {
            let message = permitted(&buffer[..length]);
            if message.is_empty() {
                continue;
            }
            let sent = DatagramSocket::connect(&self.host).and_then(|host| host.send(&message));
            match sent {
                Ok(true) => {}
                Ok(false) => say.warn("a message for systemd was lost: its socket is full"),
                Err(e) => say.warn(&format!("a message for systemd was lost: {e}")),
            }
        }
    }
}

const WHOLE: [&[u8]; 5] =
    [b"READY=1", b"RELOADING=1", b"STOPPING=1", b"WATCHDOG=1", b"WATCHDOG=trigger"];
const PREFIXES: [&[u8]; 4] = [b"STATUS=", b"ERRNO=", b"BUSERROR=", b"MONOTONIC_USEC="];

/// The lines that may pass, joined by newlines.
fn permitted(message: &[u8]) -> Vec<u8> {
    let passes = |line: &&[u8]| {
        WHOLE.contains(line) || PREFIXES.iter().any(|prefix| line.starts_with(prefix))
    };
    message.split(|b| *b == b'\n').filter(passes).collect::<Vec<_>>().join(&b'\n')
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_the_containers_own_state_passes() {
        assert_eq!(permitted(b"READY=1"), b"READY=1");
        assert_eq!(
            permitted(b"MAINPID=1\nREADY=1\nFDSTORE=1\nSTATUS=up = and running\nBARRIER=1\n"),
            b"READY=1\nSTATUS=up = and running"
        );
        assert_eq!(permitted(b"READY=12\nEXTEND_TIMEOUT_USEC=5\nxREADY=1\n\nREADY=1 "), b"");
        assert_eq!(permitted(b"WATCHDOG=trigger\nERRNO=2"), b"WATCHDOG=trigger\nERRNO=2");
    }
}
