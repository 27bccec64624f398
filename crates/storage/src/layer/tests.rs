//! Layers out of tars: what is made, and what an archive cannot do.
#![expect(clippy::disallowed_methods, reason = "test trees are made with plain std::fs")]

use std::fs;
use std::os::unix::fs::{FileTypeExt, MetadataExt};

use super::*;
use crate::archive::{Entry, Kind};
use crate::testing::*;

#[test]
fn a_layer_has_all_kinds_of_files_and_what_belongs_to_them() {
    let store = Store::new();
    let (mut setuid, data) = file("bin/su", "suid");
    (setuid.mode, setuid.uid, setuid.gid) = (0o4755, 7, 8);
    setuid.mtime = (1_000_000_000, 5);
    setuid.xattrs = vec![
        (b"user.k".to_vec(), b"v\n=".to_vec()),
        (
            b"security.capability".to_vec(),
            b"\x01\0\0\x02\0\x04\0\0\0\0\0\0\0\0\0\0\0\0\0\0".to_vec(),
        ),
    ];
    let (mut device, _) = file("null", "");
    (device.kind, device.device, device.mode, device.size) = (Kind::Character, (1, 3), 0o666, 0);
    let (mut sticky, _) = dir("./tmp/");
    (sticky.mode, sticky.mtime) = (0o1777, (5, 0));
    let mut fifo = Entry::new("pipe", Kind::Fifo);
    fifo.mode = 0o622;
    let entries = [
        (sticky, vec![]),
        dir("bin"),
        (setuid, data),
        link(Kind::HardLink, "bin/sudo", "/bin/su"),
        link(Kind::Symlink, "sh", "../../bin/su"),
        (device, vec![]),
        (fifo, vec![]),
        file("/tmp/inside", "x"),
    ];
    let lease = store.storage.lease().unwrap();
    let layer = apply(&lease, None, &entries).unwrap();
    let diff = store.storage.layer_diff(&layer.chain);
    assert_eq!(
        tree(&diff),
        expected(&[
            ("bin", "d"),
            ("bin/su", "=suid"),
            ("bin/sudo", "=suid"),
            ("null", "c"),
            ("pipe", "p"),
            ("sh", "->../../bin/su"),
            ("tmp", "d"),
            ("tmp/inside", "=x"),
        ])
    );
    let su = fs::metadata(diff.join("bin/su")).unwrap();
    assert_eq!((su.mode() & 0o7777, su.uid(), su.gid(), su.nlink()), (0o4755, 7, 8, 2));
    assert_eq!((su.mtime(), su.mtime_nsec()), (1_000_000_000, 5));
    let su = fs::File::open(diff.join("bin/su")).unwrap();
    assert_eq!(dhow_sys::xattr::get(&su, "user.k").unwrap().unwrap(), b"v\n=");
    let capability = dhow_sys::xattr::get(&su, "security.capability").unwrap().unwrap();
    assert_eq!(capability[0], 1);
    let tmp = fs::metadata(diff.join("tmp")).unwrap();
    assert_eq!((tmp.mode() & 0o7777, tmp.mtime()), (0o1777, 5), "set after its content");
    assert!(fs::metadata(diff.join("pipe")).unwrap().file_type().is_fifo());
    assert_eq!(layer.size, 5);
    assert_eq!(store.storage.layer(&layer.chain).unwrap(), layer);
    drop(lease);
    store.assert_clean();
}

