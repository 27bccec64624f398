//! systemd's journal, by its native protocol (systemd's doc/JOURNAL_NATIVE_PROTOCOL): one datagram an entry, one entry a line.
//!
//! INVARIANT: nothing here blocks but [`JournalLog::finish`], which waits for a bounded time. While the journal does not take
//! entries, they wait here and the output waits in its pipe; what it never takes is counted.

use std::collections::VecDeque;
use std::ffi::OsStr;
use std::io;
use std::os::fd::{AsFd, AsRawFd};
use std::os::unix::ffi::OsStrExt as _;
use std::time::{Duration, Instant};

use dhow_shim::attach::Stream;
use dhow_sys::socket::DatagramSocket;
use mio::unix::SourceFd;
use mio::{Interest, Registry};

use super::losses::Losses;
use crate::monitor::source::Source;
use crate::options::{Journal, SHORT_ID};

const SOCKET: &str = "/run/systemd/journal/socket";
/// A longer line is several entries, all but the last marked as parts.
const LONGEST: usize = 8192;
/// How long the journal may take for its last entries.
const PATIENCE: Duration = Duration::from_secs(2);

/// The container's place in the journal.
#[derive(Debug)]
pub(super) struct JournalLog {
    socket: Option<DatagramSocket>,
    /// `CONTAINER_ID_FULL=…\n`, which comes before the priority.
    id: Vec<u8>,
    /// The fields that come after it.
    fields: Vec<u8>,
    labels: Vec<u8>,
    marks_partial: bool,
    /// The line that is not complete, of stdout and of stderr.
    lines: [Line; 2],
    /// Entries that were not taken yet.
    waiting: VecDeque<Vec<u8>>,
    /// The loop tells when the journal takes entries again.
    watched: bool,
    pub(super) losses: Losses,
}

#[derive(Debug, Default)]
struct Line {
    bytes: Vec<u8>,
    /// What its beginning said (`<3>`), if that is in an entry already.
    priority: Option<u8>,
    /// Parts of it are in entries already.
    begun: bool,
}

impl JournalLog {
    /// A journal that is not there is no error: it may come.
    pub(super) fn new(journal: &Journal) -> Self {
        let mut id = Vec::new();
        let mut fields = Vec::new();
        let container = journal.container.as_bytes();
        let short = container.get(..SHORT_ID).unwrap_or(container);
        push(&mut id, "CONTAINER_ID_FULL", container);
        push(&mut fields, "CONTAINER_ID", short);
        let tag = journal.tag.as_deref().map(OsStr::as_bytes);
        let name = journal.name.as_deref().map(OsStr::as_bytes);
        tag.into_iter().for_each(|tag| push(&mut fields, "CONTAINER_TAG", tag));
        name.into_iter().for_each(|name| push(&mut fields, "CONTAINER_NAME", name));
        push(&mut fields, "SYSLOG_IDENTIFIER", tag.or(name).unwrap_or(short));
        let mut labels = Vec::new();
        for label in &journal.labels {
            let label = label.as_bytes();
            let at = label.iter().position(|b| *b == b'=').unwrap_or(label.len());
            let name = String::from_utf8_lossy(&label[..at]);
            push(&mut labels, &name, label.get(at + 1..).unwrap_or_default());
        }
        JournalLog {
            socket: DatagramSocket::connect(SOCKET.as_ref()).ok(),
            id,
            fields,
            labels,
            marks_partial: journal.marks_partial,
            lines: Default::default(),
            waiting: VecDeque::new(),
            watched: false,
            losses: Losses::default(),
        }
    }

    pub(super) fn write(&mut self, stream: Stream, chunk: &[u8]) {
        let index = usize::from(stream == Stream::Stderr);
        for piece in chunk.split_inclusive(|b| *b == b'\n') {
            let mut rest = piece;
            while !rest.is_empty() {
                // The newline is part of the message, as conmon has it, and may be one byte more than fits.
                let room = LONGEST - self.lines[index].bytes.len();
                let take = if rest == b"\n" { 1 } else { rest.len().min(room) };
                self.lines[index].bytes.extend_from_slice(&rest[..take]);
                rest = &rest[take..];
                if self.lines[index].bytes.ends_with(b"\n") {
                    self.end_entry(stream, false);
                } else if self.lines[index].bytes.len() >= LONGEST && rest != b"\n" {
                    self.end_entry(stream, true);
                }
            }
        }
    }

