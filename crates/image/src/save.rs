//! `save`: stored images as an archive or a directory that other tools read.
//!
//! What is written is what came in: configurations byte for byte, so that images keep their ids, and layers' tars byte
//! for byte. An OCI layout has them compressed by gzip, a docker archive as they are, each as podman does it.
//! ORDER: the documents that name blobs come after them.

mod sink;

use std::collections::HashSet;
use std::io::Write;
use std::path::PathBuf;

use dhow_storage::{Digest, Image, Lease, Storage};
use serde::Serialize;
use serde_json::json;

use self::sink::Sink;
use crate::error::{Error, Result};
use crate::manifest::{self, Descriptor};
use crate::pack::{Pack, PackedLayer, Words, config_bytes, manifest_for, pack};
use crate::platform::Platform;
use crate::progress::Progress;
use crate::reference::ImageReference;

/// What to write.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum SaveFormat {
    /// A tar as `docker save` writes it.
    #[default]
    DockerArchive,
    /// An OCI layout in a tar.
    OciArchive,
    /// An OCI layout.
    OciDir,
    /// A directory as skopeo's `dir:` has it, with a manifest of docker's.
    DockerDir,
}

impl SaveFormat {
    /// Whether it is a directory rather than a stream.
    #[must_use]
    pub fn is_directory(self) -> bool {
        matches!(self, SaveFormat::OciDir | SaveFormat::DockerDir)
    }
}

/// Where to.
pub enum Output<'a> {
    /// A stream, for archives.
    Stream(Box<dyn Write + Send + 'a>),
    /// A directory that exists and is empty.
    Directory(PathBuf),
}

impl std::fmt::Debug for Output<'_> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Output::Stream(_) => f.write_str("Stream"),
            Output::Directory(path) => f.debug_tuple("Directory").field(path).finish(),
        }
    }
}

/// An image and the names that it gets in the archive.
#[derive(Debug)]
pub struct Saved {
    /// The image.
    pub image: Image,
    /// Its names there, perhaps none.
    pub names: Vec<ImageReference>,
}

/// Writes images. `compress` says whether layers are packed by gzip; unless it does, those of OCI layouts are. Those of
/// a docker archive never are.
///
/// # Errors
/// The store lacks a part of an image, or a layer is not what it was; the output cannot be written. What has been
/// written then is no archive.
pub fn save(
    storage: &Storage,
    images: &[Saved],
    format: SaveFormat,
    compress: Option<bool>,
    output: Output<'_>,
    progress: &Progress,
) -> Result<()> {
    let lease = storage.lease().map_err(Error::store("read the image store"))?;
    let sink = Sink::new(output)?;
    let save = Save { storage, lease, images, progress, sink, written: HashSet::new() };
    match (format, images) {
        (SaveFormat::DockerArchive, _) => save.docker_archive(),
        (SaveFormat::OciArchive | SaveFormat::OciDir, _) => save.oci(pack_of(compress, true)),
        (SaveFormat::DockerDir, [one]) => save.docker_dir(one, pack_of(compress, false)),
        (SaveFormat::DockerDir, _) => Err(Error::NotAnArchive {
            archive: "docker-dir".to_owned(),
            why: "it holds one image only".to_owned(),
        }),
    }
}

fn pack_of(compress: Option<bool>, usual: bool) -> Pack {
    if compress.unwrap_or(usual) { Pack::Gzip } else { Pack::Plain }
}

struct Save<'a> {
    storage: &'a Storage,
    lease: Lease<'a>,
    images: &'a [Saved],
    progress: &'a Progress,
    sink: Sink<'a>,
    /// Images share layers and configurations.
    written: HashSet<String>,
}

#[derive(Serialize)]
#[serde(rename_all = "PascalCase")]
struct DockerItem {
    config: String,
    repo_tags: Vec<String>,
    layers: Vec<String>,
}

