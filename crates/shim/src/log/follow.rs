//! Waits for a log to grow, to be rotated, or to end.
//!
//! INVARIANT: a watch is there before what it watches is looked at, so no change is missed and nothing is polled.

use std::fs::File;
use std::io;
use std::os::fd::{AsFd, AsRawFd, BorrowedFd, OwnedFd};
use std::path::{Path, PathBuf};
use std::time::Duration;

use nix::errno::Errno;
use nix::sys::inotify::{AddWatchFlags, InitFlags, Inotify, WatchDescriptor};

use crate::files;

/// Where the end of the output shows.
#[derive(Debug)]
pub struct Ending {
    /// The monitor's run directory. The end is there when its exit record is, or when the directory is gone.
    pub run_dir: PathBuf,
    /// A pidfd of the monitor: if it dies, nothing more is logged either.
    pub monitor: Option<OwnedFd>,
}

#[derive(Debug)]
pub(super) struct Follower {
    ending: Ending,
    inotify: Inotify,
    file: Option<WatchDescriptor>,
}

impl Follower {
    pub(super) fn new(ending: Ending, log_directory: &Path) -> io::Result<Self> {
        let inotify = Inotify::init(InitFlags::IN_CLOEXEC | InitFlags::IN_NONBLOCK)?;
        // The same events for both: if both are one directory, the later call is all that counts.
        let events = AddWatchFlags::IN_MOVED_TO
            | AddWatchFlags::IN_CREATE
            | AddWatchFlags::IN_DELETE_SELF
            | AddWatchFlags::IN_ONLYDIR;
        inotify.add_watch(log_directory, events)?;
        match inotify.add_watch(&ending.run_dir, events) {
            // Gone: that is an end, not an error.
            Ok(_) | Err(Errno::ENOENT) => {}
            Err(e) => return Err(e.into()),
        }
        Ok(Follower { ending, inotify, file: None })
    }

    /// Watches `file` (and none but it) for growth.
    pub(super) fn watch_file(&mut self, file: &File) -> io::Result<()> {
        if let Some(before) = self.file.take() {
            // The kernel drops the watch itself when the file is deleted.
            self.inotify.rm_watch(before).ok();
        }
        // Through the descriptor: the path may name another file by now.
        let path = format!("/proc/self/fd/{}", file.as_raw_fd());
        self.file = Some(self.inotify.add_watch(path.as_str(), AddWatchFlags::IN_MODIFY)?);
        Ok(())
    }

    /// Whether everything that will ever be in the log is in it.
    pub(super) fn ended(&self) -> bool {
        let run_dir = &self.ending.run_dir;
        run_dir.join(files::EXIT).exists() || !run_dir.exists() || self.monitor_is_dead()
    }

    fn monitor_is_dead(&self) -> bool {
        let Some(monitor) = &self.ending.monitor else { return false };
        matches!(
            dhow_sys::watch::wait_readable(&[monitor.as_fd()], Some(Duration::ZERO)),
            Ok(Some(_))
        )
    }

    /// What becomes readable at a change.
    pub(super) fn watched(&self) -> Vec<BorrowedFd<'_>> {
        let monitor = self.ending.monitor.as_ref().map(AsFd::as_fd);
        std::iter::once(self.inotify.as_fd()).chain(monitor).collect()
    }

    /// Waits for a change; `false` if none came in time.
    pub(super) fn wait(&self, timeout: Option<Duration>) -> io::Result<bool> {
        let woken = dhow_sys::watch::wait_readable(&self.watched(), timeout)?;
        match self.inotify.read_events() {
            Ok(_) | Err(Errno::EAGAIN) => Ok(woken.is_some()),
            Err(e) => Err(e.into()),
        }
    }
}
