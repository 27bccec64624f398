//! A network namespace of a test's own: its commands run in it, what they make there meets no other test, and ends with it.

use std::fs::File;
use std::sync::Arc;

use nix::sched::{CloneFlags, setns, unshare};

use crate::process::Children;

/// A namespace, kept by its descriptor.
#[derive(Debug, Clone)]
pub struct NetNs(Arc<File>);

impl NetNs {
    /// A new one, with its loopback device up.
    ///
    /// # Panics
    /// Where it cannot be made: the tests run as root.
    #[expect(
        clippy::new_without_default,
        reason = "a default that asks the kernel for something would surprise"
    )]
    #[expect(clippy::disallowed_methods, reason = "the harness starts programs as a shell would")]
    pub fn new() -> Self {
        let made = in_thread(|| {
            unshare(CloneFlags::CLONE_NEWNET).expect("a network namespace");
            let mut up = std::process::Command::new("ip");
            Children::run(up.args(["link", "set", "lo", "up"])).expect("iproute2 is there");
            File::open("/proc/thread-self/ns/net").expect("/proc is mounted")
        });
        Self(Arc::new(made))
    }

    /// Calls `f` in a thread that is in it; what `f` starts is in it too.
    ///
    /// # Panics
    /// As `f` does.
    pub fn inside<T: Send>(&self, f: impl FnOnce() -> T + Send) -> T {
        in_thread(|| {
            setns(&self.0, CloneFlags::CLONE_NEWNET).expect("the namespace can be entered");
            f()
        })
    }
}

fn in_thread<T: Send>(f: impl FnOnce() -> T + Send) -> T {
    std::thread::scope(|scope| match scope.spawn(f).join() {
        Ok(value) => value,
        Err(panic) => std::panic::resume_unwind(panic),
    })
}
