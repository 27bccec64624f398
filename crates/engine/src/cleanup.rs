//! Cleanup: what is done once a container has ended, by whoever comes first: the command that attends it, the monitor's
//! exit command, or the next verb about it. Also the restart policy, which the exit command carries out.

use std::time::Duration;

use dhow_state::{ContainerId, Exit, Status};
use dhow_sys::pidfd::{Process, ProcessId};
use dhow_sys::watch::DirWatch;

use crate::engine::{Engine, Held};
use crate::error::{Error, Result};
use crate::request::{RemoveRequest, RestartPolicy};

/// The first delay before a restart; doubled for each that follows a short life.
const FIRST_DELAY: Duration = Duration::from_millis(100);
/// The longest delay.
const LONGEST_DELAY: Duration = Duration::from_secs(60);
/// A life of this length shows that the container works: the next delay is the first again.
const LONG_LIFE: Duration = Duration::from_secs(10);

impl Engine {
    /// `container cleanup`: unmounts what has ended, restarts it where its policy says so, removes it with `--rm`.
    ///
    /// # Errors
    /// [`Error::InvalidState`] while it runs; what unmounting or removing says.
    pub fn cleanup(&self, container: &str) -> Result<()> {
        let id = self.resolve(container)?;
        if self.is_restarting(&id)? {
            return Ok(());
        }
        let held = self.hold(&id)?;
        let status = held.status();
        if matches!(status, Status::Running | Status::Paused | Status::Stopping) {
            return Err(Error::InvalidState {
                verb: "clean up",
                id,
                status,
                hint: "; stop it first",
            });
        }
        let auto_remove = held.locked.snapshot().config.auto_remove;
        let restart = match status {
            Status::Stopped => restart_delay(&held),
            _ => None,
        };
        drop(held);
        if auto_remove && matches!(status, Status::Stopped | Status::Exited) {
            return self.remove(&RemoveRequest {
                container: id.to_string(),
                volumes: true,
                ..RemoveRequest::default()
            });
        }
        self.clean(&id)?;
        match restart {
            Some(delay) => self.restart_after(&id, delay),
            None => Ok(()),
        }
    }

    /// Takes down what an ended container has left, and records how it ended. Idempotent.
    pub(crate) fn clean(&self, id: &ContainerId) -> Result<()> {
        let mut held = self.hold(id)?;
        match held.status() {
            Status::Stopped => self.finish_life(&mut held),
            _ => Ok(()),
        }
    }

    /// The end of a life: what init has put up is taken down, and the exit goes from the monitor's record into the
    /// engine's. ORDER: last, so that until then the next command does the same again.
    pub(crate) fn finish_life(&self, held: &mut Held) -> Result<()> {
        let exit =
            held.locked.snapshot().exit.clone().unwrap_or_else(|| Exit::unknown(dhow_state::now()));
        self.tear_down(held)?;
        held.locked.finish(&exit).map_err(Error::State)
    }

    /// Takes down everything that init has put up, in the opposite order: the processes, the runtime's own record, the
    /// mounts. Goes on after an error and returns the first. Idempotent: decided from what is there.
    pub(crate) fn tear_down(&self, held: &Held) -> Result<()> {
        let id = held.id();
        let mut first: Option<Error> = None;
        let mut keep = |result: Result<()>| {
            if let Err(e) = result {
                tracing::debug!(%id, error = %e, "teardown goes on after an error");
                first.get_or_insert(e);
            }
        };
        if !held.runtime_may_know() {
            return self.unmount_all(id, held);
        }
        keep(self.end_processes(held));
        match self.runtime(&held.config) {
            // Both at once: the runtime's delete looks at its own record and at cgroups, not at what is mounted here.
            Ok(runtime) => std::thread::scope(|scope| {
                let deleting = scope.spawn(|| runtime.delete(id.as_str(), true));
                keep(self.unmount_all(id, held));
                match deleting.join() {
                    Ok(deleted) => keep(deleted.map_err(Error::Runtime)),
                    Err(panic) => std::panic::resume_unwind(panic),
                }
            }),
            // A runtime that is not there (any more) can take nothing away; the container must still be removable.
            Err(e) => {
                tracing::debug!(%id, error = %e, "no runtime to delete the container with");
                keep(self.unmount_all(id, held));
            }
        }
        first.map_or(Ok(()), Err)
    }

