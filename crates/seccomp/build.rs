//! Makes the table of system call names and numbers: one row a name, one column an architecture, sorted by name.
//!
//! The numbers are those of the `syscalls` crate, which generates them from the kernel's own tables. What it leaves
//! out or names otherwise than the kernel does is put right here; a test holds the outcome against libseccomp's.

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::path::Path;

/// The columns, in the order of `Column` in src/arch.rs.
const COLUMNS: usize = 12;
const X86_64: usize = 0;
const X86: usize = 1;
const X32: usize = 2;
const AARCH64: usize = 3;
const ARM: usize = 4;
const MIPS: usize = 5;
const MIPS64: usize = 6;
const PPC: usize = 7;
const PPC64: usize = 8;
const S390X: usize = 9;
const RISCV64: usize = 10;
const LOONGARCH64: usize = 11;

/// "This architecture has no such call."
const NONE: u32 = u32::MAX;

/// Set in every number of the x32 ABI.
const X32_BIT: u32 = 0x4000_0000;

/// x86_64 calls that x32 does not have under their usual number (ABI `64` in the kernel's syscall_64.tbl).
const NOT_X32: &[&str] = &[
    "rt_sigaction",
    "rt_sigreturn",
    "ioctl",
    "readv",
    "writev",
    "recvfrom",
    "sendmsg",
    "recvmsg",
    "execve",
    "ptrace",
    "rt_sigpending",
    "rt_sigtimedwait",
    "rt_sigqueueinfo",
    "sigaltstack",
    "uselib",
    "_sysctl",
    "create_module",
    "get_kernel_syms",
    "query_module",
    "nfsservctl",
    "set_thread_area",
    "io_setup",
    "io_submit",
    "get_thread_area",
    "epoll_ctl_old",
    "epoll_wait_old",
    "timer_create",
    "vserver",
    "mq_notify",
    "kexec_load",
    "waitid",
    "set_robust_list",
    "get_robust_list",
    "vmsplice",
    "move_pages",
    "preadv",
    "pwritev",
    "rt_tgsigqueueinfo",
    "recvmmsg",
    "sendmmsg",
    "process_vm_readv",
    "process_vm_writev",
    "setsockopt",
    "getsockopt",
    "execveat",
    "preadv2",
    "pwritev2",
    "uretprobe",
    "uprobe",
    "map_shadow_stack",
];

/// The calls that only x32 has, from 512 on (ABI `x32` in syscall_64.tbl).
const ONLY_X32: &[&str] = &[
    "rt_sigaction",
    "rt_sigreturn",
    "ioctl",
    "readv",
    "writev",
    "recvfrom",
    "sendmsg",
    "recvmsg",
    "execve",
    "ptrace",
    "rt_sigpending",
    "rt_sigtimedwait",
    "rt_sigqueueinfo",
    "sigaltstack",
    "timer_create",
    "mq_notify",
    "kexec_load",
    "waitid",
    "set_robust_list",
    "get_robust_list",
    "vmsplice",
    "move_pages",
    "preadv",
    "pwritev",
    "rt_tgsigqueueinfo",
    "recvmmsg",
    "sendmmsg",
    "process_vm_readv",
    "process_vm_writev",
    "setsockopt",
    "getsockopt",
    "io_setup",
    "io_submit",
    "execveat",
    "preadv2",
    "pwritev2",
];

/// The private calls of 32-bit ARM (arch/arm/include/uapi/asm/unistd.h), which are in no table.
const ARM_PRIVATE: &[(&str, u32)] = &[
    ("breakpoint", 0x000f_0001),
    ("cacheflush", 0x000f_0002),
    ("usr26", 0x000f_0003),
    ("usr32", 0x000f_0004),
    ("set_tls", 0x000f_0005),
    ("get_tls", 0x000f_0006),
];

/// What a filter for 32-bit x86 and others can name although no number of its own stands for it everywhere.
const MULTIPLEXED: &[&str] = &["recv", "send", "accept", "semop", "semtimedop"];

type Table = BTreeMap<String, [u32; COLUMNS]>;

/// Every call of an architecture.
macro_rules! calls {
    ($arch:ident) => {
        // Up to the last number of the last table: MIPS counts from 4000 (o32) and 5000 (n64).
        (0..6000)
            .filter_map(|number| {
                let call = syscalls::$arch::Sysno::new(usize::try_from(number).ok()?)?;
                Some((call.name(), number))
            })
            .collect::<Vec<(&'static str, u32)>>()
    };
}

#[expect(
    clippy::disallowed_methods,
    reason = "cargo tells a build script its output directory in the environment, and nothing else reads the file"
)]
fn main() {
    let table = table();
    let mut text = String::new();
    let mut names = String::new();
    let mut ends = String::from("0,");
    let mut numbers = String::new();
    for (name, row) in &table {
        names.push_str(name);
        write!(ends, "{},", names.len()).expect("writing to a string");
        writeln!(numbers, "{row:?},").expect("writing to a string");
    }
    writeln!(text, "static NAMES: &str = {names:?};").expect("writing to a string");
    writeln!(text, "static ENDS: [u16; {}] = [{ends}];", table.len() + 1)
        .expect("writing to a string");
    writeln!(text, "static NUMBERS: [[u32; {COLUMNS}]; {}] = [{numbers}];", table.len())
        .expect("writing to a string");
    let directory = std::env::var_os("OUT_DIR").expect("cargo sets OUT_DIR");
    std::fs::write(Path::new(&directory).join("table.rs"), text)
        .expect("the output directory is writable");
    println!("cargo::rerun-if-changed=build.rs");
}

fn table() -> Table {
    let mut table = Table::new();
    for (column, calls) in [
        (X86_64, calls!(x86_64)),
        (X86, calls!(x86)),
        (AARCH64, calls!(aarch64)),
        (ARM, calls!(arm)),
        (MIPS, calls!(mips)),
        (MIPS64, calls!(mips64)),
        (PPC, calls!(powerpc)),
        (PPC64, calls!(powerpc64)),
        (S390X, calls!(s390x)),
        (RISCV64, calls!(riscv64)),
        (LOONGARCH64, calls!(loongarch64)),
    ] {
        for (name, number) in calls {
            set(&mut table, column, name, number);
        }
    }
    for (name, row) in &mut table {
        if row[X86_64] != NONE && !NOT_X32.contains(&name.as_str()) {
            row[X32] = row[X86_64] | X32_BIT;
        }
        // The 64-bit architectures of the generic table never had the calls with 64-bit time of the 32-bit ones.
        for column in [AARCH64, RISCV64, LOONGARCH64] {
            if (403..=423).contains(&row[column]) {
                row[column] = NONE;
            }
        }
    }
    for (number, name) in (512..).zip(ONLY_X32) {
        set(&mut table, X32, name, number | X32_BIT);
    }
    for (name, number) in ARM_PRIVATE {
        set(&mut table, ARM, name, *number);
    }
    set(&mut table, MIPS64, "set_mempolicy_home_node", 5450);
    for name in MULTIPLEXED {
        table.entry((*name).to_owned()).or_insert([NONE; COLUMNS]);
    }
    table
}

fn set(table: &mut Table, column: usize, name: &str, number: u32) {
    let name = name.trim_start_matches("r#");
    if name.starts_with("unused") || name.starts_with("reserved") {
        return;
    }
    // The generic table's name for what every libc and every profile calls newfstatat.
    let name = if name == "fstatat" { "newfstatat" } else { name };
    table.entry(name.to_owned()).or_insert([NONE; COLUMNS])[column] = number;
}
