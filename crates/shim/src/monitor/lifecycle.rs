//! The steps between the states: the runtime is started, the container exists, it has ended, or it never was.

use std::os::fd::{AsFd as _, AsRawFd as _};
use std::time::Instant;

use dhow_shim::attach::Stream;
use dhow_sys::daemon::InheritedFds;
use dhow_sys::pidfd::{Process, ProcessId};
use mio::Interest;
use mio::unix::SourceFd;
use nix::sys::signal::{Signal, killpg};
use nix::unistd::Pid;

use super::console::Console;
use super::exit::{self, Outcome};
use super::oom::OomWatch;
use super::source::Source;
use super::{Container, Event, KILLED, Monitor, State, runtime, setup};
use crate::options::Mode;

impl Monitor {
    pub(super) fn start_runtime(&mut self) {
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
    pub(super) fn runtime_ended(&mut self, success: bool) {
        self.advance_console();
        self.with_scratch(|monitor, scratch| monitor.drain(1, scratch));
        let pid = match &self.options.mode {
            // An exec session's runtime may end as its process did; a pid file is what says that there was one.
            Mode::Exec { .. } => setup::read_pidfile(&self.options.container_pidfile),
            Mode::Create | Mode::Restore { .. } if success => {
                setup::read_pidfile(&self.options.container_pidfile)
            }
            Mode::Create | Mode::Restore { .. } => Err(String::new()),
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

    pub(super) fn container_exists(&mut self, pid: i32) {
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
        self.oom = match OomWatch::on(pid, self.poll.registry()) {
            Ok(watch) => Some(watch),
            Err(e) => {
                self.say.debug(&format!("out-of-memory kills are not watched for: {e}"));
                None
            }
        };
        self.say.debug(&format!("container PID: {pid}"));
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
    pub(super) fn time_is_over(&mut self) {
        let State::Running(container) = &mut self.state else { return };
        if container.timed_out {
            return self.finish(Outcome::unknown("it did not end when killed"));
        }
        container.timed_out = true;
        self.say.info("the container's time is over: it is killed");
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
    pub(super) fn finish(&mut self, outcome: Outcome) {
        let timed_out = matches!(&self.state, State::Running(container) if container.timed_out);
        let outcome = if timed_out { outcome.after_timeout() } else { outcome };
        if self.oom.take().is_some_and(|oom| oom.killed()) {
            self.note_oom();
        }
        self.with_scratch(|monitor, scratch| {
            for index in 0..monitor.outputs.len() {
                monitor.drain(index, scratch);
                monitor.outputs[index].close();
            }
        });
        self.logs.finish();
        self.tell_of_losses();
        if self.logs.lost() > 0 {
            // What has got lost since it was told.
            self.record_losses();
        }
        // Ports and locks that were handed down are free before anybody learns of the end.
        self.inherited = None;
        self.terminal = None;
        if let Some(notify) = self.notify.take() {
            // Its last words are there already.
            notify.forward(&self.say);
        }
        self.say.info(&outcome.to_string());
        for failure in exit::record(&self.options, &outcome, self.oom_seen) {
            self.say.error(&failure);
        }
        self.reporter.exit(outcome.conmon_code(), outcome.message.as_deref());
        self.clients.begin_farewell(self.poll.registry());
        self.link = None;
        self.state =
            if self.clients.let_go() { State::Over(outcome) } else { State::Farewell(outcome) };
    }

    pub(super) fn fail(&mut self, why: &str) {
        self.fail_with(why.as_bytes());
    }

    /// There is no container: the engine is told why, and that is all.
    pub(super) fn fail_with(&mut self, why: &[u8]) {
        self.say
            .error(&format!("there is no container: {}", String::from_utf8_lossy(why).trim_end()));
        self.reporter.failure(why);
        self.logs.finish();
        self.state = State::Over(Outcome { code: 1, signal: None, message: None });
    }
}
