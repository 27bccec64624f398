//! The store: where its files lie and how it is opened.

use std::path::{Path, PathBuf};
use std::time::Duration;

use dhow_sys::lock::{FileLock, LockMode};

use crate::error::{Doing, Error, Result};
use crate::{ChainId, Digest, ImageId};

/// What differs between stores; the same for all processes that use one.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct StorageOptions {
    /// Overlay marks in `user.overlay.*`: for a user who may not set `trusted.*`.
    pub userxattr: bool,
    /// Bring what is published to the disk first. Without it a power cut may spoil the store: for tests.
    pub durable: bool,
}

impl Default for StorageOptions {
    fn default() -> StorageOptions {
        StorageOptions { userxattr: false, durable: true }
    }
}

/// The images and layers below one directory. Holds no lock and no open file; any number of processes and threads may
/// use the same directory.
#[derive(Debug, Clone)]
pub struct Storage {
    root: PathBuf,
    options: StorageOptions,
}

/// The collection lock is held for as long as it takes to rename what goes.
const LOCK_TIMEOUT: Duration = Duration::from_secs(60);

impl Storage {
    /// Opens the store below `root`, making its directories if need be.
    ///
    /// # Errors
    /// [`Error::Io`].
    pub fn open(root: &Path) -> Result<Storage> {
        Storage::open_with(root, StorageOptions::default())
    }

    /// [`Storage::open`] with other options.
    ///
    /// # Errors
    /// [`Error::Io`].
    pub fn open_with(root: &Path, options: StorageOptions) -> Result<Storage> {
        // Mount options name these paths, and they must mean the same after a chdir.
        let root = std::path::absolute(root).doing("find", root)?;
        let storage = Storage { root, options };
        // The last one made is there only when all are: a store that exists costs one look.
        let last = storage.tmp();
        if !last.is_dir() {
            for dir in [storage.blobs(), storage.layers(), storage.names_dir(), last] {
                dhow_sys::fs::create_dir_all(&dir, 0o700).doing("create", &dir)?;
            }
        }
        Ok(storage)
    }

    /// The directory that it was opened with, absolute.
    pub fn root(&self) -> &Path {
        &self.root
    }

    pub(crate) fn options(&self) -> StorageOptions {
        self.options
    }

    pub(crate) fn blobs(&self) -> PathBuf {
        self.root.join("blobs/sha256")
    }

    pub(crate) fn blob_path(&self, digest: &Digest) -> PathBuf {
        self.blobs().join(digest.hex())
    }

    pub(crate) fn layers(&self) -> PathBuf {
        self.root.join("layers")
    }

    pub(crate) fn layer_path(&self, chain: &ChainId) -> PathBuf {
        self.layers().join(chain.hex())
    }

    /// The directory that holds a layer's files, as overlayfs is given it. It must not be written to.
    pub fn layer_diff(&self, chain: &ChainId) -> PathBuf {
        self.layer_path(chain).join("diff")
    }

    pub(crate) fn images_dir(&self) -> PathBuf {
        self.root.join("images")
    }

    pub(crate) fn image_path(&self, id: &ImageId) -> PathBuf {
        self.images_dir().join(id.hex())
    }

    pub(crate) fn names_dir(&self) -> PathBuf {
        self.images_dir().join("names")
    }

    pub(crate) fn tmp(&self) -> PathBuf {
        self.root.join("tmp")
    }

    /// ORDER: the collection lock is the innermost of all; under it nothing is waited for.
    pub(crate) fn collection_lock(&self, mode: LockMode) -> Result<FileLock> {
        let path = self.root.join("collect.lock");
        FileLock::acquire(&path, mode, Some(LOCK_TIMEOUT)).map_err(Error::from)
    }

    /// Everything written so far reaches the disk, with one call whatever the number of files.
    pub(crate) fn sync(&self, path: &Path) -> Result<()> {
        if self.options.durable {
            let dir = std::fs::File::open(path).doing("open", path)?;
            rustix::fs::syncfs(&dir).doing("sync", path)?;
        }
        Ok(())
    }

    /// A rename is on the disk when its directory is.
    pub(crate) fn sync_dir(&self, path: &Path) -> Result<()> {
        if self.options.durable {
            dhow_sys::fs::sync_dir(path).doing("sync", path)?;
        }
        Ok(())
    }

    pub(crate) fn durability(&self) -> dhow_sys::fs::Durability {
        if self.options.durable {
            dhow_sys::fs::Durability::Durable
        } else {
            dhow_sys::fs::Durability::Volatile
        }
    }
}
