//! The generated spec beside podman's: for the same flags the same config.json, but for what is said here.
//!
//! Left out of the comparison: annotations, ids and paths of the bundle, the order of mounts, environment and capability
//! names, `container=oci`, an empty HOME, masks that newer podmans have, limits (podman's are configured), file type bits in
//! a device's mode.

use crate::{busybox, search, skip};
use dhow_oci::{
    BundlePaths, Device, Host, Mount, MountKind, Namespace, Namespaces, Resources, Seccomp,
    Security, SpecRequest, generate, to_json,
};
use dhow_sys::process::{OutputLimits, Spawn, output};
use dhow_sys::root::Root;
use serde_json::{Value, json};
use std::fs;
use std::path::{Path, PathBuf};

/// podman with a configuration and storage of its own.
struct Podman {
    program: PathBuf,
    dir: tempfile::TempDir,
}

impl Podman {
    fn new() -> Option<Podman> {
        let root = rustix::process::geteuid().is_root();
        let program =
            search().iter().map(|dir| dir.join("podman")).find(|path| root && path.is_file());
        let (Some(program), Some(busybox)) = (program, busybox()) else {
            skip("root, podman and busybox-static");
            return None;
        };
        let dir = tempfile::tempdir().unwrap();
        let conf = "[containers]\ndefault_ulimits = [\"nofile=1024:1024\", \"nproc=1024:1024\"]\n\
                    [engine]\nruntime = \"runc\"\ncgroup_manager = \"cgroupfs\"\nevents_logger = \"file\"\n";
        fs::write(dir.path().join("containers.conf"), conf).unwrap();
        let rootfs = dir.path().join("rootfs");
        for name in ["bin", "etc", "tmp"] {
            fs::create_dir_all(rootfs.join(name)).unwrap();
        }
        fs::copy(busybox, rootfs.join("bin/true")).unwrap();
        fs::write(
            rootfs.join("etc/passwd"),
            "root:x:0:0::/root:\nalice:x:1000:1000::/home/alice:\n",
        )
        .unwrap();
        fs::write(rootfs.join("etc/group"), "root:x:0:\nalice:x:1000:\nvideo:x:44:alice\n")
            .unwrap();
        Some(Podman { program, dir })
    }

    fn path(&self, name: &str) -> PathBuf {
        self.dir.path().join(name)
    }

    fn run(&self, args: &[&str]) -> String {
        let spawn = Spawn::new(&self.program)
            .env("CONTAINERS_CONF", self.path("containers.conf"))
            .env("PATH", "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin")
            .arg("--root")
            .arg(self.path("root"))
            .arg("--runroot")
            .arg(self.path("run"))
            .arg("--tmpdir")
            .arg(self.path("tmp"))
            .args(["--storage-driver", "vfs"])
            .args(args.iter().copied());
        let limits =
            OutputLimits { timeout: Some(crate::bundle::TIMEOUT), ..OutputLimits::default() };
        let done = output(spawn, &limits).unwrap();
        assert!(done.status.success(), "{args:?}: {}", String::from_utf8_lossy(&done.stderr));
        String::from_utf8(done.stdout).unwrap().trim().to_owned()
    }

    /// The config.json of a container made with these flags.
    fn spec(&self, flags: &str) -> Value {
        let rootfs = self.path("rootfs");
        let mut args = vec!["create"];
        let words: Vec<String> =
            flags.split_whitespace().map(|word| word.replace("c.5:*.rmw", "c 5:* rmw")).collect();
        args.extend(words.iter().map(String::as_str));
        if !flags.contains("--network") {
            args.extend(["--network", "none"]);
        }
        args.extend(["--rootfs", rootfs.to_str().unwrap(), "true"]);
        let id = self.run(&args);
        self.run(&["init", &id]);
        let config = self.run(&["inspect", "--format", "{{.OCIConfigPath}}", &id]);
        let spec = serde_json::from_slice(&fs::read(config).unwrap()).unwrap();
        self.run(&["rm", "--force", "--time", "0", &id]);
        normal(spec)
    }

