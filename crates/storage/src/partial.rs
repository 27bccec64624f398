//! Downloads that are not finished: `partial/<digest>`, kept over the death of whoever fetches it.
//!
//! Each is owned by a flock beside it while somebody writes to it: two processes that want one blob fetch it once, and
//! the second finds all of it. INVARIANT: nothing here is believed. It is what a registry sent so far, and is verified
//! when it is read for a layer; so a power cut, a truncated file or somebody's hand costs a download and no more.
//! CRASH: what a killed process leaves is where the next one goes on; a collection takes what is a week old.

use std::fs::{File, OpenOptions};
use std::io;
use std::os::unix::fs::{FileExt, OpenOptionsExt};
use std::path::{Path, PathBuf};
use std::time::{Duration, SystemTime};

use dhow_sys::lock::{FileLock, LockMode};

use crate::error::{Doing, Result};
use crate::image::list_dir;
use crate::lease::LOCK_SUFFIX;
use crate::{Digest, Storage};

/// Nobody goes on with a download after so long.
const STALE: Duration = Duration::from_secs(7 * 24 * 3600);

/// A download of this process.
#[derive(Debug)]
pub struct Partial {
    path: PathBuf,
    file: File,
    lock: FileLock,
}

impl Storage {
    pub(crate) fn partials(&self) -> PathBuf {
        self.root().join("partial")
    }

    /// Takes the download of a blob over, with what there is of it. Waits while another process is at it.
    ///
    /// # Errors
    /// [`Error::Io`](crate::Error::Io), [`Error::Lock`](crate::Error::Lock).
    pub fn partial(&self, digest: &Digest) -> Result<Partial> {
        let dir = self.partials();
        dhow_sys::fs::create_dir_all(&dir, 0o700).doing("create", &dir)?;
        let path = dir.join(digest.hex());
        let lock = FileLock::acquire(&lock_path(&path), LockMode::Exclusive, None)?;
        let mut options = OpenOptions::new();
        options.read(true).write(true).create(true).truncate(false).mode(0o600);
        let file = options.open(&path).doing("open", &path)?;
        Ok(Partial { path, file, lock })
    }

    /// Removes what is left of a finished download, unless another process has it now.
    ///
    /// # Errors
    /// [`Error::Io`](crate::Error::Io), [`Error::Lock`](crate::Error::Lock).
    pub fn drop_partial(&self, digest: &Digest) -> Result<()> {
        remove(&self.partials().join(digest.hex()), |_| true).map(drop)
    }

    /// Removes downloads that nobody works on: all of them, or those that are stale. Gives the bytes that were freed.
    ///
    /// # Errors
    /// [`Error::Io`](crate::Error::Io), [`Error::Lock`](crate::Error::Lock).
    pub fn drop_partials(&self, all: bool) -> Result<u64> {
        let dir = self.partials();
        if !dir.is_dir() {
            return Ok(0);
        }
        let mut freed = 0;
        for name in list_dir(&dir)? {
            let path = dir.join(&name);
            if name.to_str().is_some_and(|name| name.ends_with(LOCK_SUFFIX)) {
                // Only one whose file has gone: the others go with their file.
                if !path.with_extension("").exists()
                    && let Some(lock) = FileLock::try_acquire(&path, LockMode::Exclusive)?
                {
                    lock.unlink()?;
                }
                continue;
            }
            let stale = |modified: SystemTime| modified.elapsed().is_ok_and(|age| age > STALE);
            freed += remove(&path, |modified| all || stale(modified))?;
        }
        Ok(freed)
    }
}

impl Partial {
    /// How many bytes there are.
    ///
    /// # Errors
    /// [`Error::Io`](crate::Error::Io).
    pub fn length(&self) -> Result<u64> {
        Ok(self.file.metadata().doing("stat", &self.path)?.len())
    }

    /// Forgets everything from `length` on.
    ///
    /// # Errors
    /// [`Error::Io`](crate::Error::Io).
    pub fn truncate(&self, length: u64) -> Result<()> {
        self.file.set_len(length).doing("truncate", &self.path)
    }

    /// Writes bytes at their place.
    ///
    /// # Errors
    /// [`Error::Io`](crate::Error::Io).
    pub fn write(&self, bytes: &[u8], offset: u64) -> Result<()> {
        self.file.write_all_at(bytes, offset).doing("write", &self.path)
    }

    /// The file, which can be read after it has been removed.
    ///
    /// # Errors
    /// [`Error::Io`](crate::Error::Io).
    pub fn file(&self) -> Result<File> {
        self.file.try_clone().doing("open", &self.path)
    }

    /// Lets others have it; it stays.
    pub fn release(self) {
        drop(self.lock);
    }
}

fn lock_path(path: &Path) -> PathBuf {
    let mut name = path.as_os_str().to_os_string();
    name.push(LOCK_SUFFIX);
    name.into()
}

fn remove(path: &Path, wanted: impl FnOnce(SystemTime) -> bool) -> Result<u64> {
    let Some(lock) = FileLock::try_acquire(&lock_path(path), LockMode::Exclusive)? else {
        return Ok(0);
    };
    let mut freed = 0;
    match std::fs::metadata(path) {
        Ok(found) if !wanted(found.modified().unwrap_or(SystemTime::UNIX_EPOCH)) => return Ok(0),
        Ok(found) => {
            freed = found.len();
            std::fs::remove_file(path).doing("remove", path)?;
        }
        Err(e) if e.kind() == io::ErrorKind::NotFound => {}
        Err(e) => return Err(crate::Error::io("stat", path, e)),
    }
    // ORDER: the lock last: who waits for it makes both anew.
    lock.unlink()?;
    Ok(freed)
}

#[cfg(test)]
mod tests {
    use std::io::Read as _;

    use super::*;
    use crate::testing::Store;

    #[test]
    fn what_is_left_is_gone_on_with() {
        let store = Store::new();
        let digest = Digest::of("whole");
        let partial = store.storage.partial(&digest).unwrap();
        partial.write(b"who", 0).unwrap();
        assert_eq!(store.storage.drop_partials(true).unwrap(), 0, "it is being written");
        partial.release();
        assert_eq!(store.storage.drop_partials(false).unwrap(), 0, "it is new");
        let partial = store.storage.partial(&digest).unwrap();
        assert_eq!(partial.length().unwrap(), 3);
        partial.write(b"le", 3).unwrap();
        let mut file = partial.file().unwrap();
        partial.release();
        store.storage.drop_partial(&digest).unwrap();
        let mut text = String::new();
        file.read_to_string(&mut text).unwrap();
        assert_eq!(text, "whole");
        assert_eq!(list_dir(&store.storage.partials()).unwrap().len(), 0);
        store.storage.partial(&digest).unwrap().release();
        store.storage.collect(&|| Some(Vec::new())).unwrap();
        assert_eq!(store.storage.drop_partials(true).unwrap(), 0);
        assert_eq!(list_dir(&store.storage.partials()).unwrap().len(), 0);
    }
}
