//! A compiled filter.

use dhow_sys::seccomp::{self, Instruction};
use oci_spec::runtime::{LinuxSeccomp, LinuxSeccompFilterFlag as Flag};

/// What `SECCOMP_RET_USER_NOTIF` is among the results of a program.
pub(crate) const NOTIFY: u32 = 0x7fc0_0000;
/// The code of "return this constant".
pub(crate) const RET: u16 = 0x06;

/// A filter, ready to be installed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Program {
    instructions: Vec<Instruction>,
    flags: u32,
}

impl Program {
    pub(crate) fn new(instructions: Vec<Instruction>, profile: &LinuxSeccomp) -> Program {
        let notify = instructions.iter().any(|one| one.code == RET && one.k == NOTIFY);
        let mut flags = if notify { seccomp::NEW_LISTENER } else { 0 };
        for flag in profile.flags().iter().flatten() {
            flags |= match flag {
                // The kernel cannot answer a thread's id and a descriptor at once.
                Flag::SeccompFilterFlagTsync if notify => seccomp::TSYNC | seccomp::TSYNC_ESRCH,
                Flag::SeccompFilterFlagTsync => seccomp::TSYNC,
                Flag::SeccompFilterFlagLog => seccomp::LOG,
                Flag::SeccompFilterFlagSpecAllow => seccomp::SPEC_ALLOW,
                // The kernel refuses it where nobody can be waited for.
                Flag::SeccompFilterFlagWaitKillableRecv if notify => seccomp::WAIT_KILLABLE_RECV,
                Flag::SeccompFilterFlagWaitKillableRecv => 0,
            };
        }
        Program { instructions, flags }
    }

    pub(crate) fn from_parts(instructions: Vec<Instruction>, flags: u32) -> Program {
        Program { instructions, flags }
    }

    /// The instructions.
    #[must_use]
    pub fn instructions(&self) -> &[Instruction] {
        &self.instructions
    }

    /// The flags for seccomp(2), with `NEW_LISTENER` where [`Self::notify`].
    #[must_use]
    pub fn flags(&self) -> u32 {
        self.flags
    }

    /// Whether some call is answered by a listener: then `install` answers with its descriptor.
    #[must_use]
    pub fn notify(&self) -> bool {
        self.flags & seccomp::NEW_LISTENER != 0
    }

    /// The instructions as an array of `struct sock_filter` lies in memory, 8 bytes each.
    #[must_use]
    pub fn to_bytes(&self) -> Vec<u8> {
        self.instructions.iter().flat_map(|one| one.to_bytes()).collect()
    }
}
