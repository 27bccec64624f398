//! Images made here, byte for byte, so that tests need no tool and can make hostile ones.

use std::fs::File;
use std::io::Write;
use std::path::{Path, PathBuf};
use std::sync::OnceLock;

use serde_json::{Value, json};
use sha2::{Digest, Sha256};
use tar::{Builder, EntryType, Header};

/// The name of the image that most tests run: busybox, the probe, and a few users.
pub const BASE: &str = "localhost/base:latest";

/// The commands of busybox that the base image has as links.
const APPLETS: &str = "sh cat echo ls sleep id true false env hostname stat mount grep head tail kill touch mkdir rm ln test dd printf seq \
    readlink stty tty wc sort unshare ps df date find mknod chmod chown yes sync tr sed awk cut uname whoami pwd sysctl xargs mkfifo ip chroot usleep";

/// A layer about to be written, as a tar archive in memory.
#[derive(Debug, Default, Clone)]
pub struct Layer(Vec<Entry>);

/// A header, the contents, and PAX records that precede it.
type Entry = (Header, Vec<u8>, Vec<(String, Vec<u8>)>);

impl Layer {
    /// An empty layer.
    pub fn new() -> Self {
        Self::default()
    }

    /// A regular file.
    #[must_use]
    pub fn file(self, path: &str, mode: u32, contents: impl AsRef<[u8]>) -> Self {
        self.entry(EntryType::Regular, path, mode, (0, 0), contents.as_ref(), "")
    }

    /// A regular file that belongs to somebody.
    #[must_use]
    pub fn owned(
        self,
        path: &str,
        mode: u32,
        owner: (u64, u64),
        contents: impl AsRef<[u8]>,
    ) -> Self {
        self.entry(EntryType::Regular, path, mode, owner, contents.as_ref(), "")
    }

    /// A directory.
    #[must_use]
    pub fn dir(self, path: &str, mode: u32) -> Self {
        self.entry(EntryType::Directory, path, mode, (0, 0), &[], "")
    }

    /// A symbolic link.
    #[must_use]
    pub fn symlink(self, path: &str, target: &str) -> Self {
        self.entry(EntryType::Symlink, path, 0o777, (0, 0), &[], target)
    }

    /// A hard link.
    #[must_use]
    pub fn hardlink(self, path: &str, target: &str) -> Self {
        self.entry(EntryType::Link, path, 0o644, (0, 0), &[], target)
    }

    /// A fifo.
    #[must_use]
    pub fn fifo(self, path: &str) -> Self {
        self.entry(EntryType::Fifo, path, 0o600, (0, 0), &[], "")
    }

    /// A file with an extended attribute.
    #[must_use]
    pub fn xattr(mut self, path: &str, name: &str, value: &[u8]) -> Self {
        self = self.file(path, 0o644, "x");
        let last = self.0.last_mut().expect("just pushed");
        last.2.push((format!("SCHILY.xattr.{name}"), value.to_owned()));
        self
    }

    /// What hides `path` of the layers below.
    #[must_use]
    pub fn whiteout(self, path: &str) -> Self {
        let (dir, name) = path.rsplit_once('/').map_or(("", path), |(dir, name)| (dir, name));
        let path = if dir.is_empty() { format!(".wh.{name}") } else { format!("{dir}/.wh.{name}") };
        self.file(&path, 0o644, "")
    }

    /// What hides everything that the layers below have in the directory `path`.
    #[must_use]
    pub fn opaque(self, path: &str) -> Self {
        self.file(&format!("{path}/.wh..wh..opq"), 0o644, "")
    }

    /// Any entry at all; the path is written as it is, dots and slashes included.
    #[must_use]
    pub fn entry(
        mut self,
        kind: EntryType,
        path: &str,
        mode: u32,
        owner: (u64, u64),
        contents: &[u8],
        target: &str,
    ) -> Self {
        let mut header = Header::new_gnu();
        header.set_entry_type(kind);
        header.set_mode(mode);
        header.set_uid(owner.0);
        header.set_gid(owner.1);
        header.set_mtime(1_000_000_000);
        header.set_size(contents.len() as u64);
        let name = &mut header.as_old_mut().name;
        assert!(path.len() < name.len(), "a short path");
        name[..path.len()].copy_from_slice(path.as_bytes());
        let link = &mut header.as_old_mut().linkname;
        link[..target.len()].copy_from_slice(target.as_bytes());
        header.set_cksum();
        self.0.push((header, contents.to_owned(), Vec::new()));
        self
    }

    /// The archive.
    pub fn tar(&self) -> Vec<u8> {
        let mut builder = Builder::new(Vec::new());
        for (header, contents, pax) in &self.0 {
            let pax = pax.iter().map(|(name, value)| (name.as_str(), value.as_slice()));
            builder.append_pax_extensions(pax).expect("memory");
            builder.append(header, contents.as_slice()).expect("memory");
        }
        builder.into_inner().expect("memory")
    }
}

