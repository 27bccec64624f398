//! Names and numbers of system calls: a table made by build.rs.

include!(concat!(env!("OUT_DIR"), "/table.rs"));

/// A system call that some architecture has.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Call(usize);

impl Call {
    /// The call of that name.
    pub(crate) fn named(name: &str) -> Option<Call> {
        let (mut low, mut high) = (0, NUMBERS.len());
        while low < high {
            let middle = usize::midpoint(low, high);
            match Call(middle).name().cmp(name) {
                std::cmp::Ordering::Less => low = middle + 1,
                std::cmp::Ordering::Equal => return Some(Call(middle)),
                std::cmp::Ordering::Greater => high = middle,
            }
        }
        None
    }

    pub(crate) fn name(self) -> &'static str {
        &NAMES[usize::from(ENDS[self.0])..usize::from(ENDS[self.0 + 1])]
    }

    /// Its number in a column; none where the architecture lacks it.
    pub(crate) fn number(self, column: usize) -> Option<u32> {
        Some(NUMBERS[self.0][column]).filter(|number| *number != u32::MAX)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use libseccomp::{ScmpArch, ScmpSyscall};

    #[test]
    fn every_name_is_found_and_no_other() {
        for index in 0..NUMBERS.len() {
            assert_eq!(Call::named(Call(index).name()), Some(Call(index)));
        }
        for name in ["", "a", "zzz", "reserved82", "unused18", "r#break", "fstatat", "readv\0"] {
            assert_eq!(Call::named(name), None, "{name}");
        }
    }

    /// What libseccomp knows, we know as it does. We may know more: its tables are those of an older kernel.
    #[test]
    fn numbers_are_those_of_libseccomp() {
        let columns = [
            (0, 0, ScmpArch::X8664),
            (1, 0, ScmpArch::X86),
            (2, 0x4000_0000, ScmpArch::X32),
            (3, 0, ScmpArch::Aarch64),
            (4, 0, ScmpArch::Arm),
            (4, 0xf_0000, ScmpArch::Arm),
            (5, 4000, ScmpArch::Mips),
            (6, 5000, ScmpArch::Mips64),
            (7, 0, ScmpArch::Ppc),
            (8, 0, ScmpArch::Ppc64Le),
            (9, 0, ScmpArch::S390X),
            (10, 0, ScmpArch::Riscv64),
        ];
        for (column, base, arch) in columns {
            let mut found = 0;
            for number in base..base + 600 {
                let raw = i32::try_from(number).unwrap();
                let Ok(name) = ScmpSyscall::from_raw_syscall(raw).get_name_by_arch(arch) else {
                    continue;
                };
                let call = Call::named(&name).unwrap_or_else(|| panic!("{name} is unknown"));
                assert_eq!(call.number(column), Some(number), "{name} on {arch:?}");
                found += 1;
            }
            assert!(found > 5, "{arch:?}: {found}");
        }
        let newest = ScmpSyscall::from_name("fchmodat2").unwrap().as_raw_syscall();
        let newest = u32::try_from(newest).unwrap();
        for index in 0..NUMBERS.len() {
            let call = Call(index);
            for (column, base, arch) in columns {
                let Some(number) =
                    call.number(column).filter(|n| (base..=base + newest).contains(n))
                else {
                    continue;
                };
                let raw = ScmpSyscall::from_raw_syscall(i32::try_from(number).unwrap());
                let name = raw.get_name_by_arch(arch).unwrap_or_default();
                let newer = ["uprobe", "uretprobe", "riscv_hwprobe"].contains(&call.name());
                assert!(newer || name == call.name(), "{} on {arch:?}: {name}", call.name());
            }
        }
    }
}
