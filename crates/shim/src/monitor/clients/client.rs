//! One attached client.

use std::collections::VecDeque;
use std::io;
use std::os::fd::{AsFd, AsRawFd};
use std::time::{Duration, Instant};

use dhow_shim::attach::{DROPPED, LogPlace, Stream};
use dhow_sys::socket::{PacketSocket, Received};
use mio::unix::SourceFd;
use mio::{Interest, Registry};

use super::super::source::Source;
use super::super::stdin::Stdin;

/// Packets of input taken from one client before others have their turn.
const TURN: usize = 8;

#[derive(Debug)]
pub(super) struct Client {
    socket: PacketSocket,
    source: Source,
    /// Packets that its socket did not take, each with its stream's byte.
    queue: VecDeque<Box<[u8]>>,
    queued: usize,
    /// Where in the log the first queued packet stands, if it can be read on there.
    behind: Option<LogPlace>,
    /// It was too slow: it gets nothing but what is queued (the notice).
    dropped: bool,
    /// It reads on in the log: its input is still taken.
    reads_log: bool,
    /// It may not be sent to any more.
    pub(super) gone: bool,
    /// Input may be there.
    pub(super) readable: bool,
    input: Input,
    /// Input that the container's stdin did not take. Nothing more is read until it does: that is the back-pressure.
    pending: Vec<u8>,
    /// Since when it is behind, and what it had taken then.
    clock: Option<(Instant, u64)>,
    taken: u64,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Input {
    Open,
    /// Its end was read, and the container's stdin is to be closed when what is pending is written.
    Ended,
    /// That is done.
    Settled,
}

impl Client {
    pub(super) fn new(
        socket: PacketSocket,
        source: Source,
        registry: &Registry,
    ) -> io::Result<Self> {
        registry.register(
            &mut SourceFd(&socket.as_fd().as_raw_fd()),
            source.token(),
            Interest::READABLE,
        )?;
        Ok(Client {
            socket,
            source,
            queue: VecDeque::new(),
            queued: 0,
            behind: None,
            dropped: false,
            reads_log: false,
            gone: false,
            readable: true,
            input: Input::Open,
            pending: Vec::new(),
            clock: None,
            taken: 0,
        })
    }

    /// Sends a packet, or queues it; `place` is where it stands in the log.
    pub(super) fn send(
        &mut self,
        stream: Stream,
        packet: &[u8],
        place: Option<LogPlace>,
        registry: &Registry,
    ) {
        if self.gone || self.dropped {
            return;
        }
        if self.queue.is_empty() {
            match self.socket.send(&[stream.id()], packet) {
                Ok(true) => {
                    self.taken += packet.len() as u64;
                    return;
                }
                Ok(false) => {}
                Err(_) => {
                    self.gone = true;
                    return;
                }
            }
            self.behind = place;
            self.want_room(true, registry);
        }
        let mut whole = Vec::with_capacity(packet.len() + 1);
        whole.push(stream.id());
        whole.extend_from_slice(packet);
        self.queued += whole.len();
        self.queue.push_back(whole.into_boxed_slice());
    }

    /// Sends what is queued, as much as its socket takes.
    pub(super) fn flush(&mut self, registry: &Registry) {
        while let Some(packet) = self.queue.front() {
            match self.socket.send(&[], packet) {
                Ok(true) => {
                    self.queued -= packet.len();
                    self.taken += packet.len() as u64;
                    if let (Some(place), Some((id, bytes))) =
                        (&mut self.behind, packet.split_first())
                    {
                        place.skip[usize::from(*id == Stream::Stderr.id())] += bytes.len() as u64;
                    }
                    self.queue.pop_front();
                }
                Ok(false) => return,
                Err(_) => {
                    self.gone = true;
                    return;
                }
            }
        }
        self.clock = None;
        self.behind = None;
        self.want_room(false, registry);
        self.has_been_told();
    }

    /// It knows that it gets no more. If it has no use for its connection, that is closed when what it has sent is written.
    fn has_been_told(&mut self) {
        if self.dropped && !self.reads_log {
            self.gone = true;
            if self.input == Input::Open {
                self.input = Input::Ended;
            }
        }
    }

