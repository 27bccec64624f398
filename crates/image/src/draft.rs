//! An image in the making: a configuration, the layers of the image below, and one layer more.
//!
//! What comes out is an OCI image; its manifest says of a new layer what the store can give back, the uncompressed
//! tar. INVARIANT: everything the image below says that this module has no reason to change is kept.

use std::io::{self, Read, Write};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use dhow_storage::{DiffId, Digest, Image, Layer, Lease, Limits, NewImage, Storage};
use jiff::Timestamp;

use crate::change::Change;
use crate::config::{HistoryEntry, ImageConfig, Settings};
use crate::document::MAX_DOCUMENT;
use crate::error::{Error, Result};
use crate::manifest::{self, Descriptor, Document, Manifest};
use crate::platform::Platform;
use crate::reference::ImageReference;

/// An image that is not in the store yet.
#[derive(Debug)]
pub struct Draft {
    config: ImageConfig,
    layers: Vec<Layer>,
    descriptors: Vec<Descriptor>,
    now: Timestamp,
}

impl Draft {
    /// An image of nothing.
    #[must_use]
    pub fn empty(platform: &Platform) -> Draft {
        Draft {
            config: ImageConfig::empty(platform),
            layers: Vec::new(),
            descriptors: Vec::new(),
            now: Timestamp::now(),
        }
    }

    /// An image that begins as `base` is.
    ///
    /// # Errors
    /// [`Error::Store`] where the store lacks a part of `base`; [`Error::Malformed`] where it holds nonsense.
    pub fn on(storage: &Storage, base: &Image) -> Result<Draft> {
        let name = || format!("image {}", base.id.short());
        let malformed = |entry: &str, why: String| Error::Malformed {
            archive: name(),
            entry: entry.to_owned(),
            why,
        };
        let config = ImageConfig::parse(base.config.get().as_bytes())
            .map_err(|why| malformed("its configuration", why))?;
        let layers =
            base.layers.iter().map(|chain| storage.layer(chain)).collect::<Result<Vec<_>, _>>();
        let layers = layers.map_err(Error::store(format!("read the layers of {}", name())))?;
        let bytes = storage
            .read_blob(&base.digest, MAX_DOCUMENT)
            .map_err(Error::store(format!("read {}", name())))?;
        let below =
            match manifest::parse(&bytes, "").map_err(|why| malformed("its manifest", why))? {
                Document::Manifest(manifest) if manifest.layers.len() == layers.len() => manifest,
                _ => return Err(malformed("its manifest", "it is not of this image".to_owned())),
            };
        let descriptors = below.layers.into_iter().map(in_oci_words).collect();
        Ok(Draft { config, layers, descriptors, now: Timestamp::now() })
    }

    /// Forgets the layers and how they came to be; the configuration stays. The next layer is the whole file system.
    pub fn squash(&mut self) {
        self.layers.clear();
        self.descriptors.clear();
        self.config.rootfs.diff_ids.clear();
        self.config.history.clear();
    }

    /// What a container of it will run.
    pub fn settings(&mut self) -> &mut Settings {
        &mut self.config.config
    }

    /// Carries out `--change` instructions.
    pub fn change(&mut self, changes: &[Change]) {
        for change in changes {
            change.apply(&mut self.config.config);
        }
    }

    /// Sets who made it.
    pub fn set_author(&mut self, author: &str) {
        author.clone_into(&mut self.config.author);
    }

    /// Adds a layer on top: a tar archive in the OCI layer format, compressed or not, as `reader` gives it. `from`
    /// names it in errors.
    ///
    /// # Errors
    /// [`Error::Store`].
    pub fn push_layer(
        &mut self,
        lease: &Lease<'_>,
        from: &str,
        reader: impl Read + Send,
        limits: &Limits,
    ) -> Result<DiffId> {
        let action = || format!("make a layer of {from}");
        let count = Arc::new(AtomicU64::new(0));
        let tar = dhow_storage::decompress(reader, limits).map_err(|source| Error::Io {
            action: "read",
            archive: from.to_owned(),
            source,
        })?;
        let tar = Counted { reader: tar, count: Arc::clone(&count) };
        let parent = self.layers.last().map(|layer| &layer.chain);
        let layer = lease.apply_unnamed(parent, tar, limits).map_err(Error::store(action()))?;
        let diff_id = layer.diff_id;
        self.config.rootfs.diff_ids.push(diff_id);
        self.descriptors.push(Descriptor::new(
            manifest::OCI_LAYER,
            *diff_id.digest(),
            count.load(Ordering::Relaxed),
        ));
        self.layers.push(layer);
        Ok(diff_id)
    }

