//! Layers: each extracted once, into `layers/<chain id>/diff`, by whoever comes first.
//!
//! INVARIANT: `layers/<chain id>` exists only as a whole: extracted, verified by its diff id, on the disk.
//! CRASH: a process that dies while it extracts leaves its lease's directory, and a flock on
//! `tmp/layer-<chain>.lock` that the kernel has released: the next one starts afresh.

mod extract;
mod parallel;
mod recipe;

use std::io::{self, Read};
use std::path::{Path, PathBuf};

use dhow_sys::lock::{FileLock, LockMode};
use serde::{Deserialize, Serialize};

use crate::error::{Doing, Error, Result};
use crate::lease::{LOCK_SUFFIX, Lease, Need};
use crate::stream::{Digests, pipeline};
use crate::{ChainId, DiffId, Digest, Limits, Storage};
use extract::{Extracted, Extractor};
use parallel::Below;
pub use recipe::LayerTar;

const VERSION: u32 = 1;
const RECORD: &str = "layer.json";
/// A record is some 300 bytes.
const MAX_RECORD: u64 = 64 * 1024;

/// A layer that is there.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Layer {
    /// Its name: stands for it and all below it.
    pub chain: ChainId,
    /// Digest of its uncompressed tar.
    pub diff_id: DiffId,
    /// The layer below.
    pub parent: Option<ChainId>,
    /// Bytes of its files.
    pub size: u64,
}

/// `layer.json`.
#[derive(Debug, Serialize, Deserialize)]
struct Record {
    version: u32,
    diff_id: DiffId,
    parent: Option<ChainId>,
    size: u64,
}

type Open<'a> = dyn Fn() -> io::Result<Box<dyn Read + Send + 'a>> + Send + Sync + 'a;

/// Where a layer comes from.
pub struct LayerSource<'a> {
    diff_id: DiffId,
    compressed: Option<Digest>,
    open: Box<Open<'a>>,
}

impl std::fmt::Debug for LayerSource<'_> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("LayerSource").field("diff_id", &self.diff_id).finish_non_exhaustive()
    }
}

impl<'a> LayerSource<'a> {
    /// A tar, gzip, zstd or not compressed, that `open` gives. It is called at most once, from any thread, and not at
    /// all when the layer is there already.
    pub fn new<R: Read + Send + 'a>(
        diff_id: DiffId,
        open: impl Fn() -> io::Result<R> + Send + Sync + 'a,
    ) -> LayerSource<'a> {
        let open = move || Ok(Box::new(open()?) as Box<dyn Read + Send + 'a>);
        LayerSource { diff_id, compressed: None, open: Box::new(open) }
    }

    /// The bytes as they are stored must have this digest as well.
    #[must_use]
    pub fn with_digest(self, digest: Digest) -> LayerSource<'a> {
        LayerSource { compressed: Some(digest), ..self }
    }

    /// Digest of the uncompressed tar.
    pub fn diff_id(&self) -> &DiffId {
        &self.diff_id
    }
}

impl Storage {
    /// Is this layer there?
    pub fn has_layer(&self, chain: &ChainId) -> bool {
        self.layer_path(chain).join(RECORD).is_file()
    }

    /// What is known of a layer.
    ///
    /// # Errors
    /// [`Error::NotFound`], [`Error::Corrupt`].
    pub fn layer(&self, chain: &ChainId) -> Result<Layer> {
        let path = self.layer_path(chain).join(RECORD);
        let bytes = match dhow_sys::fs::read_bounded(&path, MAX_RECORD) {
            Err(e) if e.kind() == io::ErrorKind::NotFound => {
                return Err(Error::NotFound { what: "layer", name: chain.to_string() });
            }
            other => other.doing("read", &path)?,
        };
        let corrupt = |why: String| Error::Corrupt { path: path.clone(), why };
        let record: Record = serde_json::from_slice(&bytes).map_err(|e| corrupt(e.to_string()))?;
        if record.version != VERSION {
            return Err(corrupt(format!("version {} is not known", record.version)));
        }
        let Record { diff_id, parent, size, .. } = record;
        Ok(Layer { chain: *chain, diff_id, parent, size })
    }

    /// The directories of a layer and those below it, the topmost first.
    pub(crate) fn layer_dirs(&self, top: Option<&ChainId>) -> Result<Vec<PathBuf>> {
        let mut dirs = Vec::new();
        let mut next = top.copied();
        while let Some(chain) = next {
            dirs.push(self.layer_diff(&chain));
            next = self.layer(&chain)?.parent;
        }
        Ok(dirs)
    }
}

