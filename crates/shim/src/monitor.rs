//! The monitor: holds the container's stdio while the runtime creates it and it runs, then tells how it ended.
//!
//! INVARIANT: one thread, one loop, and nothing in it blocks. What may be ready is turned into reads and writes by `ready`
//! and `step`; what changes the state goes through `on`, the one match over state and event.

mod clients;
mod console;
mod control;
mod exit;
mod lifecycle;
pub(crate) mod logs;
mod notify;
mod oom;
mod output;
mod report;
mod runtime;
mod setup;
pub(crate) mod source;
mod stdin;

use std::ffi::OsString;
use std::io;
use std::os::fd::OwnedFd;
use std::process::ExitCode;
use std::time::{Duration, Instant};

use dhow_shim::attach::Stream;
use dhow_shim::ctl::Control;
use dhow_sys::daemon::{InheritedFds, reap};
use dhow_sys::memory::Pages;
use dhow_sys::pidfd::Process;
use dhow_sys::tty::WindowSize;
use mio::{Events, Interest, Poll};
use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;
use signal_hook_mio::v1_0::Signals;

use crate::options::Options;
use crate::say::Say;
use crate::start::Setup;
use clients::Clients;
use console::Console;
use control::Fifos;
use exit::Outcome;
use logs::Logs;
use notify::Notify;
use oom::OomWatch;
use output::Output;
use report::Reporter;
use source::Source;
use stdin::Stdin;

/// Bytes a read.
const CHUNK: usize = 64 * 1024;
/// What the runtime wrote to its stderr is kept to tell the engine why it failed. More than this goes to the log at once.
const HELD: usize = 16 * 1024;
/// When nothing happens for that time and more than these bytes were read before it, the buffers are given back.
const QUIET: Duration = Duration::from_secs(1);
const SOILED: usize = 8 * 1024;
/// The most that is read of a stream after the container has ended: more than a pipe holds comes from somebody who goes on.
const DRAIN: usize = 4 * 1024 * 1024;
/// How long a killed container may take to end before its end is reported without it.
const KILLED: Duration = Duration::from_secs(10);

/// How far it is.
#[derive(Debug)]
enum State {
    /// The runtime is not started yet. With a pipe: not before the engine says so on it (an exec session with attach).
    Holding(Option<OwnedFd>),
    /// The runtime is at work; its pid.
    Creating(i32),
    /// The container exists.
    Running(Container),
    /// It has ended and everybody who asks is told; clients still have output queued.
    Farewell(Outcome),
    /// Nothing is left to wait for.
    Over(Outcome),
}

/// The container's first process.
#[derive(Debug)]
struct Container {
    pid: Pid,
    /// `None`: it had ended when we looked.
    process: Option<Process>,
    /// When it is to be killed; then, when it is given up.
    deadline: Option<Instant>,
    timed_out: bool,
}

/// What may change the state.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Event {
    /// The engine said something on the start pipe, or left.
    Word,
    /// A signal that is the container's.
    Forward(Signal),
    /// A child has ended.
    Child,
    /// The container's pidfd says that it has ended.
    Ended,
    /// Some deadline may be over.
    Deadline,
}

struct Monitor {
    options: Options,
    environment: Vec<(OsString, OsString)>,
    oom_score: Option<String>,
    inherited: Option<InheritedFds>,
    poll: Poll,
    signals: Signals,
    reporter: Reporter,
    logs: Logs,
    say: Say,
    clients: Clients,
    stdin: Stdin,
    outputs: [Output; 2],
    /// What the runtime said on its stderr.
    held: Vec<u8>,
    console: Option<Console>,
    terminal: Option<OwnedFd>,
    /// The size that the terminal is to have when it comes.
    size: Option<WindowSize>,
    fifos: Option<Fifos>,
    notify: Option<Notify>,
    link: Option<setup::Link>,
    /// The runtime's ends of the pipes, until it is started.
    ends: runtime::Ends,
    oom: Option<OomWatch>,
    oom_seen: bool,
    state: State,
    /// Taken while it is used.
    scratch: Option<Pages>,
    /// Bytes that were read since the buffers were last given back.
    moved: usize,
}

