//! Image records: one file says all that a container's start needs to know of an image.
//!
//! INVARIANT: an image's layers and blobs are there before its record, and its record before its names.

use std::io;
use std::path::PathBuf;

use dhow_sys::lock::LockMode;
use serde::{Deserialize, Serialize};
use serde_json::value::RawValue;

use crate::error::{Doing, Error, Result};
use crate::lease::{Lease, Need};
use crate::{ChainId, DiffId, Digest, ImageId, Layer, Storage};

const VERSION: u32 = 1;
pub(crate) const RECORD: &str = "image.json";
/// The configuration of an image is a few kilobytes; a long history some hundred.
const MAX_RECORD: u64 = 16 << 20;

/// An image that is there.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct Image {
    /// Digest of its configuration.
    pub id: ImageId,
    /// Digest of the manifest, or of the configuration where it came without one.
    pub digest: Digest,
    /// The manifest's blob.
    pub manifest: Option<Digest>,
    /// Its layers, the lowest first.
    pub layers: Vec<ChainId>,
    /// Digests of the layers' uncompressed tars, in the same order.
    pub diff_ids: Vec<DiffId>,
    /// Bytes of each layer's files, in the same order.
    pub layer_sizes: Vec<u64>,
    /// Their sum.
    pub size: u64,
    /// When it was made: nanoseconds since 1970, UTC; 0 where it does not say.
    pub created: i64,
    /// When it was added here.
    pub loaded: i64,
    /// The OCI image configuration, as it came.
    pub config: Box<RawValue>,
}

/// `image.json`.
#[derive(Debug, Serialize, Deserialize)]
struct Record {
    version: u32,
    image: Image,
}

/// An image to be added.
#[derive(Debug, Clone, Default)]
pub struct NewImage {
    /// The OCI image configuration, byte by byte: its digest is the image's id.
    pub config: Vec<u8>,
    /// The manifest, byte by byte.
    pub manifest: Option<Vec<u8>>,
    /// Its layers, the lowest first.
    pub layers: Vec<Layer>,
    /// Names that it gets; an image that has one of them loses it.
    pub names: Vec<String>,
    /// When it was made: nanoseconds since 1970.
    pub created: Option<i64>,
}

/// All images, and what could not be read.
#[derive(Debug, Default)]
pub struct ImageList {
    /// Each with its names, in the order of the ids.
    pub images: Vec<(Image, Vec<String>)>,
    /// Records that cannot be read; they do no harm to others.
    pub corrupt: Vec<Error>,
}

impl Lease<'_> {
    /// Adds an image whose layers this lease has made. One that is there already gets this manifest and these names.
    ///
    /// # Errors
    /// [`Error::Invalid`] for a configuration that is no JSON or a bad name: then nothing is added.
    pub fn add_image(&self, new: &NewImage) -> Result<Image> {
        let storage = self.storage;
        for name in &new.names {
            storage.check_name(name)?;
        }
        let needs: Vec<Need> = new.layers.iter().map(|layer| Need::Layer(layer.chain)).collect();
        self.need(&needs)?;
        let image = self.describe(new)?;
        let record = Record { version: VERSION, image };
        let path = storage.image_path(&record.image.id);
        let text = serde_json::to_vec(&record).map_err(io::Error::from).doing("write", &path)?;
        let dir = self.temporary("image");
        dhow_sys::fs::create_dir(&dir, 0o700).doing("create", &dir)?;
        let file = dir.join(RECORD);
        dhow_sys::fs::write_atomic(&file, &text, 0o600, storage.durability())
            .doing("write", &file)?;
        // ORDER: a removal may not fall between the record and its names.
        let lock = storage.collection_lock(LockMode::Shared)?;
        match std::fs::rename(&dir, &path) {
            Ok(()) => storage.sync_dir(&storage.images_dir())?,
            Err(e) if is_taken(&e) => {
                let file = path.join(RECORD);
                dhow_sys::fs::write_atomic(&file, &text, 0o600, storage.durability())
                    .doing("write", &file)?;
            }
            Err(e) => return Err(Error::io("publish", &path, e)),
        }
        for name in &new.names {
            storage.set_name(&record.image.id, name)?;
        }
        drop(lock);
        Ok(record.image)
    }

    fn describe(&self, new: &NewImage) -> Result<Image> {
        let invalid = |why| Error::Invalid {
            what: "image configuration",
            value: String::from_utf8_lossy(new.config.get(..80).unwrap_or(&new.config))
                .into_owned(),
            why,
        };
        let text = str::from_utf8(&new.config).map_err(|_| invalid("it is not UTF-8"))?;
        let config =
            RawValue::from_string(text.to_owned()).map_err(|_| invalid("it is not JSON"))?;
        let config_blob = self.ingest_bytes(&new.config)?;
        let manifest = match &new.manifest {
            Some(manifest) => Some(self.ingest_bytes(manifest)?.digest),
            None => None,
        };
        Ok(Image {
            id: config_blob.digest.into(),
            digest: manifest.unwrap_or(config_blob.digest),
            manifest,
            layers: new.layers.iter().map(|layer| layer.chain).collect(),
            diff_ids: new.layers.iter().map(|layer| layer.diff_id).collect(),
            layer_sizes: new.layers.iter().map(|layer| layer.size).collect(),
            size: new.layers.iter().map(|layer| layer.size).fold(0, u64::saturating_add),
            created: new.created.unwrap_or(0),
            loaded: now(),
            config,
        })
    }
}

