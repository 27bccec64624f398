//! Damaged files: an error about their own container, which can still be removed.

use super::*;

type Damage = fn(&Layout, &ContainerId);

const DAMAGES: [(&str, Damage); 14] = [
    ("config.json is no JSON", |l, id| write(&l.config(id), "{")),
    ("config.json lacks fields", |l, id| write(&l.config(id), "{}")),
    ("config.json is empty", |l, id| write(&l.config(id), "")),
    ("config.json is of another container", |l, id| {
        let text = std::fs::read_to_string(l.config(id)).unwrap();
        write(&l.config(id), text.replace(id.as_str(), &"0".repeat(64)));
    }),
    ("config.json is of a newer version", |l, id| {
        write(&l.config(id), r#"{"version":2,"all":"new"}"#);
    }),
    ("config.json has a name with a slash", |l, id| {
        let text = std::fs::read_to_string(l.config(id)).unwrap();
        write(&l.config(id), text.replace("\"sick\"", "\"../sick\""));
    }),
    ("config.json is a directory", |l, id| {
        std::fs::remove_file(l.config(id)).unwrap();
        std::fs::create_dir(l.config(id)).unwrap();
    }),
    ("config.json is too large", |l, id| {
        write(&l.config(id), vec![b' '; (MAX_CONFIG_SIZE + 1).try_into().unwrap()]);
    }),
    ("config.json is binary", |l, id| write(&l.config(id), [0xff, 0, 0xfe])),
    ("record.json is truncated", |l, id| {
        let bytes = std::fs::read(l.record(id)).unwrap();
        write(&l.record(id), &bytes[..bytes.len() / 2]);
    }),
    ("record.json has a phase of a newer version", |l, id| {
        write(&l.record(id), r#"{"version":7,"phase":"flying"}"#);
    }),
    ("started.json is no JSON", |l, id| {
        running(l, id);
        write(&l.started(id), "x");
    }),
    ("exit.json is empty", |l, id| {
        running(l, id);
        write(&l.exit(id), "");
    }),
    ("name is a bad name", |l, id| {
        std::fs::remove_file(l.name_file(id)).unwrap();
        std::os::unix::fs::symlink("../../x", l.name_file(id)).unwrap();
    }),
];

/// What the monitor says matters only of what can have a process.
fn running(layout: &Layout, id: &ContainerId) {
    let record = std::fs::read_to_string(layout.record(id)).unwrap();
    write(&layout.record(id), record.replace("configured", "running"));
}

const MAX_CONFIG_SIZE: u64 = crate::document::MAX_CONFIG;

#[test]
fn one_damaged_container_affects_no_other_and_can_be_removed() {
    for (what, damage) in DAMAGES {
        let f = Fixture::new();
        let (sick, sound) = (f.create("sick"), f.create("sound"));
        damage(f.store.layout(), &sick);

        assert_eq!(f.status(&sound), Status::Created, "{what}");
        assert_eq!(f.store.resolve("sound").unwrap(), sound, "{what}");
        drop(f.store.lock(&sound, WAIT).unwrap());
        let mut ids = f.store.ids().unwrap();
        ids.sort();
        let mut both = [sick.clone(), sound.clone()];
        both.sort();
        assert_eq!(ids, both, "{what}");

        let error = f.store.snapshot(&sick).unwrap_err();
        assert!(matches!(&error, Error::Corrupt { id, .. } if *id == sick), "{what}: {error}");
        assert!(error.to_string().contains(sick.as_str()), "{what}: {error}");
        let error = f.store.lock(&sick, WAIT).unwrap_err();
        assert!(matches!(&error, Error::Corrupt { .. }), "{what}: {error}");
        assert_eq!(f.store.resolve(sick.as_str()).unwrap(), sick, "{what}");
        if what != "name is a bad name" {
            assert_eq!(f.store.resolve("sick").unwrap(), sick, "{what}");
            assert!(
                matches!(create(&f.store, "sick", false), Err(Error::NameInUse { .. })),
                "{what}"
            );
        }

        f.store.evict(&sick, WAIT).unwrap().finish().unwrap();
        assert!(f.store.snapshot(&sick).unwrap_err().is_not_found(), "{what}");
        f.create("sick");
        assert_eq!(f.status(&sound), Status::Created, "{what}");
        for id in f.store.ids().unwrap() {
            remove(&f.store, &id).unwrap();
        }
        assert_eq!(f.left(), Vec::<PathBuf>::new(), "{what}");
    }
}

#[test]
fn a_damaged_past_matters_only_to_those_who_need_it() {
    let f = Fixture::new();
    let id = f.create("web");
    let mut locked = f.store.lock(&id, WAIT).unwrap();
    locked.begin_start().unwrap();
    write(&f.store.layout().past(&id), "x");
    assert_eq!(f.status(&id), Status::Running);
    // The next write puts it right.
    locked.finish(&exit(0)).unwrap();
    assert_eq!(f.status(&id), Status::Exited);
}

#[test]
fn a_container_directory_that_is_a_file_is_evicted() {
    let f = Fixture::new();
    let (id, sound) = (ContainerId::random().unwrap(), f.create("sound"));
    write(&f.store.layout().container_dir(&id), "");
    assert!(matches!(f.store.snapshot(&id), Err(Error::Corrupt { .. })));
    assert_eq!(f.store.ids().unwrap().len(), 2);
    f.store.evict(&id, WAIT).unwrap().finish().unwrap();
    assert_eq!(f.store.ids().unwrap(), [sound]);
}

#[test]
fn an_eviction_tells_what_can_still_be_known_of_the_processes() {
    let f = Fixture::new();
    let id = f.create("web");
    let (a, b) = (ProcessId { pid: 4, start_time: 1 }, ProcessId { pid: 5, start_time: 1 });
    f.store.lock(&id, WAIT).unwrap().update(|r| (r.init, r.monitor) = (Some(a), Some(b))).unwrap();
    write(&f.store.layout().started(&id), "x");
    assert_eq!(f.store.evict(&id, WAIT).unwrap().processes(), [a, b]);
    write(&f.store.layout().record(&id), "x");
    assert_eq!(f.store.evict(&id, WAIT).unwrap().processes(), []);
}

#[test]
fn the_lock_is_released_by_a_failed_lock() {
    let f = Fixture::new();
    let id = f.create("web");
    write(&f.store.layout().record(&id), "x");
    for _ in 0..2 {
        assert!(matches!(f.store.lock(&id, Duration::from_secs(5)), Err(Error::Corrupt { .. })));
    }
}

#[test]
fn leftovers_of_an_ended_monitor_harm_nothing() {
    let f = Fixture::new();
    let id = f.create("web");
    write(&f.store.layout().exit(&id), "x");
    write(&f.store.layout().started(&id), "x");
    assert_eq!(f.status(&id), Status::Created);
    f.store.lock(&id, WAIT).unwrap().begin_init().unwrap();
    assert!(!f.store.layout().exit(&id).exists());
}
