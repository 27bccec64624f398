//! The archive of `docker save`, `podman save` and skopeo's `docker-archive:`.
//!
//! `manifest.json` lists, for each image, its configuration, its names and its layers by entry. The archive has no
//! manifest in the registry's sense; one is made here, of docker's schema 2 and about the bytes as they lie in the
//! archive, so that the image has a digest as every other.

use std::io::Read;

use dhow_storage::Digest;
use serde::Deserialize;

use super::{Archive, FoundImage, FoundLayer, Packing, io_error};
use crate::config::ImageConfig;
use crate::document::{self, MAX_DOCUMENT, null_as_default};
use crate::error::{Error, Result};
use crate::manifest::{self, Descriptor, MAX_LAYERS, Manifest};
use crate::reference::ImageReference;

#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
struct Item {
    config: String,
    #[serde(default, deserialize_with = "null_as_default")]
    repo_tags: Vec<ImageReference>,
    #[serde(default, deserialize_with = "null_as_default")]
    layers: Vec<String>,
}

/// The images that `manifest.json` lists.
pub(super) fn images(archive: &Archive) -> Result<Vec<FoundImage>> {
    let bytes = archive.read("manifest.json", MAX_DOCUMENT)?;
    let items: Vec<Item> =
        document::parse(&bytes).map_err(|why| archive.malformed("manifest.json", why))?;
    items.into_iter().map(|item| image(archive, item)).collect()
}

fn image(archive: &Archive, item: Item) -> Result<FoundImage> {
    let config = archive.read(&item.config, MAX_DOCUMENT)?;
    let digest = Digest::of(&config);
    check_name(archive, &item.config, &digest)?;
    let parsed = ImageConfig::parse(&config).map_err(|why| archive.malformed(&item.config, why))?;
    if parsed.rootfs.diff_ids.len() != item.layers.len() {
        let why = format!(
            "{} diff ids, and manifest.json has {} layers",
            parsed.rootfs.diff_ids.len(),
            item.layers.len()
        );
        return Err(archive.malformed(&item.config, format!("it has {why}")));
    }
    if item.layers.len() > MAX_LAYERS {
        return Err(archive
            .malformed("manifest.json", format!("an image has more than {MAX_LAYERS} layers")));
    }
    let mut layers = Vec::new();
    let mut descriptors = Vec::new();
    for (entry, diff_id) in item.layers.into_iter().zip(&parsed.rootfs.diff_ids) {
        let (descriptor, layer) = located(archive, entry, diff_id.digest())?;
        descriptors.push(descriptor);
        layers.push(layer);
    }
    let manifest = Manifest {
        schema_version: 2,
        media_type: Some(manifest::DOCKER_MANIFEST.to_owned()),
        config: descriptor(manifest::DOCKER_CONFIG, digest, config.len() as u64),
        layers: descriptors,
        annotations: Default::default(),
    };
    let manifest = serde_json::to_vec(&manifest)
        .map_err(|e| archive.malformed("manifest.json", e.to_string()))?;
    Ok(FoundImage { names: item.repo_tags, manifest, config, parsed, layers })
}

/// An entry named by a digest (`<hex>.json`, `blobs/sha256/<hex>`) must have that digest.
fn check_name(archive: &Archive, entry: &str, found: &Digest) -> Result<()> {
    let base = entry.rsplit('/').next().unwrap_or(entry);
    let base = base.strip_suffix(".json").unwrap_or(base);
    match format!("sha256:{base}").parse::<Digest>() {
        Ok(expected) if expected != *found => Err(Error::Mismatch {
            archive: archive.name().to_owned(),
            entry: entry.to_owned(),
            expected,
            found: *found,
        }),
        _ => Ok(()),
    }
}

/// A layer as it lies in the archive. An uncompressed one has the digest that the configuration gives, which is
/// checked when it is applied; of a compressed one the digest is taken here, in one fast pass.
fn located(archive: &Archive, entry: String, diff_id: &Digest) -> Result<(Descriptor, FoundLayer)> {
    let (reader, size) = archive.open_entry(&entry)?;
    let (packing, reader) = Packing::peek(reader).map_err(io_error("read", archive.name()))?;
    packing.check(&format!("{}: {entry}", archive.name()))?;
    let (suffix, digest) = match packing {
        Packing::Gzip => (".gzip", hash(archive, reader)?),
        Packing::Zstd => (".zstd", hash(archive, reader)?),
        _ => ("", *diff_id),
    };
    let media_type = format!("{}{suffix}", manifest::DOCKER_LAYER);
    let descriptor = descriptor(&media_type, digest, size);
    Ok((descriptor, FoundLayer { entry, digest, size }))
}

fn hash(archive: &Archive, reader: impl Read) -> Result<Digest> {
    Digest::of_reader(reader).map_err(io_error("read", archive.name()))
}

fn descriptor(media_type: &str, digest: Digest, size: u64) -> Descriptor {
    Descriptor {
        media_type: media_type.to_owned(),
        digest,
        size,
        platform: None,
        annotations: Default::default(),
    }
}
