//! Real overlay mounts of real layers; each test removes what it mounts.
#![expect(clippy::disallowed_methods, reason = "test trees are made with plain std::fs")]

use std::fs;
use std::os::unix::fs::{MetadataExt, symlink};

use super::*;
use crate::testing::*;
use crate::{ChangeKind, Limits};

fn image(store: &Store) -> Base {
    let lease = store.storage.lease().unwrap();
    let (mut root, _) = dir("./");
    (root.mode, root.uid) = (0o750, 3);
    let base = apply(
        &lease,
        None,
        &[
            (root, vec![]),
            dir("etc"),
            file("etc/a", "1"),
            file("etc/b", "1"),
            dir("old"),
            file("old/x", "1"),
        ],
    )
    .unwrap();
    let top = apply(&lease, Some(&base.chain), &[file("etc/c", "2")]).unwrap();
    Base::Layers(vec![base.chain, top.chain])
}

fn fs_of<'a>(store: &'a Store, base: Base) -> Mounted<'a> {
    Mounted(RootFs::new(&store.storage, store.path("ctr/fs"), base))
}

#[test]
fn mounted_once_unmounted_once() {
    let store = Store::new();
    let fs = fs_of(&store, image(&store));
    assert_eq!(fs.mounted().unwrap(), None);
    assert!(!fs.unmount().unwrap());
    let merged = fs.mount(&MountOptions::default()).unwrap();
    assert_eq!(fs.mount(&MountOptions::default()).unwrap(), merged);
    assert_eq!(fs.mounted().unwrap().unwrap(), merged);
    assert_eq!(fs::read_to_string(merged.join("etc/c")).unwrap(), "2");
    let root = fs::metadata(&merged).unwrap();
    assert_eq!((root.mode() & 0o7777, root.uid()), (0o750, 3), "the image's root, not ours");
    fs::write(merged.join("new"), "kept").unwrap();
    assert!(fs.unmount().unwrap());
    assert!(!fs.unmount().unwrap());
    fs.mount(&MountOptions::default()).unwrap();
    assert_eq!(fs::read_to_string(merged.join("new")).unwrap(), "kept");
    assert_eq!(fs.size().unwrap(), 4);
    fs.remove().unwrap();
    fs.remove().unwrap();
    assert!(!store.path("ctr/fs").exists());
}

#[test]
fn a_hundred_and_thirty_layers() {
    let store = Store::new();
    let lease = store.storage.lease().unwrap();
    let tars: Vec<Vec<u8>> =
        (0..130).map(|n| tar(&[file(&format!("f{n}"), ""), file("top", &n.to_string())])).collect();
    let sources: Vec<crate::LayerSource<'_>> = tars.iter().map(|tar| source(tar)).collect();
    let layers = lease.apply_all(&sources, &Limits::default()).unwrap();
    let fs = fs_of(&store, Base::Layers(layers.iter().map(|layer| layer.chain).collect()));
    let merged = fs.mount(&MountOptions::default()).unwrap();
    assert_eq!(fs::read_to_string(merged.join("top")).unwrap(), "129");
    assert!((0..130).all(|n| merged.join(format!("f{n}")).exists()));
    fs::remove_file(merged.join("f7")).unwrap();
    let changes = fs.changes().unwrap();
    assert_eq!(changes, [Change { path: "/f7".into(), kind: ChangeKind::Deleted }]);
}

#[test]
fn read_only_and_volatile() {
    let store = Store::new();
    let fs = fs_of(&store, image(&store));
    let volatile = MountOptions { volatile: true, ..MountOptions::default() };
    let merged = fs.mount(&volatile).unwrap();
    fs::write(merged.join("new"), "x").unwrap();
    fs.unmount().unwrap();
    fs.mount(&volatile).expect("again after a volatile mount");
    fs.unmount().unwrap();
    fs.mount(&MountOptions::default()).expect("the user's own mount of the same");
    fs.unmount().unwrap();
    fs.mount(&MountOptions { read_only: true, ..MountOptions::default() }).unwrap();
    assert_eq!(fs::read_to_string(merged.join("new")).unwrap(), "x");
    assert_eq!(
        fs::write(merged.join("new"), "y").unwrap_err().kind(),
        io::ErrorKind::ReadOnlyFilesystem
    );
}

