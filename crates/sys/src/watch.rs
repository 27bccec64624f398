//! Waiting for a directory to change, or for a descriptor to become readable, without polling.
//!
//! Level-triggered use: make the watch, look at the facts, and only if they do not satisfy wait for it; a change that
//! comes between the look and the wait is in the watch's queue already.

use std::io;
use std::os::fd::{AsFd, BorrowedFd};
use std::path::Path;
use std::time::{Duration, Instant};

use nix::poll::{PollFd, PollFlags, PollTimeout};
use nix::sys::inotify::{AddWatchFlags, InitFlags, Inotify};

/// Why [`DirWatch::wait`] came back.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Woken {
    /// Something in the directory was created, renamed, removed or written.
    Changed,
    /// One of the other descriptors is readable (index into the slice given).
    Ready(usize),
    /// The time is over.
    TimedOut,
}

/// An inotify(7) watch on one directory.
#[derive(Debug)]
pub struct DirWatch(Inotify);

impl DirWatch {
    /// Watches `dir` for entries that come, go, or are closed after writing, and for its own removal.
    ///
    /// # Errors
    /// `NotFound` if there is no such directory; `EMFILE` where the user's inotify instances are used up.
    pub fn new(dir: &Path) -> io::Result<Self> {
        let inotify = Inotify::init(InitFlags::IN_CLOEXEC | InitFlags::IN_NONBLOCK)?;
        inotify.add_watch(
            dir,
            AddWatchFlags::IN_MOVED_TO
                | AddWatchFlags::IN_MOVED_FROM
                | AddWatchFlags::IN_CREATE
                | AddWatchFlags::IN_DELETE
                | AddWatchFlags::IN_DELETE_SELF
                | AddWatchFlags::IN_MOVE_SELF
                | AddWatchFlags::IN_CLOSE_WRITE
                | AddWatchFlags::IN_ONLYDIR,
        )?;
        Ok(DirWatch(inotify))
    }

    /// Waits until the directory changes, one of `others` becomes readable, or `timeout` passes (`None`: for ever).
    ///
    /// # Errors
    /// What poll(2) says; an interruption by a signal is not an error.
    pub fn wait(&self, others: &[BorrowedFd<'_>], timeout: Option<Duration>) -> io::Result<Woken> {
        let mut fds: Vec<PollFd<'_>> = Vec::with_capacity(others.len() + 1);
        fds.push(PollFd::new(self.0.as_fd(), PollFlags::POLLIN));
        fds.extend(others.iter().map(|fd| PollFd::new(*fd, PollFlags::POLLIN)));
        let Some(ready) = poll_any(&mut fds, timeout)? else { return Ok(Woken::TimedOut) };
        if ready > 0 {
            return Ok(Woken::Ready(ready - 1));
        }
        match self.0.read_events() {
            Ok(_) | Err(nix::errno::Errno::EAGAIN) => Ok(Woken::Changed),
            Err(e) => Err(e.into()),
        }
    }
}

/// An inotify(7) watch on one file, for files of the kernel that tell of their changes so (`cgroup.events`).
#[derive(Debug)]
pub struct FileWatch(Inotify);

impl FileWatch {
    /// Watches `file` for being written, by whoever.
    ///
    /// # Errors
    /// `NotFound` if there is no such file; `EMFILE` where the user's inotify instances are used up.
    pub fn new(file: &Path) -> io::Result<Self> {
        let inotify = Inotify::init(InitFlags::IN_CLOEXEC | InitFlags::IN_NONBLOCK)?;
        inotify.add_watch(file, AddWatchFlags::IN_MODIFY | AddWatchFlags::IN_DELETE_SELF)?;
        Ok(FileWatch(inotify))
    }