/// How a layer is kept in an archive.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Compression {
    /// As it is.
    None,
    /// gzip.
    Gzip,
    /// Zstandard.
    Zstd,
}

/// An image about to be written.
#[derive(Debug, Clone)]
pub struct Image {
    names: Vec<String>,
    layers: Vec<Layer>,
    config: Value,
    compression: Compression,
}

impl Image {
    /// An image with this name and no layer.
    pub fn new(name: &str) -> Self {
        let env = json!(["PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"]);
        Self {
            names: vec![name.to_owned()],
            layers: Vec::new(),
            config: json!({ "Env": env }),
            compression: Compression::None,
        }
    }

    /// Adds a layer on top.
    #[must_use]
    pub fn layer(mut self, layer: Layer) -> Self {
        self.layers.push(layer);
        self
    }

    /// Sets a field of the configuration, such as `Cmd`.
    #[must_use]
    pub fn config(mut self, field: &str, value: Value) -> Self {
        self.config[field] = value;
        self
    }

    /// How its layers are compressed.
    #[must_use]
    pub fn compression(mut self, compression: Compression) -> Self {
        self.compression = compression;
        self
    }

    /// One more name (docker archives only).
    #[must_use]
    pub fn also(mut self, name: &str) -> Self {
        self.names.push(name.to_owned());
        self
    }

    /// The configuration that the image's id is the digest of.
    pub fn config_json(&self) -> Vec<u8> {
        let diff_ids: Vec<String> = self.layers.iter().map(|layer| digest(&layer.tar())).collect();
        let history: Vec<Value> = self
            .layers
            .iter()
            .map(|_| json!({"created": "2001-09-09T01:46:40Z", "created_by": "harness"}))
            .collect();
        let config = json!({
            "architecture": architecture(), "os": "linux", "created": "2001-09-09T01:46:40Z",
            "config": self.config, "rootfs": {"type": "layers", "diff_ids": diff_ids}, "history": history,
        });
        serde_json::to_vec(&config).expect("json")
    }

    /// The image's id, without `sha256:`.
    pub fn id(&self) -> String {
        digest(&self.config_json())[7..].to_owned()
    }

