//! The FIFOs `ctl` and `winsz`.

use std::io;
use std::os::fd::{AsRawFd, OwnedFd};
use std::path::Path;

use dhow_shim::ctl::{Control, Lines};
use dhow_shim::files;
use dhow_sys::pipe::{self, Read};
use mio::unix::SourceFd;
use mio::{Interest, Registry};

use super::source::Source;

/// Both FIFOs. They are never removed: an engine may be about to write.
#[derive(Debug)]
pub(super) struct Fifos {
    ctl: (OwnedFd, Lines),
    winsz: (OwnedFd, Lines),
}

impl Fifos {
    pub(super) fn make(directory: &Path, registry: &Registry) -> io::Result<Self> {
        let make = |name, source: Source| -> io::Result<OwnedFd> {
            let fifo = pipe::make_fifo(&directory.join(name), 0o660)?;
            registry.register(
                &mut SourceFd(&fifo.as_raw_fd()),
                source.token(),
                Interest::READABLE,
            )?;
            Ok(fifo)
        };
        Ok(Fifos {
            ctl: (make(files::CTL, Source::Control)?, Lines::ctl()),
            winsz: (make(files::WINSZ, Source::WindowSize)?, Lines::winsz()),
        })
    }

    /// The messages that have come through one of them. What is none is skipped.
    pub(super) fn read(&mut self, source: Source) -> Vec<Control> {
        let (fifo, lines) = if source == Source::Control { &mut self.ctl } else { &mut self.winsz };
        let mut messages = Vec::new();
        let mut buffer = [0; 4096];
        while let Ok(Read::Bytes(len)) = pipe::read(&*fifo, &mut buffer) {
            messages.extend(lines.push(&buffer[..len]).into_iter().flatten());
        }
        messages
    }
}
