//! What can go wrong in storage, by what the caller can do about it.

use std::io;
use std::path::{Path, PathBuf};

use crate::Digest;

/// An error of this crate.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// There is no such image, layer or blob.
    #[error("no such {what}: {name}")]
    NotFound {
        /// `image`, `layer` or `blob`.
        what: &'static str,
        /// What was asked for.
        name: String,
    },
    /// A prefix that fits several images.
    #[error("`{name}` fits several images: {}", candidates.join(", "))]
    Ambiguous {
        /// What was asked for.
        name: String,
        /// What it may mean.
        candidates: Vec<String>,
    },
    /// A text that is no digest, id or name.
    #[error("`{value}` is no {what}: {why}")]
    Invalid {
        /// What it was meant to be.
        what: &'static str,
        /// The text.
        value: String,
        /// The rule that it breaks.
        why: &'static str,
    },
    /// Content that is not what its name says.
    #[error("wrong digest of {what}: expected {expected}, found {found}")]
    DigestMismatch {
        /// `blob` or `layer`.
        what: &'static str,
        /// The name.
        expected: Digest,
        /// The content.
        found: Digest,
    },
    /// An archive that cannot be read: truncated, or no archive at all.
    #[error("unreadable archive: {why}")]
    Archive {
        /// What is wrong with it.
        why: String,
    },
    /// An archive entry that no honest tool writes.
    #[error("refused archive entry `{entry}`: {why}")]
    Hostile {
        /// Its path in the archive.
        entry: String,
        /// The rule that it breaks.
        why: &'static str,
    },
    /// Input beyond a limit.
    #[error("{what} is over the limit of {limit}")]
    TooLarge {
        /// What was measured.
        what: &'static str,
        /// The limit, with its unit.
        limit: String,
    },
    /// A file of the store that does not say what it must.
    #[error("`{}` is corrupt: {why}", path.display())]
    Corrupt {
        /// The file.
        path: PathBuf,
        /// What is wrong with it.
        why: String,
    },
    /// A layer that was stored before layers kept what it takes to write them again.
    #[error(
        "layer {layer} was stored by an older version, which cannot write it as it came: remove its image and bring it in again"
    )]
    NoRecipe {
        /// Its chain id.
        layer: String,
    },
    /// The layer below could not be made, so this one was given up.
    #[error("the layer below failed")]
    Abandoned,
    /// A lock of the store could not be had.
    #[error("cannot lock the image store")]
    Lock(#[from] dhow_sys::lock::LockError),
    /// The kernel refused.
    #[error("cannot {action} `{}`", path.display())]
    Io {
        /// What was being done.
        action: &'static str,
        /// To what.
        path: PathBuf,
        /// Why not.
        source: io::Error,
    },
}

/// Result of this crate.
pub type Result<T> = std::result::Result<T, Error>;

impl Error {
    /// An I/O error with what was being done. An error of ours that travelled through `Read` comes out as itself.
    pub(crate) fn io(action: &'static str, path: impl AsRef<Path>, source: io::Error) -> Error {
        match source.downcast::<Error>() {
            Ok(own) => own,
            Err(source) => Error::Io { action, path: path.as_ref().to_path_buf(), source },
        }
    }

    /// An error of an input that has no path.
    pub(crate) fn input(source: io::Error) -> Error {
        match source.downcast::<Error>() {
            Ok(own) => own,
            Err(source) => Error::Archive { why: source.to_string() },
        }
    }

    pub(crate) fn archive(why: impl Into<String>) -> Error {
        Error::Archive { why: why.into() }
    }

    pub(crate) fn hostile(entry: &[u8], why: &'static str) -> Error {
        Error::Hostile { entry: String::from_utf8_lossy(entry).into_owned(), why }
    }
}

impl From<Error> for io::Error {
    /// For the way through `Read` and `Write`; `Error::io` takes it out again.
    fn from(error: Error) -> io::Error {
        io::Error::other(error)
    }
}

/// `result.doing("create", &path)?`
pub(crate) trait Doing<T> {
    fn doing(self, action: &'static str, path: impl AsRef<Path>) -> Result<T>;
}

impl<T, E: Into<io::Error>> Doing<T> for std::result::Result<T, E> {
    fn doing(self, action: &'static str, path: impl AsRef<Path>) -> Result<T> {
        self.map_err(|source| Error::io(action, path, source.into()))
    }
}
