//! What can be wrong with a profile.

use oci_spec::runtime::Arch;

/// Why a profile is not compiled.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// There is no table of system calls for it.
    #[error("seccomp architecture {0} is not supported")]
    Architecture(Arch),
    /// The profile contradicts the runtime spec.
    #[error("invalid seccomp profile: {0}")]
    Invalid(String),
    /// The kernel takes programs of 4096 instructions at most.
    #[error("seccomp filter of {0} instructions is too long: the kernel takes 4096")]
    TooLong(usize),
}
