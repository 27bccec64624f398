//! The table of contents of a tar file: which entry lies where.
//!
//! Reads POSIX ustar and pax, GNU long names and the old format; only headers are read, so that indexing an archive of
//! gigabytes takes a few reads. INVARIANT: the bytes of every entry lie within the file; names are relative and
//! without `..`; no header makes this allocate more than [`MAX_EXTENSION`] bytes.

use std::collections::HashMap;
use std::fs::File;
use std::io::{self, Read};
use std::os::unix::fs::FileExt;

use super::{MAX_DEPTH, link_target, normalize};

const BLOCK: u64 = 512;
const BLOCK_LENGTH: usize = 512;
/// An image archive has a handful of entries a layer.
const MAX_ENTRIES: usize = 100_000;
/// Of a long name or a pax header.
const MAX_EXTENSION: u64 = 1 << 20;

/// The entries of a tar file by name.
#[derive(Debug)]
pub(super) struct Index {
    file: File,
    places: HashMap<String, Place>,
}

#[derive(Debug, Clone, PartialEq, Eq)]
enum Place {
    Data {
        offset: u64,
        size: u64,
    },
    /// A symbolic link, as written, relative to its own directory.
    Symlink(String),
    /// A hard link, relative to the top of the archive.
    Link(String),
    /// Neither file nor link.
    Other(&'static str),
    /// Two entries have this name, and readers differ in which one they take.
    Twice,
}

/// Why a file cannot be indexed.
#[derive(Debug)]
pub(super) enum Fault {
    Io(io::Error),
    NotTar,
    /// Which entry, and what is wrong with it.
    Entry(String, String),
}

/// What an extension header says of the entry after it.
#[derive(Default)]
struct Extension {
    path: Option<String>,
    link: Option<String>,
    size: Option<u64>,
    sparse: bool,
}

impl Index {
    /// Reads the headers of `file` from its beginning.
    pub(super) fn read(file: File) -> Result<Index, Fault> {
        let length = file.metadata().map_err(Fault::Io)?.len();
        let mut places = HashMap::new();
        let mut extension = Extension::default();
        let mut offset = 0;
        while let Some(header) = read_header(&file, offset, length)? {
            let what = format!("the entry at byte {offset}");
            let fault = |why: &str| Fault::Entry(what.clone(), why.to_owned());
            let kind = header.entry_type();
            let mut size = header.entry_size().map_err(|_| fault("its size is no number"))?;
            if let Some(real) = extension.size.filter(|_| !is_extension(kind)) {
                size = real;
            }
            let start = offset + BLOCK;
            let end = start.checked_add(size).filter(|end| *end <= length);
            let end = end.ok_or_else(|| {
                fault(&format!("its {size} bytes are not all there: the archive is truncated"))
            })?;
            offset = end.next_multiple_of(BLOCK);
            if is_extension(kind) {
                if size > MAX_EXTENSION {
                    return Err(fault("its extension header is too large"));
                }
                let mut bytes = vec![0; usize::try_from(size).unwrap_or_default()];
                file.read_exact_at(&mut bytes, start).map_err(Fault::Io)?;
                extension.read(kind, &bytes).map_err(|why| fault(&why))?;
                continue;
            }
            let said = std::mem::take(&mut extension);
            let Some(name) =
                said.path.or_else(|| String::from_utf8(header.path_bytes().into_owned()).ok())
            else {
                // Nothing in an image archive refers to a name that is not text.
                continue;
            };
            let Some(path) = normalize(&name).filter(|_| !name.contains('\0')) else {
                return Err(Fault::Entry(name, "its name leads out of the archive".to_owned()));
            };
            if path.is_empty() {
                continue;
            }
            let link = said
                .link
                .or_else(|| String::from_utf8(header.link_name_bytes()?.into_owned()).ok());
            let place = match (kind, link) {
                (tar::EntryType::Directory, _) => continue,
                (tar::EntryType::Regular | tar::EntryType::Continuous, _)
                    if name.ends_with('/') =>
                {
                    continue;
                }
                (tar::EntryType::Regular | tar::EntryType::Continuous, _) if said.sparse => {
                    Place::Other("a sparse file")
                }
                (tar::EntryType::Regular | tar::EntryType::Continuous, _) => {
                    Place::Data { offset: start, size }
                }
                (tar::EntryType::Symlink, Some(target)) => Place::Symlink(target),
                (tar::EntryType::Link, Some(target)) => Place::Link(target),
                (tar::EntryType::GNUSparse, _) => Place::Other("a sparse file"),
                _ => Place::Other("neither a file nor a link"),
            };
            if places.len() >= MAX_ENTRIES {
                return Err(Fault::Entry(
                    path,
                    format!("there are more than {MAX_ENTRIES} entries before it"),
                ));
            }
            places.entry(path).and_modify(|place| *place = Place::Twice).or_insert(place);
        }
        Ok(Index { file, places })
    }

