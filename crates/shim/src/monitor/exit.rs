//! The end: records and files that tell it, and the exit command.

use std::ffi::OsString;
use std::io;
use std::os::unix::process::ExitStatusExt as _;
use std::path::{Path, PathBuf};
use std::process::ExitStatus;
use std::time::{Duration, SystemTime};

use dhow_shim::files;
use dhow_shim::records::{self, Exit, Losses, Started};
use dhow_sys::fs::{Durability, write_atomic};
use dhow_sys::lock::{FileLock, LockMode};
use dhow_sys::pidfd::ProcessId;
use dhow_sys::process::Spawn;

use crate::options::{self, Options};
use crate::start;

/// How the container ended.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Outcome {
    pub(super) code: i32,
    pub(super) signal: Option<i32>,
    pub(super) message: Option<String>,
}

/// What conmon's callers look for where `--timeout` has ended a container.
const TIMED_OUT: &str = "command timed out";

impl Outcome {
    /// The same, where it was `--timeout` that killed.
    pub(super) fn after_timeout(self) -> Self {
        Outcome { message: Some(TIMED_OUT.to_owned()), ..self }
    }

    /// The code for conmon's files and messages, in which a time-out has none.
    pub(super) fn conmon_code(&self) -> i32 {
        if self.message.as_deref() == Some(TIMED_OUT) { -1 } else { self.code }
    }

    /// Nobody can know the code.
    pub(super) fn unknown(message: &str) -> Self {
        Outcome { code: -1, signal: None, message: Some(message.to_owned()) }
    }

    /// What an exit status says.
    pub(super) fn of(status: ExitStatus) -> Self {
        match (status.code(), status.signal()) {
            (Some(code), _) => Outcome { code, signal: None, message: None },
            (None, Some(signal)) => {
                Outcome { code: 128 + signal, signal: Some(signal), message: None }
            }
            (None, None) => Outcome::unknown("neither exited nor killed"),
        }
    }
}

impl std::fmt::Display for Outcome {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "the container has ended with {}", self.code)?;
        self.message.iter().try_for_each(|message| write!(f, ": {message}"))
    }
}

pub(super) fn now() -> i64 {
    let since = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).unwrap_or_default();
    i64::try_from(since.as_nanos()).unwrap_or(i64::MAX)
}

/// Writes started.json, if records are kept.
pub(super) fn record_start(options: &Options, container: ProcessId) -> io::Result<()> {
    let Some(run_dir) = options.run_dir.as_ref().filter(|_| options.records) else { return Ok(()) };
    let monitor = ProcessId::current()?;
    let record = Started { version: records::VERSION, container, monitor, at: now() };
    write_atomic(
        &run_dir.join(files::STARTED),
        &serde_json::to_vec(&record)?,
        0o600,
        Durability::Volatile,
    )
}

/// Writes how many bytes the log did not take so far, if records are kept.
pub(super) fn record_losses(options: &Options, lost: u64) -> io::Result<()> {
    let Some(run_dir) = options.run_dir.as_ref().filter(|_| options.records) else { return Ok(()) };
    let record = Losses { version: records::VERSION, bytes: lost, at: now() };
    write_atomic(
        &run_dir.join(files::LOSSES),
        &serde_json::to_vec(&record)?,
        0o600,
        Durability::Volatile,
    )
}

/// Makes the marks of the out-of-memory killer.
pub(super) fn mark_oom(options: &Options) {
    for directory in [&options.run_dir, &options.exit.persist_dir].into_iter().flatten() {
        // The exit record says the same; a mark that cannot be made is not worth more.
        write_atomic(&directory.join(files::OOM), b"", 0o644, Durability::Volatile).ok();
    }
}

/// Writes the exit code wherever it was asked for; what failed. Each place is tried: the others do not depend on it.
///
/// ORDER: exit.json, which has everything, before the files of conmon, which engines wait for. CRASH: each is on the disk
/// before the next is there, and before anybody is told: what was seen once is not gone after a power cut.
pub(super) fn record(options: &Options, outcome: &Outcome, oom: bool) -> Vec<String> {
    let mut failed = Vec::new();
    let mut write = |path: PathBuf, bytes: &[u8], mode| {
        // The directory may be gone with the container: then nobody wants to know.
        if let Err(e) = write_atomic(&path, bytes, mode, Durability::Durable) {
            failed.push(format!("cannot write {}: {e}", path.display()));
        }
    };
    if let Some(run_dir) = options.run_dir.as_ref().filter(|_| options.records) {
        let record = Exit {
            version: records::VERSION,
            code: outcome.code,
            signal: outcome.signal,
            oom,
            at: now(),
            message: outcome.message.clone(),
        };
        // Numbers and text: this does not fail.
        let bytes = serde_json::to_vec(&record).unwrap_or_default();
        write(run_dir.join(files::EXIT), &bytes, 0o600);
    }
    let code = outcome.conmon_code().to_string();
    if let Some(directory) = &options.exit.persist_dir {
        write(directory.join("exit"), code.as_bytes(), 0o644);
    }
    if let Some(directory) = &options.exit.exit_dir {
        write(directory.join(&options.container), code.as_bytes(), 0o644);
    }
    failed
}

/// Runs the exit command, if there is one and it is still wanted, and waits for it.
pub(super) fn run_command(
    exit: &options::Exit,
    environment: &[(OsString, OsString)],
    oom_score: Option<&str>,
) {
    let Some((program, args)) = exit.command.as_ref().and_then(|command| command.split_first())
    else {
        return;
    };
    if exit.lock.as_ref().is_some_and(|lock| !wait_for_turn(lock)) {
        return;
    }
    wait(exit.delay);
    if let Some(score) = oom_score {
        start::set_oom_score(score).ok();
    }
    // Its result is its own affair: whoever cares looks at the container.
    if let Ok(child) =
        Spawn::new(program).args(args.iter().cloned()).envs(environment.iter().cloned()).spawn()
    {
        child.wait().ok();
    }
}

/// Waits until nobody holds the file's lock; `false` if the file is gone then: somebody has done what the command would.
fn wait_for_turn(lock: &Path) -> bool {
    // Released at once: the command takes its own locks.
    match FileLock::acquire_existing(lock, LockMode::Shared, None) {
        Ok(lock) => lock.is_some(),
        Err(e) => !e.is_not_found(),
    }
}

fn wait(delay: Duration) {
    if !delay.is_zero() {
        // Nothing becomes readable here: this is a sleep that signals do not end.
        dhow_sys::watch::wait_readable(&[], Some(delay)).ok();
    }
}
