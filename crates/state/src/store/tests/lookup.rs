//! Names, ids, prefixes; and that nobody looks at other containers.

use super::*;
use crate::name::ContainerName;

/// A container with a chosen id.
fn create_id(f: &Fixture, id: &str, name: &str) -> ContainerId {
    let id: ContainerId = id.parse().unwrap();
    drop(
        f.store
            .reserve(&id, Some(&name.parse().unwrap()))
            .unwrap()
            .commit(payload(), true)
            .unwrap(),
    );
    id
}

#[test]
fn names_ids_and_unique_prefixes_find() {
    let f = Fixture::new();
    let a = create_id(&f, &format!("ab1{}", "0".repeat(61)), "one");
    let b = create_id(&f, &format!("ab2{}", "0".repeat(61)), "two");
    // Named like a prefix of the others' ids: the exact name wins.
    let c = create_id(&f, &format!("ff{}", "0".repeat(62)), "ab");
    let d = create_id(&f, &format!("fe{}", "0".repeat(62)), "ab1");
    for (text, id) in [
        ("one", &a),
        ("two", &b),
        ("ab", &c),
        ("ab1", &d),
        ("ab10", &a),
        ("ab2", &b),
        (a.as_str(), &a),
        (b.short(), &b),
        ("ff", &c),
    ] {
        assert_eq!(&f.store.resolve(text).unwrap(), id, "{text}");
    }
    let error = f.store.resolve("f").unwrap_err();
    assert!(
        matches!(&error, Error::Ambiguous { candidates, .. } if *candidates == [d.clone(), c.clone()]),
        "{error}"
    );
}

#[test]
fn nothing_else_finds_anything() {
    let f = Fixture::new();
    create_id(&f, &format!("ab1{}", "0".repeat(61)), "one");
    for text in [
        "",
        "%",
        "_",
        "on_",
        "on%",
        "o",
        "ONE",
        "AB1",
        "one ",
        "/one",
        "../one",
        "./one",
        ".",
        "..",
        "one/",
        "on\0e",
        "ab1*",
        "ab%",
        "ac",
        &"0".repeat(64),
        &"a".repeat(5000),
        "one\n",
        "\u{0}",
        "root/containers",
    ] {
        assert!(f.store.resolve(text).unwrap_err().is_not_found(), "{text:?}");
    }
}

#[test]
fn what_is_not_a_container_in_the_directories_is_left_alone() {
    let f = Fixture::new();
    let id = f.create("one");
    create_dir_all(&f.store.layout().containers().join("lost+found"), 0o700).unwrap();
    write(&f.store.layout().containers().join("note"), "x");
    assert_eq!(f.store.ids().unwrap(), [id]);
    write(&f.store.layout().names_dir().join("plain-file"), "x");
    assert!(f.store.resolve("plain-file").unwrap_err().is_not_found());
    let error = create(&f.store, "plain-file", false).unwrap_err();
    assert!(matches!(error, Error::NameInUse { by: None, .. }), "{error}");
}

#[test]
fn a_link_to_nothing_is_replaced() {
    let f = Fixture::new();
    for (n, target) in ["garbage", "../../etc", &"0".repeat(64)].into_iter().enumerate() {
        let name = format!("name{n}");
        std::os::unix::fs::symlink(target, f.store.layout().names_dir().join(&name)).unwrap();
        assert!(f.store.resolve(&name).unwrap_err().is_not_found());
        let id = f.create(&name);
        assert_eq!(f.store.resolve(&name).unwrap(), id);
    }
}

/// Takes part in the test below, in a process of its own under strace.
#[test]
fn lookup_worker() {
    let Some(dir) = super::crash::worker_directory("lookup") else { return };
    let store = open(&dir);
    let wanted = std::fs::read_to_string(dir.join("wanted")).unwrap();
    let id = store.resolve(&wanted).unwrap();
    drop(store.lock(&id, WAIT).unwrap());
    assert_eq!(store.snapshot(&id).unwrap().status(), Status::Created);
}

#[test]
fn a_name_or_a_full_id_is_found_without_looking_at_others() {
    let few = Fixture::new();
    let many = Fixture::new();
    for n in 0..400 {
        many.create_with(&format!("other-{n}"), true);
    }
    let calls = |f: &Fixture, wanted: &str| {
        write(&f.dir.path().join("wanted"), wanted);
        let trace = super::crash::trace_worker("lookup", f.dir.path());
        let root = f.dir.path().to_str().unwrap().to_owned();
        // Every system call that names a path of the store, and every listing of a directory.
        trace
            .lines()
            .filter(|l| (l.contains(&root) && !l.contains("wanted")) || l.contains("getdents"))
            .count()
    };
    let few_id = few.create("web");
    let many_id = many.create("web");
    let by_name = calls(&few, "web");
    assert!((5..60).contains(&by_name), "{by_name}");
    assert_eq!(calls(&many, "web"), by_name);
    let by_id = calls(&few, few_id.as_str());
    assert_eq!(calls(&many, many_id.as_str()), by_id);
    // A prefix has to list them: the measure measures something.
    assert!(calls(&many, many_id.short()) > calls(&few, few_id.short()));
}

#[test]
fn a_name_cannot_look_like_an_id() {
    let id = ContainerId::random().unwrap();
    assert!(id.as_str().parse::<ContainerName>().is_err());
    assert!(id.short().parse::<ContainerName>().is_ok());
}
