//! Seccomp filters: the shape of a program and its installation with seccomp(2).
//!
//! It runs what it is handed: what a program means is for who made it. An installed filter cannot be taken away.

use std::io;
use std::os::fd::{FromRawFd, OwnedFd};

/// `SECCOMP_FILTER_FLAG_TSYNC`: all threads of the process get the filter, or none.
pub const TSYNC: u32 = 1;
/// `SECCOMP_FILTER_FLAG_LOG`: every result but "allow" is logged.
pub const LOG: u32 = 1 << 1;
/// `SECCOMP_FILTER_FLAG_SPEC_ALLOW`: no mitigation of speculative store bypass.
pub const SPEC_ALLOW: u32 = 1 << 2;
/// `SECCOMP_FILTER_FLAG_NEW_LISTENER`: answer with a descriptor for notifications.
pub const NEW_LISTENER: u32 = 1 << 3;
/// `SECCOMP_FILTER_FLAG_TSYNC_ESRCH`: a thread that cannot be synchronized is ESRCH, so that a descriptor can be answered.
pub const TSYNC_ESRCH: u32 = 1 << 4;
/// `SECCOMP_FILTER_FLAG_WAIT_KILLABLE_RECV`: once its notification is received, a process waits for the answer killably only.
pub const WAIT_KILLABLE_RECV: u32 = 1 << 5;

/// The longest program that the kernel takes (`BPF_MAXINSNS`).
pub const MAX_INSTRUCTIONS: usize = 4096;

/// One instruction of a classic BPF program: `struct sock_filter`.
#[repr(C)]
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Instruction {
    /// The operation.
    pub code: u16,
    /// How many instructions are skipped where the comparison holds.
    pub jt: u8,
    /// How many instructions are skipped where it does not.
    pub jf: u8,
    /// The operand.
    pub k: u32,
}

impl Instruction {
    /// As it lies in memory, in this machine's byte order.
    #[must_use]
    pub fn to_bytes(self) -> [u8; 8] {
        let mut bytes = [0; 8];
        bytes[..2].copy_from_slice(&self.code.to_ne_bytes());
        bytes[2] = self.jt;
        bytes[3] = self.jf;
        bytes[4..].copy_from_slice(&self.k.to_ne_bytes());
        bytes
    }

    /// The instruction of these bytes.
    #[must_use]
    pub fn from_bytes(bytes: [u8; 8]) -> Instruction {
        let [a, b, jt, jf, k @ ..] = bytes;
        Instruction { code: u16::from_ne_bytes([a, b]), jt, jf, k: u32::from_ne_bytes(k) }
    }
}

/// Installs a filter in the calling thread ([`TSYNC`]: in all of its process). It holds across fork and exec.
///
/// Answers with the notification descriptor (close-on-exec) where `flags` has [`NEW_LISTENER`].
///
/// # Errors
/// `EACCES` without `no_new_privs` and CAP_SYS_ADMIN; `EINVAL` for a program or a flag that this kernel does not take;
/// `EBUSY` where a filter of the thread has a listener already; `ESRCH` where a thread cannot be synchronized; `ENOMEM`
/// where all filters of the thread are longer than 32768 instructions. seccomp(2).
pub fn install(program: &[Instruction], flags: u32) -> io::Result<Option<OwnedFd>> {
    let length = u16::try_from(program.len())
        .ok()
        .filter(|length| (1..=MAX_INSTRUCTIONS).contains(&usize::from(*length)))
        .ok_or_else(|| io::Error::from_raw_os_error(libc::EINVAL))?;
    let fprog = libc::sock_fprog { len: length, filter: program.as_ptr().cast_mut().cast() };
    // SAFETY: `fprog` points to `length` instructions laid out as `struct sock_filter` (`Instruction` is repr(C) with
    // the same fields), which outlive the call; the kernel copies and does not write to them.
    let result = unsafe {
        libc::syscall(libc::SYS_seccomp, libc::SECCOMP_SET_MODE_FILTER, flags, &raw const fprog)
    };
    match i32::try_from(result) {
        Ok(0) if flags & NEW_LISTENER == 0 => Ok(None),
        // Without TSYNC_ESRCH the kernel names the thread that stood in the way.
        Ok(thread) if thread > 0 && flags & NEW_LISTENER == 0 => {
            Err(io::Error::from_raw_os_error(libc::ESRCH))
        }
        Ok(fd) if fd >= 0 => {
            // SAFETY: with NEW_LISTENER, a non-negative answer is a descriptor that the kernel has just made for us.
            Ok(Some(unsafe { OwnedFd::from_raw_fd(fd) }))
        }
        _ => Err(io::Error::last_os_error()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_instruction_is_laid_out_as_the_kernel_reads_it() {
        assert_eq!(size_of::<Instruction>(), size_of::<libc::sock_filter>());
        let one = Instruction { code: 0x15, jt: 1, jf: 2, k: 0xc000_003e };
        assert_eq!(Instruction::from_bytes(one.to_bytes()), one);
        assert_eq!(one.to_bytes()[2..4], [1, 2]);
    }

    #[test]
    fn an_empty_or_endless_program_is_refused_before_the_kernel_sees_it() {
        let allow = Instruction { code: 0x06, jt: 0, jf: 0, k: 0x7fff_0000 };
        for length in [0, MAX_INSTRUCTIONS + 1, 1 << 17] {
            let error = install(&vec![allow; length], 0).unwrap_err();
            assert_eq!(error.raw_os_error(), Some(libc::EINVAL));
        }
    }
}