impl Storage {
    /// The image of this id.
    ///
    /// # Errors
    /// [`Error::NotFound`], [`Error::Corrupt`].
    pub fn image(&self, id: &ImageId) -> Result<Image> {
        let path = self.image_path(id).join(RECORD);
        let bytes = match dhow_sys::fs::read_bounded(&path, MAX_RECORD) {
            Err(e) if e.kind() == io::ErrorKind::NotFound => {
                return Err(Error::NotFound { what: "image", name: id.to_string() });
            }
            other => other.doing("read", &path)?,
        };
        parse(&bytes, id).map_err(|why| Error::Corrupt { path, why })
    }

    /// The image that a user means: an exact name (as stored: fully qualified), an id, a prefix of ids that fits one
    /// image, or `sha256:` with the digest of a configuration or manifest.
    ///
    /// # Errors
    /// [`Error::NotFound`], [`Error::Ambiguous`], [`Error::Corrupt`].
    pub fn resolve_image(&self, text: &str) -> Result<Image> {
        if let Some(id) = self.name_target(text)? {
            match self.image(&id) {
                // A removal that was killed before it came to the names.
                Err(Error::NotFound { .. }) => {}
                other => return other,
            }
        }
        let unknown = || Error::NotFound { what: "image", name: text.to_owned() };
        let hex = text.strip_prefix("sha256:").unwrap_or(text);
        if hex.is_empty() || hex.len() > 64 || !hex.bytes().all(is_hex_digit) {
            return Err(unknown());
        }
        if let Ok(id) = hex.parse::<ImageId>() {
            return match self.image(&id) {
                Err(Error::NotFound { .. }) => {
                    let mut images = self.images()?.images.into_iter().map(|(image, _)| image);
                    images.find(|image| image.digest == *id.digest()).ok_or_else(unknown)
                }
                other => other,
            };
        }
        let mut candidates = self.image_ids()?;
        candidates.retain(|id| id.hex().starts_with(hex));
        match candidates.as_slice() {
            [] => Err(unknown()),
            [id] => self.image(id),
            several => Err(Error::Ambiguous {
                name: text.to_owned(),
                candidates: several.iter().map(ImageId::short).collect(),
            }),
        }
    }

    /// All images.
    ///
    /// # Errors
    /// [`Error::Io`] when the directory cannot be read. An unreadable record is in [`ImageList::corrupt`].
    pub fn images(&self) -> Result<ImageList> {
        let mut list = ImageList::default();
        let names = self.names()?;
        for id in self.image_ids()? {
            match self.image(&id) {
                Ok(image) => {
                    let own = names.iter().filter(|(_, target)| *target == id);
                    list.images.push((image, own.map(|(name, _)| name.clone()).collect()));
                }
                // Removed since the directory was read.
                Err(Error::NotFound { .. }) => {}
                Err(e) => list.corrupt.push(e),
            }
        }
        Ok(list)
    }

    pub(crate) fn image_ids(&self) -> Result<Vec<ImageId>> {
        let dir = self.images_dir();
        let mut ids: Vec<ImageId> =
            list_dir(&dir)?.iter().filter_map(|name| name.to_str()?.parse().ok()).collect();
        ids.sort();
        Ok(ids)
    }
}

/// File names of a directory of ours; links and all.
pub(crate) fn list_dir(dir: &std::path::Path) -> Result<Vec<PathBuf>> {
    let mut names = Vec::new();
    for entry in std::fs::read_dir(dir).doing("read", dir)? {
        names.push(PathBuf::from(entry.doing("read", dir)?.file_name()));
    }
    Ok(names)
}

fn parse(bytes: &[u8], id: &ImageId) -> std::result::Result<Image, String> {
    let record: Record = serde_json::from_slice(bytes).map_err(|e| e.to_string())?;
    if record.version != VERSION {
        return Err(format!("version {} is not known", record.version));
    }
    if record.image.id != *id {
        return Err(format!("it is the record of {}", record.image.id));
    }
    Ok(record.image)
}

fn is_hex_digit(byte: u8) -> bool {
    matches!(byte, b'0'..=b'9' | b'a'..=b'f')
}

fn is_taken(error: &io::Error) -> bool {
    matches!(error.kind(), io::ErrorKind::AlreadyExists | io::ErrorKind::DirectoryNotEmpty)
}

fn now() -> i64 {
    let now = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH);
    now.ok().and_then(|now| i64::try_from(now.as_nanos()).ok()).unwrap_or(0)
}

#[cfg(test)]
mod tests;
