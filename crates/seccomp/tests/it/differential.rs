//! Our program, libseccomp's and a plain reading of the rules answer every call alike.

use std::collections::BTreeSet;

use dhow_seccomp::compile_for;
use dhow_sys::seccomp::Instruction;
use oci_spec::runtime::{
    LinuxSeccomp, LinuxSeccompAction as Action, LinuxSeccompArg, LinuxSeccompArgBuilder,
    LinuxSeccompOperator as Operator, LinuxSyscall,
};
use proptest::prelude::*;

use crate::bpf::{Call, run};
use crate::reference::{
    AARCH64, ARM, MIPS, MIPSEL64, Machine, PPC64, PPC64LE, Plain, RISCV64, S390X, X32, X86, X86_64,
    libseccomp, result, without_news,
};

const ENOSYS: u32 = 0x0005_0000 | 38;
const KILL: u32 = 0;

/// Groups that can be in one filter, the native one first.
const GROUPS: &[&[Machine]] = &[
    &[X86_64, X86, X32],
    &[X86_64],
    &[X86_64, X86],
    &[X86],
    &[AARCH64, ARM],
    &[S390X],
    &[PPC64LE],
    &[PPC64],
    &[MIPS],
    &[MIPSEL64],
    &[RISCV64],
];

/// A profile told in all ways.
struct Told {
    machines: &'static [Machine],
    ours: Vec<Instruction>,
    theirs: Vec<Instruction>,
    plain: Vec<Plain>,
    believable: Vec<bool>,
}

impl Told {
    fn new(profile: &LinuxSeccomp, machines: &'static [Machine]) -> Told {
        let ours = compile_for(profile, machines[0].arch).unwrap().instructions().to_vec();
        let plain: Vec<Plain> =
            machines.iter().map(|machine| Plain::new(profile, machine)).collect();
        // Only where a profile is small can such a call come first.
        let small = profile.syscalls().iter().flatten().count() < 10;
        let believable = plain.iter().map(|plain| !small || plain.believable(profile)).collect();
        Told { machines, ours, theirs: libseccomp(profile, machines), plain, believable }
    }

    /// Runs the call through all, and says what differs, or how many instructions ours took.
    fn check(&self, call: &Call) -> Result<usize, String> {
        let big_endian = self.machines[0].big_endian;
        let (answer, steps) = run(&self.ours, call, big_endian);
        let (mut expected, _) = run(&self.theirs, call, big_endian);
        let x32 = call.audit == X32.audit && call.number >= X32.base;
        let index = self
            .machines
            .iter()
            .position(|machine| machine.audit == call.audit && (machine.base == X32.base) == x32);
        let mut allowed = BTreeSet::new();
        if let Some(index) = index {
            // runc's stub before libseccomp's program.
            let newest = self.plain[index].newest;
            let s390 = call.audit == S390X.audit && call.number == 0;
            if newest.is_some_and(|newest| call.number > newest || s390) {
                expected = ENOSYS;
                allowed.insert(ENOSYS);
            } else {
                allowed = self.plain[index].results(call);
            }
        } else if call.number != u32::MAX {
            allowed.insert(KILL);
        }
        // Where rules with arguments overlap, libseccomp's choice follows from how it sorts them; ours is the first.
        let right = match allowed.len() {
            0 => answer == expected,
            1 if index.is_none_or(|index| {
                self.believable[index] && self.plain[index].separate(call.number)
            }) =>
            {
                answer == expected && allowed.contains(&answer)
            }
            _ => allowed.contains(&answer),
        };
        if right {
            return Ok(steps);
        }
        Err(format!(
            "{call:x?}: ours {answer:#x}, libseccomp's {expected:#x}, by the rules {allowed:x?}"
        ))
    }
}

fn with_architectures(profile: &LinuxSeccomp, machines: &[Machine]) -> LinuxSeccomp {
    let mut profile = without_news(profile.clone());
    profile.set_architectures(Some(machines.iter().map(|machine| machine.arch).collect()));
    profile
}

