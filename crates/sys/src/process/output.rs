//! Running a program to its end and keeping what it said, within bounds.
//!
//! INVARIANT: never waits for a descendant: when the program itself has ended, what is in the pipes is read and that is
//! all, even if a daemon it started holds them open. What is above a limit is read and thrown away, so the program never
//! blocks on a full pipe.

use std::io;
use std::os::fd::{AsFd, OwnedFd};
use std::process::ExitStatus;
use std::time::{Duration, Instant};

use nix::poll::{PollFd, PollFlags, poll};
use rustix::pipe::PipeFlags;

use super::{Spawn, Stdio};
use crate::pidfd::poll_timeout;

/// How much is kept and how long it is waited.
#[derive(Debug, Clone, Copy)]
pub struct OutputLimits {
    /// Bytes of standard output kept.
    pub stdout: usize,
    /// Bytes of standard error kept.
    pub stderr: usize,
    /// After this time the program is killed; `None`: it is waited for for ever.
    pub timeout: Option<Duration>,
}

impl Default for OutputLimits {
    /// 1 MiB each, no timeout.
    fn default() -> Self {
        OutputLimits { stdout: 1 << 20, stderr: 1 << 20, timeout: None }
    }
}

/// What a program said and how it ended.
#[derive(Debug)]
pub struct Output {
    /// How it ended.
    pub status: ExitStatus,
    /// The first bytes of its standard output.
    pub stdout: Vec<u8>,
    /// The first bytes of its standard error.
    pub stderr: Vec<u8>,
    /// Whether there was more of one of them than was kept.
    pub truncated: bool,
}

/// Runs a program to its end. Its standard output and error are captured, whatever `spawn` says of them.
///
/// # Errors
/// As [`Spawn::spawn`]; `TimedOut` after the timeout, when the program has been killed and waited for.
pub fn output(mut spawn: Spawn, limits: &OutputLimits) -> io::Result<Output> {
    let program = spawn.program.clone();
    let (mut stdout, write_out) = Capture::new(limits.stdout)?;
    let (mut stderr, write_err) = Capture::new(limits.stderr)?;
    spawn.stdout = Stdio::Fd(write_out);
    spawn.stderr = Stdio::Fd(write_err);
    let child = spawn.spawn()?;
    let start = Instant::now();
    loop {
        let left = limits.timeout.map(|t| t.saturating_sub(start.elapsed()));
        let mut fds = vec![PollFd::new(child.as_fd(), PollFlags::POLLIN)];
        fds.extend(
            [&stdout, &stderr]
                .iter()
                .filter_map(|c| c.pipe.as_ref())
                .map(|p| PollFd::new(p.as_fd(), PollFlags::POLLIN)),
        );
        let ready = match poll(&mut fds, poll_timeout(left)) {
            Ok(n) => n,
            Err(nix::errno::Errno::EINTR) => continue,
            Err(e) => return Err(e.into()),
        };
        let ended = fds.first().and_then(PollFd::any).unwrap_or(false);
        if ready == 0 && left.is_some_and(|l| l.is_zero()) {
            drop(child.signal(libc::SIGKILL));
            drop(child.wait());
            return Err(io::Error::new(
                io::ErrorKind::TimedOut,
                format!(
                    "{} did not end within {:?}",
                    program.display(),
                    limits.timeout.unwrap_or_default()
                ),
            ));
        }
        // ORDER: seen to have ended, then drained: all it wrote is in the pipes by now.
        stdout.drain()?;
        stderr.drain()?;
        if ended {
            let status = child.wait()?;
            let truncated = stdout.truncated || stderr.truncated;
            return Ok(Output { status, stdout: stdout.bytes, stderr: stderr.bytes, truncated });
        }
    }
}

struct Capture {
    /// `None` after the end of the stream.
    pipe: Option<OwnedFd>,
    bytes: Vec<u8>,
    limit: usize,
    truncated: bool,
}

impl Capture {
    fn new(limit: usize) -> io::Result<(Capture, OwnedFd)> {
        let (read, write) = rustix::pipe::pipe_with(PipeFlags::CLOEXEC)?;
        // Our end only: the program may not expect a non-blocking stream.
        rustix::io::ioctl_fionbio(&read, true)?;
        Ok((Capture { pipe: Some(read), bytes: Vec::new(), limit, truncated: false }, write))
    }

    /// Reads what is there, at most a few pipes full, so that one endless stream starves neither the other nor the clock.
    fn drain(&mut self) -> io::Result<()> {
        let mut buffer = [0_u8; 16 * 1024];
        for _ in 0..64 {
            let Some(pipe) = &self.pipe else { return Ok(()) };
            match rustix::io::read(pipe, &mut buffer) {
                Ok(0) => self.pipe = None,
                Ok(n) => {
                    let room = self.limit - self.bytes.len();
                    let chunk = buffer.get(..n).unwrap_or_default();
                    self.truncated |= n > room;
                    self.bytes.extend(chunk.iter().take(room));
                }
                Err(rustix::io::Errno::AGAIN) => return Ok(()),
                Err(rustix::io::Errno::INTR) => {}
                Err(e) => return Err(e.into()),
            }
        }
        Ok(())
    }
}
