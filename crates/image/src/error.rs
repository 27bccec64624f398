//! What can be wrong with a name, an archive or an instruction.

use std::io;

use dhow_storage::Digest;

/// The result of everything in this crate.
pub type Result<T, E = Error> = std::result::Result<T, E>;

/// An error that names the archive and the entry it is about.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// The text is no image reference.
    #[error("invalid image reference {text:?}: {why}")]
    Reference {
        /// As the user wrote it.
        text: String,
        /// The rule it breaks.
        why: &'static str,
    },
    /// The archive cannot be opened or read.
    #[error("cannot {action} {archive}")]
    Io {
        /// What was being done, as a verb phrase.
        action: &'static str,
        /// The archive.
        archive: String,
        /// The kernel's answer.
        source: io::Error,
    },
    /// It is neither an OCI layout nor a docker archive.
    #[error("{archive} is no image archive: {why}")]
    NotAnArchive {
        /// The archive.
        archive: String,
        /// What was looked for and not found.
        why: String,
    },
    /// An entry says something that is not so, or that cannot be.
    #[error("{archive}: {entry}: {why}")]
    Malformed {
        /// The archive.
        archive: String,
        /// The entry at fault.
        entry: String,
        /// What is wrong with it.
        why: String,
    },
    /// An entry that another one refers to is not there.
    #[error("{archive}: {entry} is missing")]
    Missing {
        /// The archive.
        archive: String,
        /// The entry that was looked for.
        entry: String,
    },
    /// The content is not what its digest says.
    #[error("{archive}: {entry}: expected {expected}, found {found}")]
    Mismatch {
        /// The archive.
        archive: String,
        /// The entry at fault.
        entry: String,
        /// The digest by which it is referred to.
        expected: Digest,
        /// The digest of its bytes.
        found: Digest,
    },
    /// It is well formed, but dhow cannot use it.
    #[error("{archive}: {entry}: {what} is not supported")]
    Unsupported {
        /// The archive.
        archive: String,
        /// The entry at fault.
        entry: String,
        /// What it asks for.
        what: String,
    },
    /// An index has no image for the platform.
    #[error("{archive} has no image for {wanted}, only for {available}")]
    NoPlatform {
        /// The archive.
        archive: String,
        /// The platform asked for.
        wanted: String,
        /// The platforms there are, comma separated.
        available: String,
    },
    /// A `--change` instruction cannot be carried out.
    #[error("invalid change {instruction:?}: {why}")]
    Change {
        /// As the user wrote it.
        instruction: String,
        /// What is wrong with it.
        why: String,
    },
    /// The store refused.
    #[error("cannot {action}")]
    Store {
        /// What was being done, as a verb phrase with its object.
        action: String,
        /// Why.
        source: dhow_storage::Error,
    },
}

impl Error {
    /// Shorthand for [`Error::Store`].
    pub(crate) fn store(action: impl Into<String>) -> impl FnOnce(dhow_storage::Error) -> Error {
        let action = action.into();
        move |source| Error::Store { action, source }
    }
}
