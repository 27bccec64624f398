//! One log file: records are written in batches, and the file is rotated, replaced or closed when it is full.
//!
//! INVARIANT: bytes that the kernel did not take are counted, never silently gone; a record that was written in part is ended
//! by a newline before the next one. A file of that path exists at all times but while a rotation renames.

use std::fs::{File, OpenOptions};
use std::io;
use std::os::unix::fs::{MetadataExt as _, OpenOptionsExt as _};
use std::path::{Path, PathBuf};

use dhow_shim::attach::{LogPlace, Stream};
use dhow_shim::log::{Format, frame, json_file, k8s_file};
use dhow_sys::pipe;
use jiff::Timestamp;
use jiff::tz::Offset;

use super::losses::Losses;
use crate::options::LogLimits;

/// What a log file is created with.
const MODE: u32 = 0o640;

#[derive(Debug)]
pub(super) struct LogFile {
    path: PathBuf,
    format: Format,
    limits: LogLimits,
    file: File,
    inode: u64,
    /// Bytes in the file.
    size: u64,
    /// Bytes ever logged, and what was there at the start.
    total: u64,
    /// The file does not end with a newline: a write failed in the middle of a record.
    torn: bool,
    /// Records that could not be written.
    lost: Losses,
    /// The beginning of a character whose end was not read yet (JSON holds characters), of stdout and of stderr.
    held: [Vec<u8>; 2],
}

impl LogFile {
    pub(super) fn open(path: PathBuf, format: Format, limits: LogLimits) -> io::Result<Self> {
        let file = open(&path)?;
        let (inode, size) = identity(&file)?;
        Ok(LogFile {
            path,
            format,
            limits,
            file,
            inode,
            size,
            total: size,
            torn: false,
            lost: Losses::default(),
            held: Default::default(),
        })
    }

    /// Where the next chunk will be, if this file has all of the output as it was written and will keep it.
    pub(super) fn place(&self) -> Option<LogPlace> {
        let is_whole = self.format == Format::K8sFile
            && self.lost.bytes == 0
            && self.limits.max_size.is_none()
            && self.limits.max_total.is_none();
        is_whole.then_some(LogPlace { inode: self.inode, offset: self.size, skip: [0; 2] })
    }

    /// `batch` is where records are put together.
    pub(super) fn write(
        &mut self,
        now: Timestamp,
        offset: Offset,
        stream: Stream,
        chunk: &[u8],
        batch: &mut [u8],
    ) {
        match self.format {
            Format::K8sFile => self.write_k8s(now, offset, stream, chunk, batch),
            Format::JsonFile => self.write_json(now, stream, chunk),
        }
    }

    fn write_k8s(
        &mut self,
        now: Timestamp,
        offset: Offset,
        stream: Stream,
        chunk: &[u8],
        batch: &mut [u8],
    ) {
        const PREFIX: usize = k8s_file::PREFIX + 2;
        let stamp = k8s_file::prefix(now, offset, stream);
        let [mut full, mut partial] = [[0; PREFIX]; 2];
        full[..k8s_file::PREFIX].copy_from_slice(&stamp);
        full[k8s_file::PREFIX..].copy_from_slice(k8s_file::FULL);
        partial[..k8s_file::PREFIX].copy_from_slice(&stamp);
        partial[k8s_file::PREFIX..].copy_from_slice(k8s_file::PARTIAL);

        // One write of many records: a slice for each part of each costs more than to copy them.
        let mut used = 0;
        for piece in frame::pieces(chunk, k8s_file::LONGEST) {
            let length = PREFIX + piece.content.len() + 1;
            match self.room(length as u64, used as u64) {
                Room::Yes => {}
                Room::AfterRotation => {
                    self.flush(&batch[..used]);
                    used = 0;
                    self.start_anew();
                }
                Room::Never => break,
            }
            if used + length > batch.len() {
                self.flush(&batch[..used]);
                used = 0;
            }
            let record = &mut batch[used..used + length];
            record[..PREFIX].copy_from_slice(if piece.ends_line { &full } else { &partial });
            record[PREFIX..length - 1].copy_from_slice(piece.content);
            record[length - 1] = b'\n';
            used += length;
        }
        self.flush(&batch[..used]);
    }

    fn write_json(&mut self, now: Timestamp, stream: Stream, chunk: &[u8]) {
        let mut joined = std::mem::take(&mut self.held[usize::from(stream == Stream::Stderr)]);
        let chunk = if joined.is_empty() {
            chunk
        } else {
            joined.extend_from_slice(chunk);
            &joined
        };
        let whole = json_file::whole_characters(chunk);
        let mut record = Vec::new();
        let mut rest = &chunk[..whole];
        while let Some(piece) = frame::pieces(rest, json_file::LONGEST).next() {
            // Where a line is cut, no character is.
            let length = if piece.ends_line {
                piece.content.len()
            } else {
                json_file::whole_characters(piece.content)
            };
            let content = &piece.content[..length];
            rest = &rest[length + usize::from(piece.ends_line)..];
            record.clear();
            json_file::encode(&mut record, now, stream, content, piece.ends_line);
            self.write_record(&record);
        }
        self.held[usize::from(stream == Stream::Stderr)] = chunk[whole..].to_vec();
    }

    fn write_record(&mut self, record: &[u8]) {
        match self.room(record.len() as u64, 0) {
            Room::Yes => {}
            Room::AfterRotation => self.start_anew(),
            Room::Never => return,
        }
        self.flush(record);
    }

