//! The processes of the cgroup: who they are, and the end of them.

use std::collections::BTreeSet;
use std::path::Path;
use std::time::{Duration, Instant};

use dhow_sys::pidfd::Process;

use crate::file::read_raw;
use crate::hierarchy::Version;
use crate::{Cgroup, Directory, Error};

const KILL: i32 = 9;

/// How long the processes may take to go after SIGKILL.
const LIMIT: Duration = Duration::from_secs(10);

impl Cgroup {
    /// The processes in it and in the cgroups below it, as this process numbers them, in order. None where it is gone.
    ///
    /// # Errors
    /// [`Error::Io`] with the file.
    pub fn pids(&self) -> Result<Vec<i32>, Error> {
        let mut found = BTreeSet::new();
        match self.members() {
            Some(directory) => collect(&directory.path, &mut found)?,
            None => return Ok(Vec::new()),
        }
        // 0 is a process that this pid namespace does not see.
        found.remove(&0);
        Ok(found.into_iter().collect())
    }

    /// Sends a signal to all of its processes, also to those below it. They are frozen meanwhile where that is possible,
    /// so that none escapes by forking.
    ///
    /// SIGKILL on a v2 hierarchy is one write (`cgroup.kill`, Linux 5.14).
    ///
    /// # Errors
    /// [`Error::Io`] for what a file or a process's descriptor says.
    pub fn kill(&self, signal: i32) -> Result<(), Error> {
        if signal == KILL
            && let Some(directory) = self.unified().filter(|one| one.has("cgroup.kill"))
        {
            directory.write("cgroup.kill", 1)?;
            // v1 may have processes that are not in v2's directory, and a frozen one does not die there.
            if self.directories.len() == 1 {
                return Ok(());
            }
        }
        let pids = self.pids()?;
        if pids.is_empty() {
            return Ok(());
        }
        let frozen = self.is_frozen()?;
        // What cannot be frozen (rootless v1) is killed as it runs.
        let stopped = !frozen && self.freeze().is_ok();
        let outcome = self.signal_all(signal);
        // A process that is frozen by v1 gets its end when it is let go.
        if stopped || (frozen && signal == KILL) {
            self.thaw()?;
        }
        outcome
    }

    fn signal_all(&self, signal: i32) -> Result<(), Error> {
        // ORDER: descriptors first, then a second look at who is in the cgroup: a number that another process got in
        // between is not in it.
        let mut processes = Vec::new();
        for pid in self.pids()? {
            let opened = Process::open_pid(pid);
            processes.extend(opened.map_err(Error::io("open process", pid.to_string()))?);
        }
        let members = self.pids()?;
        for process in processes.iter().filter(|process| members.contains(&process.id().pid)) {
            let sent = process.signal(signal);
            sent.map_err(Error::io("signal process", process.id().pid.to_string()))?;
        }
        Ok(())
    }

    /// Kills all processes and waits until they are gone.
    ///
    /// # Errors
    /// As [`Self::kill`]; [`Error::InUse`] where one does not go.
    pub fn kill_all(&self) -> Result<(), Error> {
        let deadline = Instant::now() + LIMIT;
        loop {
            let pids = self.pids()?;
            let Some(first) = pids.first() else { return Ok(()) };
            let left = deadline.saturating_duration_since(Instant::now());
            if left.is_zero() {
                let path = self.members().map(|one| one.path.clone()).unwrap_or_default();
                return Err(Error::InUse { path, pid: *first });
            }
            self.kill(KILL)?;
            wait_for(&pids, left)?;
        }
    }

    /// The directory by which to tell who is in the cgroup: one that the container itself can hardly leave.
    fn members(&self) -> Option<&Directory> {
        let choice = ["devices", "memory", "pids", "freezer"];
        let legacy = choice.iter().find_map(|name| {
            self.controller(name).filter(|one| one.hierarchy.version == Version::V1)
        });
        legacy.or_else(|| self.unified()).or_else(|| self.directories.first())
    }
}

/// Waits until these processes have ended, as long as `limit`.
pub(crate) fn wait_for(pids: &[i32], limit: Duration) -> Result<(), Error> {
    let deadline = Instant::now() + limit;
    for pid in pids {
        let failed = || Error::io("wait for process", pid.to_string());
        if let Some(process) = Process::open_pid(*pid).map_err(failed())? {
            let left = deadline.saturating_duration_since(Instant::now());
            process.wait_exit(Some(left)).map_err(failed())?;
        }
    }
    Ok(())
}

/// The processes of a directory and of those below it.
pub(crate) fn collect(path: &Path, found: &mut BTreeSet<i32>) -> Result<(), Error> {
    let file = path.join("cgroup.procs");
    let text = match read_raw(&file) {
        Ok(text) => text,
        // The cgroup went, or is threaded: then its processes are in the one above.
        Err(error) if matches!(error.raw_os_error(), Some(2 | 19 | 95)) => return Ok(()),
        Err(error) => return Err(Error::io("read", file)(error)),
    };
    found.extend(text.lines().filter_map(|line| line.parse::<i32>().ok()));
    for child in children(path)? {
        collect(&child, found)?;
    }
    Ok(())
}

/// The cgroups right below one.
pub(crate) fn children(path: &Path) -> Result<Vec<std::path::PathBuf>, Error> {
    let entries = match std::fs::read_dir(path) {
        Ok(entries) => entries,
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => return Ok(Vec::new()),
        Err(error) => return Err(Error::io("read", path)(error)),
    };
    let directories =
        entries.flatten().filter(|entry| entry.file_type().is_ok_and(|kind| kind.is_dir()));
    Ok(directories.map(|entry| entry.path()).collect())
}