/// Is the monitor until the end, and runs the exit command.
pub(crate) fn run(setup: Setup) -> ExitCode {
    let foreground = setup.options.foreground;
    let (outcome, rest) = match setup::monitor(setup) {
        Ok(monitor) => monitor.run(),
        Err(failed) => *failed,
    };
    // ORDER: everything else is closed by now. Orphans from here on are not ours: we would have to wait for them.
    dhow_sys::daemon::adopt_orphans(false).ok();
    exit::run_command(&rest.exit, &rest.environment, rest.oom_score.as_deref());
    let code = if foreground { outcome.conmon_code() } else { outcome.conmon_code().clamp(0, 255) };
    ExitCode::from(code.to_le_bytes()[0])
}

/// What is needed when everything else is closed.
struct Rest {
    exit: crate::options::Exit,
    environment: Vec<(OsString, OsString)>,
    oom_score: Option<String>,
}

impl Monitor {
    fn run(mut self) -> (Outcome, Rest) {
        if matches!(self.state, State::Holding(None)) {
            self.start_runtime();
        }
        // What the options and the set-up have left behind.
        dhow_sys::memory::trim();
        let mut events = Events::with_capacity(64);
        let outcome = loop {
            if let State::Over(outcome) = &self.state {
                break outcome.clone();
            }
            match self.poll.poll(&mut events, self.timeout()) {
                Err(e) if e.kind() == io::ErrorKind::Interrupted => continue,
                Err(e) => self.fail(&format!("the monitor cannot wait: {e}")),
                Ok(()) if events.is_empty() => self.rest(),
                Ok(()) => {}
            }
            for event in &events {
                self.ready(Source::of(event.token()), event);
            }
            self.step();
            self.on(Event::Deadline);
        };
        let rest = Rest {
            exit: self.options.exit,
            environment: self.environment,
            oom_score: self.oom_score,
        };
        (outcome, rest)
    }

    /// Nothing has happened for a while: an idle monitor holds as little memory as it can.
    fn rest(&mut self) {
        if self.moved > SOILED {
            self.moved = 0;
            self.scratch.iter_mut().for_each(Pages::discard);
            self.logs.rest();
        }
    }

    /// How long there is nothing to do unless something becomes ready.
    fn timeout(&self) -> Option<Duration> {
        let readable = self.outputs.iter().any(|output| output.readable) && !self.must_wait();
        if readable || self.clients.has_work(&self.stdin) {
            return Some(Duration::ZERO);
        }
        let container = match &self.state {
            State::Running(container) => container.deadline,
            _ => None,
        };
        let deadline = self.clients.deadline().into_iter().chain(container).min();
        // Rounded up: the loop does not spin in the last millisecond.
        let until = |at: Instant| at.saturating_duration_since(Instant::now());
        let deadline = deadline.map(|at| until(at) + Duration::from_millis(1));
        // Once after a burst, not while idle.
        let rest = (self.moved > SOILED).then_some(QUIET);
        deadline.into_iter().chain(rest).min()
    }

    /// Something became ready.
    fn ready(&mut self, source: Source, event: &mio::event::Event) {
        let readable = event.is_readable() || event.is_read_closed() || event.is_error();
        match source {
            Source::Signals => self.signals_caught(),
            Source::Start => self.on(Event::Word),
            Source::Container => self.on(Event::Ended),
            Source::Console | Source::ConsoleStream => self.advance_console(),
            Source::Stdout => {
                self.outputs[0].readable |= readable;
                // A terminal is written to as well.
                self.stdin.writable |= event.is_writable();
            }
            Source::Stderr => self.outputs[1].readable |= readable,
            Source::Stdin => self.stdin.writable = true,
            Source::Attach => self.clients.accept(self.poll.registry()),
            Source::Client(number) => self.clients.ready(number, event, self.poll.registry()),
            Source::Control | Source::WindowSize => {
                let messages = self.fifos.as_mut().map(|fifos| fifos.read(source));
                messages.into_iter().flatten().for_each(|message| self.control(message));
            }
            Source::Notify => {
                if let Some(notify) = &self.notify {
                    notify.forward(&self.say);
                }
            }
            Source::Journal => self.logs.ready(self.poll.registry()),
            Source::Oom => {
                if self.oom.as_ref().is_some_and(OomWatch::heard) {
                    self.note_oom();
                }
            }
        }
    }

