//! Archives for tests, made by hand so that each part can be made wrong.

use std::collections::BTreeMap;
use std::fs;
use std::io::Write;
use std::path::Path;

use dhow_storage::{Digest, Storage, StorageOptions};
use serde_json::{Value, json};

use crate::archive::Input;
use crate::error::Error;
use crate::load::{LoadOptions, Loaded, load};
use crate::manifest::{DOCKER_LAYER, OCI_CONFIG, OCI_INDEX, OCI_LAYER, OCI_MANIFEST};
use crate::progress::Progress;

/// The entries of an archive by name.
pub(crate) type Entries = BTreeMap<String, Vec<u8>>;

/// A store in a directory of its own, without fsync.
pub(crate) struct Place {
    pub(crate) dir: tempfile::TempDir,
    pub(crate) storage: Storage,
}

impl Place {
    pub(crate) fn new() -> Place {
        let dir = tempfile::tempdir().unwrap();
        let options = StorageOptions { durable: false, ..StorageOptions::default() };
        let storage = Storage::open_with(&dir.path().join("store"), options).unwrap();
        Place { dir, storage }
    }

    /// Puts an archive beside the store.
    pub(crate) fn file(&self, name: &str, bytes: &[u8]) -> std::path::PathBuf {
        let path = self.dir.path().join(name);
        let mut file = fs::File::create(&path).unwrap();
        file.write_all(bytes).unwrap();
        path
    }

    pub(crate) fn load(&self, path: &Path) -> Result<Vec<Loaded>, Error> {
        load(
            &self.storage,
            Input::Path(path.to_path_buf()),
            &LoadOptions::default(),
            &Progress::default(),
        )
    }

    pub(crate) fn load_bytes(&self, bytes: Vec<u8>) -> Result<Vec<Loaded>, Error> {
        let input = Input::Stream(Box::new(std::io::Cursor::new(bytes)));
        load(&self.storage, input, &LoadOptions::default(), &Progress::default())
    }

    /// The text of a file of an image, looked for from its top layer down.
    pub(crate) fn read(&self, image: &str, path: &str) -> Option<String> {
        let image = self.storage.resolve_image(image).unwrap();
        let mut dirs = image.layers.iter().rev().map(|chain| self.storage.layer_diff(chain));
        dirs.find_map(|dir| fs::read_to_string(dir.join(path)).ok())
    }

    /// No image, and after a collection no layer, no blob and no temporary file.
    pub(crate) fn assert_empty(&self) {
        assert!(self.storage.images().unwrap().images.is_empty());
        self.storage.collect(&|| Some(Vec::new())).unwrap();
        let mut left: Vec<String> = Vec::new();
        for part in ["blobs/sha256", "layers", "tmp"] {
            for entry in fs::read_dir(self.dir.path().join("store").join(part)).unwrap() {
                left.push(format!("{part}/{}", entry.unwrap().file_name().display()));
            }
        }
        assert_eq!(left, Vec::<String>::new());
    }
}

/// An uncompressed layer with these files.
pub(crate) fn layer(files: &[(&str, &str)]) -> Vec<u8> {
    let mut builder = tar::Builder::new(Vec::new());
    for (name, text) in files {
        append(&mut builder, name, text.as_bytes());
    }
    builder.into_inner().unwrap()
}

fn append(builder: &mut tar::Builder<Vec<u8>>, name: &str, bytes: &[u8]) {
    let mut header = tar::Header::new_gnu();
    header.set_mode(0o644);
    header.set_size(bytes.len() as u64);
    builder.append_data(&mut header, name, bytes).unwrap();
}

pub(crate) fn gzip(bytes: &[u8]) -> Vec<u8> {
    let mut encoder = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::fast());
    encoder.write_all(bytes).unwrap();
    encoder.finish().unwrap()
}

pub(crate) fn zstd(bytes: &[u8]) -> Vec<u8> {
    ::zstd::encode_all(bytes, 1).unwrap()
}

/// A layer as it is stored, and as it is.
pub(crate) struct Stored {
    pub(crate) stored: Vec<u8>,
    pub(crate) plain: Vec<u8>,
    pub(crate) suffix: &'static str,
}

pub(crate) fn plain(tar: Vec<u8>) -> Stored {
    Stored { stored: tar.clone(), plain: tar, suffix: "" }
}

pub(crate) fn gzipped(tar: Vec<u8>) -> Stored {
    Stored { stored: gzip(&tar), plain: tar, suffix: "+gzip" }
}

