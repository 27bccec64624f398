//! Kernel objects as RAII: mounts, locks, processes, in-root paths, atomic writes, sockets, pipes, terminals,
//! network namespaces.
//!
//! The only crate of the workspace with `unsafe`. It knows files, processes and mounts, and nothing of containers.
#![expect(
    unsafe_code,
    reason = "this crate is where unsafe code is allowed; every block says why it is sound"
)]

pub mod boot;
pub mod bpf;
pub mod daemon;
pub mod fs;
pub mod lock;
pub mod memory;
pub mod mount;
pub mod mountinfo;
pub mod netns;
pub mod pidfd;
pub mod pipe;
pub mod process;
pub mod random;
pub mod root;
pub mod seccomp;
pub mod socket;
pub mod space;
pub mod tty;
pub mod watch;
pub mod xattr;
