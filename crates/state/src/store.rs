//! The containers of one pair of roots: finding them, locking them, making them.
//!
//! ORDER: a container's lock, then `run/lock`, each for a few file operations; never two containers' locks at a time,
//! but for one tried without waiting while a name is claimed.

use std::collections::HashSet;
use std::io;
use std::path::Path;
use std::time::Duration;

use dhow_sys::fs::{create_dir, create_dir_all};
use dhow_sys::lock::{FileLock, LockError, LockMode};

use crate::artifacts::Artifacts;
use crate::document::{self, MAX_RECORD};
use crate::error::{Error, Result};
use crate::id::{ContainerId, is_hex};
use crate::layout::Layout;
use crate::name::ContainerName;
use crate::record::{Config, Exit};
use crate::snapshot::{self, Found, Snapshot, read_link};
use crate::volumes::Volumes;

mod boot;
mod exits;
mod locked;
mod names;
mod removal;
mod reservation;

pub use locked::Locked;
pub use removal::Eviction;
pub use reservation::Reservation;

/// How long the lock of a container that is only being made, or a short common step, is waited for.
const SHORT_WAIT: Duration = Duration::from_secs(60);

/// All containers and volumes below a root. Opens nothing until it is asked; usable from several threads.
#[derive(Debug, Clone)]
pub struct Store {
    layout: Layout,
    boot_id: String,
    new_boot: bool,
}

impl Store {
    /// Makes the directories that are missing and, if `run` is of an earlier boot, clears it.
    ///
    /// # Errors
    /// The roots cannot be written.
    pub fn open(layout: Layout) -> Result<Store> {
        let boot_id = dhow_sys::boot::boot_id()
            .map_err(Error::io("read", Path::new("/proc/sys/kernel/random/boot_id")))?;
        for dir in [layout.containers(), layout.names_dir(), layout.volumes()] {
            create_dir_all(&dir, 0o700).map_err(Error::io("create", &dir))?;
        }
        let new_boot = boot::check(&layout, &boot_id)?;
        Ok(Store { layout, boot_id, new_boot })
    }

    /// Where the files are.
    #[must_use]
    pub fn layout(&self) -> &Layout {
        &self.layout
    }

    /// The kernel's id of this boot.
    #[must_use]
    pub fn boot_id(&self) -> &str {
        &self.boot_id
    }

    /// Whether this is the first store to be opened in this boot: the one whose engine finishes removals and takes the
    /// `--rm` containers of earlier boots away.
    #[must_use]
    pub fn new_boot(&self) -> bool {
        self.new_boot
    }

    /// The container with that name, id, or unique beginning of an id, in this order. A name and a full id are found
    /// without looking at any other container.
    ///
    /// # Errors
    /// [`Error::NotFound`] (for texts that cannot be a name or id, too), [`Error::Ambiguous`].
    pub fn resolve(&self, text: &str) -> Result<ContainerId> {
        if let Ok(name) = text.parse::<ContainerName>() {
            match self.resolve_name(&name) {
                Err(e) if e.is_not_found() => {}
                found => return found,
            }
        }
        if let Ok(id) = text.parse::<ContainerId>() {
            return if self.exists(&id)? { Ok(id) } else { Err(Error::not_found(text)) };
        }
        if !is_hex(text) {
            return Err(Error::not_found(&crate::id::cut(text)));
        }
        let mut candidates: Vec<ContainerId> = Vec::new();
        for id in self.directories()? {
            if id.as_str().starts_with(text) && self.exists(&id)? {
                candidates.push(id);
            }
        }
        candidates.sort();
        match candidates.len() {
            0 => Err(Error::not_found(text)),
            1 => Ok(candidates.remove(0)),
            _ => Err(Error::Ambiguous { prefix: text.to_owned(), candidates }),
        }
    }

    /// The container with exactly that name.
    ///
    /// # Errors
    /// [`Error::NotFound`].
    pub fn resolve_name(&self, name: &ContainerName) -> Result<ContainerId> {
        let owner =
            read_link(&self.layout.name(name))?.and_then(|text| text.parse::<ContainerId>().ok());
        let Some(id) = owner else { return Err(Error::not_found(name)) };
        // A link is one of two while a container is renamed: the container itself says which counts.
        let own = read_link(&self.layout.name_file(&id))?;
        if own.is_none_or(|own| own == name.as_str()) && self.exists(&id)? {
            Ok(id)
        } else {
            Err(Error::not_found(name))
        }
    }

    /// All containers, in no order. Takes away, on its way, what killed processes have left half made or half removed.
    ///
    /// # Errors
    /// The directory cannot be read.
    pub fn ids(&self) -> Result<Vec<ContainerId>> {
        let all = self.directories()?;
        self.sweep_run_dirs(&all);
        let mut ids = Vec::with_capacity(all.len());
        for id in all {
            if self.exists(&id)? {
                ids.push(id);
            }
        }
        Ok(ids)
    }

