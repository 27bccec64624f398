//! The monitor: holds the container's stdio while the runtime creates it and it runs, then tells how it ended.
//!
//! INVARIANT: one thread, one loop, and nothing in it blocks. What may be ready is turned into reads and writes by `ready`
//! and `step`; what changes the state goes through `on`, the one match over state and event.

mod clients;
mod console;
mod control;
mod exit;
pub(crate) mod logs;
mod oom;
mod output;
mod report;
mod runtime;
mod setup;
mod source;
mod stdin;

use std::ffi::OsString;
use std::io;
use std::os::fd::{AsFd, AsRawFd, OwnedFd};
use std::process::ExitCode;
use std::time::{Duration, Instant};

use dhow_shim::attach::Stream;
use dhow_shim::ctl::Control;
use dhow_sys::daemon::{InheritedFds, reap};
use dhow_sys::pidfd::{Process, ProcessId};
use dhow_sys::tty::WindowSize;
use mio::unix::SourceFd;
use mio::{Events, Interest, Poll};
use nix::sys::signal::{Signal, kill, killpg};
use nix::unistd::Pid;
use signal_hook_mio::v1_0::Signals;

use crate::options::{Mode, Options};
use crate::start::Setup;
use clients::Clients;
use console::Console;
use control::Fifos;
use exit::Outcome;
use logs::Logs;
use oom::OomWatch;
use output::Output;
use report::Reporter;
use source::Source;
use stdin::Stdin;

