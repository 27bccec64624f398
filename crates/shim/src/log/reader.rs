//! Reads a log from its oldest rotated file to its newest, joins the parts of lines, and goes on while the container lives.
//!
//! INVARIANT: bounded memory, whatever is in the files. A line that is no record is an error once and stops nothing.

use std::collections::VecDeque;
use std::fs::File;
use std::io::{self, Read as _, Seek as _, SeekFrom};
use std::os::fd::BorrowedFd;
use std::os::unix::fs::MetadataExt as _;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use super::follow::{Ending, Follower};
use super::{Error, Format, Record, tail};
use crate::attach::Stream;

/// What of a log to read.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct ReadOptions {
    /// The last so many lines only.
    pub tail: Option<usize>,
    /// Nothing older, in nanoseconds since the epoch.
    pub since: Option<i64>,
    /// Nothing newer; reading ends at the first line that is.
    pub until: Option<i64>,
}

/// A line of output, or a part of one.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct LogLine {
    /// When its first part was read from the container, in nanoseconds since the epoch.
    pub at: i64,
    /// From where.
    pub stream: Stream,
    /// Its bytes, without the newline.
    pub bytes: Vec<u8>,
    /// No newline followed: the stream's next `LogLine` goes on with this line, or the output ended without one.
    pub partial: bool,
}

/// Whether [`LogReader::advance`] came further.
enum Step {
    Done,
    /// There is nothing to read now.
    Nothing,
}

/// What [`LogReader::next_within`] came back with.
#[derive(Debug)]
pub enum Next {
    /// A line.
    Line(LogLine),
    /// Nothing more will come.
    End,
    /// Nothing came in time.
    TimedOut,
}

/// A log being read. As an iterator it waits (if it follows) as long as the container lives.
#[derive(Debug)]
pub struct LogReader {
    path: PathBuf,
    format: Format,
    since: i64,
    until: i64,
    /// Lines at the beginning that a search for the last lines could not step over.
    skip: usize,
    files: VecDeque<Source>,
    parts: Parts,
    ready: VecDeque<Result<LogLine, Error>>,
    follower: Option<Follower>,
    ended: bool,
}

/// A line is given out in parts of about this size.
const PART: usize = 64 * 1024;
/// No record is longer: 16 KiB of text, each byte as six in JSON.
pub(super) const LONGEST_RECORD: usize = 1024 * 1024;

impl LogReader {
    /// Opens the log at `path` with what was rotated away from it (`.1`, `.2` …).
    ///
    /// # Errors
    /// [`Error::Read`]. A log that does not exist yet is empty.
    pub fn open(path: &Path, format: Format, options: ReadOptions) -> Result<Self, Error> {
        let read = |source| Error::Read { path: path.to_path_buf(), source };
        let mut files = open_rotated(path).map_err(read)?;
        let mut skip = 0;
        if let Some(lines) = options.tail {
            let start = tail::find(&files, format, lines).map_err(read)?;
            files.drain(..start.file);
            skip = start.skip;
            if let Some(first) = files.front_mut() {
                first.seek(start.offset).map_err(read)?;
            }
        }
        Ok(LogReader {
            path: path.to_path_buf(),
            format,
            since: options.since.unwrap_or(i64::MIN),
            until: options.until.unwrap_or(i64::MAX),
            skip,
            files,
            parts: Parts::default(),
            ready: VecDeque::new(),
            follower: None,
            ended: false,
        })
    }

    /// Opens the log at `path` in the middle: at `offset`, where a record begins, of the file with this inode, which
    /// meanwhile may have been renamed to `.1`, `.2` ….
    ///
    /// # Errors
    /// [`Error::Read`], with `NotFound` where there is no such file any more.
    pub fn open_at(path: &Path, format: Format, inode: u64, offset: u64) -> Result<Self, Error> {
        let read = |source| Error::Read { path: path.to_path_buf(), source };
        let mut reader = LogReader::open(path, format, ReadOptions::default())?;
        let inodes = reader.files.iter().map(|file| file.file.metadata().map(|found| found.ino()));
        let inodes: Vec<u64> = inodes.collect::<io::Result<_>>().map_err(read)?;
        let at = inodes.iter().position(|found| *found == inode);
        reader.files.drain(..at.ok_or_else(|| read(io::ErrorKind::NotFound.into()))?);
        if let Some(first) = reader.files.front_mut() {
            first.seek(offset).map_err(read)?;
        }
        Ok(reader)
    }

