//! Terminals: their size, raw mode, and what the master side of a container's terminal needs.
//!
//! INVARIANT: [`RawMode`] puts back exactly what it found, once.

use std::io;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};

use rustix::termios::{LocalModes, OptionalActions, OutputModes, Termios, Winsize};

/// Rows and columns of a terminal.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct WindowSize {
    /// Height in characters.
    pub rows: u16,
    /// Width in characters.
    pub columns: u16,
}

/// Whether `fd` is a terminal.
pub fn is_terminal(fd: impl AsFd) -> bool {
    rustix::termios::isatty(fd)
}

/// The size of the terminal `fd`.
///
/// # Errors
/// `ENOTTY` if it is none.
pub fn window_size(fd: impl AsFd) -> io::Result<WindowSize> {
    let size = rustix::termios::tcgetwinsize(fd)?;
    Ok(WindowSize { rows: size.ws_row, columns: size.ws_col })
}

/// Sets the size of the terminal `fd`; its foreground process group gets SIGWINCH if that is a change.
///
/// # Errors
/// `ENOTTY` if it is none.
pub fn set_window_size(fd: impl AsFd, size: WindowSize) -> io::Result<()> {
    let size = Winsize { ws_row: size.rows, ws_col: size.columns, ws_xpixel: 0, ws_ypixel: 0 };
    Ok(rustix::termios::tcsetwinsize(fd, size)?)
}

/// Makes the terminal write CR LF for each LF, as a real one does and a runtime's new one may not.
///
/// # Errors
/// `ENOTTY` if `fd` is no terminal.
pub fn enable_onlcr(fd: impl AsFd) -> io::Result<()> {
    let mut modes = rustix::termios::tcgetattr(&fd)?;
    modes.output_modes |= OutputModes::ONLCR;
    Ok(rustix::termios::tcsetattr(fd, OptionalActions::Now, &modes)?)
}

/// A terminal that shows nothing of what is typed until this is dropped, for a password.
#[derive(Debug)]
#[must_use = "the terminal echoes again when this is dropped"]
pub struct NoEcho {
    terminal: OwnedFd,
    before: Termios,
}

impl NoEcho {
    /// Lines are still edited and keys still make signals; the end of the line is shown.
    ///
    /// # Errors
    /// `ENOTTY` if `fd` is no terminal.
    pub fn enter(fd: BorrowedFd<'_>) -> io::Result<Self> {
        let before = rustix::termios::tcgetattr(fd)?;
        let terminal = fd.try_clone_to_owned()?;
        let mut hidden = before.clone();
        hidden.local_modes.remove(LocalModes::ECHO);
        hidden.local_modes.insert(LocalModes::ECHONL | LocalModes::ICANON);
        rustix::termios::tcsetattr(fd, OptionalActions::Flush, &hidden)?;
        Ok(NoEcho { terminal, before })
    }
}

impl Drop for NoEcho {
    fn drop(&mut self) {
        rustix::termios::tcsetattr(&self.terminal, OptionalActions::Drain, &self.before).ok();
    }
}

/// A terminal in raw mode until this is dropped.
#[derive(Debug)]
#[must_use = "the terminal leaves raw mode when this is dropped"]
pub struct RawMode {
    terminal: OwnedFd,
    before: Termios,
}

impl RawMode {
    /// Puts the terminal `fd` into raw mode: no echo, no line editing, no signals from keys.
    ///
    /// # Errors
    /// `ENOTTY` if it is none.
    pub fn enter(fd: BorrowedFd<'_>) -> io::Result<Self> {
        let before = rustix::termios::tcgetattr(fd)?;
        let terminal = fd.try_clone_to_owned()?;
        let mut raw = before.clone();
        raw.make_raw();
        rustix::termios::tcsetattr(fd, OptionalActions::Drain, &raw)?;
        Ok(RawMode { terminal, before })
    }
}

impl Drop for RawMode {
    fn drop(&mut self) {
        // A terminal that hung up has no modes to put back.
        rustix::termios::tcsetattr(&self.terminal, OptionalActions::Drain, &self.before).ok();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn size_and_raw_mode_on_a_pty() {
        let pty = nix::pty::openpty(None, None).unwrap();
        assert!(is_terminal(&pty.slave));
        let size = WindowSize { rows: 33, columns: 101 };
        set_window_size(&pty.master, size).unwrap();
        assert_eq!(window_size(&pty.slave).unwrap(), size);

        let before = rustix::termios::tcgetattr(&pty.slave).unwrap();
        let raw = RawMode::enter(pty.slave.as_fd()).unwrap();
        let within = rustix::termios::tcgetattr(&pty.slave).unwrap();
        assert_ne!(within.local_modes, before.local_modes);
        drop(raw);
        let hidden = NoEcho::enter(pty.slave.as_fd()).unwrap();
        let within = rustix::termios::tcgetattr(&pty.slave).unwrap();
        assert!(!within.local_modes.contains(LocalModes::ECHO));
        drop(hidden);
        assert_eq!(rustix::termios::tcgetattr(&pty.slave).unwrap().local_modes, before.local_modes);
    }

    #[test]
    fn a_pipe_is_no_terminal() {
        let (reader, _writer) = std::io::pipe().unwrap();
        assert!(!is_terminal(&reader));
        assert!(window_size(&reader).is_err());
        assert!(RawMode::enter(reader.as_fd()).is_err());
    }
}
