//! What a profile means, told twice more: by libseccomp, used as runc uses it, and by a plain reading of its rules.

use std::collections::{BTreeMap, BTreeSet};
use std::io::{Read as _, Seek as _};

use dhow_sys::seccomp::Instruction;
use libseccomp::{
    ScmpAction, ScmpArch, ScmpArgCompare, ScmpCompareOp, ScmpFilterContext, ScmpSyscall,
    error::SeccompErrno,
};
use oci_spec::runtime::{
    Arch, LinuxSeccomp, LinuxSeccompAction as Action, LinuxSeccompArg,
    LinuxSeccompOperator as Operator, LinuxSyscall,
};

use crate::bpf::Call;

/// One architecture in all the languages.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Machine {
    pub(crate) arch: Arch,
    pub(crate) scmp: ScmpArch,
    pub(crate) audit: u32,
    pub(crate) base: u32,
    pub(crate) wide: bool,
    pub(crate) big_endian: bool,
}

const fn machine(arch: Arch, scmp: ScmpArch, audit: u32, base: u32, wide: bool) -> Machine {
    Machine { arch, scmp, audit, base, wide, big_endian: audit & 0x4000_0000 == 0 }
}

pub(crate) const X86_64: Machine =
    machine(Arch::ScmpArchX86_64, ScmpArch::X8664, 0xc000_003e, 0, true);
pub(crate) const X86: Machine = machine(Arch::ScmpArchX86, ScmpArch::X86, 0x4000_0003, 0, false);
pub(crate) const X32: Machine =
    machine(Arch::ScmpArchX32, ScmpArch::X32, 0xc000_003e, 0x4000_0000, false);
pub(crate) const AARCH64: Machine =
    machine(Arch::ScmpArchAarch64, ScmpArch::Aarch64, 0xc000_00b7, 0, true);
pub(crate) const ARM: Machine = machine(Arch::ScmpArchArm, ScmpArch::Arm, 0x4000_0028, 0, false);
pub(crate) const MIPS: Machine =
    machine(Arch::ScmpArchMips, ScmpArch::Mips, 0x0000_0008, 4000, false);
pub(crate) const MIPSEL64: Machine =
    machine(Arch::ScmpArchMipsel64, ScmpArch::Mipsel64, 0xc000_0008, 5000, true);
pub(crate) const PPC64LE: Machine =
    machine(Arch::ScmpArchPpc64le, ScmpArch::Ppc64Le, 0xc000_0015, 0, true);
pub(crate) const PPC64: Machine =
    machine(Arch::ScmpArchPpc64, ScmpArch::Ppc64, 0x8000_0015, 0, true);
pub(crate) const S390X: Machine =
    machine(Arch::ScmpArchS390x, ScmpArch::S390X, 0x8000_0016, 0, true);
pub(crate) const RISCV64: Machine =
    machine(Arch::ScmpArchRiscv64, ScmpArch::Riscv64, 0xc000_00f3, 0, true);

/// Leaves of a profile only what this libseccomp knows: its tables are those of an older kernel than ours.
pub(crate) fn without_news(mut profile: LinuxSeccomp) -> LinuxSeccomp {
    let mut syscalls = profile.syscalls().clone().unwrap_or_default();
    for syscall in &mut syscalls {
        let mut names = syscall.names().clone();
        names.retain(|name| ScmpSyscall::from_name(name).is_ok());
        syscall.set_names(names);
    }
    profile.set_syscalls(Some(syscalls));
    profile
}

/// libseccomp's program for a profile, made as runc makes it (without its stub for unknown calls).
pub(crate) fn libseccomp(profile: &LinuxSeccomp, machines: &[Machine]) -> Vec<Instruction> {
    let default = action(profile.default_action(), profile.default_errno_ret());
    let mut filter = ScmpFilterContext::new(default).unwrap();
    // The first of them stands for the native architecture.
    if !machines.iter().any(|machine| machine.scmp == ScmpArch::native()) {
        filter.remove_arch(ScmpArch::native()).unwrap();
    }
    for machine in machines {
        filter.add_arch(machine.scmp).unwrap();
    }
    let rules: usize = profile.syscalls().iter().flatten().map(|rule| rule.names().len()).sum();
    if rules > 32 {
        filter.set_ctl_optimize(2).unwrap();
    }
    for rule in profile.syscalls().iter().flatten() {
        let action = action(rule.action(), rule.errno_ret());
        if action == default {
            continue;
        }
        let args = rule.args().clone().unwrap_or_default();
        for name in rule.names() {
            let Ok(call) = ScmpSyscall::from_name(name) else { continue };
            for alternative in alternatives(&args) {
                let comparators: Vec<_> = alternative.iter().map(compare).collect();
                // It refuses what contradicts a rule before it, and so would runc: there, the first rule stands.
                match filter.add_rule_conditional(action, call, &comparators) {
                    Ok(_) => {}
                    Err(error) => assert_eq!(error.errno(), Some(SeccompErrno::EEXIST)),
                }
            }
        }
    }
    let mut file = tempfile::tempfile().unwrap();
    filter.export_bpf(&file).unwrap();
    file.rewind().unwrap();
    let mut bytes = Vec::new();
    file.read_to_end(&mut bytes).unwrap();
    let swap = machines[0].big_endian;
    let decode = |bytes: &[u8]| {
        let mut one = Instruction::from_bytes(bytes.try_into().unwrap());
        if swap {
            one.code = one.code.swap_bytes();
            // It writes for the other byte order, but some of the results as they are.
            let known = [0x8000, 3, 5, 0x7fc0, 0x7ff0, 0x7ffc, 0x7fff];
            if one.code != 0x06 || !known.contains(&(one.k >> 16)) {
                one.k = one.k.swap_bytes();
            }
        }
        one
    };
    bytes.chunks_exact(8).map(decode).collect()
}

