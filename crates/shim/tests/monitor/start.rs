//! From the launch to the pid.

use dhow_shim::launch::Error;
use dhow_shim::sync;

use crate::harness::Session;

#[test]
fn the_started_record_and_the_pid_agree() {
    let mut session = Session::new("read line");
    session.args.stdin = true;
    let pid = session.start();
    let started = session.started();
    assert_eq!((started.version, started.container.pid), (1, pid));
    assert_eq!(started.monitor, session.monitor_id());
    assert!(started.container.is_alive().unwrap());
    for name in ["attach", "ctl", "winsz"] {
        assert!(session.path("run").join(name).exists(), "{name}");
    }
    session.attach().send(b"go\n");
    assert_eq!(session.wait_exit().code, 0);
}

#[test]
fn what_the_runtime_is_told() {
    let mut session = Session::new("exit 0");
    session.args.runtime_args = vec!["--log".into(), "-x".into()];
    session.args.runtime_options = vec!["--preserve-fds=0".into()];
    session.args.no_pivot = true;
    session.start();
    let dir = session.path("");
    let dir = dir.to_str().unwrap().trim_end_matches('/');
    assert_eq!(
        session.text("argv"),
        format!(
            "--log -x create --bundle {dir}/bundle --pid-file {dir}/run/pidfile --no-pivot --preserve-fds=0 box\n"
        )
    );
    session.wait_exit();
}

#[test]
fn a_failing_create_is_told_in_the_runtimes_words() {
    let mut session = Session::new("exit 0");
    session.write("bundle/create", "echo 'no such \"file\"' >&2; exit 1");
    session.launch().unwrap();
    match session.wait_pid() {
        Err(Error::Runtime { message }) => assert_eq!(message, "no such \"file\"\n"),
        other => panic!("{other:?}"),
    }
    session.wait_gone();
    assert!(!session.path("run/exit.json").exists() && !session.path("run/started.json").exists());
    assert_eq!(session.text("log"), "", "the runtime's errors are not the container's output");
}

#[test]
fn of_a_long_message_the_end_is_told_and_it_fits_a_packet() {
    let mut session = Session::new("exit 0");
    session.write(
        "bundle/create",
        "yes 'noise \"quoted\"' | head -c 100000 >&2; echo the reason >&2; exit 1",
    );
    session.launch().unwrap();
    match session.wait_pid() {
        Err(Error::Runtime { message }) => {
            assert!(message.ends_with("the reason\n"), "{}", message.len());
            assert!(message.len() > 3000 && message.len() < sync::LINE, "{}", message.len());
        }
        other => panic!("{other:?}"),
    }
}

#[test]
fn a_runtime_that_writes_more_than_a_pipe_holds_does_not_hang() {
    let mut session = Session::new("exit 0");
    let noise = "yes noise | head -c 1000000";
    session.write("bundle/create", &format!("{noise} >&2; {noise}"));
    session.start();
    assert_eq!(session.wait_exit().code, 0);
    assert_eq!(session.logged(dhow_shim::attach::Stream::Stdout).len(), 1_000_000);
    assert_eq!(session.logged(dhow_shim::attach::Stream::Stderr).len(), 1_000_000);
}

#[test]
fn a_runtime_that_cannot_be_executed_is_told() {
    let mut session = Session::new("exit 0");
    session.write("runtime", "#!/nonexistent/interpreter\n");
    session.launch().unwrap();
    match session.wait_pid() {
        Err(Error::Runtime { message }) => assert!(message.contains("runtime"), "{message}"),
        other => panic!("{other:?}"),
    }
}

#[test]
fn a_runtime_without_a_pid_file_is_told() {
    let mut session = Session::new("exit 0");
    session.write("run/pidfile", "1");
    session.write("bundle/create", "exit 0");
    session.launch().unwrap();
    match session.wait_pid() {
        Err(Error::Runtime { message }) => assert!(message.contains("pidfile"), "{message}"),
        other => panic!("{other:?}"),
    }
}

#[test]
fn a_log_that_cannot_be_opened_is_a_plain_error() {
    let mut session = Session::new("exit 0");
    session.args.logs = vec![dhow_shim::args::LogTarget::K8sFile(session.path("absent/log"))];
    match session.launch() {
        Err(Error::Refused { status, message }) => {
            assert_eq!(status.code(), Some(1));
            assert!(message.starts_with("dhow-shim: Failed to open log file "), "{message}");
        }
        other => panic!("{other:?}"),
    }
}

#[test]
fn paths_longer_than_a_socket_address_work() {
    let mut session = Session::new("read line; echo $line");
    session.args.stdin = true;
    let deep = session.path("run").join("d".repeat(100)).join("e".repeat(100));
    std::fs::create_dir_all(&deep).unwrap();
    session.args.run_dir = Some(deep.clone());
    session.start();
    let mut client = dhow_shim::attach::AttachClient::connect(&deep.join("attach")).unwrap();
    client.send(b"hello\n").unwrap();
    session.wait_gone();
    assert_eq!(session.logged(dhow_shim::attach::Stream::Stdout), b"hello\n");
    assert!(deep.join("exit.json").exists() && !deep.join("attach").exists());
}

#[test]
fn the_engines_death_changes_nothing() {
    let mut session = Session::new("read line; echo $line; exit 4");
    session.args.stdin = true;
    session.launch().unwrap();
    // Its ends of the pipes are closed before the pid is told.
    session.monitor = None;
    session.wait_for("run", "started.json");
    session.attach().send(b"still here\n");
    assert_eq!(session.wait_exit().code, 4);
    session.wait_gone();
    assert_eq!(session.logged(dhow_shim::attach::Stream::Stdout), b"still here\n");
}
