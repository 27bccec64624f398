//! How a container ended, and what is done then.

use std::time::Duration;

use dhow_shim::args::ExitCommand;
use dhow_shim::attach::{Received, Stream};
use dhow_sys::lock::{FileLock, LockMode};

use crate::harness::{LONG, Session};

#[test]
fn the_exit_code_is_in_every_place() {
    let mut session = Session::new("read line; echo out; echo err >&2; exit 7");
    session.args.stdin = true;
    session.start();
    let mut client = session.attach();
    client.send(b"\n");
    assert_eq!(client.read_to_end(Stream::Stdout), b"out\n");
    // ORDER: by the end of the connection everything is written.
    let exit = session.wait_exit();
    assert_eq!((exit.code, exit.signal, exit.oom, exit.message), (7, None, false, None));
    assert_eq!(session.text("exits/box"), "7");
    assert_eq!(session.text("persist/exit"), "7");
    session.wait_gone();
    assert!(!session.path("run/attach").exists());
    assert_eq!(session.logged(Stream::Stderr), b"err\n");
}

#[test]
fn a_container_that_ends_at_once_is_not_missed() {
    for _ in 0..20 {
        let mut session = Session::new("echo x; exit 3");
        session.start();
        assert_eq!(session.wait_exit().code, 3);
        assert_eq!(session.logged(Stream::Stdout), b"x\n");
        assert!(session.started().container.start_time > 0);
    }
}

#[test]
fn death_by_signal_is_128_and_more() {
    for (signal, code) in [(9, 137), (15, 143), (11, 139), (34, 162)] {
        let mut session = Session::new(&format!("kill -{signal} $$"));
        session.start();
        let exit = session.wait_exit();
        assert_eq!((exit.code, exit.signal), (code, Some(signal)));
        session.wait_for("exits", "box");
        assert_eq!(session.text("exits/box"), code.to_string());
    }
}

#[test]
fn signals_for_the_container_are_forwarded_and_others_do_nothing() {
    let mut session =
        Session::new("trap 'echo term; exit 5' TERM; while :; do read line; echo got $line; done");
    session.args.stdin = true;
    session.args.leave_stdin_open = true;
    session.write("bundle/create", "");
    session.launch().unwrap();
    session.wait_pid().unwrap();
    let mut client = session.attach();
    for signal in [1, 10, 12, 13, 14] {
        assert!(session.monitor_process().signal(signal).unwrap());
    }
    client.send(b"a line\n");
    client.expect("got a line\n");
    assert!(session.monitor_process().signal(15).unwrap());
    let output = client.read_to_end(Stream::Stdout);
    assert!(output.ends_with(b"term\n"));
    assert_eq!(session.wait_exit().code, 5);
}

#[test]
fn a_descendant_that_holds_the_output_open_does_not_delay_the_end() {
    let mut session = Session::new(
        "sh -c 'echo $$ > $DIR/run/straggler; exec sleep 1000' & while ! [ -s $DIR/run/straggler ]; do :; done; echo last words; exit 2",
    );
    session.start();
    assert_eq!(session.wait_exit().code, 2);
    session.wait_gone();
    assert_eq!(session.logged(Stream::Stdout), b"last words\n");
    let straggler = session.text("run/straggler").trim().parse().unwrap();
    if let Some(process) = dhow_sys::pidfd::Process::open_pid(straggler).unwrap() {
        process.signal(9).unwrap();
        process.wait_exit(Some(LONG)).unwrap();
        dhow_sys::daemon::reap(Some(straggler)).unwrap();
    }
}

#[test]
fn the_exit_command_runs_after_everything_and_is_waited_for() {
    let mut session = Session::new("exit 6");
    let script = "cat \"$DIR/run/exit.json\" \"$DIR/exits/box\" > \"$0\"; test -e \"$DIR/run/attach\" || echo no attach >> \"$0\"";
    let seen = session.path("seen");
    session.args.exit_command = Some(ExitCommand {
        argv: vec!["/bin/sh".into(), "-c".into(), script.into(), seen.into()],
        delay: None,
        lock: None,
    });
    session.start();
    session.wait_gone();
    let seen = session.text("seen");
    assert!(
        seen.starts_with("{\"version\":1,\"code\":6,") && seen.ends_with("}6no attach\n"),
        "{seen}"
    );
}

