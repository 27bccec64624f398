//! Streams of untrusted input: which compression it is, how much may come out of it, what its digests are.
//!
//! INVARIANT: nothing is unbounded. A reader of this module gives an error instead of the byte that would cross a limit.

use std::io::{self, BufRead, BufReader, Chain, Cursor, Read};
use std::sync::mpsc::{Receiver, SyncSender, sync_channel};

use flate2::bufread::MultiGzDecoder;
use sha2::{Digest as _, Sha256};

use crate::error::{Error, Result};
use crate::{DiffId, Digest, Limits};

const BUFFER: usize = 128 * 1024;
/// Chunks on the way from the decompressing thread to the one that writes files.
const CHUNKS: usize = 8;
const GZIP: &[u8] = &[0x1f, 0x8b];
const ZSTD: &[u8] = &[0x28, 0xb5, 0x2f, 0xfd];
/// Compressions that images do not use but archives might.
const REFUSED: [(&[u8], &str); 3] =
    [(b"\xfd7zXZ\0", "xz"), (b"BZh", "bzip2"), (b"\x04\x22\x4d\x18", "lz4")];
const LONGEST_MAGIC: usize = 6;

type Input<R> = BufReader<Measured<Chain<Cursor<Vec<u8>>, R>>>;

/// What is inside `input`, be it gzip, zstd or not compressed, told by its first bytes.
///
/// # Errors
/// That of reading the first bytes; a compression that is not supported.
pub fn decompress<R: Read>(input: R, limits: &Limits) -> io::Result<Decompressed<R>> {
    Decompressed::new(input, limits, false)
}

/// See [`decompress`].
pub struct Decompressed<R: Read> {
    decoder: Decoder<R>,
    produced: u64,
    limits: Limits,
}

enum Decoder<R: Read> {
    Plain(Input<R>),
    Gzip(Box<MultiGzDecoder<Input<R>>>),
    Zstd(Box<zstd::Decoder<'static, Input<R>>>),
}

impl<R: Read> std::fmt::Debug for Decompressed<R> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Decompressed").field("produced", &self.produced).finish_non_exhaustive()
    }
}

impl<R: Read> Decompressed<R> {
    fn new(mut input: R, limits: &Limits, hashed: bool) -> io::Result<Decompressed<R>> {
        let mut magic = Vec::with_capacity(LONGEST_MAGIC);
        let wanted = u64::try_from(LONGEST_MAGIC).unwrap_or(u64::MAX);
        input.by_ref().take(wanted).read_to_end(&mut magic)?;
        let kind = magic.clone();
        let measured = Measured {
            inner: Cursor::new(magic).chain(input),
            consumed: 0,
            hasher: hashed.then(Sha256::new),
        };
        let input = BufReader::with_capacity(BUFFER, measured);
        let decoder = if kind.starts_with(GZIP) {
            Decoder::Gzip(Box::new(MultiGzDecoder::new(input)))
        } else if kind.starts_with(ZSTD) {
            Decoder::Zstd(Box::new(zstd::Decoder::with_buffer(input)?))
        } else if let Some((_, name)) = REFUSED.iter().find(|(magic, _)| kind.starts_with(magic)) {
            return Err(Error::archive(format!("{name} compression is not supported")).into());
        } else {
            Decoder::Plain(input)
        };
        Ok(Decompressed { decoder, produced: 0, limits: limits.clone() })
    }

    fn input(&self) -> &Measured<Chain<Cursor<Vec<u8>>, R>> {
        match &self.decoder {
            Decoder::Plain(input) => input.get_ref(),
            Decoder::Gzip(decoder) => decoder.get_ref().get_ref(),
            Decoder::Zstd(decoder) => decoder.get_ref().get_ref(),
        }
    }

    fn check(&self) -> Result<()> {
        if self.produced > self.limits.bytes {
            let limit = format!("{} bytes", self.limits.bytes);
            return Err(Error::TooLarge { what: "uncompressed archive", limit });
        }
        let compressed = !matches!(self.decoder, Decoder::Plain(_));
        let allowed = self.input().consumed.saturating_mul(self.limits.ratio);
        if compressed && self.produced > self.limits.ratio_from && self.produced > allowed {
            let limit = format!("{} : 1", self.limits.ratio);
            return Err(Error::TooLarge { what: "compression ratio", limit });
        }
        Ok(())
    }

