//! The one way to start a program.
//!
//! INVARIANT: the new program gets exactly the descriptors, the environment and the working directory that are listed,
//! no blocked or ignored signal, and nothing else of ours: descriptors opened by other threads meanwhile do not leak.
//! INVARIANT: no page of ours is copied: the child borrows our memory until it has called execve (vfork(2)), so a start
//! costs the same whatever this process has mapped, and locks held here stay ours alone.
//! Programs are paths: nothing is searched in `$PATH` here.

use std::ffi::OsString;
use std::io;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::os::unix::process::ExitStatusExt;
use std::path::{Path, PathBuf};
use std::process::ExitStatus;
use std::time::Duration;

use rustix::process::{WaitId, WaitIdOptions};

mod child;
mod output;

pub use output::{Output, OutputLimits, output};

/// Where one of the standard streams of the new program goes.
#[derive(Debug, Default)]
pub enum Stdio {
    /// `/dev/null`.
    #[default]
    Null,
    /// Ours.
    Inherit,
    /// This descriptor; our copy is closed when the program has started.
    Fd(OwnedFd),
}

impl Stdio {
    /// A standard input that holds these bytes, for a program that reads its configuration from it; never blocks either side.
    ///
    /// # Errors
    /// What memfd_create(2) or write(2) says.
    pub fn bytes(bytes: &[u8]) -> io::Result<Stdio> {
        use std::io::{Seek, Write};
        let fd = rustix::fs::memfd_create("stdin", rustix::fs::MemfdFlags::CLOEXEC)?;
        let mut file = std::fs::File::from(fd);
        file.write_all(bytes)?;
        file.rewind()?;
        Ok(Stdio::Fd(file.into()))
    }
}

/// A program to start. Everything the child gets is in here.
#[derive(Debug)]
#[must_use = "nothing is started before `spawn`"]
pub struct Spawn {
    /// The executable: absolute, or relative to [`Spawn::cwd`].
    pub program: PathBuf,
    /// `argv[0]`, if it is to differ from the program's path.
    pub arg0: Option<OsString>,
    /// The arguments after `argv[0]`.
    pub args: Vec<OsString>,
    /// The whole environment; empty unless filled.
    pub env: Vec<(OsString, OsString)>,
    /// The working directory; ours if `None`.
    pub cwd: Option<PathBuf>,
    /// Standard input.
    pub stdin: Stdio,
    /// Standard output.
    pub stdout: Stdio,
    /// Standard error.
    pub stderr: Stdio,
    /// Further descriptors, each with its number in the child, from 3 on.
    pub fds: Vec<(OwnedFd, i32)>,
    /// setpgid(0, 0): terminal signals to our group do not reach it.
    pub new_process_group: bool,
    /// setsid(2): a session of its own, without a controlling terminal.
    pub setsid: bool,
    /// prctl(PR_SET_PDEATHSIG): sent to the child when the *thread* that started it ends.
    pub death_signal: Option<i32>,
    /// Written to `/proc/self/oom_score_adj` by the child; where the kernel refuses (lowering it takes
    /// CAP_SYS_RESOURCE), it is not changed.
    pub oom_score_adj: Option<i32>,
    /// An environment variable whose value is the child's own pid (`LISTEN_PID`); it takes the place of one in [`Spawn::env`].
    pub pid_variable: Option<OsString>,
}

impl Spawn {
    /// A program with no argument, no environment and `/dev/null` for its streams.
    pub fn new(program: impl Into<PathBuf>) -> Self {
        Spawn {
            program: program.into(),
            arg0: None,
            args: Vec::new(),
            env: Vec::new(),
            cwd: None,
            stdin: Stdio::Null,
            stdout: Stdio::Null,
            stderr: Stdio::Null,
            fds: Vec::new(),
            new_process_group: false,
            setsid: false,
            death_signal: None,
            oom_score_adj: None,
            pid_variable: None,
        }
    }

    /// Adds an argument.
    pub fn arg(mut self, arg: impl Into<OsString>) -> Self {
        self.args.push(arg.into());
        self
    }

    /// Adds arguments.
    pub fn args<A: Into<OsString>>(mut self, args: impl IntoIterator<Item = A>) -> Self {
        self.args.extend(args.into_iter().map(Into::into));
        self
    }

    /// Adds an environment variable.
    pub fn env(mut self, name: impl Into<OsString>, value: impl Into<OsString>) -> Self {
        self.env.push((name.into(), value.into()));
        self
    }

