//! Removing images, and collecting what nothing refers to any more.
//!
//! INVARIANT: what goes is decided and renamed into this process's own lease under the exclusive collection lock, which
//! takes as long as the renames. It is deleted afterwards, with no lock held.
//! CRASH: a killed collection leaves renamed parts in a dead lease, which the next one collects.

use std::collections::HashSet;
use std::path::Path;

use dhow_sys::lock::{FileLock, LockMode};

use crate::error::{Doing, Error, Result};
use crate::image::list_dir;
use crate::lease::{LOCK_SUFFIX, Lease, NEEDS, Need};
use crate::names::{TEMPORARY, target_id};
use crate::{ChainId, Digest, ImageId, Storage};

/// The layers of every container there is, asked for under the collection lock; `None`: some container cannot be read,
/// so that no layer may go.
pub type InUse<'a> = &'a dyn Fn() -> Option<Vec<ChainId>>;

/// What a collection removed.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Collected {
    /// Layers.
    pub layers: Vec<ChainId>,
    /// Blobs.
    pub blobs: Vec<Digest>,
    /// Leases of processes that died.
    pub dead: usize,
}

/// What the removal of an image removed.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Removed {
    /// Names that it had.
    pub untagged: Vec<String>,
    /// What went with it.
    pub collected: Collected,
}

impl Storage {
    /// Removes an image, its names, and what no other image needs. That no container uses it is the caller's business:
    /// the layers of those that do stay.
    ///
    /// # Errors
    /// [`Error::NotFound`]; [`Error::Io`]. An image whose record is corrupt is removed as well.
    pub fn remove_image(&self, id: &ImageId, in_use: InUse<'_>) -> Result<Removed> {
        let lease = self.lease()?;
        let mut untagged = Vec::new();
        let collected = self.collect_after(&lease, in_use, || {
            let path = self.image_path(id);
            if !path.is_dir() {
                return Err(Error::NotFound { what: "image", name: id.to_string() });
            }
            untagged = self.image_names(id)?;
            // ORDER: the record goes in one step; names that lead nowhere are nobody's.
            let gone = lease.temporary("image");
            std::fs::rename(&path, &gone).doing("remove", &path)?;
            Ok(())
        })?;
        Ok(Removed { untagged, collected })
    }

    /// Removes layers and blobs that no image, container or running process needs, and what dead processes left.
    ///
    /// # Errors
    /// [`Error::Io`], [`Error::Lock`].
    pub fn collect(&self, in_use: InUse<'_>) -> Result<Collected> {
        let lease = self.lease()?;
        self.collect_after(&lease, in_use, || Ok(()))
    }

    fn collect_after(
        &self,
        lease: &Lease<'_>,
        in_use: InUse<'_>,
        first: impl FnOnce() -> Result<()>,
    ) -> Result<Collected> {
        let mut collected = Collected::default();
        let lock = self.collection_lock(LockMode::Exclusive)?;
        first()?;
        self.remove_stray_names()?;
        let dead = self.dead_leases()?;
        if let Some(needed) = self.needed(in_use, &dead)? {
            for (what, dir) in [("layer", self.layers()), ("blob", self.blobs())] {
                for file in list_dir(&dir)? {
                    let digest = file.to_str().and_then(|hex| format!("sha256:{hex}").parse().ok());
                    let need = match (what, digest) {
                        ("layer", Some(digest)) => Need::Layer(ChainId::from(digest)),
                        (_, Some(digest)) => Need::Blob(digest),
                        (_, None) => continue,
                    };
                    if needed.contains(&need) {
                        continue;
                    }
                    let path = dir.join(&file);
                    std::fs::rename(&path, lease.temporary(what)).doing("remove", &path)?;
                    match need {
                        Need::Layer(chain) => collected.layers.push(chain),
                        Need::Blob(digest) => collected.blobs.push(digest),
                    }
                }
            }
        }
        drop(lock);
        for lease in dead {
            collected.dead += 1;
            let dir = lease.path().with_extension("");
            dhow_sys::fs::remove_tree(&dir).doing("remove", &dir)?;
            // ORDER: the lock last, or a directory without one would be nobody's.
            lease.unlink()?;
        }
        self.drop_partials(false)?;
        collected.layers.sort();
        collected.blobs.sort();
        Ok(collected)
    }

    /// `None`: not all references are known, so that nothing may go.
    fn needed(&self, in_use: InUse<'_>, dead: &[FileLock]) -> Result<Option<HashSet<Need>>> {
        let Some(layers) = in_use() else { return Ok(None) };
        let mut needed: HashSet<Need> = layers.into_iter().map(Need::Layer).collect();
        for id in self.image_ids()? {
            match self.image(&id) {
                Ok(image) => {
                    needed.insert(Need::Blob(*image.id.digest()));
                    needed.extend(image.manifest.map(Need::Blob));
                    needed.extend(image.layers.iter().copied().map(Need::Layer));
                }
                Err(Error::NotFound { .. }) => {}
                Err(e) => {
                    tracing::debug!(error = %e, "nothing is collected beside a corrupt image");
                    return Ok(None);
                }
            }
        }
        for file in list_dir(&self.tmp())? {
            let lease = self.tmp().join(file);
            // The dead need nothing any more.
            if dead.iter().any(|lock| lock.path() == with_lock(&lease)) {
                continue;
            }
            // A lease without a list needs nothing; its lock file is not a directory.
            let Ok(text) = std::fs::read_to_string(lease.join(NEEDS)) else { continue };
            needed.extend(text.lines().filter_map(Need::parse));
        }
        Ok(Some(needed))
    }

    /// The locks of leases whose process is gone, taken: nobody else will collect them meanwhile.
    fn dead_leases(&self) -> Result<Vec<FileLock>> {
        let mut dead = Vec::new();
        let tmp = self.tmp();
        for file in list_dir(&tmp)? {
            let is_lock = file.to_str().is_some_and(|name| name.ends_with(LOCK_SUFFIX));
            let path = if is_lock { tmp.join(&file) } else { with_lock(&tmp.join(&file)) };
            // A directory without a lock file: its owner was killed while it removed itself.
            if !is_lock && path.exists() {
                continue;
            }
            if let Some(lock) = FileLock::try_acquire(&path, LockMode::Exclusive)? {
                dead.push(lock);
            }
        }
        Ok(dead)
    }

    fn remove_stray_names(&self) -> Result<()> {
        let dir = self.names_dir();
        for file in list_dir(&dir)? {
            let path = dir.join(&file);
            let stray = file.to_str().is_none_or(|name| name.starts_with(TEMPORARY))
                || match std::fs::read_link(&path) {
                    Ok(target) => {
                        target_id(&target).is_none_or(|id| !self.image_path(&id).is_dir())
                    }
                    Err(_) => true,
                };
            if stray {
                dhow_sys::fs::remove_tree(&path).doing("remove", &path)?;
            }
        }
        Ok(())
    }
}

fn with_lock(dir: &Path) -> std::path::PathBuf {
    let mut name = dir.as_os_str().to_os_string();
    name.push(LOCK_SUFFIX);
    name.into()
}

#[cfg(test)]
mod tests;
