//! Limits: cgroups, ulimits, sysctls.

use dhow_tests::{BASE, TestEnv, requires};

/// A value of the container's cgroup: the file's name in version 1, and in version 2.
#[track_caller]
fn cgroup(env: &TestEnv, flags: &str, controller: &str, v1: &str, v2: &str) -> String {
    env.ok(&format!("run -d --name c {flags} {BASE} probe hold"));
    let table = std::fs::read_to_string(format!("/proc/{}/cgroup", env.pid("c"))).expect("it runs");
    let path = table.lines().find_map(|line| {
        let mut fields = line.splitn(3, ':').skip(1);
        (fields.next()?.split(',').any(|name| name == controller))
            .then(|| fields.next().unwrap_or_default().to_owned())
    });
    let file = match path {
        Some(path) => format!("/sys/fs/cgroup/{controller}{path}/{v1}"),
        None => format!("/sys/fs/cgroup{}/{v2}", table.trim().trim_start_matches("0::")),
    };
    let value = std::fs::read_to_string(&file).unwrap_or_else(|error| panic!("{file}: {error}"));
    env.ok("rm -f -t 0 c");
    value.trim().to_owned()
}

#[test]
fn memory() {
    requires!("root", "overlay", "runc", "memory-cgroup");
    let env = TestEnv::with_base();
    assert_eq!(
        cgroup(&env, "--memory 64m", "memory", "memory.limit_in_bytes", "memory.max"),
        (64 << 20).to_string()
    );
    assert_eq!(
        cgroup(
            &env,
            "-m 64m --memory-reservation 32m",
            "memory",
            "memory.soft_limit_in_bytes",
            "memory.low"
        ),
        (32 << 20).to_string()
    );
    let swappiness =
        cgroup(&env, "-m 64m --memory-swappiness 7", "memory", "memory.swappiness", "memory.max");
    assert!(swappiness == "7" || swappiness == (64 << 20).to_string(), "{swappiness}");
    for bad in [
        "-m nonsense",
        "-m -5",
        "-m 1k",
        "-m 64m --memory-swap 32m",
        "--memory-swap 64m",
        "--memory-swappiness 101",
        "-m 32m --memory-reservation 64m",
    ] {
        env.dhow(&format!("run --rm {bad} {BASE} true")).run().fails(125, "");
    }
    env.assert_no_containers();
}

#[test]
fn running_out_of_memory_is_noticed() {
    requires!("root", "overlay", "runc", "memory-cgroup");
    let env = TestEnv::with_base();
    env.code(&format!("run --name c -m 32m --memory-swap 32m {BASE} probe eat 256"), 137);
    assert_eq!(env.inspect("c", "{{.State.OOMKilled}}"), "true");
    env.code(&format!("run --name d -m 32m {BASE} probe exit 1"), 1);
    assert_eq!(env.inspect("d", "{{.State.OOMKilled}}"), "false");
}

#[test]
fn cpu() {
    requires!("root", "overlay", "runc", "memory-cgroup");
    let env = TestEnv::with_base();
    assert_eq!(
        cgroup(&env, "--cpu-shares 512", "cpu", "cpu.shares", "cpu.weight")
            .parse::<u64>()
            .expect("a number")
            % 4,
        0
    );
    assert!(
        ["50000", "50000 100000"]
            .contains(&cgroup(&env, "--cpus 0.5", "cpu", "cpu.cfs_quota_us", "cpu.max").as_str())
    );
    assert!(
        ["20000", "20000 40000"].contains(
            &cgroup(
                &env,
                "--cpu-quota 20000 --cpu-period 40000",
                "cpu",
                "cpu.cfs_quota_us",
                "cpu.max"
            )
            .as_str()
        )
    );
    assert_eq!(cgroup(&env, "--cpuset-cpus 0", "cpuset", "cpuset.cpus", "cpuset.cpus"), "0");
    assert_eq!(cgroup(&env, "--cpuset-mems 0", "cpuset", "cpuset.mems", "cpuset.mems"), "0");
    for bad in [
        "--cpus nonsense",
        "--cpus -1",
        "--cpus 1 --cpu-quota 5",
        "--cpu-shares x",
        "--cpuset-cpus x",
    ] {
        env.dhow(&format!("run --rm {bad} {BASE} true")).run().fails(125, "");
    }
    env.assert_no_containers();
}

