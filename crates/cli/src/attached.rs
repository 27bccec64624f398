//! Being attached: the user's terminal or pipes on one side, the container's on the other.
//!
//! One loop over poll(2): output of the session, the user's input, signals. Output goes out before anything else is
//! looked at; input is read only when the last of it has been taken, so that a container that does not read holds up
//! its input and nothing else.

use std::io;
use std::os::fd::{AsFd, BorrowedFd};

use anyhow::{Context as _, Result};
use dhow_engine::request::{DetachKeys, KillRequest, Signal, Streams, WaitRequest};
use dhow_engine::{AttachEvent, AttachSession, Engine, PACKET, Stream};
use dhow_sys::tty;
use rustix::event::{PollFd, PollFlags, poll};

use crate::detach::Detector;
use crate::error::exit_code;
use crate::signals::{self, Event, Signals};
use crate::terminal::{self, Raw};

/// How to be attached.
#[derive(Debug)]
pub(crate) struct Manner {
    /// What flows.
    pub(crate) streams: Streams,
    /// What ends the attachment and leaves the container running.
    pub(crate) detach_keys: DetachKeys,
}

/// How it came to an end.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Ending {
    /// The container's output has ended.
    Ended,
    /// The user typed the detach keys.
    Detached,
    /// A signal that was not to be passed on.
    Interrupted(i32),
}

/// Whom signals and sizes are for.
pub(crate) struct Peer<'a> {
    pub(crate) engine: &'a Engine,
    /// Name or id; none for an exec session, to which no signal is passed on.
    pub(crate) container: Option<&'a str>,
}

impl Peer<'_> {
    /// Passes a signal on. That the container has just ended, or is only being started, is not an error.
    fn signal(&self, number: i32) {
        let (Some(container), Some(signal)) = (self.container, Signal::from_number(number)) else {
            return;
        };
        if let Err(e) = self.engine.kill(&KillRequest { container: container.to_owned(), signal }) {
            tracing::debug!(%signal, container, "signal not passed on: {e}");
        }
    }
}

/// A command in the foreground of a container: signals are caught from the beginning to the end.
pub(crate) struct Foreground<'a> {
    engine: &'a Engine,
    signals: Signals,
}

impl<'a> Foreground<'a> {
    pub(crate) fn new(engine: &'a Engine, proxy: bool) -> Result<Self> {
        Ok(Self { engine, signals: Signals::catch(proxy).context("cannot catch signals")? })
    }

    /// Is attached until the container ends, then waits for its exit code; without a session only waits. None: the
    /// user has detached.
    pub(crate) fn follow(
        &mut self,
        session: Option<AttachSession>,
        manner: &Manner,
        container: &str,
    ) -> Result<Option<u8>> {
        let peer = Peer { engine: self.engine, container: Some(container) };
        if let Some(mut session) = session {
            match pump(&mut session, manner, &peer, &mut self.signals)? {
                Ending::Ended => {}
                Ending::Detached => return Ok(None),
                Ending::Interrupted(signal) => {
                    signals::die_of(signal).context("cannot end by a signal")?
                }
            }
        }
        let request = WaitRequest { container: container.to_owned(), ..WaitRequest::default() };
        let code = attend(&peer, &mut self.signals, || Ok(self.engine.wait(&request)?))?;
        Ok(Some(exit_code(code)))
    }
}

/// Carries streams until the output ends or the user leaves.
pub(crate) fn pump(
    session: &mut AttachSession,
    manner: &Manner,
    peer: &Peer<'_>,
    signals: &mut Signals,
) -> Result<Ending> {
    let has_terminal = session.terminal();
    let stdin = io::stdin();
    let typed = tty::is_terminal(&stdin);
    let raw = (has_terminal && manner.streams.stdin && typed)
        .then(|| Raw::enter(stdin.as_fd()))
        .transpose()
        .context("cannot put the terminal into raw mode")?;
    // Keys are looked for in what is typed, not in a file that happens to hold their bytes.
    let keys = if has_terminal || typed { manner.detach_keys.clone() } else { DetachKeys::none() };
    let mut input = Input::new(manner.streams.stdin, &keys);
    let mut buffer = vec![0; PACKET];
    let ending = loop {
        let (session_ready, input_ready) = wait(session, &input, signals)?;
        for event in signals.take() {
            match event {
                Event::Resized => resize(session),
                Event::PassOn(signal) => peer.signal(signal),
                Event::Fatal(signal) => return Ok(Ending::Interrupted(signal)),
            }
        }
        if session_ready && drain(session, manner.streams, &mut buffer)? {
            break Ending::Ended;
        }
        if input_ready && input.read()? {
            break Ending::Detached;
        }
        input.write(session)?;
    };
    drop(raw);
    Ok(ending)
}

/// Waits while `work` goes on in another thread, passing on signals meanwhile; one that is not to be passed on ends the
/// process as if it had not been caught.
pub(crate) fn attend<T: Send>(
    peer: &Peer<'_>,
    signals: &mut Signals,
    work: impl FnOnce() -> Result<T> + Send,
) -> Result<T> {
    let (done, finished) = io::pipe().context("cannot make a pipe")?;
    std::thread::scope(|scope| {
        let worker = scope.spawn(move || {
            let result = work();
            drop(finished);
            result
        });
        loop {
            let mut fds = [
                PollFd::new(&done, PollFlags::IN),
                PollFd::from_borrowed_fd(signals.as_fd(), PollFlags::IN),
            ];
            poll_again(&mut fds)?;
            let is_done = !fds[0].revents().is_empty();
            for event in signals.take() {
                match event {
                    Event::Resized => {}
                    Event::PassOn(signal) => peer.signal(signal),
                    Event::Fatal(signal) => signals::die_of(signal)?,
                }
            }
            if is_done {
                return worker
                    .join()
                    .map_err(|_| anyhow::anyhow!("the waiting thread has died"))?;
            }
        }
    })
}

