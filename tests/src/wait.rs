//! Waiting for a level, with a deadline.

use std::time::{Duration, Instant};

/// How long anything may take on a loaded two-core machine before it counts as never.
pub const DEADLINE: Duration = Duration::from_secs(60);

/// Returns once `level` holds; panics, naming `what`, after [`DEADLINE`].
#[track_caller]
pub fn wait_until(what: &str, level: impl FnMut() -> bool) {
    wait_until_for(DEADLINE, what, level);
}

/// Returns once `level` holds; panics, naming `what`, after `deadline`.
#[track_caller]
pub fn wait_until_for(deadline: Duration, what: &str, mut level: impl FnMut() -> bool) {
    let start = Instant::now();
    while !level() {
        assert!(start.elapsed() < deadline, "{what}: not so after {deadline:?}");
        std::thread::park_timeout(Duration::from_millis(5));
    }
}
