//! A container under its lock: the only thing that changes one.
//!
//! INVARIANT: intent before effect. What a method is about to do is in the record, or in the directory, first.

use std::io;

use dhow_sys::fs::{Durability, create_dir_all, sync_dir, write_atomic};
use dhow_sys::lock::FileLock;

use crate::artifacts::Artifacts;
use crate::document;
use crate::error::{Error, Result};
use crate::id::ContainerId;
use crate::layout::Layout;
use crate::name::{ArtifactName, ContainerName};
use crate::record::{Exit, Past, Phase, Record, Started, now};
use crate::snapshot::{self, Found, Snapshot};
use crate::store::{exits, names, removal};

/// A container that nobody else can change. The lock is released when this is dropped.
#[must_use = "the lock is released when this is dropped"]
#[derive(Debug)]
pub struct Locked {
    layout: Layout,
    boot_id: String,
    id: ContainerId,
    snapshot: Snapshot,
    lock: FileLock,
}

impl Locked {
    pub(super) fn new(
        layout: Layout,
        boot_id: String,
        id: ContainerId,
        snapshot: Snapshot,
        lock: FileLock,
    ) -> Self {
        Locked { layout, boot_id, id, snapshot, lock }
    }

    /// Whose.
    #[must_use]
    pub fn id(&self) -> &ContainerId {
        &self.id
    }

    /// The container as it was when it was locked, with what this lock's holder has changed since. What the monitor
    /// has added is seen after [`Locked::refresh`].
    #[must_use]
    pub fn snapshot(&self) -> &Snapshot {
        &self.snapshot
    }

    /// Reads all of it again.
    ///
    /// # Errors
    /// [`Error::Corrupt`]; [`Error::NotFound`] if its files were deleted behind the lock's back.
    pub fn refresh(&mut self) -> Result<&Snapshot> {
        match snapshot::read(&self.layout, &self.id)? {
            Found::Container(snapshot) => self.snapshot = *snapshot,
            Found::Nothing | Found::Unfinished => return Err(Error::not_found(&self.id)),
        }
        Ok(&self.snapshot)
    }

    /// The monitor's word that the process exists, as it is now.
    ///
    /// # Errors
    /// [`Error::Corrupt`].
    pub fn started(&self) -> Result<Option<Started>> {
        snapshot::read_started(&self.layout, &self.id)
    }

    /// The monitor's word that the process has ended, as it is now.
    ///
    /// # Errors
    /// [`Error::Corrupt`].
    pub fn exit(&self) -> Result<Option<Exit>> {
        snapshot::read_exit(&self.layout, &self.id)
    }

    /// Changes the record, on disk and in the snapshot. Never synced: a record is of one boot.
    ///
    /// # Errors
    /// It cannot be written; it is unchanged then.
    pub fn update(&mut self, change: impl FnOnce(&mut Record)) -> Result<()> {
        let mut record = self.snapshot.record.clone();
        change(&mut record);
        document::write(&self.layout.record(&self.id), &record, Durability::Volatile)?;
        self.snapshot.record = record;
        self.snapshot.earlier_boot = false;
        Ok(())
    }

    /// Begins a new life: phase *initializing*, nothing known of its process, and the monitor's files of the last life
    /// removed, so that none of them is taken for the new one's.
    ///
    /// # Errors
    /// Something cannot be written or removed.
    pub fn begin_init(&mut self) -> Result<()> {
        self.update(|record| {
            record.phase = Phase::Initializing;
            record.monitor = None;
            record.init = None;
            record.started_at = None;
            record.finished_at = None;
            record.exit_code = None;
            record.oom = false;
            record.stopped_by_user = false;
            record.error = None;
        })?;
        // ORDER: `exit.json` first. CRASH: an *initializing* container with the last life's `exit.json` is *stopped*, one
        // with only the last life's `started.json` too (its monitor is dead): both are to be cleaned up, which is right.
        let layout = &self.layout;
        let id = &self.id;
        for path in [
            layout.exit(id),
            layout.plain_exit(id),
            layout.started(id),
            layout.losses(id),
            layout.oom(id),
            layout.attach(id),
            layout.ctl(id),
            layout.winsz(id),
            layout.pidfile(id),
            layout.monitor_pidfile(id),
        ] {
            names::unlink(&path)?;
        }
        self.snapshot.exit = None;
        self.snapshot.started = None;
        self.snapshot.alive = None;
        Ok(())
    }

    /// Says, before the runtime is told, that the process is about to run: in the record, and for the next boot in
    /// `past.json`.
    ///
    /// # Errors
    /// Something cannot be written.
    pub fn begin_start(&mut self) -> Result<()> {
        self.update(|record| {
            record.phase = Phase::Starting;
            record.started_at = Some(now());
        })?;
        // Not synced: a power cut that loses it finds the container as it was before its start.
        self.write_past(true, Durability::Volatile)
    }

