//! What a filter costs: to compile, to find in a cache instead, to install. `cargo bench -p dhow-seccomp`.
//!
//! The profile is the default one for x86_64 with its sub-architectures, as a container without capabilities gets it.
#![expect(clippy::unwrap_used, reason = "a bench that fails has nothing to measure")]
#![expect(clippy::print_stdout, reason = "what a bench is for")]

use std::time::{Duration, Instant};

use dhow_seccomp::{cached, compile};
use libseccomp::{ScmpAction, ScmpArch, ScmpFilterContext, ScmpSyscall};
use oci_spec::runtime::{Arch, LinuxSeccomp, LinuxSeccompAction};
use sha2::{Digest as _, Sha256};

fn main() {
    let profile = profile();
    let program = compile(&profile).unwrap();
    println!("{} instructions", program.instructions().len());
    report("compile", || {
        std::hint::black_box(compile(&profile).unwrap());
    });
    report("serialize the profile and hash it", || {
        let bytes = serde_json::to_vec(&profile).unwrap();
        std::hint::black_box(Sha256::digest(&bytes));
    });
    let dir = tempfile::tempdir().unwrap();
    report("find it in the cache", || {
        std::hint::black_box(cached(dir.path(), &profile).unwrap());
    });
    report("compile by libseccomp", || libseccomp(&profile));
    // A thread each: what is installed stays.
    report("install ours", || {
        let installed = std::thread::scope(|scope| {
            scope
                .spawn(|| dhow_sys::seccomp::install(program.instructions(), 0).is_ok())
                .join()
                .unwrap()
        });
        assert!(installed, "only root can install a filter without no_new_privs");
    });
    report("a thread alone", || std::thread::scope(|scope| scope.spawn(|| ()).join().unwrap()));
}

/// The median and the least of many turns.
fn report(what: &str, mut turn: impl FnMut()) {
    let mut times: Vec<Duration> = (0..200)
        .map(|_| {
            let start = Instant::now();
            turn();
            start.elapsed()
        })
        .collect();
    times.sort();
    println!("{what}: median {:?}, least {:?}", times[times.len() / 2], times[0]);
}

fn profile() -> LinuxSeccomp {
    let text = include_str!("../../oci/data/seccomp.json");
    let value: serde_json::Value = serde_json::from_str(text).unwrap();
    let rules = value["syscalls"].as_array().unwrap().iter();
    // Those that hang on nothing.
    let empty = |value: &serde_json::Value| value.as_object().is_none_or(serde_json::Map::is_empty);
    let rules = rules.filter(|rule| empty(&rule["includes"])).map(|rule| {
        let mut rule = rule.clone();
        let fields = rule.as_object_mut().unwrap();
        fields.retain(|key, value| {
            ["names", "action", "args", "errnoRet"].contains(&key.as_str()) && !value.is_null()
        });
        for arg in fields.get_mut("args").and_then(|args| args.as_array_mut()).into_iter().flatten()
        {
            arg.as_object_mut().unwrap().retain(|_, value| !value.is_null());
        }
        serde_json::from_value(rule).unwrap()
    });
    let mut profile = LinuxSeccomp::default();
    profile.set_default_action(LinuxSeccompAction::ScmpActErrno).set_default_errno_ret(Some(38));
    let architectures = vec![Arch::ScmpArchX86_64, Arch::ScmpArchX86, Arch::ScmpArchX32];
    profile.set_architectures(Some(architectures)).set_syscalls(Some(rules.collect()));
    profile
}

/// As runc does it, but for arguments, of which the profile has few.
fn libseccomp(profile: &LinuxSeccomp) {
    let mut filter = ScmpFilterContext::new(ScmpAction::Errno(38)).unwrap();
    for arch in [ScmpArch::X8664, ScmpArch::X86, ScmpArch::X32] {
        filter.add_arch(arch).unwrap();
    }
    filter.set_ctl_optimize(2).unwrap();
    for rule in profile.syscalls().iter().flatten() {
        if rule.args().as_ref().is_some_and(|args| !args.is_empty())
            || rule.action() != LinuxSeccompAction::ScmpActAllow
        {
            continue;
        }
        for name in rule.names() {
            if let Ok(call) = ScmpSyscall::from_name(name) {
                filter.add_rule(ScmpAction::Allow, call).unwrap();
            }
        }
    }
    filter.export_bpf(tempfile::tempfile().unwrap()).unwrap();
}