/// Values around those that a profile compares with.
fn values(profile: &LinuxSeccomp, wide: bool) -> Vec<u64> {
    let mut values = BTreeSet::from([0, 1, u64::MAX, 1 << 32, 0xffff_ffff]);
    for arg in profile.syscalls().iter().flatten().flat_map(|rule| rule.args().iter().flatten()) {
        for value in [arg.value(), arg.value_two().unwrap_or_default()] {
            values.extend([value, value.wrapping_add(1), value.wrapping_sub(1)]);
            values.extend([value ^ (1 << 32), value.rotate_left(32), !value]);
        }
    }
    let cut = if wide { u64::MAX } else { 0xffff_ffff };
    let values: BTreeSet<u64> = values.into_iter().map(|value| value & cut).collect();
    values.into_iter().collect()
}

/// All numbers of each architecture, each with every value in every argument, and with different ones.
fn compare_all(profile: &LinuxSeccomp, machines: &'static [Machine]) -> Told {
    let profile = with_architectures(profile, machines);
    let told = Told::new(&profile, machines);
    let mut longest = 0;
    for machine in machines {
        let values = values(&profile, machine.wide);
        let edges = [0x3fff_ffff, 0x4000_0000, 0x4000_0200, 0x7fff_ffff, u32::MAX - 1, u32::MAX];
        let private = 0xf_0000..0xf_0008;
        for number in (machine.base..machine.base + 600).chain(private).chain(edges) {
            for (turn, value) in values.iter().enumerate() {
                let other = |step: usize| values[(turn * step + step) % values.len()];
                for arguments in
                    [[*value; 6], [*value, other(2), other(3), other(5), other(7), other(11)]]
                {
                    let call = Call { number, audit: machine.audit, arguments };
                    let steps = told.check(&call).unwrap();
                    longest = longest.max(steps);
                }
            }
        }
    }
    for audit in [0, 1, 0x4000_00f3, u32::MAX] {
        let call = Call { number: 0, audit, arguments: [0; 6] };
        assert_eq!(run(&told.ours, &call, machines[0].big_endian).0, KILL);
    }
    // A balanced tree over some hundred numbers, and the few comparisons of arguments below a leaf.
    assert!(longest < 60, "a call takes {longest} instructions");
    told
}

fn containers_profile(text: &str) -> LinuxSeccomp {
    // The rules that hang on capabilities and architectures all taken: more than any container gets.
    let profile: serde_json::Value = serde_json::from_str(text).unwrap();
    let mut syscalls = Vec::new();
    for rule in profile["syscalls"].as_array().unwrap() {
        let mut rule = rule.clone();
        for arg in rule["args"].as_array_mut().into_iter().flatten() {
            arg.as_object_mut().unwrap().retain(|_, value| !value.is_null());
        }
        let rule = rule.as_object_mut().unwrap();
        rule.retain(|key, value| {
            ["names", "action", "args", "errnoRet"].contains(&key.as_str()) && !value.is_null()
        });
        syscalls.push(
            serde_json::from_value::<LinuxSyscall>(serde_json::Value::Object(rule.clone()))
                .unwrap(),
        );
    }
    let mut seccomp = LinuxSeccomp::default();
    seccomp.set_default_action(serde_json::from_value(profile["defaultAction"].clone()).unwrap());
    let errno = profile["defaultErrnoRet"].as_u64().map(|errno| u32::try_from(errno).unwrap());
    seccomp.set_default_errno_ret(errno);
    seccomp.set_syscalls(Some(syscalls));
    seccomp
}

#[test]
fn the_default_profile_on_every_architecture() {
    let profile = containers_profile(include_str!("../../../oci/data/seccomp.json"));
    for machines in GROUPS {
        let told = compare_all(&profile, machines);
        assert!(
            told.ours.len() < told.theirs.len(),
            "{} for {}",
            told.ours.len(),
            told.theirs.len()
        );
    }
}

