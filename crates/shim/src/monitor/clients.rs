//! The attach socket and its clients: output to each through a bounded queue, input of each with its own back-pressure.
//!
//! INVARIANT: nothing here blocks. The log is not in a queue: a chunk is in the log before any client sees it. A client
//! whose queue is full is told where in the log to read on, and nobody waits for it. Where there is no log to read on in,
//! it may keep the output waiting for a bounded time, in which it has to take a bounded amount; one that does not is told
//! so and gets no more. So a stopped client costs the container that time once, and a slow one never makes it slower than
//! [`LEAST_TAKEN`] in it.

mod client;

use std::io;
use std::os::fd::{AsFd, AsRawFd};
use std::path::Path;
use std::time::{Duration, Instant};

use dhow_shim::attach::{LogPlace, PACKET, Stream};
use dhow_sys::socket::Listener;
use mio::unix::SourceFd;
use mio::{Interest, Registry};

use super::source::Source;
use super::stdin::Stdin;
use client::Client;

/// Bytes that wait for a client in our memory, besides those in its socket.
const QUEUE: usize = 1024 * 1024;
/// What a client has to take in the time it may keep others waiting.
const LEAST_TAKEN: u64 = 64 * 1024;

/// The attach socket and who is connected to it.
#[derive(Debug)]
pub(super) struct Clients {
    listener: Option<Listener>,
    /// A place is used again when its client is gone; its number is that of its token.
    places: Vec<Option<Client>>,
    patience: Duration,
    /// Whether a client's end closes the container's stdin.
    ends_stdin: bool,
    /// With so many bytes queued, a client's time runs: [`QUEUE`], at last 1.
    limit: usize,
}

impl Clients {
    /// Nobody, and nowhere to connect to.
    pub(super) fn none(patience: Duration, ends_stdin: bool) -> Self {
        Clients { listener: None, places: Vec::new(), patience, ends_stdin, limit: QUEUE }
    }

    /// Clients may connect at `path` from now on.
    pub(super) fn listen(&mut self, path: &Path, registry: &Registry) -> io::Result<()> {
        let listener = Listener::packets(path, 0o700)?;
        registry.register(
            &mut SourceFd(&listener.as_fd().as_raw_fd()),
            Source::Attach.token(),
            Interest::READABLE,
        )?;
        self.listener = Some(listener);
        Ok(())
    }

    /// Whether nobody is connected.
    pub(super) fn are_none(&self) -> bool {
        self.places.iter().all(Option::is_none)
    }

    /// Accepts all who wait.
    pub(super) fn accept(&mut self, registry: &Registry) {
        let Some(listener) = &self.listener else { return };
        // An error (EMFILE) leaves the client in the backlog: it is accepted with the next one.
        while let Ok(Some(socket)) = listener.accept() {
            let number = self.places.iter().position(Option::is_none).unwrap_or(self.places.len());
            let Ok(client) = Client::new(socket, Source::Client(number), registry) else {
                continue;
            };
            match self.places.get_mut(number) {
                Some(place) => *place = Some(client),
                None => self.places.push(Some(client)),
            }
        }
    }

    /// Gives a chunk of output to everybody; `place` is where it begins in the log, if clients can read it there.
    pub(super) fn broadcast(
        &mut self,
        stream: Stream,
        chunk: &[u8],
        place: Option<LogPlace>,
        registry: &Registry,
    ) {
        for client in self.places.iter_mut().flatten() {
            let mut place = place;
            for packet in chunk.chunks(PACKET) {
                client.send(stream, packet, place, registry);
                if let Some(place) = &mut place {
                    place.skip[usize::from(stream == Stream::Stderr)] += packet.len() as u64;
                }
            }
            client.refer_to_log(QUEUE, registry);
        }
        self.remove_ended();
        self.drop_the_slow(registry);
    }

    /// A client became ready.
    pub(super) fn ready(&mut self, number: usize, event: &mio::event::Event, registry: &Registry) {
        let Some(Some(client)) = self.places.get_mut(number) else { return };
        client.readable |= event.is_readable() || event.is_read_closed();
        // EPOLLHUP: both directions are gone. (EPOLLRDHUP alone is a half-close: it still wants output.)
        client.gone |= event.is_write_closed() || event.is_error();
        if event.is_writable() && !client.gone {
            client.flush(registry);
        }
        self.remove_ended();
    }

    /// Moves input to the container as long as it takes any; returns at once where there is none. `scratch` is for a packet.
    pub(super) fn pump_input(&mut self, stdin: &mut Stdin, scratch: &mut [u8]) {
        let mut ended = false;
        for client in self.places.iter_mut().flatten() {
            ended |= client.pump_input(stdin, scratch);
        }
        // What other clients have sent already is written first.
        if ended && self.ends_stdin && !self.places.iter().flatten().any(Client::has_input) {
            stdin.close();
        } else if ended && self.ends_stdin {
            self.places.iter_mut().flatten().for_each(Client::end_again);
        }
        self.remove_ended();
    }

    /// Whether input is there that can be moved now.
    pub(super) fn has_work(&self, stdin: &Stdin) -> bool {
        self.places.iter().flatten().any(|client| client.has_work(stdin))
    }

    /// Whether the output has to wait for somebody.
    pub(super) fn are_clogged(&self) -> bool {
        self.places.iter().flatten().any(|client| client.queued() >= QUEUE)
    }

    /// When somebody's time to take something is over.
    pub(super) fn deadline(&self) -> Option<Instant> {
        self.places.iter().flatten().filter_map(|client| client.deadline(self.patience)).min()
    }

    /// Drops those whose time is over.
    pub(super) fn drop_the_slow(&mut self, registry: &Registry) {
        let now = Instant::now();
        for client in self.places.iter_mut().flatten() {
            client.watch_the_clock(self.limit);
            if client.deadline(self.patience).is_some_and(|at| at <= now)
                && !client.took(LEAST_TAKEN)
            {
                client.drop_output(registry);
            }
        }
    }

    /// The container has ended: whoever has nothing queued is let go, and queues of the others are all that is left.
    pub(super) fn begin_farewell(&mut self, registry: &Registry) {
        self.listener = None;
        self.limit = 1;
        for client in self.places.iter_mut().flatten() {
            client.refer_to_log(self.limit, registry);
            client.watch_the_clock(self.limit);
        }
        self.let_go();
    }

    /// Closes the connections of those who have got everything; whether all are closed.
    pub(super) fn let_go(&mut self) -> bool {
        for place in &mut self.places {
            if let Some(client) = place.take_if(|client| client.queued() == 0 || client.gone) {
                client.close();
            }
        }
        self.places.iter().all(Option::is_none)
    }

    fn remove_ended(&mut self) {
        for place in &mut self.places {
            if let Some(client) = place.take_if(|client| client.is_over()) {
                client.close();
            }
        }
    }
}