#[test]
fn directories_as_a_base() {
    let store = Store::new();
    let rootfs = store.path("rootfs");
    fs::create_dir_all(rootfs.join("etc")).unwrap();
    fs::write(rootfs.join("etc/a"), "host").unwrap();
    let plain = fs_of(&store, Base::Directory(rootfs.clone()));
    assert_eq!(plain.mount(&MountOptions::default()).unwrap(), rootfs);
    assert!(!plain.unmount().unwrap());
    assert!(matches!(plain.changes().unwrap_err(), Error::Invalid { .. }));
    plain.remove().unwrap();
    assert!(rootfs.join("etc/a").exists(), "it is not ours to remove");
    let overlay = fs_of(&store, Base::Overlay(rootfs.clone()));
    let merged = overlay.mount(&MountOptions::default()).unwrap();
    fs::write(merged.join("etc/a"), "ctr").unwrap();
    assert_eq!(fs::read_to_string(rootfs.join("etc/a")).unwrap(), "host");
    let changes: Vec<String> = overlay
        .changes()
        .unwrap()
        .iter()
        .map(|change| format!("{} {}", change.kind, change.path.display()))
        .collect();
    assert_eq!(changes, ["C /etc", "C /etc/a"]);
    overlay.remove().unwrap();
    let whole = fs_of(&store, Base::Overlay("/".into()));
    let merged = whole.mount(&MountOptions::default()).unwrap();
    assert!(merged.join("etc").is_dir(), "the machine's own root, with this store inside it");
}

#[test]
fn an_image_without_layers_is_an_empty_root() {
    let store = Store::new();
    let fs = fs_of(&store, Base::Layers(Vec::new()));
    let merged = fs.mount(&MountOptions::default()).unwrap();
    assert_eq!(fs::read_dir(&merged).unwrap().count(), 0);
    fs::write(merged.join("x"), "").unwrap();
    let missing = Base::Layers(vec![crate::Digest::of("none").into()]);
    let missing = RootFs::new(&store.storage, store.path("other"), missing);
    assert!(matches!(missing.prepare().unwrap_err(), Error::NotFound { what: "layer", .. }));
}

#[test]
fn the_users_mounts_are_counted_while_they_exist() {
    let store = Store::new();
    let fs = fs_of(&store, image(&store));
    assert_eq!((fs.holds().unwrap(), fs.release().unwrap()), (0, 0));
    fs.mount(&MountOptions::default()).unwrap();
    assert_eq!((fs.hold().unwrap(), fs.hold().unwrap()), (1, 2));
    assert_eq!((fs.release().unwrap(), fs.holds().unwrap()), (1, 1));
    // Somebody unmounts it by hand: nobody wants it any more.
    dhow_sys::mount::unmount(&fs.merged(), true).unwrap();
    assert_eq!(fs.holds().unwrap(), 0);
    fs.mount(&MountOptions::default()).unwrap();
    fs.hold().unwrap();
    let record = r#"{"boot_id":"00000000-0000-0000-0000-000000000000","count":3}"#;
    fs::write(fs.holds_path(), record).unwrap();
    assert_eq!(fs.holds().unwrap(), 0, "of an earlier boot");
    fs::write(fs.holds_path(), "{").unwrap();
    assert_eq!(fs.holds().unwrap(), 0);
}

