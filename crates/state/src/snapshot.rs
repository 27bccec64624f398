//! All that is on disk about a container, read without a lock.
//!
//! INVARIANT: reading changes nothing, waits for nobody, and one container's damage is its own.

use std::io;
use std::path::Path;

use dhow_sys::pidfd::ProcessId;

use crate::document::{self, MAX_CONFIG, MAX_RECORD, Problem};
use crate::error::{Error, Result};
use crate::id::ContainerId;
use crate::layout::Layout;
use crate::name::ContainerName;
use crate::record::{Config, Exit, Past, Phase, Record, Started};
use crate::status::{Facts, Status, status};

/// How often the reading starts again because the record was replaced meanwhile.
const ATTEMPTS: u32 = 8;

/// What `removing` holds if the anonymous volumes go too.
pub(crate) const WITH_VOLUMES: &[u8] = b"volumes\n";

/// A container at one moment.
#[derive(Debug, Clone)]
pub struct Snapshot {
    /// The immutable part.
    pub config: Config,
    /// The present name.
    pub name: ContainerName,
    /// The engine's record; made up from `past` if there is none of this boot.
    pub record: Record,
    /// There is no record of this boot: the container was last touched in an earlier one.
    pub earlier_boot: bool,
    /// The removal was begun.
    pub removing: bool,
    /// It is to take the anonymous volumes along.
    pub removing_volumes: bool,
    /// The monitor's word that the process exists.
    pub started: Option<Started>,
    /// The monitor's word that it has ended.
    pub exit: Option<Exit>,
    /// What earlier boots have left.
    pub past: Option<Past>,
    /// Whether the monitor lives (the container's process, if no monitor is known); `None`: neither is known.
    pub alive: Option<bool>,
}

impl Snapshot {
    /// Whose snapshot it is.
    #[must_use]
    pub fn id(&self) -> &ContainerId {
        &self.config.id
    }

    /// What the container is.
    #[must_use]
    pub fn status(&self) -> Status {
        status(&Facts {
            removing: self.removing,
            phase: (!self.earlier_boot).then_some(self.record.phase),
            past: self.past.is_some(),
            auto_remove: self.config.auto_remove,
            started: self.started.is_some(),
            exit: self.exit.is_some(),
            alive: self.alive,
        })
    }

    /// The container's first process, of the present or last life.
    #[must_use]
    pub fn init(&self) -> Option<ProcessId> {
        self.started.as_ref().map(|s| s.container).or(self.record.init)
    }

    /// The monitor of the present or last life.
    #[must_use]
    pub fn monitor(&self) -> Option<ProcessId> {
        self.started.as_ref().map(|s| s.monitor).or(self.record.monitor)
    }

    /// How it has ended: `None` if it has not, or never ran; −1 if nobody saw it.
    #[must_use]
    pub fn exit_code(&self) -> Option<i32> {
        match self.status() {
            Status::Stopped => Some(self.exit.as_ref().map_or(-1, |exit| exit.code)),
            Status::Exited => Some(self.record.exit_code.unwrap_or(-1)),
            Status::Removing => self.exit.as_ref().map(|exit| exit.code).or(self.record.exit_code),
            Status::Created => self.record.exit_code,
            Status::Initialized | Status::Running | Status::Paused | Status::Stopping => None,
        }
    }

    /// When it was last started.
    #[must_use]
    pub fn started_at(&self) -> Option<i64> {
        self.record.started_at
    }

    /// When it last ended, where that is known.
    #[must_use]
    pub fn finished_at(&self) -> Option<i64> {
        match self.status() {
            Status::Stopped => self.exit.as_ref().map(|exit| exit.at),
            _ => self.exit.as_ref().map(|exit| exit.at).or(self.record.finished_at),
        }
    }

    /// Whether memory ran out in its last life.
    #[must_use]
    pub fn oom(&self) -> bool {
        self.exit.as_ref().map_or(self.record.oom, |exit| exit.oom)
    }
}

/// What was found in a container's directory.
#[derive(Debug)]
pub(crate) enum Found {
    /// A container.
    Container(Box<Snapshot>),
    /// No directory.
    Nothing,
    /// A directory without a configuration: being made or removed, or left so by a process that was killed.
    Unfinished,
}

/// Reads all files of a container.
pub(crate) fn read(layout: &Layout, id: &ContainerId) -> Result<Found> {
    let Some(config) = read_config(layout, id)? else { return absent(layout, id) };
    let name = current_name(layout, &config)?;
    let mut record = read_record(layout, id)?;
    for _ in 0..ATTEMPTS {
        let snapshot = read_facts(layout, id, &config, &name, record.as_ref())?;
        // The facts belong to one record only if it was still there after they were read: else a new life may have
        // begun in between, with the old one's exit or the new one's monitor in it.
        let again = read_record(layout, id)?;
        if again == record {
            return Ok(Found::Container(Box::new(snapshot)));
        }
        record = again;
    }
    // Somebody rewrites it all the time; each part is true by itself.
    read_facts(layout, id, &config, &name, record.as_ref()).map(|s| Found::Container(Box::new(s)))
}

/// The configuration; `None`: there is none (yet, or any more).
pub(crate) fn read_config(layout: &Layout, id: &ContainerId) -> Result<Option<Config>> {
    let path = layout.config(id);
    let Some(bytes) = document::read_bytes(&path, MAX_CONFIG).map_err(|p| p.of(id, &path))? else {
        return Ok(None);
    };
    if bytes.is_empty() && !layout.record(id).exists() {
        // CRASH: the machine went down after a commit that was not synced (`--rm`): the name of the file came to the
        // disk and its contents did not.
        return Ok(None);
    }
    let config: Config = document::parse(&bytes).map_err(|p| p.of(id, &path))?;
    if &config.id != id {
        return Err(Problem::Bad(format!("it is the configuration of container {}", config.id))
            .of(id, &path));
    }
    Ok(Some(config))
}

