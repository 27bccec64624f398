//! What can go wrong with a network, named by what the caller can do about it.

use std::io;
use std::net::IpAddr;
use std::path::PathBuf;

/// The result of everything fallible here.
pub type Result<T, E = Error> = std::result::Result<T, E>;

/// An error of this crate.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// No network has that name or id.
    #[error("no such network: {0}")]
    NotFound(String),
    /// The beginning of an id fits several networks.
    #[error("network id prefix {prefix:?} is ambiguous: {candidates}")]
    Ambiguous {
        /// As given.
        prefix: String,
        /// Names of those that fit.
        candidates: String,
    },
    /// The name is taken.
    #[error("the network name {0:?} is in use")]
    NameInUse(String),
    /// A value cannot be honoured; nothing was changed.
    #[error("{0}")]
    Invalid(String),
    /// Containers are connected.
    #[error("network {network} is in use by {by}")]
    InUse {
        /// The network.
        network: String,
        /// Containers, comma separated.
        by: String,
    },
    /// Somebody else has the address.
    #[error("the address {address} of network {network} is in use by container {by}")]
    AddressInUse {
        /// The address asked for.
        address: IpAddr,
        /// Where.
        network: String,
        /// Who has it.
        by: String,
    },
    /// All addresses are given away.
    #[error("network {network} has no free address in {range}")]
    Exhausted {
        /// The network.
        network: String,
        /// First and last.
        range: String,
    },
    /// Somebody else has the port of the host.
    #[error("the host port {port} is in use by {by}")]
    PortInUse {
        /// Address, port and protocol.
        port: String,
        /// A container, a process, or what is known.
        by: String,
    },
    /// A file cannot be understood.
    #[error("{} is damaged: {why}", path.display())]
    Corrupt {
        /// The file.
        path: PathBuf,
        /// What is wrong.
        why: String,
    },
    /// The kernel refused a request about a device, an address, a route or a rule.
    #[error("cannot {action}")]
    Kernel {
        /// What was being done, to what.
        action: String,
        /// The kernel's answer.
        source: io::Error,
    },
    /// An operation on a file failed.
    #[error("cannot {action} {}", path.display())]
    Io {
        /// What was being done.
        action: &'static str,
        /// To which path.
        path: PathBuf,
        /// The kernel's answer.
        source: io::Error,
    },
    /// A lock is held for too long, or its file cannot be used.
    #[error("cannot lock {}", path.display())]
    Lock {
        /// The lock file.
        path: PathBuf,
        /// Who holds it, or the kernel's answer.
        source: dhow_sys::lock::LockError,
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

    pub(crate) fn kernel(action: impl Into<String>) -> impl FnOnce(io::Error) -> Error {
        let action = action.into();
        move |source| Error::Kernel { action, source }
    }
}
