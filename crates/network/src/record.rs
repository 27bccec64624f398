//! JSON files: networks, and what containers have of them.

use std::io;
use std::path::Path;

use dhow_sys::fs::{Durability, read_bounded, write_atomic};
use serde::Serialize;
use serde::de::DeserializeOwned;

use crate::error::{Error, Result};

/// Larger files are damaged.
const MAX: u64 = 1 << 20;

#[derive(serde::Deserialize)]
struct Version {
    #[serde(default)]
    version: u32,
}

/// Reads one; `None`: there is no such file.
pub(crate) fn read<T: DeserializeOwned>(path: &Path, known: u32) -> Result<Option<T>> {
    let corrupt = |why: String| Error::Corrupt { path: path.to_path_buf(), why };
    let bytes = match read_bounded(path, MAX) {
        Ok(bytes) => bytes,
        Err(e) if e.kind() == io::ErrorKind::NotFound => return Ok(None),
        Err(e) if matches!(e.kind(), io::ErrorKind::InvalidInput | io::ErrorKind::FileTooLarge) => {
            return Err(corrupt(e.to_string()));
        }
        Err(e) => return Err(Error::io("read", path)(e)),
    };
    let Version { version } = serde_json::from_slice(&bytes).map_err(|e| corrupt(e.to_string()))?;
    if version != known {
        return Err(corrupt(format!(
            "version {version} is not known to this build, which reads version {known}"
        )));
    }
    serde_json::from_slice(&bytes).map(Some).map_err(|e| corrupt(e.to_string()))
}

/// Replaces one whole.
pub(crate) fn write(path: &Path, value: &impl Serialize, durability: Durability) -> Result<()> {
    let mut bytes = serde_json::to_vec(value).map_err(|e| Error::io("write", path)(e.into()))?;
    bytes.push(b'\n');
    write_atomic(path, &bytes, 0o600, durability).map_err(Error::io("write", path))
}

/// Removes one; whether there was one.
pub(crate) fn remove(path: &Path) -> Result<bool> {
    match std::fs::remove_file(path) {
        Ok(()) => Ok(true),
        Err(e) if e.kind() == io::ErrorKind::NotFound => Ok(false),
        Err(e) => Err(Error::io("remove", path)(e)),
    }
}
