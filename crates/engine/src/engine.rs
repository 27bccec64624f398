//! The engine: where its files are, which programs it uses, and how a verb gets at a container.

use std::ffi::OsString;
use std::path::{Path, PathBuf};
use std::sync::OnceLock;
use std::time::Duration;

use dhow_oci::Host;
use dhow_oci::runtime::Runtime;
use dhow_state::{ContainerId, Layout, Locked, Phase, Snapshot, Status, Store};
use dhow_storage::{RootFs, Storage};

use crate::config::{ContainerConfig, RootfsSource};
use crate::error::{Error, Object, Result};

/// How long a verb waits for the lock of a container that another command works on.
pub(crate) const LOCK_TIMEOUT: Duration = Duration::from_secs(60);

/// What an engine is opened with. The engine reads no environment: all that comes from it is here.
#[derive(Debug, Clone)]
pub struct EngineOptions {
    /// What survives a reboot: /var/lib/dhow.
    pub root: PathBuf,
    /// What does not: /run/dhow.
    pub run: PathBuf,
    /// The OCI runtime, by name or path; `None`: the first that is found and can run here.
    pub runtime: Option<String>,
    /// The monitor: dhow-shim, or a conmon.
    pub monitor: PathBuf,
    /// Where programs are looked for ($PATH).
    pub search: Vec<PathBuf>,
    /// The command line of this engine with its global flags, to which the monitor's exit command appends.
    pub exit_command: Vec<OsString>,
    /// What monitor and runtime see of the environment.
    pub environment: Vec<(OsString, OsString)>,
    /// Where what is known of registries is kept.
    pub registries: dhow_image::RegistrySettings,
}

/// A container engine on one pair of roots. Cheap to open: what a verb does not need is not loaded.
#[derive(Debug)]
pub struct Engine {
    pub(crate) options: EngineOptions,
    pub(crate) store: Store,
    storage: OnceLock<Storage>,
    host: OnceLock<Host>,
    pub(crate) networks: OnceLock<dhow_network::Networks>,
}

/// Whether a verb had anything to do.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Outcome {
    /// It has done it.
    Done,
    /// The container was that way already.
    AlreadyThere,
}

/// A container under its lock, with its configuration: what the mutating halves of the verbs work on.
#[derive(Debug)]
pub(crate) struct Held {
    pub(crate) locked: Locked,
    pub(crate) config: ContainerConfig,
}

impl Held {
    pub(crate) fn id(&self) -> &ContainerId {
        self.locked.id()
    }

    /// What it is now, as last read or written under the lock.
    pub(crate) fn status(&self) -> Status {
        self.locked.snapshot().status()
    }

    /// Whether the runtime may have something of that id: from the beginning of init to the end of the cleanup, and in a
    /// removal that was begun by somebody else, whatever came before.
    pub(crate) fn runtime_may_know(&self) -> bool {
        let snapshot = self.locked.snapshot();
        !snapshot.earlier_boot
            && !matches!(snapshot.record.phase, Phase::Configured | Phase::Exited)
    }
}

impl Engine {
    /// Opens the engine, making its directories where they are missing. After a reboot, the first to open it clears
    /// what the last boot has left under `run`.
    ///
    /// # Errors
    /// The directories cannot be made or read.
    pub fn open(options: EngineOptions) -> Result<Engine> {
        for (what, path) in [("root", &options.root), ("runroot", &options.run)] {
            if !path.is_absolute() {
                return Err(Error::Invalid(format!(
                    "the {what} {} is not an absolute path",
                    path.display()
                )));
            }
        }
        let store = Store::open(Layout { root: options.root.clone(), run: options.run.clone() })
            .map_err(Error::State)?;
        let engine = Engine {
            options,
            store,
            storage: OnceLock::new(),
            host: OnceLock::new(),
            networks: OnceLock::new(),
        };
        if engine.store.new_boot() {
            engine.finish_removals();
        }
        Ok(engine)
    }

    /// The id of the container with that name, id or unique id prefix.
    ///
    /// # Errors
    /// [`Error::NoSuch`], [`Error::Ambiguous`].
    pub fn resolve(&self, container: &str) -> Result<ContainerId> {
        self.store.resolve(container).map_err(|e| lookup_error(e, container))
    }

    /// Whether there is such a container.
    ///
    /// # Errors
    /// The prefix is ambiguous, or the store cannot be read.
    pub fn exists(&self, container: &str) -> Result<bool> {
        match self.resolve(container) {
            Ok(_) => Ok(true),
            Err(Error::NoSuch { .. }) => Ok(false),
            Err(e) => Err(e),
        }
    }

    /// The ids of all containers, the newest first; those that cannot be read come last.
    ///
    /// # Errors
    /// The store cannot be read.
    pub fn ids(&self) -> Result<Vec<ContainerId>> {
        let mut ids: Vec<(i64, ContainerId)> = self
            .store
            .ids()
            .map_err(Error::State)?
            .into_iter()
            .map(|id| (self.store.config(&id).map_or(i64::MIN, |config| config.created), id))
            .collect();
        ids.sort_by(|a, b| b.cmp(a));
        Ok(ids.into_iter().map(|(_, id)| id).collect())
    }

