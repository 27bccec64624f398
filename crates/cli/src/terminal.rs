//! This process's terminal: raw mode, and its size.
//!
//! INVARIANT: a terminal that was put into raw mode is put back on every way out: the guard is dropped on return and
//! on error, a panic hook does it where a panic ends the process at once, and signals that would end the process are
//! events of the loop in `attached.rs` while a guard lives. (Nothing can be done about SIGKILL.)

use std::io;
use std::os::fd::BorrowedFd;
use std::panic;
use std::sync::{Mutex, Once, PoisonError};

use dhow_engine::request::WindowSize;
use dhow_sys::tty;

/// The terminal in raw mode, if one is: in a place that the panic hook can reach.
static RAW: Mutex<Option<tty::RawMode>> = Mutex::new(None);
static HOOK: Once = Once::new();

/// Raw mode, until it is dropped.
#[derive(Debug)]
#[must_use = "the terminal leaves raw mode when this is dropped"]
pub(crate) struct Raw(());

impl Raw {
    /// Puts the terminal into raw mode: keys come one by one, unechoed, and none of them is a signal.
    pub(crate) fn enter(terminal: BorrowedFd<'_>) -> io::Result<Self> {
        HOOK.call_once(|| {
            let report = panic::take_hook();
            panic::set_hook(Box::new(move |info| {
                restore();
                report(info);
            }));
        });
        let raw = tty::RawMode::enter(terminal)?;
        *RAW.lock().unwrap_or_else(PoisonError::into_inner) = Some(raw);
        Ok(Self(()))
    }
}

impl Drop for Raw {
    fn drop(&mut self) {
        restore();
    }
}

fn restore() {
    // Taken out under the lock, put back by its own drop.
    drop(RAW.try_lock().ok().and_then(|mut raw| raw.take()));
}

/// The size of a terminal; none where it is no terminal or does not know.
pub(crate) fn window(fd: BorrowedFd<'_>) -> Option<WindowSize> {
    let size = tty::window_size(fd).ok()?;
    (size.rows > 0 && size.columns > 0)
        .then_some(WindowSize { rows: size.rows, columns: size.columns })
}

/// The size of the terminal this process is on: of stdout, else of stdin.
pub(crate) fn own_window() -> Option<WindowSize> {
    use std::os::fd::AsFd as _;
    window(io::stdout().as_fd()).or_else(|| window(io::stdin().as_fd()))
}

#[cfg(test)]
mod tests {
    use std::os::fd::AsFd as _;

    use rustix::termios::{LocalModes, tcgetattr};

    use super::*;

    fn pty() -> (std::os::fd::OwnedFd, std::os::fd::OwnedFd) {
        let master =
            rustix::pty::openpt(rustix::pty::OpenptFlags::RDWR | rustix::pty::OpenptFlags::NOCTTY)
                .unwrap();
        rustix::pty::grantpt(&master).unwrap();
        rustix::pty::unlockpt(&master).unwrap();
        let name = rustix::pty::ptsname(&master, Vec::new()).unwrap();
        let flags = rustix::fs::OFlags::RDWR | rustix::fs::OFlags::NOCTTY;
        let terminal = rustix::fs::open(name, flags, rustix::fs::Mode::empty()).unwrap();
        (master, terminal)
    }

    fn is_raw(terminal: BorrowedFd<'_>) -> bool {
        !tcgetattr(terminal)
            .unwrap()
            .local_modes
            .intersects(LocalModes::ICANON | LocalModes::ECHO | LocalModes::ISIG)
    }

    // One test: the raw terminal is the process's.
    #[test]
    fn raw_mode_ends_with_the_guard_and_with_a_panic() {
        let (_master, terminal) = pty();
        let raw = Raw::enter(terminal.as_fd()).unwrap();
        assert!(is_raw(terminal.as_fd()));
        drop(raw);
        assert!(!is_raw(terminal.as_fd()));

        let (seen, fd) = (std::sync::mpsc::channel(), terminal.try_clone().unwrap());
        let sender = seen.0;
        std::thread::spawn(move || {
            // Forgotten, as good as aborted: only the hook can put the terminal back.
            std::mem::forget(Raw::enter(fd.as_fd()).unwrap());
            sender.send(is_raw(fd.as_fd())).unwrap();
            panic!("on purpose");
        })
        .join()
        .unwrap_err();
        assert!(seen.1.recv().unwrap());
        assert!(!is_raw(terminal.as_fd()));
    }
}
