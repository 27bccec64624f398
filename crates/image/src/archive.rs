//! What an image comes in: a directory, a tar archive, either of them as an OCI layout or as docker writes it.
//!
//! An [`Archive`] answers one question, "what is in the entry of that name?", the same for a directory and a tar file.
//! A tar file is indexed once and read in place; what cannot be read in place (a stream, a compressed archive) is
//! spooled to an unnamed file of the store first, which is gone when the process is.
//!
//! INVARIANT: an entry's name never reaches the file system as a path: of a directory it is resolved inside that
//! directory, of a tar file it is looked up. Links are followed inside the archive only.

mod docker;
mod index;
mod layout;

use std::fmt;
use std::fs::File;
use std::io::{self, Read};
use std::os::unix::fs::FileTypeExt;
use std::path::{Path, PathBuf};

use dhow_storage::{Digest, Lease, Limits};
use dhow_sys::root::Root;

use self::index::Index;
use crate::config::ImageConfig;
use crate::document::MAX_DOCUMENT;
use crate::error::{Error, Result};
use crate::platform::Platform;
use crate::reference::ImageReference;

/// How deep indexes may nest and links may chain.
const MAX_DEPTH: usize = 8;
/// How many images an archive may hold, and how many bytes their manifests and configurations may have together.
const MAX_IMAGES: usize = 1000;
const MAX_DOCUMENTS: usize = 32 << 20;

/// Where an archive comes from.
pub enum Input {
    /// A file, a directory, or something readable like a fifo.
    Path(PathBuf),
    /// A stream that is read once, `-` for the user.
    Stream(Box<dyn Read + Send>),
}

impl fmt::Debug for Input {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Input::Path(path) => f.debug_tuple("Path").field(path).finish(),
            Input::Stream(_) => f.write_str("Stream"),
        }
    }
}

/// A directory or tar file that is open.
#[derive(Debug)]
pub(crate) struct Archive {
    /// As the user knows it, for messages.
    name: String,
    source: Source,
}

#[derive(Debug)]
enum Source {
    Directory(Root),
    Tar(Index),
}

/// An image of an archive: its documents read and verified, its layers located.
#[derive(Debug)]
pub(crate) struct FoundImage {
    pub(crate) names: Vec<ImageReference>,
    pub(crate) manifest: Vec<u8>,
    pub(crate) config: Vec<u8>,
    pub(crate) parsed: ImageConfig,
    pub(crate) layers: Vec<FoundLayer>,
}

/// A layer of an archive.
#[derive(Debug)]
pub(crate) struct FoundLayer {
    pub(crate) entry: String,
    /// Of the bytes in the archive.
    pub(crate) digest: Digest,
    pub(crate) size: u64,
}

impl Archive {
    /// Opens a file, directory or stream; `limits` bound what is spooled.
    pub(crate) fn open(lease: &Lease<'_>, input: Input, limits: &Limits) -> Result<Archive> {
        match open_input(input)? {
            Opened::Directory(name, path) => {
                let root = Root::open(&path).map_err(io_error("open", &name))?;
                Ok(Archive { name, source: Source::Directory(root) })
            }
            Opened::File(name, file) => {
                let file = match Packing::of(&file).map_err(io_error("read", &name))? {
                    Packing::None | Packing::Empty => file,
                    packing => packing.spool(lease, &name, file, limits)?,
                };
                Archive::index(name, file)
            }
            Opened::Stream(name, reader) => {
                let (packing, reader) = Packing::peek(reader).map_err(io_error("read", &name))?;
                let file = packing.spool(lease, &name, reader, limits)?;
                Archive::index(name, file)
            }
        }
    }

    /// The images in it, each for `platform` where there is a choice.
    pub(crate) fn images(&self, platform: &Platform) -> Result<Vec<FoundImage>> {
        let images = if self.contains("index.json")? {
            layout::images(self, platform)?
        } else if self.is_flat()? {
            layout::flat_image(self, platform)?
        } else if self.contains("manifest.json")? {
            docker::images(self)?
        } else {
            return Err(self.no_archive("it has neither an index.json nor a manifest.json"));
        };
        if images.is_empty() {
            return Err(self.no_archive("it holds no image"));
        }
        Ok(images)
    }

    /// Is it skopeo's `dir:`, whose `manifest.json` is a manifest rather than docker's list?
    fn is_flat(&self) -> Result<bool> {
        if !matches!(self.source, Source::Directory(_)) || !self.contains("manifest.json")? {
            return Ok(false);
        }
        let bytes = self.read("manifest.json", MAX_DOCUMENT)?;
        Ok(bytes.trim_ascii_start().starts_with(b"{"))
    }

