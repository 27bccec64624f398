//! stop and kill: signals, grace periods, and what others can do meanwhile.

use std::time::{Duration, Instant};

use dhow_tests::{BASE, TestEnv, requires, wait_until};

const STUBBORN: &str =
    "sh -c 'trap \"echo not now\" TERM; echo ready; while :; do usleep 1000; done'";

#[test]
fn the_stop_signal_is_sent_first() {
    requires!("root", "overlay", "runc");
    let env = TestEnv::with_base();
    env.ok(&format!("run -d --name c --stop-signal USR1 {BASE} sh -c 'trap \"exit 8\" USR1; echo ready; while :; do usleep 1000; done'"));
    wait_until("it is ready", || env.ok("logs c") == "ready");
    env.ok("stop c");
    assert_eq!(env.inspect("c", "{{.State.ExitCode}} {{.State.Status}}"), "8 exited");
}

#[test]
fn the_grace_period_is_kept_and_then_ends() {
    requires!("root", "overlay", "runc");
    let env = TestEnv::with_base();
    env.ok(&format!("run -d --name c {BASE} {STUBBORN}"));
    wait_until("it is ready", || env.ok("logs c") == "ready");
    let start = Instant::now();
    env.ok("stop -t 1 c");
    assert!(start.elapsed() >= Duration::from_secs(1), "killed after {:?}", start.elapsed());
    assert_eq!(env.inspect("c", "{{.State.ExitCode}}"), "137");
    assert_eq!(env.ok("logs c"), "ready\nnot now");
}

#[test]
fn nobody_waits_for_a_stopping_container() {
    requires!("root", "overlay", "runc");
    let env = TestEnv::with_base();
    env.ok(&format!("run -d --name c {BASE} {STUBBORN}"));
    wait_until("it is ready", || env.ok("logs c") == "ready");
    let stop = env.dhow("stop -t 30 c").spawn();
    wait_until("it is stopping", || env.status("c") == "stopping");
    assert_eq!(env.ok("ps --format '{{.Names}} {{.State}}'"), "c stopping");
    env.fails("rm c", 2, "stopping");
    assert_eq!(env.ok(&format!("run --rm {BASE} echo others run")), "others run");
    // A second, harder stop does not wait for the first (Q7).
    env.ok("stop -t 0 c");
    assert_eq!(stop.finish().code, 0);
    assert_eq!(env.status("c"), "exited");
}

#[test]
fn rm_force_ends_what_will_not_stop() {
    requires!("root", "overlay", "runc");
    let env = TestEnv::with_base();
    env.ok(&format!("run -d --name c --stop-timeout 1 {BASE} {STUBBORN}"));
    env.ok("rm -f c");
    env.ok(&format!("run -d --name c {BASE} {STUBBORN}"));
    env.ok("pause c");
    env.ok("rm -f -t 0 c");
    env.assert_no_containers();
}

#[test]
fn stop_reaches_a_paused_container() {
    requires!("root", "overlay", "runc");
    let env = TestEnv::with_base();
    env.ok(&format!("run -d --name c {BASE} probe hold"));
    env.ok("pause c");
    env.ok("kill c");
    env.until("c", "exited");
    assert_eq!(env.inspect("c", "{{.State.ExitCode}}"), "137");
}

#[test]
fn kill_sends_any_signal_by_any_name() {
    requires!("root", "overlay", "runc");
    let env = TestEnv::with_base();
    let traps = "sh -c 'for s in HUP USR1 USR2 WINCH; do trap \"echo $s\" $s; done; trap \"exit 0\" TERM; echo ready; while :; do usleep 1000; done'";
    env.ok(&format!("run -d --name c {BASE} {traps}"));
    wait_until("it is ready", || env.ok("logs c") == "ready");
    for (signal, name) in
        [("HUP", "HUP"), ("SIGUSR1", "USR1"), ("12", "USR2"), ("sigwinch", "WINCH")]
    {
        env.ok(&format!("kill --signal {signal} c"));
        wait_until("the trap ran", || env.ok("logs c").ends_with(name));
    }
    for bad in ["0", "65", "-1", "NOPE", "SIGSIG", ""] {
        let output = env.dhow("kill c").arg(format!("--signal={bad}")).run();
        assert_eq!(output.code, 125, "the signal {bad:?} was accepted");
    }
    env.ok("stop c");
    assert_eq!(env.inspect("c", "{{.State.ExitCode}}"), "0");
    env.fails("kill c", 125, "c");
}

#[test]
fn stop_many_takes_one_grace_period() {
    requires!("root", "overlay", "runc");
    let env = TestEnv::with_base();
    for name in ["a", "b", "c"] {
        env.ok(&format!("run -d --name {name} {BASE} {STUBBORN}"));
    }
    for name in ["a", "b", "c"] {
        wait_until("it is ready", || env.ok(&format!("logs {name}")) == "ready");
    }
    let start = Instant::now();
    env.ok("stop -t 2 a b c");
    assert!(start.elapsed() < Duration::from_secs(6), "one after the other: {:?}", start.elapsed());
}
