//! What is left when something dies, and that the next command repairs it.
#![expect(clippy::disallowed_methods, reason = "these tests damage files on purpose")]

use dhow_tests::{BASE, Proc, TestEnv, requires, wait_until};
use nix::sys::signal::Signal;

#[test]
fn a_killed_monitor_is_a_state_that_the_next_command_repairs() {
    requires!("root", "overlay", "runc");
    let env = TestEnv::with_base();
    for ending in ["rm -f -t 0 c", "stop -t 0 c", "kill c"] {
        env.ok(&format!("run -d --name c {BASE} probe hold"));
        let pid = env.pid("c");
        env.monitor("c").signal(Signal::SIGKILL);
        env.reap();
        assert!(env.ok("ps -a --format '{{.Names}}'").contains('c'));
        env.dhow(ending).run();
        env.ok("rm -f -t 0 c");
        wait_until("the container's process is gone", || {
            env.reap();
            !Proc::alive(pid)
        });
        env.assert_no_containers();
    }
}

#[test]
fn an_exit_nobody_saw_is_minus_one_and_hangs_nobody() {
    requires!("root", "overlay", "runc");
    let env = TestEnv::with_base();
    env.ok(&format!("run -d --name c {BASE} probe hold"));
    let (pid, wait) = (env.pid("c"), env.dhow("wait c").spawn());
    env.monitor("c").signal(Signal::SIGKILL);
    Proc::of(pid).expect("it runs").signal(Signal::SIGKILL);
    env.reap();
    wait_until("it is seen as ended", || {
        env.reap();
        ["stopped", "exited"].contains(&env.status("c").as_str())
    });
    assert_eq!(env.inspect("c", "{{.State.ExitCode}}"), "-1");
    assert!(["-1", "255"].contains(&wait.finish().ok().as_str()));
    env.ok("start c");
    assert_eq!(env.status("c"), "running");
}

#[test]
fn a_container_killed_from_outside_has_its_code() {
    requires!("root", "overlay", "runc");
    let env = TestEnv::with_base();
    env.ok(&format!("run -d --name c {BASE} probe hold"));
    Proc::of(env.pid("c")).expect("it runs").signal(Signal::SIGKILL);
    env.until("c", "exited");
    assert_eq!(env.inspect("c", "{{.State.ExitCode}}"), "137");
}

#[test]
fn after_a_boot_nothing_runs_and_everything_can_go_on() {
    requires!("root", "overlay", "runc");
    let env = TestEnv::with_base();
    env.ok(&format!("create --name made {BASE} probe hold"));
    env.ok(&format!("create --name inited {BASE} probe hold"));
    env.ok("init inited");
    env.ok(&format!("run -d --name runs {BASE} probe hold"));
    env.ok(&format!("run -d --name paused {BASE} probe hold"));
    env.ok("pause paused");
    env.ok(&format!("run -d --rm --name gone {BASE} probe hold"));
    env.code(&format!("run --name ended {BASE} probe exit 3"), 3);
    env.ok("mount made");
    env.reboot();
    assert_eq!(
        env.ok("ps -a --sort names --format '{{.Names}} {{.State}}'"),
        "ended exited\ninited created\nmade created\npaused exited\nruns exited"
    );
    assert_eq!(env.inspect("ended", "{{.State.ExitCode}}"), "3");
    assert_eq!(env.inspect("runs", "{{.State.ExitCode}} {{.State.Pid}}"), "-1 0");
    assert!(["-1", "255"].contains(&env.ok("wait runs").as_str()), "it is not waited for");
    for name in ["made", "inited", "runs", "paused"] {
        env.ok(&format!("start {name}"));
        assert_eq!(env.status(name), "running", "{name}");
    }
    env.ok("rm -f -t 0 --all");
    env.assert_no_containers();
}

#[test]
fn a_boot_without_a_run_directory_is_the_same() {
    requires!("root", "overlay", "runc");
    let env = TestEnv::with_base();
    env.ok(&format!("run -d --name c {BASE} probe hold"));
    env.reboot();
    std::fs::remove_dir_all(env.run_root("")).expect("a tmpfs is empty after a boot");
    assert_eq!(env.status("c"), "exited");
    env.ok("start c");
    env.ok("rm -f -t 0 c");
    env.assert_no_containers();
}

#[test]
fn one_damaged_container_harms_no_other() {
    requires!("root", "overlay", "runc");
    let env = TestEnv::with_base();
    for damage in ["config", "record", "empty config"] {
        let bad = env.ok(&format!("run -d --name bad {BASE} probe hold"));
        env.ok(&format!("create --name good {BASE} true"));
        let config = env.root(&format!("containers/{bad}/config.json"));
        match damage {
            "config" => std::fs::write(&config, "{\"version\": 1, \"half").expect("ours"),
            "record" => {
                std::fs::write(env.run_root(&format!("containers/{bad}/record.json")), "\0\0\0")
                    .expect("ours");
            }
            _ => std::fs::write(&config, "").expect("ours"),
        }
        let list = env.dhow("ps -a --format '{{.Names}}'").run();
        assert!(list.text().contains("good"), "{damage}: {}", list.both());
        env.ok("start -a good");
        assert_eq!(env.ok(&format!("run --rm {BASE} echo on")), "on");
        let said = env.dhow("start bad").run();
        assert!(said.code != 0 && said.stderr.contains(&bad), "{damage}: {}", said.both());
        env.ok(&format!("rm -f -t 0 {bad} good"));
        wait_until("nothing is left", || {
            env.reap();
            Proc::of_env(env.path()).is_empty()
        });
        env.assert_no_containers();
    }
}

#[test]
fn what_another_tool_removed_does_not_stop_rm() {
    requires!("root", "overlay", "runc");
    let env = TestEnv::with_base();
    env.ok(&format!("create --name c {BASE} true"));
    std::fs::remove_dir_all(env.root(&format!("containers/{}/fs", env.id("c")))).ok();
    env.ok("rm c");
    env.ok(&format!("run -d --name c {BASE} probe hold"));
    env.tool("/usr/bin/umount")
        .args(["-l"])
        .arg(env.inspect("c", "{{.GraphDriver.Data.MergedDir}}"))
        .run();
    env.ok("rm -f -t 0 c");
    env.assert_no_containers();
}

#[test]
fn leftovers_of_an_earlier_run_do_not_stop_a_start() {
    requires!("root", "overlay", "runc");
    let env = TestEnv::with_base();
    env.code(&format!("run --name c {BASE} probe exit 3"), 3);
    let dir = env.run_root(&format!("containers/{}", env.id("c")));
    std::fs::create_dir_all(&dir).expect("ours");
    for name in ["attach", "ctl", "winsz", "oom", "pidfile"] {
        // Not written into: the ctl of the last life is a FIFO.
        std::fs::remove_file(dir.join(name)).ok();
        std::fs::write(dir.join(name), "stale").expect("ours");
    }
    assert_eq!(env.dhow("start -a c").run().code, 3);
    assert_eq!(env.inspect("c", "{{.State.ExitCode}} {{.State.OOMKilled}}"), "3 false");
}

#[test]
fn nothing_of_dhow_runs_when_no_container_does() {
    requires!("root", "overlay", "runc");
    let env = TestEnv::with_base();
    env.ok(&format!("run --name c {BASE} true"));
    wait_until("nothing runs", || {
        env.reap();
        Proc::of_env(env.path()).is_empty()
    });
    env.assert_quiet();
}
