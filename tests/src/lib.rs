//! The end-to-end harness: real `dhow`, real `dhow-shim`, a real runtime, in a private root.
//!
//! INVARIANT: a test shares nothing with another one or with the machine's own containers: each [`TestEnv`] has its
//! own root, run root, home and temporary directory, and on drop asserts that no mount, process, cgroup or file is
//! left. Nothing here sleeps for a guessed time: [`wait_until`] waits for a level, with a deadline.

pub mod bench;
mod command;
pub mod crash;
mod env;
pub mod image;
mod leak;
mod need;
mod netns;
pub mod podman;
mod process;
mod pty;
pub mod registry;
mod wait;

pub use command::{Output, Run, Running, split};
pub use env::{TestEnv, binary};
pub use image::{BASE, Image, Layer};
pub use need::{missing, strict};
pub use netns::NetNs;
pub use process::Proc;
pub use pty::Terminal;
pub use wait::{DEADLINE, wait_until, wait_until_for};