#[test]
fn the_exit_command_runs_after_a_failed_create_too() {
    let mut session = Session::new("exit 0");
    session.write("bundle/create", "exit 1");
    let seen = session.path("seen");
    session.args.exit_command =
        Some(ExitCommand { argv: vec!["/bin/touch".into(), seen.into()], delay: None, lock: None });
    session.launch().unwrap();
    session.wait_pid().unwrap_err();
    session.wait_gone();
    assert!(session.path("seen").exists());
}

fn with_lock() -> Session {
    let mut session = Session::new("exit 0");
    let (seen, lock) = (session.path("seen"), session.path("attended"));
    session.args.exit_command = Some(ExitCommand {
        argv: vec!["/bin/touch".into(), seen.into()],
        delay: None,
        lock: Some(lock),
    });
    session
}

#[test]
fn the_exit_command_waits_for_the_lock_and_runs_if_its_holder_left_the_work() {
    let mut session = with_lock();
    let lock = FileLock::acquire(&session.path("attended"), LockMode::Exclusive, None).unwrap();
    session.start();
    session.wait_exit();
    assert!(
        !session.monitor_process().wait_exit(Some(Duration::from_millis(100))).unwrap(),
        "it waits"
    );
    assert!(!session.path("seen").exists());
    drop(lock);
    session.wait_gone();
    assert!(session.path("seen").exists());
}

#[test]
fn the_exit_command_is_left_out_if_the_holder_did_the_work() {
    let mut session = with_lock();
    let lock = FileLock::acquire(&session.path("attended"), LockMode::Exclusive, None).unwrap();
    session.start();
    session.wait_exit();
    assert!(
        !session.monitor_process().wait_exit(Some(Duration::from_millis(100))).unwrap(),
        "it waits"
    );
    lock.unlink().unwrap();
    session.wait_gone();
    assert!(!session.path("seen").exists());
}

#[test]
fn the_exit_command_is_left_out_if_the_work_was_done_before() {
    let mut session = with_lock();
    session.start();
    session.wait_gone();
    assert!(!session.path("seen").exists());
}

#[test]
fn a_container_that_takes_too_long_is_killed() {
    let mut session = Session::new("echo before; exec sleep 1000");
    session.args.timeout = Some(1);
    session.start();
    let exit = session.wait_exit();
    assert_eq!((exit.code, exit.message.as_deref()), (137, Some("command timed out")));
    session.wait_for("exits", "box");
    assert_eq!(session.text("exits/box"), "-1");
    assert_eq!(session.logged(Stream::Stdout), b"before\n");
}

#[test]
fn what_is_written_just_before_the_end_is_not_lost() {
    let mut session =
        Session::new("read line; head -c 3000000 /dev/zero | tr '\\0' 'x'; echo; echo end");
    session.args.stdin = true;
    session.start();
    let mut client = session.attach();
    client.send(b"\n");
    let mut expected = vec![b'x'; 3_000_000];
    expected.extend_from_slice(b"\nend\n");
    assert!(client.read_to_end(Stream::Stdout) == expected);
    assert!(session.logged(Stream::Stdout) == expected);
}

#[test]
fn a_directory_that_is_gone_stops_nothing() {
    let mut session = Session::new("read line; exit 9");
    session.args.stdin = true;
    session.start();
    let mut client = session.attach();
    std::fs::remove_dir_all(session.path("exits")).unwrap();
    std::fs::remove_file(session.path("log")).unwrap();
    client.send(b"\n");
    assert_eq!(client.next().0, Received::End);
    assert_eq!(session.wait_exit().code, 9);
    assert_eq!(session.text("persist/exit"), "9");
}
