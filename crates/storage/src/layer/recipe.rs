//! How to write a layer's tar again, byte for byte: everything of it but what its files hold.
//!
//! A layer is kept extracted, and the digest of its tar is part of the image's id. So that it can leave the store as it
//! came, extraction writes down beside `diff/` all bytes that did not become a file's content (headers, padding, what
//! follows the end mark), and where the content lies. Little remains: about one part in a hundred of a layer.
//!
//! `recipe` is a zstd stream of records: `R` length bytes; `F` size path, the content of a file of `diff/`; `M` number
//! path, what lay at that path until now is in `replaced/<number>`, as a later entry took its name; `E` total. Numbers
//! are little-endian: lengths of paths 16 bits, of bytes 32, the rest 64.
//! INVARIANT: what is read from a [`LayerTar`] to its end has the layer's diff id, or the last read is an error.

use std::fs::File;
use std::io::{self, BufRead, BufReader, BufWriter, Read, Write};
use std::os::unix::ffi::{OsStrExt, OsStringExt};
use std::path::{Path, PathBuf};

use dhow_sys::root::Root;
use sha2::{Digest as _, Sha256};

use crate::error::{Doing, Error, Result};
use crate::stream::Chunks;
use crate::{ChainId, DiffId, Digest, Storage};

pub(super) const RECIPE: &str = "recipe";
pub(super) const REPLACED: &str = "replaced";
/// Of bytes that are no content, in memory at a time.
const RAW: usize = 64 * 1024;
/// Longest path of a record; more than the extractor makes.
const MAX_PATH: usize = 4096;

/// The input of an extraction, which writes down what passes.
pub(super) struct Recorded<'a> {
    input: &'a mut Chunks,
    out: zstd::Encoder<'static, BufWriter<File>>,
    raw: Vec<u8>,
    /// Bytes of a file's content still to come: they are passed on only.
    content: u64,
    total: u64,
    failed: Option<io::Error>,
}

impl<'a> Recorded<'a> {
    pub(super) fn new(input: &'a mut Chunks, dir: &Path) -> Result<Recorded<'a>> {
        let path = dir.join(RECIPE);
        let file = File::create_new(&path).doing("create", &path)?;
        let out = zstd::Encoder::new(BufWriter::new(file), 1).doing("write", &path)?;
        Ok(Recorded {
            input,
            out,
            raw: Vec::with_capacity(RAW),
            content: 0,
            total: 0,
            failed: None,
        })
    }

    /// The next `size` bytes are the content of the file at `path` in `diff/`.
    pub(super) fn content(&mut self, path: &Path, size: u64) -> io::Result<()> {
        self.flush_raw()?;
        self.out.write_all(b"F")?;
        self.out.write_all(&size.to_le_bytes())?;
        self.path(path)?;
        self.content = size;
        Ok(())
    }

    /// What was at `path` is `replaced/<number>` from now on.
    pub(super) fn moved(&mut self, number: u64, path: &Path) -> io::Result<()> {
        self.flush_raw()?;
        self.out.write_all(b"M")?;
        self.out.write_all(&number.to_le_bytes())?;
        self.path(path)
    }

    /// Takes what is left of the input, and ends the recipe.
    pub(super) fn finish(mut self) -> io::Result<()> {
        self.content = 0;
        io::copy(&mut self, &mut io::sink())?;
        self.flush_raw()?;
        if let Some(e) = self.failed.take() {
            return Err(e);
        }
        self.out.write_all(b"E")?;
        self.out.write_all(&self.total.to_le_bytes())?;
        self.out.finish()?.flush()
    }

    fn path(&mut self, path: &Path) -> io::Result<()> {
        let bytes = path.as_os_str().as_bytes();
        let length = u16::try_from(bytes.len()).map_err(|_| io::ErrorKind::InvalidFilename)?;
        self.out.write_all(&length.to_le_bytes())?;
        self.out.write_all(bytes)
    }

    fn flush_raw(&mut self) -> io::Result<()> {
        if self.raw.is_empty() {
            return Ok(());
        }
        let length = u32::try_from(self.raw.len()).unwrap_or(u32::MAX);
        self.out.write_all(b"R")?;
        self.out.write_all(&length.to_le_bytes())?;
        self.out.write_all(&self.raw)?;
        self.raw.clear();
        Ok(())
    }

    fn keep(&mut self, amount: usize) -> io::Result<()> {
        let content = usize::try_from(self.content).unwrap_or(usize::MAX).min(amount);
        self.content = self.content.saturating_sub(u64::try_from(content).unwrap_or(u64::MAX));
        // Of what is buffered already: this neither waits nor fails.
        let bytes = self.input.fill_buf()?;
        let raw = bytes.get(content..amount).unwrap_or_default();
        if self.raw.len() + raw.len() > RAW {
            let raw = raw.to_owned();
            self.flush_raw()?;
            self.raw = raw;
        } else {
            self.raw.extend_from_slice(raw);
        }
        self.total = self.total.saturating_add(u64::try_from(amount).unwrap_or(u64::MAX));
        Ok(())
    }
}

impl BufRead for Recorded<'_> {
    fn fill_buf(&mut self) -> io::Result<&[u8]> {
        match self.failed.take() {
            Some(e) => Err(e),
            None => self.input.fill_buf(),
        }
    }