    /// What becomes readable when [`LogReader::next_within`] may have something new; nothing before `follow`.
    pub(super) fn watched(&self) -> Vec<BorrowedFd<'_>> {
        self.follower.as_ref().map(Follower::watched).unwrap_or_default()
    }

    /// From now on the end of the log is not the end: more is waited for until `ending` says that no more will come.
    ///
    /// # Errors
    /// [`Error::Watch`].
    pub fn follow(&mut self, ending: Ending) -> Result<(), Error> {
        let directory =
            self.path.parent().filter(|p| !p.as_os_str().is_empty()).unwrap_or(Path::new("."));
        let watch = |source| Error::Watch { path: self.path.clone(), source };
        let mut follower = Follower::new(ending, directory).map_err(watch)?;
        if let Some(newest) = self.files.back() {
            follower.watch_file(&newest.file).map_err(watch)?;
        }
        self.follower = Some(follower);
        Ok(())
    }

    /// The next line, waiting for it at most `timeout` (`None`: as long as it takes).
    ///
    /// # Errors
    /// [`Error::Corrupt`] for a line that is no record, after which one may go on; [`Error::Read`], [`Error::Watch`].
    pub fn next_within(&mut self, timeout: Option<Duration>) -> Result<Next, Error> {
        let deadline = timeout.and_then(|t| Instant::now().checked_add(t));
        loop {
            if let Some(line) = self.ready.pop_front() {
                return line.map(Next::Line);
            }
            if self.ended {
                return Ok(Next::End);
            }
            match self.advance() {
                Ok(Step::Done) => continue,
                Ok(Step::Nothing) => {}
                Err(error) => {
                    self.ended = true;
                    return Err(error);
                }
            }
            let Some(follower) =
                self.follower.as_ref().filter(|_| self.ready.is_empty() && !self.ended)
            else {
                continue;
            };
            let left = deadline.map(|d| d.saturating_duration_since(Instant::now()));
            let woken = follower.wait(left);
            if !woken.map_err(|source| Error::Watch { path: self.path.clone(), source })? {
                return Ok(Next::TimedOut);
            }
        }
    }

    /// Reads one record, or does what has to be done at the end of a file.
    fn advance(&mut self) -> Result<Step, Error> {
        // ORDER: is it over, was the file rotated, is there more in it. Asked the other way round, what was written in
        // between would be missed. So the first time that its end is met decides nothing.
        let met_before = self.files.back().is_none_or(|newest| newest.at_end);
        let over = self.follower.as_ref().is_none_or(Follower::ended);
        let moved = self.newest_was_moved();
        if self.read_record()? {
            return Ok(Step::Done);
        }
        if self.files.len() > 1 {
            self.finish_file();
            self.files.pop_front();
            return Ok(Step::Done);
        }
        if !met_before {
            return Ok(Step::Done);
        }
        let next = if moved || self.files.is_empty() { self.file_after() } else { Ok(None) };
        match next.map_err(|source| Error::Read { path: self.path.clone(), source })? {
            Some(next) => {
                self.go_on_in(next)?;
                Ok(Step::Done)
            }
            None => {
                self.wait_or_end(over);
                Ok(Step::Nothing)
            }
        }
    }

    /// Takes the next complete line of the oldest file; `false` if there is none now.
    fn read_record(&mut self) -> Result<bool, Error> {
        let Some(file) = self.files.front_mut() else { return Ok(false) };
        let line = match file.next_line() {
            Ok(Some(line)) => line,
            Ok(None) => return Ok(false),
            Err(source) => return Err(Error::Read { path: file.path.clone(), source }),
        };
        let offset = line.offset;
        match line.bytes.and_then(|bytes| self.format.parse(bytes)) {
            Some(record) => {
                let line = self.parts.push(&record);
                self.take(line);
            }
            None => {
                let path = file.path.clone();
                self.ready.push_back(Err(Error::Corrupt { path, offset }));
            }
        }
        Ok(true)
    }

    fn newest_was_moved(&self) -> bool {
        let newest = self.files.back().filter(|_| self.files.len() == 1 && self.follower.is_some());
        newest.is_some_and(|newest| newest.at_end && was_moved(&self.path, newest))
    }

    fn go_on_in(&mut self, next: Source) -> Result<(), Error> {
        if let Some(follower) = &mut self.follower {
            follower
                .watch_file(&next.file)
                .map_err(|source| Error::Watch { path: self.path.clone(), source })?;
        }
        self.finish_file();
        self.files.clear();
        self.files.push_back(next);
        Ok(())
    }

    /// The newest file is read to its end (or there is none).
    fn wait_or_end(&mut self, over: bool) {
        if over {
            self.finish_file();
        }
        for line in self.parts.take_all() {
            self.take_line(line, true);
        }
        self.ended |= over;
    }

    /// What stands behind the last newline of a file that will not grow any more.
    fn finish_file(&mut self) {
        let Some(file) = self.files.front_mut() else { return };
        let Some((offset, rest)) = file.take_rest() else { return };
        match self.format.parse(&rest) {
            Some(record) => {
                let line = self.parts.push(&Record { ends_line: false, ..record });
                self.take(line);
            }
            None => {
                let path = file.path.clone();
                self.ready.push_back(Err(Error::Corrupt { path, offset }));
            }
        }
    }

    /// The file that came after the one which was read to its end and then renamed.
    fn file_after(&self) -> io::Result<Option<Source>> {
        let Some(old) = self.files.back() else { return Source::open(&self.path) };
        let mut newer = self.path.clone();
        let old = old.file.metadata()?;
        for number in 1.. {
            let rotated = rotated(&self.path, number);
            let Ok(found) = rotated.metadata() else { break };
            // Ours: the one before it in this search is next. Not ours, and older: of an earlier life.
            if (found.dev(), found.ino()) == (old.dev(), old.ino())
                || (found.mtime(), found.mtime_nsec()) < (old.mtime(), old.mtime_nsec())
            {
                break;
            }
            newer = rotated;
        }
        Source::open(&newer)
    }

    /// A line, or a part of one.
    fn take(&mut self, line: Option<LogLine>) {
        if let Some(line) = line {
            let ends = !line.partial;
            self.take_line(line, ends);
        }
    }

    fn take_line(&mut self, line: LogLine, ends: bool) {
        if self.skip > 0 {
            self.skip -= usize::from(ends);
        } else if line.at > self.until {
            self.ended = true;
        } else if line.at >= self.since && !self.ended {
            self.ready.push_back(Ok(line));
        }
    }
}

