//! `attach`: several clients, slow clients, ends.

use dhow_tests::{BASE, TestEnv, requires, wait_until};
use nix::sys::signal::Signal;

#[test]
fn several_clients_see_the_same_and_get_the_code() {
    requires!("root", "overlay", "runc");
    let env = TestEnv::with_base();
    env.ok(&format!("run -d -i --name c {BASE} sh -c 'while read x; do echo \"got $x\"; [ $x = end ] && exit 6; done'"));
    let listeners: Vec<_> =
        (0..3).map(|_| env.dhow("attach --no-stdin --sig-proxy=false c").spawn()).collect();
    let talker = env.dhow("attach c").spawn();
    // A client that has seen a line is attached; until then the talker repeats itself.
    wait_until("all are attached", || {
        talker.send("hello\n");
        listeners.iter().chain([&talker]).all(|client| client.seen().contains("got hello"))
    });
    talker.send("end\n");
    for client in listeners.into_iter().chain([talker]) {
        let output = client.finish();
        assert_eq!(output.code, 6);
        assert!(output.text().ends_with("got end"), "{}", output.both());
    }
    env.until("c", "exited");
}

#[test]
fn a_client_that_does_not_read_stops_neither_container_nor_log() {
    requires!("root", "overlay", "runc");
    let env = TestEnv::with_base();
    env.ok(&format!("create --name c {BASE} probe spew 20000000"));
    env.ok("init c");
    let client = env.dhow("attach c").spawn();
    wait_until("the client is attached", || {
        dhow_tests::Proc::of(client.pid()).is_some_and(|p| p.state == 'S')
    });
    client.signal(Signal::SIGSTOP);
    env.ok("start c");
    env.until("c", "exited");
    assert_eq!(env.dhow("logs c").run().stdout.len(), 20_000_000, "the log is whole");
    client.signal(Signal::SIGCONT);
    let output = client.finish();
    assert_eq!(output.code, 0);
    assert!(
        output.stdout == env.dhow("logs c").run().stdout,
        "a client that was stopped reads on in the log and loses nothing"
    );
}

#[test]
fn a_killed_client_is_no_ones_trouble() {
    requires!("root", "overlay", "runc");
    let env = TestEnv::with_base();
    env.ok(&format!("run -d -i --name c {BASE} sh -c 'echo ready; cat'"));
    for _ in 0..3 {
        let client = env.dhow("attach c").spawn();
        client.send("x");
        client.signal(Signal::SIGKILL);
        client.finish();
    }
    let last = env.dhow("attach c").spawn();
    wait_until("the last one is served", || {
        last.send("still here\n");
        last.seen().contains("still here")
    });
    last.close_stdin();
    assert_eq!(last.finish().code, 0, "the end of input ends cat");
    env.until("c", "exited");
}

#[test]
fn attaching_before_the_start_sees_everything() {
    requires!("root", "overlay", "runc");
    let env = TestEnv::with_base();
    for _ in 0..5 {
        env.ok(&format!("create --name c {BASE} sh -c 'echo first; echo second >&2; exit 2'"));
        let output = env.dhow("start -a c").run();
        assert_eq!(
            (output.code, output.text().as_str(), output.stderr.as_str()),
            (2, "first", "second\n")
        );
        env.ok("rm c");
    }
}

#[test]
fn bad_detach_keys() {
    requires!("root", "overlay", "runc");
    let env = TestEnv::with_base();
    env.ok(&format!("run -d --name c {BASE} probe hold"));
    for keys in ["ctrl-", "ctrl-é", "nonsense", "ctrl-p,,"] {
        env.dhow("attach c").arg(format!("--detach-keys={keys}")).run().fails(125, "keys");
    }
}