pub(crate) fn zstded(tar: Vec<u8>) -> Stored {
    Stored { stored: zstd(&tar), plain: tar, suffix: "+zstd" }
}

pub(crate) fn config(layers: &[Stored], architecture: &str) -> Value {
    let diff_ids: Vec<String> =
        layers.iter().map(|layer| Digest::of(&layer.plain).to_string()).collect();
    json!({
        "created": "2026-01-02T03:04:05Z", "architecture": architecture, "os": "linux",
        "config": { "Cmd": ["sh"], "Env": ["A=b"] },
        "rootfs": { "type": "layers", "diff_ids": diff_ids },
        "history": [{ "created_by": "test" }],
    })
}

/// Puts a blob into an OCI layout; its descriptor.
pub(crate) fn blob(entries: &mut Entries, media_type: &str, bytes: &[u8]) -> Value {
    let digest = Digest::of(bytes);
    entries.insert(format!("blobs/sha256/{}", digest.hex()), bytes.to_vec());
    json!({ "mediaType": media_type, "digest": digest.to_string(), "size": bytes.len() })
}

/// Puts an image into an OCI layout; its manifest's descriptor.
pub(crate) fn oci_image(entries: &mut Entries, layers: &[Stored], architecture: &str) -> Value {
    let config = blob(entries, OCI_CONFIG, config(layers, architecture).to_string().as_bytes());
    let layers: Vec<Value> = layers
        .iter()
        .map(|layer| blob(entries, &format!("{OCI_LAYER}{}", layer.suffix), &layer.stored))
        .collect();
    let manifest = json!({ "schemaVersion": 2, "mediaType": OCI_MANIFEST, "config": config, "layers": layers });
    blob(entries, OCI_MANIFEST, manifest.to_string().as_bytes())
}

/// The same descriptor with a name.
pub(crate) fn named(mut descriptor: Value, name: &str) -> Value {
    descriptor["annotations"] = json!({ "org.opencontainers.image.ref.name": name });
    descriptor
}

/// The same descriptor for a platform.
pub(crate) fn for_platform(mut descriptor: Value, architecture: &str) -> Value {
    descriptor["platform"] = json!({ "os": "linux", "architecture": architecture });
    descriptor
}

/// Completes an OCI layout.
pub(crate) fn index(entries: &mut Entries, manifests: &[Value]) {
    let index = json!({ "schemaVersion": 2, "mediaType": OCI_INDEX, "manifests": manifests });
    entries.insert("index.json".into(), index.to_string().into_bytes());
    entries.insert("oci-layout".into(), br#"{"imageLayoutVersion":"1.0.0"}"#.to_vec());
}

/// An OCI layout of one image.
pub(crate) fn oci(name: &str, layers: &[Stored]) -> Entries {
    let mut entries = Entries::new();
    let descriptor = oci_image(&mut entries, layers, "amd64");
    index(&mut entries, &[named(descriptor, name)]);
    entries
}

/// A docker archive of one image.
pub(crate) fn docker(names: &[&str], layers: &[Stored]) -> Entries {
    let mut entries = Entries::new();
    let config = config(layers, "amd64").to_string().into_bytes();
    let config_name = format!("{}.json", Digest::of(&config).hex());
    let mut paths = Vec::new();
    for layer in layers {
        let path = format!("{}.tar", Digest::of(&layer.plain).hex());
        entries.insert(path.clone(), layer.stored.clone());
        paths.push(path);
    }
    let manifest = json!([{ "Config": config_name, "RepoTags": names, "Layers": paths }]);
    entries.insert("manifest.json".into(), manifest.to_string().into_bytes());
    entries.insert(config_name, config);
    assert!(DOCKER_LAYER.ends_with("tar"));
    entries
}

/// A tar file of these entries.
pub(crate) fn tar_of(entries: &Entries) -> Vec<u8> {
    let mut builder = tar::Builder::new(Vec::new());
    for (name, bytes) in entries {
        append(&mut builder, name, bytes);
    }
    builder.into_inner().unwrap()
}

/// Writes the entries into a directory.
pub(crate) fn write_dir(entries: &Entries, dir: &Path) {
    for (name, bytes) in entries {
        let path = dir.join(name);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::File::create(path).unwrap().write_all(bytes).unwrap();
    }
}

/// An error and its causes in one line.
pub(crate) fn chain(error: &Error) -> String {
    let mut text = error.to_string();
    let mut cause = std::error::Error::source(error);
    while let Some(next) = cause {
        text = format!("{text}: {next}");
        cause = next.source();
    }
    text
}
