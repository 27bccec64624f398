//! Processes that cannot be mistaken for another: a pid with its start time on disk, a pidfd in memory.
//!
//! INVARIANT: nothing here signals a bare pid, nor any pid below 1.

use std::io;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::path::PathBuf;
use std::time::{Duration, Instant};

use nix::poll::{PollFd, PollFlags, PollTimeout, poll};
use rustix::process::{Pid, PidfdFlags, Signal};
use serde::{Deserialize, Serialize};

/// A process for a record: the pair is unique within one boot, and says nothing in another.
#[derive(Serialize, Deserialize, Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub struct ProcessId {
    /// The pid, at least 1.
    pub pid: i32,
    /// Field 22 of `/proc/<pid>/stat` (proc_pid_stat(5)): clock ticks between boot and the process's start.
    pub start_time: u64,
}

impl ProcessId {
    /// The process that has `pid` now.
    ///
    /// # Errors
    /// `NotFound` if there is none; `InvalidInput` below 1.
    pub fn of(pid: i32) -> io::Result<ProcessId> {
        if pid < 1 {
            return Err(io::Error::new(
                io::ErrorKind::InvalidInput,
                format!("{pid} is no process id"),
            ));
        }
        let path = PathBuf::from(format!("/proc/{pid}/stat"));
        let bytes = match crate::fs::read_bounded(&path, 64 * 1024) {
            // The process ended between open and read.
            Err(e) if e.raw_os_error() == Some(libc::ESRCH) => {
                return Err(io::ErrorKind::NotFound.into());
            }
            other => other?,
        };
        let start_time = start_time(&bytes).ok_or_else(|| {
            io::Error::new(io::ErrorKind::InvalidData, format!("cannot read {}", path.display()))
        })?;
        Ok(ProcessId { pid, start_time })
    }

    /// This process.
    ///
    /// # Errors
    /// `/proc` is not mounted.
    pub fn current() -> io::Result<ProcessId> {
        Self::of(i32::try_from(std::process::id()).map_err(io::Error::other)?)
    }

    /// Whether this very process still runs (a zombie does not).
    ///
    /// # Errors
    /// As [`Process::open`].
    pub fn is_alive(self) -> io::Result<bool> {
        Ok(Process::open(self)?.is_some())
    }
}

/// The command name, in parentheses, may hold spaces and parentheses: count from the last one. State is field 3.
fn start_time(stat: &[u8]) -> Option<u64> {
    let after = stat.iter().rposition(|b| *b == b')')? + 1;
    std::str::from_utf8(stat.get(after..)?).ok()?.split_ascii_whitespace().nth(19)?.parse().ok()
}

/// A running process, by pidfd: never another one with the same number.
#[derive(Debug)]
pub struct Process {
    id: ProcessId,
    fd: OwnedFd,
}

impl Process {
    /// Opens `id`; `None` if it has ended (a zombie too) or its pid belongs to another process now.
    ///
    /// # Errors
    /// What pidfd_open(2) says, `EMFILE` for example; `InvalidInput` for a pid below 1.
    pub fn open(id: ProcessId) -> io::Result<Option<Process>> {
        // Asked before `Pid::from_raw`, which panics at negative numbers.
        let pid = if id.pid > 0 { Pid::from_raw(id.pid) } else { None };
        let Some(pid) = pid else {
            return Err(io::Error::new(
                io::ErrorKind::InvalidInput,
                format!("{} is no process id", id.pid),
            ));
        };
        let fd = match rustix::process::pidfd_open(pid, PidfdFlags::empty()) {
            Ok(fd) => fd,
            // EINVAL: the number is a thread's now, or out of the range of pids.
            Err(rustix::io::Errno::SRCH | rustix::io::Errno::INVAL) => return Ok(None),
            Err(e) => return Err(e.into()),
        };
        // ORDER: the descriptor before the look: should the process end and its pid be used again in between, the start
        // time seen is not the one asked for.
        match ProcessId::of(id.pid) {
            Ok(now) if now == id => {}
            Ok(_) => return Ok(None),
            Err(e) if e.kind() == io::ErrorKind::NotFound => return Ok(None),
            Err(e) => return Err(e),
        }
        let process = Process { id, fd };
        let ended = process.wait_exit(Some(Duration::ZERO))?;
        Ok((!ended).then_some(process))
    }

    /// Opens whatever process has `pid` now.
    ///
    /// # Errors
    /// As [`Process::open`].
    pub fn open_pid(pid: i32) -> io::Result<Option<Process>> {
        match ProcessId::of(pid) {
            Ok(id) => Self::open(id),
            Err(e) if e.kind() == io::ErrorKind::NotFound => Ok(None),
            Err(e) => Err(e),
        }
    }

    /// Which process this is.
    #[must_use]
    pub fn id(&self) -> ProcessId {
        self.id
    }

    /// Sends a signal, 1 to 64; `false` if the process had ended.
    ///
    /// # Errors
    /// `InvalidInput` for another number, `PermissionDenied`.
    pub fn signal(&self, signal: i32) -> io::Result<bool> {
        signal_pidfd(self.fd.as_fd(), signal)
    }

    /// Waits until the process has ended, at most `timeout` (`None`: for ever); whether it has. It need not be a child.
    ///
    /// # Errors
    /// What poll(2) says.
    pub fn wait_exit(&self, timeout: Option<Duration>) -> io::Result<bool> {
        wait_readable(self.fd.as_fd(), timeout)
    }
}

impl AsFd for Process {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.fd.as_fd()
    }
}

