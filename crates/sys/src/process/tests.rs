//! What the child gets and what we get of it. `/bin/sh` reports.

use super::*;
use std::io::{Read, Write};
use std::os::fd::AsRawFd;

fn sh(script: &str) -> Spawn {
    Spawn::new("/bin/sh").arg("-c").arg(script).env("PATH", "/usr/bin:/bin")
}

fn said(spawn: Spawn) -> String {
    let output = output(spawn, &OutputLimits::default()).unwrap();
    assert!(output.status.success(), "{output:?}");
    assert_eq!(String::from_utf8_lossy(&output.stderr), "");
    String::from_utf8(output.stdout).unwrap()
}

#[test]
fn arguments_environment_and_directory_are_exactly_what_was_listed() {
    let spawn = Spawn::new("/bin/sh")
        .args(["-c", "printf '%s|' \"$0\" \"$@\"; pwd; /usr/bin/env", "zero", "", "a b", "\u{e9}"])
        .env("ONE", "1=2 3")
        .cwd("/usr");
    let text = said(spawn);
    let mut lines = text.lines();
    assert_eq!(lines.next(), Some("zero||a b|\u{e9}|/usr"));
    // dash adds PWD itself.
    let mut env: Vec<_> = lines
        .filter(|l| !l.starts_with("PWD=") && !l.starts_with("_=") && !l.starts_with("OLDPWD="))
        .collect();
    env.sort_unstable();
    assert_eq!(env.iter().filter(|l| l.starts_with("ONE=")).collect::<Vec<_>>(), [&"ONE=1=2 3"]);
    assert!(!text.contains("CARGO"), "{text}");
}

#[test]
fn exit_codes_and_signals_come_back() {
    assert_eq!(sh("exit 7").spawn().unwrap().wait().unwrap().code(), Some(7));
    assert_eq!(sh("exit 255").spawn().unwrap().wait().unwrap().code(), Some(255));
    assert_eq!(sh("kill -TERM $$").spawn().unwrap().wait().unwrap().signal(), Some(libc::SIGTERM));
}

#[test]
fn only_the_listed_descriptors_are_open() {
    // One that is not close-on-exec, as a careless library would leave it.
    let (leak, _other) = rustix::pipe::pipe().unwrap();
    let text = said(sh("ls /proc/self/fd | sort -n | tr '\\n' ' '"));
    // ls itself has its directory open, as the first free number.
    assert_eq!(text, "0 1 2 3 ");
    drop(leak);
}

#[test]
fn descriptors_arrive_under_their_numbers_even_if_these_are_ours_for_something_else() {
    let mut files = Vec::new();
    for n in 0..4 {
        let mut file = tempfile::tempfile().unwrap();
        write!(file, "{n}").unwrap();
        std::io::Seek::rewind(&mut file).unwrap();
        files.push(file);
    }
    // Targets chosen among the numbers that the sources have now, in another order.
    let mut targets: Vec<i32> = files.iter().map(AsRawFd::as_raw_fd).collect();
    targets.rotate_left(1);
    let mut spawn = Spawn::new("/bin/cat");
    for (n, file) in files.into_iter().enumerate() {
        spawn = spawn.arg(format!("/proc/self/fd/{}", targets[n])).fd(file.into(), targets[n]);
    }
    assert_eq!(said(spawn), "0123");
}

#[test]
fn a_descriptor_may_keep_its_number() {
    let mut file = tempfile::tempfile().unwrap();
    file.write_all(b"same").unwrap();
    std::io::Seek::rewind(&mut file).unwrap();
    let number = file.as_raw_fd();
    assert_eq!(
        said(Spawn::new("/bin/cat").arg(format!("/proc/self/fd/{number}")).fd(file.into(), number)),
        "same"
    );
}