/// What the user sees as changes, and the same as a layer: applied to the image it gives the container's tree.
#[test]
fn changes_and_their_layer() {
    let store = Store::new();
    let base = image(&store);
    let fs = fs_of(&store, base.clone());
    let merged = fs.mount(&MountOptions::default()).unwrap();
    fs::remove_file(merged.join("etc/a")).unwrap();
    fs::write(merged.join("etc/b"), "changed").unwrap();
    fs::remove_dir_all(merged.join("old")).unwrap();
    fs::create_dir(merged.join("old")).unwrap();
    fs::write(merged.join("old/y"), "new").unwrap();
    fs::create_dir(merged.join("dir")).unwrap();
    fs::write(merged.join("dir/f"), "f").unwrap();
    fs::hard_link(merged.join("dir/f"), merged.join("dir/g")).unwrap();
    symlink("f", merged.join("dir/s")).unwrap();
    let mut unused = fs::File::create(merged.join("etc/never")).unwrap();
    io::Write::write_all(&mut unused, b"x").unwrap();
    fs::remove_file(merged.join("etc/never")).unwrap();
    let shown: Vec<String> = fs
        .changes()
        .unwrap()
        .iter()
        .map(|change| format!("{} {}", change.kind, change.path.display()))
        .collect();
    assert_eq!(
        shown,
        [
            "A /dir", "A /dir/f", "A /dir/g", "A /dir/s", "C /etc", "D /etc/a", "C /etc/b",
            "C /old", "D /old/x", "A /old/y"
        ]
    );
    let mut layer = Vec::new();
    fs.diff(&mut layer).unwrap();
    let Base::Layers(mut layers) = base else { panic!() };
    let lease = store.storage.lease().unwrap();
    let made = lease.apply_unnamed(layers.last(), layer.as_slice(), &Limits::default()).unwrap();
    layers.push(made.chain);
    assert_eq!(store.storage.layer_changes(&layers).unwrap(), fs.changes().unwrap());
    let copy = Mounted(RootFs::new(&store.storage, store.path("copy"), Base::Layers(layers)));
    let copied = copy.mount(&MountOptions::default()).unwrap();
    let wanted = tree(&merged);
    assert_eq!(tree(&copied), wanted);
    assert_eq!(wanted.get("old"), Some(&"d".to_owned()));
    assert_eq!(fs::metadata(copied.join("dir/g")).unwrap().nlink(), 2);
}

#[test]
fn an_export_is_the_whole_tree_and_nothing_else() {
    let store = Store::new();
    let fs = fs_of(&store, image(&store));
    let merged = fs.mount(&MountOptions::default()).unwrap();
    symlink("/etc/passwd", merged.join("link")).unwrap();
    fs::create_dir(merged.join("proc")).unwrap();
    let proc = merged.join("proc");
    let tmpfs = dhow_sys::mount::Tmpfs { mode: 0o755, ..Default::default() };
    dhow_sys::mount::mount_tmpfs(&tmpfs, &proc).unwrap();
    fs::write(proc.join("secret"), "mounted").unwrap();
    let mut archive = Vec::new();
    let exported = export::export(&merged, &mut archive);
    dhow_sys::mount::unmount(&proc, true).unwrap();
    exported.unwrap();
    let lease = store.storage.lease().unwrap();
    let layer = lease.apply_unnamed(None, archive.as_slice(), &Limits::default()).unwrap();
    assert_eq!(
        tree(&store.storage.layer_diff(&layer.chain)),
        expected(&[
            ("etc", "d"),
            ("etc/a", "=1"),
            ("etc/b", "=1"),
            ("etc/c", "=2"),
            ("link", "->/etc/passwd"),
            ("old", "d"),
            ("old/x", "=1"),
            ("proc", "d"),
        ])
    );
}

#[test]
fn a_volume_is_filled_with_all_that_the_image_has_there() {
    let store = Store::new();
    let fs = fs_of(&store, image(&store));
    let merged = fs.mount(&MountOptions::default()).unwrap();
    symlink("/etc", merged.join("config")).unwrap();
    fs::hard_link(merged.join("etc/a"), merged.join("etc/a2")).unwrap();
    symlink("../../../../etc/shadow", merged.join("etc/s")).unwrap();
    let sparse = fs::File::create(merged.join("etc/sparse")).unwrap();
    sparse.set_len(1 << 26).unwrap();
    let root = dhow_sys::root::Root::open(&merged).unwrap();
    let volume = store.path("volume");
    fs::create_dir(&volume).unwrap();
    crate::copy_tree(&root, Path::new("/config"), &volume).unwrap();
    let found = tree(&volume.join("."));
    let names: Vec<&str> = found.keys().map(String::as_str).collect();
    assert_eq!(names, ["a", "a2", "b", "c", "s", "sparse"]);
    assert_eq!(found.get("s").unwrap(), "->../../../../etc/shadow");
    assert_eq!(fs::metadata(volume.join("a")).unwrap().nlink(), 2);
    let sparse = fs::metadata(volume.join("sparse")).unwrap();
    assert!((sparse.len(), sparse.blocks()) == (1 << 26, 0), "{}", sparse.blocks());
    let (from, to) = (fs::metadata(merged.join("etc")).unwrap(), fs::metadata(&volume).unwrap());
    assert_eq!((from.mode(), from.mtime()), (to.mode(), to.mtime()));
    crate::copy_tree(&root, Path::new("/no/such"), &volume).unwrap();
    crate::copy_tree(&root, Path::new("/etc/a"), &volume).unwrap();
}
