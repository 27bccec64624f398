//! The real binary, driven through the library as an engine drives it: with a scripted runtime, and with runc.
#![expect(
    clippy::disallowed_methods,
    reason = "tests read PATH and write scripts with std::fs::write"
)]
#![expect(clippy::unwrap_used, reason = "helpers of tests fail as tests do")]

mod attach;
mod compat;
mod exec;
mod exit;
mod harness;
mod journal;
mod log;
mod real;
mod start;
