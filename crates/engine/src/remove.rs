//! `rm`: the record says *removing*, then everything goes, the record last.

use std::collections::BTreeSet;
use std::path::Path;

use dhow_state::{ContainerId, Status};

use crate::cleanup::kill_process;
use crate::config::ContainerConfig;
use crate::engine::{Engine, Held, LOCK_TIMEOUT};
use crate::error::{Error, Object, Result};
use crate::request::RemoveRequest;

impl Engine {
    /// Removes the container.
    ///
    /// # Errors
    /// [`Error::InvalidState`] while it runs and `force` was not given; [`Error::InUse`] while another container
    /// shares its namespaces. A container that is damaged can be removed with `force` only.
    pub fn remove(&self, request: &RemoveRequest) -> Result<()> {
        let id = self.resolve(&request.container)?;
        self.remove_dependents(&id, request)?;
        if request.force {
            match self.end(&id, request) {
                Ok(()) => {}
                Err(Error::NoSuch { .. }) => return Ok(()),
                Err(e) if is_damage(&e) => return self.evict(&id),
                Err(e) => return Err(e),
            }
        }
        let held = match self.hold(&id) {
            Ok(held) => held,
            // A removal that somebody else had begun was finished on the way.
            Err(Error::NoSuch { .. }) => return Ok(()),
            Err(e) if request.force && is_damage(&e) => return self.evict(&id),
            Err(e) => return Err(e),
        };
        match held.status() {
            Status::Created | Status::Initialized | Status::Stopped | Status::Exited => {}
            status => {
                return Err(Error::InvalidState {
                    verb: "remove",
                    id,
                    status,
                    hint: "; stop it first, or use --force",
                });
            }
        }
        self.remove_held(held, request.volumes)
    }

    /// The locked half, also for a removal that somebody else has begun and not finished.
    pub(crate) fn remove_held(&self, mut held: Held, volumes: bool) -> Result<()> {
        let id = held.id().clone();
        // Asked before the record changes: an ended container is nothing to the runtime any more.
        let teardown = held.runtime_may_know();
        held.locked.begin_removal(volumes).map_err(Error::State)?;
        let volumes = held.locked.snapshot().removing_volumes;
        if teardown {
            self.tear_down(&held)?;
        } else {
            self.unmount_all(&id, &held)?;
        }
        self.rootfs(&id, &held.config)?.remove().map_err(Error::Storage)?;
        let anonymous: Vec<_> = match volumes || held.locked.snapshot().config.auto_remove {
            true => {
                held.config.volumes.iter().filter(|v| v.anonymous).map(|v| v.name.clone()).collect()
            }
            false => Vec::new(),
        };
        self.drop_volumes(&anonymous);
        if let Some(log) = held
            .config
            .log
            .path
            .as_deref()
            .filter(|log| !log.starts_with(self.layout().container_dir(&id)))
        {
            remove_logs(log);
        }
        if let Some(cidfile) = &held.config.cidfile {
            remove_cidfile(cidfile, &id);
        }
        held.locked.finish_removal().map_err(Error::State)
    }

    /// Finishes what earlier boots have left to be removed: interrupted removals, and containers made with `--rm`. As far
    /// as it goes: whoever names one of them later comes to the same.
    pub(crate) fn finish_removals(&self) {
        let Ok(ids) = self.store.ids() else { return };
        for id in ids {
            // One that cannot be read is somebody else's error, once they ask for it.
            if !self.status(&id).is_ok_and(|status| status == Status::Removing) {
                continue;
            }
            // To hold it is to finish it.
            match self.hold(&id) {
                Ok(_) | Err(Error::NoSuch { .. }) => {}
                Err(error) => tracing::debug!(%id, %error, "cannot finish a removal"),
            }
        }
    }

    /// Ends what runs, as far as there is something.
    fn end(&self, id: &ContainerId, request: &RemoveRequest) -> Result<()> {
        match self.status(id)? {
            Status::Running | Status::Stopping => {
                self.stop_id(id, request.timeout.map(crate::request::Timeout::duration))?;
            }
            Status::Paused => self.kill_and_wait(id)?,
            _ => {}
        }
        Ok(())
    }

