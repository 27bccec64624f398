//! The verbs of the driver, and the errors of a real runtime.

use crate::bundle::{Bundle, TIMEOUT};
use dhow_oci::runtime::RuntimeStatus;
use dhow_oci::{
    Cgroup, ExecRequest, Resources, RuntimeError, RuntimeKind, SpecRequest, exec_process,
    read_process, to_json,
};
use dhow_sys::pidfd::{Process, ProcessId};
use dhow_sys::root::Root;
use std::fs;

fn args(words: &[&str]) -> SpecRequest {
    SpecRequest {
        args: words.iter().map(|&word| word.to_owned()).collect(),
        ..SpecRequest::default()
    }
}

/// Creates the container without capturing: it would hold the pipes open.
fn create(bundle: &Bundle, request: &SpecRequest) {
    bundle.write(request);
    let child =
        bundle.spawn("create").arg("--bundle").arg(&bundle.dir).arg(&bundle.id).spawn().unwrap();
    assert!(child.wait().unwrap().success());
}

#[test]
fn a_life() {
    let Some(bundle) = Bundle::new("life") else { return };
    let (runtime, id) = (&bundle.runtime, bundle.id.as_str());
    let request = args(&["sleep", "1000"]);
    create(&bundle, &request);
    let state = runtime.state(id).unwrap();
    assert_eq!(state.status, RuntimeStatus::Created);
    let pid = state.pid.unwrap();
    let process = Process::open(ProcessId::of(pid).unwrap()).unwrap().unwrap();
    runtime.start(id).unwrap();
    assert_eq!(runtime.state(id).unwrap().status, RuntimeStatus::Running);
    runtime.pause(id).unwrap();
    assert_eq!(runtime.state(id).unwrap().status, RuntimeStatus::Paused);
    runtime.resume(id).unwrap();
    runtime
        .update(id, &Resources { pids_limit: Some(77), ..Resources::default() }, &bundle.host)
        .unwrap();
    assert_eq!(cgroup_value(pid, "pids", "pids.max").as_deref(), Some("77"));
    let weight = Resources { blkio_weight: Some(300), ..Resources::default() };
    match runtime.update(id, &weight, &bundle.host) {
        Ok(()) if bundle.host.cgroup.version.is_v1() => {
            let set =
                ["blkio.weight", "blkio.bfq.weight"].map(|file| cgroup_value(pid, "blkio", file));
            assert!(set.iter().flatten().any(|value| value.ends_with("300")), "{set:?}");
        }
        Ok(()) | Err(RuntimeError::Invalid(dhow_oci::Error::Unsupported { .. })) => {}
        Err(e) => panic!("{e}"),
    }

    let config = fs::read(bundle.dir.join("config.json")).unwrap();
    let exec = ExecRequest {
        args: [
            "sh",
            "-c",
            "id -u; id -G; grep -E '^(CapEff|Seccomp:)' /proc/self/status; echo $HOME $X; exit 7",
        ]
        .map(str::to_owned)
        .to_vec(),
        user: Some("alice".into()),
        env: vec!["X=y".into()],
        ..ExecRequest::default()
    };
    let root = Root::open(&bundle.paths.rootfs).unwrap();
    let spec = exec_process(&exec, &request, &read_process(&config).unwrap(), &bundle.host, &root)
        .unwrap();
    let file = bundle.dir.join("process.json");
    fs::write(&file, to_json(&spec)).unwrap();
    let ran = bundle.capture(bundle.spawn("exec").arg("--process").arg(&file).arg(id));
    assert_eq!(
        ran.stdout, "1000\n1000 44\nCapEff:\t0000000000000000\nSeccomp:\t2\n/home/alice y\n",
        "{ran:?}"
    );
    assert_eq!(ran.code, Some(7));

    runtime.kill(id, 9, false).unwrap();
    assert!(process.wait_exit(Some(TIMEOUT)).unwrap());
    assert_eq!(runtime.state(id).unwrap().status, RuntimeStatus::Stopped);
    assert!(matches!(runtime.kill(id, 9, false), Err(RuntimeError::NotRunning { .. })));
    runtime.delete(id, false).unwrap();
    assert!(matches!(runtime.state(id), Err(RuntimeError::NoSuchContainer { .. })));
    assert!(matches!(runtime.delete(id, false), Err(RuntimeError::NoSuchContainer { .. })));
    runtime.delete(id, true).unwrap();
}

/// Only crun can, and only on a machine where it runs at all: elsewhere the refusal is what is tested.
#[test]
fn without_cgroups() {
    let Some(mut bundle) = Bundle::new("nocgroups") else { return };
    let runtime = match bundle.runtime.clone().without_cgroups() {
        Ok(runtime) => runtime,
        Err(e) => {
            assert!(matches!(e, RuntimeError::Unsupported { .. }), "{e}");
            assert_ne!(bundle.runtime.kind(), RuntimeKind::Crun);
            return;
        }
    };
    bundle.runtime = runtime;
    let cgroup = Cgroup { disabled: true, ..Cgroup::default() };
    let out =
        bundle.script(&SpecRequest { cgroup, ..SpecRequest::default() }, "cat /proc/self/cgroup");
    assert!(!out.contains(&bundle.id), "{out}");
}

/// From the cgroup of the process, whichever version.
fn cgroup_value(pid: i32, controller: &str, file: &str) -> Option<String> {
    let cgroups = fs::read_to_string(format!("/proc/{pid}/cgroup")).ok()?;
    let path = |key: &str| {
        cgroups.lines().find_map(|line| line.split_once(key).map(|(_, path)| path.to_owned()))
    };
    let path = match path(&format!(":{controller}:")) {
        Some(path) => format!("/sys/fs/cgroup/{controller}{path}/{file}"),
        None => format!("/sys/fs/cgroup{}/{file}", path("0::")?),
    };
    Some(fs::read_to_string(path).ok()?.trim().to_owned())
}

#[test]
fn failures_have_the_right_exit_codes() {
    let Some(bundle) = Bundle::new("failures") else { return };
    let bin = bundle.paths.rootfs.join("bin");
    fs::write(bin.join("notexec"), "x").unwrap();
    for (command, code) in [
        ("nope", 127),
        ("/bin/nope", 127),
        ("/etc/passwd/x", 127),
        ("/bin/notexec", 126),
        ("/bin", 126),
        ("/etc/passwd", 126),
    ] {
        let ran = bundle.run(&args(&[command]));
        let error = RuntimeError::from_text(&ran.stderr);
        assert_eq!(error.exit_code(), code, "{command}: {error}");
        let shown = error.to_string();
        assert!(!shown.contains("level=") && !shown.contains('\n'), "{shown}");
    }
    let version = bundle.runtime.version().unwrap();
    assert!(version.version.starts_with(|c: char| c.is_ascii_digit()), "{version:?}");
}
