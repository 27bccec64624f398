//! The few commands of bpf(2) that a cgroup's device filter takes: load, attach, ask what is attached, detach.
//!
//! It runs what it is handed: what a program means is for who made it. A program lives while a descriptor or a cgroup
//! refers to it.

use std::io;
use std::os::fd::{AsFd, AsRawFd, BorrowedFd, FromRawFd, OwnedFd};

const PROG_LOAD: libc::c_long = 5;
const PROG_ATTACH: libc::c_long = 8;
const PROG_DETACH: libc::c_long = 9;
const PROG_GET_FD_BY_ID: libc::c_long = 13;
const PROG_QUERY: libc::c_long = 16;

const PROG_TYPE_CGROUP_DEVICE: u32 = 15;
const CGROUP_DEVICE: u32 = 6;
const ALLOW_MULTI: u32 = 1 << 1;
const REPLACE: u32 = 1 << 2;

/// One instruction of an eBPF program: `struct bpf_insn`.
#[repr(C)]
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Instruction {
    /// The operation.
    pub code: u8,
    /// The destination register in the lower half, the source register in the upper one.
    pub registers: u8,
    /// How far to jump, or where in memory.
    pub offset: i16,
    /// The operand.
    pub immediate: i32,
}

/// `union bpf_attr` as the commands here read it: its longest variant that we use, unused fields zero.
#[repr(C, align(8))]
#[derive(Default)]
struct Load {
    prog_type: u32,
    insn_cnt: u32,
    insns: u64,
    license: u64,
    log_level: u32,
    log_size: u32,
    log_buf: u64,
    kern_version: u32,
    prog_flags: u32,
}

#[repr(C)]
#[derive(Default)]
struct Attach {
    target_fd: u32,
    attach_bpf_fd: u32,
    attach_type: u32,
    attach_flags: u32,
    replace_bpf_fd: u32,
}

#[repr(C, align(8))]
#[derive(Default)]
struct Query {
    target_fd: u32,
    attach_type: u32,
    query_flags: u32,
    attach_flags: u32,
    prog_ids: u64,
    prog_cnt: u32,
    padding: u32,
}

#[repr(C)]
#[derive(Default)]
struct ById {
    prog_id: u32,
    next_id: u32,
    open_flags: u32,
}

/// bpf(2) with one of the structures above, which is `union bpf_attr` up to its length.
fn call<T>(command: libc::c_long, attribute: &mut T) -> io::Result<i32> {
    // SAFETY: `T` is one of this module's structures for `command`: the kernel reads and writes `size_of::<T>()` bytes at
    // most, and the addresses in them are of buffers that the caller holds across the call.
    let result = unsafe {
        libc::syscall(libc::SYS_bpf, command, std::ptr::from_mut(attribute), size_of::<T>())
    };
    match i32::try_from(result) {
        Ok(result) if result >= 0 => Ok(result),
        _ => Err(io::Error::last_os_error()),
    }
}

fn number(fd: BorrowedFd<'_>) -> u32 {
    u32::try_from(fd.as_raw_fd()).unwrap_or(u32::MAX)
}

/// Loads a program that decides which devices a cgroup may use.
///
/// # Errors
/// `EPERM` without CAP_BPF or CAP_SYS_ADMIN; `EINVAL`, `EACCES` where the kernel's verifier refuses it.
pub fn load_device_program(program: &[Instruction]) -> io::Result<OwnedFd> {
    let license = c"Apache-2.0";
    let mut attribute = Load {
        prog_type: PROG_TYPE_CGROUP_DEVICE,
        insn_cnt: u32::try_from(program.len()).unwrap_or(u32::MAX),
        insns: program.as_ptr() as u64,
        license: license.as_ptr() as u64,
        ..Load::default()
    };
    let fd = call(PROG_LOAD, &mut attribute)?;
    // SAFETY: PROG_LOAD answers with a descriptor that the kernel has just made for us (close-on-exec).
    Ok(unsafe { OwnedFd::from_raw_fd(fd) })
}

/// Attaches a device program to a cgroup: the only one of its directory afterwards. Where one program was attached
/// before, it is replaced in one step, so that there is no moment with neither; processes below see both decide meanwhile
/// where there were several.
///
/// # Errors
/// What bpf(2) says.
pub fn set_device_program(cgroup: BorrowedFd<'_>, program: BorrowedFd<'_>) -> io::Result<()> {
    let old = device_programs(cgroup)?;
    let mut attribute = Attach {
        target_fd: number(cgroup),
        attach_bpf_fd: number(program),
        attach_type: CGROUP_DEVICE,
        attach_flags: ALLOW_MULTI,
        replace_bpf_fd: 0,
    };
    if let [old] = old.as_slice() {
        attribute.attach_flags |= REPLACE;
        attribute.replace_bpf_fd = number(old.as_fd());
        match call(PROG_ATTACH, &mut attribute) {
            Ok(_) => return Ok(()),
            // Linux before 5.6 does not know how to replace.
            Err(error) if error.raw_os_error() == Some(libc::EINVAL) => {
                attribute.attach_flags = ALLOW_MULTI;
                attribute.replace_bpf_fd = 0;
            }
            Err(error) => return Err(error),
        }
    }
    call(PROG_ATTACH, &mut attribute)?;
    // ORDER: the new one first: what is allowed is what both allow, so nothing is open meanwhile.
    for old in &old {
        let mut attribute = Attach {
            target_fd: number(cgroup),
            attach_bpf_fd: number(old.as_fd()),
            attach_type: CGROUP_DEVICE,
            ..Attach::default()
        };
        call(PROG_DETACH, &mut attribute)?;
    }
    Ok(())
}

/// The device programs attached to this very cgroup.
fn device_programs(cgroup: BorrowedFd<'_>) -> io::Result<Vec<OwnedFd>> {
    const MOST: usize = 64;
    let mut ids = [0u32; MOST];
    let mut attribute = Query {
        target_fd: number(cgroup),
        attach_type: CGROUP_DEVICE,
        prog_ids: ids.as_mut_ptr() as u64,
        prog_cnt: u32::try_from(MOST).unwrap_or(0),
        ..Query::default()
    };
    call(PROG_QUERY, &mut attribute)?;
    let count = usize::try_from(attribute.prog_cnt).unwrap_or(0).min(MOST);
    let mut found = Vec::with_capacity(count);
    for id in &ids[..count] {
        let mut attribute = ById { prog_id: *id, ..ById::default() };
        match call(PROG_GET_FD_BY_ID, &mut attribute) {
            // SAFETY: PROG_GET_FD_BY_ID answers with a descriptor that the kernel has just made for us.
            Ok(fd) => found.push(unsafe { OwnedFd::from_raw_fd(fd) }),
            // It went in between.
            Err(error) if error.raw_os_error() == Some(libc::ENOENT) => {}
            Err(error) => return Err(error),
        }
    }
    Ok(found)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_structures_are_as_long_as_the_kernels_variants() {
        assert_eq!(size_of::<Instruction>(), 8);
        assert_eq!(size_of::<Load>(), 48);
        assert_eq!(size_of::<Attach>(), 20);
        assert_eq!(size_of::<Query>(), 32);
        assert_eq!(size_of::<ById>(), 12);
    }

    #[test]
    fn a_program_that_does_nothing_sensible_is_refused() {
        let endless = Instruction { code: 0x05, registers: 0, offset: -1, immediate: 0 };
        let error = load_device_program(&[endless]).unwrap_err();
        assert!(matches!(
            error.raw_os_error(),
            Some(libc::EINVAL | libc::EPERM | libc::EACCES | libc::ENOSYS)
        ));
    }
}
