//! Seccomp profiles of the runtime spec compiled to BPF programs.
//!
//! A program answers for each architecture of the profile by a binary search over the numbers of its system calls, so
//! that a call costs O(log n) instructions. What a profile means is what runc and libseccomp take it to mean; the rules
//! are told at [`compile`].
//!
//! It knows no container, no profile in docker's format and no kernel: what it makes is installed by
//! `dhow_sys::seccomp::install`, by whoever runs the container.

mod arch;
mod cache;
mod emit;
mod error;
mod program;
mod rule;
mod table;

pub use arch::native;
pub use cache::cached;
pub use error::Error;
pub use program::Program;

use oci_spec::runtime::{Arch, LinuxSeccomp};

/// The program of a profile for this machine.
///
/// - The native architecture is always part of it; a call by an architecture that is not listed kills the thread.
/// - A name that no architecture knows is skipped, and so is a rule whose action is the default action.
/// - A rule without arguments wins over all rules with arguments on the same call, whatever their order; of several
///   without arguments, the first wins; of several with arguments that hold at once, the first wins.
/// - The arguments of a rule must all hold, unless two of them look at the same argument: then each is a rule of its own
///   (as docker's old profiles need it).
/// - On 32-bit architectures only the lower half of an argument is looked at.
/// - A rule on a call that an architecture (also) reaches through `socketcall` or `ipc` stands there too.
/// - A call with a number above the highest that the profile names gets ENOSYS, unless the default action lets calls
///   through: what the profile's author cannot have known must look like an old kernel, so that programs fall back.
/// - `TSYNC` is passed on, and `WAIT_KILLABLE_RECV` where there is a notification to wait for.
///
/// # Errors
/// [`Error::Architecture`] for an architecture without a table, [`Error::Invalid`] for a profile that the runtime spec or
/// runc does not allow, [`Error::TooLong`] for one that does not fit into what the kernel takes.
pub fn compile(profile: &LinuxSeccomp) -> Result<Program, Error> {
    compile_for(profile, native())
}

/// As [`compile`], for a machine of that architecture. The instructions are in this machine's byte order.
///
/// # Errors
/// As [`compile`].
pub fn compile_for(profile: &LinuxSeccomp, native: Arch) -> Result<Program, Error> {
    let rules = rule::Rules::resolve(profile)?;
    let targets = arch::targets(profile, native)?;
    let instructions = emit::emit(&targets, &rules)?;
    Ok(Program::new(instructions, profile))
}
