//! As engines made for conmon use it: the older messages, plain pipes, no run directory, no fork, output passed through.

use std::io::Read as _;
use std::os::fd::OwnedFd;

use dhow_shim::args::LogTarget;
use dhow_shim::attach::{AttachClient, Received, Stream};
use dhow_shim::launch::Launch;
use dhow_sys::process::{OutputLimits, Spawn, Stdio, output};

use crate::harness::{LONG, Session};

fn shim(session: &Session, args: &[&str]) -> Spawn {
    let id = session.args.container.as_str();
    Spawn::new(env!("CARGO_BIN_EXE_dhow-shim"))
        .args(["-c", id, "-u", id, "-r"])
        .arg(session.path("runtime"))
        .args(args.iter().copied())
        .envs(session.environment())
        .cwd(session.path("bundle"))
}

/// Gives it a plain pipe for its sync pipe; what comes out of that until everybody has closed it.
fn with_sync_pipe(spawn: Spawn, run: impl FnOnce(Spawn)) -> String {
    let (mut reader, writer) = std::io::pipe().unwrap();
    run(spawn.fd(OwnedFd::from(writer), 7).env("_OCI_SYNCPIPE", "7"));
    let mut said = String::new();
    reader.read_to_string(&mut said).unwrap();
    said
}

#[test]
fn an_exec_in_the_foreground_ends_as_its_process_did() {
    let session = Session::new("echo out; exit 9");
    let spawn = shim(&session, &["-e", "--exec-process-spec", "/spec", "--sync", "-l", "../log"]);
    let said = with_sync_pipe(spawn, |spawn| {
        let output = output(spawn, &OutputLimits::default()).unwrap();
        assert_eq!(output.status.code(), Some(9), "{output:?}");
    });
    assert_eq!(said, "{\"exit_code\": 9}\n");
    assert_eq!(session.logged(Stream::Stdout), b"out\n");
    assert!(
        !session.path("bundle/attach").exists(),
        "an exec session without a bundle has no sockets"
    );
}

#[test]
fn a_create_without_the_new_api_says_pid_and_nothing_at_the_end() {
    let session = Session::new("exit 9");
    let sockets = session.path("sockets");
    let spawn = shim(&session, &["--sync", "-l", "none", "--socket-dir-path"]).arg(&sockets);
    let said = with_sync_pipe(spawn, |spawn| {
        let output = output(spawn, &OutputLimits::default()).unwrap();
        assert_eq!(output.status.code(), Some(9), "{output:?}");
    });
    assert_eq!(said, format!("{{\"pid\": {}}}\n", session.text("bundle/pidfile-box")));
    assert!(!session.path("bundle/exit.json").exists(), "records are for those who ask");
    assert!(
        sockets.exists() && !sockets.join("box").is_symlink(),
        "the link is gone with the container"
    );
}

#[test]
fn the_bundle_is_where_clients_connect_through_the_link() {
    let mut session = Session::new("read line; echo $line");
    session.args.run_dir = None;
    session.args.monitor_pidfile = Some(session.path("run/monitor.pid"));
    let sockets = session.path("sockets");
    let spawn = shim(&session, &["-i", "-l", "none", "-P"])
        .arg(session.path("run/monitor.pid"))
        .arg("--socket-dir-path")
        .arg(&sockets);
    let said = with_sync_pipe(spawn, |spawn| {
        assert!(output(spawn, &OutputLimits::default()).unwrap().status.success());
        session.wait_for("bundle", "pidfile-box");
        let mut client = AttachClient::connect(&sockets.join("box/attach")).unwrap();
        assert!(client.send(b"hello\n").unwrap() > 0);
        let mut buffer = [0; 64];
        let mut seen = Vec::new();
        loop {
            match client.receive(&mut buffer).unwrap() {
                Received::Output { len, .. } => seen.extend_from_slice(&buffer[..len]),
                Received::End => break,
                _ => assert!(
                    dhow_sys::watch::wait_readable(
                        &[std::os::fd::AsFd::as_fd(&client)],
                        Some(LONG)
                    )
                    .unwrap()
                    .is_some()
                ),
            }
        }
        assert_eq!(seen, b"hello\n");
    });
    assert!(said.starts_with("{\"pid\": "), "{said}");
}