/// The arguments of a rule as sets that must hold: two on the same argument make each a rule of its own.
fn alternatives(args: &[LinuxSeccompArg]) -> Vec<Vec<LinuxSeccompArg>> {
    let indexes: BTreeSet<usize> = args.iter().map(LinuxSeccompArg::index).collect();
    if indexes.len() < args.len() {
        args.iter().map(|arg| vec![*arg]).collect()
    } else {
        vec![args.to_vec()]
    }
}

fn action(action: Action, errno: Option<u32>) -> ScmpAction {
    let errno = errno.unwrap_or(1);
    match action {
        Action::ScmpActKill | Action::ScmpActKillThread => ScmpAction::KillThread,
        Action::ScmpActKillProcess => ScmpAction::KillProcess,
        Action::ScmpActTrap => ScmpAction::Trap,
        Action::ScmpActErrno => ScmpAction::Errno(i32::try_from(errno).unwrap()),
        Action::ScmpActNotify => ScmpAction::Notify,
        Action::ScmpActTrace => ScmpAction::Trace(u16::try_from(errno).unwrap()),
        Action::ScmpActLog => ScmpAction::Log,
        Action::ScmpActAllow => ScmpAction::Allow,
    }
}

fn compare(arg: &LinuxSeccompArg) -> ScmpArgCompare {
    let op = match arg.op() {
        Operator::ScmpCmpNe => ScmpCompareOp::NotEqual,
        Operator::ScmpCmpLt => ScmpCompareOp::Less,
        Operator::ScmpCmpLe => ScmpCompareOp::LessOrEqual,
        Operator::ScmpCmpEq => ScmpCompareOp::Equal,
        Operator::ScmpCmpGe => ScmpCompareOp::GreaterEqual,
        Operator::ScmpCmpGt => ScmpCompareOp::Greater,
        Operator::ScmpCmpMaskedEq => {
            let value = arg.value_two().unwrap_or_default();
            return ScmpArgCompare::new(
                u32::try_from(arg.index()).unwrap(),
                ScmpCompareOp::MaskedEqual(arg.value()),
                value,
            );
        }
    };
    ScmpArgCompare::new(u32::try_from(arg.index()).unwrap(), op, arg.value())
}

pub(crate) fn result(action: Action, errno: Option<u32>) -> u32 {
    action.as_u32(errno)
}

/// A plain reading of a profile for one architecture.
#[derive(Debug)]
pub(crate) struct Plain {
    machine: Machine,
    default: u32,
    /// The highest number that the profile names, where numbers above it are ENOSYS.
    pub(crate) newest: Option<u32>,
    rules: BTreeMap<u32, Vec<Rule>>,
}

#[derive(Debug)]
struct Rule {
    result: u32,
    /// The operation of `socketcall` or `ipc` by which the rule's call is reached here.
    through: Option<u64>,
    args: Vec<LinuxSeccompArg>,
}

impl Plain {
    pub(crate) fn new(profile: &LinuxSeccomp, machine: &Machine) -> Plain {
        let action = profile.default_action();
        let stub =
            !matches!(action, Action::ScmpActAllow | Action::ScmpActLog | Action::ScmpActTrace);
        let default = result(action, profile.default_errno_ret());
        let mut plain = Plain { machine: *machine, default, newest: None, rules: BTreeMap::new() };
        for number in (machine.base..machine.base + 600).chain(0xf_0000..0xf_0010) {
            let Some(called) = name(number, machine) else { continue };
            for rule in profile.syscalls().iter().flatten() {
                plain.add(number, &called, rule, stub);
            }
        }
        plain.newest = plain.newest.filter(|number| *number != 0);
        plain
    }