    /// Bounds what the documents of all images take, since an archive can refer to a large one many times.
    fn check_total(&self, entry: &str, images: &[FoundImage]) -> Result<()> {
        let total: usize =
            images.iter().map(|image| image.manifest.len() + image.config.len()).sum();
        if total <= MAX_DOCUMENTS && images.len() <= MAX_IMAGES {
            return Ok(());
        }
        let why = format!(
            "it names more than {MAX_IMAGES} images, or more than {MAX_DOCUMENTS} bytes of their documents"
        );
        Err(self.malformed(entry, why))
    }

    /// As the user knows it.
    pub(crate) fn name(&self) -> &str {
        &self.name
    }

    /// The last component of its path, where it is a directory.
    fn directory_name(&self) -> Option<String> {
        let Source::Directory(root) = &self.source else { return None };
        let real = std::fs::canonicalize(root.dir()).ok()?;
        Some(real.file_name()?.to_str()?.to_owned())
    }

    fn contains(&self, entry: &str) -> Result<bool> {
        match self.size(entry) {
            Ok(_) => Ok(true),
            Err(Error::Missing { .. }) => Ok(false),
            Err(error) => Err(error),
        }
    }

    /// How many bytes the entry has.
    pub(crate) fn size(&self, entry: &str) -> Result<u64> {
        self.open_entry(entry).map(|(_, size)| size)
    }

    /// The entry's bytes from the start, and how many there are.
    pub(crate) fn open_entry(&self, entry: &str) -> Result<(Box<dyn Read + Send + '_>, u64)> {
        match &self.source {
            Source::Directory(root) => {
                let file = root.open_file(entry).map_err(|e| match e.kind() {
                    io::ErrorKind::NotFound => self.missing(entry),
                    io::ErrorKind::InvalidInput => {
                        self.malformed(entry, "it is not a regular file")
                    }
                    _ => io_error("read", &format!("{}/{entry}", self.name))(e),
                })?;
                let size = file.metadata().map_err(io_error("read", &self.name))?.len();
                Ok((Box::new(file), size))
            }
            Source::Tar(index) => match index.open(entry) {
                Ok(Some((reader, size))) => Ok((Box::new(reader), size)),
                Ok(None) => Err(self.missing(entry)),
                Err(why) => Err(self.malformed(entry, why)),
            },
        }
    }

    /// A whole entry of at most `max` bytes.
    fn read(&self, entry: &str, max: u64) -> Result<Vec<u8>> {
        let (reader, size) = self.open_entry(entry)?;
        if size > max {
            return Err(self.malformed(
                entry,
                format!("its {size} bytes are more than the {max} such a document may have"),
            ));
        }
        let mut bytes = Vec::new();
        reader.take(size).read_to_end(&mut bytes).map_err(io_error("read", &self.name))?;
        if bytes.len() as u64 != size {
            return Err(self.malformed(entry, "it has shrunk while it was read"));
        }
        Ok(bytes)
    }

    fn index(name: String, file: File) -> Result<Archive> {
        let index = Index::read(file).map_err(|error| match error {
            index::Fault::Io(e) => io_error("read", &name)(e),
            index::Fault::NotTar => Error::NotAnArchive {
                archive: name.clone(),
                why: "it is neither a directory nor a tar archive".to_owned(),
            },
            index::Fault::Entry(entry, why) => {
                Error::Malformed { archive: name.clone(), entry, why }
            }
        })?;
        Ok(Archive { name, source: Source::Tar(index) })
    }

    fn no_archive(&self, why: impl Into<String>) -> Error {
        Error::NotAnArchive { archive: self.name.clone(), why: why.into() }
    }

    fn missing(&self, entry: &str) -> Error {
        Error::Missing { archive: self.name.clone(), entry: entry.to_owned() }
    }

    pub(crate) fn malformed(&self, entry: &str, why: impl Into<String>) -> Error {
        Error::Malformed { archive: self.name.clone(), entry: entry.to_owned(), why: why.into() }
    }

    fn unsupported(&self, entry: &str, what: impl Into<String>) -> Error {
        Error::Unsupported {
            archive: self.name.clone(),
            entry: entry.to_owned(),
            what: what.into(),
        }
    }
}

/// What an input turned out to be, with the name it has for the user.
pub(crate) enum Opened {
    Directory(String, PathBuf),
    File(String, File),
    Stream(String, Box<dyn Read + Send>),
}