    /// Edge-triggered: asking for it again reports room that is there already.
    fn want_room(&self, wanted: bool, registry: &Registry) {
        let interest =
            if wanted { Interest::READABLE | Interest::WRITABLE } else { Interest::READABLE };
        // It is registered, so this does not fail but for want of memory; then it is dropped as a slow one.
        registry
            .reregister(
                &mut SourceFd(&self.socket.as_fd().as_raw_fd()),
                self.source.token(),
                interest,
            )
            .ok();
    }

    pub(super) fn queued(&self) -> usize {
        if self.gone || self.dropped { 0 } else { self.queued }
    }

    /// Starts or stops its clock: it runs while `limit` bytes or more wait for it.
    pub(super) fn watch_the_clock(&mut self, limit: usize) {
        if self.queued() < limit {
            self.clock = None;
        } else if self.clock.is_none() {
            self.clock = Some((Instant::now(), self.taken));
        }
    }

    pub(super) fn deadline(&self, patience: Duration) -> Option<Instant> {
        self.clock.filter(|_| self.queued() > 0).map(|(since, _)| since + patience)
    }

    /// Whether it took `least` bytes since its clock was started; if so, that starts again.
    pub(super) fn took(&mut self, least: u64) -> bool {
        let enough = self.clock.is_some_and(|(_, before)| self.taken - before >= least);
        if enough {
            self.clock = Some((Instant::now(), self.taken));
        }
        enough
    }

    /// With more than `limit` bytes waiting for it: sends it to the log, if that has them.
    pub(super) fn refer_to_log(&mut self, limit: usize, registry: &Registry) {
        if self.queued() >= limit
            && let Some(place) = self.behind.take()
        {
            self.reads_log = true;
            self.end_output(place.to_string().as_bytes(), registry);
        }
    }

    /// It gets no more output.
    pub(super) fn drop_output(&mut self, registry: &Registry) {
        self.end_output(&[], registry);
    }

    /// It is told in a last packet, for which its socket has room even if it is full.
    fn end_output(&mut self, notice: &[u8], registry: &Registry) {
        self.clock = None;
        self.dropped = true;
        self.queue = VecDeque::new();
        self.queued = 0;
        match self.socket.send_beyond(&[DROPPED], notice) {
            Ok(true) => {
                self.want_room(false, registry);
                self.has_been_told();
            }
            Ok(false) => {
                self.queue.push_back([&[DROPPED], notice].concat().into_boxed_slice());
                self.queued = notice.len() + 1;
                self.want_room(true, registry);
            }
            Err(_) => self.gone = true,
        }
    }

    /// Moves its input to `stdin`; `true` if all of it is moved and its end was read just now.
    pub(super) fn pump_input(&mut self, stdin: &mut Stdin, scratch: &mut [u8]) -> bool {
        if !self.pending.is_empty() && stdin.writable {
            let written = stdin.write(&self.pending);
            self.pending.drain(..written);
        }
        for _ in 0..TURN {
            if !self.readable || !self.pending.is_empty() || self.input != Input::Open {
                break;
            }
            match self.socket.receive(&mut [], scratch) {
                Ok(Received::WouldBlock) => self.readable = false,
                Ok(Received::Packet { len, truncated: false }) => {
                    let written = if stdin.writable { stdin.write(&scratch[..len]) } else { 0 };
                    self.pending.extend_from_slice(&scratch[written..len]);
                }
                // Its rest is lost. Better no input than input with a hole.
                Ok(Received::Packet { truncated: true, .. }) => {
                    self.gone = true;
                    self.input = Input::Ended;
                }
                Ok(Received::End) | Err(_) => self.input = Input::Ended,
            }
        }
        if self.input == Input::Ended && self.pending.is_empty() {
            self.input = Input::Settled;
            self.pending = Vec::new();
            return true;
        }
        false
    }

    /// Input of another client is still to be written: the end counts later.
    pub(super) fn end_again(&mut self) {
        if self.input == Input::Settled {
            self.input = Input::Ended;
        }
    }

    pub(super) fn has_input(&self) -> bool {
        !self.pending.is_empty()
    }

    pub(super) fn has_work(&self, stdin: &Stdin) -> bool {
        match self.input {
            Input::Open if self.pending.is_empty() => self.readable,
            Input::Open | Input::Ended | Input::Settled => {
                !self.pending.is_empty() && stdin.writable
            }
        }
    }

    /// Nothing will come from it, and nothing can be sent to it.
    pub(super) fn is_over(&self) -> bool {
        self.gone && self.input == Input::Settled
    }

    pub(super) fn close(self) {
        self.socket.close();
    }
}
