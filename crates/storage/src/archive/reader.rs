//! Reading a tar, forward only and within limits: old, ustar, GNU and PAX headers, GNU and PAX sparse files.

use std::io::{self, BufRead, Read};

use tar::{EntryType, Header};

use super::pax::Extended;
use super::{BLOCK, Entry, Kind, padding, sparse};
use crate::Limits;
use crate::error::{Error, Result};

/// Reads entries from `R`. Between two calls of [`Reader::next_entry`] it is itself the reader of the entry's data (of
/// a sparse file: the pieces, one after another).
#[derive(Debug)]
pub struct Reader<R> {
    input: R,
    limits: Limits,
    entries: u64,
    /// Data of the current entry not read yet, and what fills its last block.
    remaining: u64,
    padding: u64,
    ended: bool,
}

impl<R: BufRead> Reader<R> {
    /// Starts at a header. `input` is not compressed: see [`decompress`](crate::decompress).
    pub fn new(input: R, limits: &Limits) -> Reader<R> {
        Reader { input, limits: limits.clone(), entries: 0, remaining: 0, padding: 0, ended: false }
    }

    /// The next entry, `None` at the end. What was left of the last one is skipped.
    ///
    /// # Errors
    /// [`Error::Archive`] for what is no tar or ends early, [`Error::TooLarge`] beyond a limit; errors of our own that
    /// `input` gives come out as they are.
    pub fn next_entry(&mut self) -> Result<Option<Entry>> {
        let mut extended = Extended::default();
        let (mut long_path, mut long_link) = (None, None);
        loop {
            self.skip_data()?;
            let Some(header) = self.header()? else { return Ok(None) };
            let size = unless_blank(&header.as_old().size, || header.entry_size());
            let size = size.map_err(Error::input)?;
            match header.entry_type() {
                EntryType::XHeader => {
                    let data = self.special(size)?;
                    extended.parse(&data, self.limits.pieces)?;
                }
                EntryType::GNULongName => long_path = Some(self.long_name(size)?),
                EntryType::GNULongLink => long_link = Some(self.long_name(size)?),
                // Defaults for all entries (git writes a comment so) and the volume's label make nothing.
                EntryType::XGlobalHeader => drop(self.special(size)?),
                other if other.as_byte() == b'V' => self.expect_data(size),
                _ => return self.entry(&header, extended, long_path, long_link).map(Some),
            }
        }
    }

    /// The input, between two reads of it.
    pub(crate) fn input_mut(&mut self) -> &mut R {
        &mut self.input
    }

    /// The input behind the archive's end.
    pub fn into_inner(self) -> R {
        self.input
    }

    fn entry(
        &mut self,
        header: &Header,
        extended: Extended,
        long_path: Option<Vec<u8>>,
        long_link: Option<Vec<u8>>,
    ) -> Result<Entry> {
        let path = (extended.sparse.name.clone())
            .or(extended.path)
            .or(long_path)
            .unwrap_or_else(|| header.path_bytes().into_owned());
        let header_link = || header.link_name_bytes().map(std::borrow::Cow::into_owned);
        let link = extended.link.or(long_link).or_else(header_link).unwrap_or_default();
        if path.len() > self.limits.path || link.len() > self.limits.path {
            let limit = format!("{} bytes", self.limits.path);
            return Err(Error::TooLarge { what: "name in the archive", limit });
        }
        let kind = kind(header, &path)?;
        let mut entry = Entry::new(path, kind);
        let bad = |e| Error::archive(format!("bad header of `{}`: {e}", show(&entry.path)));
        let old = header.as_old();
        let mode = unless_blank(&old.mode, || header.mode().map(u64::from)).map_err(bad)?;
        entry.mode = u32::try_from(mode & 0o7777).unwrap_or_default();
        let uid = || unless_blank(&old.uid, || header.uid());
        entry.uid = id(extended.uid, uid).map_err(bad)?;
        let gid = || unless_blank(&old.gid, || header.gid());
        entry.gid = id(extended.gid, gid).map_err(bad)?;
        entry.mtime = match extended.mtime {
            Some(mtime) => mtime,
            // A time before 1970 is written as a negative binary number, which the header code gives as a huge one.
            None => {
                let mtime = unless_blank(&old.mtime, || header.mtime()).map_err(bad)?;
                (mtime.cast_signed(), 0)
            }
        };
        if matches!(kind, Kind::Character | Kind::Block) {
            let major = header.device_major().map_err(bad)?.unwrap_or(0);
            entry.device = (major, header.device_minor().map_err(bad)?.unwrap_or(0));
        }
        let stored = match extended.size {
            Some(size) => size,
            None => unless_blank(&old.size, || header.entry_size()).map_err(bad)?,
        };
        entry.xattrs = extended.xattrs;
        // Old tars give links a size, without data.
        let has_data = !matches!(kind, Kind::HardLink | Kind::Symlink) || extended.size.is_some();
        self.expect_data(if has_data { stored } else { 0 });
        if matches!(kind, Kind::HardLink | Kind::Symlink) {
            entry.link = link;
        }
        if kind == Kind::File {
            entry.size = stored;
            self.set_pieces(&mut entry, header, &extended.sparse, stored)?;
            if entry.size > self.limits.bytes {
                let limit = format!("{} bytes", self.limits.bytes);
                return Err(Error::TooLarge { what: "file in the archive", limit });
            }
        }
        Ok(entry)
    }