impl Lease<'_> {
    /// Makes one layer on top of `parent`, unless it is there.
    ///
    /// # Errors
    /// [`Error::NotFound`] without the parent; [`Error::DigestMismatch`], [`Error::Archive`], [`Error::Hostile`] and
    /// [`Error::TooLarge`] for what the source gives.
    pub fn apply(
        &self,
        parent: Option<&ChainId>,
        source: &LayerSource<'_>,
        limits: &Limits,
    ) -> Result<Layer> {
        let chain = ChainId::above(parent, &source.diff_id);
        let needs: Vec<Need> =
            parent.into_iter().chain([&chain]).copied().map(Need::Layer).collect();
        self.need(&needs)?;
        if let Some(parent) = parent {
            self.storage.layer(parent)?;
        }
        self.make(chain, source, &Below::ready(self.storage, parent), limits)
    }

    /// Makes a layer whose diff id is not known before: import and commit.
    ///
    /// # Errors
    /// As [`Lease::apply`].
    pub fn apply_unnamed(
        &self,
        parent: Option<&ChainId>,
        input: impl Read + Send,
        limits: &Limits,
    ) -> Result<Layer> {
        if let Some(parent) = parent {
            self.need(&[Need::Layer(*parent)])?;
            self.storage.layer(parent)?;
        }
        let below = Below::ready(self.storage, parent);
        let dir = self.temporary("layer");
        let (extracted, digests) = self.extract(&dir, input, false, &below, limits)?;
        let diff_id = digests.diff_id;
        let chain = ChainId::above(parent, &diff_id);
        self.need(&[Need::Layer(chain)])?;
        let lock = self.layer_lock(&chain)?;
        let layer = Layer { chain, diff_id, parent: parent.copied(), size: extracted.size };
        let layer = match self.storage.layer(&chain) {
            Ok(there) => there,
            Err(_) => self.publish_layer(&dir, layer)?,
        };
        lock.unlink()?;
        Ok(layer)
    }

    /// Makes all layers of an image, the lowest first, several at a time; each that is there already is not even opened.
    ///
    /// # Errors
    /// As [`Lease::apply`]; that of the lowest layer that failed.
    pub fn apply_all(&self, sources: &[LayerSource<'_>], limits: &Limits) -> Result<Vec<Layer>> {
        let diff_ids: Vec<DiffId> = sources.iter().map(|source| source.diff_id).collect();
        let chains = ChainId::chain(&diff_ids);
        let needs: Vec<Need> = chains.iter().copied().map(Need::Layer).collect();
        self.need(&needs)?;
        parallel::each(self.storage, &chains, |index, below| {
            let (Some(chain), Some(source)) = (chains.get(index), sources.get(index)) else {
                return Err(Error::Abandoned);
            };
            self.make(*chain, source, below, limits)
        })
    }

    fn make(
        &self,
        chain: ChainId,
        source: &LayerSource<'_>,
        below: &Below<'_>,
        limits: &Limits,
    ) -> Result<Layer> {
        if let Ok(layer) = self.storage.layer(&chain) {
            return Ok(layer);
        }
        // Another process may be at it: then it is cheaper to wait. Its death ends the wait as well.
        let lock = self.layer_lock(&chain)?;
        let layer = match self.storage.layer(&chain) {
            Ok(layer) => Ok(layer),
            Err(_) => self.make_locked(chain, source, below, limits),
        };
        lock.unlink()?;
        layer
    }

    fn make_locked(
        &self,
        chain: ChainId,
        source: &LayerSource<'_>,
        below: &Below<'_>,
        limits: &Limits,
    ) -> Result<Layer> {
        let dir = self.temporary("layer");
        let input = (source.open)().map_err(Error::input)?;
        let hash_compressed = source.compressed.is_some();
        let (extracted, digests) = self.extract(&dir, input, hash_compressed, below, limits)?;
        let found = *digests.diff_id.digest();
        for (expected, found) in [
            (source.compressed, digests.compressed.unwrap_or(found)),
            (Some(*source.diff_id.digest()), found),
        ] {
            if let Some(expected) = expected.filter(|expected| *expected != found) {
                return Err(Error::DigestMismatch { what: "layer", expected, found });
            }
        }
        let parent = below.published()?;
        let (diff_id, size) = (source.diff_id, extracted.size);
        self.publish_layer(&dir, Layer { chain, diff_id, parent, size })
    }

    fn extract(
        &self,
        dir: &Path,
        input: impl Read + Send,
        hash_compressed: bool,
        below: &Below<'_>,
        limits: &Limits,
    ) -> Result<(Extracted, Digests)> {
        let diff = dir.join("diff");
        dhow_sys::fs::create_dir(dir, 0o700).doing("create", dir)?;
        dhow_sys::fs::create_dir(&diff, 0o755).doing("create", &diff)?;
        let userxattr = self.storage.options().userxattr;
        let extracted = pipeline(input, limits, hash_compressed, |chunks| {
            Extractor::new(dir, below, userxattr)?.run(chunks, limits)
        });
        if extracted.is_err() {
            // A whole layer's worth of disk should not wait for the lease to end: that disk may be full.
            let _gone = dhow_sys::fs::remove_tree(dir);
        }
        extracted
    }

    fn publish_layer(&self, dir: &Path, layer: Layer) -> Result<Layer> {
        let record = Record {
            version: VERSION,
            diff_id: layer.diff_id,
            parent: layer.parent,
            size: layer.size,
        };
        let text = serde_json::to_vec(&record).map_err(io::Error::from).doing("write", dir)?;
        let path = dir.join(RECORD);
        dhow_sys::fs::write_atomic(&path, &text, 0o600, dhow_sys::fs::Durability::Volatile)
            .doing("write", &path)?;
        let published = self.storage.layer_path(&layer.chain);
        // Not a layer (those are looked for before): what a power cut or somebody's hand left of one.
        if published.exists() {
            let aside = self.temporary("broken");
            std::fs::rename(&published, &aside).doing("move away", &published)?;
        }
        // ORDER: content first. After a power cut a name that exists must stand for all of it.
        self.storage.sync(dir)?;
        std::fs::rename(dir, &published).doing("publish", &published)?;
        self.storage.sync_dir(&self.storage.layers())?;
        Ok(layer)
    }

    fn layer_lock(&self, chain: &ChainId) -> Result<FileLock> {
        let name = format!("layer-{}{LOCK_SUFFIX}", chain.hex());
        Ok(FileLock::acquire(&self.storage.tmp().join(name), LockMode::Exclusive, None)?)
    }
}

#[cfg(test)]
mod tests;