    fn consume(&mut self, amount: usize) {
        if amount > 0
            && self.failed.is_none()
            && let Err(e) = self.keep(amount)
        {
            // Told at the next read, or at the end.
            self.failed = Some(e);
        }
        self.input.consume(amount);
    }
}

impl Read for Recorded<'_> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let length = self.fill_buf()?.read(buffer)?;
        self.consume(length);
        Ok(length)
    }
}

/// One piece of a tar.
enum Piece {
    Raw(u64),
    Content(u64, PathBuf),
    Moved(u64, PathBuf),
    End(u64),
}

type Recipe = BufReader<zstd::Decoder<'static, BufReader<File>>>;

/// A layer's tar as it came, read from the store.
pub struct LayerTar {
    recipe: Recipe,
    path: PathBuf,
    diff: Root,
    replaced: Option<Root>,
    /// In the order of the recipe.
    moves: Vec<Move>,
    pieces: u64,
    size: u64,
    now: Now,
    hasher: Sha256,
    diff_id: DiffId,
}

/// From the piece `at` on, what was at `path` is `replaced/<number>`.
struct Move {
    at: u64,
    path: PathBuf,
    number: u64,
}

enum Now {
    Between,
    Raw(u64),
    File(File, u64),
    Ended,
}

impl std::fmt::Debug for LayerTar {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("LayerTar").field("path", &self.path).finish_non_exhaustive()
    }
}

impl Storage {
    /// The tar that a layer came from, byte for byte.
    ///
    /// # Errors
    /// [`Error::NotFound`]; [`Error::NoRecipe`] for a layer that an older version has stored.
    pub fn layer_tar(&self, chain: &ChainId) -> Result<LayerTar> {
        let layer = self.layer(chain)?;
        let dir = self.layer_path(chain);
        let path = dir.join(RECIPE);
        if !path.exists() {
            return Err(Error::NoRecipe { layer: chain.to_string() });
        }
        let (moves, size) = survey(&path)?;
        let replaced = if moves.is_empty() {
            None
        } else {
            let replaced = dir.join(REPLACED);
            Some(Root::open(&replaced).doing("open", &replaced)?)
        };
        let diff = self.layer_diff(chain);
        Ok(LayerTar {
            recipe: open(&path)?,
            diff: Root::open(&diff).doing("open", &diff)?,
            path,
            replaced,
            moves,
            pieces: 0,
            size,
            now: Now::Between,
            hasher: Sha256::new(),
            diff_id: layer.diff_id,
        })
    }
}

impl LayerTar {
    /// How many bytes it gives.
    #[must_use]
    pub fn size(&self) -> u64 {
        self.size
    }

    fn corrupt(&self, why: impl Into<String>) -> io::Error {
        Error::Corrupt { path: self.path.clone(), why: why.into() }.into()
    }

