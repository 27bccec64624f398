//! Logs as the monitor writes them and a reader sees them, while it does.

use std::time::Duration;

use dhow_shim::args::LogTarget;
use dhow_shim::attach::Stream;
use dhow_shim::ctl::{self, Control};
use dhow_shim::log::{Ending, Format, LogReader, Next, ReadOptions};

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