    /// Whether a record of `length` bytes fits behind those in the file and `pending` ones.
    fn room(&self, length: u64, pending: u64) -> Room {
        // As conmon: the record that reaches the limit is the last one.
        if self.limits.max_total.is_some_and(|most| self.total + pending >= most) {
            return Room::Never;
        }
        match self.limits.max_size {
            // A record larger than a whole file is written to an empty one: nothing would ever be logged otherwise.
            Some(most) if self.size + pending > 0 && self.size + pending + length > most => {
                Room::AfterRotation
            }
            _ => Room::Yes,
        }
    }

    /// Writes complete records.
    fn flush(&mut self, mut records: &[u8]) {
        if records.is_empty() {
            return;
        }
        if self.torn && pipe::write(&self.file, b"\n").is_ok_and(|written| written == 1) {
            self.torn = false;
            self.count(1);
        }
        while !records.is_empty() {
            match pipe::write(&self.file, records) {
                Ok(written) if written > 0 => {
                    self.count(written as u64);
                    self.torn = records[written - 1] != b'\n';
                    records = &records[written..];
                }
                failed => {
                    let why = failed.err().unwrap_or(io::ErrorKind::WriteZero.into());
                    self.lost.add(records.len() as u64, why);
                    return;
                }
            }
        }
        self.lost.over();
    }

    fn count(&mut self, bytes: u64) {
        self.size += bytes;
        self.total += bytes;
    }

    /// The file is full: it is kept as `.1`, or thrown away.
    fn start_anew(&mut self) {
        let replaced = match self.limits.rotate {
            Some(most) => rotate(&self.path, most),
            None => replace(&self.path),
        };
        // Where it fails, the old file goes on: a log that is too long is better than none. It is tried again when as
        // much has been written once more.
        if let Ok(file) = replaced {
            self.inode = identity(&file).map_or(0, |(inode, _)| inode);
            self.file = file;
            self.torn = false;
        }
        self.size = 0;
    }

    /// Somebody moved the file away: goes on in a new one. If it is still there, nothing changes.
    pub(super) fn reopen(&mut self) {
        let same = match (self.path.metadata(), self.file.metadata()) {
            (Ok(named), Ok(ours)) => (named.dev(), named.ino()) == (ours.dev(), ours.ino()),
            _ => false,
        };
        if same {
            // As conmon: who has the log rotated may ask for it.
            if self.limits.rotate.is_some() && self.size > 0 {
                self.start_anew();
            }
            return;
        }
        let file = if self.path.exists() { open(&self.path) } else { replace(&self.path) };
        if let Ok(file) = file {
            (self.inode, self.size) = identity(&file).unwrap_or_default();
            self.file = file;
            self.torn = false;
        }
    }

    /// See [`Losses::news`].
    pub(super) fn news(&mut self) -> Option<String> {
        self.lost.news(self.path.display())
    }

    /// Bytes that it did not take.
    pub(super) fn lost(&self) -> u64 {
        self.lost.bytes
    }

    pub(super) fn finish(&mut self, now: Timestamp, sync: bool) {
        for stream in [Stream::Stdout, Stream::Stderr] {
            let rest = std::mem::take(&mut self.held[usize::from(stream == Stream::Stderr)]);
            if !rest.is_empty() {
                let mut record = Vec::new();
                json_file::encode(&mut record, now, stream, &rest, false);
                self.write_record(&record);
            }
        }
        if sync {
            // A disk that fails now was not asked to keep the container from ending.
            self.file.sync_data().ok();
        }
    }
}

enum Room {
    Yes,
    AfterRotation,
    Never,
}

/// The inode, and how many bytes are in the file.
fn identity(file: &File) -> io::Result<(u64, u64)> {
    let found = file.metadata()?;
    Ok((found.ino(), found.len()))
}

fn open(path: &Path) -> io::Result<File> {
    OpenOptions::new().append(true).create(true).mode(MODE).open(path)
}

/// An empty file takes the place of the one at `path`, at once.
fn replace(path: &Path) -> io::Result<File> {
    let temporary = with_suffix(path, "tmp");
    remove(&temporary)?;
    let file = OpenOptions::new().append(true).create_new(true).mode(MODE).open(&temporary)?;
    std::fs::rename(&temporary, path)?;
    Ok(file)
}

/// `.N-1` becomes `.N`, …, the file itself `.1`, and a new one takes its place.
fn rotate(path: &Path, most: u32) -> io::Result<File> {
    // ORDER: the new file is there before an old one is touched: where none can be made, nothing changes.
    let new = with_suffix(path, "new");
    remove(&new)?;
    let file = OpenOptions::new().append(true).create_new(true).mode(MODE).open(&new)?;
    for number in (1..most).rev() {
        match std::fs::rename(with_suffix(path, number), with_suffix(path, number + 1)) {
            Err(e) if e.kind() != io::ErrorKind::NotFound => return Err(e),
            _ => {}
        }
    }
    // CRASH: between these two, the log is `.1` only; whoever opens it next makes a new one.
    std::fs::rename(path, with_suffix(path, 1))?;
    std::fs::rename(new, path)?;
    Ok(file)
}

fn remove(path: &Path) -> io::Result<()> {
    match std::fs::remove_file(path) {
        Err(e) if e.kind() != io::ErrorKind::NotFound => Err(e),
        _ => Ok(()),
    }
}

fn with_suffix(path: &Path, suffix: impl std::fmt::Display) -> PathBuf {
    let mut name = path.as_os_str().to_os_string();
    name.push(format!(".{suffix}"));
    name.into()
}

#[cfg(test)]
mod tests;
