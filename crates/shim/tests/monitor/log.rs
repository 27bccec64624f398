//! Logs as the monitor writes them and a reader sees them, while it does.

use std::time::Duration;

use dhow_shim::args::LogTarget;
use dhow_shim::attach::Stream;
use dhow_shim::ctl::{self, Control};
use dhow_shim::log::{Ending, Format, LogReader, Next, ReadOptions};

use dhow_shim::records::Losses;
use dhow_sys::process::{OutputLimits, Spawn, output};

use crate::harness::{LONG, Session, joined};

#[test]
fn both_formats_hold_the_same() {
    let mut session = Session::new("printf 'one\\ntwo'; printf 'err\\n' >&2");
    session.args.logs =
        vec![LogTarget::K8sFile(session.path("log")), LogTarget::JsonFile(session.path("json"))];
    session.start();
    session.wait_exit();
    let json = || {
        LogReader::open(&session.path("json"), Format::JsonFile, ReadOptions::default()).unwrap()
    };
    assert_eq!(joined(json(), Stream::Stdout), b"one\ntwo");
    assert_eq!(joined(json(), Stream::Stderr), b"err\n");
    assert_eq!(session.logged(Stream::Stdout), b"one\ntwo");
    assert_eq!(session.logged(Stream::Stderr), b"err\n");
}

#[test]
fn a_follower_sees_every_line_through_rotations_and_then_the_end() {
    let mut session =
        Session::new("read line; i=0; while [ $i -lt 20000 ]; do echo line $i; i=$((i+1)); done");
    session.args.stdin = true;
    session.args.log_limits.rotate = true;
    session.args.log_limits.max_size = Some(200_000);
    session.args.log_limits.max_files = Some(10);
    session.start();
    let mut reader =
        LogReader::open(&session.path("log"), Format::K8sFile, ReadOptions::default()).unwrap();
    reader.follow(Ending { run_dir: session.path("run"), monitor: None }).unwrap();
    assert!(matches!(reader.next_within(Some(Duration::from_millis(10))), Ok(Next::TimedOut)));
    session.attach().send(b"\n");
    let mut next = 0;
    loop {
        match reader.next_within(Some(LONG)).unwrap() {
            Next::Line(line) if !line.partial => {
                assert!(line.bytes.ends_with(format!("{next}").as_bytes()), "{next}: {line:?}");
                next += 1;
            }
            // A read of the pipe ended in the middle of a line.
            Next::Line(_) => {}
            Next::End => break,
            Next::TimedOut => panic!("nothing comes"),
        }
    }
    assert_eq!(next, 20_000);
    assert!(session.path("log.1").exists());
}

#[test]
fn a_follower_is_woken_by_the_death_of_the_monitor() {
    let mut session = Session::new("echo hello; exec sleep 1000");
    session.start();
    session.attach();
    let mut reader =
        LogReader::open(&session.path("log"), Format::K8sFile, ReadOptions::default()).unwrap();
    let monitor = std::os::fd::AsFd::as_fd(session.monitor_process()).try_clone_to_owned().unwrap();
    reader.follow(Ending { run_dir: session.path("run"), monitor: Some(monitor) }).unwrap();
    assert_eq!(reader.next().unwrap().unwrap().bytes, b"hello");
    session.monitor_process().signal(9).unwrap();
    assert!(reader.next().is_none());
}

#[test]
fn the_log_goes_on_in_a_new_file_when_told() {
    let mut session = Session::new("read line; echo $line; read line; echo $line");
    session.args.stdin = true;
    session.args.leave_stdin_open = true;
    session.start();
    let mut client = session.attach();
    client.send(b"one\n");
    client.expect("one\n");
    std::fs::rename(session.path("log"), session.path("moved")).unwrap();
    ctl::send(&session.path("run/ctl"), &Control::ReopenLog).unwrap();
    session.wait_for("", "log");
    client.send(b"two\n");
    session.wait_exit();
    assert!(session.text("moved").ends_with(" stdout F one\n"));
    assert!(session.text("log").ends_with(" stdout F two\n"));
}

#[test]
fn no_log_is_no_file() {
    let mut session = Session::new("echo x");
    session.args.logs = Vec::new();
    session.start();
    session.wait_exit();
    assert!(!session.path("log").exists());
}

