//! Driving an OCI runtime executable: found, its verbs run, its output understood.
//!
//! INVARIANTS: one verb is one process, started through [`dhow_sys::process`] with an explicit environment and bounded
//! output. `create` and `exec` are not here: they are the monitor's to run, with [`Runtime::global_args`]. What a runtime
//! prints is read in one place, [`RuntimeError::from_text`].

mod error;
mod filter;
mod find;

pub use error::RuntimeError;

use crate::{Cgroup, Host, Resources};
use dhow_sys::process::{OutputLimits, Spawn, Stdio, output};
use serde::Deserialize;
use std::ffi::OsString;
use std::fmt;
use std::path::{Path, PathBuf};
use std::time::Duration;

/// No verb takes long; one that hangs (a frozen cgroup, a dead disk) must not hang the engine for ever.
const TIMEOUT: Duration = Duration::from_secs(120);
/// `state` and error messages are small.
const MAX_OUTPUT: usize = 1 << 20;
/// For the programs that a runtime may start itself (hooks, criu).
const PATH: &str = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin";

/// An OCI runtime executable and where it keeps its state.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Runtime {
    path: PathBuf,
    kind: RuntimeKind,
    state_root: PathBuf,
    without_cgroups: bool,
}

/// Which runtime it is, by the name of its executable.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum RuntimeKind {
    /// runc.
    Runc,
    /// crun.
    Crun,
    /// youki.
    Youki,
    /// Another one, taken to speak runc's grammar.
    Other,
}

/// What a runtime knows of a container.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct State {
    /// In which state it is.
    pub status: RuntimeStatus,
    /// The container's first process; `None` once it has ended.
    pub pid: Option<i32>,
}

impl State {
    /// Made and waiting for `start`.
    pub fn is_created(&self) -> bool {
        self.status == RuntimeStatus::Created
    }

    /// Frozen.
    pub fn is_paused(&self) -> bool {
        self.status == RuntimeStatus::Paused
    }

    /// Started, not ended, and not frozen.
    pub fn is_running(&self) -> bool {
        self.status == RuntimeStatus::Running
    }
}

/// The states of the runtime spec, and paused.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum RuntimeStatus {
    /// Being made.
    Creating,
    /// Made, waiting for `start`.
    Created,
    /// Started.
    Running,
    /// Frozen.
    Paused,
    /// Its process has ended.
    Stopped,
}

/// What a runtime says of itself.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Version {
    /// The first line's name, `runc`.
    pub name: String,
    /// The first line's version, `1.1.5`.
    pub version: String,
    /// Everything it printed.
    pub text: String,
}

impl Runtime {
    /// The executable.
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// Which runtime it is.
    pub fn kind(&self) -> RuntimeKind {
        self.kind
    }

    /// The executable's name: what `info` and `inspect` show.
    pub fn name(&self) -> String {
        self.path.file_name().unwrap_or(self.path.as_os_str()).to_string_lossy().into_owned()
    }

    /// The arguments before the verb, for whoever runs `create` or `exec` (with conmon: one `--runtime-arg` each).
    pub fn global_args(&self) -> Vec<OsString> {
        let mut args = vec![OsString::from("--root"), self.state_root.clone().into_os_string()];
        if self.without_cgroups {
            args.push("--cgroup-manager=disabled".into());
        }
        args
    }

    /// The environment in which the runtime runs; nothing of it reaches the container.
    pub fn environment(&self) -> Vec<(OsString, OsString)> {
        vec![("PATH".into(), PATH.into())]
    }

    /// Starts the process of a created container.
    ///
    /// # Errors
    /// [`RuntimeError`], as for all verbs.
    pub fn start(&self, id: &str) -> Result<(), RuntimeError> {
        self.run("start", &[id]).map(drop)
    }

    /// Sends a signal to the container's first process, or to all of them.
    ///
    /// # Errors
    /// [`RuntimeError::NotRunning`] where there is nobody to signal.
    pub fn kill(&self, id: &str, signal: i32, all: bool) -> Result<(), RuntimeError> {
        let signal = signal.to_string();
        let args: &[&str] = if all { &["--all", id, &signal] } else { &[id, &signal] };
        self.run("kill", args).map(drop)
    }

    /// Removes what the runtime keeps of a container. `force` kills it first, and takes an unknown one for removed.
    ///
    /// # Errors
    /// [`RuntimeError`]
    pub fn delete(&self, id: &str, force: bool) -> Result<(), RuntimeError> {
        let args: &[&str] = if force { &["--force", id] } else { &[id] };
        match self.run("delete", args) {
            Err(RuntimeError::NoSuchContainer { .. }) if force => Ok(()),
            other => other.map(drop),
        }
    }

    /// Freezes the container.
    ///
    /// # Errors
    /// [`RuntimeError`]
    pub fn pause(&self, id: &str) -> Result<(), RuntimeError> {
        self.run("pause", &[id]).map(drop)
    }

    /// Thaws the container.
    ///
    /// # Errors
    /// [`RuntimeError`]
    pub fn resume(&self, id: &str) -> Result<(), RuntimeError> {
        self.run("resume", &[id]).map(drop)
    }

