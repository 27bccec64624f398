//! What can go wrong in a verb, named by what the caller can do about it.
//!
//! `Display` says its own layer only; the cause is `source()`. The command line prints the chain once, at the top.

use std::fmt;
use std::path::PathBuf;

use dhow_oci::RuntimeError;
use dhow_state::{ContainerId, Status};

/// The result of every engine method.
pub type Result<T, E = Error> = std::result::Result<T, E>;

/// What kind of object a lookup was for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Object {
    /// A container, by name, id or id prefix.
    Container,
    /// An image, by name, id, id prefix or digest.
    Image,
    /// A named volume.
    Volume,
    /// An exec session, by id.
    ExecSession,
    /// A named blob attached to a container.
    Artifact,
    /// A network, by name or id.
    Network,
}

impl fmt::Display for Object {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Object::Container => "container",
            Object::Image => "image",
            Object::Volume => "volume",
            Object::ExecSession => "exec session",
            Object::Artifact => "artifact",
            Object::Network => "network",
        })
    }
}

/// An error of an engine method.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// Nothing has that name; list what there is and try again.
    #[error("no such {object}: {name}")]
    NoSuch {
        /// What was looked for.
        object: Object,
        /// As the user wrote it.
        name: String,
    },
    /// The prefix fits several ids; give more characters.
    #[error("{object} id prefix {name:?} is ambiguous: {candidates}")]
    Ambiguous {
        /// What was looked for.
        object: Object,
        /// As the user wrote it.
        name: String,
        /// Some of the ids that fit, comma separated.
        candidates: String,
    },
    /// Another object has the name; choose another, remove it, or use `--replace`.
    #[error("the container name {name:?} is in use by container {by}")]
    NameInUse {
        /// The name asked for.
        name: String,
        /// Id of its owner.
        by: String,
    },
    /// The verb does not apply in the container's present status.
    #[error("cannot {verb} container {id}: it is {status}{hint}")]
    InvalidState {
        /// The user's verb.
        verb: &'static str,
        /// The container.
        id: ContainerId,
        /// Its status now.
        status: Status,
        /// What would be right, beginning with a separator, or empty.
        hint: &'static str,
    },
    /// A value in the request cannot be honoured; nothing was changed.
    #[error("{0}")]
    Invalid(String),
    /// Something else refers to the object; remove that first or use `--force`.
    #[error("{object} {name} is in use by {by}")]
    InUse {
        /// What was to be removed.
        object: Object,
        /// Its name or id.
        name: String,
        /// Who uses it.
        by: String,
    },
    /// A file of an object cannot be understood; `rm -f` removes the object.
    #[error("{what} is damaged: {}: {why}", path.display())]
    Corrupt {
        /// The object.
        what: String,
        /// The file.
        path: PathBuf,
        /// What is wrong with it.
        why: String,
    },
    /// The OCI runtime refused, or cannot run the command.
    #[error(transparent)]
    Runtime(#[from] RuntimeError),
    /// An operation on a file or process failed.
    #[error("cannot {action} {}", path.display())]
    Io {
        /// What was being done, as a verb phrase.
        action: &'static str,
        /// To which path.
        path: PathBuf,
        /// The kernel's answer.
        source: std::io::Error,
    },
    /// Another command holds a lock for too long, or the lock file cannot be used.
    #[error("cannot lock {}", path.display())]
    Lock {
        /// The lock file.
        path: PathBuf,
        /// Who holds it, or the kernel's answer.
        source: dhow_sys::lock::LockError,
    },
    /// A step went wrong because of another: the outer says what was being done for whom.
    #[error("{what}")]
    While {
        /// What was being done, naming its object.
        what: String,
        /// Why it failed.
        source: Box<Error>,
    },
    /// Records, names, locks.
    #[error(transparent)]
    State(dhow_state::Error),
    /// Layers, images, mounts.
    #[error(transparent)]
    Storage(dhow_storage::Error),
    /// The runtime specification could not be generated.
    #[error(transparent)]
    Spec(dhow_oci::Error),
    /// Addresses, ports, bridges, rules.
    #[error(transparent)]
    Network(dhow_network::Error),
    /// References, archives.
    #[error(transparent)]
    Image(#[from] dhow_image::Error),
    /// The monitor could not be started, or has said something else than what was asked.
    #[error(transparent)]
    Launch(dhow_shim::launch::Error),
    /// The log cannot be read.
    #[error(transparent)]
    Log(dhow_shim::log::Error),
}

impl Error {
    /// The exit status of a command that fails with this error: 127 where the command was not found in the
    /// container, 126 where it cannot be executed, 125 otherwise (podman-run(1), "Exit Status").
    #[must_use]
    pub fn exit_code(&self) -> u8 {
        match self {
            Error::Runtime(RuntimeError::NotFound { .. }) => 127,
            Error::Runtime(RuntimeError::PermissionDenied { .. })
            | Error::Spec(dhow_oci::Error::NoWorkdir { .. }) => 126,
            Error::While { source, .. } => source.exit_code(),
            _ => 125,
        }
    }

    /// Whether the runtime has refused to run the command, rather than dhow to try: the container is as asked for then,
    /// and what it lacks is in its files.
    #[must_use]
    pub fn is_of_runtime(&self) -> bool {
        match self {
            Error::Runtime(_) => true,
            Error::While { source, .. } => source.is_of_runtime(),
            _ => false,
        }
    }

    /// Shorthand for [`Error::Io`].
    pub(crate) fn io(
        action: &'static str,
        path: impl Into<PathBuf>,
    ) -> impl FnOnce(std::io::Error) -> Error {
        let path = path.into();
        move |source| Error::Io { action, path, source }
    }
}

/// An error and its causes on one line, as records keep it.
pub(crate) fn chain(e: &Error) -> String {
    let mut text = e.to_string();
    let mut cause = std::error::Error::source(e);
    while let Some(next) = cause {
        text.push_str(": ");
        text.push_str(&next.to_string());
        cause = next.source();
    }
    text
}
