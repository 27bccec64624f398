//! The OCI image layout (image-spec, `image-layout.md`), as a directory or a tar archive.
//!
//! Names. In a tar archive `org.opencontainers.image.ref.name` is an image's name, and a short one is local, as with
//! podman; what containerd and docker write into `io.containerd.image.name` goes before it, because they put the bare
//! tag into the other. In a directory a bare word is a tag, as skopeo and umoci mean it, of an image that is named like
//! the directory.
//!
//! skopeo's `dir:` is the same without an index: one manifest, and blobs named by their digests beside it.

use std::collections::BTreeMap;

use dhow_storage::Digest;
use serde::Deserialize;

use super::{Archive, FoundImage, FoundLayer, MAX_DEPTH};
use crate::config::ImageConfig;
use crate::document::{self, MAX_DOCUMENT};
use crate::error::{Error, Result};
use crate::manifest::{self, Descriptor, Document, Manifest};
use crate::platform::Platform;
use crate::reference::ImageReference;

/// Images times platforms.
const MAX_ENTRIES: usize = 4000;
const REF_NAME: &str = "org.opencontainers.image.ref.name";
const CONTAINERD_NAME: &str = "io.containerd.image.name";

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct LayoutVersion {
    image_layout_version: String,
}

/// The images of a layout: one for each name in its index, one for each entry without a name.
pub(super) fn images(archive: &Archive, platform: &Platform) -> Result<Vec<FoundImage>> {
    if archive.contains("oci-layout")? {
        let bytes = archive.read("oci-layout", MAX_DOCUMENT)?;
        let version: LayoutVersion =
            document::parse(&bytes).map_err(|why| archive.malformed("oci-layout", why))?;
        if !version.image_layout_version.starts_with("1.") {
            return Err(archive.unsupported(
                "oci-layout",
                format!("layout version {:?}", version.image_layout_version),
            ));
        }
    }
    let bytes = archive.read("index.json", MAX_DOCUMENT)?;
    let index = match manifest::parse(&bytes, manifest::OCI_INDEX) {
        Ok(Document::Index(index)) => index,
        Ok(Document::Manifest(_)) => return Err(archive.malformed("index.json", "it is no index")),
        Err(why) => return Err(archive.malformed("index.json", why)),
    };
    if index.manifests.len() > MAX_ENTRIES {
        let why = format!("its {} entries are more than {MAX_ENTRIES}", index.manifests.len());
        return Err(archive.malformed("index.json", why));
    }
    let mut images = Vec::new();
    for (descriptors, said) in group(&index.manifests) {
        let names = names(archive, said.as_deref())?;
        let descriptor = manifest::choose(archive.name(), "index.json", &descriptors, platform)?;
        images.push(image(archive, descriptor, names, platform)?);
        archive.check_total("index.json", &images)?;
    }
    Ok(images)
}

/// The image of a `dir:`, named like the directory.
pub(super) fn flat_image(archive: &Archive, platform: &Platform) -> Result<Vec<FoundImage>> {
    let entry = "manifest.json";
    let bytes = archive.read(entry, MAX_DOCUMENT)?;
    match manifest::parse(&bytes, "").map_err(|why| archive.malformed(entry, why))? {
        Document::Manifest(manifest) => {
            let names = names(archive, None)?;
            Ok(vec![found(archive, Blobs::Flat, entry, &manifest, bytes, names)?])
        }
        Document::Index(index) => {
            manifest::choose(archive.name(), entry, &index.manifests, platform)?;
            Err(archive.unsupported(entry, "a list of several images in a `dir:`"))
        }
    }
}

/// How blobs are named.
#[derive(Clone, Copy)]
enum Blobs {
    Layout,
    Flat,
}

impl Blobs {
    fn entry(self, digest: &Digest) -> String {
        match self {
            Blobs::Layout => format!("blobs/sha256/{}", digest.hex()),
            Blobs::Flat => digest.hex(),
        }
    }
}

/// Entries of one name that differ in their platform are one image; any other entry is one by itself.
fn group(descriptors: &[Descriptor]) -> Vec<(Vec<Descriptor>, Option<String>)> {
    let mut groups: Vec<(Vec<Descriptor>, Option<String>)> = Vec::new();
    for descriptor in descriptors {
        let name = said_name(&descriptor.annotations);
        let joins = |group: &&mut (Vec<Descriptor>, Option<String>)| {
            group.1 == name
                && descriptor.platform.is_some()
                && group.0.iter().all(|d| d.platform.is_some())
        };
        match groups.iter_mut().find(joins) {
            Some(group) => group.0.push(descriptor.clone()),
            None => groups.push((vec![descriptor.clone()], name)),
        }
    }
    groups
}

