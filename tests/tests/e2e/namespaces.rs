//! Namespaces: private, the host's, another container's.

use dhow_tests::{BASE, TestEnv, requires};

/// The namespace of a kind, as the container sees it.
#[track_caller]
fn namespace(env: &TestEnv, flags: &str, kind: &str) -> String {
    env.ok(&format!("run --rm {flags} {BASE} readlink /proc/self/ns/{kind}"))
}

/// The network that commands of a test run in.
fn network_of(env: &TestEnv) -> String {
    env.tool("/usr/bin/readlink").arg("/proc/self/ns/net").ok()
}

fn of_host(kind: &str) -> String {
    std::fs::read_link(format!("/proc/self/ns/{kind}")).expect("/proc").display().to_string()
}

#[test]
fn private_unless_the_host_is_asked_for() {
    requires!("root", "overlay", "runc");
    let env = TestEnv::with_base();
    for (kind, flag) in [("pid", "pid"), ("ipc", "ipc"), ("uts", "uts"), ("net", "network")] {
        assert_ne!(namespace(&env, "", kind), of_host(kind), "{kind}");
        assert_ne!(
            namespace(&env, &format!("--{flag} private"), kind),
            of_host(kind),
            "--{flag} private"
        );
        assert_eq!(
            namespace(&env, &format!("--{flag} host"), kind),
            if kind == "net" { network_of(&env) } else { of_host(kind) },
            "--{flag} host"
        );
        env.dhow(&format!("run --rm --{flag} nonsense:x {BASE} true")).run().fails(125, "nonsense");
    }
    assert_eq!(namespace(&env, "--cgroupns host", "cgroup"), of_host("cgroup"));
    assert_ne!(namespace(&env, "--cgroupns private", "cgroup"), of_host("cgroup"));
    env.assert_no_containers();
}

#[test]
fn no_network_is_loopback_only() {
    requires!("root", "overlay", "runc");
    let env = TestEnv::with_base();
    for flags in ["--network none", "--net none"] {
        assert_eq!(
            env.ok(&format!("run --rm {flags} {BASE} ls /sys/class/net")).trim(),
            "lo",
            "{flags}"
        );
    }
    let up = env.ok(&format!("run --rm --network none {BASE} ip addr show lo"));
    assert!(up.contains("127.0.0.1"), "{up}");
}

#[test]
fn a_second_container_joins_the_first() {
    requires!("root", "overlay", "runc");
    let env = TestEnv::with_base();
    env.ok(&format!("run -d --name first --hostname one {BASE} probe hold"));
    let pid = env.pid("first");
    for (kind, flag) in [("pid", "pid"), ("ipc", "ipc"), ("uts", "uts"), ("net", "network")] {
        let expected = std::fs::read_link(format!("/proc/{pid}/ns/{kind}"))
            .expect("it runs")
            .display()
            .to_string();
        assert_eq!(namespace(&env, &format!("--{flag} container:first"), kind), expected, "{kind}");
    }
    assert_eq!(env.ok(&format!("run --rm --uts container:first {BASE} hostname")), "one");
    env.ok(&format!("run --rm --ipc container:first {BASE} touch /dev/shm/shared"));
    assert_eq!(
        env.ok("exec first ls /dev/shm"),
        "shared",
        "shared memory goes with the ipc namespace (Q18)"
    );
    env.fails(&format!("create --network container:nobody {BASE}"), 125, "nobody");
    env.ok(&format!("create --name second --network container:first {BASE} true"));
    let second = env.id("second");
    env.fails("rm -f -t 0 first", 125, &second[..12]);
    env.ok("stop -t 0 first");
    env.ok("rm second");
    env.ok("rm first");
    env.assert_no_containers();
}

#[test]
fn a_namespace_by_path() {
    requires!("root", "overlay", "runc");
    let env = TestEnv::with_base();
    assert_eq!(namespace(&env, "--network ns:/proc/self/ns/net", "net"), network_of(&env));
    env.fails(&format!("run --rm --network ns:/no/such {BASE} true"), 125, "/no/such");
}

#[test]
fn what_comes_later_is_refused_not_ignored() {
    requires!("root", "overlay", "runc");
    let env = TestEnv::with_base();
    for flags in ["--network pasta", "--userns auto", "--pod x", "--network slirp4netns"] {
        let output = env.dhow(&format!("run --rm {flags} {BASE} true")).run();
        assert_eq!(output.code, 125, "{flags} was accepted: {}", output.both());
        assert_eq!(output.text(), "");
    }
}
