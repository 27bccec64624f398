//! What can go wrong with ids, names, records and locks, named by what the caller can do about it.

use std::io;
use std::path::{Path, PathBuf};

use dhow_sys::lock::LockError;

use crate::id::ContainerId;
use crate::name::{ContainerName, VolumeName};

/// The result of everything here.
pub type Result<T, E = Error> = std::result::Result<T, E>;

/// An error of this crate. `Display` says its own layer, the cause is `source()`.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// There is no such container, or not any more.
    #[error("no such container: {what}")]
    NotFound {
        /// The name, id or prefix that was looked for.
        what: String,
    },
    /// An id prefix fits several containers.
    #[error("container id prefix {prefix} fits {} containers", candidates.len())]
    Ambiguous {
        /// What was looked for.
        prefix: String,
        /// All containers it fits, in order.
        candidates: Vec<ContainerId>,
    },
    /// Another container has the name, or is getting it just now.
    #[error("the container name {name} is in use{}", owned_by(by.as_ref()))]
    NameInUse {
        /// The name.
        name: ContainerName,
        /// Its owner, where that can be told.
        by: Option<ContainerId>,
    },
    /// Text that is not a valid id or name.
    #[error("{text:?} is not a valid {what}: {why}")]
    Invalid {
        /// What it should be.
        what: &'static str,
        /// The text, cut where it is long.
        text: String,
        /// The rule it breaks.
        why: &'static str,
    },
    /// A file of one container does not parse. Others are not affected; [`crate::Store::evict`] removes the container.
    #[error("container {id} is damaged: {}: {why}", path.display())]
    Corrupt {
        /// Whose file it is.
        id: ContainerId,
        /// The file.
        path: PathBuf,
        /// What is wrong with it.
        why: String,
    },
    /// Another command has held the container's lock for too long.
    #[error("container {id} is busy: another command works on it{}", by_process(*holder))]
    Busy {
        /// The container.
        id: ContainerId,
        /// The process that holds its lock.
        holder: Option<i32>,
    },
    /// There is no such volume.
    #[error("no such volume: {name}")]
    NoVolume {
        /// Its name.
        name: VolumeName,
    },
    /// A volume's record does not parse. The volume can still be removed.
    #[error("volume {name} is damaged: {}: {why}", path.display())]
    CorruptVolume {
        /// Its name.
        name: VolumeName,
        /// The file.
        path: PathBuf,
        /// What is wrong with it.
        why: String,
    },
    /// There is no artifact of that name.
    #[error("container {id} has no artifact {name}")]
    NoArtifact {
        /// The container.
        id: ContainerId,
        /// The artifact's name.
        name: String,
    },
    /// An operation on a file failed.
    #[error("cannot {action} {}", path.display())]
    Io {
        /// What was being done, as a verb phrase.
        action: &'static str,
        /// To which path.
        path: PathBuf,
        /// The kernel's answer.
        source: io::Error,
    },
    /// A lock could not be taken, for another reason than that somebody has it.
    #[error("cannot lock {}", path.display())]
    Lock {
        /// The lock file.
        path: PathBuf,
        /// Why.
        source: LockError,
    },
}

fn owned_by(id: Option<&ContainerId>) -> String {
    id.map(|id| format!(" by container {id}")).unwrap_or_default()
}

fn by_process(pid: Option<i32>) -> String {
    pid.map(|pid| format!(" (process {pid})")).unwrap_or_default()
}

impl Error {
    /// For `map_err`: what was being done to which path.
    pub(crate) fn io(action: &'static str, path: &Path) -> impl FnOnce(io::Error) -> Error {
        let path = path.to_path_buf();
        move |source| Error::Io { action, path, source }
    }

    pub(crate) fn not_found(what: &(impl ToString + ?Sized)) -> Error {
        Error::NotFound { what: what.to_string() }
    }

    /// Whether the container is not there (any more).
    #[must_use]
    pub fn is_not_found(&self) -> bool {
        matches!(self, Error::NotFound { .. })
    }
}
