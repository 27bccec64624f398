//! The user's input on its way to the container.

use std::io;

use dhow_engine::request::DetachKeys;
use dhow_engine::{AttachSession, PACKET};
use rustix::io::Errno;

use crate::detach::Detector;

/// What is read from stdin and not yet taken by the session.
#[derive(Debug)]
pub(super) struct Input {
    detector: Detector,
    pending: Vec<u8>,
    /// More may be read.
    open: bool,
    /// The session has been told that no more comes.
    closed: bool,
    buffer: Vec<u8>,
}

impl Input {
    /// With `open` false, nothing is read and the session's side is left as it is.
    pub(super) fn new(open: bool, keys: &DetachKeys) -> Self {
        let (pending, buffer) = (Vec::new(), vec![0; PACKET]);
        Self { detector: Detector::new(keys), pending, open, closed: !open, buffer }
    }

    pub(super) fn wants_more(&self) -> bool {
        self.open && self.pending.is_empty()
    }

    pub(super) fn is_pending(&self) -> bool {
        !self.pending.is_empty()
    }

    /// Reads once; true when the detach keys are complete.
    pub(super) fn read(&mut self) -> bool {
        // Not through the library: what its buffer held, poll(2) would not see.
        match rustix::io::read(io::stdin(), &mut self.buffer) {
            Ok(0) => self.end(),
            Ok(len) => return self.detector.feed(&self.buffer[..len], &mut self.pending),
            Err(Errno::INTR | Errno::AGAIN) => {}
            // A terminal that has gone (EIO) gives no more input, which is no reason to let go of the output.
            Err(e) => {
                tracing::debug!("stdin cannot be read: {e}");
                self.end();
            }
        }
        false
    }

    fn end(&mut self) {
        self.open = false;
        self.pending.extend_from_slice(self.detector.finish());
    }

    /// Gives the session what it takes.
    pub(super) fn write(&mut self, session: &mut AttachSession) {
        while !self.pending.is_empty() {
            match session.write_stdin(&self.pending) {
                Ok(0) => return,
                Ok(taken) => drop(self.pending.drain(..taken)),
                // The container has closed its stdin or ended: what it still says comes by the other way.
                Err(e) => {
                    tracing::debug!("input is not taken any more: {e}");
                    self.pending.clear();
                    (self.open, self.closed) = (false, true);
                    return;
                }
            }
        }
        if !self.open && !self.closed {
            self.closed = true;
            if let Err(e) = session.close_stdin() {
                tracing::debug!("input cannot be closed: {e}");
            }
        }
    }
}