    /// Removes a container whose records cannot be read: by what lies on disk and what the kernel says.
    fn evict(&self, id: &ContainerId) -> Result<()> {
        let eviction = self.store.evict(id, LOCK_TIMEOUT).map_err(Error::State)?;
        for process in eviction.processes() {
            kill_process(process)?;
        }
        if let Ok(runtime) = self.find_runtime(None)
            && let Err(e) = runtime.delete(id.as_str(), true)
        {
            tracing::debug!(%id, error = %e, "the runtime does not delete the damaged container");
        }
        self.release_networks(id)?;
        for dir in [self.layout().container_dir(id), self.run_dir(id)] {
            let mut below = dhow_sys::mountinfo::mounts_below(&dir)
                .map_err(Error::io("list the mounts of", &dir))?;
            below.reverse();
            for entry in below {
                dhow_sys::mount::unmount(&entry.target, false)
                    .map_err(Error::io("unmount", &entry.target))?;
            }
        }
        eviction.finish().map_err(Error::State)
    }

    /// Refuses, or with `depend` removes, the containers that share this one's namespaces.
    fn remove_dependents(&self, id: &ContainerId, request: &RemoveRequest) -> Result<()> {
        let dependents = self.dependents(id)?;
        if dependents.is_empty() {
            return Ok(());
        }
        if !request.depend {
            let by: Vec<_> = dependents.iter().map(ContainerId::short).collect();
            return Err(Error::InUse {
                object: Object::Container,
                name: id.to_string(),
                by: by.join(", "),
            });
        }
        for dependent in dependents {
            self.remove(&RemoveRequest { container: dependent.to_string(), ..request.clone() })?;
        }
        Ok(())
    }

    /// The containers that share a namespace of this one.
    pub(crate) fn dependents(&self, id: &ContainerId) -> Result<BTreeSet<ContainerId>> {
        let mut dependents = BTreeSet::new();
        for other in self.store.ids().map_err(Error::State)? {
            // A container that vanishes, or cannot be read, depends on nothing that could be known.
            if other == *id {
                continue;
            }
            let Ok(stored) = self.store.config(&other) else { continue };
            // Every removal asks all containers: parse only those that name this one at all.
            if !stored.payload.get().contains(id.as_str()) {
                continue;
            }
            let Ok(config) = serde_json::from_str::<ContainerConfig>(stored.payload.get()) else {
                continue;
            };
            if config.joins.iter().any(|join| join.container == *id) {
                dependents.insert(other);
            }
        }
        Ok(dependents)
    }
}

fn is_damage(e: &Error) -> bool {
    matches!(e, Error::Corrupt { .. } | Error::State(dhow_state::Error::Corrupt { .. }))
}

/// Removes a log that lies elsewhere (`--log-opt path=`), with what rotation has made of it: as podman, best effort.
fn remove_logs(log: &Path) {
    let mut paths = vec![log.to_owned()];
    for n in 1.. {
        let mut rotated = log.as_os_str().to_owned();
        rotated.push(format!(".{n}"));
        let rotated = std::path::PathBuf::from(rotated);
        if !rotated.exists() {
            break;
        }
        paths.push(rotated);
    }
    for path in paths {
        if let Err(e) = std::fs::remove_file(&path) {
            tracing::debug!(path = %path.display(), error = %e, "log not removed");
        }
    }
}

/// Removes the file of `--cidfile` while it still holds this id.
fn remove_cidfile(path: &Path, id: &ContainerId) {
    match dhow_sys::fs::read_bounded(path, 128) {
        Ok(bytes) if bytes.trim_ascii() == id.as_str().as_bytes() => {
            if let Err(e) = std::fs::remove_file(path) {
                tracing::debug!(path = %path.display(), error = %e, "cidfile not removed");
            }
        }
        _ => {}
    }
}