    fn check(&self, host: &Host, flags: &str, request: &SpecRequest) {
        let rootfs = self.path("rootfs");
        let paths = BundlePaths {
            rootfs: rootfs.clone(),
            shm: Some("/b/shm".into()),
            hosts: Some("/b/hosts".into()),
            hostname: Some("/b/hostname".into()),
            resolv_conf: (request.namespaces.network == Namespace::Host)
                .then(|| "/b/resolv.conf".into()),
            passwd: request.user.starts_with("1234").then(|| "/b/passwd".into()),
            // podman loses it below a tmpfs on /run.
            containerenv: (!request.read_only).then(|| "/b/.containerenv".into()),
        };
        let request = SpecRequest {
            args: vec!["true".into()],
            container_id: "0123456789abcdef".into(),
            ..request.clone()
        };
        let spec = generate(&request, &paths, host, &Root::open(&rootfs).unwrap()).unwrap();
        let ours = normal(serde_json::from_slice(&to_json(&spec)).unwrap());
        let theirs = self.spec(flags);
        let (ours, theirs) = (lines(&ours), lines(&theirs));
        let only = |a: &[String], b: &[String]| {
            a.iter().filter(|line| !b.contains(line)).cloned().collect::<Vec<_>>()
        };
        assert_eq!(
            (only(&ours, &theirs), only(&theirs, &ours)),
            (vec![], vec![]),
            "only ours, only podman's, with {flags}"
        );
        assert_eq!(ours.len(), theirs.len(), "with {flags}");
    }
}

/// The spec without what may differ; see the module's text.
fn normal(mut spec: Value) -> Value {
    let top = spec.as_object_mut().unwrap();
    top.retain(|key, _| !["annotations", "ociVersion", "hostname"].contains(&key.as_str()));
    top["root"].as_object_mut().unwrap().remove("path");
    let process = top["process"].as_object_mut().unwrap();
    process.remove("rlimits");
    let sets = process["capabilities"].as_object_mut().unwrap();
    sets.retain(|_, names| names.as_array().is_some_and(|names| !names.is_empty()));
    sets.values_mut().for_each(sort);
    let env = process["env"].as_array_mut().unwrap();
    env.retain(|entry| {
        !["HOSTNAME=", "container=", "HOME=/\0"]
            .iter()
            .any(|key| format!("{}\0", entry.as_str().unwrap()).starts_with(key))
    });
    sort(&mut process["env"]);
    for mount in top["mounts"].as_array_mut().unwrap() {
        let source = Path::new(mount["source"].as_str().unwrap());
        let ours = source.starts_with("/b") || source.to_str().unwrap().contains("/userdata/");
        if ours {
            mount["source"] = json!(format!("(bundle)/{}", source.file_name().unwrap().display()));
        }
        // A new file system of a new mount namespace is private already.
        let sysfs = mount["type"] == "sysfs";
        let options = mount["options"].as_array_mut().unwrap();
        options.retain(|option| !sysfs || option != "rprivate");
        sort(&mut mount["options"]);
    }
    top["mounts"]
        .as_array_mut()
        .unwrap()
        .sort_by_key(|mount| mount["destination"].as_str().unwrap().to_owned());
    let linux = top["linux"].as_object_mut().unwrap();
    linux.remove("cgroupsPath");
    for list in ["maskedPaths", "readonlyPaths"] {
        let kept =
            linux.remove(list).and_then(|paths| paths.as_array().cloned()).unwrap_or_default();
        let kept: Vec<Value> =
            kept.into_iter().filter(|path| path != "/sys/devices/virtual/powercap").collect();
        linux.insert(list.to_owned(), Value::Array(kept));
    }
    for device in linux.get_mut("devices").and_then(Value::as_array_mut).into_iter().flatten() {
        device["fileMode"] = json!(device["fileMode"].as_u64().unwrap() & 0o7777);
    }
    // An unlimited number is no limit.
    let resources = linux["resources"].as_object_mut().unwrap();
    resources.retain(|key, value| key != "pids" || value["limit"] != 0);
    for rule in linux
        .get_mut("seccomp")
        .and_then(|seccomp| seccomp["syscalls"].as_array_mut())
        .into_iter()
        .flatten()
    {
        sort(&mut rule["names"]);
        for arg in rule.get_mut("args").and_then(Value::as_array_mut).into_iter().flatten() {
            arg.as_object_mut().unwrap().retain(|key, value| key != "valueTwo" || *value != 0);
        }
    }
    spec
}

/// One line a value; the elements of a list one each.
fn lines(spec: &Value) -> Vec<String> {
    fn walk(path: &str, value: &Value, lines: &mut Vec<String>) {
        match value {
            Value::Object(fields) => {
                fields.iter().for_each(|(key, value)| walk(&format!("{path}.{key}"), value, lines));
            }
            Value::Array(list) => {
                lines.extend(list.iter().map(|element| format!("{path}[] {element}")));
            }
            scalar => lines.push(format!("{path} {scalar}")),
        }
    }
    let mut lines = Vec::new();
    walk("", spec, &mut lines);
    lines
}