fn wait(session: &AttachSession, input: &Input, signals: &Signals) -> Result<(bool, bool)> {
    let stdin = io::stdin();
    let mut interest = PollFlags::IN;
    if !input.pending.is_empty() {
        interest |= PollFlags::OUT;
    }
    let mut fds = vec![
        PollFd::from_borrowed_fd(session.as_fd(), interest),
        PollFd::from_borrowed_fd(signals.as_fd(), PollFlags::IN),
    ];
    if input.wants_more() {
        fds.push(PollFd::new(&stdin, PollFlags::IN));
    }
    poll_again(&mut fds)?;
    let session_ready =
        fds[0].revents().intersects(PollFlags::IN | PollFlags::HUP | PollFlags::ERR);
    let input_ready = fds.get(2).is_some_and(|fd| !fd.revents().is_empty());
    Ok((session_ready, input_ready))
}

fn poll_again(fds: &mut [PollFd<'_>]) -> Result<()> {
    loop {
        match poll(fds, None) {
            Ok(_) => return Ok(()),
            Err(rustix::io::Errno::INTR) => {}
            Err(e) => return Err(e).context("cannot wait for input and output"),
        }
    }
}

fn resize(session: &AttachSession) {
    if !session.terminal() {
        return;
    }
    let Some(window) = terminal::own_window() else { return };
    if let Err(e) = session.resize(window.rows, window.columns) {
        tracing::debug!("window size not passed on: {e}");
    }
}

/// Writes what there is of the container's output; true at its end.
fn drain(session: &mut AttachSession, streams: Streams, buffer: &mut [u8]) -> Result<bool> {
    loop {
        match session.read(buffer)? {
            AttachEvent::Output { stream: Stream::Stdout, len } if streams.stdout => {
                write_all(io::stdout().as_fd(), &buffer[..len])
                    .context("cannot write to stdout")?;
            }
            AttachEvent::Output { stream: Stream::Stderr, len } if streams.stderr => {
                write_all(io::stderr().as_fd(), &buffer[..len])
                    .context("cannot write to stderr")?;
            }
            AttachEvent::Output { .. } => {}
            AttachEvent::WouldBlock => return Ok(false),
            AttachEvent::End => return Ok(true),
            AttachEvent::Dropped => anyhow::bail!(
                "the output was not read fast enough and has been cut off; the container goes on, and its log has the rest"
            ),
        }
    }
}

/// Writes past the library's buffers: those of stdout wait for the end of a line. Another process may have made the
/// terminal non-blocking.
fn write_all(fd: BorrowedFd<'_>, mut bytes: &[u8]) -> io::Result<()> {
    while !bytes.is_empty() {
        match rustix::io::write(fd, bytes) {
            Ok(written) => bytes = &bytes[written..],
            Err(rustix::io::Errno::INTR) => {}
            Err(rustix::io::Errno::AGAIN) => {
                match poll(&mut [PollFd::from_borrowed_fd(fd, PollFlags::OUT)], None) {
                    Ok(_) | Err(rustix::io::Errno::INTR) => {}
                    Err(e) => return Err(e.into()),
                }
            }
            Err(e) => return Err(e.into()),
        }
    }
    Ok(())
}

/// The user's input on its way to the container.
struct Input {
    detector: Detector,
    /// Read and not yet taken by the session.
    pending: Vec<u8>,
    open: bool,
    /// The session has been told that no more comes.
    closed: bool,
    buffer: Vec<u8>,
}

impl Input {
    fn new(open: bool, keys: &DetachKeys) -> Self {
        Self {
            detector: Detector::new(keys),
            pending: Vec::new(),
            open,
            closed: !open,
            buffer: vec![0; PACKET],
        }
    }

    fn wants_more(&self) -> bool {
        self.open && self.pending.is_empty()
    }

    /// Reads once; true when the detach keys are complete.
    fn read(&mut self) -> Result<bool> {
        // Not through the library: what its buffer held, poll(2) would not see.
        match rustix::io::read(io::stdin(), &mut self.buffer) {
            Ok(0) => {
                self.open = false;
                self.pending.extend_from_slice(self.detector.finish());
            }
            Ok(len) => return Ok(self.detector.feed(&self.buffer[..len], &mut self.pending)),
            Err(rustix::io::Errno::INTR | rustix::io::Errno::AGAIN) => {}
            // A terminal that has gone (EIO) gives no more input, which is no reason to let go of the output.
            Err(e) => {
                tracing::debug!("stdin cannot be read: {e}");
                self.open = false;
            }
        }
        Ok(false)
    }

    /// Gives the session what it takes.
    fn write(&mut self, session: &mut AttachSession) -> Result<()> {
        while !self.pending.is_empty() {
            match session.write_stdin(&self.pending) {
                Ok(0) => return Ok(()),
                Ok(taken) => drop(self.pending.drain(..taken)),
                // The container has closed its stdin or ended: what it still says comes by the other way.
                Err(e) => {
                    tracing::debug!("input is not taken any more: {e}");
                    self.pending.clear();
                    (self.open, self.closed) = (false, true);
                    return Ok(());
                }
            }
        }
        if !self.open && !self.closed {
            self.closed = true;
            if let Err(e) = session.close_stdin() {
                tracing::debug!("input cannot be closed: {e}");
            }
        }
        Ok(())
    }
}
