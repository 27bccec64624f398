//! A client of the attach socket: output comes in packets, input goes in packets, and nothing blocks.
//!
//! Monitor to client: one byte that names the stream (2 stdout, 3 stderr), then 1 to [`PACKET`] bytes of it. A terminal's
//! output is all stdout. The byte 4 says that this client read too slowly and gets no more: alone, output is lost and the end
//! follows; with a [`LogPlace`] behind it, the output goes on in the log, and the connection is for input only.
//! Client to monitor: bytes for the container's stdin, at most [`STDIN_PACKET`] a packet. There is no replay: a client sees
//! what is written after it connected.

use std::io;
use std::os::fd::{AsFd, BorrowedFd};
use std::path::Path;

use dhow_sys::socket::{PacketSocket, Received as Packet};

/// The most bytes of output in a packet.
pub const PACKET: usize = 8192;
/// The most bytes of input in a packet.
pub const STDIN_PACKET: usize = 32768;

/// Which of the container's streams.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Stream {
    /// Standard output, and all output of a terminal.
    Stdout,
    /// Standard error.
    Stderr,
}

impl Stream {
    /// The byte at the head of a packet.
    #[must_use]
    pub fn id(self) -> u8 {
        match self {
            Stream::Stdout => 2,
            Stream::Stderr => 3,
        }
    }

    /// `stdout` or `stderr`.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Stream::Stdout => "stdout",
            Stream::Stderr => "stderr",
        }
    }
}

/// The packet that tells a client that it was too slow.
pub const DROPPED: u8 = 4;

/// A place in a log file of the k8s-file format, behind the output that a client has got. As text: four decimal numbers.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct LogPlace {
    /// The file's, to tell it from one that has replaced it.
    pub inode: u64,
    /// A record begins there.
    pub offset: u64,
    /// Bytes of stdout and of stderr, from there on, that the client has got already.
    pub skip: [u64; 2],
}

impl std::fmt::Display for LogPlace {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let [stdout, stderr] = self.skip;
        write!(f, "{} {} {stdout} {stderr}", self.inode, self.offset)
    }
}

impl LogPlace {
    fn parse(text: &[u8]) -> Option<Self> {
        let mut numbers = std::str::from_utf8(text).ok()?.split(' ').map(str::parse);
        let mut next = || numbers.next()?.ok();
        Some(LogPlace { inode: next()?, offset: next()?, skip: [next()?, next()?] })
    }
}

/// What was received.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Received {
    /// This many bytes of output.
    Output {
        /// Of which stream.
        stream: Stream,
        /// How many.
        len: usize,
    },
    /// We read too slowly: output was lost, and the end follows.
    Dropped,
    /// We read too slowly: the output goes on in the log.
    ReadLog(LogPlace),
    /// Nothing there now.
    WouldBlock,
    /// The container has ended (or its monitor is gone).
    End,
}

/// A connection to an attach socket. Readable when output or the end is there.
#[derive(Debug)]
pub struct AttachClient(PacketSocket);

impl AttachClient {
    /// Connects to `socket`, whose path may be of any length.
    ///
    /// # Errors
    /// `NotFound` or `ConnectionRefused`: no monitor serves it.
    pub fn connect(socket: &Path) -> io::Result<Self> {
        PacketSocket::connect(socket).map(AttachClient)
    }

    /// Receives one packet into `buffer`, which should hold [`PACKET`] bytes.
    ///
    /// # Errors
    /// What recvmsg(2) says; a connection reset is the end and no error.
    pub fn receive(&mut self, buffer: &mut [u8]) -> io::Result<Received> {
        loop {
            let mut id = [0];
            let len = match self.0.receive(&mut id, buffer) {
                Ok(Packet::Packet { len, .. }) => len - 1,
                Ok(Packet::WouldBlock) => return Ok(Received::WouldBlock),
                Ok(Packet::End) => return Ok(Received::End),
                Err(e) if e.kind() == io::ErrorKind::ConnectionReset => return Ok(Received::End),
                Err(e) => return Err(e),
            };
            match id[0] {
                2 => return Ok(Received::Output { stream: Stream::Stdout, len }),
                3 => return Ok(Received::Output { stream: Stream::Stderr, len }),
                DROPPED => {
                    let place = LogPlace::parse(&buffer[..len.min(buffer.len())]);
                    return Ok(place.map_or(Received::Dropped, Received::ReadLog));
                }
                // A packet of a later version of the protocol.
                other => tracing::debug!(id = other, "unknown packet of the attach socket"),
            }
        }
    }

    /// Sends the beginning of `bytes` to the container's stdin; how much of it. 0: wait until the socket is writable.
    ///
    /// # Errors
    /// `BrokenPipe`: the monitor is gone.
    pub fn send(&mut self, bytes: &[u8]) -> io::Result<usize> {
        // An empty packet would look like the end.
        let packet = &bytes[..bytes.len().min(STDIN_PACKET)];
        Ok(if !packet.is_empty() && self.0.send(&[], packet)? { packet.len() } else { 0 })
    }

    /// Ends the input: the container's stdin is closed (if it has one, and no option says otherwise). Output still comes.
    ///
    /// # Errors
    /// Those of shutdown(2); a monitor that is gone already is none.
    pub fn close_stdin(&mut self) -> io::Result<()> {
        match self.0.shutdown_write() {
            Err(e) if e.kind() == io::ErrorKind::NotConnected => Ok(()),
            other => other,
        }
    }
}

impl AsFd for AttachClient {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.0.as_fd()
    }
}