    /// What the runtime knows of the container.
    ///
    /// # Errors
    /// [`RuntimeError::NoSuchContainer`], [`RuntimeError::Other`] for what cannot be parsed.
    pub fn state(&self, id: &str) -> Result<State, RuntimeError> {
        #[derive(Deserialize)]
        struct Printed {
            status: RuntimeStatus,
            #[serde(default)]
            pid: i32,
        }
        let text = self.run("state", &[id])?;
        let printed: Printed = serde_json::from_slice(&text).map_err(|e| RuntimeError::Other {
            message: format!("{} state printed what is not a state: {e}", self.name()),
        })?;
        Ok(State { status: printed.status, pid: (printed.pid > 0).then_some(printed.pid) })
    }

    /// Changes the limits of a running container: those that are `None` stay.
    ///
    /// # Errors
    /// [`RuntimeError::Invalid`] for limits that cannot be, else what the runtime says.
    pub fn update(&self, id: &str, wanted: &Resources, host: &Host) -> Result<(), RuntimeError> {
        let wanted =
            Resources { pids_limit: Some(wanted.pids_limit.unwrap_or(0)), ..wanted.clone() };
        let spec = crate::spec::resources(&wanted, &Cgroup::default(), host)
            .map_err(RuntimeError::Invalid)?;
        let json = crate::to_json(&spec);
        let stdin = Stdio::bytes(&json).map_err(|source| self.failed("update", source))?;
        self.run_with("update", &["--resources", "/dev/stdin", id], stdin).map(drop)
    }

    /// What the runtime says of itself.
    ///
    /// # Errors
    /// [`RuntimeError`]
    pub fn version(&self) -> Result<Version, RuntimeError> {
        let text = self.run("--version", &[])?;
        let text = String::from_utf8_lossy(&text).into_owned();
        let (name, version) = parse_version(&text);
        Ok(Version {
            name: name.unwrap_or_else(|| self.name()),
            version: version.unwrap_or_default(),
            text,
        })
    }

    fn run(&self, verb: &str, args: &[&str]) -> Result<Vec<u8>, RuntimeError> {
        self.run_with(verb, args, Stdio::Null)
    }

    fn run_with(&self, verb: &str, args: &[&str], stdin: Stdio) -> Result<Vec<u8>, RuntimeError> {
        let spawn = Spawn::new(&self.path)
            .args(self.global_args())
            .arg(verb)
            .args(args.iter().copied())
            .envs(self.environment())
            .stdin(stdin);
        let limits =
            OutputLimits { stdout: MAX_OUTPUT, stderr: MAX_OUTPUT, timeout: Some(TIMEOUT) };
        tracing::debug!(runtime = %self.path.display(), verb, ?args, "running");
        let done = output(spawn, &limits).map_err(|source| self.failed(verb, source))?;
        if done.status.success() {
            return Ok(done.stdout);
        }
        let text = String::from_utf8_lossy(&done.stderr);
        if text.trim().is_empty() {
            let message =
                format!("{} {verb} ended with {} and said nothing", self.name(), done.status);
            return Err(RuntimeError::Other { message });
        }
        Err(RuntimeError::from_text(&text))
    }

    fn failed(&self, verb: &str, source: std::io::Error) -> RuntimeError {
        RuntimeError::Spawn { path: self.path.clone(), verb: verb.to_owned(), source }
    }
}

impl fmt::Display for RuntimeKind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            RuntimeKind::Runc => "runc",
            RuntimeKind::Crun => "crun",
            RuntimeKind::Youki => "youki",
            RuntimeKind::Other => "other",
        })
    }
}

/// `runc version 1.1.5+ds1`, `crun version 1.8.1`, `youki version: 0.7.0`
fn parse_version(text: &str) -> (Option<String>, Option<String>) {
    let mut words = text.lines().next().unwrap_or_default().split_whitespace();
    let name = words.next().map(str::to_owned);
    let version =
        words.find(|word| word.starts_with(|c: char| c.is_ascii_digit())).map(str::to_owned);
    (name, version)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn versions() {
        let parsed = |text| parse_version(text);
        assert_eq!(
            parsed("runc version 1.1.5+ds1\ncommit: x\n"),
            (Some("runc".into()), Some("1.1.5+ds1".into()))
        );
        assert_eq!(parsed("youki version: 0.7.0\n"), (Some("youki".into()), Some("0.7.0".into())));
        assert_eq!(parsed(""), (None, None));
    }

    #[test]
    fn a_runtime_that_fails_silently_or_cannot_be_started() {
        let with = |path: &str| Runtime {
            path: path.into(),
            kind: RuntimeKind::Other,
            state_root: "/nonexistent".into(),
            without_cgroups: false,
        };
        assert!(with("/bin/false").start("x").unwrap_err().to_string().contains("said nothing"));
        assert!(matches!(with("/nonexistent").start("x"), Err(RuntimeError::Spawn { .. })));
        assert!(with("/bin/true").state("x").unwrap_err().to_string().contains("not a state"));
        assert!(with("/bin/true").kill("x", 9, true).is_ok());
    }
}
