//! Starts a monitor with the pipes it expects, and reads what it says on them.
//!
//! The monitor's first process waits for a byte on the start pipe, forks, and leaves: then [`Launch::spawn`] returns. What
//! comes later is read from the sync pipe. A monitor outlives a [`Monitor`] that is dropped.

use std::ffi::OsString;
use std::io;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::path::{Path, PathBuf};
use std::process::ExitStatus;
use std::time::{Duration, Instant};

use dhow_sys::pipe::{self, Read};
use dhow_sys::process::{Spawn, Stdio};
use dhow_sys::socket::packet_pair;

use crate::args::MonitorArgs;
use crate::sync::{self, Message};

/// What a monitor is started with.
#[derive(Debug)]
#[must_use = "nothing is started before `spawn`"]
pub struct Launch<'a> {
    /// The path of `dhow-shim` (or of conmon, if no option that is only ours is used).
    pub program: &'a Path,
    /// Its command line.
    pub args: &'a MonitorArgs,
    /// Its whole environment (which the runtime and the exit command get too), without the pipes' variables.
    pub environment: &'a [(OsString, OsString)],
    /// Its working directory; ours if `None`.
    pub cwd: Option<&'a Path>,
    /// Further descriptors for it and the runtime, each with its number there (3 or more).
    pub extra_fds: Vec<(OwnedFd, i32)>,
    /// Its stdin, stdout and stderr, which are the container's if its output is passed through. Without: /dev/null, and
    /// what it says before it leaves goes into [`Error::Refused`].
    pub stdio: Option<[Stdio; 3]>,
}

/// A monitor that was started.
#[derive(Debug)]
pub struct Monitor {
    sync: OwnedFd,
    start: OwnedFd,
    attach: Option<OwnedFd>,
    pidfile: Option<PathBuf>,
}

/// Why there is no container, or no word of one.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The program could not be started.
    #[error("cannot start the monitor `{}`", program.display())]
    Spawn {
        /// Its path.
        program: PathBuf,
        /// Why.
        source: io::Error,
    },
    /// It left at once: an option it does not take, a log it cannot open.
    #[error("the monitor left with {status}: {message}")]
    Refused {
        /// How.
        status: ExitStatus,
        /// What it wrote to its stderr.
        message: String,
    },
    /// The runtime failed; these are its own words (or the monitor's, about it).
    #[error("{message}")]
    Runtime {
        /// The text.
        message: String,
    },
    /// The monitor ended without a word.
    #[error("the monitor died without saying why")]
    Died,
    /// Nothing came in time.
    #[error("no word from the monitor within {0:?}")]
    TimedOut(Duration),
    /// What came is no message.
    #[error("the monitor said `{line}`, which is no message")]
    Garbled {
        /// What came.
        line: String,
        /// Why it is none.
        source: serde_json::Error,
    },
    /// A pipe failed.
    #[error("cannot {action} the monitor")]
    Pipe {
        /// What was being done.
        action: &'static str,
        /// Why.
        source: io::Error,
    },
}

impl Launch<'_> {
    /// Starts the monitor; returns when it stands on its own, its pidfile written.
    ///
    /// # Errors
    /// [`Error::Spawn`], [`Error::Refused`], [`Error::Pipe`].
    pub fn spawn(self) -> Result<Monitor, Error> {
        let pipe = |action| move |source| Error::Pipe { action, source };
        let make = "make the pipes of";
        let (sync, its_sync) = packet_pair().map_err(pipe(make))?;
        let (start, its_start) = packet_pair().map_err(pipe(make))?;
        let attach = match &self.args.exec {
            Some(exec) if exec.attach => Some(packet_pair().map_err(pipe(make))?),
            _ => None,
        };
        let (words, its_stderr) = pipe::pipe().map_err(pipe(make))?;
        let [stdin, stdout, stderr] =
            self.stdio.unwrap_or_else(|| [Stdio::Null, Stdio::Null, Stdio::Fd(its_stderr)]);

        let first = self.extra_fds.iter().map(|(_, number)| number + 1).fold(3, i32::max);
        let mut spawn = Spawn::new(self.program)
            .args(self.args.to_argv())
            .envs(self.environment.iter().cloned())
            .env(sync::SYNC_PIPE, first.to_string())
            .env(sync::START_PIPE, (first + 1).to_string())
            .stdin(stdin)
            .stdout(stdout)
            .stderr(stderr);
        spawn.fds = self.extra_fds;
        spawn.fds.push((its_sync, first));
        spawn.fds.push((its_start, first + 1));
        let attach = attach.map(|(ours, its)| {
            spawn.env.push((sync::ATTACH_PIPE.into(), (first + 2).to_string().into()));
            spawn.fds.push((its, first + 2));
            ours
        });
        spawn.cwd = self.cwd.map(Path::to_path_buf);
        // Signals that a terminal sends to our group are not for it.
        spawn.new_process_group = true;

        let child = spawn
            .spawn()
            .map_err(|source| Error::Spawn { program: self.program.to_path_buf(), source })?;
        let mut monitor =
            Monitor { sync, start, attach, pidfile: self.args.monitor_pidfile.clone() };
        // A process that refused its options is gone already: its exit status tells more than EPIPE.
        let go = monitor.go();
        let status = child.wait().map_err(pipe("wait for"))?;
        if !status.success() {
            return Err(Error::Refused { status, message: said(&words) });
        }
        go?;
        Ok(monitor)
    }
}