#[test]
fn the_profile_that_podman_installs() {
    let Ok(text) = std::fs::read_to_string("/usr/share/containers/seccomp.json") else {
        assert!(!crate::strict(), "golang-github-containers-common is not installed");
        return;
    };
    compare_all(&containers_profile(&text), GROUPS[0]);
}

#[test]
fn a_default_that_lets_pass_and_one_that_does_not() {
    let parse = |text: &str| serde_json::from_str::<LinuxSeccomp>(text).unwrap();
    for default in ["ALLOW", "LOG", "TRACE", "ERRNO", "TRAP", "KILL", "KILL_THREAD", "KILL_PROCESS"]
    {
        let profile = parse(&format!(
            r#"{{"defaultAction":"SCMP_ACT_{default}","syscalls":[
                {{"names":["socket","semop","clone"],"action":"SCMP_ACT_ERRNO","errnoRet":5}},
                {{"names":["bind"],"action":"SCMP_ACT_ALLOW","args":[{{"index":1,"value":7,"op":"SCMP_CMP_NE"}}]}},
                {{"names":["chown","no_such_call"],"action":"SCMP_ACT_{default}"}},
                {{"names":["openat2"],"action":"SCMP_ACT_NOTIFY"}}]}}"#
        ));
        for machines in GROUPS {
            compare_all(&profile, machines);
        }
    }
}

/// Far more comparisons than a conditional jump reaches over, and more than the kernel takes.
#[test]
fn long_programs() {
    let rule = |count: u64| {
        let rules: Vec<LinuxSyscall> = (0..count)
            .map(|value| {
                let mut rule = LinuxSyscall::default();
                rule.set_names(vec!["read".into(), "socket".into(), "personality".into()]);
                rule.set_action(Action::ScmpActErrno).set_errno_ret(Some(7));
                rule.set_args(Some(vec![arg(1, value * 3, Operator::ScmpCmpEq, None)]));
                rule
            })
            .collect();
        let mut profile = LinuxSeccomp::default();
        profile.set_default_action(Action::ScmpActAllow);
        profile.set_syscalls(Some(rules));
        profile
    };
    let profile = with_architectures(&rule(150), &[X86_64]);
    let ours = compile_for(&profile, X86_64.arch).unwrap();
    assert!(ours.instructions().len() > 1024);
    for number in [0, 1, 41, 42, 135, 136] {
        for value in 0..460 {
            let hit = [0, 41, 135].contains(&number) && value % 3 == 0 && value < 450;
            let call = Call { number, audit: X86_64.audit, arguments: [1, value, 2, 3, 4, 5] };
            let (answer, _) = run(ours.instructions(), &call, false);
            assert_eq!(answer, if hit { 0x0005_0007 } else { 0x7fff_0000 }, "{call:?}");
        }
    }
    let error = compile_for(&with_architectures(&rule(800), &[X86_64]), X86_64.arch).unwrap_err();
    assert!(error.to_string().contains("is too long: the kernel takes 4096"), "{error}");
}

fn arg(index: usize, value: u64, op: Operator, two: Option<u64>) -> LinuxSeccompArg {
    let builder = LinuxSeccompArgBuilder::default().index(index).value(value).op(op);
    let builder = match two {
        Some(two) => builder.value_two(two),
        None => builder,
    };
    builder.build().unwrap()
}

const NAMES: &[&str] = &[
    "read",
    "write",
    "open",
    "socket",
    "bind",
    "recv",
    "accept",
    "accept4",
    "socketcall",
    "ipc",
    "semop",
    "shmget",
    "ioctl",
    "clone",
    "personality",
    "openat2",
    "ptrace",
    "rt_sigaction",
    "execveat",
    "cacheflush",
    "futex_time64",
    "newfstatat",
    "no_such_call",
    "getpid",
    "setup",
];

const ACTIONS: &[(Action, Option<u32>)] = &[
    (Action::ScmpActAllow, None),
    (Action::ScmpActErrno, None),
    (Action::ScmpActErrno, Some(38)),
    (Action::ScmpActKillProcess, None),
    (Action::ScmpActKill, None),
    (Action::ScmpActTrap, None),
    (Action::ScmpActTrace, Some(9)),
    (Action::ScmpActLog, None),
];

