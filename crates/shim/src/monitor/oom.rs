//! Whether the out-of-memory killer was at work in the container's cgroup.
//!
//! cgroup v2: `memory.events` changes (inotify). v1: an eventfd on `memory.oom_control`. Both files count kills, and are
//! read once more at the end, before anybody removes the cgroup. A cgroup without a memory controller is no error.

use std::fs;
use std::io;
use std::os::fd::{AsFd, AsRawFd, OwnedFd};
use std::path::{Path, PathBuf};

use mio::unix::SourceFd;
use mio::{Interest, Registry};
use nix::sys::eventfd::{EfdFlags, EventFd};
use nix::sys::inotify::{AddWatchFlags, InitFlags, Inotify};
use nix::sys::statfs::{CGROUP2_SUPER_MAGIC, statfs};

use super::source::Source;

const CGROUP: &str = "/sys/fs/cgroup";

/// The watch on one cgroup.
#[derive(Debug)]
pub(super) struct OomWatch {
    /// The file that counts.
    counters: PathBuf,
    /// Lines of it that count a kill (v2 also counts limits that were hit without one to be killed).
    names: &'static [&'static str],
    notifier: Notifier,
}

#[derive(Debug)]
enum Notifier {
    Inotify(Inotify),
    /// The open file is what keeps the registration.
    EventFd(EventFd, #[expect(dead_code, reason = "held open")] OwnedFd),
}

impl OomWatch {
    /// Watches the cgroup that `pid` is in.
    pub(super) fn on(pid: i32, registry: &Registry) -> io::Result<Self> {
        let groups = fs::read_to_string(format!("/proc/{pid}/cgroup"))?;
        // A hybrid layout has a tmpfs there: its memory controller is v1's.
        let unified = statfs(CGROUP)?.filesystem_type() == CGROUP2_SUPER_MAGIC;
        let watch = if unified { Self::v2(&groups) } else { Self::v1(&groups) }?;
        let fd = match &watch.notifier {
            Notifier::Inotify(inotify) => inotify.as_fd().as_raw_fd(),
            Notifier::EventFd(eventfd, _) => eventfd.as_fd().as_raw_fd(),
        };
        registry.register(&mut SourceFd(&fd), Source::Oom.token(), Interest::READABLE)?;
        Ok(watch)
    }

    fn v2(groups: &str) -> io::Result<Self> {
        let group = groups
            .lines()
            .find_map(|line| line.strip_prefix("0::"))
            .ok_or(io::ErrorKind::NotFound)?;
        let counters = below(Path::new(CGROUP), group).join("memory.events");
        let inotify = Inotify::init(InitFlags::IN_CLOEXEC | InitFlags::IN_NONBLOCK)?;
        inotify.add_watch(&counters, AddWatchFlags::IN_MODIFY)?;
        Ok(OomWatch { counters, names: &["oom", "oom_kill"], notifier: Notifier::Inotify(inotify) })
    }

    fn v1(groups: &str) -> io::Result<Self> {
        let group = groups.lines().find_map(|line| {
            let (_, rest) = line.split_once(':')?;
            let (controllers, group) = rest.split_once(':')?;
            controllers.split(',').any(|c| c == "memory").then_some(group)
        });
        let directory =
            below(&Path::new(CGROUP).join("memory"), group.ok_or(io::ErrorKind::NotFound)?);
        let counters = directory.join("memory.oom_control");
        let control: OwnedFd = fs::File::open(&counters)?.into();
        let eventfd = EventFd::from_flags(EfdFlags::EFD_CLOEXEC | EfdFlags::EFD_NONBLOCK)?;
        let registration = format!("{} {}", eventfd.as_fd().as_raw_fd(), control.as_raw_fd());
        let mut event_control =
            fs::OpenOptions::new().write(true).open(directory.join("cgroup.event_control"))?;
        io::Write::write_all(&mut event_control, registration.as_bytes())?;
        Ok(OomWatch {
            counters,
            names: &["oom_kill"],
            notifier: Notifier::EventFd(eventfd, control),
        })
    }

    /// Takes note that the notifier was heard; whether there was a kill. Removal of a v1 cgroup is notified too.
    pub(super) fn heard(&self) -> bool {
        match &self.notifier {
            Notifier::Inotify(inotify) => drop(inotify.read_events()),
            Notifier::EventFd(eventfd, _) => drop(eventfd.read()),
        }
        self.killed()
    }

    /// Whether there was a kill, as far as the cgroup still tells.
    pub(super) fn killed(&self) -> bool {
        fs::read_to_string(&self.counters).is_ok_and(|text| counts(&text, self.names))
    }
}

fn below(root: &Path, group: &str) -> PathBuf {
    root.join(group.trim_start_matches('/'))
}

fn counts(text: &str, names: &[&str]) -> bool {
    text.lines()
        .filter_map(|line| line.split_once(' '))
        .any(|(name, count)| names.contains(&name) && count.trim() != "0")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn counters_of_both_versions() {
        assert!(!counts(
            "low 0\nhigh 0\nmax 7\noom 0\noom_kill 0\noom_group_kill 0\n",
            &["oom", "oom_kill"]
        ));
        assert!(counts("max 7\noom 0\noom_kill 2\n", &["oom", "oom_kill"]));
        assert!(counts("max 7\noom 1\noom_kill 0\n", &["oom", "oom_kill"]));
        assert!(!counts("oom_kill_disable 1\nunder_oom 1\noom_kill 0\n", &["oom_kill"]));
        assert!(counts("oom_kill_disable 0\nunder_oom 0\noom_kill 1\n", &["oom_kill"]));
    }
}
