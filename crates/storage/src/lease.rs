//! Leases: whose work is in progress, and what it relies on.
//!
//! A lease is `tmp/<name>.lock`, flocked as long as its process lives, and `tmp/<name>/` with its temporary files and a
//! list of the blobs and layers that it needs although no image names them yet. The kernel releases the flock however
//! the process ends; then the whole lease is garbage.
//!
//! INVARIANT: what a lease needs is listed before it is looked for, and under the collection lock: a collection either
//! sees the list or has finished, so nothing vanishes between "it is there" and "an image names it".

use std::fs::{File, OpenOptions};
use std::io::{self, Read, Seek, Write};
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};
use std::sync::Mutex;
use std::sync::atomic::{AtomicU64, Ordering};

use dhow_sys::lock::{FileLock, LockMode};

use crate::error::{Doing, Error, Result};
use crate::{ChainId, Digest, Storage};

pub(crate) const NEEDS: &str = "needs";
pub(crate) const LOCK_SUFFIX: &str = ".lock";

/// Work in progress of this process. Dropping it removes its temporary files; what it published stays.
#[must_use = "what is added is only safe from collection while the lease lives"]
#[derive(Debug)]
pub struct Lease<'a> {
    pub(crate) storage: &'a Storage,
    dir: PathBuf,
    lock: Option<FileLock>,
    needs: Mutex<File>,
    counter: AtomicU64,
}

/// Something that collection must leave alone.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(crate) enum Need {
    Blob(Digest),
    Layer(ChainId),
}

impl Need {
    fn line(&self) -> String {
        match self {
            Need::Blob(digest) => format!("blob {digest}\n"),
            Need::Layer(chain) => format!("layer {chain}\n"),
        }
    }

    pub(crate) fn parse(line: &str) -> Option<Need> {
        match line.split_once(' ')? {
            ("blob", digest) => digest.parse().ok().map(Need::Blob),
            ("layer", chain) => chain.parse().ok().map(Need::Layer),
            _ => None,
        }
    }
}

impl Storage {
    /// Begins work that adds something.
    ///
    /// # Errors
    /// [`Error::Io`], [`Error::Lock`].
    pub fn lease(&self) -> Result<Lease<'_>> {
        static COUNTER: AtomicU64 = AtomicU64::new(0);
        let tmp = self.tmp();
        loop {
            // A pid alone may come again, and another PID namespace may share the store: the exclusive create decides.
            let number = COUNTER.fetch_add(1, Ordering::Relaxed);
            let name = format!("{}-{number}-{:x}", std::process::id(), now_nanos());
            let dir = tmp.join(&name);
            let lock = tmp.join(format!("{name}{LOCK_SUFFIX}"));
            // ORDER: the lock is held before the directory exists, so that nobody takes it for a dead one's.
            let Some(lock) = FileLock::try_acquire(&lock, LockMode::Exclusive)? else { continue };
            match dhow_sys::fs::create_dir(&dir, 0o700) {
                Err(e) if e.kind() == io::ErrorKind::AlreadyExists => continue,
                other => other.doing("create", &dir)?,
            }
            let path = dir.join(NEEDS);
            let needs = OpenOptions::new().create_new(true).append(true).mode(0o600).open(&path);
            let needs = Mutex::new(needs.doing("create", &path)?);
            let lock = Some(lock);
            return Ok(Lease { storage: self, dir, lock, needs, counter: AtomicU64::new(0) });
        }
    }

    /// Are these layers still there? Asked by who has just recorded that a container uses them: from then on collection
    /// leaves them alone, so that what is there now stays.
    ///
    /// # Errors
    /// [`Error::NotFound`] when the image was removed at the same time.
    pub fn confirm(&self, layers: &[ChainId]) -> Result<()> {
        let _lock = self.collection_lock(LockMode::Shared)?;
        match layers.iter().find(|chain| !self.has_layer(chain)) {
            None => Ok(()),
            Some(chain) => Err(Error::NotFound { what: "layer", name: chain.to_string() }),
        }
    }
}

impl Lease<'_> {
    /// The lease's own directory, for temporary files that go with it.
    pub fn dir(&self) -> &Path {
        &self.dir
    }

    /// The input as a file that can be read from any place, read from its beginning; it has no name and so leaves
    /// nothing behind.
    ///
    /// # Errors
    /// [`Error::TooLarge`] beyond `max` bytes; [`Error::Io`] when the disk is full.
    pub fn spool(&self, input: impl Read, max: u64) -> Result<File> {
        let path = self.temporary("spool");
        let mut options = OpenOptions::new();
        let file = options.read(true).write(true).create_new(true).mode(0o600).open(&path);
        let mut file = file.doing("create", &path)?;
        std::fs::remove_file(&path).doing("unlink", &path)?;
        let mut input = input.take(max.saturating_add(1));
        let length = io::copy(&mut input, &mut file).doing("spool the input to", &self.dir)?;
        if length > max {
            return Err(Error::TooLarge { what: "input", limit: format!("{max} bytes") });
        }
        file.rewind().doing("rewind", &path)?;
        Ok(file)
    }

    /// A path in the lease's directory that nobody else uses.
    pub(crate) fn temporary(&self, what: &str) -> PathBuf {
        self.dir.join(format!("{what}{}", self.counter.fetch_add(1, Ordering::Relaxed)))
    }

    /// Keeps the layers of an image from collection until the lease goes, whether they are there yet or not. Whoever
    /// asks for them afterwards can rely on the answer.
    ///
    /// # Errors
    /// [`Error::Io`], [`Error::Lock`].
    pub fn claim(&self, chains: &[ChainId]) -> Result<()> {
        let needs: Vec<Need> = chains.iter().copied().map(Need::Layer).collect();
        self.need(&needs)
    }

    /// Keeps these from collection until the lease goes, whether they exist yet or not.
    pub(crate) fn need(&self, needs: &[Need]) -> Result<()> {
        let lines: String = needs.iter().map(Need::line).collect();
        let _lock = self.storage.collection_lock(LockMode::Shared)?;
        let mut file = self.needs.lock().unwrap_or_else(std::sync::PoisonError::into_inner);
        file.write_all(lines.as_bytes()).doing("write", self.dir.join(NEEDS))
    }
}

impl Drop for Lease<'_> {
    fn drop(&mut self) {
        if let Err(e) = dhow_sys::fs::remove_tree(&self.dir) {
            // The next collection finds it again.
            tracing::debug!(dir = %self.dir.display(), error = %e, "lease not removed");
            return;
        }
        if let Some(Err(e)) = self.lock.take().map(FileLock::unlink) {
            tracing::debug!(error = %e, "lease lock not removed");
        }
    }
}

fn now_nanos() -> u128 {
    let now = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH);
    now.map(|now| now.as_nanos()).unwrap_or_default()
}