    /// What is held of a line becomes an entry.
    fn end_entry(&mut self, stream: Stream, partial: bool) {
        let line = &mut self.lines[usize::from(stream == Stream::Stderr)];
        if line.bytes.is_empty() {
            return;
        }
        let mut message = line.bytes.as_slice();
        if !line.begun
            && let [b'<', level @ b'0'..=b'7', b'>', rest @ ..] = message
        {
            line.priority = Some(*level);
            message = rest;
        }
        let usual = if stream == Stream::Stderr { b'3' } else { b'6' };
        let priority = [line.priority.unwrap_or(usual)];
        let mut entry = Vec::with_capacity(message.len() + 256 + self.labels.len());
        push(&mut entry, "MESSAGE", message);
        entry.extend_from_slice(&self.id);
        push(&mut entry, "PRIORITY", &priority);
        entry.extend_from_slice(&self.fields);
        if partial && self.marks_partial {
            push(&mut entry, "CONTAINER_PARTIAL_MESSAGE", b"true");
        }
        entry.extend_from_slice(&self.labels);
        line.bytes.clear();
        line.begun = partial;
        if !partial {
            line.priority = None;
            // A container that is silent from here on holds no memory for what it has said.
            line.bytes.shrink_to(256);
        }
        let first = self.waiting.is_empty();
        self.waiting.push_back(entry);
        // Behind others it would not be taken either: the loop tells when there is room.
        if first {
            self.send();
        }
    }

    /// Sends as many of the entries that wait as are taken now.
    fn send(&mut self) {
        while let Some(entry) = self.waiting.front() {
            let taken = match self.socket.as_ref().map(|socket| socket.send(entry)) {
                Some(Ok(taken)) => Ok(taken),
                // The journal was started anew, or is not there yet.
                Some(Err(_)) | None => {
                    self.watched = false;
                    self.socket = None;
                    DatagramSocket::connect(SOCKET.as_ref())
                        .and_then(|socket| self.socket.insert(socket).send(entry))
                }
            };
            match taken {
                Ok(true) => self.losses.over(),
                Ok(false) => return,
                Err(e) => self.losses.add(entry.len() as u64, e),
            }
            self.waiting.pop_front();
        }
        self.waiting.shrink_to(8);
    }

    /// The output has to wait for the journal.
    pub(super) fn is_clogged(&self) -> bool {
        !self.waiting.is_empty()
    }

    /// The journal may take entries again.
    pub(super) fn ready(&mut self) {
        self.send();
    }

    /// Has the loop listen for room as long as some is needed: it would be woken by each entry that is read otherwise.
    pub(super) fn watch(&mut self, registry: &Registry) {
        let Some(socket) = &self.socket else {
            self.watched = false;
            return;
        };
        let fd = socket.as_fd().as_raw_fd();
        if self.is_clogged() && !self.watched {
            let token = Source::Journal.token();
            self.watched = registry.register(&mut SourceFd(&fd), token, Interest::WRITABLE).is_ok();
        } else if !self.is_clogged() && self.watched {
            registry.deregister(&mut SourceFd(&fd)).ok();
            self.watched = false;
        }
    }

    /// Sends what is held back, and waits for the journal to take it, but not for ever.
    pub(super) fn finish(&mut self) {
        for stream in [Stream::Stdout, Stream::Stderr] {
            self.end_entry(stream, true);
        }
        let deadline = Instant::now() + PATIENCE;
        while self.is_clogged() {
            let left = deadline.saturating_duration_since(Instant::now());
            let room =
                self.socket.as_ref().map(|s| dhow_sys::watch::wait_writable(s.as_fd(), left));
            if left.is_zero() || !matches!(room, Some(Ok(true))) {
                let bytes = self.waiting.drain(..).map(|entry| entry.len() as u64).sum();
                self.losses.add(bytes, io::ErrorKind::TimedOut.into());
                return;
            }
            self.send();
        }
    }
}

/// A field: `NAME=VALUE\n`, or for a value with a newline `NAME\n`, its length in 64 bits little-endian, the value, `\n`.
fn push(entry: &mut Vec<u8>, name: &str, value: &[u8]) {
    entry.extend_from_slice(name.as_bytes());
    if value.contains(&b'\n') {
        entry.push(b'\n');
        entry.extend_from_slice(&(value.len() as u64).to_le_bytes());
    } else {
        entry.push(b'=');
    }
    entry.extend_from_slice(value);
    entry.push(b'\n');
}

#[cfg(test)]
mod tests;