/// Each of these reaches outside, or means to.
#[test]
fn an_archive_does_not_escape() {
    let outside = tempfile::tempdir_in("/var/tmp").unwrap();
    let target = outside.path().to_str().unwrap().to_owned();
    let victim = outside.path().join("victim");
    fs::write(&victim, "safe").unwrap();
    let victim_text = victim.to_str().unwrap().to_owned();
    let up = format!("{}{}", "../".repeat(30), &target[1..]);
    let deep = format!("{}{}", "../".repeat(30), &victim_text[1..]);
    let attacks: Vec<Entries> = vec![
        vec![file("../victim", "bad")],
        vec![file("a/../../victim", "bad")],
        vec![link(Kind::Symlink, "d", &target), file("d/victim", "bad")],
        vec![link(Kind::Symlink, "d", &up), file("d/victim", "bad")],
        vec![link(Kind::Symlink, "d", "/proc/self/root"), file(&format!("d{victim_text}"), "bad")],
        vec![link(Kind::Symlink, "f", &victim_text), file("f", "bad")],
        vec![link(Kind::HardLink, "f", &victim_text), file("f", "bad")],
        vec![link(Kind::HardLink, "f", &deep), file("f", "bad")],
        vec![
            link(Kind::Symlink, "s", &victim_text),
            link(Kind::HardLink, "h", "s"),
            file("h", "bad"),
        ],
        vec![
            link(Kind::Symlink, "d", &target),
            link(Kind::HardLink, "h", "d/victim"),
            file("h", "bad"),
        ],
        vec![link(Kind::Symlink, "d", &target), dir("d"), file("d/victim", "bad")],
        vec![link(Kind::Symlink, "d", &target), file("d/.wh.victim", "")],
        vec![link(Kind::Symlink, "d", &target), file("d/.wh..wh..opq", "")],
        vec![dir("d"), file("d/x", ""), link(Kind::Symlink, "d", &target), file("d/victim", "bad")],
        vec![file(".wh...", "")],
        vec![file("x/.wh..", "")],
    ];
    let base = [link(Kind::Symlink, "low", &target), dir("real")];
    for (n, entries) in attacks.iter().enumerate() {
        let store = Store::new();
        let lease = store.storage.lease().unwrap();
        let below = apply(&lease, None, &base).unwrap();
        for parent in [None, Some(&below.chain)] {
            let result = apply(&lease, parent, entries);
            assert_eq!(fs::read_to_string(&victim).unwrap(), "safe", "attack {n}: {result:?}");
            assert_eq!(fs::metadata(&victim).unwrap().nlink(), 1, "attack {n}");
            assert_eq!(fs::read_dir(outside.path()).unwrap().count(), 1, "attack {n}");
        }
    }
}

#[test]
fn a_lower_layers_link_cannot_lead_outside_either() {
    let outside = tempfile::tempdir_in("/var/tmp").unwrap();
    let store = Store::new();
    let lease = store.storage.lease().unwrap();
    let target = outside.path().to_str().unwrap();
    let below = apply(&lease, None, &[link(Kind::Symlink, "low", target)]).unwrap();
    let above = apply(&lease, Some(&below.chain), &[file("low/x", "in")]).unwrap();
    assert_eq!(fs::read_dir(outside.path()).unwrap().count(), 0);
    let inside = store.storage.layer_diff(&above.chain).join(&target[1..]).join("x");
    assert_eq!(fs::read_to_string(inside).unwrap(), "in", "the link's target, inside the root");
}

#[test]
fn what_no_honest_archive_has_is_refused_and_leaves_nothing() {
    let mut device = Entry::new("w", Kind::Character);
    device.device = (0, 0);
    let long = format!("{}/f", "n".repeat(256));
    let deep = "d/".repeat(2000) + "f";
    let cases: Vec<(&str, Entries)> = vec![
        ("..", vec![file("a/../b", "")]),
        ("has no name", vec![file("a/.wh.", "")]),
        ("below a whiteout", vec![file(".wh.a/b", "")]),
        ("overlay's mark", vec![(device, vec![])]),
        ("long name", vec![file(&long, "")]),
        ("long path", vec![file(&deep, "")]),
        ("hard link to nothing", vec![link(Kind::HardLink, "a", "b")]),
        ("hard link to a directory", vec![dir("d"), link(Kind::HardLink, "a", "d")]),
        ("hard link to the root", vec![link(Kind::HardLink, "a", "/")]),
        ("root as a file", vec![file(".", "")]),
        ("empty link", vec![link(Kind::Symlink, "a", "")]),
    ];
    let store = Store::new();
    let lease = store.storage.lease().unwrap();
    for (what, entries) in cases {
        let error = apply(&lease, None, &entries).unwrap_err();
        assert!(
            matches!(error, Error::Hostile { .. } | Error::TooLarge { .. }),
            "{what}: {error} {error:?}"
        );
    }
    assert_eq!(fs::read_dir(store.storage.layers()).unwrap().count(), 0);
    assert_eq!(fs::read_dir(lease.dir()).unwrap().count(), 1, "the list of needs");
}

