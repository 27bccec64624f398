//! Adding, naming and finding images.

use super::*;
use crate::testing::*;

fn add(lease: &Lease<'_>, config: &str, names: &[&str]) -> Result<Image> {
    lease.add_image(&NewImage {
        config: config.into(),
        names: names.iter().map(|name| (*name).to_owned()).collect(),
        created: Some(5),
        ..NewImage::default()
    })
}

#[test]
fn an_image_is_found_by_name_id_prefix_and_digest() {
    let store = Store::new();
    let storage = &store.storage;
    let lease = storage.lease().unwrap();
    let layer = apply(&lease, None, &[file("a", "four")]).unwrap();
    let new = NewImage {
        config: br#"{"os":"linux"}"#.to_vec(),
        manifest: Some(b"{}".to_vec()),
        layers: vec![layer.clone()],
        names: vec!["docker.io/library/a:1".into()],
        created: Some(7),
    };
    let image = lease.add_image(&new).unwrap();
    assert_eq!(*image.id.digest(), Digest::of(&new.config));
    assert_eq!(image.digest, Digest::of("{}"));
    assert_eq!((image.size, image.layer_sizes.as_slice(), image.created), (4, &[4][..], 7));
    assert_eq!((image.layers, image.diff_ids), (vec![layer.chain], vec![layer.diff_id]));
    assert_eq!(image.config.get(), r#"{"os":"linux"}"#);
    assert_eq!(storage.read_blob(image.id.digest(), 100).unwrap(), new.config);
    let (id, hex) = (image.id.to_string(), image.id.hex());
    for text in [
        "docker.io/library/a:1",
        &id,
        &id[..1],
        &id[..12],
        &format!("sha256:{hex}"),
        &image.digest.to_string(),
    ] {
        assert_eq!(storage.resolve_image(text).unwrap().id, image.id, "{text}");
    }
    for text in
        ["", "a", "docker.io/library/a", "..", "/", "sha256:", "zz", &"f".repeat(65), "a\0b"]
    {
        let error = storage.resolve_image(text).unwrap_err();
        assert!(matches!(error, Error::NotFound { what: "image", .. }), "{text}: {error}");
    }
}

#[test]
fn a_prefix_of_two_is_ambiguous() {
    let store = Store::new();
    let lease = store.storage.lease().unwrap();
    let images: Vec<Image> =
        (0..17).map(|n| add(&lease, &format!("{{\"n\":{n}}}"), &[]).unwrap()).collect();
    // 17 ids: two begin with the same digit.
    let digit = images.iter().map(|image| image.id.hex()[..1].to_owned()).find(|digit| {
        images.iter().filter(|image| image.id.hex().starts_with(digit.as_str())).count() > 1
    });
    let error = store.storage.resolve_image(&digit.unwrap()).unwrap_err();
    let Error::Ambiguous { candidates, .. } = error else { panic!("{error}") };
    assert!(candidates.len() > 1 && candidates.iter().all(|id| id.len() == 12));
}

#[test]
fn a_name_moves_to_the_image_that_got_it_last() {
    let store = Store::new();
    let storage = &store.storage;
    let lease = storage.lease().unwrap();
    let one = add(&lease, "1", &["a:1", "b:1"]).unwrap();
    let two = add(&lease, "2", &["a:1"]).unwrap();
    assert_eq!(storage.resolve_image("a:1").unwrap().id, two.id);
    assert_eq!(storage.image_names(&one.id).unwrap(), ["b:1"]);
    storage.tag(&one.id, "registry:5000/c/d@sha256:0").unwrap();
    let names = storage.names().unwrap();
    let names: Vec<&str> = names.iter().map(|(name, _)| name.as_str()).collect();
    assert_eq!(names, ["a:1", "b:1", "registry:5000/c/d@sha256:0"]);
    assert_eq!(storage.untag("b:1").unwrap(), one.id);
    assert!(matches!(storage.untag("b:1").unwrap_err(), Error::NotFound { .. }));
    let absent = ImageId::from(Digest::of("absent"));
    assert!(matches!(storage.tag(&absent, "x").unwrap_err(), Error::NotFound { .. }));
    for name in ["", "a\0", &"n".repeat(256), &"/".repeat(100)] {
        assert!(matches!(storage.tag(&one.id, name).unwrap_err(), Error::Invalid { .. }));
        assert!(add(&lease, "3", &[name]).is_err());
    }
    assert_eq!(storage.images().unwrap().images.len(), 2, "a refused image is not added");
}

#[test]
fn adding_it_again_adds_names() {
    let store = Store::new();
    let storage = &store.storage;
    let lease = storage.lease().unwrap();
    let one = add(&lease, "{}", &["a:1"]).unwrap();
    let again = add(&lease, "{}", &["a:2"]).unwrap();
    assert_eq!(one.id, again.id);
    assert_eq!(storage.image_names(&one.id).unwrap(), ["a:1", "a:2"]);
    assert!(matches!(add(&lease, "{", &[]).unwrap_err(), Error::Invalid { .. }));
}

#[test]
fn a_record_that_is_anothers_or_of_the_future_is_corrupt() {
    let store = Store::new();
    let storage = &store.storage;
    let lease = storage.lease().unwrap();
    let (one, two) = (add(&lease, "1", &[]).unwrap(), add(&lease, "2", &[]).unwrap());
    let path = |image: &Image| storage.image_path(&image.id).join(RECORD);
    std::fs::copy(path(&one), path(&two)).unwrap();
    assert!(matches!(storage.image(&two.id).unwrap_err(), Error::Corrupt { .. }));
    let text = std::fs::read_to_string(path(&one)).unwrap();
    let text = text.replace("\"version\":1", "\"version\":9");
    dhow_sys::fs::write_atomic(&path(&one), text.as_bytes(), 0o600, storage.durability()).unwrap();
    let error = storage.image(&one.id).unwrap_err();
    assert!(error.to_string().contains("version 9"), "{error}");
}
