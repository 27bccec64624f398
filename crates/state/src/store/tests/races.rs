//! Several threads, and several processes, at the same names and containers.

use super::*;

#[test]
fn a_name_has_one_owner_whoever_asks_for_it() {
    let f = Fixture::new();
    for round in 0..10 {
        let name = format!("wanted-{round}");
        let won = std::thread::scope(|s| {
            let threads: Vec<_> =
                (0..6).map(|_| s.spawn(|| create(&f.store, &name, true))).collect();
            threads.into_iter().map(|t| t.join().unwrap()).collect::<Vec<_>>()
        });
        let winners: Vec<_> = won.iter().filter_map(|r| r.as_ref().ok()).collect();
        assert_eq!(winners.len(), 1, "{won:?}");
        assert!(
            won.iter()
                .filter_map(|r| r.as_ref().err())
                .all(|e| matches!(e, Error::NameInUse { .. })),
            "{won:?}"
        );
        assert_eq!(&f.store.resolve(&name).unwrap(), winners[0]);
    }
    assert_eq!(f.store.ids().unwrap().len(), 10);
}

#[test]
fn a_stale_name_has_one_new_owner() {
    let f = Fixture::new();
    for round in 0..10 {
        let name = format!("stale-{round}");
        std::os::unix::fs::symlink("f".repeat(64), f.store.layout().names_dir().join(&name))
            .unwrap();
        let won = std::thread::scope(|s| {
            let threads: Vec<_> =
                (0..6).map(|_| s.spawn(|| create(&f.store, &name, true).is_ok())).collect();
            threads
                .into_iter()
                .filter(|_| true)
                .map(|t| usize::from(t.join().unwrap()))
                .sum::<usize>()
        });
        assert_eq!(won, 1);
        f.store.resolve(&name).unwrap();
    }
}

#[test]
fn renames_to_one_name_have_one_winner() {
    let f = Fixture::new();
    let ids: Vec<_> = (0..6).map(|n| f.create_with(&format!("c{n}"), true)).collect();
    let won: usize = std::thread::scope(|s| {
        let threads: Vec<_> = ids
            .iter()
            .map(|id| {
                let store = &f.store;
                s.spawn(move || {
                    store.lock(id, WAIT).unwrap().rename(&"best".parse().unwrap()).is_ok()
                })
            })
            .collect();
        threads.into_iter().map(|t| usize::from(t.join().unwrap())).sum()
    });
    assert_eq!(won, 1);
    let best = f.store.resolve("best").unwrap();
    assert_eq!(f.store.snapshot(&best).unwrap().name.as_str(), "best");
    for (n, id) in ids.iter().enumerate() {
        assert_eq!(f.store.resolve(&format!("c{n}")).is_ok(), *id != best);
    }
}

/// Makes, finds, locks, renames, removes and lists, for a while, with the few names all others use too.
fn dance(store: &Store, steps: usize, seed: usize) {
    let tolerated = |result: Result<()>| match result {
        Ok(()) | Err(Error::NotFound { .. } | Error::NameInUse { .. }) => {}
        Err(e) => panic!("{e}: {:?}", std::error::Error::source(&e)),
    };
    for step in 0..steps {
        let choice = (seed * 31 + step * 17) % 11;
        let name = format!("n{}", (seed + step) % 3);
        let found = store.resolve(&name);
        tolerated(match choice {
            0..4 => create(store, &name, true).map(drop),
            4..6 => found.and_then(|id| remove(store, &id)),
            6 => found.and_then(|id| store.lock(&id, WAIT).map(drop)),
            7 => found.and_then(|id| store.snapshot(&id).map(|s| assert_eq!(s.id(), &id))),
            8 => found.and_then(|id| {
                let mut locked = store.lock(&id, WAIT)?;
                locked.rename(&format!("n{}", step % 3).parse().unwrap())
            }),
            9 => store.ids().map(|ids| ids.iter().for_each(|id| drop(store.snapshot(id)))),
            _ => ContainerId::random().and_then(|id| store.reserve(&id, None)).map(drop),
        });
    }
}

fn check_and_clear(f: &Fixture) {
    for id in f.store.ids().unwrap() {
        let snapshot = f.store.snapshot(&id).unwrap();
        assert_eq!(f.store.resolve_name(&snapshot.name).unwrap(), id);
        remove(&f.store, &id).unwrap();
    }
    assert_eq!(f.left(), Vec::<PathBuf>::new());
}

#[test]
fn threads_dance() {
    let f = Fixture::new();
    std::thread::scope(|s| {
        for seed in 0..5 {
            let store = &f.store;
            s.spawn(move || dance(store, 150, seed));
        }
    });
    check_and_clear(&f);
}

/// Takes part in the test below, in a process of its own.
#[test]
fn dance_worker() {
    let Some(dir) = super::crash::worker_directory("dance") else { return };
    dance(&open(&dir), 150, usize::try_from(std::process::id()).unwrap());
}

#[test]
fn processes_dance_and_one_of_them_is_killed() {
    let f = Fixture::new();
    let start = || {
        super::crash::worker("dance", f.dir.path())
            .stdout(dhow_sys::process::Stdio::Inherit)
            .spawn()
            .unwrap()
    };
    let children: Vec<_> = (0..4).map(|_| start()).collect();
    let victim = start();
    let victim = victim.wait_timeout(Duration::from_millis(60)).unwrap().err();
    if let Some(victim) = victim {
        victim.signal(9).unwrap();
        victim.wait().unwrap();
    }
    for child in children {
        assert!(child.wait().unwrap().success());
    }
    // What the victim left has been, or is now, taken away by those who met it.
    f.store.ids().unwrap();
    check_and_clear(&f);
}
