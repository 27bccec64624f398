//! `load`: the images of an archive into the store.
//!
//! ORDER: all documents are read and verified before the first layer is extracted, and all layers of all images are in
//! the store before the first image is recorded: an archive that is bad anywhere leaves no image.
//! CRASH: what a killed load leaves are layers and blobs that no image refers to, and its lease; they are collected.

use std::io;

use dhow_storage::{ChainId, ImageId, LayerSource, Lease, Limits, NewImage, Storage};

use crate::archive::{Archive, FoundImage, Input};
use crate::error::{Error, Result};
use crate::platform::Platform;
use crate::progress::{Event, Progress};
use crate::reference::ImageReference;

/// How to load.
#[derive(Debug, Clone, Default)]
pub struct LoadOptions {
    /// Which image of a multi-platform index; this machine's by default.
    pub platform: Platform,
    /// What the archive and each of its layers may ask for.
    pub limits: Limits,
}

/// An image that has been loaded.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Loaded {
    /// Its id.
    pub id: ImageId,
    /// The names the archive gives it; they are the store's now, whichever image had them before.
    pub names: Vec<ImageReference>,
}

/// Loads every image of an archive: an OCI layout or a docker archive, a directory or a tar file, which may be
/// compressed by gzip or zstd.
///
/// # Errors
/// Any of [`Error`]; the store then has none of the archive's images.
pub fn load(
    storage: &Storage,
    input: Input,
    options: &LoadOptions,
    progress: &Progress,
) -> Result<Vec<Loaded>> {
    let lease = storage.lease().map_err(Error::store("write to the image store"))?;
    let archive = Archive::open(&lease, input, &options.limits)?;
    let found = archive.images(&options.platform)?;
    let mut ready = Vec::with_capacity(found.len());
    for image in found {
        let layers = apply(storage, &lease, &archive, &image, &options.limits, progress)?;
        ready.push((image, layers));
    }
    let mut loaded: Vec<Loaded> = Vec::with_capacity(ready.len());
    for (image, layers) in ready {
        let id = add(&lease, &archive, &image, layers)?;
        match loaded.iter_mut().find(|other| other.id == id) {
            Some(same) => same.names.extend(image.names),
            None => loaded.push(Loaded { id, names: image.names }),
        }
    }
    Ok(loaded)
}

fn apply(
    storage: &Storage,
    lease: &Lease<'_>,
    archive: &Archive,
    image: &FoundImage,
    limits: &Limits,
    progress: &Progress,
) -> Result<Vec<dhow_storage::Layer>> {
    let diff_ids = &image.parsed.rootfs.diff_ids;
    let mut sources = Vec::with_capacity(image.layers.len());
    for ((layer, diff_id), chain) in image.layers.iter().zip(diff_ids).zip(ChainId::chain(diff_ids))
    {
        if storage.has_layer(&chain) {
            progress.send(Event::Present { layer: layer.digest });
        }
        let source = LayerSource::new(*diff_id, move || {
            let (reader, _) = archive.open_entry(&layer.entry).map_err(io::Error::other)?;
            Ok(progress.watch(&layer.digest, layer.size, reader))
        });
        // The digest of the uncompressed bytes is checked anyway.
        let packed = layer.digest != *diff_id.digest();
        sources.push(if packed { source.with_digest(layer.digest) } else { source });
    }
    lease
        .apply_all(&sources, limits)
        .map_err(Error::store(format!("extract the layers of {}", archive.name())))
}

fn add(
    lease: &Lease<'_>,
    archive: &Archive,
    image: &FoundImage,
    layers: Vec<dhow_storage::Layer>,
) -> Result<ImageId> {
    let new = NewImage {
        config: image.config.clone(),
        manifest: Some(image.manifest.clone()),
        layers,
        names: image.names.iter().map(ToString::to_string).collect(),
        created: image.parsed.created_nanos(),
    };
    let stored = lease
        .add_image(&new)
        .map_err(Error::store(format!("record an image of {}", archive.name())))?;
    Ok(stored.id)
}

#[cfg(test)]
mod tests;
