//! Architectures: which numbers, which byte order, how wide the arguments are, which calls are reached through another.

use crate::Error;
use crate::table::Call;
use oci_spec::runtime::{Arch, LinuxSeccomp};

/// One architecture as a filter sees it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Target {
    pub(crate) arch: Arch,
    /// `AUDIT_ARCH_*`: what the kernel writes into `seccomp_data.arch`.
    pub(crate) audit: u32,
    /// Its column in the table of numbers, in the order of build.rs.
    column: usize,
    /// Whether arguments have 64 bits.
    pub(crate) wide: bool,
    /// Whether the upper half of an argument comes first.
    pub(crate) big_endian: bool,
    socketcall: Option<u32>,
    ipc: Option<u32>,
}

/// Set in every number of the x32 ABI, which shares x86_64's `AUDIT_ARCH`.
pub(crate) const X32_BIT: u32 = 0x4000_0000;

const LITTLE: u32 = 0x4000_0000;
const BITS_64: u32 = 0x8000_0000;

/// This machine's architecture.
#[must_use]
pub fn native() -> Arch {
    match (cfg!(target_endian = "little"), std::env::consts::ARCH) {
        (_, "x86") => Arch::ScmpArchX86,
        (_, "aarch64") => Arch::ScmpArchAarch64,
        (_, "arm") => Arch::ScmpArchArm,
        (true, "mips") => Arch::ScmpArchMipsel,
        (false, "mips") => Arch::ScmpArchMips,
        (true, "mips64") => Arch::ScmpArchMipsel64,
        (false, "mips64") => Arch::ScmpArchMips64,
        (_, "powerpc") => Arch::ScmpArchPpc,
        (true, "powerpc64") => Arch::ScmpArchPpc64le,
        (false, "powerpc64") => Arch::ScmpArchPpc64,
        (_, "s390x") => Arch::ScmpArchS390x,
        (_, "riscv64") => Arch::ScmpArchRiscv64,
        (_, "loongarch64") => Arch::ScmpArchLoongarch64,
        (_, "x86_64") => Arch::ScmpArchX86_64,
        // Refused by name when a filter is asked for.
        _ => Arch::ScmpArchNative,
    }
}

/// The architectures of a filter: the native one first, each once.
pub(crate) fn targets(profile: &LinuxSeccomp, native: Arch) -> Result<Vec<Target>, Error> {
    let mut targets = vec![Target::of(native)?];
    for arch in profile.architectures().iter().flatten().copied() {
        let arch = if arch == Arch::ScmpArchNative { native } else { arch };
        let target = Target::of(arch)?;
        if target.big_endian != targets[0].big_endian {
            return Err(Error::Invalid(format!(
                "{arch} and {native} cannot be in one filter: their byte orders differ"
            )));
        }
        if !targets.contains(&target) {
            targets.push(target);
        }
    }
    Ok(targets)
}

impl Target {
    fn of(arch: Arch) -> Result<Target, Error> {
        let (column, audit) = match arch {
            Arch::ScmpArchX86_64 => (0, 62 | BITS_64 | LITTLE),
            Arch::ScmpArchX86 => (1, 3 | LITTLE),
            Arch::ScmpArchX32 => (2, 62 | BITS_64 | LITTLE),
            Arch::ScmpArchAarch64 => (3, 183 | BITS_64 | LITTLE),
            Arch::ScmpArchArm => (4, 40 | LITTLE),
            Arch::ScmpArchMips => (5, 8),
            Arch::ScmpArchMipsel => (5, 8 | LITTLE),
            Arch::ScmpArchMips64 => (6, 8 | BITS_64),
            Arch::ScmpArchMipsel64 => (6, 8 | BITS_64 | LITTLE),
            Arch::ScmpArchPpc => (7, 20),
            Arch::ScmpArchPpc64 => (8, 21 | BITS_64),
            Arch::ScmpArchPpc64le => (8, 21 | BITS_64 | LITTLE),
            Arch::ScmpArchS390x => (9, 22 | BITS_64),
            Arch::ScmpArchRiscv64 => (10, 243 | BITS_64 | LITTLE),
            Arch::ScmpArchLoongarch64 => (11, 258 | BITS_64 | LITTLE),
            _ => return Err(Error::Architecture(arch)),
        };
        let named = |name| Call::named(name).and_then(|call| call.number(column));
        Ok(Target {
            arch,
            audit,
            column,
            // x32 has 64-bit registers, but its calls take 32-bit values: libseccomp looks at those alone.
            wide: audit & BITS_64 != 0 && arch != Arch::ScmpArchX32,
            big_endian: audit & LITTLE == 0,
            socketcall: named("socketcall"),
            ipc: named("ipc"),
        })
    }

