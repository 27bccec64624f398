//! Kernel parameters of the network namespace that the calling thread is in (`/proc/sys/net` is always its own).

use std::path::{Path, PathBuf};

use crate::error::{Error, Result};

/// Sets a parameter below `/proc/sys/net`, where it has another value.
pub(crate) fn set(name: &str, value: &str) -> Result<()> {
    let path = Path::new("/proc/sys/net").join(name);
    if read(&path).is_some_and(|now| now == value) {
        return Ok(());
    }
    let mut file =
        std::fs::File::options().write(true).open(&path).map_err(Error::io("open", &path))?;
    std::io::Write::write_all(&mut file, value.as_bytes()).map_err(Error::io("write", path))
}

/// The same where the kernel may lack it: one without IPv6, for example.
pub(crate) fn set_if_there(name: &str, value: &str) -> Result<()> {
    let path: PathBuf = Path::new("/proc/sys/net").join(name);
    if path.exists() { set(name, value) } else { Ok(()) }
}

fn read(path: &Path) -> Option<String> {
    let bytes = dhow_sys::fs::read_bounded(path, 4096).ok()?;
    Some(String::from_utf8_lossy(&bytes).trim().to_owned())
}