impl Iterator for LogReader {
    type Item = Result<LogLine, Error>;

    fn next(&mut self) -> Option<Self::Item> {
        match self.next_within(None) {
            Ok(Next::Line(line)) => Some(Ok(line)),
            // TimedOut does not come without a timeout.
            Ok(Next::End | Next::TimedOut) => None,
            Err(error) => Some(Err(error)),
        }
    }
}

/// Whether the path names another file by now. While it names none, a rotation is under way.
fn was_moved(path: &Path, file: &Source) -> bool {
    match (path.metadata(), file.file.metadata()) {
        (Ok(named), Ok(open)) => (named.dev(), named.ino()) != (open.dev(), open.ino()),
        _ => false,
    }
}

pub(super) fn rotated(path: &Path, number: u32) -> PathBuf {
    let mut name = path.as_os_str().to_os_string();
    name.push(format!(".{number}"));
    name.into()
}

/// All files of a log, oldest first, none twice although they may be renamed meanwhile.
fn open_rotated(path: &Path) -> io::Result<VecDeque<Source>> {
    loop {
        let Some(newest) = Source::open(path)? else { return Ok(VecDeque::new()) };
        let mut files = VecDeque::from([newest]);
        for number in 1.. {
            match Source::open(&rotated(path, number))? {
                Some(file) => files.push_front(file),
                None => break,
            }
        }
        // Renamed in between: what was just opened as `.1` is the file opened before.
        if files.back().is_some_and(|newest| !was_moved(path, newest)) {
            return Ok(files);
        }
    }
}