fn sort(list: &mut Value) {
    list.as_array_mut().unwrap().sort_by_key(Value::to_string);
}

#[test]
fn the_same_as_podmans() {
    let Some(podman) = Podman::new() else { return };
    let host = Host::probe().unwrap();
    let check = |flags: &str, request: SpecRequest| podman.check(&host, flags, &request);
    let list = |words: &[&str]| words.iter().map(|&word| word.to_owned()).collect::<Vec<_>>();
    let plain = SpecRequest::default;
    let security = |security: Security| SpecRequest { security, ..SpecRequest::default() };

    check("", plain());
    check(
        "--cap-drop all --cap-add net_admin,sys_chroot --security-opt no-new-privileges --security-opt unmask=/proc/acpi:/sys/* --security-opt mask=/etc/foo",
        security(Security {
            cap_drop: list(&["all"]),
            cap_add: list(&["net_admin", "sys_chroot"]),
            no_new_privileges: true,
            unmask: list(&["/proc/acpi", "/sys/*"]),
            mask: list(&["/etc/foo"]),
            ..Security::default()
        }),
    );
    check("--privileged", security(Security { privileged: true, ..Security::default() }));
    check(
        "--cap-add all --security-opt seccomp=unconfined --security-opt unmask=ALL",
        security(Security {
            cap_add: list(&["all"]),
            seccomp: Seccomp::Unconfined,
            unmask: list(&["ALL"]),
            ..Security::default()
        }),
    );
    check(
        "--user alice --cap-add sys_admin --group-add 77 -t --umask 077 -w /tmp --hostname box -e A=1 --unsetenv TERM",
        SpecRequest {
            user: "alice".into(),
            group_add: list(&["77"]),
            terminal: true,
            umask: Some(0o77),
            cwd: Some(dhow_oci::Cwd { path: "/tmp".into(), create: false }),
            hostname: Some("box".into()),
            env: list(&["A=1"]),
            unset_env: list(&["TERM"]),
            security: Security { cap_add: list(&["sys_admin"]), ..Security::default() },
            ..plain()
        },
    );
    check(
        "--user 1234:44 --read-only",
        SpecRequest { user: "1234:44".into(), read_only: true, read_only_tmpfs: true, ..plain() },
    );
    let namespaces = Namespaces {
        pid: Namespace::Host,
        ipc: Namespace::Host,
        uts: Namespace::Host,
        network: Namespace::Host,
        cgroup: Some(Namespace::Private),
    };
    check(
        "--pid host --ipc host --uts host --network host --cgroupns private",
        SpecRequest { namespaces, ..plain() },
    );
    let ipc = Namespaces { ipc: Namespace::None, ..Namespaces::default() };
    check(
        "--ipc none --oom-score-adj 500",
        SpecRequest { namespaces: ipc, oom_score_adj: Some(500), ..plain() },
    );
    let bind = Mount {
        kind: MountKind::Bind,
        source: "/etc".into(),
        destination: "/x".into(),
        options: list(&["ro", "rshared", "noexec"]),
    };
    let tmpfs = Mount {
        kind: MountKind::Tmpfs,
        source: String::new(),
        destination: "/t".into(),
        options: list(&["size=1m", "mode=1777"]),
    };
    check(
        "-v /etc:/x:ro,rshared,noexec --tmpfs /t:size=1m,mode=1777 --device /dev/null:/dev/mine:rw --device-cgroup-rule c.5:*.rmw --sysctl kernel.msgmax=1000",
        SpecRequest {
            mounts: vec![bind, tmpfs],
            devices: vec!["/dev/null:/dev/mine:rw".parse::<Device>().unwrap()],
            device_rules: vec!["c 5:* rmw".parse().unwrap()],
            sysctls: [("kernel.msgmax".to_owned(), "1000".to_owned())].into(),
            ..plain()
        },
    );
    let resources = Resources {
        memory: Some(64 << 20),
        memory_reservation: Some(32 << 20),
        cpus: Some(1.5),
        cpu_shares: Some(512),
        cpuset_cpus: Some("0".into()),
        pids_limit: Some(-1),
        ..Resources::default()
    };
    check(
        "-m 64m --memory-reservation 32m --cpus 1.5 --cpu-shares 512 --cpuset-cpus 0 --pids-limit -1",
        SpecRequest { resources, ..plain() },
    );
}