#[test]
fn overlay_marks_in_an_archive_have_no_effect() {
    let (mut entry, _) = dir("d");
    entry.xattrs = vec![
        (b"trusted.overlay.opaque".to_vec(), b"y".to_vec()),
        (b"trusted.overlay.redirect".to_vec(), b"/etc".to_vec()),
        (b"user.overlay.opaque".to_vec(), b"y".to_vec()),
        (b"trusted.mine".to_vec(), b"1".to_vec()),
    ];
    let store = Store::new();
    let lease = store.storage.lease().unwrap();
    let layer = apply(&lease, None, &[(entry, vec![])]).unwrap();
    let made = fs::File::open(store.storage.layer_diff(&layer.chain).join("d")).unwrap();
    assert_eq!(dhow_sys::xattr::list(&made).unwrap(), ["trusted.mine"]);
}

#[test]
fn wrong_digests_are_refused() {
    let store = Store::new();
    let lease = store.storage.lease().unwrap();
    let (good, other) = (tar(&[file("a", "1")]), tar(&[file("a", "2")]));
    let lying = LayerSource::new(diff_id(&good), || Ok(other.as_slice()));
    let error = lease.apply(None, &lying, &Limits::default()).unwrap_err();
    assert!(matches!(error, Error::DigestMismatch { what: "layer", .. }), "{error}");
    let compressed = zstd::encode_all(good.as_slice(), 1).unwrap();
    let open = || Ok(compressed.as_slice());
    let lying = LayerSource::new(diff_id(&good), open).with_digest(Digest::of("else"));
    assert!(lease.apply(None, &lying, &Limits::default()).is_err());
    assert_eq!(fs::read_dir(store.storage.layers()).unwrap().count(), 0);
    let honest = LayerSource::new(diff_id(&good), open).with_digest(Digest::of(&compressed));
    lease.apply(None, &honest, &Limits::default()).unwrap();
    let truncated = LayerSource::new(diff_id(&other), || Ok(&other[..512]));
    let error = lease.apply(None, &truncated, &Limits::default()).unwrap_err();
    assert!(matches!(error, Error::Archive { .. }), "{error:?}");
}

#[test]
fn whiteouts_hide_what_is_below_and_nothing_else() {
    let store = Store::new();
    let lease = store.storage.lease().unwrap();
    let base = apply(
        &lease,
        None,
        &[dir("d"), file("d/a", "1"), file("d/b", "1"), dir("o"), file("o/x", "1"), file("f", "1")],
    )
    .unwrap();
    let top = apply(
        &lease,
        Some(&base.chain),
        &[
            file("d/.wh.a", ""),
            file("d/.wh.never", ""),
            file("gone/.wh.x", ""),
            file("o/new", "2"),
            file("o/.wh..wh..opq", ""),
            file(".wh.f", ""),
            file("f", "2"),
            file(".wh..wh.plnk", ""),
        ],
    )
    .unwrap();
    assert_eq!(
        tree(&store.storage.layer_diff(&top.chain)),
        expected(&[("d", "d"), ("d/a", "W"), ("f", "=2"), ("o", "O"), ("o/new", "=2")])
    );
    let again = apply(
        &lease,
        Some(&top.chain),
        &[file(".wh.d", ""), dir("d"), file("d/c", "3"), file(".wh.o", "")],
    )
    .unwrap();
    assert_eq!(
        tree(&store.storage.layer_diff(&again.chain)),
        expected(&[("d", "O"), ("d/c", "=3"), ("o", "W")])
    );
    // A whiteout in a directory that hides all already would be seen there as a device that cannot be looked at.
    for names in [["d/.wh..wh..opq", "d/.wh.a"], ["d/.wh.a", "d/.wh..wh..opq"]] {
        for listed in [true, false] {
            let mut entries: Entries = names.iter().map(|name| file(name, "")).collect();
            if listed {
                entries.insert(0, dir("d"));
            }
            let layer = apply(&lease, Some(&base.chain), &entries).unwrap();
            let found = tree(&store.storage.layer_diff(&layer.chain));
            assert_eq!(found, expected(&[("d", "O")]), "{names:?} {listed}");
        }
    }
    let all =
        apply(&lease, Some(&base.chain), &[file(".wh..wh..opq", ""), file("d/z", "4")]).unwrap();
    assert_eq!(
        tree(&store.storage.layer_diff(&all.chain)),
        expected(&[("d", "O"), ("d/z", "=4"), ("f", "W"), ("o", "W")])
    );
}

