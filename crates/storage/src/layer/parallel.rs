//! The layers of one image side by side: extracted in any order, published from the lowest up.
//!
//! A layer needs those below it for little: a hard link into them, the mode of a directory that it does not list, what a
//! whiteout hides. So each is extracted as its turn among the workers comes, and waits only where it must.
//!
//! INVARIANT: workers take layers in order, so that the lowest unfinished one waits for nobody, and so does the whole.
//! The same order holds among processes, as they share a prefix of the chain or nothing.

use std::path::PathBuf;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Condvar, Mutex, PoisonError};

use crate::error::{Error, Result};
use crate::{ChainId, Layer, Storage};

/// Each worker has a thread that decompresses beside it.
const MAX_WORKERS: usize = 8;

/// The layers below one that is being made.
pub(super) struct Below<'a> {
    storage: &'a Storage,
    parent: Option<ChainId>,
    progress: Option<(&'a Progress, usize)>,
}

impl<'a> Below<'a> {
    /// Layers that are all there.
    pub(super) fn ready(storage: &'a Storage, parent: Option<&ChainId>) -> Below<'a> {
        Below { storage, parent: parent.copied(), progress: None }
    }

    pub(super) fn is_empty(&self) -> bool {
        self.parent.is_none()
    }

    /// The parent, once it is published; waits for it.
    pub(super) fn published(&self) -> Result<Option<ChainId>> {
        if let Some((progress, index)) = self.progress {
            progress.wait_below(index)?;
        }
        Ok(self.parent)
    }

    /// Their directories, the topmost first; waits for all of them.
    pub(super) fn dirs(&self) -> Result<Vec<PathBuf>> {
        let parent = self.published()?;
        self.storage.layer_dirs(parent.as_ref())
    }
}

/// What has become of each layer.
struct Progress {
    results: Mutex<Vec<Option<Result<Layer>>>>,
    changed: Condvar,
}

impl Progress {
    fn wait_below(&self, index: usize) -> Result<()> {
        let Some(below) = index.checked_sub(1) else { return Ok(()) };
        let mut results = self.results.lock().unwrap_or_else(PoisonError::into_inner);
        loop {
            match results.get(below) {
                Some(None) => {}
                Some(Some(Ok(_))) => return Ok(()),
                _ => return Err(Error::Abandoned),
            }
            results = self.changed.wait(results).unwrap_or_else(PoisonError::into_inner);
        }
    }

    fn set(&self, index: usize, result: Result<Layer>) {
        let mut results = self.results.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(slot) = results.get_mut(index) {
            *slot = Some(result);
        }
        self.changed.notify_all();
    }
}

/// A worker that panics must not leave the others waiting for its layer.
struct SetOnDrop<'a>(&'a Progress, usize, Option<Result<Layer>>);

impl Drop for SetOnDrop<'_> {
    fn drop(&mut self) {
        self.0.set(self.1, self.2.take().unwrap_or(Err(Error::Abandoned)));
    }
}

/// Calls `make` for each chain, several at a time, and gives the layers in order, or the error of the lowest that
/// failed.
pub(super) fn each(
    storage: &Storage,
    chains: &[ChainId],
    make: impl Fn(usize, &Below<'_>) -> Result<Layer> + Sync,
) -> Result<Vec<Layer>> {
    let progress = Progress {
        results: Mutex::new(chains.iter().map(|_| None).collect()),
        changed: Condvar::new(),
    };
    let next = AtomicUsize::new(0);
    // What comes after a failure would be thrown away.
    let failed = AtomicBool::new(false);
    let work = || {
        loop {
            let index = next.fetch_add(1, Ordering::Relaxed);
            if index >= chains.len() {
                return;
            }
            let parent = index.checked_sub(1).and_then(|below| chains.get(below)).copied();
            let below = Below { storage, parent, progress: Some((&progress, index)) };
            let mut outcome = SetOnDrop(&progress, index, None);
            if failed.load(Ordering::Relaxed) {
                continue;
            }
            let made = make(index, &below);
            failed.fetch_or(made.is_err(), Ordering::Relaxed);
            outcome.2 = Some(made);
        }
    };
    let cpus = std::thread::available_parallelism().map_or(1, usize::from);
    let workers = cpus.clamp(1, MAX_WORKERS).min(chains.len());
    std::thread::scope(|scope| {
        for _ in 1..workers {
            scope.spawn(work);
        }
        work();
    });
    let results = progress.results.into_inner().unwrap_or_else(PoisonError::into_inner);
    results.into_iter().map(|result| result.unwrap_or(Err(Error::Abandoned))).collect()
}
