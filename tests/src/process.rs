//! Processes: being their subreaper, finding those that belong to a test, reaping orphans.

use std::collections::HashSet;
use std::io;
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::sync::Mutex;

use nix::sys::signal::{Signal, kill};
use nix::sys::wait::{WaitPidFlag, waitpid};
use nix::unistd::Pid;

/// Children that a `Child` waits for; every other zombie of ours is an orphan that came to us as subreaper.
static OWNED: Mutex<Option<HashSet<u32>>> = Mutex::new(None);

pub(crate) struct Children;

impl Children {
    /// Starts a child and marks it as owned before the reaper can see it.
    pub(crate) fn spawn(command: &mut Command) -> io::Result<Child> {
        let mut owned = OWNED.lock().expect("no poison");
        nix::sys::prctl::set_child_subreaper(true)?;
        let child = command.spawn()?;
        owned.get_or_insert_with(HashSet::new).insert(child.id());
        Ok(child)
    }

    /// Runs a tool of the harness to its end; what it wrote to stdout.
    ///
    /// # Errors
    /// It cannot be started, or fails.
    pub(crate) fn run(command: &mut Command) -> io::Result<String> {
        let child = Self::spawn(command.stdin(Stdio::null()).stdout(Stdio::piped()))?;
        let pid = child.id();
        let output = child.wait_with_output();
        Self::forget(pid);
        let output = output?;
        if output.status.success() {
            Ok(String::from_utf8_lossy(&output.stdout).into_owned())
        } else {
            Err(io::Error::other(format!("{command:?}: {}", output.status)))
        }
    }

    /// The owner has waited for it.
    pub(crate) fn forget(pid: u32) {
        OWNED.lock().expect("no poison").get_or_insert_with(HashSet::new).remove(&pid);
    }

    /// Reaps the orphans that have ended: monitors and container processes whose parents are gone.
    pub(crate) fn reap() {
        let mut owned = OWNED.lock().expect("no poison");
        let owned = owned.get_or_insert_with(HashSet::new);
        let own = std::process::id();
        for process in Proc::all() {
            if process.parent == own && process.state == 'Z' && !owned.contains(&process.pid) {
                waitpid(process.raw(), Some(WaitPidFlag::WNOHANG)).ok();
            }
        }
    }
}

/// A process as /proc shows it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Proc {
    /// Its id.
    pub pid: u32,
    /// Its parent's id.
    pub parent: u32,
    /// The letter of its state; Z: it has ended.
    pub state: char,
    /// Its arguments, joined by blanks.
    pub line: String,
}

impl Proc {
    /// All processes of the machine.
    pub fn all() -> Vec<Self> {
        let entries = std::fs::read_dir("/proc").expect("/proc is mounted").flatten();
        entries.filter_map(|entry| Self::of(entry.file_name().to_str()?.parse().ok()?)).collect()
    }

    /// One process, if it is there.
    pub fn of(pid: u32) -> Option<Self> {
        let stat = std::fs::read_to_string(format!("/proc/{pid}/stat")).ok()?;
        let mut fields = stat.rsplit_once(") ")?.1.split(' ');
        let state = fields.next()?.chars().next()?;
        let parent = fields.next()?.parse().ok()?;
        let line = std::fs::read(format!("/proc/{pid}/cmdline")).unwrap_or_default();
        Some(Self { pid, parent, state, line: String::from_utf8_lossy(&line).replace('\0', " ") })
    }

    /// Whether a process with this id runs and has not ended.
    pub fn alive(pid: u32) -> bool {
        Self::of(pid).is_some_and(|process| process.state != 'Z')
    }

    /// The living processes that belong to an environment: those that name its directory in their arguments, and
    /// those whose root file system lies in it. (A process that merely sees its mounts, such as any that has a copy of
    /// the machine's mount namespace, is somebody else's.)
    pub fn of_env(dir: &Path) -> Vec<Self> {
        let needle = format!("{}/", dir.display());
        let own = std::process::id();
        let mut found = Self::all();
        found.retain(|process| {
            let alive = process.state != 'Z' && process.pid != own && process.pid != 1;
            alive && (process.line.contains(&needle) || process.is_rooted_in(&needle))
        });
        found
    }

    fn is_rooted_in(&self, needle: &str) -> bool {
        let mounts =
            std::fs::read_to_string(format!("/proc/{}/mountinfo", self.pid)).unwrap_or_default();
        mounts.lines().any(|line| line.split(' ').nth(4) == Some("/") && line.contains(needle))
    }

    /// Sends it a signal.
    pub fn signal(&self, signal: Signal) {
        kill(self.raw(), signal).ok();
    }

    fn raw(&self) -> Pid {
        Pid::from_raw(i32::try_from(self.pid).expect("a pid"))
    }
}
