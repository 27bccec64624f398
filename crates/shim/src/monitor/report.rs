//! What the engine is told on the sync pipe and the attach pipe.

use std::os::fd::OwnedFd;

use dhow_shim::sync::{self, Key};
use dhow_sys::pipe;

/// The engine's ends of this may be closed at any time: then nobody is told, and that is all.
#[derive(Debug)]
pub(super) struct Reporter {
    sync: Option<OwnedFd>,
    attach: Option<OwnedFd>,
    pid_key: Option<Key>,
    exit_key: Option<Key>,
}

impl Reporter {
    pub(super) fn new(
        sync: Option<OwnedFd>,
        attach: Option<OwnedFd>,
        keys: (Option<Key>, Option<Key>),
    ) -> Self {
        Reporter { sync, attach, pid_key: keys.0, exit_key: keys.1 }
    }

    /// The attach socket and the FIFOs are there.
    pub(super) fn ready_to_attach(&self) {
        if let Some(attach) = &self.attach {
            pipe::write(attach, &sync::line(Key::Data, 0, None)).ok();
        }
    }

    /// The container's pid.
    pub(super) fn pid(&self, pid: i32) {
        if let Some(key) = self.pid_key {
            self.say(key, pid, None);
        }
    }

    /// The exit code of an exec session.
    pub(super) fn exit(&self, code: i32, message: Option<&str>) {
        if let Some(key) = self.exit_key {
            self.say(key, code, message.map(str::as_bytes));
        }
    }

    /// There is no container.
    pub(super) fn failure(&self, message: &[u8]) {
        if let Some(key) = self.pid_key.or(self.exit_key) {
            self.say(key, -1, Some(message));
        }
    }

    fn say(&self, key: Key, value: i32, message: Option<&[u8]>) {
        if let Some(sync) = &self.sync {
            pipe::write(sync, &sync::line(key, value, message)).ok();
        }
    }
}