#[test]
fn bad_targets_and_nul_bytes_are_refused() {
    let null = || OwnedFd::from(std::fs::File::open("/dev/null").unwrap());
    for spawn in [
        Spawn::new("/bin/true").fd(null(), 2),
        Spawn::new("/bin/true").fd(null(), -1),
        Spawn::new("/bin/true").fd(null(), 5).fd(null(), 5),
        Spawn::new("/bin/true").arg("a\0b"),
        Spawn::new("/bin/tr\0ue"),
        Spawn::new("/bin/true").env("A=B", "c"),
        Spawn::new("/bin/true").env("", "c"),
    ] {
        assert_eq!(spawn.spawn().unwrap_err().kind(), io::ErrorKind::InvalidInput);
    }
}

#[test]
fn what_failed_in_the_child_is_named() {
    let error = Spawn::new("/no/such/program").spawn().unwrap_err();
    assert_eq!(error.kind(), io::ErrorKind::NotFound);
    assert_eq!(error.to_string(), "cannot execute /no/such/program");
    assert!(std::error::Error::source(&error).unwrap().to_string().contains("No such file"));
    let error = Spawn::new("/etc/passwd").spawn().unwrap_err();
    assert_eq!(error.kind(), io::ErrorKind::PermissionDenied);
    let error = Spawn::new("/bin/true").cwd("/no/dir").spawn().unwrap_err();
    assert_eq!(error.to_string(), "cannot start a program in the directory /no/dir");
}

#[test]
fn signals_are_neither_blocked_nor_ignored_in_the_child_and_ours_stay_as_they_are() {
    use nix::sys::signal::{SigSet, Signal};
    let mut mask = SigSet::empty();
    mask.add(Signal::SIGTERM);
    mask.thread_block().unwrap();
    let text = said(Spawn::new("/bin/cat").arg("/proc/self/status"));
    let lines: Vec<_> =
        text.lines().filter(|l| l.starts_with("SigBlk:") || l.starts_with("SigIgn:")).collect();
    assert_eq!(lines, ["SigBlk:\t0000000000000000", "SigIgn:\t0000000000000000"]);
    assert!(SigSet::thread_get_mask().unwrap().contains(Signal::SIGTERM));
    mask.thread_unblock().unwrap();
}

#[test]
fn sessions_and_groups() {
    let stat = |spawn: Spawn| {
        let text = said(spawn);
        let fields: Vec<i32> = text.split_whitespace().map(|f| f.parse().unwrap()).collect();
        (fields[0], fields[1], fields[2])
    };
    let report = || {
        sh("read -r pid comm state ppid pgrp session rest < /proc/$$/stat; echo $$ $pgrp $session")
    };
    let (pid, group, session) = stat(report());
    assert!(pid != group && pid != session);
    let mut spawn = report();
    spawn.new_process_group = true;
    let (pid, group, session) = stat(spawn);
    assert!(pid == group && pid != session);
    let mut spawn = report();
    spawn.setsid = true;
    spawn.new_process_group = true;
    let (pid, group, session) = stat(spawn);
    assert!(pid == group && pid == session);
}

#[test]
fn the_death_signal_follows_the_starting_thread() {
    let child = std::thread::spawn(|| {
        let mut spawn = Spawn::new("/bin/sleep").arg("1000");
        spawn.death_signal = Some(libc::SIGKILL);
        spawn.spawn().unwrap()
    })
    .join()
    .unwrap();
    assert_eq!(child.wait().unwrap().signal(), Some(libc::SIGKILL));
}

#[test]
fn the_oom_score_is_set_or_stays() {
    let mut spawn = Spawn::new("/bin/cat").arg("/proc/self/oom_score_adj");
    spawn.oom_score_adj = Some(345);
    assert_eq!(said(spawn), "345\n");
    let mut spawn = Spawn::new("/bin/cat").arg("/proc/self/oom_score_adj");
    spawn.oom_score_adj = Some(123_456);
    assert!(said(spawn).trim().parse::<i32>().unwrap() <= 1000);
}

#[test]
fn a_variable_may_hold_the_childs_own_pid() {
    let mut spawn = sh("echo $$ $LISTEN_PID; env | grep -c LISTEN_PID").env("LISTEN_PID", "1");
    spawn.pid_variable = Some("LISTEN_PID".into());
    let text = said(spawn);
    let (own, rest) = text.split_once(' ').unwrap();
    assert_eq!(rest, format!("{own}\n1\n"));
}

