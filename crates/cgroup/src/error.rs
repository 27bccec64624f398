//! What can go wrong with a cgroup.

use std::io;
use std::path::PathBuf;

/// Why a cgroup is not as it was asked to be.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// A file or a directory of it.
    #[error("cannot {action} {}", path.display())]
    Io {
        /// What was being done.
        action: &'static str,
        /// To which file.
        path: PathBuf,
        /// What the kernel said.
        source: io::Error,
    },
    /// A value that the kernel does not take.
    #[error("cannot write {value:?} to {}", path.display())]
    Write {
        /// The value.
        value: String,
        /// The file.
        path: PathBuf,
        /// What the kernel said.
        source: io::Error,
    },
    /// The resource needs a controller that no hierarchy here has.
    #[error("this system has no cgroup controller {controller}")]
    NoController {
        /// Its name.
        controller: &'static str,
    },
    /// What this version of cgroups, or this crate, cannot express.
    #[error("{0} is not supported")]
    Unsupported(String),
    /// What contradicts itself or the spec.
    #[error("invalid {what}: {why}")]
    Invalid {
        /// The property.
        what: &'static str,
        /// What is wrong.
        why: String,
    },
    /// Processes are in a cgroup that should be empty.
    #[error("cgroup {} is in use by process {pid}", path.display())]
    InUse {
        /// Its directory.
        path: PathBuf,
        /// One of them.
        pid: i32,
    },
    /// The kernel did not get there in time.
    #[error("cgroup {} did not become {what} in time", path.display())]
    TimedOut {
        /// Its directory.
        path: PathBuf,
        /// What was waited for.
        what: &'static str,
    },
    /// A file of the kernel's does not say what it is documented to say.
    #[error("{} says {text:?}", path.display())]
    Unreadable {
        /// The file.
        path: PathBuf,
        /// What it says.
        text: String,
    },
}

impl Error {
    pub(crate) fn io(
        action: &'static str,
        path: impl Into<PathBuf>,
    ) -> impl FnOnce(io::Error) -> Error {
        let path = path.into();
        move |source| Error::Io { action, path, source }
    }

    pub(crate) fn invalid(what: &'static str, why: impl Into<String>) -> Error {
        Error::Invalid { what, why: why.into() }
    }

    pub(crate) fn unsupported(what: impl Into<String>) -> Error {
        Error::Unsupported(what.into())
    }
}
