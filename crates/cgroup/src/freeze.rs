//! Stopping every process of the cgroup where it is, and letting them go on.

use std::time::{Duration, Instant};

use dhow_sys::watch::{self, FileWatch};

use crate::hierarchy::Version;
use crate::{Cgroup, Directory, Error};

/// How long a freeze may take: a process in an uninterruptible call stands in its way.
const LIMIT: Duration = Duration::from_secs(10);

impl Cgroup {
    /// Freezes: when it returns, no process of the cgroup runs.
    ///
    /// # Errors
    /// [`Error::NoController`] where this system has no freezer; [`Error::TimedOut`], and the cgroup is thawed again.
    pub fn freeze(&self) -> Result<(), Error> {
        let directory = self.freezer()?;
        let frozen = match directory.hierarchy.version {
            Version::V1 => directory.freeze_v1(),
            Version::V2 => directory.set_frozen_v2(true),
        };
        if frozen.is_err() {
            // A cgroup that is half frozen helps nobody.
            drop(self.thaw());
        }
        frozen
    }

    /// Lets its processes go on.
    ///
    /// # Errors
    /// As [`Self::freeze`].
    pub fn thaw(&self) -> Result<(), Error> {
        let directory = self.freezer()?;
        match directory.hierarchy.version {
            Version::V1 => directory.write("freezer.state", "THAWED"),
            Version::V2 => directory.set_frozen_v2(false),
        }
    }

    /// Whether it is frozen, or was told to.
    ///
    /// # Errors
    /// [`Error::Io`] with the file. A cgroup that is not there, or that has no freezer, is not frozen.
    pub fn is_frozen(&self) -> Result<bool, Error> {
        let Ok(directory) = self.freezer() else { return Ok(false) };
        let (file, thawed) = match directory.hierarchy.version {
            Version::V1 => ("freezer.state", "THAWED"),
            Version::V2 => ("cgroup.freeze", "0"),
        };
        Ok(directory.read_if_there(file)?.is_some_and(|state| state != thawed))
    }

    /// v1's freezer where there is one: what `pause` of another runtime used as well.
    fn freezer(&self) -> Result<&Directory, Error> {
        let freezer = self.controller("freezer").or_else(|| self.unified());
        freezer.ok_or(Error::NoController { controller: "freezer" })
    }
}

impl Directory {
    /// v1's freezer tells nobody when it is done, and a process that comes into the cgroup meanwhile, or one that waits in
    /// vfork(2), can keep it at `FREEZING` for ever: then it is told again, and now and then thawed in between.
    fn freeze_v1(&self) -> Result<(), Error> {
        const QUICK: u32 = 50;
        let deadline = Instant::now() + LIMIT;
        let mut turn = 0;
        while turn < QUICK || Instant::now() < deadline {
            if turn % 50 == 49 {
                self.write("freezer.state", "THAWED")?;
                pause();
            }
            self.write("freezer.state", "FROZEN")?;
            if turn % 25 == 24 {
                pause();
            }
            match self.read("freezer.state")?.as_str() {
                "FROZEN" => return Ok(()),
                "FREEZING" => {}
                text => {
                    let path = self.path.join("freezer.state");
                    return Err(Error::Unreadable { path, text: text.to_owned() });
                }
            }
            std::thread::yield_now();
            turn += 1;
        }
        Err(Error::TimedOut { path: self.path.clone(), what: "frozen" })
    }

    fn set_frozen_v2(&self, frozen: bool) -> Result<(), Error> {
        let digit = u8::from(frozen);
        // ORDER: the watch before the look, so that a change in between wakes.
        let events = self.path.join("cgroup.events");
        let watch = FileWatch::new(&events).map_err(Error::io("watch", &events))?;
        self.set("cgroup.freeze", "freezing", digit)?;
        let line = format!("frozen {digit}");
        if self.wait_for_event(&watch, &line, LIMIT)? {
            return Ok(());
        }
        let what = if frozen { "frozen" } else { "thawed" };
        Err(Error::TimedOut { path: self.path.clone(), what })
    }

    /// Waits until `cgroup.events` has a line; whether it came to have it.
    pub(crate) fn wait_for_event(
        &self,
        watch: &FileWatch,
        line: &str,
        timeout: Duration,
    ) -> Result<bool, Error> {
        let deadline = Instant::now() + timeout;
        loop {
            let Some(text) = self.read_if_there("cgroup.events")? else { return Ok(true) };
            if text.lines().any(|one| one == line) {
                return Ok(true);
            }
            let left = deadline.saturating_duration_since(Instant::now());
            let events = || self.path.join("cgroup.events");
            if left.is_zero() || !watch.wait(left).map_err(Error::io("wait for", events()))? {
                return Ok(false);
            }
        }
    }
}

/// Gives the processes a moment, where the kernel has no event to wait for.
pub(crate) fn pause() {
    drop(watch::wait_readable(&[], Some(Duration::from_millis(1))));
}
