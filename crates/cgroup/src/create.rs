//! Making the cgroup, and putting processes into it.

use std::collections::BTreeSet;
use std::io;
use std::os::fd::OwnedFd;
use std::path::{Path, PathBuf};

use rustix::fs::{Mode, OFlags};

use crate::file::{read_raw, write_raw};
use crate::hierarchy::Version;
use crate::{Cgroup, Directory, Error};

impl Cgroup {
    /// Makes its directories, with what the kernel wants before a process can be in them. One that is there already is
    /// taken, if it is empty.
    ///
    /// CRASH: directories that a killed create leaves are empty, and the next create or [`Self::delete`] takes them.
    ///
    /// # Errors
    /// [`Error::InUse`] where a process is in it, [`Error::Io`] with the directory.
    pub fn create(&self) -> Result<(), Error> {
        let unified = self.directories.iter().all(|one| one.hierarchy.version == Version::V2);
        for directory in &self.directories {
            let made = directory.make(unified)?;
            if !made && let Some(pid) = directory.first_process()? {
                return Err(Error::InUse { path: directory.path.clone(), pid });
            }
            if directory.hierarchy.version == Version::V1 && directory.hierarchy.has("cpuset") {
                directory.inherit_cpuset()?;
            }
        }
        Ok(())
    }

    /// Moves a process into it, in every hierarchy.
    ///
    /// # Errors
    /// [`Error::Write`] with the file.
    pub fn add(&self, pid: i32) -> Result<(), Error> {
        self.directories.iter().try_for_each(|directory| directory.add(pid))
    }

    /// As [`Self::add`], for a process that was started in the v2 directory ([`Self::open`] and `CLONE_INTO_CGROUP`).
    ///
    /// # Errors
    /// As [`Self::add`].
    pub fn add_to_v1(&self, pid: i32) -> Result<(), Error> {
        let mut legacy = self.directories.iter().filter(|one| one.hierarchy.version == Version::V1);
        legacy.try_for_each(|directory| directory.add(pid))
    }

    /// The v2 directory, for `CLONE_INTO_CGROUP`; `None` on a machine with v1 alone.
    ///
    /// # Errors
    /// [`Error::Io`] with the directory.
    pub fn open(&self) -> Result<Option<OwnedFd>, Error> {
        let Some(directory) = self.unified() else { return Ok(None) };
        let flags = OFlags::PATH | OFlags::DIRECTORY | OFlags::CLOEXEC;
        rustix::fs::open(&directory.path, flags, Mode::empty())
            .map(Some)
            .map_err(|errno| Error::io("open", &directory.path)(errno.into()))
    }

    /// Whether it is there.
    #[must_use]
    pub fn exists(&self) -> bool {
        self.directories.iter().any(|directory| directory.path.exists())
    }
}

impl Directory {
    /// Whether it was not there before.
    fn make(&self, enable: bool) -> Result<bool, Error> {
        if self.hierarchy.version == Version::V2 && enable {
            self.enable(&self.hierarchy.controllers)?;
        }
        match std::fs::create_dir(&self.path) {
            Ok(()) => return Ok(true),
            Err(error) if error.kind() == io::ErrorKind::AlreadyExists => return Ok(false),
            Err(error) if error.kind() == io::ErrorKind::NotFound => {}
            Err(error) => return Err(Error::io("make", &self.path)(error)),
        }
        std::fs::create_dir_all(&self.path).map_err(Error::io("make", &self.path))?;
        Ok(true)
    }

    /// Turns controllers on for the children of every directory above this one, making those directories.
    ///
    /// One that cannot be turned on (not delegated, or a process is in the directory) is left off: it is missed by whoever
    /// asks for it, and by name.
    pub(crate) fn enable(&self, controllers: &[String]) -> Result<(), Error> {
        let Some(parent) = self.path.parent() else { return Ok(()) };
        let missing = |path: &Path| -> Option<Vec<&String>> {
            let text = read_raw(&path.join("cgroup.subtree_control")).ok()?;
            let on: BTreeSet<&str> = text.split_whitespace().collect();
            Some(controllers.iter().filter(|one| !on.contains(one.as_str())).collect())
        };
        // The usual case: the directory above has had a child before.
        if missing(parent).is_some_and(|missing| missing.is_empty()) {
            return Ok(());
        }
        for above in self.above() {
            if above != self.hierarchy.mount {
                match std::fs::create_dir(&above) {
                    Err(error) if error.kind() != io::ErrorKind::AlreadyExists => {
                        return Err(Error::io("make", above)(error));
                    }
                    _ => {}
                }
            }
            let Some(missing) = missing(&above) else { continue };
            let control = above.join("cgroup.subtree_control");
            let plus = |one: &&String| format!("+{one}");
            let all: Vec<String> = missing.iter().map(plus).collect();
            if !all.is_empty() && write_raw(&control, &all.join(" ")).is_err() {
                // All or nothing is what the kernel does: what can be had is had one by one.
                all.iter().for_each(|one| drop(write_raw(&control, one)));
            }
        }
        Ok(())
    }

    /// The directories from the root of the hierarchy down to the one above this.
    fn above(&self) -> Vec<PathBuf> {
        let mut above: Vec<PathBuf> = self
            .path
            .ancestors()
            .skip(1)
            .take_while(|path| path.starts_with(&self.hierarchy.mount))
            .map(Path::to_owned)
            .collect();
        above.reverse();
        above
    }

    /// v1: a new cpuset has no CPU and no memory node, and takes no process before it has. From the root down.
    fn inherit_cpuset(&self) -> Result<(), Error> {
        let mut chain = self.above();
        chain.push(self.path.clone());
        let empty = |path: &Path| -> Result<bool, Error> {
            for file in ["cpuset.cpus", "cpuset.mems"] {
                let file = path.join(file);
                let text = read_raw(&file).map_err(Error::io("read", file))?;
                if text.trim().is_empty() {
                    return Ok(true);
                }
            }
            Ok(false)
        };
        if !empty(&self.path)? {
            return Ok(());
        }
        for pair in chain.windows(2) {
            let [parent, child] = pair else { continue };
            for name in ["cpuset.cpus", "cpuset.mems"] {
                let (from, to) = (parent.join(name), child.join(name));
                let has = read_raw(&to).map_err(Error::io("read", &to))?;
                if has.trim().is_empty() {
                    let value = read_raw(&from).map_err(Error::io("read", from))?;
                    let value = value.trim().to_owned();
                    write_raw(&to, &value).map_err(|source| Error::Write {
                        value,
                        path: to,
                        source,
                    })?;
                }
            }
        }
        Ok(())
    }

    fn add(&self, pid: i32) -> Result<(), Error> {
        const TRIES: usize = 100;
        for _ in 1..TRIES {
            match self.write("cgroup.procs", pid) {
                // The process is so new that the scheduler does not know it yet.
                Err(Error::Write { source, .. }) if source.raw_os_error() == Some(22) => {
                    std::thread::yield_now();
                }
                other => return other,
            }
        }
        self.write("cgroup.procs", pid)
    }

    fn first_process(&self) -> Result<Option<i32>, Error> {
        let text = self.read("cgroup.procs")?;
        Ok(text.lines().next().and_then(|line| line.parse().ok()))
    }
}
