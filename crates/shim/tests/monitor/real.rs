//! With runc on a root file system of busybox alone.

use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};

use dhow_shim::args::{Exec, LogTarget};
use dhow_shim::attach::{Received, Stream};
use dhow_shim::ctl::{self, Control};
use dhow_sys::process::{OutputLimits, Spawn, output};
use serde_json::{Value, json};

use crate::harness::{LONG, Session};

const RUNC: &str = "/usr/sbin/runc";
const BUSYBOX: &str = "/usr/bin/busybox";

/// A session of runc, its state in the session's directory; `None` where this cannot be.
struct Real {
    session: Session,
    id: String,
}

fn real(script: &str, change: impl FnOnce(&mut Value)) -> Option<Real> {
    let able =
        nix::unistd::geteuid().is_root() && Path::new(RUNC).exists() && Path::new(BUSYBOX).exists();
    if !able {
        let strict = std::env::var_os("STRICT").is_some_and(|v| v == "1");
        assert!(!strict, "root, runc and busybox-static are needed");
        return None;
    }
    let mut session = Session::new("");
    let rootfs = session.path("bundle/rootfs");
    for name in ["bin", "proc", "dev", "tmp"] {
        std::fs::create_dir_all(rootfs.join(name)).unwrap();
    }
    std::fs::copy(BUSYBOX, rootfs.join("bin/busybox")).unwrap();
    std::fs::set_permissions(rootfs.join("bin/busybox"), PermissionsExt::from_mode(0o755)).unwrap();
    std::os::unix::fs::symlink("busybox", rootfs.join("bin/sh")).unwrap();
    let directory = session.path("bundle");
    let directory = directory.parent().and_then(Path::file_name).unwrap().to_string_lossy();
    let id = format!("dhow-shim-test-{}", directory.trim_start_matches('.'));
    let mut spec = json!({
        "ociVersion": "1.0.2",
        "process": { "terminal": false, "user": { "uid": 0, "gid": 0 }, "args": ["/bin/sh", "-c", script], "env": ["PATH=/bin"], "cwd": "/" },
        "root": { "path": "rootfs" },
        "mounts": [
            { "destination": "/proc", "type": "proc", "source": "proc" },
            { "destination": "/dev", "type": "tmpfs", "source": "tmpfs", "options": ["nosuid", "mode=755"] },
            { "destination": "/dev/pts", "type": "devpts", "source": "devpts", "options": ["newinstance", "ptmxmode=0666"] },
        ],
        "linux": {
            "namespaces": [{ "type": "pid" }, { "type": "mount" }, { "type": "ipc" }, { "type": "uts" }],
            "cgroupsPath": format!("/{id}"),
        },
    });
    change(&mut spec);
    session.write("bundle/config.json", &spec.to_string());
    session.args.container.clone_from(&id);
    session.args.runtime = RUNC.into();
    session.args.runtime_args = vec!["--root".into(), session.path("runc").into()];
    Some(Real { session, id })
}

impl Real {
    fn runc(&self, args: &[&str]) -> String {
        let spawn = Spawn::new(RUNC)
            .args(self.session.args.runtime_args.iter().cloned())
            .args(args.iter().copied());
        let output =
            output(spawn.envs(self.session.environment()), &OutputLimits::default()).unwrap();
        assert!(output.status.success(), "{args:?}: {}", String::from_utf8_lossy(&output.stderr));
        String::from_utf8(output.stdout).unwrap()
    }

    /// Creates, connects, starts.
    fn run(&mut self) -> crate::harness::Client {
        self.session.start();
        let client = self.session.attach();
        self.runc(&["start", &self.id]);
        client
    }

    fn exit_file(&self) -> PathBuf {
        self.session.path("exits").join(&self.id)
    }
}

impl Drop for Real {
    fn drop(&mut self) {
        let args = ["delete", "--force", &self.id];
        let spawn =
            Spawn::new(RUNC).args(self.session.args.runtime_args.iter().cloned()).args(args);
        output(spawn.envs(self.session.environment()), &OutputLimits::default()).ok();
    }
}

#[test]
fn output_code_and_records() {
    let Some(mut real) = real("echo out; echo err >&2; exit 7", |_| {}) else { return };
    let mut client = real.run();
    assert_eq!(client.read_to_end(Stream::Stdout), b"out\n");
    assert_eq!(real.session.wait_exit().code, 7);
    assert_eq!(std::fs::read_to_string(real.exit_file()).unwrap(), "7");
    assert_eq!(real.session.logged(Stream::Stderr), b"err\n");
    assert_eq!(real.session.started().container.pid.to_string(), real.session.text("run/pidfile"));
}

#[test]
fn stdin_through_the_container_and_its_end() {
    let Some(mut real) = real("busybox wc -c", |_| {}) else { return };
    real.session.args.stdin = true;
    let mut client = real.run();
    client.send(&vec![b'x'; 3_000_000]);
    client.client.close_stdin().unwrap();
    assert_eq!(client.read_to_end(Stream::Stdout), b"3000000\n");
}