    /// The container has ended and is cleaned up: phase *exited*, with how it ended, here and for the next boot.
    ///
    /// # Errors
    /// Something cannot be written; to be repeated.
    pub fn finish(&mut self, exit: &Exit) -> Result<()> {
        let mut record = self.snapshot.record.clone();
        record.phase = Phase::Exited;
        record.exit_code = Some(exit.code);
        record.oom = exit.oom;
        record.finished_at = Some(exit.at);
        if let Some(message) = &exit.message {
            record.error = Some(message.clone());
        }
        // ORDER: the next boot's word first. CRASH: in between, the container is still to be cleaned up, and comes here again.
        let past = Past::of(&record, self.boot_id.clone(), false);
        self.write(&past, Durability::Durable)?;
        self.update(|r| *r = record)
    }

    fn write_past(&mut self, running: bool, durability: Durability) -> Result<()> {
        let past = Past::of(&self.snapshot.record, self.boot_id.clone(), running);
        self.write(&past, durability)
    }

    fn write(&mut self, past: &Past, durability: Durability) -> Result<()> {
        if !self.snapshot.config.auto_remove {
            document::write(&self.layout.past(&self.id), past, durability)?;
            self.snapshot.past = Some(past.clone());
        }
        Ok(())
    }

    /// Gives it another name.
    ///
    /// # Errors
    /// [`Error::NameInUse`]; the name is unchanged then.
    pub fn rename(&mut self, new: &ContainerName) -> Result<()> {
        if *new == self.snapshot.name {
            return Ok(());
        }
        names::rename(
            &self.layout,
            &self.id,
            &self.snapshot.name,
            new,
            !self.snapshot.config.auto_remove,
        )?;
        self.snapshot.name = new.clone();
        Ok(())
    }

    /// Says that it is being removed; it can never be anything else again. With `volumes`, whoever finishes the removal
    /// is to take its anonymous volumes along: [`Snapshot::removing_volumes`].
    ///
    /// # Errors
    /// Something cannot be written.
    pub fn begin_removal(&mut self, volumes: bool) -> Result<()> {
        let volumes = volumes || self.snapshot.removing_volumes;
        let path = self.layout.removing(&self.id);
        let text: &[u8] = if volumes { snapshot::WITH_VOLUMES } else { b"" };
        write_atomic(&path, text, 0o600, Durability::Volatile)
            .map_err(Error::io("write", &path))?;
        if !self.snapshot.config.auto_remove {
            let dir = self.layout.container_dir(&self.id);
            sync_dir(&dir).map_err(Error::io("sync", &dir))?;
        }
        self.snapshot.removing = true;
        self.snapshot.removing_volumes = volumes;
        self.update(|record| record.phase = Phase::Removing)
    }

    /// Removes it; what the engine has mounted and told the runtime is undone by then. How it ended is kept for those
    /// who wait for it.
    ///
    /// # Errors
    /// Something is mounted in its directory, or cannot be removed; to be repeated.
    pub fn finish_removal(mut self) -> Result<()> {
        // A damaged fact must not keep a container from going.
        self.snapshot.exit = self.exit().unwrap_or_default();
        if let Some(exit) = self.last_exit() {
            exits::keep(&self.layout, &self.id, &exit)?;
        }
        removal::take_away(&self.layout, &self.id, self.lock)
    }

    fn last_exit(&self) -> Option<Exit> {
        let record = &self.snapshot.record;
        self.snapshot.exit.clone().or_else(|| {
            record.exit_code.map(|code| Exit {
                code,
                oom: record.oom,
                ..Exit::unknown(record.finished_at.unwrap_or_else(now))
            })
        })
    }

    /// Its artifacts, for reading.
    #[must_use]
    pub fn artifacts(&self) -> Artifacts<'_> {
        Artifacts::new(&self.layout, &self.id)
    }

    /// Adds an artifact, or replaces it.
    ///
    /// # Errors
    /// It cannot be written.
    pub fn add_artifact(&self, name: &ArtifactName, bytes: &[u8]) -> Result<()> {
        let dir = self.layout.artifacts(&self.id);
        create_dir_all(&dir, 0o700).map_err(Error::io("create", &dir))?;
        let durability = if self.snapshot.config.auto_remove {
            Durability::Volatile
        } else {
            Durability::Durable
        };
        let path = self.layout.artifact(&self.id, name);
        write_atomic(&path, bytes, 0o600, durability).map_err(Error::io("write", &path))
    }

    /// Removes an artifact.
    ///
    /// # Errors
    /// [`Error::NoArtifact`].
    pub fn remove_artifact(&self, name: &ArtifactName) -> Result<()> {
        let path = self.layout.artifact(&self.id, name);
        match std::fs::remove_file(&path) {
            Ok(()) => Ok(()),
            Err(e) if e.kind() == io::ErrorKind::NotFound => {
                Err(Error::NoArtifact { id: self.id.clone(), name: name.to_string() })
            }
            Err(e) => Err(Error::io("remove", &path)(e)),
        }
    }
}