    /// The entry's bytes and their number; `None` when there is no such entry, an error says why it cannot be read.
    pub(super) fn open(&self, entry: &str) -> Result<Option<(Window<'_>, u64)>, String> {
        let mut name = normalize(entry).ok_or("its name leads out of the archive")?;
        for _ in 0..MAX_DEPTH {
            let target = match self.places.get(&name) {
                None => return Ok(None),
                Some(Place::Data { offset, size }) => {
                    let window = Window { file: &self.file, offset: *offset, left: *size };
                    return Ok(Some((window, *size)));
                }
                Some(Place::Other(what)) => return Err(format!("it is {what}")),
                Some(Place::Twice) => return Err("it occurs twice".to_owned()),
                Some(Place::Symlink(target)) => link_target(&name, target),
                Some(Place::Link(target)) => normalize(target),
            };
            name = target.ok_or("it is a link that leads out of the archive")?;
        }
        Err("it is a link to a link to a link without end".to_owned())
    }
}

impl Extension {
    fn read(&mut self, kind: tar::EntryType, bytes: &[u8]) -> Result<(), String> {
        let text = |bytes: &[u8]| {
            let end = bytes.iter().position(|b| *b == 0).unwrap_or(bytes.len());
            String::from_utf8(bytes[..end].to_vec()).ok()
        };
        match kind {
            tar::EntryType::GNULongName => self.path = text(bytes),
            tar::EntryType::GNULongLink => self.link = text(bytes),
            tar::EntryType::XHeader => {
                for record in tar::PaxExtensions::new(bytes) {
                    let record = record.map_err(|_| "its pax header is damaged")?;
                    let Ok(key) = record.key() else { continue };
                    let value = String::from_utf8(record.value_bytes().to_vec()).ok();
                    match key {
                        "path" | "GNU.sparse.name" => self.path = value,
                        "linkpath" => self.link = value,
                        "size" => {
                            let size = value.and_then(|v| v.parse().ok());
                            self.size =
                                Some(size.ok_or("the size in its pax header is no number")?);
                        }
                        _ if key.starts_with("GNU.sparse.") => self.sparse = true,
                        _ => {}
                    }
                }
            }
            _ => {}
        }
        Ok(())
    }
}

fn is_extension(kind: tar::EntryType) -> bool {
    matches!(
        kind,
        tar::EntryType::GNULongName
            | tar::EntryType::GNULongLink
            | tar::EntryType::XHeader
            | tar::EntryType::XGlobalHeader
    )
}

/// The header at `offset`; `None` at the end of the archive.
fn read_header(file: &File, offset: u64, length: u64) -> Result<Option<tar::Header>, Fault> {
    if offset >= length && offset > 0 {
        return Ok(None);
    }
    let mut block = [0; BLOCK_LENGTH];
    file.read_exact_at(&mut block, offset).map_err(|e| match e.kind() {
        io::ErrorKind::UnexpectedEof if offset == 0 => Fault::NotTar,
        io::ErrorKind::UnexpectedEof => Fault::Entry(
            format!("the entry at byte {offset}"),
            "its header is cut off: the archive is truncated".to_owned(),
        ),
        _ => Fault::Io(e),
    })?;
    if block.iter().all(|b| *b == 0) {
        return Ok(None);
    }
    let header = tar::Header::from_byte_slice(&block).clone();
    let sum: u32 = block[..148].iter().chain(&block[156..]).map(|b| u32::from(*b)).sum::<u32>()
        + 8 * u32::from(b' ');
    match header.cksum() {
        Ok(said) if said == sum => Ok(Some(header)),
        _ if offset == 0 => Err(Fault::NotTar),
        _ => Err(Fault::Entry(
            format!("the entry at byte {offset}"),
            "its header is damaged".to_owned(),
        )),
    }
}

/// A stretch of a file, read without moving the file's own position, so that several can be read at once.
#[derive(Debug)]
pub(super) struct Window<'a> {
    file: &'a File,
    offset: u64,
    left: u64,
}

impl Read for Window<'_> {
    fn read(&mut self, buf: &mut [u8]) -> io::Result<usize> {
        let room = usize::try_from(self.left).unwrap_or(usize::MAX).min(buf.len());
        if room == 0 {
            return Ok(0);
        }
        let n = self.file.read_at(&mut buf[..room], self.offset)?;
        if n == 0 {
            return Err(io::Error::new(io::ErrorKind::UnexpectedEof, "the archive has shrunk"));
        }
        self.offset += n as u64;
        self.left -= n as u64;
        Ok(n)
    }
}
