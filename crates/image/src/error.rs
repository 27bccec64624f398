//! What can be wrong with a name, an archive or an instruction.

use std::io;
use std::path::PathBuf;

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
    /// A short name that means nothing, or may mean several things.
    #[error("short name {name:?} does not resolve: {why}")]
    ShortName {
        /// As the user wrote it.
        name: String,
        /// Why not.
        why: String,
    },
    /// registries.conf forbids it.
    #[error("{reference} cannot be reached: registries.conf blocks {prefix}")]
    Blocked {
        /// The image.
        reference: String,
        /// The prefix that is blocked.
        prefix: String,
    },
    /// policy.json forbids it, or asks for what dhow cannot do.
    #[error("the signature policy refuses {reference}: {why}")]
    Policy {
        /// The image.
        reference: String,
        /// The requirement.
        why: String,
    },
    /// A configuration file that cannot be used.
    #[error("cannot use {}: {why}", path.display())]
    Config {
        /// The file.
        path: PathBuf,
        /// What is wrong with it.
        why: String,
    },
    /// The registry has no such image, repository, or blob.
    #[error("{registry} has no {what}")]
    NotInRegistry {
        /// Its host.
        registry: String,
        /// What was asked for.
        what: String,
    },
    /// The registry wants to know who asks, or does not let him.
    #[error("{registry} refuses access to {what}: {why}")]
    Denied {
        /// Its host.
        registry: String,
        /// What was asked for.
        what: String,
        /// Its words.
        why: String,
    },
    /// The registry answers with something else than what was asked for.
    #[error("{registry}: cannot {action}: {why}")]
    Registry {
        /// Its host.
        registry: String,
        /// What was being done, as a verb phrase.
        action: String,
        /// What it said.
        why: String,
    },
    /// The registry cannot be reached, or the connection broke. Another attempt may help.
    #[error("{registry}: cannot {action}")]
    Network {
        /// Its host.
        registry: String,
        /// What was being done, as a verb phrase.
        action: String,
        /// Why not.
        source: io::Error,
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
