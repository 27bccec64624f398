//! The generated spec run by a real runtime: what a program inside sees is what was asked for.
//!
//! Needs root, a runtime that can run here (runc, crun, youki) and busybox (static); without them the tests pass without
//! having looked, unless STRICT is set.

#![expect(
    clippy::disallowed_methods,
    reason = "tests make their trees with plain std::fs and ask the environment for STRICT"
)]
#![expect(clippy::unwrap_used, reason = "a test that cannot go on has failed")]

mod bundle;
mod inside;
mod lifecycle;
mod podman;

use dhow_oci::Host;
use dhow_oci::runtime::Runtime;
use std::path::{Path, PathBuf};

/// A statically linked busybox, to be the whole of a root file system.
pub(crate) fn busybox() -> Option<PathBuf> {
    ["/usr/bin/busybox", "/bin/busybox"].iter().map(PathBuf::from).find(|path| path.is_file())
}

pub(crate) fn search() -> Vec<PathBuf> {
    ["/usr/local/sbin", "/usr/local/bin", "/usr/sbin", "/usr/bin"]
        .iter()
        .map(PathBuf::from)
        .collect()
}

pub(crate) fn runtime(state: &Path, host: &Host) -> Option<Runtime> {
    let root = rustix::process::geteuid().is_root();
    Runtime::find(None, &search(), state, host).ok().filter(|_| root)
}

/// Says why a test did not look, or fails where it should have.
pub(crate) fn skip(missing: &str) {
    let strict = std::env::var_os("STRICT").is_some_and(|value| value != "0");
    assert!(!strict, "this test needs {missing}, and STRICT is set");
}