    /// Reads what follows the compressed data too, and gives the digest of all input.
    fn finish_input(self) -> io::Result<Option<Digest>> {
        let mut input = match self.decoder {
            Decoder::Plain(input) => input,
            Decoder::Gzip(decoder) => decoder.into_inner(),
            Decoder::Zstd(decoder) => decoder.finish(),
        };
        if input.get_ref().hasher.is_none() {
            return Ok(None);
        }
        let mut rest = input.by_ref().take(self.limits.bytes);
        io::copy(&mut rest, &mut io::sink())?;
        Ok(input.into_inner().hasher.map(Digest::from_hasher))
    }
}

impl<R: Read> Read for Decompressed<R> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let length = match &mut self.decoder {
            Decoder::Plain(input) => input.read(buffer)?,
            Decoder::Gzip(decoder) => decoder.read(buffer)?,
            Decoder::Zstd(decoder) => decoder.read(buffer)?,
        };
        self.produced = self.produced.saturating_add(u64::try_from(length).unwrap_or(u64::MAX));
        self.check()?;
        Ok(length)
    }
}

/// Counts, and where wanted hashes, what is read through it.
struct Measured<R> {
    inner: R,
    consumed: u64,
    hasher: Option<Sha256>,
}

impl<R: Read> Read for Measured<R> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let length = self.inner.read(buffer)?;
        self.consumed = self.consumed.saturating_add(u64::try_from(length).unwrap_or(u64::MAX));
        if let Some(hasher) = &mut self.hasher {
            hasher.update(buffer.get(..length).unwrap_or_default());
        }
        Ok(length)
    }
}

/// What a stream turned out to be.
pub(crate) struct Digests {
    pub(crate) diff_id: DiffId,
    /// Of the bytes as stored; only where it was asked for.
    pub(crate) compressed: Option<Digest>,
}

/// Gives the uncompressed stream to `consume`, while a second thread decompresses and hashes: the two together take as
/// long as the slower one. All of the input is read, whatever `consume` leaves.
pub(crate) fn pipeline<T>(
    input: impl Read + Send,
    limits: &Limits,
    hash_compressed: bool,
    consume: impl FnOnce(&mut Chunks) -> Result<T>,
) -> Result<(T, Digests)> {
    let (full, filled) = sync_channel(CHUNKS);
    let (empty, emptied) = sync_channel(CHUNKS);
    let mut chunks = Chunks { filled, empty, chunk: Vec::new(), at: 0 };
    std::thread::scope(|scope| {
        let producer =
            scope.spawn(move || produce(input, limits, hash_compressed, &full, &emptied));
        let consumed = consume(&mut chunks).and_then(|value| {
            io::copy(&mut chunks, &mut io::sink()).map_err(Error::input)?;
            Ok(value)
        });
        // ORDER: the channel closes before the join, so that a producer that waits for room gives up.
        drop(chunks);
        let produced = match producer.join() {
            Ok(produced) => produced,
            Err(panic) => std::panic::resume_unwind(panic),
        };
        Ok((consumed?, produced?))
    })
}

fn produce(
    input: impl Read,
    limits: &Limits,
    hash_compressed: bool,
    full: &SyncSender<io::Result<Vec<u8>>>,
    emptied: &Receiver<Vec<u8>>,
) -> Result<Digests> {
    let mut hasher = Sha256::new();
    let read_all = || -> io::Result<Option<Decompressed<_>>> {
        let mut stream = Decompressed::new(input, limits, hash_compressed)?;
        loop {
            let mut chunk = emptied.try_recv().unwrap_or_default();
            chunk.resize(BUFFER, 0);
            let length = fill(&mut stream, &mut chunk)?;
            chunk.truncate(length);
            if length == 0 {
                return Ok(Some(stream));
            }
            hasher.update(&chunk);
            if full.send(Ok(chunk)).is_err() {
                return Ok(None);
            }
        }
    };
    match read_all() {
        Ok(stream) => {
            let compressed = match stream {
                Some(stream) => stream.finish_input().map_err(Error::input)?,
                None => None,
            };
            Ok(Digests { diff_id: Digest::from_hasher(hasher).into(), compressed })
        }
        Err(e) => {
            // The consumer meets the error where the data ends and reports it; if it has gone, nobody asks.
            let _closed = full.send(Err(e));
            Err(Error::Abandoned)
        }
    }
}

/// As much as there is: few large chunks rather than many small ones.
fn fill(stream: &mut impl Read, buffer: &mut [u8]) -> io::Result<usize> {
    let mut length = 0;
    while let Some(rest) = buffer.get_mut(length..).filter(|rest| !rest.is_empty()) {
        match stream.read(rest) {
            Ok(0) => break,
            Ok(more) => length += more,
            Err(e) if e.kind() == io::ErrorKind::Interrupted => {}
            Err(e) => return Err(e),
        }
    }
    Ok(length)
}

