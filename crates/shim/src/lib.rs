//! The monitor's protocol: its command line, its messages, its files. `docs/shim.md` is the reference.
//!
//! The binary of this package, `dhow-shim`, speaks the other side. Knows no image, no spec, no record but the two that the
//! monitor writes. INVARIANT: what conmon has a form for has exactly that form here.

pub mod args;
pub mod attach;
pub mod ctl;
pub mod files;
pub mod launch;
pub mod log;
pub mod records;
pub mod sync;
