//! The archive of `docker save`, `podman save` and skopeo's `docker-archive:`.
//!
//! `manifest.json` lists, for each image, its configuration, its names and its layers by entry. The archive has no
//! manifest in the registry's sense; one is made here, of docker's schema 2 and about the bytes as they lie in the
//! archive, so that the image has a digest as every other.

use std::collections::HashMap;
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
    if bytes.trim_ascii_start().starts_with(b"{") {
        return Err(archive.unsupported("manifest.json", "skopeo's dir: format in a tar archive"));
    }
    let items: Vec<Item> =
        document::parse(&bytes).map_err(|why| archive.malformed("manifest.json", why))?;
    let mut seen = HashMap::new();
    let mut images = Vec::new();
    for item in items {
        images.push(image(archive, item, &mut seen)?);
        archive.check_total("manifest.json", &images)?;
    }
    Ok(images)
}

/// Entries that have been looked at: how they are packed, their digest where they are, and their size. An archive may
/// name one entry many times, which must not cost more than once.
type Seen = HashMap<String, (Packing, Option<Digest>, u64)>;

fn image(archive: &Archive, item: Item, seen: &mut Seen) -> Result<FoundImage> {
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
        let (descriptor, layer) = located(archive, entry, diff_id.digest(), seen)?;
        descriptors.push(descriptor);
        layers.push(layer);
    }
    let manifest = Manifest {
        schema_version: 2,
        media_type: Some(manifest::DOCKER_MANIFEST.to_owned()),
        config: Descriptor::new(manifest::DOCKER_CONFIG, digest, config.len() as u64),
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
fn located(
    archive: &Archive,
    entry: String,
    diff_id: &Digest,
    seen: &mut Seen,
) -> Result<(Descriptor, FoundLayer)> {
    let (packing, packed, size) = match seen.get(&entry) {
        Some(found) => *found,
        None => {
            let found = examine(archive, &entry)?;
            seen.insert(entry.clone(), found);
            found
        }
    };
    let suffix = match packing {
        Packing::Gzip => ".gzip",
        Packing::Zstd => ".zstd",
        _ => "",
    };
    let digest = packed.unwrap_or(*diff_id);
    let media_type = format!("{}{suffix}", manifest::DOCKER_LAYER);
    Ok((Descriptor::new(&media_type, digest, size), FoundLayer { entry, digest, size }))
}

fn examine(archive: &Archive, entry: &str) -> Result<(Packing, Option<Digest>, u64)> {
    let (reader, size) = archive.open_entry(entry)?;
    let (packing, reader) = Packing::peek(reader).map_err(io_error("read", archive.name()))?;
    packing.check(&format!("{}: {entry}", archive.name()))?;
    let packed = match packing {
        Packing::Gzip | Packing::Zstd => Some(hash(archive, reader)?),
        _ => None,
    };
    Ok((packing, packed, size))
}

fn hash(archive: &Archive, reader: impl Read) -> Result<Digest> {
    Digest::of_reader(reader).map_err(io_error("read", archive.name()))
}
