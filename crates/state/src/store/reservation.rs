//! A container that is being made.
//!
//! ORDER: directory, lock, name, what the caller adds, `record.json`, and last `config.json`, with which it exists.
//! CRASH: before the last step there is a directory without a configuration, whose lock is free: whoever meets it takes
//! all of it away.

use std::io;
use std::io::Write;
use std::os::unix::fs::OpenOptionsExt;

use dhow_sys::fs::{Durability, create_dir};
use dhow_sys::lock::FileLock;
use serde_json::value::RawValue;

use crate::document::{self, VERSION};
use crate::error::{Error, Result};
use crate::id::ContainerId;
use crate::layout::Layout;
use crate::name::{ContainerName, VolumeName, random_name};
use crate::record::{Config, Phase, Record, now};
use crate::snapshot::Snapshot;
use crate::store::{Locked, SHORT_WAIT, Store, acquire_in, names, removal};
use crate::volumes::Volumes;

/// Random names tried; from the fourth on they have numbers.
const NAME_ATTEMPTS: u32 = 20;

/// An id, a name and a directory under lock, for a container that is not there yet. Dropped, it takes all of it away.
#[must_use = "dropping it undoes the reservation"]
#[derive(Debug)]
pub struct Reservation {
    layout: Layout,
    boot_id: String,
    id: ContainerId,
    name: ContainerName,
    /// `None` when committed.
    lock: Option<FileLock>,
}

impl Reservation {
    pub(super) fn new(
        store: &Store,
        id: &ContainerId,
        name: Option<&ContainerName>,
    ) -> Result<Self> {
        let layout = store.layout.clone();
        let lock = take_directory(&layout, id)?;
        match take_name(&layout, id, name) {
            Ok(name) => Ok(Reservation {
                layout,
                boot_id: store.boot_id.clone(),
                id: id.clone(),
                name,
                lock: Some(lock),
            }),
            Err(error) => {
                undo(&layout, id, lock);
                Err(error)
            }
        }
    }

    /// The container's id.
    #[must_use]
    pub fn id(&self) -> &ContainerId {
        &self.id
    }

    /// The container's name.
    #[must_use]
    pub fn name(&self) -> &ContainerName {
        &self.name
    }

    /// Makes a volume for the container; whether it is new. An anonymous one goes if the container is never committed.
    ///
    /// # Errors
    /// The volume cannot be made.
    pub fn create_volume(&self, name: &VolumeName, anonymous: bool) -> Result<bool> {
        let volumes = Volumes::new(&self.layout);
        if anonymous && !volumes.exists(name)? {
            let path = self.layout.intended_volumes(&self.id);
            let written =
                std::fs::File::options().append(true).create(true).mode(0o600).open(&path);
            written
                .and_then(|mut file| writeln!(file, "{name}"))
                .map_err(Error::io("write", &path))?;
        }
        volumes.create(name, anonymous)
    }

    /// Makes it a container, and gives it under its lock. With `auto_remove` nothing is synced: it must not outlive the
    /// boot.
    ///
    /// # Errors
    /// Something cannot be written; all is undone.
    pub fn commit(mut self, payload: Box<RawValue>, auto_remove: bool) -> Result<Locked> {
        let layout = self.layout.clone();
        let config = Config {
            version: VERSION,
            id: self.id.clone(),
            name: self.name.clone(),
            created: now(),
            auto_remove,
            payload,
        };
        let record = Record::new(Phase::Configured);
        // ORDER: the record first: a configuration without one is of an earlier boot.
        document::write(&layout.record(&self.id), &record, Durability::Volatile)?;
        let durability = if auto_remove { Durability::Volatile } else { Durability::Durable };
        if durability == Durability::Durable {
            // ORDER: before the configuration, or a power cut could leave a container without its name or without the
            // entry of its directory.
            names::sync(&layout.names_dir())?;
            names::sync(&layout.containers())?;
        }
        if let Err(e) = document::write(&layout.config(&self.id), &config, durability) {
            // It may be in place all the same, where only the sync has failed: not a container, what is undone is not one.
            names::unlink(&layout.config(&self.id))?;
            return Err(e);
        }
        names::unlink(&layout.intended_volumes(&self.id))?;
        let Some(lock) = self.lock.take() else {
            return Err(Error::not_found(&self.id));
        };
        let snapshot = Snapshot {
            config,
            name: self.name.clone(),
            record,
            earlier_boot: false,
            removing: false,
            removing_volumes: false,
            started: None,
            exit: None,
            past: None,
            alive: None,
        };
        Ok(Locked::new(layout, std::mem::take(&mut self.boot_id), self.id.clone(), snapshot, lock))
    }
}

impl Drop for Reservation {
    fn drop(&mut self) {
        if let Some(lock) = self.lock.take() {
            undo(&self.layout, &self.id, lock);
        }
    }
}

fn undo(layout: &Layout, id: &ContainerId, lock: FileLock) {
    if let Err(error) = removal::take_away(layout, id, lock) {
        tracing::debug!(%id, %error, "cannot undo a reservation; the next command that meets it will");
    }
}

/// The container's directory and its lock.
fn take_directory(layout: &Layout, id: &ContainerId) -> Result<FileLock> {
    let dir = layout.container_dir(id);
    create_dir(&dir, 0o700).map_err(Error::io("create", &dir))?;
    loop {
        match acquire_in(layout, id, SHORT_WAIT) {
            // Somebody has swept the directory between our two steps, and its run directory too.
            Err(Error::Lock { source, .. }) if source.is_not_found() => {}
            Ok(lock) => return Ok(lock),
            Err(e) => {
                // Empty, and nobody's but ours: best effort, as the next one who meets it does the same.
                drop(std::fs::remove_dir(layout.run_dir(id)));
                drop(std::fs::remove_dir(&dir));
                return Err(e);
            }
        }
    }
}

/// CRASH: `name` in the container's directory is written before the link that it speaks of is made, so that whoever
/// takes the directory away knows which link to look at.
fn take_name(
    layout: &Layout,
    id: &ContainerId,
    name: Option<&ContainerName>,
) -> Result<ContainerName> {
    if let Some(name) = name {
        write_own_name(layout, id, name)?;
        names::claim(layout, name, id)?;
        return Ok(name.clone());
    }
    let mut attempt = 0;
    loop {
        let name = random_name(attempt)?;
        write_own_name(layout, id, &name)?;
        match names::claim(layout, &name, id) {
            Ok(()) => return Ok(name),
            Err(Error::NameInUse { .. }) if attempt < NAME_ATTEMPTS => attempt += 1,
            Err(e) => return Err(e),
        }
    }
}

/// The first entry of the directory; with it, nobody removes it but who has its lock. Before, a sweeper that came between
/// the making of the directory and its locking may still be about to: then it is made again.
fn write_own_name(layout: &Layout, id: &ContainerId, name: &ContainerName) -> Result<()> {
    loop {
        match names::write_own(layout, id, name) {
            Err(Error::Io { source, .. }) if source.kind() == io::ErrorKind::NotFound => {}
            other => return other,
        }
        let dir = layout.container_dir(id);
        match create_dir(&dir, 0o700) {
            Err(e) if e.kind() != io::ErrorKind::AlreadyExists => {
                return Err(Error::io("create", &dir)(e));
            }
            _ => {}
        }
    }
}
