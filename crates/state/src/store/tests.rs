//! The store from outside: lives, names, damage, reboots, several processes, and SIGKILL at every step.

use std::path::{Path, PathBuf};
use std::time::Duration;

use dhow_sys::pidfd::ProcessId;
use serde_json::value::RawValue;

use super::*;
use crate::record::{Exit, Phase, Started};
use crate::status::Status;

mod crash;
mod damage;
mod lookup;
mod races;
mod reboot;

const WAIT: Duration = Duration::from_secs(60);

/// A store in a directory of its own.
struct Fixture {
    dir: tempfile::TempDir,
    store: Store,
}

impl Fixture {
    fn new() -> Fixture {
        let dir = tempfile::tempdir().unwrap();
        let store = open(dir.path());
        Fixture { dir, store }
    }

    fn create(&self, name: &str) -> ContainerId {
        self.create_with(name, false)
    }

    fn create_with(&self, name: &str, auto_remove: bool) -> ContainerId {
        create(&self.store, name, auto_remove).unwrap()
    }

    fn status(&self, id: &ContainerId) -> Status {
        self.store.snapshot(id).unwrap().status()
    }

    /// Everything that belongs to containers and should be gone with them.
    fn left(&self) -> Vec<PathBuf> {
        left(self.dir.path())
    }
}

fn open(dir: &Path) -> Store {
    Store::open(Layout { root: dir.join("root"), run: dir.join("run") }).unwrap()
}

fn create(store: &Store, name: &str, auto_remove: bool) -> Result<ContainerId> {
    let id = ContainerId::random()?;
    let reservation = store.reserve(&id, Some(&name.parse()?))?;
    drop(reservation.commit(payload(), auto_remove)?);
    Ok(id)
}

