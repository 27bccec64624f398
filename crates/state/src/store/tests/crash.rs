//! SIGKILL at every system call that changes the file system, one after the other, of each thing a store can do. strace
//! delivers it on entry of the N-th call of a kind (it counts each kind by itself); the call then has no effect.

use std::os::unix::ffi::OsStrExt;

use super::*;
use dhow_sys::process::{OutputLimits, Spawn, Stdio, output};

const STRACE: &str = "/usr/bin/strace";
/// What changes a file system.
const CHANGES: [&str; 11] = [
    "openat", "mkdir", "rename", "symlink", "unlink", "unlinkat", "rmdir", "write", "pwrite64",
    "fsync", "flock",
];

/// The directory to work in, if this process was started as the worker `kind`.
#[expect(clippy::disallowed_methods, reason = "the test harness passes nothing else on to a test")]
pub(super) fn worker_directory(kind: &str) -> Option<PathBuf> {
    let given = std::env::var_os("DHOW_STATE_WORKER")?;
    let bytes = given.as_bytes().strip_prefix(kind.as_bytes())?.strip_prefix(b":")?;
    Some(std::ffi::OsStr::from_bytes(bytes).into())
}

/// This test program again, running the test `…_worker` of that kind.
pub(super) fn worker(kind: &str, dir: &Path) -> Spawn {
    let mut variable = std::ffi::OsString::from(format!("{kind}:"));
    variable.push(dir);
    let module = match kind {
        "dance" => "races",
        "lookup" => "lookup",
        _ => "crash",
    };
    let (test, _) = kind.split_once('-').unwrap_or((kind, ""));
    Spawn::new(std::env::current_exe().unwrap())
        .args(["--exact", "--test-threads=1", "-q"])
        .arg(format!("store::tests::{module}::{test}_worker"))
        .env("DHOW_STATE_WORKER", variable)
        .env("PATH", "/usr/bin:/bin")
        .stderr(Stdio::Inherit)
}

/// Runs a worker under strace with these options; whether it came to its end.
fn traced(kind: &str, dir: &Path, options: &[&str]) -> bool {
    let worker = worker(kind, dir);
    let mut strace = Spawn::new(STRACE)
        .args(["-f", "-qq"])
        .args(options.iter().copied())
        .arg("--")
        .arg(worker.program);
    strace = strace.args(worker.args).envs(worker.env);
    output(strace, &OutputLimits::default()).unwrap().status.success()
}

/// All file system calls of a worker.
pub(super) fn trace_worker(kind: &str, dir: &Path) -> String {
    let log = tempfile::NamedTempFile::new().unwrap();
    let to = log.path().to_str().unwrap();
    assert!(traced(kind, dir, &["-s", "512", "-e", "trace=file,getdents64", "-o", to]));
    std::fs::read_to_string(log.path()).unwrap()
}

/// What is to be killed. Each must be repeatable.
fn operation(store: &Store, kind: &str) -> Result<()> {
    match kind {
        "create" => {
            let id = ContainerId::random()?;
            let reservation = store.reserve(&id, Some(&"web".parse()?))?;
            reservation.create_volume(&crate::VolumeName::random()?, true)?;
            std::fs::create_dir_all(store.layout().rootfs(&id).join("upper")).unwrap();
            reservation.commit(payload(), false).map(drop)
        }
        "rename" => store
            .lock(&store.resolve("web").or_else(|_| store.resolve("site"))?, WAIT)?
            .rename(&"site".parse()?),
        "remove" => remove(store, &store.resolve("web")?),
        "start" => {
            let mut locked = store.lock(&store.resolve("web")?, WAIT)?;
            locked.begin_init()?;
            locked.begin_start()?;
            locked.update(|r| r.phase = Phase::Running)?;
            locked.finish(&exit(5))
        }
        "boot" => {
            write(&store.layout().boot(), "earlier");
            Store::open(store.layout().clone()).map(drop)
        }
        other => panic!("no operation {other}"),
    }
}

#[test]
fn operation_worker() {
    for kind in ["create", "rename", "remove", "start", "boot"] {
        if let Some(dir) = worker_directory(&format!("operation-{kind}")) {
            operation(&open(&dir), kind).unwrap();
        }
    }
}

/// Kills `kind` at each of its changes; `check` sees each state that leaves.
fn at_every_step(kind: &str, check: impl Fn(&Fixture, Option<&ContainerId>)) {
    let mut points = 0;
    for call in CHANGES {
        for n in 1.. {
            let f = Fixture::new();
            let id = (kind != "create").then(|| f.create("web"));
            let inject = format!("inject={call}:signal=KILL:when={n}");
            let done = traced(
                &format!("operation-{kind}"),
                f.dir.path(),
                &["-o", "/dev/null", "-e", &inject],
            );
            check(&f, id.as_ref());
            after_the_kill(&f, kind, id.as_ref(), &format!("{kind}, killed at {call} {n}"));
            if done {
                break;
            }
            points += 1;
        }
    }
    assert!(points > 20, "{kind}: only {points} points");
}