/// Runs the monitor in the foreground where `$DIR/full` is a file system of 128 KiB; its log is copied to `log` at the end.
fn on_a_small_disk(session: &mut Session, options: &[&str]) -> bool {
    if !nix::unistd::geteuid().is_root() {
        assert!(std::env::var_os("STRICT").is_none_or(|v| v != "1"), "root is needed");
        return false;
    }
    std::fs::create_dir(session.path("full")).unwrap();
    session.args.logs = vec![LogTarget::K8sFile(session.path("full/log"))];
    const SCRIPT: &str = r#"mount -t tmpfs -o size=128k full "$DIR/full" && head -c 65536 /dev/zero > "$DIR/full/ballast" || exit 99
"$@"; cp "$DIR/full/log" "$DIR/log""#;
    let spawn = Spawn::new("/usr/bin/unshare")
        .args(["--mount", "sh", "-c", SCRIPT, "sh", env!("CARGO_BIN_EXE_dhow-shim"), "--sync"])
        .args(session.args.to_argv())
        .args(options.iter().copied())
        .envs(session.environment());
    let limits = OutputLimits { timeout: Some(LONG), ..OutputLimits::default() };
    assert!(output(spawn, &limits).unwrap().status.success());
    true
}

#[test]
fn what_a_full_disk_loses_is_counted_and_told_and_the_log_goes_on() {
    let mut session = Session::new(
        "i=0; while ! [ -e $DIR/run/lost.json ]; do echo line $i; i=$((i+1)); done; rm $DIR/full/ballast; echo after; echo $i > $DIR/lines",
    );
    if !on_a_small_disk(&mut session, &[]) {
        return;
    }
    let losses: Losses = serde_json::from_str(&session.text("run/lost.json")).unwrap();
    let log = session.text("log");
    let (mut whole, mut torn) = (0, 0);
    let record = |line: &str| line.len() > 45 && line[35..].starts_with(" stdout ");
    for line in log.lines() {
        let counted =
            if record(line) && line[45..].starts_with("line ") { &mut whole } else { &mut torn };
        *counted += 1;
    }
    assert!(log.ends_with(" stdout F after\n"), "it goes on: {}", &log[log.len() - 200..]);
    let lines: u64 = session.text("lines").trim().parse().unwrap();
    assert!(whole > 500 && torn <= 3, "{whole} {torn}");
    // Each record that is not there was counted: 45 bytes, the text and a newline.
    let missing = lines - whole;
    assert!(
        losses.bytes <= missing * 56 && losses.bytes + 56 * 3 >= missing * 51,
        "{losses:?} for {missing} lines"
    );
}

#[test]
fn a_burst_without_newlines_and_without_sense_is_in_the_log_whole() {
    const SIZE: usize = 64 << 20;
    // Bytes that are no UTF-8, NUL, carriage returns, and no newline at all.
    let block: Vec<u8> = b"\xff\0\r\xc2x".iter().copied().cycle().take(1 << 20).collect();
    let mut session = Session::new("i=0; while [ $i -lt 64 ]; do cat $DIR/block; i=$((i+1)); done");
    std::fs::write(session.path("block"), &block).unwrap();
    session.start();
    session.wait_exit();
    let logged = session.logged(Stream::Stdout);
    assert_eq!(logged.len(), SIZE);
    assert!(logged.chunks(block.len()).all(|chunk| chunk == block));
}

#[test]
fn a_grandchilds_last_words_are_in_the_log() {
    let mut session = Session::new(
        "(echo from the grandchild; echo said > $DIR/said; exec sleep 1000) & while ! [ -e $DIR/said ]; do :; done; echo $! > $DIR/grandchild; exit 4",
    );
    session.start();
    assert_eq!(session.wait_exit().code, 4);
    session.wait_gone();
    assert_eq!(session.logged(Stream::Stdout), b"from the grandchild\n");
    let grandchild = session.text("grandchild").trim().parse().unwrap();
    if let Some(process) = dhow_sys::pidfd::Process::open_pid(grandchild).unwrap() {
        process.signal(9).unwrap();
        process.wait_exit(Some(LONG)).unwrap();
        dhow_sys::daemon::reap(Some(grandchild)).unwrap();
    }
}

#[test]
fn only_a_log_in_an_allowed_directory_is_rotated() {
    let rotated = |allowed: &str| {
        let session = Session::new("yes line | head -c 100000");
        std::fs::create_dir(session.path("logs")).unwrap();
        let spawn = Spawn::new(env!("CARGO_BIN_EXE_dhow-shim"))
            .args(["--sync", "-c", "box", "-u", "box", "--full-attach", "--log-rotate", "-r"])
            .arg(session.path("runtime"))
            .args(["--log-size-max", "100000", "-l", "../logs/log", "--log-allowlist-dir"])
            .arg(session.path(allowed))
            .envs(session.environment())
            .cwd(session.path("bundle"));
        let output = output(spawn, &OutputLimits::default()).unwrap();
        assert!(output.status.success());
        let said = String::from_utf8(output.stderr).unwrap();
        (session.path("logs/log.1").exists(), said.contains("it is not rotated"))
    };
    assert_eq!(rotated("logs"), (true, false));
    assert_eq!(rotated(""), (true, false));
    assert_eq!(rotated("run"), (false, true));
}
