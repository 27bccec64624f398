//! The payload of end-to-end tests: a static program that says what it sees from inside.
//!
//! It needs nothing of the root file system, so that it also runs as the only file of an image.

use std::fs;
use std::io::{Read, Write};
use std::process::ExitCode;

fn main() -> ExitCode {
    let args: Vec<String> = std::env::args().skip(1).collect();
    let args: Vec<&str> = args.iter().map(String::as_str).collect();
    match args.as_slice() {
        ["show"] => show(),
        ["status", field] => println!("{}", status(field)),
        ["args", rest @ ..] => rest.iter().for_each(|arg| println!("{arg}")),
        ["exit", code] => return ExitCode::from(code.parse::<u8>().expect("an exit code")),
        ["spew", bytes] => spew(bytes.parse().expect("a count")),
        ["both"] => {
            println!("to stdout");
            eprintln!("to stderr");
        }
        ["hold"] => {
            println!("holding");
            loop {
                std::thread::park();
            }
        }
        ["eat", mib] => eat(mib.parse().expect("a count")),
        ["count"] => {
            let mut bytes = Vec::new();
            std::io::stdin().read_to_end(&mut bytes).expect("stdin");
            println!("{}", bytes.len());
        }
        ["read", path] => print!("{}", fs::read_to_string(path).unwrap_or_else(|e| format!("{e}\n"))),
        other => {
            eprintln!("probe: unknown request {other:?}");
            return ExitCode::from(99);
        }
    }
    ExitCode::SUCCESS
}

/// One line a fact, `name=value`.
fn show() {
    for field in [
        "Uid", "Gid", "Groups", "CapInh", "CapPrm", "CapEff", "CapBnd", "CapAmb", "NoNewPrivs", "Seccomp", "Umask",
    ] {
        println!("{field}={}", status(field));
    }
    println!("cwd={}", std::env::current_dir().map_or_else(|e| e.to_string(), |p| p.display().to_string()));
    println!("hostname={}", read("/proc/sys/kernel/hostname"));
    println!("oom_score_adj={}", read("/proc/self/oom_score_adj"));
    println!("pid={}", std::process::id());
    for line in read("/proc/self/limits").lines().skip(1) {
        println!("limit={line}");
    }
    for (name, value) in std::env::vars() {
        println!("env={name}={value}");
    }
    for ns in ["pid", "ipc", "uts", "net", "cgroup", "mnt", "user"] {
        let link = fs::read_link(format!("/proc/self/ns/{ns}")).map(|p| p.display().to_string());
        println!("ns={}", link.unwrap_or_default());
    }
    for line in read("/proc/self/mountinfo").lines() {
        println!("mount={line}");
    }
    for fd in fs::read_dir("/proc/self/fd").expect("/proc/self/fd") {
        let fd = fd.expect("an entry");
        let target = fs::read_link(fd.path()).map(|p| p.display().to_string()).unwrap_or_default();
        if !target.starts_with("/proc/") {
            println!("fd={}:{target}", fd.file_name().display());
        }
    }
}

fn status(field: &str) -> String {
    let status = read("/proc/self/status");
    let line = status.lines().find_map(|line| line.strip_prefix(field)?.strip_prefix(':'));
    line.map(|value| value.split_whitespace().collect::<Vec<_>>().join(" ")).unwrap_or_default()
}

fn read(path: &str) -> String {
    fs::read_to_string(path).map(|text| text.trim_end().to_owned()).unwrap_or_else(|e| e.to_string())
}

/// Lines of 64 bytes, numbered, so that a lost one is noticed.
fn spew(bytes: u64) {
    let mut out = std::io::BufWriter::new(std::io::stdout().lock());
    for line in 0..bytes / 64 {
        writeln!(out, "{line:063}").expect("stdout");
    }
}

/// Touches memory until the kernel objects.
fn eat(mib: usize) {
    let mut held = Vec::new();
    for _ in 0..mib {
        held.push(vec![1u8; 1 << 20]);
    }
    println!("ate {}", held.iter().map(Vec::len).sum::<usize>() >> 20);
}