#[test]
fn processes() {
    requires!("root", "overlay", "runc", "memory-cgroup");
    let env = TestEnv::with_base();
    assert_eq!(cgroup(&env, "--pids-limit 17", "pids", "pids.max", "pids.max"), "17");
    assert_eq!(cgroup(&env, "--pids-limit -1", "pids", "pids.max", "pids.max"), "max");
    assert_eq!(cgroup(&env, "", "pids", "pids.max", "pids.max"), "2048");
    env.dhow(&format!("run --rm --pids-limit x {BASE} true")).run().fails(125, "");
}

#[test]
fn no_cgroups_and_another_parent() {
    requires!("root", "overlay", "runc", "memory-cgroup");
    let env = TestEnv::with_base();
    let parent = format!("/dhow-test-{}", std::process::id());
    env.ok(&format!("run -d --name c --cgroup-parent {parent} {BASE} probe hold"));
    let table = std::fs::read_to_string(format!("/proc/{}/cgroup", env.pid("c"))).expect("it runs");
    assert!(table.contains(&format!(":{parent}/")), "{table}");
    env.ok("rm -f -t 0 c");
    for hierarchy in std::fs::read_dir("/sys/fs/cgroup").expect("cgroups").flatten() {
        std::fs::remove_dir(hierarchy.path().join(&parent[1..])).ok();
    }
    let output =
        env.dhow(&format!("run --rm --cgroups=disabled {BASE} cat /proc/self/cgroup")).run();
    assert!(output.code == 0 || output.stderr.contains("Error: "), "{}", output.both());
    env.dhow(&format!("run --rm --cgroups=nonsense {BASE} true")).run().fails(125, "nonsense");
    env.dhow(&format!("run --rm --cgroups=disabled -m 64m {BASE} true")).run().fails(125, "");
}

#[test]
fn ulimits() {
    requires!("root", "overlay", "runc");
    let env = TestEnv::with_base();
    // The soft nofile is left to runc: its Go runtime changes its own, and may do so after it was set.
    let line = format!("run --rm --ulimit nofile=100:200 {BASE} sh -c 'ulimit -Hn'");
    assert_eq!(env.ok(&line), "200");
    let line = format!("run --rm --ulimit msgqueue=100:200 {BASE} grep msgqueue /proc/self/limits");
    let limits = env.ok(&line);
    let words: Vec<&str> = limits.split_whitespace().collect();
    assert_eq!(words, ["Max", "msgqueue", "size", "100", "200", "bytes"]);
    assert_eq!(env.ok(&format!("run --rm --ulimit core=0 {BASE} sh -c 'ulimit -c'")), "0");
    env.ok(&format!("run --rm {BASE} sh -c 'ulimit -n'"));
    for bad in ["nonsense=1", "nofile=x", "nofile=200:100", "nofile", ""] {
        env.dhow("run --rm")
            .arg(format!("--ulimit={bad}"))
            .args([BASE, "true"])
            .run()
            .fails(125, "");
    }
}

#[test]
fn sysctls() {
    requires!("root", "overlay", "runc");
    let env = TestEnv::with_base();
    let command = "cat /proc/sys/net/ipv4/ip_default_ttl /proc/sys/kernel/msgmax";
    assert_eq!(env.ok(&format!("run --rm --sysctl net.ipv4.ip_default_ttl=7 --sysctl kernel.msgmax=4096 {BASE} {command}")), "7\n4096");
    for bad in ["kernel.panic=1", "nonsense", "net.ipv4.ip_default_ttl", "vm.swappiness=1"] {
        env.dhow(&format!("run --rm --sysctl {bad} {BASE} true")).run().fails(125, "");
    }
    env.fails(
        &format!("run --rm --network host --sysctl net.ipv4.ip_default_ttl=7 {BASE} true"),
        125,
        "net.ipv4",
    );
    env.assert_no_containers();
}

#[test]
fn block_io() {
    requires!("root", "overlay", "runc", "memory-cgroup");
    let env = TestEnv::with_base();
    for bad in ["--blkio-weight 5", "--blkio-weight 1001", "--blkio-weight x"] {
        env.dhow(&format!("run --rm {bad} {BASE} true")).run().fails(125, "");
    }
    // The kernel may lack the weight: then it is an error, never silence.
    let output = env.dhow(&format!("run --rm --blkio-weight 500 {BASE} true")).run();
    assert!(output.code == 0 || output.stderr.matches("Error: ").count() == 1, "{}", output.both());
}