    /// As [`Draft::push_layer`], for a layer that somebody writes rather than one that is read.
    ///
    /// # Errors
    /// That of the writing; [`Error::Store`].
    pub fn write_layer<E: From<Error> + Send>(
        &mut self,
        lease: &Lease<'_>,
        from: &str,
        limits: &Limits,
        write: impl FnOnce(&mut (dyn Write + Send)) -> Result<(), E> + Send,
    ) -> Result<DiffId, E> {
        let pipe =
            |source| Error::Io { action: "make a pipe for", archive: from.to_owned(), source };
        let (reader, mut writer) = io::pipe().map_err(pipe)?;
        std::thread::scope(|scope| {
            let writing = scope.spawn(move || write(&mut writer));
            let pushed = self.push_layer(lease, from, reader, limits);
            let written = writing.join().unwrap_or_else(|panic| std::panic::resume_unwind(panic));
            match (pushed, written) {
                (Ok(diff_id), Ok(())) => Ok(diff_id),
                // The writer sees a broken pipe when the reader has failed: the reader knows why.
                (
                    Err(error @ Error::Store { source: dhow_storage::Error::Archive { .. }, .. }),
                    Err(cause),
                ) => {
                    tracing::debug!(%error, "the layer ended early");
                    Err(cause)
                }
                (Err(error), _) => Err(error.into()),
                (Ok(_), Err(cause)) => Err(cause),
            }
        })
    }

    /// Adds a step to its history; its time is that of this draft.
    pub fn push_history(&mut self, step: HistoryEntry) {
        self.config.history.push(HistoryEntry { created: Some(self.now.to_string()), ..step });
    }

    /// Records the image. The name, where there is one, is taken from the image that has it.
    ///
    /// # Errors
    /// [`Error::Store`].
    pub fn store(mut self, lease: &Lease<'_>, name: Option<&ImageReference>) -> Result<Image> {
        let action = "record the new image";
        self.config.created = Some(self.now.to_string());
        let config = to_json(&self.config)?;
        let manifest = Manifest {
            schema_version: 2,
            media_type: Some(manifest::OCI_MANIFEST.to_owned()),
            config: Descriptor::new(manifest::OCI_CONFIG, Digest::of(&config), config.len() as u64),
            layers: self.descriptors,
            annotations: Default::default(),
        };
        let new = NewImage {
            manifest: Some(to_json(&manifest)?),
            created: self.config.created_nanos(),
            config,
            layers: self.layers,
            names: name.map(ToString::to_string).into_iter().collect(),
        };
        lease.add_image(&new).map_err(Error::store(action))
    }
}

fn to_json(value: &impl serde::Serialize) -> Result<Vec<u8>> {
    serde_json::to_vec(value).map_err(|e| Error::Io {
        action: "write down",
        archive: "the new image".to_owned(),
        source: io::Error::other(e),
    })
}

/// The descriptor of a layer that may come from a docker image, for an OCI manifest.
fn in_oci_words(mut layer: Descriptor) -> Descriptor {
    if let Some(packing) = layer.media_type.strip_prefix(manifest::DOCKER_LAYER) {
        layer.media_type = format!("{}{}", manifest::OCI_LAYER, packing.replace('.', "+"));
    }
    layer
}

/// A reader that counts.
struct Counted<R> {
    reader: R,
    count: Arc<AtomicU64>,
}

impl<R: Read> Read for Counted<R> {
    fn read(&mut self, buf: &mut [u8]) -> io::Result<usize> {
        let n = self.reader.read(buf)?;
        self.count.fetch_add(n as u64, Ordering::Relaxed);
        Ok(n)
    }
}

#[cfg(test)]
mod tests;