#[test]
fn a_terminal_echoes_resizes_and_hangs_up() {
    // Size and input travel by different ways: input is asked for when the size is there.
    const SCRIPT: &str =
        "busybox stty size; while [ \"$(busybox stty size)\" != '44 55' ]; do :; done
        echo resized; read line; echo got $line; exit 3";
    let Some(mut real) = real(SCRIPT, |spec| {
        spec["process"]["terminal"] = true.into();
    }) else {
        return;
    };
    real.session.args.terminal = true;
    real.session.launch().unwrap();
    // ORDER: made after `ctl` was opened.
    real.session.wait_for("run", "winsz");
    // Before there is a terminal: it gets this size when it comes.
    ctl::send(&real.session.path("run/ctl"), &Control::Resize { rows: 33, columns: 101 }).unwrap();
    real.session.wait_pid().unwrap();
    let mut client = real.session.attach();
    real.runc(&["start", &real.id]);
    client.expect("33 101\r\n");
    ctl::send(&real.session.path("run/ctl"), &Control::Resize { rows: 44, columns: 55 }).unwrap();
    client.expect("resized\r\n");
    client.send(b"hello\r");
    let said = String::from_utf8(client.read_to_end(Stream::Stdout)).unwrap();
    assert_eq!(said, "hello\r\ngot hello\r\n");
    assert_eq!(real.session.wait_exit().code, 3);
    assert!(
        !real.session.listing().iter().any(|p| p.to_string_lossy().contains("console")),
        "{:?}",
        real.session.listing()
    );
}

#[test]
fn two_clients_share_a_terminal_and_one_leaves() {
    let Some(mut real) = real("while read line; do echo got $line; done", |spec| {
        spec["process"]["terminal"] = true.into();
    }) else {
        return;
    };
    real.session.args.terminal = true;
    let mut first = real.run();
    let mut second = real.session.attach();
    second.send(b"one\r");
    first.expect("got one\r\n");
    second.expect("got one\r\n");
    first.client.close_stdin().unwrap();
    drop(first);
    second.send(b"two\r");
    second.expect("got two\r\n");
    second.send(b"\x04");
    assert_eq!(second.next().0, Received::End);
}

#[test]
fn a_killed_container_is_137() {
    let Some(mut real) = real("while :; do busybox sleep 1000; done", |_| {}) else { return };
    let mut client = real.run();
    real.runc(&["kill", &real.id, "KILL"]);
    assert_eq!(client.next().0, Received::End);
    let exit = real.session.wait_exit();
    assert_eq!((exit.code, exit.signal), (137, Some(9)));
}

#[test]
fn a_command_that_is_not_there_is_told() {
    let Some(mut real) = real("", |spec| spec["process"]["args"] = json!(["/nonexistent"])) else {
        return;
    };
    real.session.launch().unwrap();
    let error = real.session.wait_pid().unwrap_err().to_string();
    assert!(error.contains("/nonexistent") && error.contains("no such file"), "{error}");
    real.session.wait_gone();
}

#[test]
fn an_exec_session_in_it() {
    let Some(mut real) = real("while :; do busybox sleep 1000; done", |_| {}) else { return };
    let _client = real.run();
    let mut exec = Session::new("");
    exec.args = real.session.args.clone();
    exec.args.session = "exec".to_owned();
    exec.args.bundle = exec.path("bundle");
    exec.args.run_dir = Some(exec.path("run"));
    exec.args.container_pidfile = Some(exec.path("run/pidfile"));
    exec.args.monitor_pidfile = Some(exec.path("run/monitor.pid"));
    exec.args.exit_dir = None;
    exec.args.persist_dir = None;
    exec.args.logs = vec![LogTarget::None];
    exec.args.terminal = true;
    exec.args.stdin = true;
    exec.args.exec = Some(Exec { process_spec: exec.path("process.json"), attach: true });
    let process = json!({
        "terminal": true, "user": { "uid": 0, "gid": 0 }, "args": ["/bin/sh", "-c", "read line; echo exec got $line; exit 11"],
        "env": ["PATH=/bin"], "cwd": "/",
    });
    exec.write("process.json", &process.to_string());
    exec.launch().unwrap();
    exec.monitor.as_mut().unwrap().wait_ready(LONG).unwrap();
    let mut client = exec.attach();
    exec.monitor.as_mut().unwrap().go().unwrap();
    exec.wait_pid().unwrap();
    client.send(b"hello\r");
    client.expect("exec got hello\r\n");
    assert_eq!(client.next().0, Received::End);
    assert_eq!(exec.monitor.as_mut().unwrap().wait_exit(Some(LONG)).unwrap(), 11);
    assert_eq!(exec.wait_exit().code, 11);
    assert!(!real.session.path("run/exit.json").exists());
}

#[test]
fn running_out_of_memory_is_marked() {
    let hog = "busybox dd if=/dev/zero of=/dev/null bs=100M count=1";
    let Some(mut real) = real(hog, |spec| {
        spec["linux"]["resources"] = json!({ "memory": { "limit": 16 << 20, "swap": 16 << 20 } });
    }) else {
        return;
    };
    let mut client = real.run();
    while client.next().0 != Received::End {}
    let exit = real.session.wait_exit();
    assert!(exit.oom && exit.code == 137, "{exit:?}");
    assert!(real.session.path("run/oom").exists() && real.session.path("persist/oom").exists());
}