    fn directories(&self) -> Result<Vec<ContainerId>> {
        let dir = self.layout.containers();
        let mut ids = Vec::new();
        for entry in std::fs::read_dir(&dir).map_err(Error::io("read", &dir))? {
            let entry = entry.map_err(Error::io("read", &dir))?;
            // Whatever else lies there is not ours to judge.
            if let Some(id) = entry.file_name().to_str().and_then(|name| name.parse().ok()) {
                ids.push(id);
            }
        }
        Ok(ids)
    }

    /// Whether there is a configuration, readable or not. A directory without one is swept.
    fn exists(&self, id: &ContainerId) -> Result<bool> {
        let config = self.layout.config(id);
        match std::fs::symlink_metadata(&config) {
            Ok(meta) if meta.len() > 0 || !meta.is_file() => Ok(true),
            // Empty: a container or not is for `snapshot::read` to say.
            Ok(_) => Ok(self.is_container(id)),
            Err(e) if e.kind() == io::ErrorKind::NotFound => Ok(self.is_container(id)),
            // The directory is a file: damaged, and to be removed by force.
            Err(e) if e.kind() == io::ErrorKind::NotADirectory => Ok(true),
            Err(e) => Err(Error::io("look at", &config)(e)),
        }
    }

    /// Whether a directory without a usable configuration is a container all the same, if a damaged one; else it is swept.
    fn is_container(&self, id: &ContainerId) -> bool {
        match snapshot::read(&self.layout, id) {
            Ok(Found::Unfinished) => {
                self.sweep(id);
                false
            }
            Ok(Found::Nothing) => false,
            Ok(Found::Container(_)) | Err(_) => true,
        }
    }

    /// All that is on disk about a container, without a lock.
    ///
    /// # Errors
    /// [`Error::NotFound`]; [`Error::Corrupt`] naming the file.
    pub fn snapshot(&self, id: &ContainerId) -> Result<Snapshot> {
        match snapshot::read(&self.layout, id)? {
            Found::Container(snapshot) => Ok(*snapshot),
            Found::Nothing => Err(Error::not_found(id)),
            Found::Unfinished => {
                self.sweep(id);
                Err(Error::not_found(id))
            }
        }
    }

    /// Only the immutable part of a container: one file, where a snapshot takes several.
    ///
    /// # Errors
    /// [`Error::NotFound`]; [`Error::Corrupt`] naming the file.
    pub fn config(&self, id: &ContainerId) -> Result<Config> {
        snapshot::read_config(&self.layout, id)?.ok_or_else(|| Error::not_found(id))
    }

    /// Locks a container and reads it. What a killed process left half done is finished first.
    ///
    /// # Errors
    /// [`Error::Busy`] after `timeout`; [`Error::NotFound`]; [`Error::Corrupt`].
    pub fn lock(&self, id: &ContainerId, timeout: Duration) -> Result<Locked> {
        let lock = self.acquire(id, timeout)?;
        self.locked(id, lock)
    }

    /// Locks a container if nobody has it locked; `None` if somebody has.
    ///
    /// # Errors
    /// [`Error::NotFound`]; [`Error::Corrupt`].
    pub fn try_lock(&self, id: &ContainerId) -> Result<Option<Locked>> {
        match self.try_acquire(id)? {
            Some(lock) => self.locked(id, lock).map(Some),
            None => Ok(None),
        }
    }

    /// Locks what is there of a container, damaged or not, in order to remove it. Mounts in its directory are the
    /// caller's to undo first.
    ///
    /// # Errors
    /// [`Error::Busy`] after `timeout`; [`Error::NotFound`].
    pub fn evict(&self, id: &ContainerId, timeout: Duration) -> Result<Eviction> {
        let lock = self.acquire(id, timeout)?;
        Ok(Eviction::new(self.layout.clone(), id.clone(), lock))
    }

    /// Reserves an id and a name; without one, a free name is found.
    ///
    /// # Errors
    /// [`Error::NameInUse`]. Nothing is left behind.
    pub fn reserve(&self, id: &ContainerId, name: Option<&ContainerName>) -> Result<Reservation> {
        Reservation::new(self, id, name)
    }

    /// How a container ended that is removed by now, if that was in this boot and not too many removals ago.
    ///
    /// # Errors
    /// The fact is there and cannot be read.
    pub fn exit_of_removed(&self, id: &ContainerId) -> Result<Option<Exit>> {
        let path = self.layout.exit_of_removed(id);
        document::read(&path, MAX_RECORD).map_err(|p| p.of(id, &path))
    }

