//! What can go wrong while a spec is made, named by what the caller can do about it.
//!
//! INVARIANT: no value of a request or of an image, however hostile, makes a panic; it makes one of these.

use std::io;
use std::path::{Path, PathBuf};

/// A spec could not be made.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// A value that can never work. The user's (or the image's) to change.
    #[error("invalid {what} {value:?}: {why}")]
    Invalid {
        /// Which option or field.
        what: &'static str,
        /// What was given, shortened.
        value: String,
        /// Why it cannot be.
        why: String,
    },
    /// A value that would work on another machine, or with another option.
    #[error("{what} {value:?} is not possible here: {why}")]
    Unsupported {
        /// Which option or field.
        what: &'static str,
        /// What was given, shortened.
        value: String,
        /// What is missing.
        why: String,
    },
    /// A user or group that the container's files do not have.
    #[error("unable to find {what} {name}: no matching entries in {file} of the container")]
    NoSuchUser {
        /// `user` or `group`.
        what: &'static str,
        /// What was looked for.
        name: String,
        /// Where: `/etc/passwd` or `/etc/group`.
        file: &'static str,
    },
    /// The working directory is not there and may not be made.
    #[error("workdir {path:?} does not exist on container {id}")]
    NoWorkdir {
        /// The directory.
        path: String,
        /// The container.
        id: String,
    },
    /// The container's files or the host's could not be read or changed.
    #[error("cannot {action} {}", shown(path))]
    Io {
        /// What was being done.
        action: &'static str,
        /// To what; a path in the container where `action` says so.
        path: PathBuf,
        /// Why not.
        source: io::Error,
    },
    /// JSON that cannot be read: a seccomp profile, a spec on disk.
    #[error("cannot parse {what}")]
    Json {
        /// Which text.
        what: &'static str,
        /// Where and why.
        source: serde_json::Error,
    },
}

impl Error {
    /// An [`Error::Invalid`]; a long value is shortened.
    pub(crate) fn invalid(
        what: &'static str,
        value: impl AsRef<str>,
        why: impl Into<String>,
    ) -> Error {
        Error::Invalid { what, value: shorten(value.as_ref()), why: why.into() }
    }

    /// An [`Error::Unsupported`]; a long value is shortened.
    pub(crate) fn unsupported(
        what: &'static str,
        value: impl AsRef<str>,
        why: impl Into<String>,
    ) -> Error {
        Error::Unsupported { what, value: shorten(value.as_ref()), why: why.into() }
    }

    /// For `map_err`.
    pub(crate) fn io(
        action: &'static str,
        path: impl AsRef<Path>,
    ) -> impl FnOnce(io::Error) -> Error {
        let path = path.as_ref().to_path_buf();
        move |source| Error::Io { action, path, source }
    }
}

/// Values come from images, so they may be megabytes; a message shows the beginning.
pub(crate) fn shorten(value: &str) -> String {
    cut(value, 120)
}

/// A path as the kernel would take it (PATH_MAX), and the beginning of a longer one.
fn shown(path: &Path) -> String {
    cut(&path.to_string_lossy(), 4096)
}

fn cut(value: &str, max: usize) -> String {
    match value.char_indices().nth(max) {
        Some((end, _)) => format!("{}…", &value[..end]),
        None => value.to_owned(),
    }
}

/// A text that goes to the kernel as a C string must not hold a NUL: it would be cut there, silently.
pub(crate) fn no_nul(what: &'static str, value: &str) -> Result<(), Error> {
    if value.contains('\0') {
        return Err(Error::invalid(what, value, "it contains a NUL byte"));
    }
    Ok(())
}

/// The spec's types without setters are made by builders, which could only fail for a field not given.
pub(crate) fn built<T>(result: Result<T, oci_spec::OciSpecError>) -> Result<T, Error> {
    result.map_err(|e| Error::invalid("runtime spec", e.to_string(), "it cannot be built"))
}