    /// Writes an OCI layout with several images.
    pub fn write_oci_dir(images: &[Self], dir: &Path) {
        let blobs = dir.join("blobs/sha256");
        std::fs::create_dir_all(&blobs).expect("a directory of our own");
        let mut manifests = Vec::new();
        for image in images {
            let mut layers = Vec::new();
            for layer in &image.layers {
                let bytes = compress(&layer.tar(), image.compression);
                let kind = match image.compression {
                    Compression::None => "application/vnd.oci.image.layer.v1.tar",
                    Compression::Gzip => "application/vnd.oci.image.layer.v1.tar+gzip",
                    Compression::Zstd => "application/vnd.oci.image.layer.v1.tar+zstd",
                };
                layers.push(descriptor(&blobs, &bytes, kind));
            }
            let config = descriptor(
                &blobs,
                &image.config_json(),
                "application/vnd.oci.image.config.v1+json",
            );
            let kind = "application/vnd.oci.image.manifest.v1+json";
            let manifest =
                json!({"schemaVersion": 2, "mediaType": kind, "config": config, "layers": layers});
            let mut entry = descriptor(&blobs, &serde_json::to_vec(&manifest).expect("json"), kind);
            entry["annotations"] = json!({"org.opencontainers.image.ref.name": image.names[0]});
            manifests.push(entry);
        }
        let index = json!({"schemaVersion": 2, "manifests": manifests});
        put(&dir.join("index.json"), &serde_json::to_vec(&index).expect("json"));
        put(&dir.join("oci-layout"), br#"{"imageLayoutVersion":"1.0.0"}"#);
    }

    /// Writes an OCI layout as one tar archive.
    pub fn write_oci_archive(images: &[Self], file: &Path) {
        let dir = tempfile::tempdir().expect("a temporary directory");
        Self::write_oci_dir(images, dir.path());
        let mut builder = Builder::new(File::create(file).expect("a file of our own"));
        builder.append_dir_all(".", dir.path()).expect("a file of our own");
        builder.into_inner().and_then(|mut file| file.flush()).expect("a file of our own");
    }

    /// Writes what `docker save` writes.
    pub fn write_docker_archive(images: &[Self], file: &Path) {
        let mut builder = Builder::new(File::create(file).expect("a file of our own"));
        let mut manifest = Vec::new();
        for image in images {
            let config = format!("{}.json", image.id());
            append(&mut builder, &config, &image.config_json());
            let mut layers = Vec::new();
            for (number, layer) in image.layers.iter().enumerate() {
                let name = format!("{}-{number}/layer.tar", image.id());
                append(&mut builder, &name, &compress(&layer.tar(), image.compression));
                layers.push(name);
            }
            manifest.push(json!({"Config": config, "RepoTags": image.names, "Layers": layers}));
        }
        append(&mut builder, "manifest.json", &serde_json::to_vec(&manifest).expect("json"));
        builder.into_inner().and_then(|mut file| file.flush()).expect("a file of our own");
    }
}

/// The layer of the base image.
pub fn base_layer() -> Layer {
    let busybox = std::fs::read("/bin/busybox").expect("the package busybox-static is installed");
    let probe = std::fs::read(probe()).expect("build.rs made the probe");
    let mut layer = Layer::new().dir("bin", 0o755).file("bin/busybox", 0o755, busybox).file(
        "bin/probe",
        0o755,
        probe,
    );
    for applet in APPLETS.split_whitespace() {
        layer = layer.symlink(&format!("bin/{applet}"), "busybox");
    }
    layer
        .dir("etc", 0o755)
        .file(
            "etc/passwd",
            0o644,
            "root:x:0:0:root:/root:/bin/sh\nuser:x:1000:1000::/home/user:/bin/sh\n",
        )
        .file("etc/group", 0o644, "root:x:0:\nuser:x:1000:\nextra:x:2000:user\nother:x:3000:\n")
        .dir("tmp", 0o1777)
        .dir("root", 0o700)
        .dir("home", 0o755)
        .entry(EntryType::Directory, "home/user", 0o755, (1000, 1000), &[], "")
        .dir("data", 0o755)
        .owned("data/seed", 0o640, (1000, 2000), "seed\n")
}

/// The base image, not yet written.
pub fn base() -> Image {
    Image::new(BASE).layer(base_layer()).config("Cmd", json!(["sh"])).compression(Compression::Gzip)
}

/// The base image as an archive that `load` reads; made once.
#[track_caller]
pub fn probe() -> PathBuf {
    PathBuf::from(env!("DHOW_PROBE"))
}

/// The archive of the base image, made once.
pub fn base_archive() -> PathBuf {
    static ARCHIVE: OnceLock<PathBuf> = OnceLock::new();
    let made = ARCHIVE.get_or_init(|| {
        let image = base();
        let file = Path::new(env!("DHOW_PROBE")).with_file_name(format!("base-{}.tar", image.id()));
        if !file.exists() {
            // Several test processes may do this at once; each writes its own and one rename wins.
            let made = file.with_extension(std::process::id().to_string());
            Image::write_oci_archive(&[image], &made);
            std::fs::rename(&made, &file).expect("a directory of our own");
        }
        file
    });
    made.clone()
}

/// Unpacks the base image's files into a directory, for `--rootfs`.
pub fn unpack_base(dir: &Path) {
    let mut archive = tar::Archive::new(std::io::Cursor::new(base_layer().tar()));
    archive.set_preserve_ownerships(true);
    archive.set_preserve_permissions(true);
    archive.unpack(dir).expect("a directory of our own");
}

/// `sha256:…` of some bytes.
pub fn digest(bytes: &[u8]) -> String {
    Sha256::digest(bytes)
        .iter()
        .fold("sha256:".to_owned(), |text, byte| text + &format!("{byte:02x}"))
}

fn architecture() -> &'static str {
    match std::env::consts::ARCH {
        "x86_64" => "amd64",
        "aarch64" => "arm64",
        other => other,
    }
}

/// Compresses as asked.
pub fn compress(bytes: &[u8], how: Compression) -> Vec<u8> {
    match how {
        Compression::None => bytes.to_owned(),
        Compression::Gzip => {
            let mut encoder =
                flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::fast());
            encoder.write_all(bytes).and_then(|()| encoder.finish()).expect("memory")
        }
        Compression::Zstd => zstd::encode_all(bytes, 1).expect("memory"),
    }
}

fn descriptor(blobs: &Path, bytes: &[u8], media_type: &str) -> Value {
    let digest = digest(bytes);
    put(&blobs.join(&digest[7..]), bytes);
    json!({"mediaType": media_type, "digest": digest, "size": bytes.len()})
}

fn append(builder: &mut Builder<File>, name: &str, bytes: &[u8]) {
    let mut header = Header::new_gnu();
    header.set_mode(0o644);
    header.set_size(bytes.len() as u64);
    builder.append_data(&mut header, name, bytes).expect("a file of our own");
}

#[expect(clippy::disallowed_methods, reason = "a test's own files need no durability")]
fn put(path: &Path, contents: &[u8]) {
    std::fs::write(path, contents)
        .unwrap_or_else(|error| panic!("cannot write {}: {error}", path.display()));
}
