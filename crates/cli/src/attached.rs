//! Being attached: the user's terminal or pipes on one side, the container's on the other.
//!
//! One loop over poll(2): output of the session, the user's input, signals. INVARIANT: neither side holds up the other
//! direction: output waits in memory while the user's side is slow (the monitor would let go of a client that does not
//! read), input is read only when the last of it has been taken.

mod input;
mod output;

use std::io;
use std::os::fd::AsFd;

use anyhow::{Context as _, Result, bail};
use dhow_engine::request::{DetachKeys, KillRequest, Signal, Streams, WaitRequest};
use dhow_engine::{AttachEvent, AttachSession, Engine, PACKET, Stream};
use dhow_sys::tty;
use rustix::event::{PollFd, PollFlags, Timespec, poll};

use crate::attached::input::Input;
use crate::attached::output::Output;
use crate::error::exit_code;
use crate::signals::{self, Event, Signals};
use crate::terminal::{self, Raw};

/// Bytes of a stream that wait in memory while the user's side is slow. What is left where it is, the log has.
const ROOM: usize = 4 << 20;
/// The same where nothing but the monitor's patience keeps it for us.
const ROOM_WITHOUT_LOG: usize = 256 << 20;
/// How many packets of output are taken before input and signals are looked at again.
const BURST: usize = 64;

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
    /// A signal that was not to be passed on, or nobody reads our output (SIGPIPE).
    Interrupted(i32),
}

/// Whom signals are for.
#[derive(Debug)]
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
        let request = KillRequest { container: container.to_owned(), signal };
        if let Err(e) = self.engine.kill(&request) {
            tracing::debug!(%signal, container, "signal not passed on: {e}");
        }
    }
}

/// A command in the foreground of a container: signals are caught from the beginning to the end.
#[derive(Debug)]
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
                    signals::die_of(signal).context("cannot end by a signal")?;
                }
            }
        }
        let request = WaitRequest { container: container.to_owned(), ..WaitRequest::default() };
        let code = attend(&peer, &mut self.signals, || Ok(self.engine.wait(&request)?))?;
        Ok(Some(exit_code(code, || self.reason(container))))
    }

    /// Why the exit code is not known.
    fn reason(&self, container: &str) -> String {
        match self.engine.inspect(container, false) {
            Ok(found) if !found.state.error.is_empty() => found.state.error,
            _ => "the container's monitor has died".into(),
        }
    }
}

