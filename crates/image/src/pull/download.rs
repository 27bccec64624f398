//! The downloads of one pull: threads that fill files, and readers that follow them.
//!
//! INVARIANT: a reader never gives a byte that is not in the file yet, and never waits for a download that has ended.
//! INVARIANT: a thread that downloads waits for nothing but the network and other processes' downloads, so that two pulls
//! of the same image cannot wait for each other.

use std::fs::File;
use std::io::{self, Read};
use std::os::unix::fs::FileExt;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::thread::Scope;

use dhow_storage::{ChainId, Digest, Partial, Storage};

use super::{chain, pause};
use crate::error::{Error, Result};
use crate::progress::{Event, Progress};
use crate::registry::Remote;
use crate::registry::settings::Access;

/// As many at a time as podman has.
const WORKERS: usize = 6;
const BUFFER: usize = 128 * 1024;
/// How many bytes go by between two events.
const STEP: u64 = 512 * 1024;

/// A layer that is wanted.
pub(super) struct Wanted {
    pub(super) digest: Digest,
    pub(super) size: u64,
    pub(super) chain: ChainId,
}

/// See the module.
pub(super) struct Downloads<'a> {
    storage: &'a Storage,
    remote: &'a Remote,
    access: &'a Access,
    progress: &'a Progress,
    blobs: Vec<Blob>,
    next: AtomicUsize,
    stopped: AtomicBool,
    resumed: AtomicBool,
    failure: Mutex<Option<Error>>,
}

/// One blob, which may be several layers.
struct Blob {
    digest: Digest,
    size: u64,
    chains: Vec<ChainId>,
    state: Mutex<State>,
    changed: Condvar,
}

enum State {
    Waiting,
    /// So much of the file is there.
    There(Arc<File>, u64),
    /// The layers were in the store.
    Present,
    Failed,
}

