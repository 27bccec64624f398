//! Signals of this process as events: what `--sig-proxy` passes on, and what must not end the process while its
//! terminal is raw.

use std::io;
use std::os::fd::{AsFd, BorrowedFd};
use std::os::unix::net::UnixStream;

use signal_hook::consts::signal::{
    SIGCHLD, SIGCONT, SIGFPE, SIGHUP, SIGILL, SIGINT, SIGKILL, SIGPIPE, SIGQUIT, SIGSEGV, SIGSTOP,
    SIGTERM, SIGTSTP, SIGTTIN, SIGTTOU, SIGURG, SIGWINCH,
};
use signal_hook::iterator::backend::SignalDelivery;
use signal_hook::iterator::exfiltrator::SignalOnly;

/// Signals received and not yet looked at. Dropped, the signals go on being caught and are lost.
#[derive(Debug)]
pub(crate) struct Signals {
    delivery: SignalDelivery<UnixStream, SignalOnly>,
    proxy: bool,
}

/// What a signal means to an attached command.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Event {
    /// The window has another size.
    Resized,
    /// To be passed on to the container.
    PassOn(i32),
    /// Would have ended this process.
    Fatal(i32),
}

/// Never passed on: they are about this process itself, or cannot be caught.
const OWN: [i32; 14] = [
    SIGKILL, SIGSTOP, SIGCHLD, SIGPIPE, SIGURG, SIGWINCH, SIGILL, SIGFPE, SIGSEGV, SIGTTIN,
    SIGTTOU, SIGTSTP, SIGCONT, // The C library's own.
    32,
];
const FATAL: [i32; 4] = [SIGHUP, SIGINT, SIGQUIT, SIGTERM];
const LAST: i32 = 64;

impl Signals {
    /// Catches signals from now on: with `proxy` all that can be passed on, else those that end a process.
    pub(crate) fn catch(proxy: bool) -> io::Result<Self> {
        let (read, write) = UnixStream::pair()?;
        let passed_on = (1..=LAST).filter(|signal| !OWN.contains(signal) && *signal != 33);
        let mut wanted: Vec<i32> = if proxy { passed_on.collect() } else { FATAL.to_vec() };
        wanted.push(SIGWINCH);
        let delivery = SignalDelivery::with_pipe(read, write, SignalOnly, wanted)?;
        Ok(Self { delivery, proxy })
    }

    /// What has come since the last call.
    pub(crate) fn take(&mut self) -> Vec<Event> {
        let proxy = self.proxy;
        self.delivery
            .pending()
            .map(|signal| match signal {
                SIGWINCH => Event::Resized,
                signal if proxy => Event::PassOn(signal),
                signal => Event::Fatal(signal),
            })
            .collect()
    }
}

/// Ends this process as the signal would have, had it not been caught.
pub(crate) fn die_of(signal: i32) -> io::Result<()> {
    signal_hook::low_level::emulate_default_handler(signal)
}

impl AsFd for Signals {
    /// Readable when a signal has come.
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.delivery.get_read().as_fd()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn signals_become_events() {
        let mut signals = Signals::catch(true).unwrap();
        signal_hook::low_level::raise(signal_hook::consts::SIGUSR1).unwrap();
        signal_hook::low_level::raise(SIGWINCH).unwrap();
        let mut events = signals.take();
        events.sort_by_key(|event| *event == Event::Resized);
        assert_eq!(events, [Event::PassOn(signal_hook::consts::SIGUSR1), Event::Resized]);
        assert_eq!(signals.take(), []);
    }
}
