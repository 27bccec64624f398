//! Becoming a process that stands on its own: descriptors handed down by number, the fork, the new session.
//!
//! INVARIANT: a fork happens in a process of one thread only.

use std::collections::BTreeMap;
use std::io;
use std::os::fd::{AsRawFd, FromRawFd, OwnedFd};
use std::os::unix::process::ExitStatusExt as _;
use std::process::ExitStatus;
use std::sync::atomic::{AtomicBool, Ordering};

use nix::unistd::ForkResult;
use rustix::io::Errno;
use rustix::process::{Pid, WaitOptions};

/// The descriptors above stderr that this process was started with, owned.
#[derive(Debug, Default)]
pub struct InheritedFds(BTreeMap<i32, OwnedFd>);

static TAKEN: AtomicBool = AtomicBool::new(false);

impl InheritedFds {
    /// Takes them over; to be called once, first thing in `main`. They are left as they are (not close-on-exec).
    ///
    /// # Errors
    /// `AlreadyExists` at a second call, since the first owns them; what reading /proc/self/fd says.
    pub fn take() -> io::Result<Self> {
        if TAKEN.swap(true, Ordering::SeqCst) {
            return Err(io::Error::new(
                io::ErrorKind::AlreadyExists,
                "inherited descriptors are owned already",
            ));
        }
        let mut numbers = Vec::new();
        for entry in std::fs::read_dir("/proc/self/fd")? {
            if let Some(number) = entry?.file_name().to_str().and_then(|n| n.parse::<i32>().ok())
                && number > 2
            {
                numbers.push(number);
            }
        }
        // The directory that was read from had a descriptor of its own, closed by now.
        numbers.retain(|n| nix::fcntl::fcntl(borrow(*n), nix::fcntl::FcntlArg::F_GETFD).is_ok());
        // SAFETY: each is open (just checked), and nothing in this process owns it: this runs once, and the contract is
        // that it runs before anything here has opened a descriptor.
        let owned = numbers.into_iter().map(|n| (n, unsafe { OwnedFd::from_raw_fd(n) })).collect();
        Ok(InheritedFds(owned))
    }

    /// Takes number `fd` out, close-on-exec from now on; `None` if it was not open at the start.
    pub fn remove(&mut self, fd: i32) -> Option<OwnedFd> {
        let fd = self.0.remove(&fd)?;
        // F_SETFD fails for a closed descriptor only.
        nix::fcntl::fcntl(&fd, nix::fcntl::FcntlArg::F_SETFD(nix::fcntl::FdFlag::FD_CLOEXEC))
            .ok()?;
        Some(fd)
    }

    /// The rest, each with its number.
    pub fn iter(&self) -> impl Iterator<Item = &OwnedFd> {
        self.0.values()
    }

    /// Copies of the rest for a child, each to be put at the number it has here.
    ///
    /// # Errors
    /// `EMFILE`.
    pub fn to_pass_on(&self) -> io::Result<Vec<(OwnedFd, i32)>> {
        self.0.values().map(|fd| Ok((fd.try_clone()?, fd.as_raw_fd()))).collect()
    }
}

fn borrow(number: i32) -> std::os::fd::BorrowedFd<'static> {
    // SAFETY: used for F_GETFD only, by which a number that is not open is found out; it is not −1.
    unsafe { std::os::fd::BorrowedFd::borrow_raw(number) }
}

/// Which side of [`fork`] this is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Forked {
    /// The first process; the child's pid.
    Parent(i32),
    /// The new one.
    Child,
}

/// Forks, where that is safe: in a process with one thread.
///
/// # Errors
/// `Unsupported` if there are more threads (their locks would stay locked in the child), and what fork(2) says.
pub fn fork() -> io::Result<Forked> {
    let threads = std::fs::read_dir("/proc/self/task")?.count();
    if threads != 1 {
        return Err(io::Error::new(
            io::ErrorKind::Unsupported,
            format!("fork in a process of {threads} threads"),
        ));
    }
    // SAFETY: this thread is the only one, so no lock of another thread (the allocator's, stdio's) is held in the child.
    match unsafe { nix::unistd::fork() }? {
        ForkResult::Parent { child } => Ok(Forked::Parent(child.as_raw())),
        ForkResult::Child => Ok(Forked::Child),
    }
}

/// Puts /dev/null in the place of stdin, stdout and stderr.
///
/// # Errors
/// What open(2) and dup2(2) say.
pub fn null_stdio() -> io::Result<()> {
    let null = std::fs::OpenOptions::new().read(true).write(true).open("/dev/null")?;
    nix::unistd::dup2_stdin(&null)?;
    nix::unistd::dup2_stdout(&null)?;
    nix::unistd::dup2_stderr(&null)?;
    Ok(())
}

/// Leaves session and terminal, and becomes the one to which orphaned descendants are handed.
///
/// A process that leads a group already stays in its session: it was started in the foreground.
///
/// # Errors
/// What prctl(2) says.
pub fn lead_session_and_adopt() -> io::Result<()> {
    match nix::unistd::setsid() {
        Ok(_) | Err(nix::errno::Errno::EPERM) => {}
        Err(e) => return Err(e.into()),
    }
    adopt_orphans(true)
}

/// Becomes (or stops being) the process to which orphaned descendants are handed.
///
/// # Errors
/// What prctl(2) says.
pub fn adopt_orphans(on: bool) -> io::Result<()> {
    Ok(nix::sys::prctl::set_child_subreaper(on)?)
}

/// Collects the exit status of a child that has ended (`pid`, or any): its pid and how. `None` if none has, or there is no child.
///
/// # Errors
/// What waitpid(2) says; that there is no child is not an error.
pub fn reap(pid: Option<i32>) -> io::Result<Option<(i32, ExitStatus)>> {
    let pid = pid.and_then(Pid::from_raw);
    loop {
        // Not `waitpid(None, …)` for any child: that is pid 0, the children in our own process group.
        let ended = match pid {
            Some(pid) => rustix::process::waitpid(Some(pid), WaitOptions::NOHANG),
            None => rustix::process::wait(WaitOptions::NOHANG),
        };
        return match ended {
            Ok(ended) => Ok(ended.map(|(pid, status)| {
                (pid.as_raw_nonzero().get(), ExitStatus::from_raw(status.as_raw()))
            })),
            Err(Errno::CHILD) => Ok(None),
            Err(Errno::INTR) => continue,
            Err(e) => Err(e.into()),
        };
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_process_with_threads_is_not_forked() {
        // The test harness runs this in a thread of its own.
        assert_eq!(fork().unwrap_err().kind(), io::ErrorKind::Unsupported);
    }
}
