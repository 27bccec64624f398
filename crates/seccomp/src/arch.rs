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
        Ok(Target {
            arch,
            audit,
            column,
            // x32 has 64-bit registers, but its calls take 32-bit values: libseccomp looks at those alone.
            wide: audit & BITS_64 != 0 && arch != Arch::ScmpArchX32,
            big_endian: audit & LITTLE == 0,
        })
    }

    /// The number of a call's own entry.
    pub(crate) fn number(&self, call: Call) -> Option<u32> {
        call.number(self.column)
    }

    /// The call through which another is reached here as well (`socketcall`, `ipc`), as its number, the value of its
    /// first argument and the bits of it that count.
    pub(crate) fn multiplexed(&self, call: Call) -> Option<(u32, u64, u64)> {
        let (through, operation) = multiplexer(call.name())?;
        let number = self.number(Call::named(through)?)?;
        // The upper half of ipc's first argument is the version of the interface, any of which does the same thing.
        let mask = if through == "ipc" { 0xffff } else { u64::from(u32::MAX) };
        Some((number, operation, mask))
    }
}

/// `SYS_*` of linux/net.h and the call numbers of linux/ipc.h.
fn multiplexer(name: &str) -> Option<(&'static str, u64)> {
    const SOCKETCALL: [&str; 20] = [
        "socket",
        "bind",
        "connect",
        "listen",
        "accept",
        "getsockname",
        "getpeername",
        "socketpair",
        "send",
        "recv",
        "sendto",
        "recvfrom",
        "shutdown",
        "setsockopt",
        "getsockopt",
        "sendmsg",
        "recvmsg",
        "accept4",
        "recvmmsg",
        "sendmmsg",
    ];
    if let Some(operation) = (1..).zip(SOCKETCALL).find(|(_, known)| *known == name) {
        return Some(("socketcall", operation.0));
    }
    let operation = match name {
        "semop" => 1,
        "semget" => 2,
        "semctl" => 3,
        "semtimedop" => 4,
        "msgsnd" => 11,
        "msgrcv" => 12,
        "msgget" => 13,
        "msgctl" => 14,
        "shmat" => 21,
        "shmdt" => 22,
        "shmget" => 23,
        "shmctl" => 24,
        _ => return None,
    };
    Some(("ipc", operation))
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