    /// The content of what was at `path` when the archive came to this piece.
    fn content(&self, path: &Path) -> io::Result<File> {
        for moved in self.moves.iter().filter(|moved| moved.at > self.pieces) {
            if let (Ok(rest), Some(replaced)) = (path.strip_prefix(&moved.path), &self.replaced) {
                let place = PathBuf::from(moved.number.to_string());
                let rest = rest.as_os_str();
                return replaced.open_file(if rest.is_empty() { place } else { place.join(rest) });
            }
        }
        self.diff.open_file(path)
    }

    fn next(&mut self) -> io::Result<()> {
        let piece = piece(&mut self.recipe).map_err(|e| self.corrupt(e.to_string()))?;
        self.pieces += 1;
        self.now = match piece {
            Piece::Raw(length) => Now::Raw(length),
            Piece::Moved(..) => Now::Between,
            Piece::Content(size, path) => match self.content(&path) {
                Ok(file) => Now::File(file, size),
                Err(e) => {
                    return Err(self.corrupt(format!("no content of {}: {e}", path.display())));
                }
            },
            Piece::End(_) => {
                let found = Digest::from_hasher(self.hasher.clone());
                if found != *self.diff_id.digest() {
                    return Err(self.corrupt(format!("the layer's files are not what they were: its tar would be {found}, not {}", self.diff_id)));
                }
                Now::Ended
            }
        };
        Ok(())
    }
}

impl Read for LayerTar {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        if buffer.is_empty() {
            return Ok(0);
        }
        loop {
            let (length, left) = match &mut self.now {
                Now::Ended => return Ok(0),
                Now::Between | Now::Raw(0) | Now::File(_, 0) => {
                    self.next()?;
                    continue;
                }
                Now::Raw(left) => (self.recipe.by_ref().take(*left).read(buffer)?, left),
                Now::File(file, left) => (Read::by_ref(file).take(*left).read(buffer)?, left),
            };
            if length == 0 {
                return Err(self.corrupt("a file of the layer has become shorter"));
            }
            *left -= u64::try_from(length).unwrap_or(u64::MAX);
            self.hasher.update(buffer.get(..length).unwrap_or_default());
            return Ok(length);
        }
    }
}

fn open(path: &Path) -> Result<Recipe> {
    let file = File::open(path).doing("open", path)?;
    Ok(BufReader::new(zstd::Decoder::new(file).doing("read", path)?))
}

/// What was replaced, and how long the tar is.
fn survey(path: &Path) -> Result<(Vec<Move>, u64)> {
    let mut recipe = open(path)?;
    let mut moves = Vec::new();
    for at in 1.. {
        match piece(&mut recipe).doing("read", path)? {
            Piece::Raw(length) => {
                let skipped = io::copy(&mut recipe.by_ref().take(length), &mut io::sink());
                skipped.doing("read", path)?;
            }
            Piece::Content(..) => {}
            Piece::Moved(number, path) => moves.push(Move { at, path, number }),
            Piece::End(total) => return Ok((moves, total)),
        }
    }
    Ok((moves, 0))
}

fn piece(recipe: &mut Recipe) -> io::Result<Piece> {
    let [tag] = array(recipe)?;
    Ok(match tag {
        b'R' => Piece::Raw(u32::from_le_bytes(array(recipe)?).into()),
        b'F' => Piece::Content(u64::from_le_bytes(array(recipe)?), path_of(recipe)?),
        b'M' => Piece::Moved(u64::from_le_bytes(array(recipe)?), path_of(recipe)?),
        b'E' => Piece::End(u64::from_le_bytes(array(recipe)?)),
        other => return Err(io::Error::other(format!("the unknown record {other}"))),
    })
}

fn path_of(recipe: &mut Recipe) -> io::Result<PathBuf> {
    let length = usize::from(u16::from_le_bytes(array(recipe)?));
    if length > MAX_PATH {
        return Err(io::Error::other("a path that is too long"));
    }
    let mut bytes = vec![0; length];
    recipe.read_exact(&mut bytes)?;
    Ok(std::ffi::OsString::from_vec(bytes).into())
}

fn array<const N: usize>(recipe: &mut Recipe) -> io::Result<[u8; N]> {
    let mut bytes = [0; N];
    recipe.read_exact(&mut bytes)?;
    Ok(bytes)
}
