//! The layers of a stored image as files to be sent: the tar as it came, or compressed.
//!
//! INVARIANT: the same layer compressed by the same version of dhow is the same bytes: no time, no name, one level. So
//! an image that is written twice has one manifest, and a registry that has a layer is not sent it again.

use std::fs::File;
use std::io::{self, Read};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Mutex, PoisonError};

use dhow_storage::{ChainId, Digest, Image, LayerTar, Lease, Storage};
use flate2::Compression;
use flate2::read::GzEncoder;

use crate::document::MAX_DOCUMENT;
use crate::error::{Error, Result};
use crate::manifest::{self, Descriptor, Document, Manifest};
use crate::progress::Progress;

/// How layers are packed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Pack {
    /// Not at all.
    Plain,
    Gzip,
}

/// In whose words a manifest is written.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Words {
    Oci,
    Docker,
}

impl Words {
    pub(crate) fn manifest(self) -> &'static str {
        match self {
            Words::Oci => manifest::OCI_MANIFEST,
            Words::Docker => manifest::DOCKER_MANIFEST,
        }
    }

    pub(crate) fn config(self) -> &'static str {
        match self {
            Words::Oci => manifest::OCI_CONFIG,
            Words::Docker => manifest::DOCKER_CONFIG,
        }
    }

    pub(crate) fn layer(self, pack: Pack) -> String {
        match (self, pack) {
            (Words::Oci, Pack::Plain) => manifest::OCI_LAYER.to_owned(),
            (Words::Oci, Pack::Gzip) => format!("{}+gzip", manifest::OCI_LAYER),
            (Words::Docker, Pack::Plain) => manifest::DOCKER_LAYER.to_owned(),
            (Words::Docker, Pack::Gzip) => format!("{}.gzip", manifest::DOCKER_LAYER),
        }
    }
}

/// A layer ready to be sent.
#[derive(Debug)]
pub(crate) struct PackedLayer {
    pub(crate) digest: Digest,
    pub(crate) size: u64,
    data: Data,
}

#[derive(Debug)]
enum Data {
    /// Read from the store when it is sent.
    Stored(ChainId),
    /// An unnamed file.
    Spooled(File),
}

impl PackedLayer {
    /// Its bytes from the start, for one reader at a time.
    pub(crate) fn open(&self, storage: &Storage) -> Result<Box<dyn Read + Send>> {
        match &self.data {
            Data::Stored(chain) => Ok(Box::new(tar(storage, chain)?)),
            Data::Spooled(file) => {
                let file = file.try_clone().map_err(spool_error)?;
                Ok(Box::new(At { file, offset: 0 }))
            }
        }
    }
}

/// Packs one layer; a compressed one is written to a temporary file, since its digest is its name.
pub(crate) fn pack_layer(
    storage: &Storage,
    lease: &Lease<'_>,
    image: &Image,
    index: usize,
    pack: Pack,
    progress: &Progress,
) -> Result<PackedLayer> {
    let (Some(chain), Some(diff_id)) = (image.layers.get(index), image.diff_ids.get(index)) else {
        return Err(damaged(image, "it has fewer layers than it says"));
    };
    let tar = tar(storage, chain)?;
    if pack == Pack::Plain {
        let (digest, size) = (*diff_id.digest(), tar.size());
        return Ok(PackedLayer { digest, size, data: Data::Stored(*chain) });
    }
    let size = tar.size();
    let tar = progress.watch(diff_id.digest(), size, tar);
    let file = lease
        .spool(GzEncoder::new(tar, Compression::new(6)), u64::MAX)
        .map_err(Error::store(format!("compress layer {diff_id}")))?;
    let digest = Digest::of_reader(At { file: file.try_clone().map_err(spool_error)?, offset: 0 });
    let digest = digest.map_err(spool_error)?;
    let size = file.metadata().map_err(spool_error)?.len();
    Ok(PackedLayer { digest, size, data: Data::Spooled(file) })
}

/// Packs all layers of an image, several at a time.
pub(crate) fn pack(
    storage: &Storage,
    lease: &Lease<'_>,
    image: &Image,
    pack: Pack,
    progress: &Progress,
) -> Result<Vec<PackedLayer>> {
    each(image.layers.len(), cpus(), |index| {
        pack_layer(storage, lease, image, index, pack, progress)
    })
}