    /// The container made last.
    ///
    /// # Errors
    /// [`Error::NoSuch`] where there is none.
    pub fn latest(&self) -> Result<ContainerId> {
        self.ids()?.into_iter().next().ok_or_else(|| Error::NoSuch {
            object: Object::Container,
            name: "(latest: there are no containers)".into(),
        })
    }

    /// The status now, without a lock.
    ///
    /// # Errors
    /// The container is gone or its records are corrupt.
    pub fn status(&self, id: &ContainerId) -> Result<Status> {
        Ok(self.snapshot(id)?.status())
    }

    pub(crate) fn snapshot(&self, id: &ContainerId) -> Result<Snapshot> {
        self.store.snapshot(id).map_err(|e| lookup_error(e, id.as_str()))
    }

    /// The configuration in a snapshot.
    pub(crate) fn config_of(&self, snapshot: &Snapshot) -> Result<ContainerConfig> {
        serde_json::from_str(snapshot.config.payload.get()).map_err(|e| Error::Corrupt {
            what: format!("container {}", snapshot.config.id),
            path: self.layout().config(&snapshot.config.id),
            why: e.to_string(),
        })
    }

    /// Takes the container's lock and brings its record up to what has happened meanwhile.
    pub(crate) fn hold(&self, id: &ContainerId) -> Result<Held> {
        let locked = self.store.lock(id, LOCK_TIMEOUT).map_err(|e| lookup_error(e, id.as_str()))?;
        let config = self.config_of(locked.snapshot())?;
        let mut held = Held { locked, config };
        if held.status() == Status::Removing {
            // CRASH: whoever began the removal is dead. It is finished, and the container is gone.
            self.remove_held(held, false)?;
            return Err(Error::NoSuch { object: Object::Container, name: id.to_string() });
        }
        self.reconcile(&mut held)?;
        Ok(held)
    }

    /// As [`Engine::hold`], found by name.
    pub(crate) fn hold_named(&self, container: &str) -> Result<Held> {
        self.hold(&self.resolve(container)?)
    }

    pub(crate) fn layout(&self) -> &Layout {
        self.store.layout()
    }

    pub(crate) fn storage(&self) -> Result<&Storage> {
        if let Some(storage) = self.storage.get() {
            return Ok(storage);
        }
        let storage = Storage::open(&self.options.root).map_err(Error::Storage)?;
        Ok(self.storage.get_or_init(|| storage))
    }

    pub(crate) fn host(&self) -> Result<&Host> {
        if let Some(host) = self.host.get() {
            return Ok(host);
        }
        let host = Host::probe().map_err(Error::Spec)?;
        Ok(self.host.get_or_init(|| host))
    }

    /// The runtime of a container: its own, else the engine's.
    pub(crate) fn runtime(&self, config: &ContainerConfig) -> Result<Runtime> {
        let runtime = self.find_runtime(config.runtime.as_deref())?;
        Ok(if config.spec.cgroup.disabled { runtime.without_cgroups()? } else { runtime })
    }

    /// The runtime by name or path, else the engine's, else the first that can run here.
    pub(crate) fn find_runtime(&self, asked: Option<&str>) -> Result<Runtime> {
        let asked = asked.or(self.options.runtime.as_deref());
        Ok(Runtime::find(asked, &self.options.search, &self.layout().runtime(), self.host()?)?)
    }

    /// The root file system of a container.
    pub(crate) fn rootfs<'a>(
        &'a self,
        id: &ContainerId,
        config: &ContainerConfig,
    ) -> Result<RootFs<'a>> {
        let base = match &config.rootfs {
            RootfsSource::Layers(chain) => dhow_storage::Base::Layers(chain.clone()),
            RootfsSource::Directory(dir) => dhow_storage::Base::Directory(dir.clone()),
            RootfsSource::OverlayOf(dir) => dhow_storage::Base::Overlay(dir.clone()),
        };
        Ok(RootFs::new(self.storage()?, self.layout().rootfs(id), base))
    }

    /// Where the sockets and small files of a running container are.
    pub(crate) fn run_dir(&self, id: &ContainerId) -> PathBuf {
        self.layout().run_dir(id)
    }

    /// The tmpfs that becomes /dev/shm.
    pub(crate) fn shm_dir(&self, id: &ContainerId) -> PathBuf {
        self.run_dir(id).join("shm")
    }
}

/// A lookup that failed, in the words of the user.
pub(crate) fn lookup_error(e: dhow_state::Error, name: &str) -> Error {
    match e {
        dhow_state::Error::NotFound { .. } => {
            Error::NoSuch { object: Object::Container, name: name.to_owned() }
        }
        dhow_state::Error::Ambiguous { candidates, .. } => Error::Ambiguous {
            object: Object::Container,
            name: name.to_owned(),
            candidates: candidates
                .iter()
                .map(|id| id.short().to_owned())
                .collect::<Vec<_>>()
                .join(", "),
        },
        other => Error::State(other),
    }
}

/// The path as text: a path that goes into a runtime spec must be UTF-8.
pub(crate) fn utf8(path: &Path) -> Result<&str> {
    path.to_str().ok_or_else(|| Error::Invalid(format!("the path {} is not UTF-8", path.display())))
}
