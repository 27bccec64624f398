//! `restart`, and `--restart` policies, carried out without a daemon.

use dhow_tests::{BASE, TestEnv, requires, wait_until};

#[test]
fn restart_runs_it_again() {
    requires!("root", "overlay", "runc");
    let env = TestEnv::with_base();
    env.ok(&format!("run -d --name c {BASE} sh -c 'echo run; exec probe hold'"));
    let before = env.pid("c");
    env.ok("restart -t 0 c");
    assert_ne!(env.pid("c"), before);
    assert_eq!(env.status("c"), "running");
    wait_until("both runs are in the log", || env.ok("logs c") == "run\nholding\nrun\nholding");
    env.ok("stop -t 0 c");
    env.ok("restart c");
    assert_eq!(env.status("c"), "running");
}

#[test]
fn on_failure_counts_and_gives_up() {
    requires!("root", "overlay", "runc");
    let env = TestEnv::with_base();
    env.ok(&format!("run -d --name c --restart on-failure:2 {BASE} sh -c 'echo try; exit 3'"));
    wait_until("it has given up", || {
        env.reap();
        env.inspect("c", "{{.RestartCount}} {{.State.Status}} {{.State.ExitCode}}") == "2 exited 3"
    });
    assert_eq!(env.ok("logs c"), "try\ntry\ntry");
    env.ok(&format!("run -d --name good --restart on-failure:2 {BASE} true"));
    env.until("good", "exited");
    assert_eq!(env.inspect("good", "{{.RestartCount}}"), "0");
}

#[test]
fn always_means_until_the_user_stops_it() {
    requires!("root", "overlay", "runc");
    for policy in ["always", "unless-stopped"] {
        let env = TestEnv::with_base();
        env.ok(&format!(
            "run -d --name c --restart {policy} {BASE} sh -c 'echo run; usleep 20000'"
        ));
        wait_until("it ran three times", || {
            env.reap();
            env.ok("logs c").lines().count() >= 3
        });
        env.ok("stop -t 0 c");
        env.until("c", "exited");
        let lines = env.ok("logs c").lines().count();
        env.ok(&format!("run --rm {BASE} usleep 100000"));
        assert_eq!(
            env.ok("logs c").lines().count(),
            lines,
            "{policy}: it started again after stop"
        );
        assert_eq!(env.status("c"), "exited");
    }
}

#[test]
fn a_kill_by_the_user_is_a_stop() {
    requires!("root", "overlay", "runc");
    let env = TestEnv::with_base();
    env.ok(&format!("run -d --name c --restart on-failure {BASE} probe hold"));
    env.ok("kill c");
    env.until("c", "exited");
    assert_eq!(env.inspect("c", "{{.RestartCount}}"), "0");
}

#[test]
fn rm_force_wins_against_a_restarting_container() {
    requires!("root", "overlay", "runc");
    let env = TestEnv::with_base();
    for _ in 0..5 {
        env.ok(&format!("run -d --name c --restart always {BASE} true"));
        env.ok("rm -f c");
        wait_until("all of it is gone", || {
            env.reap();
            dhow_tests::Proc::of_env(env.path()).is_empty()
        });
        env.assert_no_containers();
    }
}

#[test]
fn bad_policies_are_refused() {
    requires!("root", "overlay", "runc");
    let env = TestEnv::with_base();
    for policy in ["sometimes", "on-failure:x", "on-failure:-1", "always:3"] {
        let output = env.dhow("create").arg(format!("--restart={policy}")).arg(BASE).run();
        output.fails(125, "restart");
    }
    env.fails(&format!("create --rm --restart always {BASE}"), 125, "restart");
    env.assert_no_containers();
}
