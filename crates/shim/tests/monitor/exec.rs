//! Exec sessions: the handshake, the pid, the code.

use dhow_shim::args::{Exec, LogTarget};
use dhow_shim::attach::Stream;
use dhow_shim::launch::Error;

use crate::harness::{LONG, Session};

fn exec(payload: &str, attach: bool) -> Session {
    let mut session = Session::new(payload);
    session.args.session = "session".to_owned();
    session.args.exec = Some(Exec { process_spec: session.path("process.json"), attach });
    session.args.logs = vec![LogTarget::None];
    session
}

#[test]
fn output_is_not_lost_since_the_runtime_waits_for_the_client() {
    let mut session = exec("echo first; echo err >&2; exit 9", true);
    session.launch().unwrap();
    session.monitor.as_mut().unwrap().wait_ready(LONG).unwrap();
    assert!(!session.path("argv").exists(), "the runtime is not started yet");
    let mut client = session.attach();
    session.monitor.as_mut().unwrap().go().unwrap();
    let pid = session.wait_pid().unwrap();
    assert_eq!(session.started().container.pid, pid);
    assert_eq!(client.read_to_end(Stream::Stdout), b"first\n");
    assert_eq!(session.monitor.as_mut().unwrap().wait_exit(Some(LONG)).unwrap(), 9);
    assert_eq!(session.wait_exit().code, 9);
    let dir = session.path("");
    let dir = dir.to_str().unwrap().trim_end_matches('/');
    assert_eq!(
        session.text("argv"),
        format!("exec --pid-file {dir}/run/pidfile --process {dir}/process.json --detach box\n")
    );
}

#[test]
fn without_attach_it_starts_at_once() {
    let mut session = exec("exit 4", false);
    session.start();
    assert_eq!(session.monitor.as_mut().unwrap().wait_exit(Some(LONG)).unwrap(), 4);
}

#[test]
fn a_failing_exec_is_told_in_the_runtimes_words() {
    let mut session = exec("", true);
    session.write("bundle/create", "echo no such container >&2; exit 1");
    session.launch().unwrap();
    session.monitor.as_mut().unwrap().wait_ready(LONG).unwrap();
    session.monitor.as_mut().unwrap().go().unwrap();
    match session.wait_pid() {
        Err(Error::Runtime { message }) => assert_eq!(message, "no such container\n"),
        other => panic!("{other:?}"),
    }
}

#[test]
fn a_session_that_takes_too_long_is_told_so() {
    let mut session = exec("exec sleep 1000", false);
    session.args.timeout = Some(1);
    session.start();
    match session.monitor.as_mut().unwrap().wait_exit(Some(LONG)) {
        Err(Error::Runtime { message }) => assert_eq!(message, "command timed out"),
        other => panic!("{other:?}"),
    }
}

#[test]
fn the_word_to_start_may_be_the_engines_death() {
    let mut session = exec("exit 5", true);
    session.launch().unwrap();
    session.monitor.as_mut().unwrap().wait_ready(LONG).unwrap();
    session.monitor = None;
    let exit = session.wait_exit();
    assert_eq!(exit.code, 5, "{exit:?}");
}
