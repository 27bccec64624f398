//! From the command line to a process that stands alone: pipes, log, the engine's word, the fork.
//!
//! ORDER: the log is opened before the engine is told anything, so a log that cannot be opened is a plain error on stderr.
//! The engine may move the first process into a cgroup before it says go: nothing is forked earlier.

use std::ffi::OsString;
use std::io;
use std::os::fd::OwnedFd;
use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::AtomicBool;

use dhow_shim::sync;
use dhow_sys::daemon::{self, Forked, InheritedFds};
use dhow_sys::fs::{Durability, write_atomic};
use dhow_sys::pipe::{self, Read};
use nix::sys::stat;

use crate::monitor::logs::Logs;
use crate::options::{Mode, Options, Refused};
use crate::say::Say;

/// Why there is no monitor.
#[derive(Debug, thiserror::Error)]
pub(crate) enum Error {
    /// The command line is not right.
    #[error(transparent)]
    Options(#[from] Refused),
    /// A variable does not name an open descriptor.
    #[error("{variable}={value} is no open descriptor")]
    Pipe {
        /// The variable.
        variable: &'static str,
        /// What it says.
        value: String,
    },
    /// A pipe that this mode needs is not there.
    #[error("{0} is not set")]
    NoPipe(&'static str),
    /// The log cannot be opened.
    #[error("Failed to open log file {}", path.display())]
    Log {
        /// Its path.
        path: PathBuf,
        /// Why.
        source: io::Error,
    },
    /// Something else failed.
    #[error("cannot {action}")]
    System {
        /// What was being done.
        action: &'static str,
        /// Why.
        source: io::Error,
    },
}

/// The error and its causes, on one line.
pub(crate) fn with_causes(error: &dyn std::error::Error) -> String {
    let mut text = error.to_string();
    let mut cause = error.source();
    while let Some(error) = cause {
        text.push_str(": ");
        text.push_str(&error.to_string());
        cause = error.source();
    }
    text
}

/// Which process this is now.
pub(crate) enum Side {
    /// The first: its work is done.
    Starter,
    /// The monitor.
    Monitor(Box<Setup>),
}

/// What the monitor begins with.
pub(crate) struct Setup {
    pub(crate) options: Options,
    pub(crate) logs: Logs,
    pub(crate) say: Say,
    pub(crate) sync: Option<OwnedFd>,
    /// The second word on it starts an exec session.
    pub(crate) start: Option<OwnedFd>,
    pub(crate) attach: Option<OwnedFd>,
    pub(crate) inherited: InheritedFds,
    /// What /proc/self/oom_score_adj said before it was changed; the runtime gets it back.
    pub(crate) oom_score: Option<String>,
    /// What the runtime and the exit command get.
    pub(crate) environment: Vec<(OsString, OsString)>,
}

/// Waits for the engine's word, then leaves a monitor behind (or is it, with `--sync`).
pub(crate) fn detach(options: Options, mut inherited: InheritedFds) -> Result<Side, Error> {
    let system = |action| move |source| Error::System { action, source };
    let say = Say::new(&options);
    let logs = Logs::open(&options.log).map_err(|(path, source)| Error::Log { path, source })?;
    warn_of_what_does_nothing(&options, &logs, &say);
    let ended = end_with_one_if_told().map_err(system("catch SIGTERM"))?;
    let oom_score = be_spared();
    let environment: Vec<_> = std::env::vars_os().collect();
    let mut take = |variable| descriptor(&environment, &mut inherited, variable);
    let sync = take(sync::SYNC_PIPE)?;
    let start = take(sync::START_PIPE)?;
    let attach = take(sync::ATTACH_PIPE)?;
    let held = matches!(options.mode, Mode::Exec { attach: true, .. });
    if held && attach.is_none() {
        return Err(Error::NoPipe(sync::ATTACH_PIPE));
    }
    if held && start.is_none() {
        return Err(Error::NoPipe(sync::START_PIPE));
    }
    if let Some(start) = &start {
        // Any word will do. The end too, as with conmon; but not for our own engine, which always gives its word: it
        // was killed, and nothing may start behind its back.
        let word =
            pipe::read(start, &mut [0; 8192]).map_err(system("wait for the word to start"))?;
        if word == Read::End && options.run_dir.is_some() {
            return Ok(Side::Starter);
        }
    }
    if !options.foreground {
        let (told, tell) = pipe::pipe().map_err(system("make a pipe"))?;
        if let Forked::Parent(monitor) = daemon::fork().map_err(system("fork"))? {
            if let Some(pidfile) = &options.monitor_pidfile {
                write_atomic(pidfile, monitor.to_string().as_bytes(), 0o644, Durability::Volatile)
                    .map_err(system("write the monitor's pidfile"))?;
            }
            pipe::write(&tell, b"go").map_err(system("let the monitor begin"))?;
            return Ok(Side::Starter);
        }
        drop(tell);
        // CRASH: were the first process killed here, the engine would take the start for failed, and a container that
        // came up all the same would be nobody's.
        if pipe::read(&told, &mut [0; 2]).map_err(system("wait for the first process"))?
            == Read::End
        {
            return Ok(Side::Starter);
        }
    }
    if !options.stdio.passthrough {
        // ORDER: before anything that takes long: engines wait for the end of the pipe that is our stderr.
        daemon::null_stdio().map_err(system("let go of stdin, stdout and stderr"))?;
    }
    signal_hook::low_level::unregister(ended);
    daemon::lead_session_and_adopt().map_err(system("become a subreaper"))?;
    let start = start.filter(|_| held);
    Ok(Side::Monitor(Box::new(Setup {
        options,
        logs,
        say,
        sync,
        start,
        attach,
        inherited,
        oom_score,
        environment,
    })))
}

/// Options that are right and have no effect.
fn warn_of_what_does_nothing(options: &Options, logs: &Logs, say: &Say) {
    if options.log.marks_partial_in_vain {
        say.warn("--no-container-partial-message has no effect without journald log driver");
    }
    for path in logs.never_rotated() {
        let path = path.display();
        say.warn(&format!("{path} is below no --log-allowlist-dir: it is not rotated, and grows"));
    }
}

/// SIGTERM ends the first process with the status of a failure, as engines expect, not as killed.
fn end_with_one_if_told() -> io::Result<signal_hook::SigId> {
    let always = Arc::new(AtomicBool::new(true));
    signal_hook::flag::register_conditional_shutdown(signal_hook::consts::SIGTERM, 1, always)
}

/// The descriptor that an environment variable names.
fn descriptor(
    environment: &[(OsString, OsString)],
    inherited: &mut InheritedFds,
    variable: &'static str,
) -> Result<Option<OwnedFd>, Error> {
    let Some((_, value)) = environment.iter().find(|(name, _)| name == variable) else {
        return Ok(None);
    };
    let number = value.to_str().and_then(|v| v.parse().ok());
    match number.and_then(|number| inherited.remove(number)) {
        Some(fd) => Ok(Some(fd)),
        None => Err(Error::Pipe { variable, value: value.to_string_lossy().into_owned() }),
    }
}

const OOM_SCORE: &str = "/proc/self/oom_score_adj";

/// Asks the out-of-memory killer to take others first; gives what the score was, if that was allowed.
fn be_spared() -> Option<String> {
    let before = std::fs::read_to_string(OOM_SCORE).ok()?;
    set_oom_score("-1000").ok()?;
    Some(before.trim().to_owned())
}

/// Writes our score. What is started next inherits it.
pub(crate) fn set_oom_score(score: &str) -> io::Result<()> {
    use std::io::Write as _;
    std::fs::OpenOptions::new().write(true).open(OOM_SCORE)?.write_all(score.as_bytes())
}

/// The mode files of ours get, whoever's umask we were started with.
pub(crate) fn set_umask() {
    stat::umask(stat::Mode::from_bits_truncate(0o022));
}
