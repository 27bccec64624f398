//! flock(2) on files that may be deleted while others wait for them.
//!
//! INVARIANT: a [`FileLock`] is held on the file that is at its path now: whoever acquired the lock of a file that was
//! unlinked meanwhile tries again with the new one. So lock files need not be kept for ever.
//! INVARIANT: the descriptor is close-on-exec; a lock ends with the process that took it, whatever it has started.
//! flock belongs to the open file description: two locks taken by two threads exclude each other too.

use std::fs::File;
use std::io;
use std::os::unix::fs::{FileExt as _, MetadataExt, OpenOptionsExt};
use std::path::{Path, PathBuf};
use std::sync::mpsc;
use std::time::{Duration, Instant};

/// How a lock is shared.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum LockMode {
    /// Others may hold it shared at the same time.
    Shared,
    /// Nobody else holds it.
    Exclusive,
}

/// Why a lock was not had.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum LockError {
    /// Somebody else kept it all the time.
    #[error("lock {} is still held after {waited:?}{}", path.display(), by(*holder))]
    Timeout {
        /// The lock file.
        path: PathBuf,
        /// The process that wrote itself into the file, if it is readable.
        holder: Option<i32>,
        /// How long it was waited for.
        waited: Duration,
    },
    /// The file could not be opened, locked or looked at.
    #[error("cannot {action} lock {}", path.display())]
    Io {
        /// What was being done.
        action: &'static str,
        /// The lock file.
        path: PathBuf,
        /// What the kernel said.
        source: io::Error,
    },
}

fn by(holder: Option<i32>) -> String {
    holder.map(|pid| format!(" by process {pid}")).unwrap_or_default()
}

impl LockError {
    /// Whether the lock's directory is not there.
    #[must_use]
    pub fn is_not_found(&self) -> bool {
        matches!(self, LockError::Io { source, .. } if source.kind() == io::ErrorKind::NotFound)
    }
}

/// A held lock. Dropping it releases it; the file stays, unless [`FileLock::unlink`] is called.
#[must_use = "the lock is released when this is dropped"]
#[derive(Debug)]
pub struct FileLock {
    file: File,
    path: PathBuf,
}

/// Whether a lock file is made where there is none.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Missing {
    Create,
    Leave,
}

impl FileLock {
    /// Takes the lock `path`, making the file (mode 0600) if need be, waiting at most `timeout` (`None`: for ever).
    ///
    /// # Errors
    /// [`LockError::Timeout`] naming the holder; [`LockError::Io`], with `NotFound` if the directory is missing.
    pub fn acquire(
        path: &Path,
        mode: LockMode,
        timeout: Option<Duration>,
    ) -> Result<FileLock, LockError> {
        let deadline = timeout.map(|t| (Instant::now(), t));
        loop {
            let Some(file) = open(path, Missing::Create)? else { continue };
            if let Some(lock) = wait_and_check(file, path, mode, deadline)? {
                return Ok(lock);
            }
        }
    }

    /// Like [`FileLock::acquire`], but `Ok(None)` if there is no such file, or none any more once it is our turn.
    ///
    /// # Errors
    /// As [`FileLock::acquire`].
    pub fn acquire_existing(
        path: &Path,
        mode: LockMode,
        timeout: Option<Duration>,
    ) -> Result<Option<FileLock>, LockError> {
        let deadline = timeout.map(|t| (Instant::now(), t));
        loop {
            let Some(file) = open(path, Missing::Leave)? else { return Ok(None) };
            if let Some(lock) = wait_and_check(file, path, mode, deadline)? {
                return Ok(Some(lock));
            }
        }
    }

    /// Takes the lock if nobody has it; `Ok(None)` if somebody has. Makes the file if need be.
    ///
    /// # Errors
    /// [`LockError::Io`].
    pub fn try_acquire(path: &Path, mode: LockMode) -> Result<Option<FileLock>, LockError> {
        loop {
            let Some(file) = open(path, Missing::Create)? else { continue };
            if !try_flock(&file, mode).map_err(|e| io_error("take", path, e))? {
                return Ok(None);
            }
            if let Some(lock) = checked(file, path, mode)? {
                return Ok(Some(lock));
            }
        }
    }

    /// The file's path.
    #[must_use]
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// Deletes the lock file and releases the lock: those who wait for it find out and use a new file.
    ///
    /// # Errors
    /// What unlink(2) says; the lock is released all the same.
    pub fn unlink(self) -> Result<(), LockError> {
        match std::fs::remove_file(&self.path) {
            Err(e) if e.kind() != io::ErrorKind::NotFound => Err(io_error("delete", &self.path, e)),
            _ => Ok(()),
        }
    }
}