/// Calls `work` for each index, up to `workers` at a time; the results in order, or the first error.
pub(crate) fn each<T: Send>(
    count: usize,
    workers: usize,
    work: impl Fn(usize) -> Result<T> + Sync,
) -> Result<Vec<T>> {
    let next = AtomicUsize::new(0);
    let done = Mutex::new(Vec::new());
    std::thread::scope(|scope| {
        for _ in 0..workers.min(count) {
            scope.spawn(|| {
                loop {
                    let index = next.fetch_add(1, Ordering::Relaxed);
                    if index >= count {
                        return;
                    }
                    let result = work(index);
                    if result.is_err() {
                        // What comes after a failure would be thrown away.
                        next.store(count, Ordering::Relaxed);
                    }
                    done.lock().unwrap_or_else(PoisonError::into_inner).push((index, result));
                }
            });
        }
    });
    let mut done = done.into_inner().unwrap_or_else(PoisonError::into_inner);
    done.sort_by_key(|(index, _)| *index);
    done.into_iter().map(|(_, result)| result).collect()
}

pub(crate) fn cpus() -> usize {
    std::thread::available_parallelism().map_or(1, usize::from)
}

/// The manifest that the store keeps of an image, and its bytes.
pub(crate) fn stored_manifest(storage: &Storage, image: &Image) -> Result<(Manifest, Vec<u8>)> {
    let bytes = storage
        .read_blob(&image.digest, MAX_DOCUMENT)
        .map_err(Error::store(format!("read the manifest of image {}", image.id.short())))?;
    match manifest::parse(&bytes, "").map_err(|why| damaged(image, why))? {
        Document::Manifest(manifest) if manifest.layers.len() == image.layers.len() => {
            Ok((*manifest, bytes))
        }
        _ => Err(damaged(image, "its manifest is not of this image")),
    }
}

/// The configuration, byte for byte.
pub(crate) fn config_bytes(storage: &Storage, image: &Image) -> Result<Vec<u8>> {
    storage
        .read_blob(image.id.digest(), MAX_DOCUMENT)
        .map_err(Error::store(format!("read the configuration of image {}", image.id.short())))
}

/// The manifest for these layers: the stored one where it says the same, byte for byte.
pub(crate) fn manifest_for(
    storage: &Storage,
    image: &Image,
    config: &[u8],
    layers: Vec<Descriptor>,
    words: Words,
) -> Result<Vec<u8>> {
    let stored = stored_manifest(storage, image);
    if let Ok((manifest, bytes)) = &stored
        && manifest.media_type.as_deref().unwrap_or(manifest::OCI_MANIFEST) == words.manifest()
        && manifest
            .layers
            .iter()
            .zip(&layers)
            .all(|(a, b)| (a.digest, a.size, &a.media_type) == (b.digest, b.size, &b.media_type))
    {
        return Ok(bytes.clone());
    }
    let annotations = match stored {
        Ok((manifest, _)) if words == Words::Oci => manifest.annotations,
        _ => Default::default(),
    };
    let manifest = Manifest {
        schema_version: 2,
        media_type: Some(words.manifest().to_owned()),
        config: Descriptor::new(words.config(), *image.id.digest(), config.len() as u64),
        layers,
        annotations,
    };
    serde_json::to_vec(&manifest).map_err(|e| damaged(image, e.to_string()))
}

pub(crate) fn damaged(image: &Image, why: impl Into<String>) -> Error {
    Error::Malformed {
        archive: format!("image {}", image.id.short()),
        entry: "its record".to_owned(),
        why: why.into(),
    }
}

fn tar(storage: &Storage, chain: &ChainId) -> Result<LayerTar> {
    storage.layer_tar(chain).map_err(Error::store("read a layer"))
}

fn spool_error(source: io::Error) -> Error {
    Error::Io { action: "read", archive: "a compressed layer".to_owned(), source }
}

/// A file read from its beginning, whatever others do with its position.
struct At {
    file: File,
    offset: u64,
}

impl Read for At {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let length = std::os::unix::fs::FileExt::read_at(&self.file, buffer, self.offset)?;
        self.offset += length as u64;
        Ok(length)
    }
}
