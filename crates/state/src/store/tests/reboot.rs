//! A new boot: another id in `run/boot` is all there is to see of it.

use super::*;

/// The machine goes down and comes up: what is not synced is assumed to be there all the same.
fn reboot(f: &Fixture) -> Store {
    write(&f.store.layout().boot(), "11111111-2222-3333-4444-555555555555");
    open(f.dir.path())
}

fn with_phase(
    f: &Fixture,
    name: &str,
    auto_remove: bool,
    change: impl FnOnce(&mut Locked),
) -> ContainerId {
    let id = f.create_with(name, auto_remove);
    change(&mut f.store.lock(&id, WAIT).unwrap());
    id
}

#[test]
fn each_status_becomes_what_it_should() {
    let f = Fixture::new();
    let never = f.create("never");
    let initialized = with_phase(&f, "initialized", false, |l| {
        l.begin_init().unwrap();
        l.update(|r| r.phase = Phase::Created).unwrap();
    });
    let running = with_phase(&f, "running", false, |l| {
        l.begin_start().unwrap();
        l.update(|r| r.phase = Phase::Running).unwrap();
    });
    let paused = with_phase(&f, "paused", false, |l| {
        l.begin_start().unwrap();
        l.update(|r| r.phase = Phase::Paused).unwrap();
    });
    let exited = with_phase(&f, "exited", false, |l| {
        l.begin_start().unwrap();
        l.finish(&Exit { oom: true, ..exit(42) }).unwrap();
    });
    let again = with_phase(&f, "again", false, |l| {
        l.begin_start().unwrap();
        l.finish(&exit(42)).unwrap();
        l.begin_init().unwrap();
        l.begin_start().unwrap();
    });
    let removing = with_phase(&f, "removing", false, |l| l.begin_removal(false).unwrap());
    let with_volumes = with_phase(&f, "with-volumes", false, |l| {
        l.begin_removal(true).unwrap();
        // Begun again without, it still takes them.
        l.begin_removal(false).unwrap();
    });
    let throwaway = with_phase(&f, "throwaway", true, |l| l.begin_start().unwrap());
    let fresh_throwaway = f.create_with("fresh", true);

    let store = reboot(&f);
    assert!(std::fs::read_dir(store.layout().run_containers()).unwrap().next().is_none());
    let facts = |id: &ContainerId| {
        let snapshot = store.snapshot(id).unwrap();
        assert!(snapshot.earlier_boot);
        (snapshot.status(), snapshot.exit_code())
    };
    assert_eq!(facts(&never), (Status::Created, None));
    assert_eq!(facts(&initialized), (Status::Created, None));
    assert_eq!(facts(&running), (Status::Exited, Some(-1)));
    assert_eq!(facts(&paused), (Status::Exited, Some(-1)));
    assert_eq!(facts(&exited), (Status::Exited, Some(42)));
    assert!(store.snapshot(&exited).unwrap().oom());
    assert_eq!(facts(&again), (Status::Exited, Some(-1)));
    assert_eq!(facts(&removing).0, Status::Removing);
    assert!(!store.snapshot(&removing).unwrap().removing_volumes);
    assert_eq!(facts(&with_volumes).0, Status::Removing);
    assert!(store.snapshot(&with_volumes).unwrap().removing_volumes);
    assert_eq!(facts(&throwaway).0, Status::Removing);
    assert_eq!(facts(&fresh_throwaway).0, Status::Removing);

    // The first change makes the record of this boot, with what was known.
    let mut locked = store.lock(&exited, WAIT).unwrap();
    locked.update(|r| r.restart_count = 3).unwrap();
    drop(locked);
    let snapshot = store.snapshot(&exited).unwrap();
    assert!(!snapshot.earlier_boot);
    assert_eq!((snapshot.status(), snapshot.exit_code()), (Status::Exited, Some(42)));

    for id in store.ids().unwrap() {
        remove(&store, &id).unwrap();
    }
    assert_eq!(f.left(), Vec::<PathBuf>::new());
}

#[test]
fn the_same_boot_keeps_everything() {
    let f = Fixture::new();
    let id = with_phase(&f, "web", false, |l| l.begin_start().unwrap());
    let again = open(f.dir.path());
    assert_eq!(again.snapshot(&id).unwrap().status(), Status::Running);
    assert_eq!(again.boot_id(), f.store.boot_id());
    assert!(f.store.new_boot() && !again.new_boot());
    assert!(reboot(&f).new_boot());
}

#[test]
fn several_that_open_a_stale_run_directory_agree() {
    let f = Fixture::new();
    let id = with_phase(&f, "web", false, |l| l.begin_start().unwrap());
    write(&f.store.layout().boot(), "of yesterday");
    // What one who was killed while doing it has left.
    create_dir_all(&f.dir.path().join("run/stale-containers-x/deep"), 0o700).unwrap();
    std::thread::scope(|s| {
        for n in 0..8 {
            let (dir, id) = (f.dir.path(), &id);
            s.spawn(move || {
                let store = open(dir);
                assert_eq!(store.snapshot(id).unwrap().status(), Status::Exited);
                // A record made right after the clearing is not cleared by another.
                let mine = create(&store, &format!("mine-{n}"), true).unwrap();
                assert_eq!(store.snapshot(&mine).unwrap().status(), Status::Created);
            });
        }
    });
    let store = open(f.dir.path());
    assert_eq!(store.ids().unwrap().len(), 9);
    let left: Vec<_> = std::fs::read_dir(f.dir.path().join("run"))
        .unwrap()
        .map(|e| e.unwrap().file_name().into_string().unwrap())
        .filter(|n| n.starts_with("stale"))
        .collect();
    assert_eq!(left, Vec::<String>::new());
}

#[test]
fn a_throwaway_container_whose_file_is_empty_after_a_power_cut_is_swept() {
    let f = Fixture::new();
    let id = f.create_with("web", true);
    let store = reboot(&f);
    write(&store.layout().config(&id), "");
    assert!(store.ids().unwrap().is_empty());
    assert!(store.snapshot(&id).unwrap_err().is_not_found());
    assert_eq!(f.left(), Vec::<PathBuf>::new());
}