#[test]
fn parents_and_link_targets_come_from_below() {
    let store = Store::new();
    let lease = store.storage.lease().unwrap();
    let (mut tmp, _) = dir("tmp");
    (tmp.mode, tmp.uid, tmp.mtime) = (0o1777, 5, (77, 0));
    let base = apply(
        &lease,
        None,
        &[
            (tmp, vec![]),
            dir("usr"),
            dir("usr/bin"),
            file("usr/bin/tool", "tool"),
            link(Kind::Symlink, "bin", "usr/bin"),
        ],
    )
    .unwrap();
    let middle = apply(&lease, Some(&base.chain), &[dir("etc")]).unwrap();
    let top = apply(
        &lease,
        Some(&middle.chain),
        &[
            file("tmp/x", "1"),
            file("bin/new", "2"),
            link(Kind::HardLink, "bin/alias", "bin/tool"),
            file("plain/dir/y", "3"),
        ],
    )
    .unwrap();
    let diff = store.storage.layer_diff(&top.chain);
    assert_eq!(
        tree(&diff),
        expected(&[
            ("plain", "d"),
            ("plain/dir", "d"),
            ("plain/dir/y", "=3"),
            ("tmp", "d"),
            ("tmp/x", "=1"),
            ("usr", "d"),
            ("usr/bin", "d"),
            ("usr/bin/alias", "=tool"),
            ("usr/bin/new", "=2"),
            ("usr/bin/tool", "=tool"),
        ])
    );
    let tmp = fs::metadata(diff.join("tmp")).unwrap();
    assert_eq!((tmp.mode() & 0o7777, tmp.uid(), tmp.mtime()), (0o1777, 5, 77));
    let (tool, alias) = (diff.join("usr/bin/tool"), diff.join("usr/bin/alias"));
    assert_eq!(fs::metadata(tool).unwrap().ino(), fs::metadata(alias).unwrap().ino());
}

#[test]
fn sparse_files_and_zeros_take_no_room() {
    let store = Store::new();
    let lease = store.storage.lease().unwrap();
    let mut zeros = Entry::new("zeros", Kind::File);
    zeros.size = 8 << 20;
    let mut data = vec![0; 8 << 20];
    data[5 << 20] = 1;
    let layer = apply(&lease, None, &[(zeros, data.clone())]).unwrap();
    let made = store.storage.layer_diff(&layer.chain).join("zeros");
    assert!(fs::read(&made).unwrap() == data);
    let blocks = fs::metadata(&made).unwrap().blocks();
    assert!(blocks < 1024, "{blocks} blocks");
}

#[test]
fn a_whole_image_at_once_and_only_once() {
    let store = Store::new();
    let tars: Vec<Vec<u8>> = (0..12)
        .map(|n| {
            let name = format!("d/f{n}");
            let previous = format!("d/f{}", n - 1);
            let mut entries = vec![file(&name, &n.to_string())];
            if n > 0 {
                // Each needs the one below it.
                entries.push(link(Kind::HardLink, &format!("d/link{n}"), &previous));
                entries.push(file(&format!("d/.wh.link{}", n - 1), ""));
            }
            tar(&entries)
        })
        .collect();
    let sources: Vec<LayerSource<'_>> = tars.iter().map(|tar| source(tar)).collect();
    let other = Storage::open_with(store.storage.root(), store.storage.options()).unwrap();
    // Two at a time, as two processes would.
    let (first, second) = std::thread::scope(|scope| {
        let apply = |storage: &Storage| {
            storage.lease().unwrap().apply_all(&sources, &Limits::default()).unwrap()
        };
        let first = scope.spawn(move || apply(&store.storage.clone()));
        let second = apply(&other);
        (first.join().unwrap(), second)
    });
    assert_eq!(first, second);
    let chains: Vec<ChainId> = first.iter().map(|layer| layer.chain).collect();
    assert_eq!(fs::read_dir(other.layers()).unwrap().count(), 12);
    let never = LayerSource::new(*sources[0].diff_id(), || -> io::Result<&[u8]> {
        panic!("opened although it is there")
    });
    other.lease().unwrap().apply_all(&[never], &Limits::default()).unwrap();
    assert_eq!(fs::read_dir(other.tmp()).unwrap().count(), 0);
    other.confirm(&chains).unwrap();
}

