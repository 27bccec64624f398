//! Files and directories as records need them: replaced whole, read within bounds, removed without surprises.
//!
//! INVARIANT: a reader of a path written by [`write_atomic`] sees the old bytes or the new ones, never a mixture.
//! INVARIANT: [`remove_tree`] deletes nothing outside the tree it was given: it follows no symbolic link and enters no
//! mount, whatever others do to the tree meanwhile.

use std::fs::File;
use std::io::{self, Read, Write};
use std::os::unix::fs::{DirBuilderExt, OpenOptionsExt, PermissionsExt};
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU64, Ordering};

mod owner;
mod remove;

pub use owner::change_owner;
pub use remove::remove_tree;

/// What [`write_atomic`] promises after it has returned.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Durability {
    /// The file and its directory entry are on the disk: they survive a power cut.
    Durable,
    /// The file survives this process, not the machine: for run directories and for what must not outlive a boot.
    Volatile,
}

/// Starts the name of every temporary file made by [`write_atomic`]; who lists a directory of records skips these.
pub const TEMPORARY_PREFIX: &str = ".tmp-";

/// Puts `bytes` at `path` in one step, replacing what was there, with exactly the permission bits `mode`.
///
/// CRASH: a kill before the rename leaves a file `.tmp-*` beside `path`; it goes when its directory is removed.
///
/// # Errors
/// What open, write, fsync or rename says; `path` is then as it was before and the temporary file is gone. The one
/// exception is a failure to sync the *directory*: the new bytes are visible, but a power cut may undo them.
pub fn write_atomic(
    path: &Path,
    bytes: &[u8],
    mode: u32,
    durability: Durability,
) -> io::Result<()> {
    let dir = parent_of(path)?;
    let (mut file, temporary) = create_temporary(dir)?;
    file.write_all(bytes)?;
    // The umask has had its say in open(2); records state their mode exactly.
    file.set_permissions(std::fs::Permissions::from_mode(mode))?;
    if durability == Durability::Durable {
        file.sync_all()?;
    }
    temporary.rename(path)?;
    if durability == Durability::Durable {
        // ORDER: the entry after the contents, or a power cut could leave the name of an empty file.
        sync_dir(dir)?;
    }
    Ok(())
}

fn parent_of(path: &Path) -> io::Result<&Path> {
    match path.parent() {
        Some(dir) if dir.as_os_str().is_empty() => Ok(Path::new(".")),
        Some(dir) => Ok(dir),
        None => {
            Err(io::Error::new(io::ErrorKind::InvalidInput, "a path without a parent directory"))
        }
    }
}

/// A temporary file's name; the file goes with it unless it was renamed.
struct Temporary(Option<PathBuf>);

impl Temporary {
    fn rename(mut self, to: &Path) -> io::Result<()> {
        if let Some(from) = &self.0 {
            std::fs::rename(from, to)?;
        }
        self.0 = None;
        Ok(())
    }
}

impl Drop for Temporary {
    fn drop(&mut self) {
        if let Some(path) = &self.0 {
            drop(std::fs::remove_file(path));
        }
    }
}

fn create_temporary(dir: &Path) -> io::Result<(File, Temporary)> {
    static COUNTER: AtomicU64 = AtomicU64::new(0);
    // A name may be taken by the remains of a killed process that had our pid: go on to the next number.
    for _ in 0..1000 {
        let number = COUNTER.fetch_add(1, Ordering::Relaxed);
        let path = dir.join(format!("{TEMPORARY_PREFIX}{}-{number}", std::process::id()));
        match File::options().write(true).create_new(true).mode(0o600).open(&path) {
            Ok(file) => return Ok((file, Temporary(Some(path)))),
            Err(e) if e.kind() == io::ErrorKind::AlreadyExists => {}
            Err(e) => return Err(e),
        }
    }
    Err(io::Error::new(io::ErrorKind::AlreadyExists, "no free name for a temporary file"))
}

/// Reads the regular file `path` whole, at most `max` bytes.
///
/// # Errors
/// `FileTooLarge` if there is more; `InvalidInput` if it is not a regular file (a fifo is not waited for).
pub fn read_bounded(path: &Path, max: u64) -> io::Result<Vec<u8>> {
    let file =
        File::options().read(true).custom_flags(libc::O_NONBLOCK | libc::O_NOCTTY).open(path)?;
    let metadata = file.metadata()?;
    if !metadata.is_file() {
        return Err(io::Error::new(io::ErrorKind::InvalidInput, "not a regular file"));
    }
    // The size is a hint for the buffer only: files of /proc say 0.
    let mut bytes =
        Vec::with_capacity(usize::try_from(metadata.len().min(max).min(1 << 20)).unwrap_or(0) + 1);
    file.take(max.saturating_add(1)).read_to_end(&mut bytes)?;
    if u64::try_from(bytes.len()).unwrap_or(u64::MAX) > max {
        return Err(io::Error::new(
            io::ErrorKind::FileTooLarge,
            format!("larger than {max} bytes"),
        ));
    }
    Ok(bytes)
}

/// Makes one directory with exactly the permission bits `mode`.
///
/// # Errors
/// `AlreadyExists`, `NotFound` (no parent) and what else mkdir(2) says.
pub fn create_dir(path: &Path, mode: u32) -> io::Result<()> {
    std::fs::DirBuilder::new().mode(mode).create(path)?;
    if mode & 0o077 != 0 {
        // Only bits for others are ever taken away by a usual umask.
        std::fs::set_permissions(path, std::fs::Permissions::from_mode(mode))?;
    }
    Ok(())
}

