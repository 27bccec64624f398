//! Finds where the last lines of a log begin, reading it backwards in blocks.

use std::collections::VecDeque;
use std::fs::File;
use std::io;
use std::os::unix::fs::FileExt as _;

use super::Format;
use super::reader::{LONGEST_RECORD, Source};
use crate::attach::Stream;

/// Where to begin reading, and how many lines to leave out then.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Start {
    /// Index of the file.
    pub(super) file: usize,
    /// Byte in it.
    pub(super) offset: u64,
    /// The lines of two streams may be entangled: so many that end after this place are not wanted.
    pub(super) skip: usize,
}

/// So far back the beginning of a line is looked for, when its end is among the last lines.
const FURTHER: u64 = 1024 * 1024;

/// Finds the last `lines` lines of `files` (oldest first).
pub(super) fn find(files: &VecDeque<Source>, format: Format, lines: usize) -> io::Result<Start> {
    let mut search = Search { wanted: lines, ..Search::default() };
    let mut start = Start { file: files.len().saturating_sub(1), offset: 0, skip: 0 };
    if let Some(newest) = files.back() {
        start.offset = newest.file.metadata()?.len();
    }
    for (index, source) in files.iter().enumerate().rev() {
        let mut backwards = Backwards::new(&source.file)?;
        while let Some((offset, line)) = backwards.previous()? {
            let record = line.as_deref().and_then(|line| format.parse(line));
            let record = record.map(|r| (r.stream, r.ends_line));
            match search.look(record, line.map_or(FURTHER, |l| l.len() as u64)) {
                Look::Wanted => start = Start { file: index, offset, skip: search.unwanted },
                Look::Unwanted => {}
                Look::Complete => return Ok(start),
            }
        }
    }
    Ok(start)
}

/// What a record is to the search.
enum Look {
    /// A line that is wanted ends in it, or goes through it.
    Wanted,
    /// Neither.
    Unwanted,
    /// All that is wanted was found.
    Complete,
}

#[derive(Debug, Default)]
struct Search {
    wanted: usize,
    found: usize,
    /// Lines that end among the parts of wanted ones.
    unwanted: usize,
    /// Whether the earliest line found of stdout, of stderr, may begin further back.
    open: [bool; 2],
    /// Whether a record of the stream was met at all.
    met: [bool; 2],
    further: u64,
}

impl Search {
    /// Looks at one record more, from the back.
    fn look(&mut self, record: Option<(Stream, bool)>, length: u64) -> Look {
        let full = self.found == self.wanted;
        if full {
            self.further += length;
            if !self.open.contains(&true) || self.further > FURTHER {
                return Look::Complete;
            }
        }
        let Some((stream, ends_line)) = record else { return Look::Unwanted };
        let stream = usize::from(stream == Stream::Stderr);
        // The last record of a stream is where its last line ends for now.
        let ends_line = ends_line || !self.met[stream];
        self.met[stream] = true;
        match (ends_line, full) {
            (true, false) => {
                self.found += 1;
                self.open[stream] = true;
                Look::Wanted
            }
            (true, true) => {
                self.open[stream] = false;
                self.unwanted += 1;
                if self.open.contains(&true) { Look::Unwanted } else { Look::Complete }
            }
            (false, _) if self.open[stream] => Look::Wanted,
            (false, _) => Look::Unwanted,
        }
    }
}

/// The lines of a file, last first.
struct Backwards<'a> {
    file: &'a File,
    /// What was read from `from` on, up to where the line given last began.
    buffer: Vec<u8>,
    from: u64,
    /// The line that ends in `buffer` is too long to be a record, and is not all there.
    too_long: bool,
}

impl<'a> Backwards<'a> {
    const BLOCK: u64 = 64 * 1024;

    fn new(file: &'a File) -> io::Result<Self> {
        Ok(Backwards { file, buffer: Vec::new(), from: file.metadata()?.len(), too_long: false })
    }

    /// The line before: where it begins, and its bytes without the newline (`None` if too long to be a record).
    fn previous(&mut self) -> io::Result<Option<(u64, Option<Vec<u8>>)>> {
        loop {
            // The newline at the end is the line's own (the file's last line may have none).
            let inner = self.buffer.len().saturating_sub(1);
            if let Some(at) = self.buffer[..inner].iter().rposition(|b| *b == b'\n') {
                return Ok(Some(self.take(at + 1)));
            }
            if self.from == 0 {
                return Ok((!self.buffer.is_empty()).then(|| self.take(0)));
            }
            if self.buffer.len() > LONGEST_RECORD {
                // Its content is of no use; one byte stands for it.
                self.buffer.truncate(1);
                self.too_long = true;
            }
            let block = Self::BLOCK.min(self.from);
            let mut buffer = vec![0; usize::try_from(block).unwrap_or(0)];
            self.file.read_exact_at(&mut buffer, self.from - block)?;
            self.from -= block;
            buffer.append(&mut self.buffer);
            self.buffer = buffer;
        }
    }

    fn take(&mut self, at: usize) -> (u64, Option<Vec<u8>>) {
        let mut line = self.buffer.split_off(at);
        if line.last() == Some(&b'\n') {
            line.pop();
        }
        (self.from + at as u64, (!std::mem::take(&mut self.too_long)).then_some(line))
    }
}