    fn set_pieces(
        &mut self,
        entry: &mut Entry,
        header: &Header,
        pax: &super::pax::Sparse,
        stored: u64,
    ) -> Result<()> {
        let max = self.limits.pieces;
        let (pieces, size) = if header.entry_type() == EntryType::GNUSparse {
            let gnu = header.as_gnu().ok_or_else(|| Error::archive("sparse file in no GNU tar"))?;
            let size = gnu.real_size().map_err(Error::input)?;
            (sparse::old_map(gnu, &mut self.input, max)?, size)
        } else if pax.is_sparse() {
            let missing = || Error::archive("sparse file of unknown size");
            let size = pax.real_size.ok_or_else(missing)?;
            if pax.map_in_data {
                let (pieces, length) = sparse::map_in_data(self, max)?;
                // The map was data of the entry until now.
                entry.pieces = Some(sparse::check(pieces, size, stored.saturating_sub(length))?);
                entry.size = size;
                return Ok(());
            }
            (pax.map.clone(), size)
        } else {
            return Ok(());
        };
        entry.pieces = Some(sparse::check(pieces, size, stored)?);
        entry.size = size;
        Ok(())
    }

    /// The next header block; `None` at the end mark or at the end of the input.
    fn header(&mut self) -> Result<Option<Header>> {
        if self.ended {
            return Ok(None);
        }
        let mut header = Header::new_old();
        let block = header.as_mut_bytes();
        let length = read_block(&mut self.input, block).map_err(Error::input)?;
        if length == 0 || (length == BLOCK && block.iter().all(|byte| *byte == 0)) {
            // Some writers leave the second block of zeros out, some both: a missing end is not looked for.
            self.ended = true;
            return Ok(None);
        }
        if length < BLOCK {
            return Err(Error::archive("it ends within a header"));
        }
        if !checksum_fits(&header) {
            return Err(Error::archive("no tar header where one must be"));
        }
        self.entries += 1;
        if self.entries > self.limits.entries {
            let limit = format!("{} entries", self.limits.entries);
            return Err(Error::TooLarge { what: "archive", limit });
        }
        Ok(Some(header))
    }

    fn expect_data(&mut self, size: u64) {
        self.remaining = size;
        self.padding = padding(size);
    }

    fn skip_data(&mut self) -> Result<()> {
        let mut skip = |length| {
            io::copy(&mut self.input.by_ref().take(length), &mut io::sink()).map_err(Error::input)
        };
        if skip(self.remaining)? < self.remaining {
            return Err(Error::archive("it ends within an entry"));
        }
        // `umoci insert` leaves out the padding of the last entry; every reader accepts that.
        skip(self.padding)?;
        (self.remaining, self.padding) = (0, 0);
        Ok(())
    }

