//! Network namespaces: made under a path, entered for the time of a closure.
//!
//! INVARIANT: no thread that existed before a call changes its namespace: every unshare(2) and setns(2) happens in a
//! thread that ends with the call. What such a thread opens (a netlink socket) stays in the namespace it was opened in.

use std::fs::File;
use std::io;
use std::os::fd::AsFd;
use std::path::Path;

use nix::sched::{CloneFlags, setns, unshare};

use crate::mount::Bind;

/// Makes a network namespace with nothing but a loopback device that is down, keeps it at `path` (a bind mount on a file,
/// made here, mode 0600), and returns what `f` makes of it: a closure that runs inside.
///
/// CRASH: a kill leaves the file, with or without the mount; [`remove`] takes both away.
///
/// # Errors
/// What open(2), unshare(2) and mount(2) say; `AlreadyExists` where there is something at `path`.
pub fn create<T: Send>(path: &Path, f: impl FnOnce() -> T + Send) -> io::Result<T> {
    std::os::unix::fs::OpenOptionsExt::mode(File::options().write(true).create_new(true), 0o600)
        .open(path)?;
    in_thread(|| {
        unshare(CloneFlags::CLONE_NEWNET)?;
        crate::mount::bind(Path::new("/proc/thread-self/ns/net"), path, &Bind::default())?;
        Ok(f())
    })
}

/// Runs `f` inside the namespace that a file refers to: one kept by [`create`], or `/proc/<pid>/ns/net`.
///
/// # Errors
/// What setns(2) says: `InvalidInput` if it is no network namespace.
pub fn inside<T: Send>(namespace: impl AsFd, f: impl FnOnce() -> T + Send) -> io::Result<T> {
    let namespace = namespace.as_fd();
    in_thread(|| {
        setns(namespace, CloneFlags::CLONE_NEWNET)?;
        Ok(f())
    })
}

/// Gives up the namespace kept at `path`: it ends with its last process, and its devices with it. Nothing where there is
/// nothing.
///
/// # Errors
/// What umount2(2) and unlink(2) say.
pub fn remove(path: &Path) -> io::Result<()> {
    match crate::mount::unmount(path, true) {
        Ok(_) => {}
        Err(e) if e.kind() == io::ErrorKind::NotFound => return Ok(()),
        Err(e) => return Err(e),
    }
    match std::fs::remove_file(path) {
        Err(e) if e.kind() != io::ErrorKind::NotFound => Err(e),
        _ => Ok(()),
    }
}

fn in_thread<T: Send>(f: impl FnOnce() -> io::Result<T> + Send) -> io::Result<T> {
    std::thread::scope(|scope| {
        let thread = std::thread::Builder::new().name("netns".into()).spawn_scoped(scope, f)?;
        match thread.join() {
            Ok(result) => result,
            Err(panic) => std::panic::resume_unwind(panic),
        }
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn own() -> io::Result<std::path::PathBuf> {
        std::fs::read_link("/proc/thread-self/ns/net")
    }

    #[test]
    fn a_namespace_is_made_entered_and_given_up() {
        if !nix::unistd::geteuid().is_root() {
            return;
        }
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("net");
        let before = own().unwrap();
        let made = create(&path, own).unwrap().unwrap();
        assert_ne!(made, before);
        assert_eq!(own().unwrap(), before, "the caller stays where it is");
        let again = inside(File::open(&path).unwrap(), own).unwrap().unwrap();
        assert_eq!(again, made);
        assert_eq!(create(&path, || ()).unwrap_err().kind(), io::ErrorKind::AlreadyExists);
        remove(&path).unwrap();
        remove(&path).unwrap();
        assert!(!path.exists());
    }

    #[test]
    fn what_is_no_network_namespace_is_refused() {
        let file = tempfile::tempfile().unwrap();
        assert_eq!(inside(file, || ()).unwrap_err().kind(), io::ErrorKind::InvalidInput);
    }
}