    fn signals_caught(&mut self) {
        let caught: Vec<i32> = self.signals.pending().collect();
        for signal in caught {
            match Signal::try_from(signal) {
                Ok(Signal::SIGCHLD) => self.on(Event::Child),
                Ok(signal @ (Signal::SIGTERM | Signal::SIGINT | Signal::SIGQUIT)) => {
                    self.on(Event::Forward(signal));
                }
                // Caught so that they do nothing: a monitor outlives the session it was started in.
                Ok(_) | Err(_) => {}
            }
        }
    }

    /// Moves a chunk of each output and some input.
    fn step(&mut self) {
        self.with_scratch(|monitor, scratch| {
            for index in 0..monitor.outputs.len() {
                if monitor.outputs[index].readable && !monitor.must_wait() {
                    monitor.move_chunk(index, scratch);
                }
            }
            monitor.clients.pump_input(&mut monitor.stdin, scratch);
        });
    }

    /// Output is not read now: somebody who is to have it takes no more.
    fn must_wait(&self) -> bool {
        self.clients.are_clogged() || self.logs.are_clogged()
    }

    fn with_scratch(&mut self, work: impl FnOnce(&mut Self, &mut [u8])) {
        if let Some(mut scratch) = self.scratch.take() {
            work(self, &mut scratch);
            self.scratch = Some(scratch);
        }
    }

    /// Reads a chunk of output and hands it on; how much that was.
    fn move_chunk(&mut self, index: usize, scratch: &mut [u8]) -> usize {
        let stream = self.outputs[index].stream;
        let holds = stream == Stream::Stderr && matches!(self.state, State::Creating(_));
        if !holds && self.logs.are_none() {
            let thrown = self.throw_away(index);
            if thrown > 0 {
                return thrown;
            }
        }
        let Some(chunk) = self.outputs[index].read(scratch) else { return 0 };
        let length = chunk.len();
        self.moved = self.moved.saturating_add(length);
        if holds {
            self.held.extend_from_slice(chunk);
            let excess = self.held.len().saturating_sub(HELD);
            let old: Vec<u8> = self.held.drain(..excess).collect();
            self.deliver(stream, &old);
        } else {
            self.deliver(stream, chunk);
        }
        length
    }

    /// Output that nobody has to see is not even read; how much that was.
    fn throw_away(&mut self, index: usize) -> usize {
        // ORDER: how much is there, then who is there: a client that connects later has no claim to these bytes.
        let there = self.outputs[index].available();
        if there == 0 {
            return 0;
        }
        self.clients.accept(self.poll.registry());
        if self.clients.are_none() { self.outputs[index].throw_away(there) } else { 0 }
    }

    /// Moves what is there of an output whose writer has ended.
    fn drain(&mut self, index: usize, scratch: &mut [u8]) {
        let mut drained = 0;
        while drained < DRAIN {
            match self.move_chunk(index, scratch) {
                0 => break,
                length => drained += length,
            }
        }
    }

    /// ORDER: the log first, whoever is attached. Clients are accepted after the chunk was read: who connected before it was
    /// written gets it, even if we have not been told of that connection yet.
    fn deliver(&mut self, stream: Stream, chunk: &[u8]) {
        if !chunk.is_empty() {
            let place = self.logs.place().filter(|_| self.options.catch_up);
            self.logs.write(stream, chunk);
            self.logs.watch(self.poll.registry());
            self.tell_of_losses();
            self.clients.accept(self.poll.registry());
            self.clients.broadcast(stream, chunk, place, self.poll.registry());
        }
    }

    /// Nothing is lost in silence.
    fn tell_of_losses(&mut self) {
        while let Some(news) = self.logs.news() {
            self.say.warn(&news);
            self.record_losses();
        }
    }

    fn record_losses(&self) {
        if let Err(e) = exit::record_losses(&self.options, self.logs.lost()) {
            self.say.error(&format!("cannot record what was lost: {e}"));
        }
    }

