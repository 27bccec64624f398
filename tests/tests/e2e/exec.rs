//! `exec`: streams, codes, options, and that it is the container's own world.

use dhow_tests::{BASE, TestEnv, requires, wait_until};

fn holding(flags: &str) -> TestEnv {
    let env = TestEnv::with_base();
    env.ok(&format!("run -d --name c {flags} {BASE} probe hold"));
    env
}

#[test]
fn streams_and_codes() {
    requires!("root", "overlay", "runc");
    let env = holding("");
    let output = env.dhow("exec c sh -c 'echo out; echo err >&2; exit 7'").run();
    assert_eq!((output.code, output.text().as_str(), output.stderr.as_str()), (7, "out", "err\n"));
    assert_eq!(env.dhow("exec -i c cat").stdin("in and out").ok(), "in and out");
    assert_eq!(env.dhow("exec c probe count").stdin("not passed on").ok(), "0");
    env.fails("exec c no-such-program", 127, "no-such-program");
    env.fails("exec c /etc/passwd", 126, "/etc/passwd");
    env.fails("exec nobody true", 125, "nobody");
    assert_eq!(env.dhow("exec c").run().code, 125);
    env.code("exec c sh -c 'kill -9 $$'", 137);
}

#[test]
fn options() {
    requires!("root", "overlay", "runc");
    let env = holding("--env FROM=run --user 1000 -w /home");
    let file = env.write("vars", "FILE=1\n");
    assert_eq!(env.ok("exec c sh -c 'echo $(id -u) $(pwd) $FROM'"), "1000 /home run");
    let line = format!(
        "exec -u root:other -w /data -e A=1 --env-file {file} c sh -c 'echo $(id -u) $(id -g) $(pwd) $A $FILE'"
    );
    assert_eq!(env.ok(&line), "0 3000 /data 1 1");
    env.fails("exec -u nobody-here c true", 125, "nobody-here");
    let output = env.dhow("exec -w /no/such c pwd").run();
    assert!([125, 126, 127].contains(&output.code), "{}", output.both());
    assert_eq!(env.ok("exec --privileged -u 0 c probe status CapEff").len(), 16);
}

#[test]
fn it_is_as_confined_as_the_container() {
    requires!("root", "overlay", "runc");
    let env =
        holding("--security-opt no-new-privileges --ulimit msgqueue=100:200 --oom-score-adj 300");
    assert_eq!(env.ok("exec c probe status Seccomp"), "2");
    assert_eq!(env.ok("exec c probe status NoNewPrivs"), "1");
    assert_eq!(
        env.ok("exec c probe status CapBnd"),
        env.ok(&format!("run --rm {BASE} probe status CapBnd"))
    );
    // Not nofile: the Go runtime of runc changes its own soft limit, and may do so after it was set.
    let limits =
        env.ok("exec c sh -c 'grep msgqueue /proc/self/limits; cat /proc/self/oom_score_adj'");
    let words: Vec<&str> = limits.split_whitespace().collect();
    assert_eq!(words, ["Max", "msgqueue", "size", "100", "200", "bytes", "300"]);
    assert_eq!(
        env.ok("exec c sh -c 'cat /proc/1/cmdline | tr \"\\000\" \" \"'").trim(),
        "probe hold"
    );
}

#[test]
fn detached_and_many_at_once() {
    requires!("root", "overlay", "runc");
    let env = holding("");
    env.ok("exec -d c sh -c 'echo done > /tmp/flag'");
    wait_until("it ran", || env.dhow("exec c cat /tmp/flag").run().text() == "done");
    let sessions: Vec<_> =
        (0..6).map(|n| env.dhow(&format!("exec c sh -c 'echo {n}; exit {n}'")).spawn()).collect();
    for (n, session) in sessions.into_iter().enumerate() {
        let output = session.finish();
        assert_eq!((output.code, output.text()), (i32::try_from(n).expect("small"), n.to_string()));
    }
}

#[test]
fn a_session_blocks_nobody_and_ends_with_the_container() {
    requires!("root", "overlay", "runc");
    let env = holding("");
    let session = env.dhow("exec -i c cat").spawn();
    session.send("x\n");
    session.expect("x");
    assert_eq!(env.ok("ps -q").lines().count(), 1);
    env.ok("stop -t 0 c");
    assert_ne!(session.finish().code, 0);
    env.ok("rm c");
    env.assert_no_containers();
}