    fn add(&mut self, number: u32, called: &str, rule: &LinuxSyscall, stub: bool) {
        let result = result(rule.action(), rule.errno_ret());
        let args = rule.args().clone().unwrap_or_default();
        for name in rule.names() {
            let through = operation(called, name);
            if (name == called || through.is_some()) && stub {
                self.newest = self.newest.max(Some(number));
            }
            if result == self.default || (name != called && through.is_none()) {
                continue;
            }
            for args in alternatives(&args) {
                self.rules.entry(number).or_default().push(Rule { result, through, args });
            }
        }
    }

    /// Whether libseccomp's program can be believed: it forgets to load the number where the first thing that it looks
    /// for on an architecture is a call without a number of its own there (seen in 2.5.4).
    pub(crate) fn believable(&self, profile: &LinuxSeccomp) -> bool {
        let mut names = profile.syscalls().iter().flatten().flat_map(|rule| rule.names());
        names.all(|name| {
            ScmpSyscall::from_name_by_arch(name, self.machine.scmp)
                .is_ok_and(|call| call.as_raw_syscall() >= 0)
        })
    }

    /// Whether libseccomp's answer to a call can be believed: it merges rules on one call into a tree, and loses some of
    /// those that overlap (seen in 2.5.4: of `< 0` or `< 1 << 32` only the first stays). Those that ask one argument
    /// for different values cannot overlap.
    pub(crate) fn separate(&self, number: u32) -> bool {
        let rules = self.rules.get(&number).map(Vec::as_slice).unwrap_or_default();
        let mut seen = BTreeSet::new();
        rules.len() < 2
            || rules.iter().all(|rule| match rule.args.as_slice() {
                [] => rule.through.is_some_and(|through| seen.insert((0, through))),
                [arg] if rule.through.is_none() && arg.op() == Operator::ScmpCmpEq => {
                    seen.insert((arg.index(), arg.value() & 0xffff_ffff))
                        && rules[0].args.first().is_some_and(|first| first.index() == arg.index())
                }
                _ => false,
            })
    }

    /// The results that the rules allow: more than one where rules with arguments overlap.
    pub(crate) fn results(&self, call: &Call) -> BTreeSet<u32> {
        let rules = self.rules.get(&call.number).map(Vec::as_slice).unwrap_or_default();
        // A rule without arguments wins, wherever it stands.
        if let Some(rule) = rules.iter().find(|rule| rule.args.is_empty() && rule.through.is_none())
        {
            return BTreeSet::from([rule.result]);
        }
        let found: BTreeSet<u32> = rules
            .iter()
            .filter(|rule| match rule.through {
                None => rule.args.iter().all(|arg| holds(arg, &self.machine, call)),
                Some(operation) => {
                    let others = rule.args.iter().filter(|arg| arg.index() != 0);
                    call.arguments[0] & 0xffff_ffff == operation
                        && others.into_iter().all(|arg| holds(arg, &self.machine, call))
                }
            })
            .map(|rule| rule.result)
            .collect();
        if found.is_empty() { BTreeSet::from([self.default]) } else { found }
    }
}

fn name(number: u32, machine: &Machine) -> Option<String> {
    let raw = ScmpSyscall::from_raw_syscall(i32::try_from(number).ok()?);
    raw.get_name_by_arch(machine.scmp).ok()
}

/// The operation by which a call is reached through `socketcall` or `ipc`.
fn operation(called: &str, name: &str) -> Option<u64> {
    let names = match called {
        "socketcall" => SOCKETCALL,
        "ipc" => IPC,
        _ => return None,
    };
    (1..).zip(names).find(|(_, known)| **known == name).map(|(operation, _)| operation)
}

/// linux/net.h, from 1
const SOCKETCALL: &[&str] = &[
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
/// linux/ipc.h, from 1
const IPC: &[&str] = &[
    "semop",
    "semget",
    "semctl",
    "semtimedop",
    "",
    "",
    "",
    "",
    "",
    "",
    "msgsnd",
    "msgrcv",
    "msgget",
    "msgctl",
    "",
    "",
    "",
    "",
    "",
    "",
    "shmat",
    "shmdt",
    "shmget",
    "shmctl",
];

fn holds(arg: &LinuxSeccompArg, machine: &Machine, call: &Call) -> bool {
    let cut = |value: u64| if machine.wide { value } else { value & 0xffff_ffff };
    let argument = cut(call.arguments[arg.index()]);
    let value = cut(arg.value());
    match arg.op() {
        Operator::ScmpCmpNe => argument != value,
        Operator::ScmpCmpLt => argument < value,
        Operator::ScmpCmpLe => argument <= value,
        Operator::ScmpCmpEq => argument == value,
        Operator::ScmpCmpGe => argument >= value,
        Operator::ScmpCmpGt => argument > value,
        Operator::ScmpCmpMaskedEq => {
            argument & value == arg.value_two().unwrap_or_default() & value
        }
    }
}
