//! Saving: what comes out is what came in, and loads again.

use super::*;
use crate::archive::Input;
use crate::fixture::*;

fn saved(place: &Place, name: &str) -> Saved {
    let image = place.storage.resolve_image(name).unwrap();
    Saved { image, names: vec![name.parse().unwrap()] }
}

fn to_bytes(place: &Place, images: &[Saved], format: SaveFormat) -> Vec<u8> {
    let mut bytes = Vec::new();
    let output = Output::Stream(Box::new(&mut bytes));
    save(&place.storage, images, format, None, output, &Progress::default()).unwrap();
    bytes
}

/// A store with an image of three layers, the middle one twice.
fn filled() -> Place {
    let place = Place::new();
    let twice = || gzipped(layer(&[("b", "2"), ("b", "again")]));
    let layers = [plain(layer(&[("a", "1")])), twice(), twice()];
    place.load_bytes(tar_of(&oci("localhost/tool:1", &layers))).unwrap();
    place
}

#[test]
fn every_format_gives_the_same_image_again() {
    let place = filled();
    let id = place.storage.resolve_image("localhost/tool:1").unwrap().id;
    for format in [SaveFormat::DockerArchive, SaveFormat::OciArchive] {
        let bytes = to_bytes(&place, &[saved(&place, "localhost/tool:1")], format);
        assert_eq!(
            bytes,
            to_bytes(&place, &[saved(&place, "localhost/tool:1")], format),
            "not the same twice"
        );
        let other = Place::new();
        let loaded = other.load_bytes(bytes).unwrap();
        assert_eq!(loaded[0].id, id);
        assert_eq!(loaded[0].names[0].to_string(), "localhost/tool:1");
        assert_eq!(other.read("localhost/tool:1", "b").as_deref(), Some("again"));
    }
    for (format, compress) in [
        (SaveFormat::OciDir, None),
        (SaveFormat::OciDir, Some(false)),
        (SaveFormat::DockerDir, Some(true)),
    ] {
        let other = Place::new();
        let dir = other.dir.path().join("tool");
        let images = [saved(&place, "localhost/tool:1")];
        let output = Output::Directory(dir.clone());
        save(&place.storage, &images, format, compress, output, &Progress::default()).unwrap();
        let options = crate::LoadOptions::default();
        let loaded =
            crate::load(&other.storage, Input::Path(dir), &options, &Progress::default()).unwrap();
        assert_eq!(loaded[0].id, id, "{format:?}");
    }
}

#[test]
fn several_images_share_what_they_have_in_common() {
    let place = filled();
    let base = layer(&[("a", "1")]);
    place.load_bytes(tar_of(&oci("localhost/other:2", &[plain(base)]))).unwrap();
    let images = [saved(&place, "localhost/tool:1"), saved(&place, "localhost/other:2")];
    for format in [SaveFormat::DockerArchive, SaveFormat::OciArchive] {
        let bytes = to_bytes(&place, &images, format);
        let mut archive = tar::Archive::new(bytes.as_slice());
        let names: Vec<String> = archive
            .entries()
            .unwrap()
            .map(|entry| entry.unwrap().path().unwrap().display().to_string())
            .collect();
        let distinct: HashSet<&String> = names.iter().collect();
        assert_eq!(distinct.len(), names.len(), "an entry twice in {names:?}");
        let other = Place::new();
        assert_eq!(other.load_bytes(bytes).unwrap().len(), 2);
        assert_eq!(other.storage.images().unwrap().images.len(), 2);
    }
}

#[test]
fn a_manifest_that_says_the_same_is_kept() {
    let place = filled();
    let bytes = to_bytes(&place, &[saved(&place, "localhost/tool:1")], SaveFormat::OciArchive);
    let other = Place::new();
    other.load_bytes(bytes).unwrap();
    let first = other.storage.resolve_image("localhost/tool:1").unwrap().digest;
    let bytes = to_bytes(&other, &[saved(&other, "localhost/tool:1")], SaveFormat::OciArchive);
    let third = Place::new();
    third.load_bytes(bytes).unwrap();
    assert_eq!(third.storage.resolve_image("localhost/tool:1").unwrap().digest, first);
}

#[test]
fn a_changed_layer_is_an_error() {
    let place = filled();
    let image = saved(&place, "localhost/tool:1");
    let path = place.storage.layer_diff(&image.image.layers[0]).join("a");
    std::fs::remove_file(&path).unwrap();
    for format in [SaveFormat::DockerArchive, SaveFormat::OciArchive] {
        let mut bytes = Vec::new();
        let output = Output::Stream(Box::new(&mut bytes));
        let images = [saved(&place, "localhost/tool:1")];
        let error = save(&place.storage, &images, format, None, output, &Progress::default());
        let error = error.unwrap_err();
        assert!(matches!(error, Error::Store { .. }), "{error:?}");
    }
}
