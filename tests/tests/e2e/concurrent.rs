//! Many at once: no lock is shared, nothing is lost, nobody waits for another one's container.

use std::time::{Duration, Instant};

use dhow_tests::{BASE, TestEnv, requires, wait_until};

#[test]
fn thirty_runs_at_once() {
    requires!("root", "overlay", "runc");
    let env = TestEnv::with_base();
    let deadline = Duration::from_secs(180);
    let runs: Vec<_> = (0..30)
        .map(|n| {
            env.dhow(&format!("run --rm --network none {BASE} sh -c 'echo {n}; exit {n}'"))
                .deadline(deadline)
                .spawn()
        })
        .collect();
    for (n, run) in runs.into_iter().enumerate() {
        let output = run.finish();
        assert_eq!(
            (output.code, output.text()),
            (i32::try_from(n).expect("small"), n.to_string()),
            "{}",
            output.stderr
        );
    }
    env.assert_no_containers();
}

#[test]
fn one_name_has_one_owner() {
    requires!("root", "overlay", "runc");
    let env = TestEnv::with_base();
    let creates: Vec<_> =
        (0..12).map(|_| env.dhow(&format!("create --name same {BASE} true")).spawn()).collect();
    let outputs: Vec<_> = creates.into_iter().map(dhow_tests::Running::finish).collect();
    let won: Vec<_> =
        outputs.iter().filter(|output| output.code == 0).map(dhow_tests::Output::text).collect();
    assert_eq!(won.len(), 1, "{outputs:?}");
    outputs.iter().filter(|output| output.code != 0).for_each(|output| {
        output.fails(125, "in use");
    });
    assert_eq!(env.ids_on_disk(), won);
}

#[test]
fn loading_the_same_image_twice_at_once() {
    requires!("root", "overlay", "runc");
    let env = TestEnv::new();
    let loads: Vec<_> = (0..4)
        .map(|_| env.dhow("load -q -i").arg(dhow_tests::image::base_archive()).spawn())
        .collect();
    for load in loads {
        load.finish().ok();
    }
    assert_eq!(env.ok("images -q").lines().count(), 1);
    assert_eq!(env.ok(&format!("run --rm {BASE} cat /data/seed")), "seed");
}

#[test]
fn removing_and_starting_and_stopping_the_same_container() {
    requires!("root", "overlay", "runc");
    let env = TestEnv::with_base();
    for _ in 0..3 {
        env.ok(&format!("create --name c {BASE} probe hold"));
        let lines = [
            "start c",
            "stop -t 0 c",
            "start c",
            "kill c",
            "rm -f -t 0 c",
            "inspect c",
            "ps -a",
            "restart -t 0 c",
        ];
        let all: Vec<_> = lines.iter().map(|line| env.dhow(line).spawn()).collect();
        for running in all {
            let output = running.finish();
            assert!(
                output.code == 0 || output.stderr.matches("Error: ").count() == 1,
                "{}",
                output.both()
            );
        }
        env.ok("rm -f -t 0 c");
        wait_until("nothing is left", || {
            env.reap();
            env.ids_on_disk().is_empty() && dhow_tests::Proc::of_env(env.path()).is_empty()
        });
    }
    env.assert_no_containers();
}

#[test]
fn ps_does_not_wait_for_a_stuck_container() {
    requires!("root", "overlay", "runc");
    let env = TestEnv::with_base();
    env.ok(&format!("run -d --name c {BASE} probe hold"));
    // Somebody holds the container's lock: an engine stopped in the middle of something.
    let lock = env.run_root(&format!("containers/{}/lock", env.id("c")));
    let holder = env
        .tool("/usr/bin/flock")
        .args([lock.as_os_str()])
        .args(["sh", "-c", "echo held; cat"])
        .spawn();
    holder.expect("held");
    let start = Instant::now();
    assert_eq!(env.ok("ps --format '{{.Names}} {{.State}}'"), "c running");
    env.ok("inspect c");
    env.ok("info");
    assert_eq!(env.ok(&format!("run --rm {BASE} echo others")), "others");
    assert!(start.elapsed() < Duration::from_secs(10), "{:?}", start.elapsed());
    holder.close_stdin();
    holder.finish();
}

#[test]
fn a_name_costs_the_same_among_many() {
    requires!("root", "overlay", "runc", "strace");
    let env = TestEnv::with_base();
    let opens = || {
        let log = env.file("trace");
        let dhow = dhow_tests::binary("dhow");
        let run = env.tool("/usr/bin/strace").args([
            "-f",
            "-qq",
            "-e",
            "trace=openat,open,openat2,getdents64",
            "-o",
            &log,
        ]);
        run.arg(dhow).args(env.global()).args(["inspect", "--format", "{{.Name}}", "target"]).ok();
        std::fs::read_to_string(&log)
            .expect("strace wrote it")
            .lines()
            .filter(|line| line.contains(env.path().to_str().expect("text")))
            .count()
    };
    env.ok(&format!("create --name target {BASE}"));
    let alone = opens();
    for _ in 0..40 {
        env.ok(&format!("create {BASE}"));
    }
    assert_eq!(opens(), alone, "finding one by name looked at the others");
}

#[test]
fn two_engines_on_one_machine_do_not_meet() {
    requires!("root", "overlay", "runc");
    let (one, two) = (TestEnv::with_base(), TestEnv::with_base());
    one.ok(&format!("run -d --name same {BASE} probe hold"));
    two.ok(&format!("run -d --name same {BASE} probe hold"));
    one.ok("rm -f -t 0 --all");
    assert_eq!(two.status("same"), "running");
}