/// The process that holds the lock `path` exclusively, as it wrote itself; only meaningful while it is held.
#[must_use]
pub fn holder(path: &Path) -> Option<i32> {
    let bytes = crate::fs::read_bounded(path, 64).ok()?;
    std::str::from_utf8(&bytes).ok()?.trim().parse().ok().filter(|pid| *pid > 0)
}

fn io_error(action: &'static str, path: &Path, source: io::Error) -> LockError {
    LockError::Io { action, path: path.to_path_buf(), source }
}

/// `None`: there is no such file (only with [`Missing::Leave`]).
fn open(path: &Path, missing: Missing) -> Result<Option<File>, LockError> {
    let create = missing == Missing::Create;
    let mut options = File::options();
    options
        .read(true)
        .write(true)
        .create(create)
        .mode(0o600)
        .custom_flags(libc::O_NOFOLLOW | libc::O_NONBLOCK);
    match options.open(path) {
        Ok(file) => Ok(Some(file)),
        Err(e) if !create && e.kind() == io::ErrorKind::NotFound => Ok(None),
        Err(e) => Err(io_error("open", path, e)),
    }
}

/// `None`: the file was replaced while we waited.
fn wait_and_check(
    file: File,
    path: &Path,
    mode: LockMode,
    deadline: Option<(Instant, Duration)>,
) -> Result<Option<FileLock>, LockError> {
    if try_flock(&file, mode).map_err(|e| io_error("take", path, e))? {
        return checked(file, path, mode);
    }
    let Some((start, timeout)) = deadline else {
        flock(&file, mode).map_err(|e| io_error("take", path, e))?;
        return checked(file, path, mode);
    };
    let waited =
        || LockError::Timeout { path: path.to_path_buf(), holder: holder(path), waited: timeout };
    let left =
        timeout.checked_sub(start.elapsed()).filter(|left| !left.is_zero()).ok_or_else(waited)?;
    // flock has no timeout, and a signal to interrupt it would need a handler in whatever process we are a part of: a
    // thread blocks in it. When we give up, the send fails or its message is dropped, and with it file and lock.
    let (send, receive) = mpsc::sync_channel(1);
    std::thread::Builder::new()
        .name("flock".to_owned())
        .stack_size(64 * 1024)
        .spawn(move || {
            let result = flock(&file, mode);
            drop(send.send(result.map(|()| file)));
        })
        .map_err(|e| io_error("wait for", path, e))?;
    match receive.recv_timeout(left) {
        Ok(Ok(file)) => checked(file, path, mode),
        Ok(Err(e)) => Err(io_error("take", path, e)),
        Err(mpsc::RecvTimeoutError::Timeout) => Err(waited()),
        Err(mpsc::RecvTimeoutError::Disconnected) => {
            Err(io_error("wait for", path, io::Error::other("the waiting thread ended")))
        }
    }
}

/// Makes a lock of a locked file, if that is still the file at the path.
fn checked(file: File, path: &Path, mode: LockMode) -> Result<Option<FileLock>, LockError> {
    let ours = file.metadata().map_err(|e| io_error("look at", path, e))?;
    match std::fs::symlink_metadata(path) {
        Ok(there) if there.dev() == ours.dev() && there.ino() == ours.ino() => {}
        Ok(_) => return Ok(None),
        Err(e) if e.kind() == io::ErrorKind::NotFound => return Ok(None),
        Err(e) => return Err(io_error("look at", path, e)),
    }
    if mode == LockMode::Exclusive {
        // For the message of those who wait in vain; of one width, so that nothing of a longer one stays.
        let line = format!("{:>10}\n", std::process::id());
        file.write_all_at(line.as_bytes(), 0).map_err(|e| io_error("write", path, e))?;
    }
    Ok(Some(FileLock { file, path: path.to_path_buf() }))
}

fn try_flock(file: &File, mode: LockMode) -> io::Result<bool> {
    loop {
        let result = match mode {
            LockMode::Shared => fs2::FileExt::try_lock_shared(file),
            LockMode::Exclusive => fs2::FileExt::try_lock_exclusive(file),
        };
        match result {
            Ok(()) => return Ok(true),
            Err(e) if e.kind() == io::ErrorKind::WouldBlock => return Ok(false),
            Err(e) if e.kind() == io::ErrorKind::Interrupted => {}
            Err(e) => return Err(e),
        }
    }
}

fn flock(file: &File, mode: LockMode) -> io::Result<()> {
    loop {
        let result = match mode {
            LockMode::Shared => fs2::FileExt::lock_shared(file),
            LockMode::Exclusive => fs2::FileExt::lock_exclusive(file),
        };
        match result {
            Err(e) if e.kind() == io::ErrorKind::Interrupted => {}
            other => return other,
        }
    }
}

