//! What a long operation tells while it goes on: a sender passed down by value, events received above.
//!
//! INVARIANT: nobody waits for the receiver, and a receiver that is gone is no error. Events about bytes are sent once
//! for every [`STEP`] bytes at most, so that an unread queue stays small.

use std::io::{self, Read};
use std::sync::mpsc::Sender;

use dhow_storage::Digest;

/// How many bytes go by between two events of one layer.
const STEP: u64 = 512 * 1024;

/// One thing that happened.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub enum Event {
    /// A layer is being read.
    Started {
        /// Its digest: of the bytes as stored in the archive, or the diff id where that is all there is.
        layer: Digest,
        /// How many bytes will be read.
        size: u64,
    },
    /// More of it has been read.
    Advanced {
        /// Which layer.
        layer: Digest,
        /// How many bytes so far.
        bytes: u64,
    },
    /// It has been read to its end.
    Finished {
        /// Which layer.
        layer: Digest,
    },
    /// A name is being looked for.
    Trying {
        /// Fully qualified.
        name: String,
    },
    /// The network has failed; it is tried again.
    Retrying {
        /// Why.
        why: String,
    },
    /// It is in the store already and is not read.
    Present {
        /// Which layer.
        layer: Digest,
    },
}

/// Where events go; the default is nowhere.
#[derive(Debug, Clone, Default)]
pub struct Progress {
    sender: Option<Sender<Event>>,
}

impl Progress {
    /// Events go to `sender`; a bar or a line is drawn at the other end, on a thread of its own.
    #[must_use]
    pub fn to(sender: Sender<Event>) -> Progress {
        Progress { sender: Some(sender) }
    }

    pub(crate) fn send(&self, event: Event) {
        if let Some(sender) = &self.sender {
            // A receiver that has gone away does not want to know.
            sender.send(event).ok();
        }
    }

    /// Announces `layer` and counts what is read of it.
    pub(crate) fn watch<R: Read>(&self, layer: &Digest, size: u64, reader: R) -> Watched<R> {
        self.send(Event::Started { layer: *layer, size });
        let progress = self.clone();
        Watched { reader, progress, layer: *layer, read: 0, told: 0, finished: false }
    }
}

/// A reader that tells how far it is.
pub(crate) struct Watched<R> {
    reader: R,
    progress: Progress,
    layer: Digest,
    read: u64,
    told: u64,
    finished: bool,
}

impl<R: Read> Read for Watched<R> {
    fn read(&mut self, buf: &mut [u8]) -> io::Result<usize> {
        let n = self.reader.read(buf)?;
        self.read += n as u64;
        if n == 0 && !buf.is_empty() {
            if !self.finished {
                self.finished = true;
                self.progress.send(Event::Finished { layer: self.layer });
            }
        } else if self.read - self.told >= STEP {
            self.told = self.read;
            self.progress.send(Event::Advanced { layer: self.layer, bytes: self.read });
        }
        Ok(n)
    }
}

#[cfg(test)]
mod tests {
    use std::sync::mpsc;

    use super::*;

    #[test]
    fn tells_start_steps_and_end_once() {
        let (sender, receiver) = mpsc::channel();
        let layer = Digest::of(b"layer");
        let bytes = vec![0; 1_200_000];
        let mut watched = Progress::to(sender).watch(&layer, 1_200_000, bytes.as_slice());
        io::copy(&mut watched, &mut io::sink()).unwrap();
        assert_eq!(watched.read(&mut [0]).unwrap(), 0);
        drop(watched);
        let events: Vec<Event> = receiver.iter().collect();
        assert_eq!(events.first(), Some(&Event::Started { layer, size: 1_200_000 }));
        assert_eq!(events.last(), Some(&Event::Finished { layer }));
        assert_eq!(events.len(), 4, "{events:?}");
    }

    #[test]
    fn a_receiver_that_is_gone_is_no_error() {
        let (sender, receiver) = mpsc::channel();
        drop(receiver);
        Progress::to(sender).send(Event::Present { layer: Digest::of(b"") });
    }
}