fn an_argument() -> impl Strategy<Value = LinuxSeccompArg> {
    let value = prop_oneof![
        Just(0u64),
        Just(1),
        Just(40),
        Just(u64::MAX),
        Just(0xffff_ffff),
        Just(1 << 32),
        Just(0x1_0000_0001),
        Just(0x8000_0000),
        any::<u64>(),
    ];
    let operator = prop::sample::select(vec![
        Operator::ScmpCmpEq,
        Operator::ScmpCmpNe,
        Operator::ScmpCmpLt,
        Operator::ScmpCmpLe,
        Operator::ScmpCmpGe,
        Operator::ScmpCmpGt,
        Operator::ScmpCmpMaskedEq,
    ]);
    (0usize..4, value.clone(), operator, value).prop_map(|(index, value, operator, two)| {
        let two = (operator == Operator::ScmpCmpMaskedEq).then_some(two & value);
        arg(index, value, operator, two)
    })
}

fn a_rule() -> impl Strategy<Value = LinuxSyscall> {
    let names = prop::collection::vec(prop::sample::select(NAMES), 1..4);
    let args = prop_oneof![Just(vec![]), prop::collection::vec(an_argument(), 1..4)];
    (names, prop::sample::select(ACTIONS), args).prop_map(|(names, (action, errno), args)| {
        let mut rule = LinuxSyscall::default();
        rule.set_names(names.into_iter().map(str::to_owned).collect());
        rule.set_action(action).set_errno_ret(errno).set_args(Some(args));
        rule
    })
}

fn a_profile() -> impl Strategy<Value = LinuxSeccomp> {
    let rules = prop::collection::vec(a_rule(), 0..8);
    (prop::sample::select(ACTIONS), rules).prop_map(|((action, errno), rules)| {
        let mut profile = LinuxSeccomp::default();
        profile.set_default_action(action).set_default_errno_ret(errno);
        profile.set_syscalls(Some(rules));
        profile
    })
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 512, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn any_profile(profile in a_profile(), group in 0..GROUPS.len(), picks in prop::collection::vec(any::<[u8; 6]>(), 12)) {
        let machines = GROUPS[group];
        let profile = with_architectures(&profile, machines);
        let told = Told::new(&profile, machines);
        for machine in machines {
            let values = values(&profile, machine.wide);
            let named: BTreeSet<u32> = NAMES
                .iter()
                .filter_map(|name| libseccomp_number(name, machine))
                .flat_map(|number| [number.saturating_sub(1), number, number.saturating_add(1)])
                .chain([machine.base, machine.base + 599, u32::MAX])
                .collect();
            for number in named {
                for pick in &picks {
                    let mut arguments = pick.map(|pick| values[usize::from(pick) % values.len()]);
                    // So that socketcall and ipc are asked for what the rules are about.
                    if pick[5] % 2 == 0 {
                        arguments[0] = [1, 2, 5, 10, 18, 23][usize::from(pick[0]) % 6];
                    }
                    // ipc's version: libseccomp takes the whole word for the operation.
                    if arguments[0] & 0xffff_0000 != 0 && libseccomp_number("ipc", machine) == Some(number) {
                        continue;
                    }
                    let call = Call { number, audit: machine.audit, arguments };
                    if let Err(difference) = told.check(&call) {
                        let profile = serde_json::to_string(&profile).unwrap();
                        prop_assert!(false, "{:?}: {difference}\n{profile}", machine.arch);
                    }
                }
            }
        }
    }
}

fn libseccomp_number(name: &str, machine: &Machine) -> Option<u32> {
    let number = ::libseccomp::ScmpSyscall::from_name_by_arch(name, machine.scmp).ok()?;
    u32::try_from(number.as_raw_syscall()).ok()
}

#[test]
fn results_are_told_alike() {
    assert_eq!(result(Action::ScmpActErrno, Some(38)), ENOSYS);
}