    /// The volumes.
    #[must_use]
    pub fn volumes(&self) -> Volumes<'_> {
        Volumes::new(&self.layout)
    }

    /// The artifacts of a container, for reading.
    #[must_use]
    pub fn artifacts<'a>(&'a self, id: &'a ContainerId) -> Artifacts<'a> {
        Artifacts::new(&self.layout, id)
    }

    fn locked(&self, id: &ContainerId, lock: FileLock) -> Result<Locked> {
        names::finish_rename(&self.layout, id)?;
        match snapshot::read(&self.layout, id)? {
            Found::Container(snapshot) => Ok(Locked::new(
                self.layout.clone(),
                self.boot_id.clone(),
                id.clone(),
                *snapshot,
                lock,
            )),
            Found::Nothing | Found::Unfinished => {
                removal::take_away(&self.layout, id, lock)?;
                Err(Error::not_found(id))
            }
        }
    }

    /// The lock of a container whose directory exists.
    fn acquire(&self, id: &ContainerId, timeout: Duration) -> Result<FileLock> {
        loop {
            self.require_directory(id)?;
            match acquire_in(&self.layout, id, timeout) {
                // The one who had it has removed the container, or only its run directory.
                Err(Error::Lock { source, .. }) if source.is_not_found() => {}
                other => return other,
            }
        }
    }

    fn try_acquire(&self, id: &ContainerId) -> Result<Option<FileLock>> {
        self.require_directory(id)?;
        make_run_dir(&self.layout, id)?;
        self.try_acquire_in_run(id)
    }

    /// The lock in a run directory, if that is there and nobody has it.
    fn try_acquire_in_run(&self, id: &ContainerId) -> Result<Option<FileLock>> {
        let path = self.layout.lock(id);
        match FileLock::try_acquire(&path, LockMode::Exclusive) {
            Ok(lock) => Ok(lock),
            // Its owner removes it just now.
            Err(e) if e.is_not_found() => Ok(None),
            Err(source) => Err(Error::Lock { path, source }),
        }
    }

    fn require_directory(&self, id: &ContainerId) -> Result<()> {
        let dir = self.layout.container_dir(id);
        match std::fs::symlink_metadata(&dir) {
            Ok(_) => Ok(()),
            Err(e) if e.kind() == io::ErrorKind::NotFound => Err(Error::not_found(id)),
            Err(e) => Err(Error::io("look at", &dir)(e)),
        }
    }

    /// Removes run directories without a container: one who came to lock it when it was just removed, and was killed.
    fn sweep_run_dirs(&self, containers: &[ContainerId]) {
        let known: HashSet<&str> = containers.iter().map(ContainerId::as_str).collect();
        let Ok(entries) = std::fs::read_dir(self.layout.run_containers()) else { return };
        for entry in entries.flatten() {
            let id = entry
                .file_name()
                .to_str()
                .filter(|name| !known.contains(name))
                .and_then(|name| name.parse().ok());
            // One that was made since the listing has a directory.
            if let Some(id) = id
                && self.require_directory(&id).is_err()
                && let Ok(Some(lock)) = self.try_acquire_in_run(&id)
                && let Err(error) = removal::take_away(&self.layout, &id, lock)
            {
                tracing::debug!(%id, %error, "cannot remove what is left of a container");
            }
        }
    }

    /// Takes an unfinished container away if nobody works on it. A reader's part in tidying: it waits for nobody and
    /// does not fail for it.
    fn sweep(&self, id: &ContainerId) {
        let swept = self.try_acquire(id).and_then(|lock| match lock {
            Some(lock) => match snapshot::read(&self.layout, id)? {
                // Committed since.
                Found::Container(_) => Ok(()),
                Found::Nothing | Found::Unfinished => removal::take_away(&self.layout, id, lock),
            },
            None => Ok(()),
        });
        if let Err(error) = swept
            && !error.is_not_found()
        {
            tracing::debug!(%id, %error, "cannot take an unfinished container away");
        }
    }
}

/// Makes the run directory and takes the lock in it.
fn acquire_in(layout: &Layout, id: &ContainerId, timeout: Duration) -> Result<FileLock> {
    make_run_dir(layout, id)?;
    let path = layout.lock(id);
    FileLock::acquire(&path, LockMode::Exclusive, Some(timeout)).map_err(|source| match source {
        LockError::Timeout { holder, .. } => Error::Busy { id: id.clone(), holder },
        source => Error::Lock { path, source },
    })
}

/// Not `create_dir_all`: whoever removes the container may take the directory away while that looks at it, and the lock,
/// taken next, is where this is noticed.
fn make_run_dir(layout: &Layout, id: &ContainerId) -> Result<()> {
    let dir = layout.run_dir(id);
    match create_dir(&dir, 0o700) {
        Err(e) if e.kind() != io::ErrorKind::AlreadyExists => Err(Error::io("create", &dir)(e)),
        _ => Ok(()),
    }
}

#[cfg(test)]
mod tests;