pub(crate) fn signal_pidfd(fd: BorrowedFd<'_>, signal: i32) -> io::Result<bool> {
    let number = Signal::from_named_raw(signal);
    let result = match number {
        Some(number) => rustix::process::pidfd_send_signal(fd, number).map_err(io::Error::from),
        None if (1..=64).contains(&signal) => realtime_signal(fd, signal),
        None => Err(io::Error::new(io::ErrorKind::InvalidInput, format!("{signal} is no signal"))),
    };
    match result {
        Ok(()) => Ok(true),
        Err(e) if e.raw_os_error() == Some(libc::ESRCH) => Ok(false),
        Err(e) => Err(e),
    }
}

/// rustix's `Signal` has no safe constructor for numbers that libc does not name.
fn realtime_signal(fd: BorrowedFd<'_>, signal: i32) -> io::Result<()> {
    // SAFETY: the number is 32 to 64: not one of those that rustix or libc name. It is only sent, to another process's
    // descriptor; what "reserved by libc" protects is this process's own handlers for 32 and 33.
    let number = unsafe { Signal::from_raw_unchecked(signal) };
    Ok(rustix::process::pidfd_send_signal(fd, number)?)
}

/// Waits for a descriptor to become readable; whether it has.
pub(crate) fn wait_readable(fd: BorrowedFd<'_>, timeout: Option<Duration>) -> io::Result<bool> {
    let start = Instant::now();
    loop {
        let left = timeout.map(|t| t.saturating_sub(start.elapsed()));
        let mut fds = [PollFd::new(fd, PollFlags::POLLIN)];
        match poll(&mut fds, poll_timeout(left)) {
            Ok(0) if left.is_some_and(|l| l.is_zero()) => return Ok(false),
            Ok(0) | Err(nix::errno::Errno::EINTR) => {}
            Ok(_) => return Ok(true),
            Err(e) => return Err(e.into()),
        }
    }
}

/// Rounded up to whole milliseconds, and cut to what poll takes (24 days): callers look at their deadline again.
pub(crate) fn poll_timeout(left: Option<Duration>) -> PollTimeout {
    match left {
        None => PollTimeout::NONE,
        Some(left) => {
            let millis = left.as_micros().div_ceil(1000);
            i32::try_from(millis)
                .ok()
                .and_then(|m| PollTimeout::try_from(m).ok())
                .unwrap_or(PollTimeout::MAX)
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::process::Spawn;

    fn sleeper() -> crate::process::Child {
        Spawn::new("/bin/sleep").arg("1000").spawn().unwrap()
    }

    #[test]
    fn the_current_process_is_found_and_alive() {
        let me = ProcessId::current().unwrap();
        assert_eq!(ProcessId::of(me.pid).unwrap(), me);
        assert!(me.is_alive().unwrap());
        assert!(me.start_time > 0);
    }

    #[test]
    fn a_reused_pid_is_not_the_process() {
        let me = ProcessId::current().unwrap();
        let other = ProcessId { start_time: me.start_time + 1, ..me };
        assert!(Process::open(other).unwrap().is_none());
    }

    #[test]
    fn pids_that_stand_for_groups_are_refused() {
        for pid in [0, -1, i32::MIN] {
            assert_eq!(
                Process::open(ProcessId { pid, start_time: 1 }).unwrap_err().kind(),
                io::ErrorKind::InvalidInput
            );
            assert_eq!(ProcessId::of(pid).unwrap_err().kind(), io::ErrorKind::InvalidInput);
        }
        assert!(Process::open(ProcessId { pid: i32::MAX, start_time: 1 }).unwrap().is_none());
    }

    #[test]
    fn signal_and_wait_until_a_zombie_counts_as_gone() {
        let child = sleeper();
        let id = ProcessId::of(child.pid()).unwrap();
        let process = Process::open(id).unwrap().unwrap();
        assert!(!process.wait_exit(Some(Duration::from_millis(5))).unwrap());
        assert_eq!(process.signal(0).unwrap_err().kind(), io::ErrorKind::InvalidInput);
        assert_eq!(process.signal(65).unwrap_err().kind(), io::ErrorKind::InvalidInput);
        assert_eq!(process.signal(-9).unwrap_err().kind(), io::ErrorKind::InvalidInput);
        assert!(process.signal(libc::SIGKILL).unwrap());
        assert!(process.wait_exit(None).unwrap());
        assert!(Process::open(id).unwrap().is_none(), "a zombie has ended");
        child.wait().unwrap();
        assert!(!process.signal(libc::SIGTERM).unwrap());
        assert!(!id.is_alive().unwrap());
    }

    #[test]
    fn real_time_signals_arrive() {
        let child = sleeper();
        let process = Process::open_pid(child.pid()).unwrap().unwrap();
        assert!(process.signal(40).unwrap());
        let status = child.wait().unwrap();
        assert_eq!(std::os::unix::process::ExitStatusExt::signal(&status), Some(40));
    }

    #[test]
    fn start_time_survives_odd_command_names() {
        let stat = b"42 (a) b (c)) S 1 42 42 0 -1 4194560 1 2 3 4 5 6 7 8 20 0 1 0 777 9 9";
        assert_eq!(start_time(stat), Some(777));
        assert_eq!(start_time(b"42 (x"), None);
        assert_eq!(start_time(b"42 (x) S 1"), None);
    }

    #[test]
    fn timeouts_round_up_and_are_cut() {
        assert_eq!(poll_timeout(Some(Duration::from_micros(1))), PollTimeout::from(1_u8));
        assert_eq!(poll_timeout(Some(Duration::from_secs(u64::MAX))), PollTimeout::MAX);
        assert_eq!(poll_timeout(None), PollTimeout::NONE);
    }
}