    /// Adds environment variables.
    pub fn envs(mut self, variables: impl IntoIterator<Item = (OsString, OsString)>) -> Self {
        self.env.extend(variables);
        self
    }

    /// Sets the working directory.
    pub fn cwd(mut self, dir: impl Into<PathBuf>) -> Self {
        self.cwd = Some(dir.into());
        self
    }

    /// Sets standard input.
    pub fn stdin(mut self, stdio: Stdio) -> Self {
        self.stdin = stdio;
        self
    }

    /// Sets standard output.
    pub fn stdout(mut self, stdio: Stdio) -> Self {
        self.stdout = stdio;
        self
    }

    /// Sets standard error.
    pub fn stderr(mut self, stdio: Stdio) -> Self {
        self.stderr = stdio;
        self
    }

    /// Passes a descriptor as number `target` (3 or more).
    pub fn fd(mut self, fd: OwnedFd, target: i32) -> Self {
        self.fds.push((fd, target));
        self
    }

    /// Starts the program; returns once it has been executed.
    ///
    /// # Errors
    /// Of the kind of what failed in the child (`NotFound`, `PermissionDenied`, …); the text names the program and the step.
    /// `InvalidInput` for a NUL byte, or a target below 3 or given twice.
    pub fn spawn(self) -> io::Result<Child> {
        child::start(self)
    }
}

/// A step of the child that failed, with the program's path.
#[derive(Debug, thiserror::Error)]
#[error("cannot {step} {}", path.display())]
pub(crate) struct SpawnError {
    step: &'static str,
    path: PathBuf,
    source: io::Error,
}

impl SpawnError {
    pub(crate) fn wrap(step: &'static str, path: &Path, source: io::Error) -> io::Error {
        io::Error::new(source.kind(), SpawnError { step, path: path.to_path_buf(), source })
    }
}

/// A started program. Dropped without [`Child::wait`], it goes on, and is a zombie after its end until we end too.
#[derive(Debug)]
#[must_use = "a child that nobody waits for becomes a zombie"]
pub struct Child {
    pid: i32,
    pidfd: OwnedFd,
}

impl Child {
    /// Its pid: ours to use until it has been waited for.
    #[must_use]
    pub fn pid(&self) -> i32 {
        self.pid
    }

    /// Sends a signal, 1 to 64; `false` if it had ended.
    ///
    /// # Errors
    /// `InvalidInput` for another number, `PermissionDenied`.
    pub fn signal(&self, signal: i32) -> io::Result<bool> {
        crate::pidfd::signal_pidfd(self.pidfd.as_fd(), signal)
    }

    /// Waits for its end.
    ///
    /// # Errors
    /// What waitid(2) says: `ECHILD` where somebody else has waited for it.
    pub fn wait(self) -> io::Result<ExitStatus> {
        loop {
            match rustix::process::waitid(WaitId::PidFd(self.pidfd.as_fd()), WaitIdOptions::EXITED)
            {
                Ok(Some(status)) => return Ok(exit_status(&status)),
                Ok(None) | Err(rustix::io::Errno::INTR) => {}
                Err(e) => return Err(e.into()),
            }
        }
    }

    /// Waits for its end, at most `timeout`; gives the child back if it still runs.
    ///
    /// # Errors
    /// As [`Child::wait`].
    pub fn wait_timeout(self, timeout: Duration) -> io::Result<Result<ExitStatus, Child>> {
        if crate::pidfd::wait_readable(self.pidfd.as_fd(), Some(timeout))? {
            return self.wait().map(Ok);
        }
        Ok(Err(self))
    }

    /// Its pidfd, when its exit status is of no interest or is collected by a reaper.
    #[must_use]
    pub fn into_pidfd(self) -> OwnedFd {
        self.pidfd
    }
}

/// Readable once it has ended.
impl AsFd for Child {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.pidfd.as_fd()
    }
}

fn exit_status(status: &rustix::process::WaitIdStatus) -> ExitStatus {
    let raw = match (status.exit_status(), status.terminating_signal()) {
        (Some(code), _) => (code & 0xff) << 8,
        (None, Some(signal)) => signal | if status.dumped() { 0x80 } else { 0 },
        (None, None) => 0xff << 8,
    };
    ExitStatus::from_raw(raw)
}

#[cfg(test)]
mod tests;