/// The beginnings of lines whose ends are not read yet.
#[derive(Debug, Default)]
struct Parts {
    lines: [Option<LogLine>; 2],
    /// The stream whose part came last.
    latest: usize,
}

impl Parts {
    fn push(&mut self, record: &Record<'_>) -> Option<LogLine> {
        self.latest = usize::from(record.stream == Stream::Stderr);
        let slot = &mut self.lines[self.latest];
        let line = slot.get_or_insert_with(|| LogLine {
            at: record.at,
            stream: record.stream,
            bytes: Vec::new(),
            partial: true,
        });
        line.bytes.extend_from_slice(&record.content);
        line.partial = !record.ends_line;
        if record.ends_line || line.bytes.len() >= PART { slot.take() } else { None }
    }

    /// What there is, in the order in which the last parts came.
    fn take_all(&mut self) -> impl Iterator<Item = LogLine> + use<> {
        let latest = self.lines[self.latest].take();
        let other = self.lines[1 - self.latest].take();
        other.into_iter().chain(latest)
    }
}

/// A file and what was read from it but is not used yet.
#[derive(Debug)]
pub(super) struct Source {
    pub(super) file: File,
    path: PathBuf,
    buffer: Vec<u8>,
    used: usize,
    /// Where `buffer[used]` stands in the file.
    offset: u64,
    /// Before that, a line was longer than any record: its end is still to come.
    skipping: bool,
    /// The last read found the end.
    at_end: bool,
}

struct Line<'a> {
    offset: u64,
    /// `None`: too long to be a record.
    bytes: Option<&'a [u8]>,
}

impl Source {
    fn open(path: &Path) -> io::Result<Option<Self>> {
        let file = match File::open(path) {
            Err(e) if e.kind() == io::ErrorKind::NotFound => return Ok(None),
            other => other?,
        };
        Ok(Some(Source {
            file,
            path: path.to_path_buf(),
            buffer: Vec::new(),
            used: 0,
            offset: 0,
            skipping: false,
            at_end: false,
        }))
    }

    fn seek(&mut self, offset: u64) -> io::Result<()> {
        self.offset = self.file.seek(SeekFrom::Start(offset))?;
        Ok(())
    }

    /// The next line that has its newline, without that.
    fn next_line(&mut self) -> io::Result<Option<Line<'_>>> {
        let mut searched = 0;
        let length = loop {
            let rest = &self.buffer[self.used..];
            if let Some(at) = rest[searched..].iter().position(|b| *b == b'\n') {
                break searched + at;
            }
            searched = rest.len();
            if rest.len() > LONGEST_RECORD {
                self.offset += rest.len() as u64;
                self.buffer.clear();
                self.used = 0;
                self.skipping = true;
                searched = 0;
            }
            if !self.fill()? {
                return Ok(None);
            }
        };
        let (from, offset) = (self.used, self.offset);
        self.used += length + 1;
        self.offset += length as u64 + 1;
        let skipped = std::mem::take(&mut self.skipping);
        Ok(Some(Line { offset, bytes: (!skipped).then_some(&self.buffer[from..from + length]) }))
    }

    /// Reads on; `false` at the end of the file.
    fn fill(&mut self) -> io::Result<bool> {
        self.buffer.drain(..self.used);
        self.used = 0;
        let before = self.buffer.len();
        let got = self.file.by_ref().take(64 * 1024).read_to_end(&mut self.buffer)?;
        debug_assert_eq!(before + got, self.buffer.len());
        self.at_end = got == 0;
        Ok(got > 0)
    }

    fn take_rest(&mut self) -> Option<(u64, Vec<u8>)> {
        let rest = self.buffer.split_off(self.used);
        self.buffer.clear();
        self.used = 0;
        let offset = self.offset;
        self.offset += rest.len() as u64;
        (!rest.is_empty() || std::mem::take(&mut self.skipping)).then_some((offset, rest))
    }
}

#[cfg(test)]
mod tests;
