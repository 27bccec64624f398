//! Output on its way to stdout or stderr, kept in memory while that is slow.

use std::collections::VecDeque;
use std::io;
use std::os::fd::BorrowedFd;

use rustix::io::Errno;

/// What a pipe that poll(2) calls writable takes without blocking (PIPE_BUF).
const CHUNK: usize = 4096;

/// Bytes not yet written.
#[derive(Debug, Default)]
pub(super) struct Output {
    queue: VecDeque<u8>,
}

impl Output {
    pub(super) fn push(&mut self, bytes: &[u8]) {
        self.queue.extend(bytes);
    }

    pub(super) fn is_empty(&self) -> bool {
        self.queue.is_empty()
    }

    pub(super) fn has_room(&self, room: usize) -> bool {
        self.queue.len() < room
    }

    /// Writes once to a descriptor that is writable; false when nobody reads it any more. Past the library's buffers:
    /// those of stdout wait for the end of a line.
    pub(super) fn write(&mut self, fd: BorrowedFd<'_>) -> io::Result<bool> {
        let (front, _) = self.queue.as_slices();
        match rustix::io::write(fd, &front[..front.len().min(CHUNK)]) {
            Ok(written) => {
                self.queue.drain(..written);
                Ok(true)
            }
            Err(Errno::INTR | Errno::AGAIN) => Ok(true),
            Err(Errno::PIPE) => Ok(false),
            Err(e) => Err(e.into()),
        }
    }
}

#[cfg(test)]
mod tests {
    use std::io::Read as _;
    use std::os::fd::AsFd as _;

    use super::*;

    #[test]
    fn all_bytes_arrive_in_order_and_a_reader_that_left_is_noticed() {
        let (mut reader, writer) = io::pipe().unwrap();
        let sent: Vec<u8> = (0..40_000u32).map(|n| u8::try_from(n % 251).unwrap()).collect();
        let mut output = Output::default();
        output.push(&sent[..30_000]);
        output.push(&sent[30_000..]);
        while !output.is_empty() {
            assert!(output.write(writer.as_fd()).unwrap());
        }
        let mut received = vec![0; sent.len()];
        reader.read_exact(&mut received).unwrap();
        assert_eq!(received, sent);
        drop(reader);
        output.push(b"x");
        assert!(!output.write(writer.as_fd()).unwrap());
    }
}