    /// The number of a call's own entry.
    pub(crate) fn number(&self, call: Call) -> Option<u32> {
        call.number(self.column)
    }

    /// The number of the call through which others are reached here.
    pub(crate) fn through(&self, through: Through) -> Option<u32> {
        match through.by {
            By::Socketcall => self.socketcall,
            By::Ipc => self.ipc,
        }
    }
}

/// How a call is reached on architectures where one call does the work of many.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Through {
    by: By,
    /// The value of the first argument that means the call.
    pub(crate) operation: u64,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum By {
    Socketcall,
    Ipc,
}

impl Through {
    /// The bits of the first argument that count: the upper half of ipc's is the version of the interface, any of which
    /// does the same thing.
    pub(crate) fn mask(self) -> u64 {
        match self.by {
            By::Socketcall => u64::from(u32::MAX),
            By::Ipc => 0xffff,
        }
    }

    /// `SYS_*` of linux/net.h and the call numbers of linux/ipc.h.
    pub(crate) fn of(call: Call) -> Option<Through> {
        let (by, operation) = match call.name() {
            "socket" => (By::Socketcall, 1),
            "bind" => (By::Socketcall, 2),
            "connect" => (By::Socketcall, 3),
            "listen" => (By::Socketcall, 4),
            "accept" => (By::Socketcall, 5),
            "getsockname" => (By::Socketcall, 6),
            "getpeername" => (By::Socketcall, 7),
            "socketpair" => (By::Socketcall, 8),
            "send" => (By::Socketcall, 9),
            "recv" => (By::Socketcall, 10),
            "sendto" => (By::Socketcall, 11),
            "recvfrom" => (By::Socketcall, 12),
            "shutdown" => (By::Socketcall, 13),
            "setsockopt" => (By::Socketcall, 14),
            "getsockopt" => (By::Socketcall, 15),
            "sendmsg" => (By::Socketcall, 16),
            "recvmsg" => (By::Socketcall, 17),
            "accept4" => (By::Socketcall, 18),
            "recvmmsg" => (By::Socketcall, 19),
            "sendmmsg" => (By::Socketcall, 20),
            "semop" => (By::Ipc, 1),
            "semget" => (By::Ipc, 2),
            "semctl" => (By::Ipc, 3),
            "semtimedop" => (By::Ipc, 4),
            "msgsnd" => (By::Ipc, 11),
            "msgrcv" => (By::Ipc, 12),
            "msgget" => (By::Ipc, 13),
            "msgctl" => (By::Ipc, 14),
            "shmat" => (By::Ipc, 21),
            "shmdt" => (By::Ipc, 22),
            "shmget" => (By::Ipc, 23),
            "shmctl" => (By::Ipc, 24),
            _ => return None,
        };
        Some(Through { by, operation })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_has_no_table_is_refused_by_name() {
        for arch in [Arch::ScmpArchS390, Arch::ScmpArchMips64n32, Arch::ScmpArchParisc] {
            let mut profile = LinuxSeccomp::default();
            profile.set_architectures(Some(vec![arch]));
            let error = targets(&profile, native()).unwrap_err();
            assert_eq!(error.to_string(), format!("seccomp architecture {arch} is not supported"));
        }
    }

    #[test]
    fn the_native_architecture_is_always_there_and_once() {
        let mut profile = LinuxSeccomp::default();
        profile.set_architectures(Some(vec![
            Arch::ScmpArchX86,
            Arch::ScmpArchNative,
            Arch::ScmpArchX86,
        ]));
        let found: Vec<Arch> =
            targets(&profile, Arch::ScmpArchX86_64).unwrap().iter().map(|t| t.arch).collect();
        assert_eq!(found, [Arch::ScmpArchX86_64, Arch::ScmpArchX86]);
        let error = targets(&profile, Arch::ScmpArchS390x).unwrap_err();
        assert!(error.to_string().contains("byte orders differ"), "{error}");
    }
}