/// The same again succeeds, or finds it done; and then all of it can be removed without a trace.
fn after_the_kill(f: &Fixture, kind: &str, id: Option<&ContainerId>, when: &str) {
    if let Some(id) = id.filter(|_| kind != "remove") {
        // Whatever it is called now, it is one container that works.
        let name = f.store.snapshot(id).unwrap().name;
        drop(f.store.lock(id, WAIT).unwrap());
        assert_eq!(&f.store.resolve(name.as_str()).unwrap(), id, "{when}");
        assert_eq!(
            f.store.snapshot(id).unwrap().name,
            name,
            "{when}: the repair follows what readers saw"
        );
    }
    match operation(&f.store, kind) {
        Ok(()) | Err(Error::NotFound { .. } | Error::NameInUse { .. }) => {}
        Err(e) => panic!("{when}: {e}"),
    }
    for id in f.store.ids().unwrap() {
        f.store.snapshot(&id).unwrap();
        remove(&f.store, &id).unwrap();
    }
    // One of a committed container may be left: `rm` without `-v` leaves volumes. None of an uncommitted one is.
    let volumes = f.store.volumes();
    assert!(volumes.names().unwrap().len() <= 1, "{when}");
    for volume in volumes.names().unwrap() {
        volumes.remove(&volume).unwrap();
    }
    assert_eq!(f.left(), Vec::<PathBuf>::new(), "{when}");
}

#[test]
fn a_killed_create_leaves_a_container_or_nothing() {
    at_every_step("create", |f, _| {
        // Whoever looks next sees a whole container or none, and what was half made is gone then.
        let ids = f.store.ids().unwrap();
        match ids.as_slice() {
            [] => assert_eq!(f.left(), Vec::<PathBuf>::new()),
            [id] => {
                assert_eq!(f.status(id), Status::Created);
                assert_eq!(&f.store.resolve("web").unwrap(), id);
            }
            _ => panic!("{ids:?}"),
        }
    });
}

#[test]
fn a_killed_removal_is_finished_by_whoever_comes() {
    at_every_step("remove", |f, id| {
        let id = id.unwrap();
        match f.store.snapshot(id) {
            Ok(snapshot) => {
                assert!(matches!(snapshot.status(), Status::Created | Status::Removing));
                // The same command, with the same name, goes on.
                assert_eq!(&f.store.resolve("web").unwrap(), id);
            }
            Err(e) => assert!(e.is_not_found(), "{e}"),
        }
        for id in f.store.ids().unwrap() {
            remove(&f.store, &id).unwrap();
        }
        assert_eq!(f.left(), Vec::<PathBuf>::new());
        f.create("web");
    });
}

#[test]
fn a_killed_rename_leaves_one_name() {
    at_every_step("rename", |f, id| {
        let id = id.unwrap();
        let found: Vec<_> =
            ["web", "site"].iter().filter_map(|name| f.store.resolve(name).ok()).collect();
        assert_eq!(found.iter().collect::<Vec<_>>(), [id]);
        // The name it does not have can be given to another.
        let free = if f.store.resolve("web").is_ok() { "site" } else { "web" };
        let other = f.create(free);
        remove(&f.store, &other).unwrap();
    });
}

#[test]
fn a_killed_start_leaves_readable_records() {
    at_every_step("start", |f, id| {
        let status = f.status(id.unwrap());
        assert!(matches!(status, Status::Created | Status::Running | Status::Exited), "{status}");
    });
}

#[test]
fn a_killed_clearing_of_an_earlier_boot_is_done_again() {
    at_every_step("boot", |f, id| {
        let store = open(f.dir.path());
        assert_eq!(store.snapshot(id.unwrap()).unwrap().status(), Status::Created);
    });
}

/// Lets `kind` fail at each of its writes, for want of space; `check` sees what it leaves, without any repair.
fn with_a_full_disk(kind: &str, check: impl Fn(&Fixture, &str)) {
    let mut points = 0;
    for call in ["mkdir", "symlink", "rename", "write", "fsync"] {
        for n in 1.. {
            let f = Fixture::new();
            if kind != "create" {
                f.create("web");
            }
            let inject = format!("inject={call}:error=ENOSPC:when={n}");
            let done = traced(
                &format!("operation-{kind}"),
                f.dir.path(),
                &["-o", "/dev/null", "-e", &inject],
            );
            check(&f, &format!("{kind}, no space at {call} {n}"));
            after_the_kill(&f, kind, None, &format!("{kind}, no space at {call} {n}"));
            if done {
                break;
            }
            points += 1;
        }
    }
    assert!(points >= 5, "{kind}: only {points} points");
}

#[test]
fn a_create_without_space_leaves_nothing() {
    with_a_full_disk("create", |f, when| {
        // A directory listing, not `ids`: that would tidy up. The worker may also have failed after its commit, in a
        // write of the test harness.
        let left = f.left();
        if !left.is_empty() {
            let id = f.store.resolve("web").unwrap_or_else(|e| panic!("{when}: {e}: {left:?}"));
            assert_eq!(f.status(&id), Status::Created, "{when}");
        }
    });
}

#[test]
fn a_rename_without_space_leaves_one_name() {
    with_a_full_disk("rename", |f, when| {
        let found: Vec<_> =
            ["web", "site"].iter().filter_map(|name| f.store.resolve(name).ok()).collect();
        assert_eq!(found.len(), 1, "{when}");
        assert_eq!(f.status(&found[0]), Status::Created, "{when}");
    });
}
