//! The hierarchies of this machine.

use std::fs;
use std::os::unix::fs::MetadataExt as _;
use std::path::{Path, PathBuf};
use std::thread;
use std::time::Duration;

use dhow_cgroup::{Cgroup, Hierarchies, Version, default_rules};
use dhow_sys::process::{Child, Spawn};
use oci_spec::runtime::{LinuxDeviceCgroup, LinuxResources};

/// A cgroup that goes with the test, whatever becomes of it.
struct Temporary(Cgroup);

impl Drop for Temporary {
    fn drop(&mut self) {
        drop(self.0.kill_all());
        drop(self.0.delete());
        assert!(!self.0.exists() || thread::panicking(), "a cgroup is left");
    }
}

impl Temporary {
    /// `None` where this process may not make cgroups, which is a failure if STRICT is set.
    fn new(name: &str) -> Option<Temporary> {
        Self::on(&Hierarchies::detect().ok()?, name)
    }

    fn on(hierarchies: &Hierarchies, name: &str) -> Option<Temporary> {
        if fs::metadata("/proc/self").unwrap().uid() != 0 {
            assert!(!crate::strict(), "this test needs root, and STRICT is set");
            return None;
        }
        let path = PathBuf::from(format!("/dhow-test-{}-{name}", std::process::id()));
        let cgroup = Cgroup::new(hierarchies, Some(&path), name).unwrap();
        cgroup.create().unwrap();
        Some(Temporary(cgroup))
    }

    fn read(&self, controller: &str, file: &str) -> String {
        let directory = self.0.controller(controller).unwrap();
        fs::read_to_string(directory.path.join(file)).unwrap().trim_end().to_owned()
    }

    fn has(&self, controller: &str, version: Version) -> bool {
        self.0.controller(controller).is_some_and(|one| one.hierarchy.version == version)
    }

    fn apply(&self, text: &str) -> Result<(), String> {
        let resources: LinuxResources = serde_json::from_str(text).unwrap();
        self.0.apply(&resources).map_err(|error| error.to_string())
    }
}

fn sleeper() -> Child {
    Spawn::new("/bin/sleep").arg("1000").spawn().unwrap()
}

#[test]
fn the_life_of_a_cgroup() {
    let Some(temporary) = Temporary::new("life") else { return };
    let cgroup = &temporary.0;
    assert!(cgroup.directories().iter().all(|one| one.path.is_dir()));
    let child = sleeper();
    cgroup.add(child.pid()).unwrap();
    assert_eq!(cgroup.pids().unwrap(), [child.pid()]);
    let groups = fs::read_to_string(format!("/proc/{}/cgroup", child.pid())).unwrap();
    for directory in cgroup.directories() {
        let below = directory.path.strip_prefix(&directory.hierarchy.mount).unwrap();
        let first = directory.hierarchy.controllers.first();
        let found = groups.lines().any(|line| {
            line.ends_with(&format!(":/{}", below.display()))
                && (directory.hierarchy.version == Version::V2
                    || first.is_some_and(|first| line.contains(first.as_str())))
        });
        assert!(found, "{directory:?} in {groups}");
    }
    // A second create finds somebody in it.
    assert!(cgroup.create().unwrap_err().to_string().contains("is in use by process"));

    cgroup.freeze().unwrap();
    assert!(cgroup.is_frozen().unwrap());
    cgroup.freeze().unwrap();
    cgroup.thaw().unwrap();
    assert!(!cgroup.is_frozen().unwrap());

    // A signal, and the end although frozen.
    cgroup.freeze().unwrap();
    let waiting = thread::spawn(move || child.wait().unwrap());
    cgroup.kill_all().unwrap();
    assert_eq!(std::os::unix::process::ExitStatusExt::signal(&waiting.join().unwrap()), Some(9));
    cgroup.delete().unwrap();
    assert!(!cgroup.exists());
    cgroup.delete().unwrap();
    assert!(cgroup.pids().unwrap().is_empty());
}

