//! Maps of sparse files: GNU's old form in header blocks, its PAX form in the data, and what makes a map valid.

use std::io::Read;

use tar::{GnuExtSparseHeader, GnuHeader, GnuSparseHeader};

use super::BLOCK;
use super::pax::number;
use crate::error::{Error, Result};

/// Offset and length of each piece of data.
pub(super) type Pieces = Vec<(u64, u64)>;

/// The old form: four pieces in the header, and blocks of 21 more after it.
pub(super) fn old_map(
    header: &GnuHeader,
    input: &mut impl Read,
    max_pieces: usize,
) -> Result<Pieces> {
    let mut pieces = Vec::new();
    push_all(&mut pieces, &header.sparse)?;
    let mut extended = header.is_extended();
    while extended {
        if pieces.len() >= max_pieces {
            return Err(too_many(max_pieces));
        }
        let mut block = GnuExtSparseHeader::new();
        input.read_exact(block.as_mut_bytes()).map_err(Error::input)?;
        push_all(&mut pieces, block.sparse())?;
        extended = block.is_extended();
    }
    Ok(pieces)
}

fn push_all(pieces: &mut Pieces, headers: &[GnuSparseHeader]) -> Result<()> {
    for header in headers.iter().filter(|header| !header.is_empty()) {
        let offset = header.offset().map_err(Error::input)?;
        pieces.push((offset, header.length().map_err(Error::input)?));
    }
    Ok(())
}

/// The PAX 1.0 form: decimal lines before the data, filled up to a block. Gives how many bytes they take as well.
pub(super) fn map_in_data(input: &mut impl Read, max_pieces: usize) -> Result<(Pieces, u64)> {
    let mut lines = Lines { input, block: [0; BLOCK], at: BLOCK, read: 0 };
    let count = lines.number()?;
    if usize::try_from(count).unwrap_or(usize::MAX) > max_pieces {
        return Err(too_many(max_pieces));
    }
    let mut pieces = Vec::new();
    for _ in 0..count {
        pieces.push((lines.number()?, lines.number()?));
    }
    Ok((pieces, lines.read))
}

struct Lines<'a, R> {
    input: &'a mut R,
    block: [u8; BLOCK],
    at: usize,
    read: u64,
}

impl<R: Read> Lines<'_, R> {
    fn byte(&mut self) -> Result<u8> {
        if self.at == BLOCK {
            self.input.read_exact(&mut self.block).map_err(Error::input)?;
            self.at = 0;
            self.read += 512;
        }
        let byte = self.block.get(self.at).copied().unwrap_or_default();
        self.at += 1;
        Ok(byte)
    }

    fn number(&mut self) -> Result<u64> {
        let mut digits = Vec::new();
        loop {
            match self.byte()? {
                b'\n' => break,
                digit if digits.len() < 20 => digits.push(digit),
                _ => return Err(Error::archive("malformed sparse map")),
            }
        }
        number(&digits).ok_or_else(|| Error::archive("malformed sparse map"))
    }
}

/// In order, apart, inside the file, and as long as the data that is there. Empty pieces mark the end and are dropped.
pub(super) fn check(pieces: Pieces, size: u64, stored: u64) -> Result<Pieces> {
    let mut end = 0u64;
    let mut sum = 0u64;
    for (offset, length) in &pieces {
        let next = offset.checked_add(*length).filter(|next| *offset >= end && *next <= size);
        end = next.ok_or_else(|| Error::archive("sparse map out of order or beyond its file"))?;
        sum = sum.saturating_add(*length);
    }
    if sum != stored {
        return Err(Error::archive("sparse map and data differ in length"));
    }
    Ok(pieces.into_iter().filter(|(_, length)| *length > 0).collect())
}

fn too_many(max_pieces: usize) -> Error {
    Error::TooLarge { what: "sparse file", limit: format!("{max_pieces} pieces") }
}