/// Bytes a read.
const CHUNK: usize = 64 * 1024;
/// What the runtime wrote to its stderr is kept to tell the engine why it failed. More than this goes to the log at once.
const HELD: usize = 16 * 1024;
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
    link: Option<setup::Link>,
    /// The runtime's ends of the pipes, until it is started.
    ends: runtime::Ends,
    oom: Option<OomWatch>,
    oom_seen: bool,
    state: State,
    scratch: Vec<u8>,
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
    let code = if foreground { outcome.code } else { outcome.code.clamp(0, 255) };
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
        let mut events = Events::with_capacity(64);
        let outcome = loop {
            if let State::Over(outcome) = &self.state {
                break outcome.clone();
            }
            match self.poll.poll(&mut events, self.timeout()) {
                Err(e) if e.kind() == io::ErrorKind::Interrupted => continue,
                Err(e) => self.fail(&format!("the monitor cannot wait: {e}")),
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

    /// How long there is nothing to do unless something becomes ready.
    fn timeout(&self) -> Option<Duration> {
        let readable =
            self.outputs.iter().any(|output| output.readable) && !self.clients.are_clogged();
        if readable || self.clients.has_work(&self.stdin) {
            return Some(Duration::ZERO);
        }
        let container = match &self.state {
            State::Running(container) => container.deadline,
            _ => None,
        };
        let deadline = self.clients.deadline().into_iter().chain(container).min()?;
        // Rounded up: the loop does not spin in the last millisecond.
        Some(deadline.saturating_duration_since(Instant::now()) + Duration::from_millis(1))
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
        let mut scratch = std::mem::take(&mut self.scratch);
        for index in 0..self.outputs.len() {
            if self.outputs[index].readable && !self.clients.are_clogged() {
                self.move_chunk(index, &mut scratch);
            }
        }
        self.clients.pump_input(&mut self.stdin, &mut scratch);
        self.scratch = scratch;
    }

    /// Reads a chunk of output and hands it on; how much that was.
    fn move_chunk(&mut self, index: usize, scratch: &mut [u8]) -> usize {
        let stream = self.outputs[index].stream;
        let Some(chunk) = self.outputs[index].read(scratch) else { return 0 };
        let length = chunk.len();
        if stream == Stream::Stderr && matches!(self.state, State::Creating(_)) {
            self.held.extend_from_slice(chunk);
            let excess = self.held.len().saturating_sub(HELD);
            let old: Vec<u8> = self.held.drain(..excess).collect();
            self.deliver(stream, &old);
        } else {
            self.deliver(stream, chunk);
        }
        length
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
            self.logs.write(stream, chunk);
            self.clients.accept(self.poll.registry());
            self.clients.broadcast(stream, chunk, self.poll.registry());
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

    fn start_runtime(&mut self) {
        let ends = std::mem::take(&mut self.ends);
        let console = self.console.as_ref().and_then(Console::path);
        // A pid of an earlier life must not be taken for the new one.
        std::fs::remove_file(&self.options.container_pidfile).ok();
        let nobody = InheritedFds::default();
        let inherited = self.inherited.as_ref().unwrap_or(&nobody);
        let score = self.oom_score.as_deref();
        let passthrough = ends.ours;
        match runtime::spawn(
            &self.options,
            console.as_deref(),
            ends,
            inherited,
            &self.environment,
            score,
        ) {
            Ok(pid) => self.state = State::Creating(pid),
            Err(e) => self.fail(&crate::start::with_causes(&e)),
        }
        if passthrough {
            dhow_sys::daemon::null_stdio().ok();
        }
    }

    /// The runtime has ended: there is a container now, or the engine is told why not.
    fn runtime_ended(&mut self, success: bool) {
        self.advance_console();
        let mut scratch = std::mem::take(&mut self.scratch);
        self.drain(1, &mut scratch);
        self.scratch = scratch;
        let pid = match &self.options.mode {
            // An exec session's runtime may end as its process did; a pid file is what says that there was one.
            Mode::Exec { .. } => setup::read_pidfile(&self.options.container_pidfile),
            Mode::Create if success => setup::read_pidfile(&self.options.container_pidfile),
            Mode::Create => Err(String::new()),
        };
        match pid {
            Err(_) if !self.held.is_empty() => {
                let words = std::mem::take(&mut self.held);
                self.fail_with(&words);
            }
            Err(why) => self.fail(&why),
            Ok(_) if self.options.stdio.terminal && self.terminal.is_none() => {
                self.fail("Runtime did not set up terminal");
            }
            Ok(pid) => self.container_exists(pid),
        }
    }

    fn container_exists(&mut self, pid: i32) {
        let id = ProcessId::of(pid);
        let process = id.as_ref().ok().and_then(|id| Process::open(*id).ok().flatten());
        // ORDER: the record before the message: who reads the message may look for the record.
        if let Ok(id) = id
            && let Err(e) = exit::record_start(&self.options, id)
        {
            // Without it, nobody would know this container after the engine's death.
            if let Some(process) = &process {
                process.signal(Signal::SIGKILL as i32).ok();
            }
            return self.fail(&format!("cannot write {}: {e}", dhow_shim::files::STARTED));
        }
        if let Some(process) = &process {
            let fd = process.as_fd().as_raw_fd();
            // Without it there is still SIGCHLD.
            self.poll
                .registry()
                .register(&mut SourceFd(&fd), Source::Container.token(), Interest::READABLE)
                .ok();
        }
        self.oom = OomWatch::on(pid, self.poll.registry()).ok();
        self.reporter.pid(pid);
        let deadline = self.options.timeout.map(|timeout| Instant::now() + timeout);
        self.state = State::Running(Container {
            pid: Pid::from_raw(pid),
            process,
            deadline,
            timed_out: false,
        });
        let held = std::mem::take(&mut self.held);
        self.deliver(Stream::Stderr, &held);
        // It may have ended long ago.
        self.on(Event::Child);
        if let State::Running(Container { process: None, .. }) = self.state {
            self.on(Event::Ended);
        }
    }

    /// `--timeout`: kills the container; if that does not end it, gives it up.
    fn time_is_over(&mut self) {
        let State::Running(container) = &mut self.state else { return };
        if container.timed_out {
            return self.finish(Outcome::unknown("command timed out, and did not end when killed"));
        }
        container.timed_out = true;
        container.deadline = Some(Instant::now() + KILLED);
        let group = nix::unistd::getpgid(Some(container.pid)).ok();
        match group.filter(|group| group.as_raw() > 1 && *group != nix::unistd::getpgrp()) {
            Some(group) => drop(killpg(group, Signal::SIGKILL)),
            None => {
                if let Some(process) = &container.process {
                    process.signal(Signal::SIGKILL as i32).ok();
                }
            }
        }
    }

    /// The container has ended. ORDER: drain, log, records, then whoever waits is told, then clients are let go.
    fn finish(&mut self, outcome: Outcome) {
        let timed_out = matches!(&self.state, State::Running(container) if container.timed_out);
        let outcome = if timed_out { Outcome::unknown("command timed out") } else { outcome };
        if self.oom.take().is_some_and(|oom| oom.killed()) {
            self.note_oom();
        }
        let mut scratch = std::mem::take(&mut self.scratch);
        for index in 0..self.outputs.len() {
            self.drain(index, &mut scratch);
            self.outputs[index].close();
        }
        self.scratch = scratch;
        self.logs.finish();
        // Ports and locks that were handed down are free before anybody learns of the end.
        self.inherited = None;
        self.terminal = None;
        exit::record(&self.options, &outcome, self.oom_seen);
        self.reporter.exit(outcome.code, outcome.message.as_deref());
        self.clients.begin_farewell();
        self.link = None;
        self.state =
            if self.clients.let_go() { State::Over(outcome) } else { State::Farewell(outcome) };
    }

    fn fail(&mut self, why: &str) {
        self.fail_with(why.as_bytes());
    }

    /// There is no container: the engine is told why, and that is all.
    fn fail_with(&mut self, why: &[u8]) {
        self.reporter.failure(why);
        self.logs.finish();
        self.state = State::Over(Outcome { code: 1, signal: None, message: None });
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
