//! What goes, what stays, and what is left after a process died.
#![expect(clippy::disallowed_methods, reason = "test trees are made with plain std::fs")]

use std::fs;

use super::*;
use crate::testing::*;
use crate::{Image, Layer, Limits, NewImage, StorageOptions};

const NOBODY: InUse<'static> = &|| Some(Vec::new());

fn add(lease: &Lease<'_>, config: &str, layers: &[Layer], names: &[&str]) -> Image {
    let new = NewImage {
        config: config.into(),
        manifest: Some(format!("manifest of {config}").into()),
        layers: layers.to_vec(),
        names: names.iter().map(|name| (*name).to_owned()).collect(),
        created: None,
    };
    lease.add_image(&new).unwrap()
}

/// Two images that share their lowest layer.
fn two_images(store: &Store) -> (Image, Image, Vec<Layer>) {
    let lease = store.storage.lease().unwrap();
    let shared = apply(&lease, None, &[file("a", "1")]).unwrap();
    let one = apply(&lease, Some(&shared.chain), &[file("b", "1")]).unwrap();
    let two = apply(&lease, Some(&shared.chain), &[file("b", "2")]).unwrap();
    let layers = vec![shared.clone(), one.clone(), two.clone()];
    let first = add(&lease, r#"{"n":1}"#, &[shared.clone(), one], &["localhost/one:latest"]);
    let second = add(&lease, r#"{"n":2}"#, &[shared, two], &["localhost/two:latest", "x/y:1"]);
    (first, second, layers)
}

#[test]
fn an_image_goes_with_what_only_it_had() {
    let store = Store::new();
    let storage = &store.storage;
    let (first, second, layers) = two_images(&store);
    let removed = storage.remove_image(&second.id, NOBODY).unwrap();
    assert_eq!(removed.untagged, ["localhost/two:latest", "x/y:1"]);
    assert_eq!(removed.collected.layers, [layers[2].chain]);
    assert_eq!(removed.collected.blobs.len(), 2, "configuration and manifest");
    assert!(storage.has_layer(&layers[0].chain) && !storage.has_layer(&layers[2].chain));
    assert!(storage.resolve_image("x/y:1").is_err());
    assert!(matches!(
        storage.remove_image(&second.id, NOBODY).unwrap_err(),
        Error::NotFound { what: "image", .. }
    ));
    storage.remove_image(&first.id, NOBODY).unwrap();
    for dir in [storage.layers(), storage.blobs(), storage.names_dir()] {
        assert_eq!(fs::read_dir(&dir).unwrap().count(), 0, "{}", dir.display());
    }
    store.assert_clean();
}

#[test]
fn what_containers_and_running_loads_use_stays() {
    let store = Store::new();
    let storage = &store.storage;
    let (first, _, layers) = two_images(&store);
    let used = layers[1].chain;
    storage.remove_image(&first.id, &|| Some(vec![used])).unwrap();
    assert!(storage.has_layer(&used));
    storage.confirm(&[used]).unwrap();
    let lease = storage.lease().unwrap();
    let loading = apply(&lease, None, &[file("new", "")]).unwrap();
    let blob = lease.ingest_bytes(b"new").unwrap();
    let collected = storage.collect(&|| None).unwrap();
    assert_eq!(collected, Collected::default(), "a container is unreadable: nothing may go");
    let collected = storage.collect(NOBODY).unwrap();
    assert_eq!((collected.layers, collected.blobs.len()), (vec![used], 0));
    assert!(storage.has_layer(&loading.chain) && storage.has_blob(&blob.digest));
    assert!(matches!(storage.confirm(&[used]).unwrap_err(), Error::NotFound { .. }));
    drop(lease);
    let collected = storage.collect(NOBODY).unwrap();
    assert_eq!((collected.layers, collected.blobs), (vec![loading.chain], vec![blob.digest]));
}

#[test]
fn a_corrupt_image_keeps_everything_until_it_is_removed() {
    let store = Store::new();
    let storage = &store.storage;
    let (first, second, _) = two_images(&store);
    fs::write(storage.image_path(&first.id).join(crate::image::RECORD), "{").unwrap();
    assert!(matches!(storage.image(&first.id).unwrap_err(), Error::Corrupt { .. }));
    let list = storage.images().unwrap();
    assert_eq!((list.images.len(), list.corrupt.len()), (1, 1));
    assert_eq!(storage.resolve_image("x/y:1").unwrap().id, second.id);
    let removed = storage.remove_image(&second.id, NOBODY).unwrap();
    assert_eq!(removed.collected.layers, []);
    let removed = storage.remove_image(&first.id, NOBODY).unwrap();
    assert_eq!(removed.collected.layers.len(), 3);
    assert_eq!(fs::read_dir(storage.layers()).unwrap().count(), 0);
}

/// What a process leaves that is killed at any point: half a layer, half a blob, names and locks.
#[test]
fn the_dead_leave_nothing_for_long() {
    let store = Store::new();
    let storage = &store.storage;
    two_images(&store);
    let orphan = apply(&storage.lease().unwrap(), None, &[file("orphan", "")]).unwrap();
    let tmp = storage.tmp();
    for name in ["17-0-abc", "18-0-def"] {
        fs::create_dir_all(tmp.join(name).join("layer0/diff/d")).unwrap();
        fs::write(tmp.join(name).join(NEEDS), format!("layer {}\nblob sha2", orphan.chain))
            .unwrap();
    }
    fs::write(tmp.join("17-0-abc.lock"), "17").unwrap();
    fs::write(tmp.join("layer-0123.lock"), "17").unwrap();
    let names = storage.names_dir();
    std::os::unix::fs::symlink("../nothing", names.join(".tmp-17-x")).unwrap();
    std::os::unix::fs::symlink(format!("../{}", "0".repeat(64)), names.join("gone")).unwrap();
    assert!(storage.resolve_image("gone").is_err());
    let alive = storage.lease().unwrap();
    let collected = storage.collect(NOBODY).unwrap();
    assert_eq!((collected.dead, collected.layers), (3, vec![orphan.chain]));
    assert!(alive.dir().is_dir());
    drop(alive);
    store.assert_clean();
    assert_eq!(fs::read_dir(&names).unwrap().count(), 3);
    assert_eq!(storage.images().unwrap().images.len(), 2);
}

/// Loads and removals of the same image at the same time: either it is there whole, or not at all.
#[test]
fn loads_and_removals_race() {
    let store = Store::new();
    let root = store.storage.root().to_path_buf();
    let options = StorageOptions { durable: false, ..StorageOptions::default() };
    let tars = [tar(&[file("a", "1")]), tar(&[file("b", "2")])];
    let load = || {
        let storage = crate::Storage::open_with(&root, options).unwrap();
        for _ in 0..30 {
            let lease = storage.lease().unwrap();
            let sources: Vec<_> = tars.iter().map(|tar| source(tar)).collect();
            let layers = lease.apply_all(&sources, &Limits::default()).unwrap();
            let image = add(&lease, r#"{"race":1}"#, &layers, &["race"]);
            drop(lease);
            // Whoever sees the image sees all of it, or it has been removed meanwhile.
            if let Ok(image) = storage.image(&image.id)
                && storage.confirm(&image.layers).is_err()
            {
                assert!(storage.image(&image.id).is_err());
            }
        }
    };
    let remove = || {
        let storage = crate::Storage::open_with(&root, options).unwrap();
        let id = crate::ImageId::from(Digest::of(r#"{"race":1}"#));
        for _ in 0..60 {
            match storage.remove_image(&id, NOBODY) {
                Ok(_) | Err(Error::NotFound { .. }) => {}
                Err(e) => panic!("{e}: {e:?}"),
            }
        }
    };
    std::thread::scope(|scope| {
        scope.spawn(load);
        scope.spawn(load);
        scope.spawn(remove);
    });
    store.storage.collect(NOBODY).unwrap();
    store.assert_clean();
    for (image, names) in store.storage.images().unwrap().images {
        store.storage.confirm(&image.layers).unwrap();
        assert_eq!(names, ["race"]);
    }
}