    /// Ends a process that still waits to be started, and a monitor that has not told how its container ended.
    fn end_processes(&self, held: &Held) -> Result<()> {
        let snapshot = held.locked.snapshot();
        if snapshot.exit.is_some() {
            // The monitor has done all it does for the container; what it runs now may be this very command.
            return Ok(());
        }
        // ORDER: the monitor first. It would take the end of the process for the container's exit, and run this command.
        for process in [snapshot.monitor(), snapshot.init()].into_iter().flatten() {
            kill_process(process)?;
        }
        Ok(())
    }

    pub(crate) fn unmount_all(&self, id: &ContainerId, held: &Held) -> Result<()> {
        // The network namespace is a mount too. Whatever becomes of it, the others are tried.
        let released = self.release_networks(id);
        let overlays = self.overlay_dir(id);
        if overlays.exists() {
            for entry in dhow_sys::mountinfo::mounts_below(&overlays)
                .map_err(Error::io("list the mounts of", &overlays))?
            {
                dhow_sys::mount::unmount(&entry.target, false)
                    .map_err(Error::io("unmount", &entry.target))?;
            }
        }
        let rootfs = self.rootfs(id, &held.config)?;
        if rootfs.holds().map_err(Error::Storage)? == 0 {
            rootfs.unmount().map_err(Error::Storage)?;
        }
        dhow_storage::unmount_shm(&self.shm_dir(id)).map(drop).map_err(Error::Storage)?;
        released
    }

    /// Starts the container again after a while, unless the user wants something else of it meanwhile.
    fn restart_after(&self, id: &ContainerId, delay: Duration) -> Result<()> {
        let run = self.run_dir(id);
        let watch = DirWatch::new(&run).map_err(Error::io("watch", &run))?;
        let wanted = || -> Result<bool> {
            match self.snapshot(id) {
                Ok(snapshot) => {
                    Ok(snapshot.status() == Status::Exited && !snapshot.record.stopped_by_user)
                }
                Err(Error::NoSuch { .. }) => Ok(false),
                Err(e) => Err(e),
            }
        };
        let deadline = std::time::Instant::now() + delay;
        loop {
            if !wanted()? {
                return Ok(());
            }
            let left = deadline.saturating_duration_since(std::time::Instant::now());
            if left.is_zero() {
                break;
            }
            watch.wait(&[], Some(left)).map_err(Error::io("watch", &run))?;
        }
        self.start_dependencies(id)?;
        let mut held = self.hold(id)?;
        if held.status() != Status::Exited || held.locked.snapshot().record.stopped_by_user {
            return Ok(());
        }
        let restarts = held.locked.snapshot().record.restart_count + 1;
        self.initialize(&mut held)?;
        self.launch_process(&mut held, restarts)
    }
}

/// The delay before the restart that the policy asks for; `None`: it asks for none.
fn restart_delay(held: &Held) -> Option<Duration> {
    let snapshot = held.locked.snapshot();
    if snapshot.record.stopped_by_user {
        return None;
    }
    let restarts = snapshot.record.restart_count;
    match held.config.restart {
        RestartPolicy::No => return None,
        RestartPolicy::Always | RestartPolicy::UnlessStopped => {}
        RestartPolicy::OnFailure(limit) => {
            if snapshot.exit_code() == Some(0) || limit.is_some_and(|limit| restarts >= limit) {
                return None;
            }
        }
    }
    let lived = match (snapshot.started_at(), snapshot.finished_at()) {
        (Some(start), Some(end)) => Duration::from_nanos(u64::try_from(end - start).unwrap_or(0)),
        _ => Duration::ZERO,
    };
    if lived >= LONG_LIFE {
        return Some(FIRST_DELAY);
    }
    Some(FIRST_DELAY.saturating_mul(1 << restarts.min(10)).min(LONGEST_DELAY))
}

/// Kills a process and waits for its end; nothing where it has gone, or its pid is another's now.
pub(crate) fn kill_process(id: ProcessId) -> Result<()> {
    const KILL: i32 = 9;
    const REAP_TIMEOUT: Duration = Duration::from_secs(10);
    let path = format!("/proc/{}", id.pid);
    if let Some(process) = Process::open(id).map_err(Error::io("find the process", &path))? {
        process.signal(KILL).map_err(Error::io("kill the process", &path))?;
        process.wait_exit(Some(REAP_TIMEOUT)).map_err(Error::io("wait for the process", &path))?;
    }
    Ok(())
}
