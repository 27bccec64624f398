//! cgroup v2 as files: what is written where. The kernel's part is played by the test.

use std::fs;
use std::path::{Path, PathBuf};
use std::thread;

use dhow_cgroup::{Cgroup, Error, Hierarchies};
use oci_spec::runtime::LinuxResources;

struct Tree {
    dir: tempfile::TempDir,
    cgroup: Cgroup,
    path: PathBuf,
}

/// Files that the kernel would make.
const FILES: &[&str] = &[
    "cgroup.procs",
    "cgroup.events",
    "cgroup.freeze",
    "memory.max",
    "memory.low",
    "memory.swap.max",
    "memory.current",
    "cpu.weight",
    "cpu.max",
    "cpu.max.burst",
    "cpu.idle",
    "cpuset.cpus",
    "cpuset.mems",
    "pids.max",
    "io.weight",
    "io.max",
    "hugetlb.2MB.max",
    "hugetlb.2MB.rsvd.max",
    "rdma.max",
];

fn tree() -> Tree {
    let dir = tempfile::tempdir().unwrap();
    let controllers = "cpuset cpu io memory hugetlb pids rdma\n";
    fs::write(dir.path().join("cgroup.controllers"), controllers).unwrap();
    for above in ["", "pod", "pod/a"] {
        fs::create_dir_all(dir.path().join(above)).unwrap();
        fs::write(dir.path().join(above).join("cgroup.subtree_control"), "").unwrap();
    }
    let hierarchies = Hierarchies::unified_at(dir.path(), Path::new("own/x")).unwrap();
    let cgroup = Cgroup::new(&hierarchies, Some(Path::new("/pod/a/one")), "id").unwrap();
    let path = dir.path().join("pod/a/one");
    cgroup.create().unwrap();
    for file in FILES {
        fs::write(path.join(file), "").unwrap();
    }
    fs::write(path.join("cpu.max"), "max 100000\n").unwrap();
    fs::write(path.join("memory.current"), "5000\n").unwrap();
    fs::write(path.join("cpu.max.burst"), "0\n").unwrap();
    Tree { dir, cgroup, path }
}

impl Tree {
    fn read(&self, file: &str) -> String {
        fs::read_to_string(self.path.join(file)).unwrap()
    }

    fn apply(&self, text: &str) -> Result<(), Error> {
        // A regular file keeps what a shorter value does not cover: the kernel's does not.
        for file in FILES
            .iter()
            .filter(|file| !["cpu.max", "memory.current", "cpu.max.burst"].contains(file))
        {
            if self.path.join(file).exists() {
                fs::write(self.path.join(file), "").unwrap();
            }
        }
        self.cgroup.apply(&serde_json::from_str::<LinuxResources>(text).unwrap())
    }
}

#[test]
fn controllers_are_turned_on_from_the_root_down() {
    let tree = tree();
    for above in ["", "pod", "pod/a"] {
        let control = tree.dir.path().join(above).join("cgroup.subtree_control");
        assert_eq!(
            fs::read_to_string(control).unwrap(),
            "+cpuset +cpu +io +memory +hugetlb +pids +rdma",
            "{above:?}"
        );
    }
    assert!(!tree.path.join("cgroup.subtree_control").exists());
    tree.cgroup.add(42).unwrap();
    assert_eq!(tree.read("cgroup.procs"), "42");
    assert_eq!(tree.cgroup.pids().unwrap(), [42]);
    assert!(tree.cgroup.open().unwrap().is_some());
    // Somebody is in it.
    let error = tree.cgroup.create().unwrap_err().to_string();
    assert!(error.ends_with("pod/a/one is in use by process 42"), "{error}");
}

#[test]
fn a_cgroup_is_the_same_after_a_state_file() {
    let tree = tree();
    let text = serde_json::to_string(&tree.cgroup).unwrap();
    assert_eq!(serde_json::from_str::<Cgroup>(&text).unwrap(), tree.cgroup);
}

