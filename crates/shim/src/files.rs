//! Names of what the monitor keeps in its run directory (`--run-dir`; without it, the bundle).

/// The attach socket (SOCK_SEQPACKET, 0700); gone when the container has ended.
pub const ATTACH: &str = "attach";
/// The control FIFO: lines of [`crate::ctl`].
pub const CTL: &str = "ctl";
/// The FIFO through which a resize reaches the terminal: `ROWS COLUMNS`, one a line.
pub const WINSZ: &str = "winsz";
/// [`crate::records::Started`].
pub const STARTED: &str = "started.json";
/// [`crate::records::Exit`].
pub const EXIT: &str = "exit.json";
/// Empty; there if the kernel's out-of-memory killer was at work in the container.
pub const OOM: &str = "oom";
/// [`crate::records::Losses`]; there if the log could not take all output.
pub const LOSSES: &str = "lost.json";