/// The consuming end of [`pipeline`]; its buffer is the chunk itself, so that file content is written without a copy.
pub(crate) struct Chunks {
    filled: Receiver<io::Result<Vec<u8>>>,
    empty: SyncSender<Vec<u8>>,
    chunk: Vec<u8>,
    at: usize,
}

impl BufRead for Chunks {
    fn fill_buf(&mut self) -> io::Result<&[u8]> {
        if self.at >= self.chunk.len()
            && let Ok(next) = self.filled.recv()
        {
            let used = std::mem::replace(&mut self.chunk, next?);
            self.at = 0;
            // Full or closed: then it is freed instead of used again.
            let _unused = self.empty.try_send(used);
        }
        Ok(self.chunk.get(self.at..).unwrap_or_default())
    }

    fn consume(&mut self, amount: usize) {
        self.at = self.at.saturating_add(amount);
    }
}

impl Read for Chunks {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let length = self.fill_buf()?.read(buffer)?;
        self.consume(length);
        Ok(length)
    }
}

#[cfg(test)]
mod tests {
    use std::io::Write;

    use super::*;

    fn gzip(bytes: &[u8]) -> Vec<u8> {
        let mut encoder = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::fast());
        encoder.write_all(bytes).unwrap();
        encoder.finish().unwrap()
    }

    fn text() -> Vec<u8> {
        (0..60_000u32).flat_map(u32::to_le_bytes).collect()
    }

    #[test]
    fn every_compression_gives_the_same() {
        let text = text();
        let zstd = zstd::encode_all(text.as_slice(), 1).unwrap();
        let twice = [gzip(&text[..1000]), gzip(&text[1000..])].concat();
        for input in [text.clone(), gzip(&text), zstd, twice] {
            let mut out = Vec::new();
            decompress(input.as_slice(), &Limits::default())
                .unwrap()
                .read_to_end(&mut out)
                .unwrap();
            assert!(out == text);
            let (length, digests) =
                pipeline(input.as_slice(), &Limits::default(), true, |chunks| {
                    let mut out = Vec::new();
                    chunks.read_to_end(&mut out).map_err(Error::input)?;
                    Ok(out.len())
                })
                .unwrap();
            assert_eq!(length, text.len());
            assert_eq!(*digests.diff_id.digest(), Digest::of(&text));
            assert_eq!(digests.compressed.unwrap(), Digest::of(&input));
        }
    }

    #[test]
    fn the_whole_input_is_hashed_whatever_the_consumer_reads() {
        let text = text();
        let (_, digests) =
            pipeline(text.as_slice(), &Limits::default(), false, |_| Ok(())).unwrap();
        assert_eq!(*digests.diff_id.digest(), Digest::of(&text));
        assert!(digests.compressed.is_none());
    }

    #[test]
    fn bombs_are_stopped() {
        let bomb = gzip(&vec![0; 4 << 20]);
        let limits = Limits { bytes: 1 << 20, ..Limits::default() };
        let error = pipeline(bomb.as_slice(), &limits, false, |_| Ok(())).err().unwrap();
        assert!(matches!(error, Error::TooLarge { what: "uncompressed archive", .. }), "{error}");
        let limits = Limits { ratio: 100, ratio_from: 1 << 20, ..Limits::default() };
        let error = pipeline(bomb.as_slice(), &limits, false, |_| Ok(())).err().unwrap();
        assert!(matches!(error, Error::TooLarge { what: "compression ratio", .. }), "{error}");
    }

    #[test]
    fn truncated_and_unknown_input() {
        let whole = gzip(&text());
        let error = pipeline(&whole[..whole.len() / 2], &Limits::default(), false, |_| Ok(()));
        assert!(matches!(error.err().unwrap(), Error::Archive { .. }));
        let error = pipeline(&b"\xfd7zXZ\0\0"[..], &Limits::default(), false, |_| Ok(()));
        assert!(error.err().unwrap().to_string().contains("xz"));
        let (length, _) = pipeline(&b"x"[..], &Limits::default(), false, |chunks| {
            io::copy(chunks, &mut io::sink()).map_err(Error::input)
        })
        .unwrap();
        assert_eq!(length, 1);
    }

    #[test]
    fn a_consumer_that_fails_stops_the_producer() {
        let error = pipeline(io::repeat(1), &Limits::default(), false, |_| {
            Err::<(), _>(Error::archive("enough"))
        });
        assert!(error.err().unwrap().to_string().contains("enough"));
    }
}