#[test]
fn cgroups_below_go_too_and_an_end_is_waited_for() {
    let Some(temporary) = Temporary::new("below") else { return };
    let cgroup = &temporary.0;
    for directory in cgroup.directories() {
        fs::create_dir_all(directory.path.join("system.slice/a.service")).unwrap();
    }
    let child = sleeper();
    cgroup.add(child.pid()).unwrap();
    for directory in cgroup.directories().iter().filter(|one| one.hierarchy.has("pids")) {
        let file = directory.path.join("system.slice/a.service/cgroup.procs");
        fs::write(file, child.pid().to_string()).unwrap();
    }
    assert_eq!(cgroup.pids().unwrap(), [child.pid()]);
    assert!(child.signal(15).unwrap());
    // It ends while the cgroup is being removed, as at the end of a container.
    let waiting = thread::spawn(move || child.wait().unwrap());
    cgroup.delete().unwrap();
    waiting.join().unwrap();
    assert!(!cgroup.exists());
}

#[test]
fn resources_arrive_in_v1() {
    let Some(temporary) = Temporary::new("v1") else { return };
    if !["memory", "cpu", "cpuset", "pids"].iter().all(|name| temporary.has(name, Version::V1)) {
        return;
    }
    temporary
        .apply(
            r#"{"memory":{"limit":67108864,"swap":134217728,"reservation":33554432,"swappiness":10,"disableOOMKiller":true,"kernelTCP":1048576,"useHierarchy":true},
                "cpu":{"shares":512,"quota":40000,"period":50000,"burst":10000,"cpus":"0","mems":"0"},
                "pids":{"limit":33}}"#,
        )
        .unwrap();
    let rows = [
        ("memory", "memory.limit_in_bytes", "67108864"),
        ("memory", "memory.memsw.limit_in_bytes", "134217728"),
        ("memory", "memory.soft_limit_in_bytes", "33554432"),
        ("memory", "memory.swappiness", "10"),
        ("memory", "memory.kmem.tcp.limit_in_bytes", "1048576"),
        ("cpu", "cpu.shares", "512"),
        ("cpu", "cpu.cfs_quota_us", "40000"),
        ("cpu", "cpu.cfs_period_us", "50000"),
        ("cpu", "cpu.cfs_burst_us", "10000"),
        ("cpuset", "cpuset.cpus", "0"),
        ("pids", "pids.max", "33"),
    ];
    for (controller, file, expected) in rows {
        assert_eq!(temporary.read(controller, file), expected, "{file}");
    }
    assert!(temporary.read("memory", "memory.oom_control").contains("oom_kill_disable 1"));
    // Up, down, and away: the sum is never below the limit.
    for (limit, swap, seen) in
        [(268_435_456i64, 536_870_912i64, "536870912"), (33_554_432, 33_554_432, "33554432")]
    {
        temporary.apply(&format!(r#"{{"memory":{{"limit":{limit},"swap":{swap}}}}}"#)).unwrap();
        assert_eq!(temporary.read("memory", "memory.limit_in_bytes"), limit.to_string());
        assert_eq!(temporary.read("memory", "memory.memsw.limit_in_bytes"), seen);
    }
    temporary
        .apply(r#"{"memory":{"limit":-1},"pids":{"limit":-1},"cpu":{"quota":-1,"burst":0}}"#)
        .unwrap();
    assert_eq!(temporary.read("memory", "memory.memsw.limit_in_bytes"), "9223372036854771712");
    assert_eq!(temporary.read("pids", "pids.max"), "max");
    assert_eq!(temporary.read("cpu", "cpu.cfs_quota_us"), "-1");

    let error = temporary.apply(r#"{"memory":{"swappiness":101}}"#).unwrap_err();
    assert_eq!(error, "invalid memory.swappiness: 101 is above 100");
    let error = temporary.apply(r#"{"cpu":{"cpus":"4096"}}"#).unwrap_err();
    assert!(
        error.starts_with("cannot write \"4096\" to ") && error.ends_with("cpuset.cpus"),
        "{error}"
    );
    if temporary.0.controller("net_cls").is_none() {
        let error = temporary.apply(r#"{"network":{"classID":1}}"#).unwrap_err();
        assert_eq!(error, "this system has no cgroup controller net_cls");
    }
    let stats = temporary.0.stats().unwrap();
    assert_eq!(stats.memory.usage.limit, 9_223_372_036_854_771_712);
    assert_eq!(stats.pids.limit, 0);
}

#[test]
fn resources_arrive_in_v2() {
    let Some(temporary) = Temporary::new("v2") else { return };
    if !["memory", "cpu", "cpuset", "pids"].iter().all(|name| temporary.has(name, Version::V2)) {
        return;
    }
    temporary
        .apply(
            r#"{"memory":{"limit":67108864,"swap":134217728,"reservation":33554432},
                "cpu":{"shares":1024,"quota":40000,"period":50000,"burst":10000,"cpus":"0","mems":"0"},
                "pids":{"limit":33},
                "unified":{"memory.high":"50331648"}}"#,
        )
        .unwrap();
    let rows = [
        ("memory", "memory.max", "67108864"),
        ("memory", "memory.swap.max", "67108864"),
        ("memory", "memory.low", "33554432"),
        ("memory", "memory.high", "50331648"),
        ("cpu", "cpu.weight", "39"),
        ("cpu", "cpu.max", "40000 50000"),
        ("cpu", "cpu.max.burst", "10000"),
        ("cpuset", "cpuset.cpus", "0"),
        ("pids", "pids.max", "33"),
    ];
    for (controller, file, expected) in rows {
        assert_eq!(temporary.read(controller, file), expected, "{file}");
    }
    temporary.apply(r#"{"memory":{"limit":-1},"pids":{"limit":-1},"cpu":{"quota":-1}}"#).unwrap();
    assert_eq!(temporary.read("memory", "memory.max"), "max");
    assert_eq!(temporary.read("memory", "memory.swap.max"), "max");
    assert_eq!(temporary.read("pids", "pids.max"), "max");
    assert_eq!(temporary.read("cpu", "cpu.max"), "max 50000");
    let error = temporary.apply(r#"{"memory":{"swappiness":1}}"#).unwrap_err();
    assert_eq!(error, "memory.swappiness with cgroup v2 is not supported");
    let stats = temporary.0.stats().unwrap();
    assert_eq!(stats.memory.usage.limit, u64::MAX);
}

#[test]
fn huge_pages_in_whichever_hierarchy_has_them() {
    let Some(temporary) = Temporary::new("huge") else { return };
    let Some(directory) = temporary.0.controller("hugetlb") else { return };
    let v2 = directory.hierarchy.version == Version::V2;
    temporary.apply(r#"{"hugepageLimits":[{"pageSize":"2MB","limit":4194304}]}"#).unwrap();
    let file = if v2 { "hugetlb.2MB.max" } else { "hugetlb.2MB.limit_in_bytes" };
    assert_eq!(temporary.read("hugetlb", file), "4194304");
    assert!(temporary.0.stats().unwrap().hugetlb.contains_key("2MB"));
}

fn rules(text: &str) -> Vec<LinuxDeviceCgroup> {
    serde_json::from_str(text).unwrap()
}

fn devices(rules: Vec<LinuxDeviceCgroup>) -> LinuxResources {
    let mut resources = LinuxResources::default();
    resources.set_devices(Some(rules));
    resources
}

/// Whether a process in the cgroup can read from a device.
fn can_read(cgroup: &Cgroup, device: &str) -> bool {
    let directories: Vec<String> = cgroup
        .directories()
        .iter()
        .map(|one| format!("echo $$ > {}/cgroup.procs", one.path.display()))
        .collect();
    let script = format!("{} && exec head -c 1 {device} > /dev/stdout", directories.join(" && "));
    let child = Spawn::new("/bin/sh").arg("-c").arg(script).env("PATH", "/usr/bin:/bin").spawn();
    child.unwrap().wait().unwrap().success()
}

#[test]
fn devices_by_v1s_files() {
    let Some(temporary) = Temporary::new("devices-v1") else { return };
    if !temporary.has("devices", Version::V1) {
        return;
    }
    let deny = r#"{"allow":false,"access":"rwm"}"#;
    let mut all = rules(&format!("[{deny}]"));
    all.extend(default_rules());
    temporary.0.apply(&devices(all.clone())).unwrap();
    let list = temporary.read("devices", "devices.list");
    assert_eq!(list.lines().count(), 10, "{list}");
    assert!(list.contains("c 1:3 rwm") && list.contains("c *:* m"), "{list}");
    assert!(can_read(&temporary.0, "/dev/zero"));
    // An update takes one away and gives another.
    let update = rules(&format!(
        r#"[{deny},{{"allow":true,"type":"c","major":1,"minor":3,"access":"rw"}},{{"allow":true,"type":"c","major":10,"access":"r"}}]"#
    ));
    temporary.0.apply(&devices(update)).unwrap();
    assert_eq!(temporary.read("devices", "devices.list"), "c 1:3 rw\nc 10:* r");
    assert!(!can_read(&temporary.0, "/dev/zero"));
    // And back to everything but one.
    let open = r#"[{"allow":true,"access":"rwm"},{"allow":false,"type":"c","major":1,"minor":9,"access":"r"}]"#;
    temporary.0.apply(&devices(rules(open))).unwrap();
    assert!(can_read(&temporary.0, "/dev/zero"));
    assert!(!can_read(&temporary.0, "/dev/urandom"));
}

#[test]
fn devices_by_ebpf() {
    let Ok(all) = Hierarchies::detect() else { return };
    // Without the v1 hierarchies: as on a machine that has v2 alone.
    let Some(unified) = all.all().iter().find(|one| one.version == Version::V2) else { return };
    let hierarchies = Hierarchies::unified_at(&unified.mount, Path::new("")).unwrap();
    let Some(temporary) = Temporary::on(&hierarchies, "devices-v2") else { return };
    let deny = r#"{"allow":false,"access":"rwm"}"#;
    let mut standard = rules(&format!("[{deny}]"));
    standard.extend(default_rules());
    temporary.0.apply(&devices(standard)).unwrap();
    assert!(can_read(&temporary.0, "/dev/zero"));
    let without_zero = rules(&format!(
        r#"[{deny},{{"allow":true,"type":"c","major":1,"access":"rwm"}},{{"allow":false,"type":"c","major":1,"minor":5,"access":"r"}}]"#
    ));
    // v1 could not say this.
    temporary.0.apply(&devices(without_zero)).unwrap();
    assert!(!can_read(&temporary.0, "/dev/zero"));
    assert!(can_read(&temporary.0, "/dev/urandom"));
    temporary.0.apply(&devices(rules(r#"[{"allow":true,"access":"rwm"}]"#))).unwrap();
    assert!(can_read(&temporary.0, "/dev/zero"));
}

#[test]
fn a_child_may_be_started_in_the_v2_directory() {
    let Some(temporary) = Temporary::new("into") else { return };
    let Some(fd) = temporary.0.open().unwrap() else { return };
    let path =
        fs::read_link(format!("/proc/self/fd/{}", std::os::fd::AsRawFd::as_raw_fd(&fd))).unwrap();
    assert_eq!(Some(path), temporary.0.unified().map(|one| one.path.clone()));
    let child = sleeper();
    temporary.0.add_to_v1(child.pid()).unwrap();
    assert!(child.signal(9).unwrap());
    assert!(child.wait_timeout(Duration::from_secs(30)).unwrap().is_ok());
}
