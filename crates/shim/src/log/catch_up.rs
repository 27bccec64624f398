//! The rest of a session's output, read from the log by a client that was too slow for its monitor.
//!
//! INVARIANT: what it gives begins with the byte after the last one that the client had got of each stream; nothing is
//! lost and nothing comes twice. It never blocks: whoever reads polls [`AsFd::as_fd`].

use std::io;
use std::os::fd::{AsFd, BorrowedFd};
use std::path::Path;
use std::time::Duration;

use nix::sys::epoll::{Epoll, EpollCreateFlags, EpollEvent, EpollFlags};

use super::{Ending, Error, Format, LogReader, Next};
use crate::attach::{LogPlace, Received, Stream};

/// A log that is read from some place on.
#[derive(Debug)]
pub struct CatchUp {
    reader: LogReader,
    /// Bytes that the client has got already, of stdout and of stderr.
    skip: [u64; 2],
    /// What was read and is not given out yet, and of which stream.
    pending: Vec<u8>,
    given: usize,
    stream: Stream,
    /// The last read came to what there is now.
    at_end: bool,
    changes: Epoll,
}

impl CatchUp {
    /// Goes on at `place` of the log at `path`; the end is where `ending` says.
    ///
    /// # Errors
    /// [`Error::Read`], with `NotFound` where the file of that place is not there any more; [`Error::Watch`].
    pub fn open(path: &Path, place: LogPlace, ending: Ending) -> Result<Self, Error> {
        let mut reader = LogReader::open_at(path, Format::K8sFile, place.inode, place.offset)?;
        reader.follow(ending)?;
        let watch = |source: io::Error| Error::Watch { path: path.to_path_buf(), source };
        let changes = Epoll::new(EpollCreateFlags::EPOLL_CLOEXEC).map_err(|e| watch(e.into()))?;
        for fd in reader.watched() {
            let event = EpollEvent::new(EpollFlags::EPOLLIN, 0);
            changes.add(fd, event).map_err(|e| watch(e.into()))?;
        }
        Ok(CatchUp {
            reader,
            skip: place.skip,
            pending: Vec::new(),
            given: 0,
            stream: Stream::Stdout,
            at_end: false,
            changes,
        })
    }

    /// Gives out some output: [`Received::Output`], [`Received::WouldBlock`] or [`Received::End`].
    ///
    /// # Errors
    /// [`Error::Read`], [`Error::Watch`]; [`Error::Corrupt`] where output is missing in the log.
    pub fn read(&mut self, buffer: &mut [u8]) -> Result<Received, Error> {
        self.at_end = false;
        while self.given == self.pending.len() {
            match self.reader.next_within(Some(Duration::ZERO))? {
                Next::End => return Ok(Received::End),
                Next::TimedOut => {
                    self.at_end = true;
                    return Ok(Received::WouldBlock);
                }
                Next::Line(line) => {
                    self.stream = line.stream;
                    self.pending = line.bytes;
                    if !line.partial {
                        self.pending.push(b'\n');
                    }
                    let skip = &mut self.skip[usize::from(line.stream == Stream::Stderr)];
                    let length = self.pending.len() as u64;
                    let skipped = length.min(*skip);
                    *skip -= skipped;
                    self.given = usize::try_from(skipped).unwrap_or(self.pending.len());
                }
            }
        }
        let rest = &self.pending[self.given..];
        let len = rest.len().min(buffer.len());
        buffer[..len].copy_from_slice(&rest[..len]);
        self.given += len;
        Ok(Received::Output { stream: self.stream, len })
    }

    /// Whether a read may give something although nothing is readable: not all that is in the file was read.
    #[must_use]
    pub fn has_more(&self) -> bool {
        !self.at_end
    }
}

/// Readable when the log has grown or will not grow any more.
impl AsFd for CatchUp {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.changes.0.as_fd()
    }
}

#[cfg(test)]
mod tests {
    use std::io::Write as _;

    use super::*;
    use crate::log::{frame, k8s_file};
    use std::os::unix::fs::MetadataExt as _;

    fn append(file: &mut std::fs::File, stream: Stream, chunk: &[u8]) {
        for piece in frame::pieces(chunk, k8s_file::LONGEST) {
            let tag: &[u8] = if piece.ends_line { b"F " } else { b"P " };
            let head = format!("2026-01-02T03:04:05.123456789+00:00 {} ", stream.name());
            file.write_all(&[head.as_bytes(), tag, piece.content, b"\n"].concat()).unwrap();
        }
    }

    fn drain(log: &mut CatchUp) -> ([Vec<u8>; 2], bool) {
        let mut got = [Vec::new(), Vec::new()];
        let mut buffer = [0; 7];
        loop {
            match log.read(&mut buffer).unwrap() {
                Received::Output { stream, len } => {
                    got[usize::from(stream == Stream::Stderr)].extend_from_slice(&buffer[..len]);
                }
                Received::WouldBlock => return (got, false),
                _ => return (got, true),
            }
        }
    }

    #[test]
    fn each_stream_goes_on_behind_what_was_got_of_it() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("ctr.log");
        let mut file = std::fs::File::create(&path).unwrap();
        append(&mut file, Stream::Stdout, b"before\n");
        let (inode, offset) = (file.metadata().unwrap().ino(), file.metadata().unwrap().len());
        append(&mut file, Stream::Stdout, b"one\ntw");
        append(&mut file, Stream::Stderr, b"err\n");
        append(&mut file, Stream::Stdout, b"o\nthree");
        let run_dir = dir.path().join("run");
        std::fs::create_dir(&run_dir).unwrap();
        let place = LogPlace { inode, offset, skip: [5, 1] };
        let ending = Ending { run_dir: run_dir.clone(), monitor: None };
        let mut log = CatchUp::open(&path, place, ending).unwrap();
        let (got, ended) = drain(&mut log);
        assert_eq!(got, [b"wo\nthree".to_vec(), b"rr\n".to_vec()]);
        assert!(!ended && !log.has_more());

        append(&mut file, Stream::Stdout, b"\nlast");
        std::fs::File::create(run_dir.join(crate::files::EXIT)).unwrap();
        let woken = dhow_sys::watch::wait_readable(&[log.as_fd()], Some(Duration::from_secs(10)));
        assert!(woken.unwrap().is_some());
        let (got, ended) = drain(&mut log);
        assert_eq!(got, [b"\nlast".to_vec(), Vec::new()]);
        assert!(ended);
    }

    #[test]
    fn a_log_that_was_replaced_is_no_place_to_go_on() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("ctr.log");
        std::fs::File::create(&path).unwrap();
        let place = LogPlace { inode: 1, offset: 0, skip: [0; 2] };
        let ending = Ending { run_dir: dir.path().to_path_buf(), monitor: None };
        let error = CatchUp::open(&path, place, ending).unwrap_err();
        assert!(
            matches!(&error, Error::Read { source, .. } if source.kind() == io::ErrorKind::NotFound)
        );
    }
}