#[test]
fn every_resource_in_v2s_words() {
    let tree = tree();
    tree.apply(
        r#"{"memory":{"limit":1000000,"swap":3000000,"reservation":500000},
            "cpu":{"shares":1024,"quota":50000,"period":200000,"burst":1000,"cpus":"0-1","mems":"0"},
            "pids":{"limit":100},
            "blockIO":{"weight":500,"throttleReadBpsDevice":[{"major":8,"minor":0,"rate":1024}]},
            "hugepageLimits":[{"pageSize":"2MB","limit":4194304}],
            "rdma":{"mlx5_1":{"hcaHandles":3,"hcaObjects":10}}}"#,
    )
    .unwrap();
    let rows = [
        ("memory.max", "1000000"),
        ("memory.swap.max", "2000000"),
        ("memory.low", "500000"),
        ("cpu.weight", "39"),
        ("cpu.max.burst", "1000"),
        ("cpuset.cpus", "0-1"),
        ("cpuset.mems", "0"),
        ("pids.max", "100"),
        ("io.weight", "4950"),
        ("io.max", "8:0 rbps=1024"),
        ("hugetlb.2MB.max", "4194304"),
        ("hugetlb.2MB.rsvd.max", "4194304"),
        ("rdma.max", "mlx5_1 hca_handle=3 hca_object=10"),
    ];
    for (file, expected) in rows {
        assert_eq!(tree.read(file).trim_end(), expected, "{file}");
    }
    assert!(tree.read("cpu.max").starts_with("50000 200000"));

    tree.apply(r#"{"memory":{"limit":-1},"pids":{"limit":-1}}"#).unwrap();
    assert_eq!(tree.read("memory.max"), "max");
    assert_eq!(tree.read("memory.swap.max"), "max");
    assert_eq!(tree.read("pids.max"), "max");

    tree.apply(r#"{"unified":{"memory.low":"7","io.max":"8:0 wbps=1"},"cpu":{"idle":1}}"#).unwrap();
    assert_eq!(tree.read("memory.low"), "7");
    assert_eq!(tree.read("io.max"), "8:0 wbps=1");
    assert_eq!(tree.read("cpu.idle"), "1");
}

#[test]
fn what_v2_cannot_do_is_refused_by_name() {
    let tree = tree();
    let rows = [
        (r#"{"memory":{"swappiness":5}}"#, "memory.swappiness with cgroup v2 is not supported"),
        (r#"{"memory":{"kernel":5}}"#, "memory.kernel with cgroup v2 is not supported"),
        (r#"{"memory":{"kernelTCP":5}}"#, "memory.kernelTCP with cgroup v2 is not supported"),
        (
            r#"{"memory":{"disableOOMKiller":true}}"#,
            "memory.disableOOMKiller with cgroup v2 is not supported",
        ),
        (
            r#"{"memory":{"swap":5}}"#,
            "invalid memory.swap: a limit of swap needs a limit of memory",
        ),
        (
            r#"{"memory":{"limit":4000,"checkBeforeUpdate":true}}"#,
            "invalid memory.limit: 4000 is below the 5000 bytes in use, and checkBeforeUpdate is set",
        ),
        (r#"{"cpu":{"realtimeRuntime":5}}"#, "cpu.realtimeRuntime with cgroup v2 is not supported"),
        (r#"{"blockIO":{"leafWeight":10}}"#, "blockIO.leafWeight with cgroup v2 is not supported"),
        (r#"{"network":{"classID":10}}"#, "this system has no cgroup controller net_cls"),
        (
            r#"{"network":{"priorities":[{"name":"eth0","priority":1}]}}"#,
            "this system has no cgroup controller net_prio",
        ),
        (
            r#"{"hugepageLimits":[{"pageSize":"1GB","limit":1}]}"#,
            "hugepageLimits of 1GB (this kernel has no hugetlb.1GB.max) is not supported",
        ),
        (
            r#"{"unified":{"no.such":"1"}}"#,
            "unified.no.such (this kernel has no no.such) is not supported",
        ),
        (
            r#"{"unified":{"../memory.max":"1"}}"#,
            r#"invalid unified: "../memory.max" is no file of a controller"#,
        ),
    ];
    for (text, expected) in rows {
        assert_eq!(tree.apply(text).unwrap_err().to_string(), expected, "{text}");
    }
    fs::remove_file(tree.path.join("memory.swap.max")).unwrap();
    assert_eq!(
        tree.apply(r#"{"memory":{"limit":4000,"swap":5000}}"#).unwrap_err().to_string(),
        "memory.swap (this kernel has no memory.swap.max) is not supported"
    );
}

#[test]
fn freezing_waits_for_the_event() {
    let tree = tree();
    let events = tree.path.join("cgroup.events");
    fs::write(&events, "populated 1\nfrozen 0\n").unwrap();
    let (freeze, path) = (tree.path.join("cgroup.freeze"), events.clone());
    let kernel = thread::spawn(move || {
        // Until the request is there.
        while fs::read_to_string(&freeze).unwrap() != "1" {
            thread::yield_now();
        }
        fs::write(&path, "populated 1\nfrozen 1\n").unwrap();
    });
    tree.cgroup.freeze().unwrap();
    kernel.join().unwrap();
    assert!(fs::read_to_string(&events).unwrap().contains("frozen 1"));
    assert!(tree.cgroup.is_frozen().unwrap());
    fs::write(&events, "populated 1\nfrozen 0\n").unwrap();
    tree.cgroup.thaw().unwrap();
    assert!(!tree.cgroup.is_frozen().unwrap());
}

#[test]
fn figures_in_nanoseconds_and_bytes() {
    let tree = tree();
    let write = |file: &str, text: &str| fs::write(tree.path.join(file), text).unwrap();
    write(
        "cpu.stat",
        "usage_usec 7\nuser_usec 4\nsystem_usec 3\nnr_periods 2\nnr_throttled 1\nthrottled_usec 9\n",
    );
    write("memory.stat", "anon 5\nfile 6\n");
    write("memory.events", "low 0\nmax 3\noom 1\n");
    write("memory.max", "max\n");
    write("memory.swap.max", "0\n");
    write("pids.current", "2\n");
    write("pids.max", "max\n");
    write("io.stat", "8:0 rbytes=1 wbytes=2 rios=3 wios=4 dbytes=5 dios=6\n");
    write("hugetlb.2MB.current", "2097152\n");
    let json = serde_json::to_value(tree.cgroup.stats().unwrap()).unwrap();
    assert_eq!(json["cpu"]["usage"]["total"], 7000);
    assert_eq!(json["cpu"]["usage"]["kernel"], 3000);
    assert_eq!(json["cpu"]["throttling"]["throttledTime"], 9000);
    assert_eq!(json["memory"]["usage"]["usage"], 5000);
    assert_eq!(json["memory"]["usage"]["limit"], u64::MAX);
    assert_eq!(json["memory"]["usage"]["failcnt"], 3);
    assert_eq!(json["memory"]["cache"], 6);
    assert_eq!(json["pids"]["current"], 2);
    assert_eq!(json["blkio"]["ioServicedRecursive"][1]["value"], 4);
    assert_eq!(json["hugetlb"]["2MB"]["usage"], 2_097_152);
}