#[test]
fn a_failing_layer_takes_those_above_it_along_but_not_those_below() {
    let store = Store::new();
    let (good, bad) = (tar(&[file("a", "1")]), tar(&[file("../a", "2")]));
    let sources = [source(&good), source(&bad), source(&good)];
    let error = store.storage.lease().unwrap().apply_all(&sources, &Limits::default()).unwrap_err();
    assert!(matches!(error, Error::Hostile { .. }), "the cause, not its consequence: {error}");
    assert_eq!(fs::read_dir(store.storage.layers()).unwrap().count(), 1);
    store.assert_clean();
}

#[test]
fn a_broken_layer_directory_is_replaced() {
    let store = Store::new();
    let lease = store.storage.lease().unwrap();
    let layer = apply(&lease, None, &[file("a", "1")]).unwrap();
    fs::write(store.storage.layer_path(&layer.chain).join(RECORD), "{").unwrap();
    assert!(matches!(store.storage.layer(&layer.chain).unwrap_err(), Error::Corrupt { .. }));
    apply(&lease, None, &[file("a", "1")]).unwrap();
    assert_eq!(store.storage.layer(&layer.chain).unwrap(), layer);
    let missing = ChainId::from(Digest::of("none"));
    assert!(matches!(
        apply(&lease, Some(&missing), &[]).unwrap_err(),
        Error::NotFound { what: "layer", .. }
    ));
}

#[test]
fn an_import_learns_its_diff_id() {
    let store = Store::new();
    let lease = store.storage.lease().unwrap();
    let tar = tar(&[file("a", "1")]);
    let layer = lease.apply_unnamed(None, tar.as_slice(), &Limits::default()).unwrap();
    assert_eq!(layer.diff_id, diff_id(&tar));
    let again = lease.apply_unnamed(None, tar.as_slice(), &Limits::default()).unwrap();
    assert_eq!(layer, again);
    let tar = store.storage.layer_tar(&layer.chain).unwrap();
    let copy = lease.apply_unnamed(Some(&layer.chain), tar, &Limits::default()).unwrap();
    assert_eq!(copy.diff_id, layer.diff_id);
    assert_eq!(tree(&store.storage.layer_diff(&copy.chain)), expected(&[("a", "=1")]));
}

/// What later entries replace, what follows the end, data without a place of its own: all of it comes out again.
#[test]
fn a_layer_leaves_the_store_byte_for_byte() {
    let store = Store::new();
    let lease = store.storage.lease().unwrap();
    let entries = [
        file("a", "first"),
        dir("d"),
        file("d/x", "in a directory that goes"),
        file("d/y/z", &"deep ".repeat(100_000)),
        link(Kind::HardLink, "h", "d/x"),
        file("a", "second"),
        file("a", "third"),
        file("d", "a file where the directory was"),
        dir("d"),
        file("d/x", "again"),
        link(Kind::Symlink, "h", "a"),
        file("zeros", &"\0".repeat(200_000)),
        file("empty", ""),
    ];
    let layer = apply(&lease, None, &entries).unwrap();
    let found = tree(&store.storage.layer_diff(&layer.chain));
    assert_eq!((found["a"].as_str(), found["d/x"].as_str()), ("=third", "=again"));
    for tail in [vec![0; 10_240], b"rubbish behind the end".to_vec()] {
        let tar = [tar(&entries), tail].concat();
        let layer = lease.apply(None, &source(&tar), &Limits::default()).unwrap();
        let mut again = Vec::new();
        store.storage.layer_tar(&layer.chain).unwrap().read_to_end(&mut again).unwrap();
        assert!(again == tar);
    }
}