fn said_name(annotations: &BTreeMap<String, String>) -> Option<String> {
    let said = annotations.get(CONTAINERD_NAME).or_else(|| annotations.get(REF_NAME))?;
    (!said.is_empty()).then(|| said.clone())
}

fn names(archive: &Archive, said: Option<&str>) -> Result<Vec<ImageReference>> {
    let bad = |error: Error| archive.malformed("index.json", error.to_string());
    let Some(directory) = archive.directory_name() else {
        return said.map(ImageReference::local).transpose().map(Vec::from_iter).map_err(bad);
    };
    match said {
        Some(name) if name.contains(['/', ':']) => {
            Ok(vec![ImageReference::local(name).map_err(bad)?])
        }
        // A directory may have a name that no image can have; then the image has none.
        said => {
            let tag = said.unwrap_or("latest");
            Ok(ImageReference::local(&format!("localhost/{directory}:{tag}")).into_iter().collect())
        }
    }
}

/// Follows a descriptor through indexes to a manifest, and reads that image's documents.
fn image(
    archive: &Archive,
    mut descriptor: Descriptor,
    names: Vec<ImageReference>,
    platform: &Platform,
) -> Result<FoundImage> {
    for _ in 0..MAX_DEPTH {
        let entry = Blobs::Layout.entry(&descriptor.digest);
        let bytes = read_blob(archive, Blobs::Layout, &descriptor)?;
        match manifest::parse(&bytes, &descriptor.media_type)
            .map_err(|why| archive.malformed(&entry, why))?
        {
            Document::Manifest(manifest) => {
                return found(archive, Blobs::Layout, &entry, &manifest, bytes, names);
            }
            Document::Index(index) => {
                descriptor = manifest::choose(archive.name(), &entry, &index.manifests, platform)?;
            }
        }
    }
    Err(archive.malformed("index.json", "indexes in it are nested too deeply"))
}

fn found(
    archive: &Archive,
    blobs: Blobs,
    entry: &str,
    manifest: &Manifest,
    bytes: Vec<u8>,
    names: Vec<ImageReference>,
) -> Result<FoundImage> {
    if !manifest::is_config(&manifest.config.media_type) {
        return Err(archive
            .unsupported(entry, format!("an artifact of type {:?}", manifest.config.media_type)));
    }
    let config = read_blob(archive, blobs, &manifest.config)?;
    let config_entry = blobs.entry(&manifest.config.digest);
    let parsed =
        ImageConfig::parse(&config).map_err(|why| archive.malformed(&config_entry, why))?;
    if parsed.rootfs.diff_ids.len() != manifest.layers.len() {
        let why = format!(
            "{} layers, and its configuration has {}",
            manifest.layers.len(),
            parsed.rootfs.diff_ids.len()
        );
        return Err(archive.malformed(entry, format!("it has {why}")));
    }
    let layers = manifest
        .layers
        .iter()
        .map(|layer| located(archive, blobs, entry, layer))
        .collect::<Result<_>>()?;
    Ok(FoundImage { names, manifest: bytes, config, parsed, layers })
}

fn located(
    archive: &Archive,
    blobs: Blobs,
    manifest: &str,
    layer: &Descriptor,
) -> Result<FoundLayer> {
    if !manifest::is_layer(&layer.media_type) {
        return Err(
            archive.unsupported(manifest, format!("a layer of type {:?}", layer.media_type))
        );
    }
    let entry = blobs.entry(&layer.digest);
    check_size(archive, &entry, layer)?;
    Ok(FoundLayer { entry, digest: layer.digest, size: layer.size })
}

/// A document, its size and digest as the descriptor has them.
fn read_blob(archive: &Archive, blobs: Blobs, descriptor: &Descriptor) -> Result<Vec<u8>> {
    let entry = blobs.entry(&descriptor.digest);
    let bytes = archive.read(&entry, MAX_DOCUMENT)?;
    check_size(archive, &entry, descriptor)?;
    let found = Digest::of(&bytes);
    if found != descriptor.digest {
        let (archive, expected) = (archive.name().to_owned(), descriptor.digest);
        return Err(Error::Mismatch { archive, entry, expected, found });
    }
    Ok(bytes)
}

fn check_size(archive: &Archive, entry: &str, descriptor: &Descriptor) -> Result<()> {
    let size = archive.size(entry)?;
    if size == descriptor.size {
        return Ok(());
    }
    Err(archive.malformed(
        entry,
        format!("it has {size} bytes where its descriptor says {}", descriptor.size),
    ))
}