impl Save<'_> {
    fn docker_archive(mut self) -> Result<()> {
        let mut items: Vec<DockerItem> = Vec::new();
        for saved in self.images {
            let mut layers = Vec::new();
            for layer in self.pack(&saved.image, Pack::Plain)? {
                let name = format!("{}.tar", layer.digest.hex());
                self.layer(&name, &layer)?;
                layers.push(name);
            }
            let config = format!("{}.json", saved.image.id.hex());
            self.bytes(&config, &config_bytes(self.storage, &saved.image)?)?;
            // A digest is no name there.
            let tagged = saved.names.iter().filter(|name| name.tag().is_some());
            let repo_tags = tagged.map(|name| name.without_digest().to_string()).collect();
            items.push(DockerItem { config, repo_tags, layers });
        }
        let text = to_json(&items)?;
        self.bytes("manifest.json", &text)?;
        self.sink.finish()
    }

    fn oci(mut self, pack: Pack) -> Result<()> {
        let mut manifests = Vec::new();
        for saved in self.images {
            let blob = |digest: &Digest| format!("blobs/sha256/{}", digest.hex());
            let packed = self.pack(&saved.image, pack)?;
            let mut layers = Vec::new();
            for layer in &packed {
                self.layer(&blob(&layer.digest), layer)?;
                let media_type = Words::Oci.layer(pack);
                layers.push(Descriptor::new(&media_type, layer.digest, layer.size));
            }
            let config = config_bytes(self.storage, &saved.image)?;
            self.bytes(&blob(saved.image.id.digest()), &config)?;
            let manifest = manifest_for(self.storage, &saved.image, &config, layers, Words::Oci)?;
            let digest = Digest::of(&manifest);
            self.bytes(&blob(&digest), &manifest)?;
            let mut entry = Descriptor::new(manifest::OCI_MANIFEST, digest, manifest.len() as u64);
            entry.platform = Some(platform(&saved.image)?);
            if saved.names.is_empty() {
                manifests.push(entry.clone());
            }
            for name in &saved.names {
                let mut entry = entry.clone();
                let key = "org.opencontainers.image.ref.name";
                entry.annotations.insert(key.to_owned(), name.to_string());
                manifests.push(entry);
            }
        }
        let index = json!({
            "schemaVersion": 2, "mediaType": manifest::OCI_INDEX, "manifests": manifests,
        });
        self.bytes("oci-layout", br#"{"imageLayoutVersion":"1.0.0"}"#)?;
        let text = to_json(&index)?;
        self.bytes("index.json", &text)?;
        self.sink.finish()
    }

    fn docker_dir(mut self, saved: &Saved, pack: Pack) -> Result<()> {
        let mut layers = Vec::new();
        for layer in self.pack(&saved.image, pack)? {
            self.layer(&layer.digest.hex(), &layer)?;
            let media_type = Words::Docker.layer(pack);
            layers.push(Descriptor::new(&media_type, layer.digest, layer.size));
        }
        let config = config_bytes(self.storage, &saved.image)?;
        self.bytes(&saved.image.id.hex(), &config)?;
        self.bytes("version", b"Directory Transport Version: 1.1\n")?;
        let manifest = manifest_for(self.storage, &saved.image, &config, layers, Words::Docker)?;
        self.bytes("manifest.json", &manifest)?;
        self.sink.finish()
    }

    fn pack(&self, image: &Image, how: Pack) -> Result<Vec<PackedLayer>> {
        pack(self.storage, &self.lease, image, how, self.progress)
    }

    fn layer(&mut self, name: &str, layer: &PackedLayer) -> Result<()> {
        if !self.written.insert(name.to_owned()) {
            return Ok(());
        }
        self.sink.put(name, layer.size, layer.open(self.storage)?)
    }

    fn bytes(&mut self, name: &str, bytes: &[u8]) -> Result<()> {
        if !self.written.insert(name.to_owned()) {
            return Ok(());
        }
        self.sink.put(name, bytes.len() as u64, bytes)
    }
}

/// What the image says it is for.
fn platform(image: &Image) -> Result<Platform> {
    let config = crate::config::ImageConfig::parse(image.config.get().as_bytes())
        .map_err(|why| crate::pack::damaged(image, why))?;
    Ok(config.platform())
}

fn to_json(value: &impl Serialize) -> Result<Vec<u8>> {
    serde_json::to_vec(value).map_err(|e| Error::Io {
        action: "write",
        archive: "the archive's list of images".to_owned(),
        source: std::io::Error::other(e),
    })
}

#[cfg(test)]
mod tests;