#[test]
fn a_lock_held_by_us_is_not_the_childs() {
    use crate::lock::{FileLock, LockMode};
    let dir = tempfile::tempdir().unwrap();
    let lock = FileLock::acquire(&dir.path().join("lock"), LockMode::Exclusive, None).unwrap();
    let child = Spawn::new("/bin/sleep").arg("1000").spawn().unwrap();
    drop(lock);
    assert!(
        FileLock::try_acquire(&dir.path().join("lock"), LockMode::Exclusive).unwrap().is_some()
    );
    child.signal(libc::SIGKILL).unwrap();
    child.wait().unwrap();
}

#[test]
fn output_is_bounded_and_the_program_is_not_held_up() {
    let limits = OutputLimits { stdout: 1000, stderr: 10, timeout: Some(Duration::from_secs(60)) };
    let got =
        output(sh("head -c 3000000 /dev/zero; head -c 300000 /dev/zero >&2; exit 3"), &limits)
            .unwrap();
    assert_eq!((got.stdout.len(), got.stderr.len(), got.truncated), (1000, 10, true));
    assert_eq!(got.status.code(), Some(3));
    let got = output(sh("head -c 1000 /dev/zero"), &limits).unwrap();
    assert_eq!((got.stdout.len(), got.truncated), (1000, false));
}

#[test]
fn a_daemon_that_keeps_the_pipe_open_does_not_hold_us_up() {
    let got = output(sh("sleep 1000 & echo $!"), &OutputLimits::default()).unwrap();
    let pid: i32 = String::from_utf8(got.stdout).unwrap().trim().parse().unwrap();
    let daemon = crate::pidfd::Process::open_pid(pid).unwrap().unwrap();
    assert!(daemon.signal(libc::SIGKILL).unwrap());
}

#[test]
fn a_program_that_does_not_end_is_killed_after_the_timeout() {
    let limits =
        OutputLimits { timeout: Some(Duration::from_millis(50)), ..OutputLimits::default() };
    let error = output(Spawn::new("/bin/sleep").arg("1000"), &limits).unwrap_err();
    assert_eq!(error.kind(), io::ErrorKind::TimedOut);
    // One that fills its pipes for ever, too.
    let error = output(Spawn::new("/usr/bin/yes"), &limits).unwrap_err();
    assert_eq!(error.kind(), io::ErrorKind::TimedOut);
}

#[test]
fn bytes_for_standard_input() {
    let big = vec![b'x'; 300_000];
    let got =
        output(Spawn::new("/bin/cat").stdin(Stdio::bytes(&big).unwrap()), &OutputLimits::default())
            .unwrap();
    assert_eq!(got.stdout, big);
}

#[test]
fn wait_with_a_timeout_gives_the_child_back() {
    let child = Spawn::new("/bin/sleep").arg("1000").spawn().unwrap();
    let child = child.wait_timeout(Duration::from_millis(10)).unwrap().unwrap_err();
    assert!(child.signal(libc::SIGTERM).unwrap());
    let status = child.wait_timeout(Duration::from_secs(60)).unwrap().unwrap();
    assert_eq!(status.signal(), Some(libc::SIGTERM));
}

#[test]
fn streams_can_be_descriptors() {
    let (read, write) = rustix::pipe::pipe_with(rustix::pipe::PipeFlags::CLOEXEC).unwrap();
    let child = sh("echo hello").stdout(Stdio::Fd(write)).spawn().unwrap();
    let mut text = String::new();
    std::fs::File::from(read).read_to_string(&mut text).unwrap();
    assert_eq!(text, "hello\n");
    assert!(child.wait().unwrap().success());
}

#[test]
fn many_threads_start_programs_at_the_same_time() {
    std::thread::scope(|s| {
        for t in 0..4 {
            s.spawn(move || {
                for n in 0..25 {
                    let code = (t * 25 + n) % 256;
                    let status = sh(&format!("exit {code}")).spawn().unwrap().wait().unwrap();
                    assert_eq!(status.code(), Some(code));
                }
            });
        }
    });
}
