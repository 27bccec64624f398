//! Pipes and FIFOs, and reads and writes on them that never block.

use std::io::{self, IoSlice};
use std::os::fd::{AsFd, OwnedFd};
use std::path::Path;

use rustix::fs::{Mode, OFlags};
use rustix::io::Errno;
use rustix::pipe::{PipeFlags, SpliceFlags};

/// What came of a read that does not block.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Read {
    /// This many bytes.
    Bytes(usize),
    /// Nothing there now. Of a terminal: nobody has its other side open now.
    WouldBlock,
    /// Every writer is gone.
    End,
}

/// A pipe: (reader, writer), both close-on-exec and blocking.
///
/// # Errors
/// What pipe2(2) says.
pub fn pipe() -> io::Result<(OwnedFd, OwnedFd)> {
    Ok(rustix::pipe::pipe_with(PipeFlags::CLOEXEC)?)
}

/// Makes reads and writes on `fd` fail with `WouldBlock` instead of waiting.
///
/// # Errors
/// What ioctl(2) says.
pub fn set_nonblocking(fd: impl AsFd) -> io::Result<()> {
    Ok(rustix::io::ioctl_fionbio(fd, true)?)
}

/// Reads what is there from a non-blocking pipe or terminal.
///
/// # Errors
/// What read(2) says.
pub fn read(fd: impl AsFd, buffer: &mut [u8]) -> io::Result<Read> {
    loop {
        return match rustix::io::read(&fd, &mut *buffer) {
            Ok(0) => Ok(Read::End),
            Ok(len) => Ok(Read::Bytes(len)),
            // EIO is what a terminal's master says while no process has the other side open.
            Err(Errno::AGAIN | Errno::IO) => Ok(Read::WouldBlock),
            Err(Errno::INTR) => continue,
            Err(e) => Err(e.into()),
        };
    }
}

/// Writes as much as fits; 0 if nothing does now.
///
/// # Errors
/// `BrokenPipe` where no reader is left, and what else write(2) says.
pub fn write(fd: impl AsFd, bytes: &[u8]) -> io::Result<usize> {
    loop {
        return match rustix::io::write(&fd, bytes) {
            Ok(len) => Ok(len),
            Err(Errno::AGAIN) => Ok(0),
            Err(Errno::INTR) => continue,
            Err(e) => Err(e.into()),
        };
    }
}

/// writev(2), repeated on EINTR; a short write is possible.
///
/// # Errors
/// What writev(2) says.
pub fn write_vectored(fd: impl AsFd, parts: &[IoSlice<'_>]) -> io::Result<usize> {
    loop {
        match rustix::io::writev(&fd, parts) {
            Err(Errno::INTR) => {}
            other => return Ok(other?),
        }
    }
}

/// How many bytes can be read from a pipe now.
///
/// # Errors
/// What ioctl(2) says.
pub fn available(fd: impl AsFd) -> io::Result<usize> {
    Ok(usize::try_from(rustix::io::ioctl_fionread(fd)?).unwrap_or(usize::MAX))
}

/// Moves at most `length` bytes from a pipe to `to` (/dev/null, say) without looking at them.
///
/// # Errors
/// What splice(2) says: `InvalidInput` where one of the two has no such way.
pub fn splice(from: impl AsFd, to: impl AsFd, length: usize) -> io::Result<usize> {
    loop {
        match rustix::pipe::splice(&from, None, &to, None, length, SpliceFlags::MOVE) {
            Err(Errno::INTR) => {}
            other => return Ok(other?),
        }
    }
}

/// A FIFO opened for reading and writing, so that it never reports the end when a writer leaves.
///
/// What is at `path` is replaced; non-blocking; `mode` is subject to the umask.
///
/// # Errors
/// What unlink(2), mkfifo(3) and open(2) say.
pub fn make_fifo(path: &Path, mode: u32) -> io::Result<OwnedFd> {
    match rustix::fs::unlink(path) {
        Ok(()) | Err(Errno::NOENT) => {}
        Err(e) => return Err(e.into()),
    }
    rustix::fs::mknodat(
        rustix::fs::CWD,
        path,
        rustix::fs::FileType::Fifo,
        Mode::from_raw_mode(mode),
        0,
    )?;
    Ok(rustix::fs::open(
        path,
        OFlags::RDWR | OFlags::NONBLOCK | OFlags::CLOEXEC | OFlags::NOFOLLOW,
        Mode::empty(),
    )?)
}

/// Writes `line` to the FIFO at `path` in one piece, if somebody reads it.
///
/// # Errors
/// `ENXIO` where nobody does, `NotFound`, `InvalidInput` for a line longer than PIPE_BUF (4096), `WouldBlock` when it is full.
pub fn write_fifo(path: &Path, line: &[u8]) -> io::Result<()> {
    // Longer writes may be torn, or written in part.
    if line.len() > 4096 {
        return Err(io::ErrorKind::InvalidInput.into());
    }
    let fifo = rustix::fs::open(
        path,
        OFlags::WRONLY | OFlags::NONBLOCK | OFlags::CLOEXEC | OFlags::NOFOLLOW,
        Mode::empty(),
    )?;
    rustix::io::retry_on_intr(|| rustix::io::write(&fifo, line))?;
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_fifo_outlives_its_writers() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("ctl");
        let fifo = make_fifo(&path, 0o640).unwrap();
        let mut buffer = [0; 16];
        assert_eq!(read(&fifo, &mut buffer).unwrap(), Read::WouldBlock);
        write_fifo(&path, b"1 2 3\n").unwrap();
        assert_eq!(read(&fifo, &mut buffer).unwrap(), Read::Bytes(6));
        assert_eq!(read(&fifo, &mut buffer).unwrap(), Read::WouldBlock);
        drop(fifo);
        assert_eq!(
            write_fifo(&path, b"x").unwrap_err().raw_os_error(),
            Some(Errno::NXIO.raw_os_error())
        );
    }

    #[test]
    fn a_full_pipe_takes_nothing_and_a_closed_one_is_an_error() {
        let (reader, writer) = pipe().unwrap();
        set_nonblocking(&writer).unwrap();
        let block = [0; 65536];
        while write(&writer, &block).unwrap() > 0 {}
        drop(reader);
        assert_eq!(write(&writer, &block).unwrap_err().kind(), io::ErrorKind::BrokenPipe);
    }
}