impl Monitor {
    /// The pid of the container's (or exec session's) first process.
    ///
    /// # Errors
    /// [`Error::Runtime`] if there is none, [`Error::Died`], [`Error::TimedOut`], [`Error::Garbled`], [`Error::Pipe`].
    pub fn wait_pid(&mut self, timeout: Duration) -> Result<i32, Error> {
        let message = read(self.sync.as_fd(), Some(timeout))?;
        match message.value {
            pid if pid > 0 => Ok(pid),
            _ => Err(Error::Runtime {
                message: message
                    .message
                    .unwrap_or_else(|| "the runtime failed without saying why".to_owned()),
            }),
        }
    }

    /// Of an exec session with attach: waits until its attach socket and FIFOs are there.
    ///
    /// # Errors
    /// As [`Monitor::wait_pid`]; nothing is waited for in other sessions.
    pub fn wait_ready(&mut self, timeout: Duration) -> Result<(), Error> {
        match &self.attach {
            Some(attach) => read(attach.as_fd(), Some(timeout)).map(drop),
            None => Ok(()),
        }
    }

    /// Of an exec session with attach: lets the runtime start.
    ///
    /// # Errors
    /// [`Error::Pipe`]: the monitor is gone.
    pub fn go(&mut self) -> Result<(), Error> {
        pipe::write(&self.start, b"\0")
            .map(drop)
            .map_err(|source| Error::Pipe { action: "start", source })
    }

    /// Of an exec session: its exit code, after [`Monitor::wait_pid`].
    ///
    /// # Errors
    /// As there; [`Error::Runtime`] with `command timed out` if it was killed for that.
    pub fn wait_exit(&mut self, timeout: Option<Duration>) -> Result<i32, Error> {
        let message = read(self.sync.as_fd(), timeout)?;
        match message.message {
            Some(message) => Err(Error::Runtime { message }),
            None => Ok(message.value),
        }
    }

    /// The monitor's pid, if a pidfile was asked for.
    ///
    /// # Errors
    /// What reading the file says; `InvalidData` if no pid is in it.
    pub fn pid(&self) -> io::Result<Option<i32>> {
        let Some(pidfile) = &self.pidfile else { return Ok(None) };
        let text = dhow_sys::fs::read_bounded(pidfile, 64)?;
        let pid = std::str::from_utf8(&text).ok().and_then(|t| t.trim().parse().ok());
        pid.map(Some).ok_or_else(|| io::ErrorKind::InvalidData.into())
    }
}

/// The sync pipe: readable when the monitor has said something, or is gone.
impl AsFd for Monitor {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.sync.as_fd()
    }
}

fn read(from: BorrowedFd<'_>, timeout: Option<Duration>) -> Result<Message, Error> {
    let failed = |source| Error::Pipe { action: "hear", source };
    let deadline = timeout.map(|t| (t, Instant::now() + t));
    let mut line = Vec::new();
    // A packet socket gives a line at once; a stream may give it in pieces.
    while !line.ends_with(b"\n") && line.len() < sync::LINE {
        let left = deadline.map(|(_, at)| at.saturating_duration_since(Instant::now()));
        if dhow_sys::watch::wait_readable(&[from], left).map_err(failed)?.is_none() {
            return Err(Error::TimedOut(deadline.map(|(t, _)| t).unwrap_or_default()));
        }
        let mut buffer = [0; sync::LINE];
        match pipe::read(from, &mut buffer) {
            Ok(Read::Bytes(len)) => line.extend_from_slice(&buffer[..len]),
            Ok(Read::WouldBlock) => {}
            Ok(Read::End) => break,
            // The monitor ended with a word of ours unread.
            Err(e) if e.kind() == io::ErrorKind::ConnectionReset => break,
            Err(e) => return Err(failed(e)),
        }
    }
    if line.is_empty() {
        return Err(Error::Died);
    }
    Message::parse(&line).map_err(|source| Error::Garbled {
        line: String::from_utf8_lossy(&line).trim_end().to_owned(),
        source,
    })
}

/// What is in the pipe now.
fn said(words: &OwnedFd) -> String {
    let mut buffer = [0; 4096];
    // Whatever fails here, the exit status is the news.
    pipe::set_nonblocking(words).ok();
    match pipe::read(words, &mut buffer) {
        Ok(Read::Bytes(len)) => String::from_utf8_lossy(&buffer[..len]).trim_end().to_owned(),
        Ok(Read::WouldBlock | Read::End) | Err(_) => "it said nothing".to_owned(),
    }
}