/// Opens an input without looking into it.
pub(crate) fn open_input(input: Input) -> Result<Opened> {
    let path = match input {
        Input::Stream(reader) => return Ok(Opened::Stream("standard input".to_owned(), reader)),
        Input::Path(path) => path,
    };
    let name = path.display().to_string();
    let kind = std::fs::metadata(&path).map_err(io_error("open", &name))?.file_type();
    if kind.is_dir() {
        return Ok(Opened::Directory(name, path));
    }
    let file = File::open(&path).map_err(io_error("open", &name))?;
    if kind.is_file() {
        return Ok(Opened::File(name, file));
    }
    if kind.is_fifo() || kind.is_char_device() {
        return Ok(Opened::Stream(name, Box::new(file)));
    }
    Err(Error::NotAnArchive {
        archive: name,
        why: "it is neither a file nor a directory".to_owned(),
    })
}

/// How a stream is compressed, told from its first bytes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Packing {
    /// There is nothing to be compressed.
    Empty,
    None,
    Gzip,
    Zstd,
    Bzip2,
    Xz,
}

impl Packing {
    const LONGEST: usize = 6;

    pub(crate) fn of(file: &File) -> io::Result<Packing> {
        use std::os::unix::fs::FileExt;
        let mut magic = [0; Self::LONGEST];
        let n = file.read_at(&mut magic, 0)?;
        Ok(Packing::from_magic(&magic[..n]))
    }

    /// Looks at the beginning of a stream, which the reader returned gives out again.
    pub(crate) fn peek<R: Read>(mut reader: R) -> io::Result<(Packing, impl Read + use<R>)> {
        let mut magic = Vec::with_capacity(Self::LONGEST);
        reader.by_ref().take(Self::LONGEST as u64).read_to_end(&mut magic)?;
        Ok((Packing::from_magic(&magic), io::Cursor::new(magic).chain(reader)))
    }

    fn from_magic(magic: &[u8]) -> Packing {
        match magic {
            [] => Packing::Empty,
            [0x1f, 0x8b, ..] => Packing::Gzip,
            [0x28, 0xb5, 0x2f, 0xfd, ..] => Packing::Zstd,
            [b'B', b'Z', b'h', b'1'..=b'9', ..] => Packing::Bzip2,
            [0xfd, b'7', b'z', b'X', b'Z', 0, ..] => Packing::Xz,
            _ => Packing::None,
        }
    }

    /// Refuses what dhow cannot decompress.
    pub(crate) fn check(self, archive: &str) -> Result<()> {
        let what = match self {
            Packing::Empty | Packing::None | Packing::Gzip | Packing::Zstd => return Ok(()),
            Packing::Bzip2 => "bzip2",
            Packing::Xz => "xz",
        };
        Err(Error::Unsupported {
            archive: archive.to_owned(),
            entry: "its content".to_owned(),
            what: format!("compression other than gzip and zstd (this is {what})"),
        })
    }

    fn spool(
        self,
        lease: &Lease<'_>,
        name: &str,
        reader: impl Read,
        limits: &Limits,
    ) -> Result<File> {
        self.check(name)?;
        let reader = dhow_storage::decompress(reader, limits).map_err(io_error("read", name))?;
        lease.spool(reader, limits.bytes).map_err(Error::store(format!("read {name}")))
    }
}

/// Shorthand for [`Error::Io`].
pub(crate) fn io_error(
    action: &'static str,
    archive: &str,
) -> impl FnOnce(io::Error) -> Error + use<> {
    let archive = archive.to_owned();
    move |source| Error::Io { action, archive, source }
}

/// Splits an entry's name into its components; `None` when it is absolute or leads out of the archive.
fn normalize(path: &str) -> Option<String> {
    if path.starts_with('/') {
        return None;
    }
    let mut parts: Vec<&str> = Vec::new();
    for part in path.split('/') {
        match part {
            "" | "." => {}
            ".." => {
                parts.pop()?;
            }
            part => parts.push(part),
        }
    }
    Some(parts.join("/"))
}

/// What a link in `entry` to `target` leads to, within the archive.
fn link_target(entry: &str, target: &str) -> Option<String> {
    let parent = Path::new(entry).parent().and_then(Path::to_str).unwrap_or_default();
    if target.starts_with('/') {
        None
    } else {
        normalize(format!("{parent}/{target}").trim_start_matches('/'))
    }
}

#[cfg(test)]
mod tests;