impl<'a> Downloads<'a> {
    pub(super) fn new(
        storage: &'a Storage,
        remote: &'a Remote,
        access: &'a Access,
        progress: &'a Progress,
        wanted: impl Iterator<Item = Wanted>,
    ) -> Downloads<'a> {
        let mut blobs: Vec<Blob> = Vec::new();
        for Wanted { digest, size, chain } in wanted {
            match blobs.iter_mut().find(|blob| blob.digest == digest) {
                Some(blob) => blob.chains.push(chain),
                None => blobs.push(Blob {
                    digest,
                    size,
                    chains: vec![chain],
                    state: Mutex::new(State::Waiting),
                    changed: Condvar::new(),
                }),
            }
        }
        Downloads {
            storage,
            remote,
            access,
            progress,
            blobs,
            next: AtomicUsize::new(0),
            stopped: AtomicBool::new(false),
            resumed: AtomicBool::new(false),
            failure: Mutex::new(None),
        }
    }

    /// Starts the threads; they end when everything is there, one has failed, or [`Downloads::stop`] was called.
    pub(super) fn start<'s>(&'s self, scope: &'s Scope<'s, '_>) {
        for blob in self.blobs.iter().filter(|blob| self.is_here(blob)) {
            blob.set(State::Present);
            self.progress.send(Event::Present { layer: blob.digest });
        }
        for _ in 0..WORKERS.min(self.blobs.len()) {
            scope.spawn(|| {
                while let Some(blob) = self.blobs.get(self.next.fetch_add(1, Ordering::Relaxed)) {
                    // A thread that panics must not leave readers waiting.
                    let _failed = FailOnDrop(blob);
                    let present = matches!(&*blob.state(), State::Present);
                    if present || self.stopped.load(Ordering::Relaxed) {
                        continue;
                    }
                    if let Err(error) = self.fetch(blob) {
                        self.failure
                            .lock()
                            .unwrap_or_else(PoisonError::into_inner)
                            .get_or_insert(error);
                        self.stop();
                    }
                }
            });
        }
    }

    /// No more is wanted.
    pub(super) fn stop(&self) {
        self.stopped.store(true, Ordering::Relaxed);
    }

    /// Why a download failed.
    pub(super) fn failure(&self) -> Option<Error> {
        self.failure.lock().unwrap_or_else(PoisonError::into_inner).take()
    }

    /// Was there something of an earlier pull?
    pub(super) fn resumed(&self) -> bool {
        self.resumed.load(Ordering::Relaxed)
    }

    /// Removes the files: their content is in the store, or is wrong.
    pub(super) fn forget(&self) {
        for blob in &self.blobs {
            if let Err(error) = self.storage.drop_partial(&blob.digest) {
                // A collection takes it.
                tracing::debug!(%error, "a download was not removed");
            }
        }
    }

    /// The blob from its beginning, as it comes.
    pub(super) fn open(&self, digest: &Digest) -> io::Result<Follower<'_>> {
        let blob = self.blobs.iter().find(|blob| blob.digest == *digest);
        let blob = blob.ok_or(io::ErrorKind::NotFound)?;
        Ok(Follower { blob, offset: 0 })
    }

    fn is_here(&self, blob: &Blob) -> bool {
        blob.chains.iter().all(|chain| self.storage.has_layer(chain))
    }

    fn fetch(&self, blob: &Blob) -> Result<()> {
        let stored = Error::store(format!("keep the download of {}", blob.digest));
        let partial = self.storage.partial(&blob.digest).map_err(stored)?;
        // Another process may have made the layers while this one waited.
        if self.is_here(blob) {
            blob.set(State::Present);
            self.progress.send(Event::Present { layer: blob.digest });
            partial.release();
            return self
                .storage
                .drop_partial(&blob.digest)
                .map_err(Error::store("remove a download"));
        }
        let fetched = self.fill(blob, &partial);
        partial.release();
        fetched
    }

    fn fill(&self, blob: &Blob, partial: &Partial) -> Result<()> {
        let stored = || Error::store(format!("keep the download of {}", blob.digest));
        let mut have = partial.length().map_err(stored())?;
        if have > blob.size {
            partial.truncate(0).map_err(stored())?;
            have = 0;
        }
        if have > 0 {
            self.resumed.store(true, Ordering::Relaxed);
        }
        let file = Arc::new(partial.file().map_err(stored())?);
        blob.set(State::There(Arc::clone(&file), have));
        self.progress.send(Event::Started { layer: blob.digest, size: blob.size });
        if have > 0 {
            self.progress.send(Event::Advanced { layer: blob.digest, bytes: have });
        }
        let mut attempt = 0;
        while have < blob.size {
            let before = have;
            match self.download(blob, partial, &file, &mut have) {
                Ok(()) => {}
                Err(_) if self.stopped.load(Ordering::Relaxed) => return Ok(()),
                Err(error @ Error::Network { .. }) => {
                    // A connection that brought something was a good one.
                    attempt = if have > before { 0 } else { attempt + 1 };
                    if attempt > self.access.retry || (self.access.retry == 0) {
                        return Err(error);
                    }
                    self.progress.send(Event::Retrying { why: chain(&error) });
                    pause(self.access, attempt.saturating_sub(1));
                }
                Err(error) => return Err(error),
            }
        }
        self.progress.send(Event::Finished { layer: blob.digest });
        Ok(())
    }

    /// One connection: from where the file ends to the end of the blob, or to where it breaks.
    fn download(
        &self,
        blob: &Blob,
        partial: &Partial,
        file: &Arc<File>,
        have: &mut u64,
    ) -> Result<()> {
        let action = format!("download {}", blob.digest);
        let (response, resumed) = self.remote.blob(&blob.digest, *have)?;
        // A registry that knows no ranges sends everything again.
        let mut at = if resumed { *have } else { 0 };
        let client = &self.remote.client;
        let mut reader = response.into_body().into_with_config().limit(u64::MAX).reader();
        let mut buffer = vec![0; BUFFER];
        let mut told = *have;
        while at < blob.size || at == 0 {
            if self.stopped.load(Ordering::Relaxed) {
                return Err(client.protocol(&action, "it is not wanted any more"));
            }
            let length = match reader.read(&mut buffer) {
                Ok(length) => length,
                Err(e) if e.kind() == io::ErrorKind::Interrupted => continue,
                Err(source) => return Err(client.network(&action, source)),
            };
            if length == 0 {
                let source = io::Error::new(
                    io::ErrorKind::UnexpectedEof,
                    format!("the connection ended after {at} of {} bytes", blob.size),
                );
                return Err(client.network(&action, source));
            }
            let end = at + length as u64;
            if end > blob.size {
                let why = format!("there are more than the {} bytes of its descriptor", blob.size);
                return Err(client.protocol(&action, why));
            }
            partial
                .write(buffer.get(..length).unwrap_or_default(), at)
                .map_err(Error::store("keep a download"))?;
            at = end;
            if at > *have {
                *have = at;
                blob.set(State::There(Arc::clone(file), at));
                if at - told >= STEP {
                    told = at;
                    self.progress.send(Event::Advanced { layer: blob.digest, bytes: at });
                }
            }
        }
        Ok(())
    }
}

impl Blob {
    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn set(&self, state: State) {
        *self.state() = state;
        self.changed.notify_all();
    }
}

/// Whatever happens to the thread: a blob that is not whole by then will not be.
struct FailOnDrop<'a>(&'a Blob);

impl Drop for FailOnDrop<'_> {
    fn drop(&mut self) {
        let mut state = self.0.state();
        let whole = match &*state {
            State::There(_, available) => *available >= self.0.size,
            State::Present => true,
            State::Waiting | State::Failed => false,
        };
        if !whole {
            *state = State::Failed;
        }
        drop(state);
        self.0.changed.notify_all();
    }
}

/// Reads a file that grows.
pub(super) struct Follower<'a> {
    blob: &'a Blob,
    offset: u64,
}

impl Read for Follower<'_> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let mut state = self.blob.state();
        let (file, available) = loop {
            match &*state {
                State::There(file, available)
                    if *available > self.offset || self.offset >= self.blob.size =>
                {
                    break (Arc::clone(file), *available);
                }
                State::There(..) | State::Waiting => {}
                State::Present => return Err(io::Error::other("the layer has gone meanwhile")),
                State::Failed => return Err(io::Error::other("the download has failed")),
            }
            state = self.blob.changed.wait(state).unwrap_or_else(PoisonError::into_inner);
        };
        drop(state);
        let left = usize::try_from(available.saturating_sub(self.offset)).unwrap_or(usize::MAX);
        let wanted = left.min(buffer.len());
        let length = file.read_at(buffer.get_mut(..wanted).unwrap_or_default(), self.offset)?;
        self.offset += length as u64;
        Ok(length)
    }
}