    /// The data of an entry that describes the next one.
    fn special(&mut self, size: u64) -> Result<Vec<u8>> {
        let max = self.limits.header;
        if usize::try_from(size).unwrap_or(usize::MAX) > max {
            let limit = format!("{max} bytes");
            return Err(Error::TooLarge { what: "extended header in the archive", limit });
        }
        self.expect_data(size);
        let mut data = Vec::new();
        self.read_to_end(&mut data).map_err(Error::input)?;
        Ok(data)
    }

    fn long_name(&mut self, size: u64) -> Result<Vec<u8>> {
        let mut name = self.special(size)?;
        let end = name.iter().position(|byte| *byte == 0).unwrap_or(name.len());
        name.truncate(end);
        Ok(name)
    }
}

impl<R: BufRead> BufRead for Reader<R> {
    fn fill_buf(&mut self) -> io::Result<&[u8]> {
        if self.remaining == 0 {
            return Ok(&[]);
        }
        let available = self.input.fill_buf()?;
        if available.is_empty() {
            return Err(Error::archive("it ends within an entry").into());
        }
        let wanted = usize::try_from(self.remaining).unwrap_or(usize::MAX);
        Ok(available.get(..wanted.min(available.len())).unwrap_or_default())
    }

    fn consume(&mut self, amount: usize) {
        self.input.consume(amount);
        let amount = u64::try_from(amount).unwrap_or(u64::MAX);
        self.remaining = self.remaining.saturating_sub(amount);
    }
}

impl<R: BufRead> Read for Reader<R> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let length = self.fill_buf()?.read(buffer)?;
        self.consume(length);
        Ok(length)
    }
}

fn kind(header: &Header, path: &[u8]) -> Result<Kind> {
    match header.entry_type() {
        // Before POSIX, a directory was a file whose name ends in a slash.
        EntryType::Regular if path.ends_with(b"/") => Ok(Kind::Directory),
        EntryType::Regular | EntryType::Continuous | EntryType::GNUSparse => Ok(Kind::File),
        EntryType::Link => Ok(Kind::HardLink),
        EntryType::Symlink => Ok(Kind::Symlink),
        EntryType::Char => Ok(Kind::Character),
        EntryType::Block => Ok(Kind::Block),
        EntryType::Directory => Ok(Kind::Directory),
        EntryType::Fifo => Ok(Kind::Fifo),
        other if other.as_byte() == b'D' => Ok(Kind::Directory),
        other => Err(Error::archive(format!(
            "`{}` is of the unknown type {:?}",
            show(path),
            char::from(other.as_byte())
        ))),
    }
}

/// Some writers leave a number out that they take for unimportant.
fn unless_blank(field: &[u8], parse: impl FnOnce() -> io::Result<u64>) -> io::Result<u64> {
    if field.iter().all(|byte| matches!(byte, 0 | b' ')) { Ok(0) } else { parse() }
}

fn id(pax: Option<u64>, header: impl FnOnce() -> io::Result<u64>) -> io::Result<u32> {
    let id = match pax {
        Some(id) => id,
        None => header()?,
    };
    u32::try_from(id).map_err(|_| io::Error::other(format!("owner {id} is out of range")))
}

/// The sum of all bytes, the checksum itself counted as spaces; some old tars took bytes as signed.
fn checksum_fits(header: &Header) -> bool {
    let Ok(stored) = header.cksum() else { return false };
    let bytes = header.as_bytes().iter().enumerate();
    let (mut unsigned, mut signed) = (0u32, 0i32);
    for (at, byte) in bytes {
        let byte = if (148..156).contains(&at) { b' ' } else { *byte };
        unsigned += u32::from(byte);
        signed += i32::from(byte.cast_signed());
    }
    stored == unsigned || i64::from(stored) == i64::from(signed)
}

fn read_block(input: &mut impl Read, block: &mut [u8; BLOCK]) -> io::Result<usize> {
    let mut length = 0;
    while let Some(rest) = block.get_mut(length..).filter(|rest| !rest.is_empty()) {
        match input.read(rest) {
            Ok(0) => break,
            Ok(more) => length += more,
            Err(e) if e.kind() == io::ErrorKind::Interrupted => {}
            Err(e) => return Err(e),
        }
    }
    Ok(length)
}

fn show(path: &[u8]) -> String {
    String::from_utf8_lossy(path).into_owned()
}
