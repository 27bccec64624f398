//! Removing the cgroup with what is below it.

use std::collections::BTreeSet;
use std::io;
use std::path::Path;
use std::time::{Duration, Instant};

use dhow_sys::watch::FileWatch;

use crate::freeze::pause;
use crate::hierarchy::Version;
use crate::process::{children, collect, wait_for};
use crate::{Cgroup, Directory, Error};

/// How long the last process may take to leave.
const LIMIT: Duration = Duration::from_secs(10);

impl Cgroup {
    /// Removes its directories, and those that the container made below them. One that is gone already is no error.
    /// Nothing is killed: a process that is just ending is waited for.
    ///
    /// # Errors
    /// [`Error::InUse`] where a process stays, [`Error::Io`] with the directory. The other hierarchies are done all the
    /// same, and the first error is told.
    pub fn delete(&self) -> Result<(), Error> {
        let deadline = Instant::now() + LIMIT;
        let mut outcome = Ok(());
        for directory in &self.directories {
            let done = directory.remove(deadline);
            outcome = outcome.and(done);
        }
        outcome
    }
}

impl Directory {
    fn remove(&self, deadline: Instant) -> Result<(), Error> {
        // The usual case: no child, no process.
        while let Err(error) = remove_tree(&self.path) {
            let Error::Io { path, source, .. } = &error else { return Err(error) };
            if source.raw_os_error() != Some(rustix::io::Errno::BUSY.raw_os_error()) {
                return Err(error);
            }
            let mut pids = BTreeSet::new();
            collect(path, &mut pids)?;
            let left = deadline.saturating_duration_since(Instant::now());
            match pids.first() {
                Some(pid) if left.is_zero() => {
                    return Err(Error::InUse { path: path.clone(), pid: *pid });
                }
                None if left.is_zero() => return Err(error),
                _ => self.wait_until_empty(&pids, left)?,
            }
        }
        Ok(())
    }

    fn wait_until_empty(&self, pids: &BTreeSet<i32>, left: Duration) -> Result<(), Error> {
        if self.hierarchy.version == Version::V2 {
            let events = self.path.join("cgroup.events");
            match FileWatch::new(&events) {
                Ok(watch) => {
                    self.wait_for_event(&watch, "populated 0", left)?;
                }
                Err(error) if error.kind() == io::ErrorKind::NotFound => {}
                Err(error) => return Err(Error::io("watch", events)(error)),
            }
        } else {
            // v1 has no event; but the end of a process is one.
            let pids: Vec<i32> = pids.iter().copied().collect();
            wait_for(&pids, left)?;
        }
        // A process that has ended leaves its cgroup a little later.
        pause();
        Ok(())
    }
}

/// Children before parents. The kernel removes a cgroup's files with it.
fn remove_tree(path: &Path) -> Result<(), Error> {
    match std::fs::remove_dir(path) {
        Ok(()) => return Ok(()),
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(()),
        // A cgroup with children says "busy", as one with processes does.
        Err(error) if error.kind() == io::ErrorKind::ResourceBusy => {
            let children = children(path)?;
            if children.is_empty() {
                return Err(Error::io("remove", path)(error));
            }
            children.iter().try_for_each(|child| remove_tree(child))?;
        }
        Err(error) => return Err(Error::io("remove", path)(error)),
    }
    match std::fs::remove_dir(path) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => {
            Err(Error::io("remove", path)(error))
        }
        _ => Ok(()),
    }
}