/// Makes `path` and the directories above it that are missing, each with the permission bits `mode`. What exists stays
/// as it is.
///
/// # Errors
/// What mkdir(2) says; `NotADirectory` if something else is in the way.
pub fn create_dir_all(path: &Path, mode: u32) -> io::Result<()> {
    match create_dir(path, mode) {
        Ok(()) => Ok(()),
        Err(e) if e.kind() == io::ErrorKind::AlreadyExists => {
            if std::fs::metadata(path)?.is_dir() {
                Ok(())
            } else {
                Err(io::Error::new(
                    io::ErrorKind::NotADirectory,
                    format!("{} is not a directory", path.display()),
                ))
            }
        }
        Err(e) if e.kind() == io::ErrorKind::NotFound => {
            create_dir_all(parent_of(path)?, mode)?;
            match create_dir(path, mode) {
                // Somebody else made it meanwhile.
                Err(e) if e.kind() == io::ErrorKind::AlreadyExists => Ok(()),
                other => other,
            }
        }
        Err(e) => Err(e),
    }
}

/// Brings the entries of a directory to the disk.
///
/// # Errors
/// What open or fsync says.
pub fn sync_dir(path: &Path) -> io::Result<()> {
    File::options().read(true).custom_flags(libc::O_DIRECTORY).open(path)?.sync_all()
}

#[cfg(test)]
#[expect(clippy::disallowed_methods, reason = "tests make plain files to look at")]
mod tests {
    use super::*;

    fn entries(dir: &Path) -> Vec<String> {
        let mut names: Vec<_> = std::fs::read_dir(dir)
            .unwrap()
            .map(|e| e.unwrap().file_name().into_string().unwrap())
            .collect();
        names.sort();
        names
    }

    #[test]
    fn write_replaces_the_whole_file_with_the_mode_asked_for() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("record");
        write_atomic(&path, b"a long first version", 0o644, Durability::Durable).unwrap();
        write_atomic(&path, b"second", 0o666, Durability::Volatile).unwrap();
        assert_eq!(std::fs::read(&path).unwrap(), b"second");
        assert_eq!(std::fs::metadata(&path).unwrap().permissions().mode() & 0o7777, 0o666);
        assert_eq!(entries(dir.path()), ["record"]);
    }

    #[test]
    fn a_failed_write_leaves_the_old_file_and_nothing_else() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("record");
        std::fs::create_dir(&path).unwrap();
        write_atomic(&path, b"x", 0o600, Durability::Volatile).unwrap_err();
        assert_eq!(entries(dir.path()), ["record"]);
        let missing = dir.path().join("none/record");
        assert_eq!(
            write_atomic(&missing, b"x", 0o600, Durability::Volatile).unwrap_err().kind(),
            io::ErrorKind::NotFound
        );
    }

    #[test]
    fn a_leftover_with_our_pid_is_stepped_over() {
        let dir = tempfile::tempdir().unwrap();
        for n in 0..200 {
            std::fs::write(
                dir.path().join(format!("{TEMPORARY_PREFIX}{}-{n}", std::process::id())),
                "",
            )
            .unwrap();
        }
        write_atomic(&dir.path().join("r"), b"x", 0o600, Durability::Volatile).unwrap();
        assert_eq!(std::fs::read(dir.path().join("r")).unwrap(), b"x");
    }

    #[test]
    fn concurrent_writers_and_readers_see_whole_versions() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("r");
        write_atomic(&path, &[b'0'; 9000], 0o600, Durability::Volatile).unwrap();
        std::thread::scope(|s| {
            for byte in b'1'..=b'3' {
                let path = &path;
                s.spawn(move || {
                    for _ in 0..100 {
                        write_atomic(path, &[byte; 9000], 0o600, Durability::Volatile).unwrap();
                    }
                });
            }
            for _ in 0..300 {
                let seen = read_bounded(&path, 9000).unwrap();
                assert_eq!(seen.len(), 9000);
                assert!(seen.iter().all(|b| *b == seen[0]));
            }
        });
        assert_eq!(entries(dir.path()), ["r"]);
    }

    #[test]
    fn reads_are_bounded_and_never_wait_on_a_fifo() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("f");
        std::fs::write(&path, "12345").unwrap();
        assert_eq!(read_bounded(&path, 5).unwrap(), b"12345");
        assert_eq!(read_bounded(&path, 4).unwrap_err().kind(), io::ErrorKind::FileTooLarge);
        let fifo = dir.path().join("fifo");
        nix::unistd::mkfifo(&fifo, nix::sys::stat::Mode::S_IRWXU).unwrap();
        assert_eq!(read_bounded(&fifo, 4).unwrap_err().kind(), io::ErrorKind::InvalidInput);
        assert_eq!(read_bounded(dir.path(), 4).unwrap_err().kind(), io::ErrorKind::InvalidInput);
        assert!(!read_bounded(Path::new("/proc/self/status"), 1 << 16).unwrap().is_empty());
    }

    #[test]
    fn directories_are_made_with_their_mode_and_existing_ones_stay() {
        let dir = tempfile::tempdir().unwrap();
        let deep = dir.path().join("a/b/c");
        create_dir_all(&deep, 0o701).unwrap();
        create_dir_all(&deep, 0o755).unwrap();
        assert_eq!(std::fs::metadata(&deep).unwrap().permissions().mode() & 0o7777, 0o701);
        assert_eq!(create_dir(&deep, 0o700).unwrap_err().kind(), io::ErrorKind::AlreadyExists);
        std::fs::write(dir.path().join("file"), "").unwrap();
        create_dir_all(&dir.path().join("file"), 0o700).unwrap_err();
        create_dir_all(&dir.path().join("file/x"), 0o700).unwrap_err();
    }
}