/// Carries streams until the output ends or the user leaves.
pub(crate) fn pump(
    session: &mut AttachSession,
    manner: &Manner,
    peer: &Peer<'_>,
    signals: &mut Signals,
) -> Result<Ending> {
    let typed = tty::is_terminal(io::stdin());
    let raw = (session.terminal() && manner.streams.stdin && typed)
        .then(|| Raw::enter(io::stdin().as_fd()))
        .transpose()
        .context("cannot put the terminal into raw mode")?;
    // Keys are looked for in what is typed, not in a file that happens to hold their bytes.
    let keyed = session.terminal() || typed;
    let keys = if keyed { manner.detach_keys.clone() } else { DetachKeys::none() };
    let mut input = Input::new(manner.streams.stdin, &keys);
    let mut outputs = Outputs {
        streams: manner.streams,
        stdout: Output::default(),
        stderr: Output::default(),
        room: if session.has_log() { ROOM } else { ROOM_WITHOUT_LOG },
        ended: false,
        buffer: vec![0; PACKET],
    };
    let ending = loop {
        let ready = wait(session, &input, &outputs, signals)?;
        for event in signals.take() {
            match event {
                Event::Resized => resize(session),
                Event::PassOn(signal) => peer.signal(signal),
                Event::Fatal(signal) => return Ok(Ending::Interrupted(signal)),
            }
        }
        if ready.session {
            outputs.fill(session)?;
        }
        if ready.stdout
            && !outputs.stdout.write(io::stdout().as_fd()).context("cannot write to stdout")?
        {
            break Ending::Interrupted(signal_hook::consts::SIGPIPE);
        }
        if ready.stderr
            && !outputs.stderr.write(io::stderr().as_fd()).context("cannot write to stderr")?
        {
            outputs.streams.stderr = false;
            outputs.stderr = Output::default();
        }
        if outputs.ended {
            if outputs.stdout.is_empty() && outputs.stderr.is_empty() {
                break Ending::Ended;
            }
            continue;
        }
        if ready.stdin && input.read() {
            break Ending::Detached;
        }
        input.write(session);
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
            poll_again(&mut fds, false)?;
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

/// The container's output on its way to the user.
struct Outputs {
    streams: Streams,
    stdout: Output,
    stderr: Output,
    room: usize,
    ended: bool,
    buffer: Vec<u8>,
}

impl Outputs {
    /// Takes some of what the session has.
    fn fill(&mut self, session: &mut AttachSession) -> Result<()> {
        for _ in 0..BURST {
            match session.read(&mut self.buffer)? {
                AttachEvent::Output { stream: Stream::Stdout, len } if self.streams.stdout => {
                    self.stdout.push(&self.buffer[..len]);
                }
                AttachEvent::Output { stream: Stream::Stderr, len } if self.streams.stderr => {
                    self.stderr.push(&self.buffer[..len]);
                }
                AttachEvent::Output { .. } => {}
                AttachEvent::WouldBlock => return Ok(()),
                AttachEvent::End => {
                    self.ended = true;
                    return Ok(());
                }
                AttachEvent::Dropped => bail!(
                    "the output was not read fast enough and has been cut off; the container goes on. A container that keeps a whole log (--log-driver k8s-file without max-size) loses nothing"
                ),
            }
        }
        Ok(())
    }

    /// Whether there is room for more.
    fn has_room(&self) -> bool {
        self.stdout.has_room(self.room) && self.stderr.has_room(self.room)
    }
}

/// What can be done without waiting.
struct Ready {
    session: bool,
    stdin: bool,
    stdout: bool,
    stderr: bool,
}

fn wait(
    session: &AttachSession,
    input: &Input,
    outputs: &Outputs,
    signals: &Signals,
) -> Result<Ready> {
    let (stdin, stdout, stderr) = (io::stdin(), io::stdout(), io::stderr());
    let interest = |wanted: bool, flags| if wanted { flags } else { PollFlags::empty() };
    let live = !outputs.ended;
    let wanted = live && outputs.has_room();
    let at_once = wanted && session.has_more();
    // A descriptor that nothing is wanted of is left out: poll(2) reports a hang-up of any that is in.
    let candidates = [
        (signals.as_fd(), PollFlags::IN),
        (session.output(), interest(wanted && !at_once, PollFlags::IN)),
        (session.as_fd(), interest(live && input.is_pending(), PollFlags::OUT)),
        (stdin.as_fd(), interest(live && input.wants_more(), PollFlags::IN)),
        (stdout.as_fd(), interest(!outputs.stdout.is_empty(), PollFlags::OUT)),
        (stderr.as_fd(), interest(!outputs.stderr.is_empty(), PollFlags::OUT)),
    ];
    let mut places = [None; 6];
    let mut fds = Vec::with_capacity(candidates.len());
    for (place, (fd, flags)) in places.iter_mut().zip(candidates) {
        if !flags.is_empty() {
            *place = Some(fds.len());
            fds.push(PollFd::from_borrowed_fd(fd, flags));
        }
    }
    poll_again(&mut fds, at_once)?;
    let ready = |place: Option<usize>| place.is_some_and(|at| !fds[at].revents().is_empty());
    let [_, session, _, stdin, stdout, stderr] = places.map(ready);
    Ok(Ready { session: session || at_once, stdin, stdout, stderr })
}

/// Waits until one of them is ready, or only looks.
fn poll_again(fds: &mut [PollFd<'_>], at_once: bool) -> Result<()> {
    let timeout = at_once.then(Timespec::default);
    loop {
        match poll(fds, timeout.as_ref()) {
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