fn payload() -> Box<RawValue> {
    RawValue::from_string(r#"{"image": "a"}"#.to_owned()).unwrap()
}

fn remove(store: &Store, id: &ContainerId) -> Result<()> {
    let mut locked = store.lock(id, WAIT)?;
    locked.begin_removal(false)?;
    locked.finish_removal()
}

fn left(dir: &Path) -> Vec<PathBuf> {
    let mut found = Vec::new();
    for below in ["root/containers", "root/names", "root/volumes", "run/containers"] {
        let entries = std::fs::read_dir(dir.join(below)).unwrap();
        found.extend(
            entries.map(|entry| entry.unwrap().path().strip_prefix(dir).unwrap().to_path_buf()),
        );
    }
    found.sort();
    found
}

fn write(path: &Path, bytes: impl AsRef<[u8]>) {
    dhow_sys::fs::write_atomic(path, bytes.as_ref(), 0o600, dhow_sys::fs::Durability::Volatile)
        .unwrap();
}

fn write_json(path: &Path, value: &impl serde::Serialize) {
    write(path, serde_json::to_vec(value).unwrap());
}

/// A process that has been there and is not any more.
fn dead_process() -> ProcessId {
    let child = dhow_sys::process::Spawn::new("/bin/sleep").arg("1000").spawn().unwrap();
    let id = ProcessId::of(child.pid()).unwrap();
    child.signal(9).unwrap();
    child.wait().unwrap();
    id
}

fn exit(code: i32) -> Exit {
    Exit { code, ..Exit::unknown(1_700_000_000_000_000_000) }
}

#[test]
fn a_whole_life() {
    let f = Fixture::new();
    let id = f.create("web");
    assert_eq!(f.status(&id), Status::Created);
    let snapshot = f.store.snapshot(&id).unwrap();
    assert_eq!(
        (snapshot.name.as_str(), snapshot.config.payload.get()),
        ("web", r#"{"image": "a"}"#)
    );
    assert_eq!(snapshot.exit_code(), None);
    assert_eq!(f.store.config(&id).unwrap().created, snapshot.config.created);

    let me = ProcessId::current().unwrap();
    let mut locked = f.store.lock(&id, WAIT).unwrap();
    locked.begin_init().unwrap();
    assert_eq!(f.status(&id), Status::Created);
    write_json(
        &f.store.layout().started(&id),
        &Started { version: 1, container: me, monitor: me, at: 5 },
    );
    assert_eq!(f.status(&id), Status::Initialized);
    assert_eq!(locked.started().unwrap().unwrap().at, 5);
    locked.update(|r| r.phase = Phase::Created).unwrap();
    assert_eq!(f.status(&id), Status::Initialized);
    locked.begin_start().unwrap();
    assert_eq!(f.status(&id), Status::Running);
    assert!(f.store.snapshot(&id).unwrap().started_at().is_some());
    locked.update(|r| r.phase = Phase::Running).unwrap();
    assert_eq!(f.store.snapshot(&id).unwrap().init(), Some(me));
    assert_eq!(f.store.snapshot(&id).unwrap().exit_code(), None);
    drop(locked);

    write_json(&f.store.layout().exit(&id), &Exit { oom: true, ..exit(7) });
    let snapshot = f.store.snapshot(&id).unwrap();
    assert_eq!(
        (snapshot.status(), snapshot.exit_code(), snapshot.oom()),
        (Status::Stopped, Some(7), true)
    );
    let mut locked = f.store.lock(&id, WAIT).unwrap();
    let exit = locked.exit().unwrap().unwrap();
    locked.finish(&exit).unwrap();
    drop(locked);
    let snapshot = f.store.snapshot(&id).unwrap();
    assert_eq!((snapshot.status(), snapshot.exit_code()), (Status::Exited, Some(7)));
    assert_eq!(snapshot.finished_at(), Some(1_700_000_000_000_000_000));

    // A second life knows nothing of the first.
    let mut locked = f.store.lock(&id, WAIT).unwrap();
    locked.begin_init().unwrap();
    let snapshot = locked.refresh().unwrap();
    assert_eq!(
        (snapshot.status(), snapshot.exit_code(), snapshot.oom()),
        (Status::Created, None, false)
    );
    locked.finish(&Exit::unknown(9)).unwrap();
    drop(locked);

    remove(&f.store, &id).unwrap();
    assert!(f.store.snapshot(&id).unwrap_err().is_not_found());
    assert!(f.store.config(&id).unwrap_err().is_not_found());
    assert_eq!(f.store.exit_of_removed(&id).unwrap().unwrap().code, -1);
    assert_eq!(f.left(), Vec::<PathBuf>::new());
}

#[test]
fn a_monitor_that_died_without_a_word_is_an_end_with_an_unknown_code() {
    let f = Fixture::new();
    let id = f.create("web");
    let mut locked = f.store.lock(&id, WAIT).unwrap();
    for phase in [Phase::Created, Phase::Starting, Phase::Running, Phase::Paused, Phase::Stopping] {
        locked
            .update(|r| {
                r.phase = phase;
                r.monitor = Some(dead_process());
            })
            .unwrap();
        let snapshot = f.store.snapshot(&id).unwrap();
        assert_eq!(
            (snapshot.status(), snapshot.exit_code()),
            (Status::Stopped, Some(-1)),
            "{phase:?}"
        );
    }
}

#[test]
fn a_dropped_reservation_leaves_nothing_and_frees_the_name() {
    let f = Fixture::new();
    let id = ContainerId::random().unwrap();
    let reservation = f.store.reserve(&id, Some(&"web".parse().unwrap())).unwrap();
    let volume = crate::VolumeName::random().unwrap();
    assert!(reservation.create_volume(&volume, true).unwrap());
    assert!(f.store.resolve("web").unwrap_err().is_not_found());
    assert!(f.store.ids().unwrap().is_empty());
    // Being made by a living process, it is not swept by those who look.
    assert!(f.store.layout().container_dir(&id).exists());
    let error = f
        .store
        .reserve(&ContainerId::random().unwrap(), Some(&"web".parse().unwrap()))
        .unwrap_err();
    assert!(matches!(&error, Error::NameInUse { by: Some(by), .. } if *by == id), "{error}");
    drop(reservation);
    assert_eq!(f.left(), Vec::<PathBuf>::new());
    f.create("web");
}

#[test]
fn volumes_of_a_committed_container_stay_with_it_and_after_it() {
    let f = Fixture::new();
    let id = ContainerId::random().unwrap();
    let reservation = f.store.reserve(&id, None).unwrap();
    let volume = crate::VolumeName::random().unwrap();
    assert!(reservation.create_volume(&volume, true).unwrap());
    assert!(!reservation.create_volume(&volume, true).unwrap());
    drop(reservation.commit(payload(), false).unwrap());
    remove(&f.store, &id).unwrap();
    assert!(f.store.volumes().exists(&volume).unwrap());
}

#[test]
fn a_taken_name_is_refused_with_its_owner_and_nothing_is_left_of_the_attempt() {
    let f = Fixture::new();
    let id = f.create("web");
    let before = f.left();
    let error = create(&f.store, "web", false).unwrap_err();
    assert!(matches!(&error, Error::NameInUse { by: Some(by), .. } if *by == id), "{error}");
    assert_eq!(f.left(), before);
}

#[test]
fn containers_without_a_name_get_one_each() {
    let f = Fixture::new();
    let mut names = std::collections::HashSet::new();
    for _ in 0..60 {
        let id = ContainerId::random().unwrap();
        let locked = f.store.reserve(&id, None).unwrap().commit(payload(), true).unwrap();
        let name = locked.snapshot().name.clone();
        assert_eq!(f.store.resolve(name.as_str()).unwrap(), id);
        assert!(names.insert(name));
    }
}

#[test]
fn rename_moves_the_name() {
    let f = Fixture::new();
    let (id, other) = (f.create("one"), f.create("other"));
    let mut locked = f.store.lock(&id, WAIT).unwrap();
    let error = locked.rename(&"other".parse().unwrap()).unwrap_err();
    assert!(matches!(&error, Error::NameInUse { by: Some(by), .. } if *by == other), "{error}");
    assert_eq!(f.store.resolve("one").unwrap(), id);
    locked.rename(&"one".parse().unwrap()).unwrap();
    locked.rename(&"two".parse().unwrap()).unwrap();
    assert_eq!(locked.snapshot().name.as_str(), "two");
    drop(locked);
    assert_eq!(f.store.resolve("two").unwrap(), id);
    assert!(f.store.resolve("one").unwrap_err().is_not_found());
    assert_eq!(f.store.snapshot(&id).unwrap().name.as_str(), "two");
    // The old name is free, and the container can have it back when that one goes.
    let third = f.create("one");
    remove(&f.store, &third).unwrap();
    f.store.lock(&id, WAIT).unwrap().rename(&"one".parse().unwrap()).unwrap();
    remove(&f.store, &id).unwrap();
    remove(&f.store, &other).unwrap();
    assert_eq!(f.left(), Vec::<PathBuf>::new());
}

#[test]
fn a_busy_container_says_who_works_on_it() {
    let f = Fixture::new();
    let id = f.create("web");
    let locked = f.store.lock(&id, WAIT).unwrap();
    assert!(f.store.try_lock(&id).unwrap().is_none());
    let error = f.store.lock(&id, Duration::from_millis(20)).unwrap_err();
    assert!(error.to_string().contains(&format!("process {}", std::process::id())), "{error}");
    // Readers do not care.
    assert_eq!(f.status(&id), Status::Created);
    drop(locked);
    assert!(f.store.try_lock(&id).unwrap().is_some());
}

#[test]
fn those_who_wait_for_the_lock_of_a_removed_container_are_told_and_leave_nothing() {
    let f = Fixture::new();
    let id = f.create("web");
    let mut locked = f.store.lock(&id, WAIT).unwrap();
    std::thread::scope(|s| {
        let waiters: Vec<_> =
            (0..4).map(|_| s.spawn(|| f.store.lock(&id, WAIT).map(drop))).collect();
        locked.begin_removal(false).unwrap();
        assert_eq!(f.status(&id), Status::Removing);
        locked.finish_removal().unwrap();
        for waiter in waiters {
            assert!(waiter.join().unwrap().unwrap_err().is_not_found());
        }
    });
    assert_eq!(f.left(), Vec::<PathBuf>::new());
    assert!(f.store.try_lock(&id).unwrap_err().is_not_found());
    assert!(f.store.evict(&id, WAIT).unwrap_err().is_not_found());
    assert_eq!(f.left(), Vec::<PathBuf>::new());
}

#[test]
fn a_run_directory_without_a_container_is_swept() {
    let f = Fixture::new();
    let (gone, web) = (ContainerId::random().unwrap(), f.create("web"));
    create_dir_all(&f.store.layout().run_dir(&gone), 0o700).unwrap();
    write(&f.store.layout().lock(&gone), "");
    assert_eq!(f.store.ids().unwrap(), std::slice::from_ref(&web));
    assert!(!f.store.layout().run_dir(&gone).exists());
    assert!(f.store.layout().run_dir(&web).exists());
}

#[test]
fn exits_of_removed_containers_are_bounded() {
    let f = Fixture::new();
    for n in 0..20 {
        let id: ContainerId = format!("{n:064x}").parse().unwrap();
        exits::keep(f.store.layout(), &id, &exit(n)).unwrap();
    }
    exits::prune(f.store.layout(), 5);
    assert_eq!(std::fs::read_dir(f.store.layout().exits()).unwrap().count(), 5);
    assert!(f.store.exit_of_removed(&ContainerId::random().unwrap()).unwrap().is_none());
}

#[test]
fn fields_of_other_builds_are_kept_in_the_record_and_ignored_elsewhere() {
    let f = Fixture::new();
    let id = f.create("web");
    write(
        &f.store.layout().record(&id),
        r#"{"version":1,"phase":"exited","exit_code":3,"cell":{"x":[1]}}"#,
    );
    let mut locked = f.store.lock(&id, WAIT).unwrap();
    locked.update(|r| r.restart_count += 1).unwrap();
    let text = std::fs::read_to_string(f.store.layout().record(&id)).unwrap();
    assert!(text.contains(r#""cell":{"x":[1]}"#), "{text}");
    write(&f.store.layout().exit(&id), r#"{"code":3,"at":1,"weather":"fair"}"#);
    assert_eq!(locked.exit().unwrap().unwrap().code, 3);
}

#[test]
fn artifacts_come_and_go_with_the_container() {
    let f = Fixture::new();
    let id = f.create("web");
    let name: crate::ArtifactName = "sbom.json".parse().unwrap();
    assert!(f.store.artifacts(&id).list().unwrap().is_empty());
    let locked = f.store.lock(&id, WAIT).unwrap();
    locked.add_artifact(&name, b"one").unwrap();
    locked.add_artifact(&name, b"two").unwrap();
    assert_eq!(f.store.artifacts(&id).list().unwrap(), std::slice::from_ref(&name));
    assert_eq!(f.store.artifacts(&id).get(&name).unwrap(), b"two");
    locked.remove_artifact(&name).unwrap();
    assert!(matches!(locked.remove_artifact(&name), Err(Error::NoArtifact { .. })));
    assert!(matches!(f.store.artifacts(&id).get(&name), Err(Error::NoArtifact { .. })));
    for bad in ["../config.json", "a/b", "", ".x", "a\0"] {
        assert!(bad.parse::<crate::ArtifactName>().is_err());
    }
    locked.add_artifact(&name, b"three").unwrap();
    drop(locked);
    remove(&f.store, &id).unwrap();
    assert_eq!(f.left(), Vec::<PathBuf>::new());
}