impl Drop for FileLock {
    fn drop(&mut self) {
        // Closing would do, but only if no duplicate of the description exists; be explicit.
        drop(fs2::FileExt::unlock(&self.file));
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::sync::atomic::{AtomicU32, Ordering};

    const EXCLUSIVE: LockMode = LockMode::Exclusive;

    #[test]
    fn exclusive_excludes_and_shared_shares() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("lock");
        let held = FileLock::acquire(&path, EXCLUSIVE, None).unwrap();
        assert!(FileLock::try_acquire(&path, EXCLUSIVE).unwrap().is_none());
        assert!(FileLock::try_acquire(&path, LockMode::Shared).unwrap().is_none());
        drop(held);
        let one = FileLock::try_acquire(&path, LockMode::Shared).unwrap().unwrap();
        let two = FileLock::try_acquire(&path, LockMode::Shared).unwrap().unwrap();
        assert!(FileLock::try_acquire(&path, EXCLUSIVE).unwrap().is_none());
        drop((one, two));
        assert!(FileLock::try_acquire(&path, EXCLUSIVE).unwrap().is_some());
    }

    #[test]
    fn a_timeout_names_the_holder_and_the_lock_is_free_afterwards() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("lock");
        let held = FileLock::acquire(&path, EXCLUSIVE, None).unwrap();
        let error =
            FileLock::acquire(&path, EXCLUSIVE, Some(Duration::from_millis(30))).unwrap_err();
        let me = i32::try_from(std::process::id()).unwrap();
        assert!(
            matches!(error, LockError::Timeout { holder: Some(pid), .. } if pid == me),
            "{error}"
        );
        assert!(error.to_string().contains(&format!("by process {me}")), "{error}");
        drop(held);
        // The abandoned waiter may have it for a moment, and gives it back.
        drop(FileLock::acquire(&path, EXCLUSIVE, Some(Duration::from_secs(20))).unwrap());
    }

    #[test]
    fn a_waiter_gets_it_when_it_is_released() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("lock");
        let held = FileLock::acquire(&path, EXCLUSIVE, None).unwrap();
        std::thread::scope(|s| {
            let waiter = s.spawn(|| {
                FileLock::acquire(&path, EXCLUSIVE, Some(Duration::from_secs(20))).is_ok()
            });
            let blocked = s.spawn(|| FileLock::acquire(&path, EXCLUSIVE, None).is_ok());
            drop(held);
            assert!(waiter.join().unwrap() && blocked.join().unwrap());
        });
    }

    #[test]
    fn mutual_exclusion_holds_while_the_file_is_deleted_again_and_again() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("lock");
        let (inside, rounds) = (AtomicU32::new(0), AtomicU32::new(0));
        std::thread::scope(|s| {
            for t in 0..4 {
                let (path, inside, rounds) = (&path, &inside, &rounds);
                s.spawn(move || {
                    for n in 0..200 {
                        let lock =
                            FileLock::acquire(path, EXCLUSIVE, Some(Duration::from_secs(60)))
                                .unwrap();
                        assert_eq!(inside.fetch_add(1, Ordering::SeqCst), 0);
                        rounds.fetch_add(1, Ordering::SeqCst);
                        assert_eq!(inside.fetch_sub(1, Ordering::SeqCst), 1);
                        if (n + t) % 3 == 0 { lock.unlink().unwrap() } else { drop(lock) }
                    }
                });
            }
        });
        assert_eq!(rounds.load(Ordering::SeqCst), 800);
    }

    #[test]
    fn an_existing_lock_is_not_made_and_its_deletion_is_noticed() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("lock");
        assert!(FileLock::acquire_existing(&path, EXCLUSIVE, None).unwrap().is_none());
        assert!(!path.exists());
        let held = FileLock::acquire(&path, EXCLUSIVE, None).unwrap();
        std::thread::scope(|s| {
            let waiter =
                s.spawn(|| FileLock::acquire_existing(&path, EXCLUSIVE, None).unwrap().is_none());
            held.unlink().unwrap();
            assert!(waiter.join().unwrap());
        });
    }

    #[test]
    fn a_missing_directory_and_a_symbolic_link_are_errors() {
        let dir = tempfile::tempdir().unwrap();
        assert!(
            FileLock::acquire(&dir.path().join("no/lock"), EXCLUSIVE, None)
                .unwrap_err()
                .is_not_found()
        );
        std::os::unix::fs::symlink("elsewhere", dir.path().join("lock")).unwrap();
        FileLock::acquire(&dir.path().join("lock"), EXCLUSIVE, None).unwrap_err();
        assert!(!dir.path().join("elsewhere").exists());
    }
}