    /// Waits until the file changes or `timeout` passes; whether it has changed.
    ///
    /// # Errors
    /// What poll(2) says; an interruption by a signal is not an error.
    pub fn wait(&self, timeout: Duration) -> io::Result<bool> {
        if wait_readable(&[self.0.as_fd()], Some(timeout))?.is_none() {
            return Ok(false);
        }
        match self.0.read_events() {
            Ok(_) | Err(nix::errno::Errno::EAGAIN) => Ok(true),
            Err(e) => Err(e.into()),
        }
    }
}

/// Waits until one of `fds` is readable or hung up; its index, or `None` when the time is over.
///
/// # Errors
/// What poll(2) says; an interruption by a signal is not an error.
pub fn wait_readable(
    fds: &[BorrowedFd<'_>],
    timeout: Option<Duration>,
) -> io::Result<Option<usize>> {
    let mut polled: Vec<PollFd<'_>> =
        fds.iter().map(|fd| PollFd::new(*fd, PollFlags::POLLIN)).collect();
    poll_any(&mut polled, timeout)
}

/// Waits until `fd` takes a write (or is hung up), at most `timeout`; whether it does.
///
/// # Errors
/// As [`wait_readable`].
pub fn wait_writable(fd: BorrowedFd<'_>, timeout: Duration) -> io::Result<bool> {
    let ready = poll_any(&mut [PollFd::new(fd, PollFlags::POLLOUT)], Some(timeout))?;
    Ok(ready.is_some())
}

/// The last index that is ready, so that descriptors given explicitly win over the watch.
fn poll_any(fds: &mut [PollFd<'_>], timeout: Option<Duration>) -> io::Result<Option<usize>> {
    let deadline = timeout.and_then(|t| Instant::now().checked_add(t));
    loop {
        let left = match deadline {
            // Rounded up, so that a wait of less than a millisecond does not spin.
            Some(d) => {
                let left = d.saturating_duration_since(Instant::now()) + Duration::from_micros(999);
                PollTimeout::try_from(left).unwrap_or(PollTimeout::MAX)
            }
            None => PollTimeout::NONE,
        };
        match nix::poll::poll(fds, left) {
            Ok(0) if deadline.is_some_and(|d| Instant::now() >= d) => return Ok(None),
            Ok(0) | Err(nix::errno::Errno::EINTR) => {}
            Ok(_) => return Ok(fds.iter().rposition(|fd| fd.any().unwrap_or(true))),
            Err(e) => return Err(e.into()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_file_that_is_written_wakes() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("events");
        let mut file = std::fs::File::create(&path).unwrap();
        let watch = FileWatch::new(&path).unwrap();
        assert!(!watch.wait(Duration::ZERO).unwrap());
        std::io::Write::write_all(&mut file, b"populated 0").unwrap();
        assert!(watch.wait(Duration::from_secs(30)).unwrap());
        assert!(!watch.wait(Duration::ZERO).unwrap());
    }

    #[test]
    fn a_change_before_the_wait_is_not_lost() {
        let dir = tempfile::tempdir().unwrap();
        let watch = DirWatch::new(dir.path()).unwrap();
        std::fs::File::create(dir.path().join("x")).unwrap();
        assert_eq!(watch.wait(&[], Some(Duration::from_secs(10))).unwrap(), Woken::Changed);
        assert_eq!(watch.wait(&[], Some(Duration::from_millis(1))).unwrap(), Woken::TimedOut);
    }

    #[test]
    fn a_descriptor_wins_over_the_directory() {
        let dir = tempfile::tempdir().unwrap();
        let watch = DirWatch::new(dir.path()).unwrap();
        std::fs::File::create(dir.path().join("x")).unwrap();
        let (reader, writer) = std::io::pipe().unwrap();
        drop(writer);
        assert_eq!(watch.wait(&[reader.as_fd()], None).unwrap(), Woken::Ready(0));
    }

    #[test]
    fn an_absent_directory_is_an_error() {
        let dir = tempfile::tempdir().unwrap();
        assert_eq!(
            DirWatch::new(&dir.path().join("no")).unwrap_err().kind(),
            io::ErrorKind::NotFound
        );
    }
}