#[test]
fn a_layer_whose_files_were_changed_does_not_leave_the_store() {
    let store = Store::new();
    let lease = store.storage.lease().unwrap();
    let layer = apply(&lease, None, &[file("a", "1234"), file("b", "5678")]).unwrap();
    let diff = store.storage.layer_diff(&layer.chain);
    let written = || {
        let mut tar = store.storage.layer_tar(&layer.chain).unwrap();
        Error::input(tar.read_to_end(&mut Vec::new()).unwrap_err()).to_string()
    };
    fs::write(diff.join("a"), "12x4").unwrap();
    assert!(written().contains("not what they were"), "{}", written());
    fs::write(diff.join("a"), "12").unwrap();
    assert!(written().contains("shorter"), "{}", written());
    fs::remove_file(diff.join("a")).unwrap();
    assert!(written().contains("no content of a"), "{}", written());
    // A link that somebody has put there leads nowhere outside.
    std::os::unix::fs::symlink("/etc/passwd", diff.join("a")).unwrap();
    assert!(written().contains("no content of a"), "{}", written());
    fs::remove_file(store.storage.layer_path(&layer.chain).join("recipe")).unwrap();
    let error = store.storage.layer_tar(&layer.chain).unwrap_err();
    assert!(matches!(error, Error::NoRecipe { .. }), "{error}");
}

/// A full disk is one error that names the entry, and leaves the store as it was.
#[test]
fn a_full_disk() {
    let temp = tempfile::tempdir_in("/var/tmp").unwrap();
    let mount = Tmpfs(temp.path().join("small"));
    fs::create_dir(&mount.0).unwrap();
    let size = dhow_sys::mount::Tmpfs { size: Some(1 << 20), mode: 0o700, ..Default::default() };
    dhow_sys::mount::mount_tmpfs(&size, &mount.0).unwrap();
    let options = crate::StorageOptions { durable: false, ..Default::default() };
    let storage = Storage::open_with(&mount.0.join("root"), options).unwrap();
    let lease = storage.lease().unwrap();
    let big = tar(&[file("small", "x"), file("big", &"y".repeat(2 << 20))]);
    let error = lease.apply(None, &source(&big), &Limits::default()).unwrap_err();
    let Error::Io { path, source: cause, .. } = &error else { panic!("{error:?}") };
    assert_eq!((path.as_path(), cause.kind()), (Path::new("big"), io::ErrorKind::StorageFull));
    let error = lease.ingest(big.as_slice(), None, u64::MAX).unwrap_err();
    let Error::Io { source: cause, .. } = &error else { panic!("{error:?}") };
    assert_eq!(cause.kind(), io::ErrorKind::StorageFull);
    assert!(lease.spool(big.as_slice(), u64::MAX).is_err());
    apply(&lease, None, &[file("small", "x")]).expect("there is room again");
    drop(lease);
    assert_eq!(fs::read_dir(storage.layers()).unwrap().count(), 1);
    assert_eq!(fs::read_dir(storage.tmp()).unwrap().count(), 0);
}

/// Unmounted even if the test fails.
struct Tmpfs(PathBuf);

impl Drop for Tmpfs {
    fn drop(&mut self) {
        if let Err(e) = dhow_sys::mount::unmount(&self.0, true) {
            eprintln!("{}: {e}", self.0.display());
        }
    }
}

/// The marks of an unprivileged user, on a mount that reads those.
#[test]
fn marks_in_user_attributes() {
    let temp = tempfile::tempdir_in("/var/tmp").unwrap();
    let options = crate::StorageOptions { userxattr: true, durable: false };
    let storage = Storage::open_with(&temp.path().join("root"), options).unwrap();
    let lease = storage.lease().unwrap();
    let base = apply(&lease, None, &[dir("d"), file("d/a", "1"), file("e/b", "1")]).unwrap();
    let top = apply(
        &lease,
        Some(&base.chain),
        &[dir("d"), file("d/.wh..wh..opq", ""), file("e/.wh.b", "")],
    )
    .unwrap();
    let marked = fs::File::open(storage.layer_diff(&top.chain).join("d")).unwrap();
    assert_eq!(dhow_sys::xattr::list(&marked).unwrap(), ["user.overlay.opaque"]);
    let layers = crate::Base::Layers(vec![base.chain, top.chain]);
    let root = Mounted(crate::RootFs::new(&storage, temp.path().join("fs"), layers));
    let merged = root.mount(&crate::MountOptions::default()).unwrap();
    let found = tree(&merged);
    fs::remove_dir(merged.join("e")).unwrap();
    let changes = root.changes().unwrap();
    assert_eq!(found, expected(&[("d", "d"), ("e", "d")]));
    assert_eq!(changes.len(), 1, "{changes:?}");
}

mod model;
