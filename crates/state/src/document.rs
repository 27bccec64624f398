//! JSON files on disk: read within bounds, checked for their version, written atomically.
//!
//! INVARIANT: a version number grows only when older programs would misread a file. Within a version fields are only
//! added, each with a default, and unknown ones are ignored (in `record.json`: kept, as it is rewritten).

use std::io;
use std::path::Path;

use dhow_sys::fs::{Durability, read_bounded, write_atomic};
use serde::Serialize;
use serde::de::DeserializeOwned;

use crate::error::{Error, Result};
use crate::id::ContainerId;

/// The version of every kind of file that this build writes and reads.
pub(crate) const VERSION: u32 = 1;

/// For fields whose absence means the first version.
pub(crate) fn version() -> u32 {
    VERSION
}

/// Larger files are corrupt. Configurations hold a user's request, records a few facts.
pub(crate) const MAX_CONFIG: u64 = 16 << 20;
pub(crate) const MAX_RECORD: u64 = 1 << 20;

/// Why a document is not to be had.
#[derive(Debug)]
pub(crate) enum Problem {
    /// It is there, and not what it should be.
    Bad(String),
    /// It cannot be read.
    Io(io::Error),
}

impl Problem {
    /// As an error about a container.
    pub(crate) fn of(self, id: &ContainerId, path: &Path) -> Error {
        match self {
            Problem::Bad(why) => Error::Corrupt { id: id.clone(), path: path.to_path_buf(), why },
            Problem::Io(source) => Error::Io { action: "read", path: path.to_path_buf(), source },
        }
    }
}

#[derive(serde::Deserialize)]
struct Version {
    #[serde(default = "version")]
    version: u32,
}

/// The bytes of a document; `None`: there is no such file.
pub(crate) fn read_bytes(path: &Path, max: u64) -> Result<Option<Vec<u8>>, Problem> {
    match read_bounded(path, max) {
        Ok(bytes) => Ok(Some(bytes)),
        Err(e) if e.kind() == io::ErrorKind::NotFound => Ok(None),
        Err(e) => match e.kind() {
            io::ErrorKind::InvalidInput
            | io::ErrorKind::FileTooLarge
            | io::ErrorKind::IsADirectory
            | io::ErrorKind::NotADirectory => Err(Problem::Bad(e.to_string())),
            _ => Err(Problem::Io(e)),
        },
    }
}

/// What the bytes of a document say.
pub(crate) fn parse<T: DeserializeOwned>(bytes: &[u8]) -> Result<T, Problem> {
    // ORDER: the version first: a newer program's file may not parse, and that is what is to be said of it then.
    let Version { version } =
        serde_json::from_slice(bytes).map_err(|e| Problem::Bad(e.to_string()))?;
    if version != VERSION {
        return Err(Problem::Bad(format!(
            "version {version} is not known to this build, which reads version {VERSION}"
        )));
    }
    serde_json::from_slice(bytes).map_err(|e| Problem::Bad(e.to_string()))
}

/// Reads and parses; `None`: there is no such file.
pub(crate) fn read<T: DeserializeOwned>(path: &Path, max: u64) -> Result<Option<T>, Problem> {
    read_bytes(path, max)?.map(|bytes| parse(&bytes)).transpose()
}

/// Replaces a document in one step, readable by its owner only.
pub(crate) fn write(path: &Path, document: &impl Serialize, durability: Durability) -> Result<()> {
    let mut bytes = serde_json::to_vec(document).map_err(|e| Error::Io {
        action: "write",
        path: path.to_path_buf(),
        source: e.into(),
    })?;
    bytes.push(b'\n');
    write_atomic(path, &bytes, 0o600, durability).map_err(Error::io("write", path))
}
