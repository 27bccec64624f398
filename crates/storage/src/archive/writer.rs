//! Writing a tar: ustar headers, and PAX records for what does not fit into one.

use std::io::{self, Read, Write};

use tar::{EntryType, Header};

use super::{Entry, Kind, padding, pax};

/// Largest number of seven and of eleven octal digits.
const MAX_ID: u32 = 0o7_777_777;
const MAX_SIZE: u64 = 0o77_777_777_777;

/// Writes entries to `W`. [`Writer::finish`] must be called, or the archive has no end.
#[derive(Debug)]
pub struct Writer<W> {
    out: W,
}

impl<W: Write> Writer<W> {
    /// A new archive.
    pub fn new(out: W) -> Writer<W> {
        Writer { out }
    }

    /// Adds an entry. Of `data`, `entry.size` bytes are taken for a regular file; a file that has become shorter
    /// meanwhile is filled up with zeros, as the header is out already. `entry.pieces` is ignored: holes are written.
    ///
    /// # Errors
    /// That of `data` or of the output.
    pub fn append(&mut self, entry: &Entry, data: impl Read) -> io::Result<()> {
        let size = if entry.kind == Kind::File { entry.size } else { 0 };
        let mut records = Vec::new();
        let header = header(entry, size, &mut records);
        if !records.is_empty() {
            self.extended(&records, entry.mtime.0)?;
        }
        self.out.write_all(header.as_bytes())?;
        let copied = io::copy(&mut data.take(size), &mut self.out)?;
        self.zeros(size - copied)?;
        self.zeros(padding(size))
    }

    /// Writes the end mark and gives the output back, flushed.
    ///
    /// # Errors
    /// That of the output.
    pub fn finish(mut self) -> io::Result<W> {
        self.zeros(1024)?;
        self.out.flush()?;
        Ok(self.out)
    }

    fn extended(&mut self, records: &[u8], mtime: i64) -> io::Result<()> {
        let size = u64::try_from(records.len()).unwrap_or(u64::MAX);
        let mut header = Header::new_ustar();
        copy_name(&mut header.as_old_mut().name, b"PaxHeaders");
        header.set_entry_type(EntryType::XHeader);
        header.set_mode(0o644);
        header.set_mtime(u64::try_from(mtime).unwrap_or(0).min(MAX_SIZE));
        header.set_size(size);
        header.set_cksum();
        self.out.write_all(header.as_bytes())?;
        self.out.write_all(records)?;
        self.zeros(padding(size))
    }

    fn zeros(&mut self, length: u64) -> io::Result<()> {
        io::copy(&mut io::repeat(0).take(length), &mut self.out).map(drop)
    }
}

fn header(entry: &Entry, size: u64, records: &mut Vec<u8>) -> Header {
    let mut record = |key: &str, value: &[u8]| pax::push_record(records, key.as_bytes(), value);
    let mut header = Header::new_ustar();
    let (mut path, link) = (entry.path.clone(), &entry.link);
    if entry.kind == Kind::Directory && !path.ends_with(b"/") {
        path.push(b'/');
    }
    if !plain(&path) {
        record("path", &path);
    }
    if !plain(link) {
        record("linkpath", link);
    }
    copy_name(&mut header.as_old_mut().name, &path);
    copy_name(&mut header.as_old_mut().linkname, link);
    if entry.uid > MAX_ID {
        record("uid", entry.uid.to_string().as_bytes());
    }
    if entry.gid > MAX_ID {
        record("gid", entry.gid.to_string().as_bytes());
    }
    if size > MAX_SIZE {
        record("size", size.to_string().as_bytes());
    }
    let (seconds, nanos) = entry.mtime;
    let plain_time = u64::try_from(seconds).ok().filter(|time| *time <= MAX_SIZE && nanos == 0);
    if plain_time.is_none() {
        record("mtime", time(seconds, nanos).as_bytes());
    }
    for (name, value) in &entry.xattrs {
        pax::push_record(records, &pax::xattr_key(name), value);
    }
    header.set_entry_type(match entry.kind {
        Kind::File => EntryType::Regular,
        Kind::HardLink => EntryType::Link,
        Kind::Symlink => EntryType::Symlink,
        Kind::Directory => EntryType::Directory,
        Kind::Character => EntryType::Char,
        Kind::Block => EntryType::Block,
        Kind::Fifo => EntryType::Fifo,
    });
    header.set_mode(entry.mode);
    header.set_uid(entry.uid.min(MAX_ID).into());
    header.set_gid(entry.gid.min(MAX_ID).into());
    header.set_size(size.min(MAX_SIZE));
    header.set_mtime(plain_time.unwrap_or(0));
    if matches!(entry.kind, Kind::Character | Kind::Block)
        && let Some(ustar) = header.as_ustar_mut()
    {
        ustar.set_device_major(entry.device.0);
        ustar.set_device_minor(entry.device.1);
    }
    header.set_cksum();
    header
}

/// Fits a header's field, in a form that every reader takes.
fn plain(name: &[u8]) -> bool {
    name.len() <= 100 && name.is_ascii()
}

fn copy_name(field: &mut [u8; 100], name: &[u8]) {
    let length = name.len().min(field.len());
    if let (Some(field), Some(name)) = (field.get_mut(..length), name.get(..length)) {
        field.copy_from_slice(name);
    }
}

/// The inverse of what [`pax`] reads: before 1970 the fraction counts away from zero.
fn time(seconds: i64, nanos: u32) -> String {
    if nanos == 0 {
        return seconds.to_string();
    }
    if seconds >= 0 {
        return format!("{seconds}.{nanos:09}");
    }
    format!("-{}.{:09}", (seconds + 1).unsigned_abs(), 1_000_000_000 - nanos)
}