    fn control(&mut self, message: Control) {
        match message {
            Control::ReopenLog => self.logs.reopen(),
            Control::Resize { rows, columns } => {
                self.size = Some(WindowSize { rows, columns });
                self.apply_size();
            }
        }
    }

    fn apply_size(&mut self) {
        if let (Some(terminal), Some(size)) = (&self.terminal, self.size) {
            dhow_sys::tty::set_window_size(terminal, size).ok();
        }
    }

    fn advance_console(&mut self) {
        let Some(console) = &mut self.console else { return };
        match console.advance(self.poll.registry()) {
            Ok(None) => {}
            Ok(Some(master)) => {
                self.console = None;
                if self.use_terminal(master).is_err() {
                    self.terminal = None;
                }
            }
            // What was sent was no terminal. When the runtime is done, that is an error.
            Err(_) => self.console = None,
        }
    }

    fn use_terminal(&mut self, master: OwnedFd) -> io::Result<()> {
        self.terminal = Some(master.try_clone()?);
        self.stdin.terminal(master.try_clone()?);
        self.outputs[0].listen(
            master,
            Interest::READABLE | Interest::WRITABLE,
            self.poll.registry(),
        )?;
        self.apply_size();
        Ok(())
    }

    fn note_oom(&mut self) {
        if !std::mem::replace(&mut self.oom_seen, true) {
            self.say.info("OOM received");
            exit::mark_oom(&self.options);
        }
    }

    /// State × event.
    fn on(&mut self, event: Event) {
        match (&mut self.state, event) {
            (State::Holding(_), Event::Word) => self.start_runtime(),
            (State::Holding(_), Event::Forward(signal)) => {
                self.fail(&format!("the monitor was told to end by {signal}"));
            }
            (State::Holding(_), Event::Child | Event::Ended | Event::Deadline) => {}

            (State::Creating(runtime), Event::Forward(signal)) => {
                // Our child, not waited for yet: the pid is its own.
                kill(Pid::from_raw(*runtime), signal).ok();
            }
            // ORDER: only the runtime is waited for. The container's process may have ended already: as long as it is not
            // waited for, its pid and start time are still its own.
            (State::Creating(runtime), Event::Child) => {
                if let Ok(Some((_, status))) = reap(Some(*runtime)) {
                    self.runtime_ended(status.success());
                }
            }
            (State::Creating(_), Event::Word | Event::Ended | Event::Deadline) => {}

            (State::Running(container), Event::Forward(signal)) => {
                if let Some(process) = &container.process {
                    process.signal(signal as i32).ok();
                }
            }
            (State::Running(container), Event::Child) => {
                if let Some(outcome) = reap_all(container.pid) {
                    self.finish(outcome);
                }
            }
            (State::Running(container), Event::Ended) => {
                // A child's status is there when its pidfd says so. No status: it was not our child.
                let unknown = || Outcome::unknown("the container was no child of its monitor");
                let outcome = reap_all(container.pid).unwrap_or_else(unknown);
                self.finish(outcome);
            }
            (State::Running(container), Event::Deadline) => {
                if container.deadline.is_some_and(|at| at <= Instant::now()) {
                    self.time_is_over();
                }
                self.clients.drop_the_slow(self.poll.registry());
            }
            (State::Running(_), Event::Word) => {}

            (State::Farewell(outcome), Event::Deadline) => {
                let outcome = outcome.clone();
                self.clients.drop_the_slow(self.poll.registry());
                if self.clients.let_go() {
                    self.state = State::Over(outcome);
                }
            }
            (State::Farewell(_) | State::Over(_), Event::Child) => drop(reap_all(Pid::from_raw(0))),
            (
                State::Farewell(_) | State::Over(_),
                Event::Word | Event::Forward(_) | Event::Ended,
            ) => {}
            (State::Over(_), Event::Deadline) => {}
        }
    }
}

/// Collects every child that has ended; how the one of that pid did.
fn reap_all(container: Pid) -> Option<Outcome> {
    let mut found = None;
    while let Ok(Some((pid, status))) = reap(None) {
        if pid == container.as_raw() {
            found = Some(Outcome::of(status));
        }
    }
    found
}