#[test]
fn passed_through_the_container_has_our_stdio() {
    let mut session = Session::new("cat; echo err >&2; exit 3");
    session.args.logs = vec![LogTarget::Passthrough];
    let (mut out, its_out) = std::io::pipe().unwrap();
    let (mut err, its_err) = std::io::pipe().unwrap();
    let environment = session.environment();
    let args = session.args.clone();
    let launch = Launch {
        program: env!("CARGO_BIN_EXE_dhow-shim").as_ref(),
        args: &args,
        environment: &environment,
        cwd: None,
        extra_fds: Vec::new(),
        stdio: Some([
            Stdio::bytes(b"hello\n").unwrap(),
            Stdio::Fd(its_out.into()),
            Stdio::Fd(its_err.into()),
        ]),
    };
    let mut monitor = launch.spawn().unwrap();
    monitor.wait_pid(LONG).unwrap();
    let mut text = String::new();
    // The end comes only if the monitor holds none of them either.
    out.read_to_string(&mut text).unwrap();
    err.read_to_string(&mut text).unwrap();
    assert_eq!(text, "hello\nerr\n");
    assert_eq!(session.wait_exit().code, 3);
}

#[test]
fn descriptors_that_are_handed_down_reach_the_container_and_are_closed_before_its_end_is_told() {
    let mut session = Session::new("echo through >&9");
    session.args.runtime_options = vec!["--preserve-fds=9".into()];
    let (mut reader, writer) = std::io::pipe().unwrap();
    let environment = session.environment();
    let args = session.args.clone();
    let launch = Launch {
        program: env!("CARGO_BIN_EXE_dhow-shim").as_ref(),
        args: &args,
        environment: &environment,
        cwd: None,
        extra_fds: vec![(writer.into(), 9)],
        stdio: None,
    };
    let mut monitor = launch.spawn().unwrap();
    monitor.wait_pid(LONG).unwrap();
    let mut text = String::new();
    reader.read_to_string(&mut text).unwrap();
    assert_eq!(text, "through\n");
    session.wait_exit();
}

#[test]
fn a_restore_is_told_to_the_runtime_and_is_a_container_like_another() {
    let session = Session::new("exit 9");
    let args = ["--sync", "-l", "none", "--full-attach", "--restore", "/check", "--no-pivot"];
    let spawn = shim(&session, &args).args(["--restore-arg", "--tcp-established"]);
    let said = with_sync_pipe(spawn, |spawn| {
        assert_eq!(output(spawn, &OutputLimits::default()).unwrap().status.code(), Some(9));
    });
    assert_eq!(said, format!("{{\"pid\": {}}}\n", session.text("bundle/pidfile-box")));
    assert_eq!(
        session.text("argv"),
        "restore --bundle . --pid-file pidfile-box --no-pivot --detach --image-path /check --work-path . --tcp-established box\n"
    );
}

#[test]
fn the_runtime_is_the_one_who_listens() {
    let runtime_sees = |given: &str, more: &[&str]| {
        let session = Session::new("exit 0");
        session.write("bundle/create", "echo $LISTEN_PID $$ $LISTEN_FDS > $DIR/listen; exit 1");
        let args = [&["--sync", "-l", "none", "--full-attach"], more].concat();
        let spawn = shim(&session, &args).env("LISTEN_PID", given).env("LISTEN_FDS", "2");
        let said = with_sync_pipe(spawn, |spawn| {
            assert_eq!(output(spawn, &OutputLimits::default()).unwrap().status.code(), Some(1));
        });
        (said, std::fs::read_to_string(session.path("listen")).unwrap_or_default())
    };
    let (_, seen) = runtime_sees("1", &[]);
    assert!(seen.starts_with("1 ") && seen.ends_with(" 2\n"), "{seen}");
    let (_, seen) = runtime_sees("1", &["--replace-listen-pid"]);
    let (listen, rest) = seen.split_once(' ').unwrap();
    assert_eq!(rest, format!("{listen} 2\n"));
    for garbage in ["0", "x", ""] {
        let (said, seen) = runtime_sees(garbage, &[]);
        assert!(said.contains("Invalid LISTEN_PID") && seen.is_empty(), "{said} {seen}");
    }
}

#[test]
fn the_first_process_ends_with_one_when_told_to() {
    let session = Session::new("exit 0");
    let (_word, its_start) = std::io::pipe().unwrap();
    let spawn = shim(&session, &["-l", "none"]).fd(its_start.into(), 5).env("_OCI_STARTPIPE", "5");
    let child = spawn.spawn().unwrap();
    let caught = || {
        let status = std::fs::read_to_string(format!("/proc/{}/status", child.pid())).unwrap();
        let caught = status.lines().find_map(|line| line.strip_prefix("SigCgt:\t")).unwrap();
        u64::from_str_radix(caught, 16).unwrap() & (1 << 14) != 0
    };
    while !caught() {}
    child.signal(15).unwrap();
    assert_eq!(child.wait().unwrap().code(), Some(1));
    assert!(!session.path("argv").exists());
}