fn absent(layout: &Layout, id: &ContainerId) -> Result<Found> {
    let dir = layout.container_dir(id);
    match std::fs::symlink_metadata(&dir) {
        // Nobody gets further than *configured* without a configuration, and a removal takes the record away first: what
        // has lived is no half-made container to be swept, but a damaged one, perhaps with processes and mounts.
        Ok(_) => match read_record(layout, id)?.map(|record| record.phase) {
            None | Some(Phase::Configured | Phase::Removing) => Ok(Found::Unfinished),
            Some(_) => Err(Problem::Bad("it is missing".to_owned()).of(id, &layout.config(id))),
        },
        Err(e) if e.kind() == io::ErrorKind::NotFound => Ok(Found::Nothing),
        Err(e) => Err(Error::io("look at", &dir)(e)),
    }
}

fn current_name(layout: &Layout, config: &Config) -> Result<ContainerName> {
    let path = layout.name_file(&config.id);
    let bad = |why: String| Problem::Bad(why).of(&config.id, &path);
    match read_link(&path)? {
        None => Ok(config.name.clone()),
        Some(text) => text.parse().map_err(|e: Error| bad(e.to_string())),
    }
}

/// The text of a symbolic link; `None` if there is none, or something else in its place.
pub(crate) fn read_link(path: &Path) -> Result<Option<String>> {
    match std::fs::read_link(path) {
        Ok(target) => Ok(target.to_str().map(str::to_owned)),
        Err(e)
            if matches!(
                e.kind(),
                io::ErrorKind::NotFound
                    | io::ErrorKind::InvalidInput
                    | io::ErrorKind::NotADirectory
            ) =>
        {
            Ok(None)
        }
        Err(e) => Err(Error::io("read", path)(e)),
    }
}

fn read_record(layout: &Layout, id: &ContainerId) -> Result<Option<Record>> {
    let path = layout.record(id);
    document::read(&path, MAX_RECORD).map_err(|p| p.of(id, &path))
}

fn read_facts(
    layout: &Layout,
    id: &ContainerId,
    config: &Config,
    name: &ContainerName,
    record: Option<&Record>,
) -> Result<Snapshot> {
    let earlier_boot = record.is_none();
    let (mut started, mut exit, mut alive) = (None, None, None);
    // What the monitor has said is of interest while there can be a process. Before, there is nothing; afterwards it is in
    // the record, and a leftover does no harm.
    if let Some(record) = record.filter(|record| matters(record.phase)) {
        started = read_started(layout, id)?;
        let process = started.as_ref().map(|s| s.monitor).or(record.monitor).or(record.init);
        // ORDER: before the exit is looked for; see `Facts::alive`.
        alive = process.map(ProcessId::is_alive).transpose().map_err(|source| Error::Io {
            action: "look at the monitor of",
            path: layout.run_dir(id),
            source,
        })?;
        exit = read_exit(layout, id)?;
    }
    // A container that runs in this boot has nothing to learn from an earlier one.
    let past_wanted = record.is_none_or(|r| !matters(r.phase));
    let past = if past_wanted && !config.auto_remove { read_past(layout, id)? } else { None };
    let path = layout.removing(id);
    let removing = document::read_bytes(&path, MAX_RECORD).map_err(|p| p.of(id, &path))?;
    Ok(Snapshot {
        config: config.clone(),
        name: name.clone(),
        record: record.cloned().unwrap_or_else(|| Record::after_boot(past.as_ref())),
        earlier_boot,
        removing: removing.is_some(),
        removing_volumes: removing.is_some_and(|text| text == WITH_VOLUMES),
        started,
        exit,
        past,
        alive,
    })
}

/// Whether a container in this phase can have a process.
fn matters(phase: Phase) -> bool {
    !matches!(phase, Phase::Configured | Phase::Exited)
}

pub(crate) fn read_started(layout: &Layout, id: &ContainerId) -> Result<Option<Started>> {
    let path = layout.started(id);
    document::read(&path, MAX_RECORD).map_err(|p| p.of(id, &path))
}

pub(crate) fn read_exit(layout: &Layout, id: &ContainerId) -> Result<Option<Exit>> {
    let path = layout.exit(id);
    match document::read(&path, MAX_RECORD).map_err(|p| p.of(id, &path))? {
        Some(exit) => Ok(Some(exit)),
        None => Ok(read_plain_exit(&layout.plain_exit(id), &layout.oom(id))),
    }
}

/// What a conmon has written: the code alone, which is −1 too where the container was killed for its time limit. The file
/// is renamed into its place, so it is whole; one that holds no number tells that the container ended, and no more.
fn read_plain_exit(path: &Path, oom: &Path) -> Option<Exit> {
    use std::os::unix::fs::MetadataExt as _;
    const DIGITS: u64 = 16;
    let text = dhow_sys::fs::read_bounded(path, DIGITS).ok()?;
    let code = std::str::from_utf8(&text).ok().and_then(|text| text.trim().parse::<i32>().ok());
    let at = std::fs::metadata(path)
        .map_or_else(|_| crate::now(), |file| file.mtime() * 1_000_000_000 + file.mtime_nsec());
    let code = code.unwrap_or(-1);
    Some(Exit { code, oom: oom.exists(), ..Exit::unknown(at) })
}

pub(crate) fn read_past(layout: &Layout, id: &ContainerId) -> Result<Option<Past>> {
    let path = layout.past(id);
    document::read(&path, MAX_RECORD).map_err(|p| p.of(id, &path))
}
