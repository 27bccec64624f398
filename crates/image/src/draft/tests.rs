//! Drafts: what a new image is made of.

use serde_json::Value;

use super::*;
use crate::fixture::*;

#[test]
fn a_layer_on_an_image_keeps_what_the_image_says() {
    let place = Place::new();
    let loaded =
        place.load_bytes(tar_of(&docker(&["base"], &[gzipped(layer(&[("a", "1")]))]))).unwrap();
    let base = place.storage.image(&loaded[0].id).unwrap();
    let lease = place.storage.lease().unwrap();
    let mut draft = Draft::on(&place.storage, &base).unwrap();
    draft.change(&["ENTRYPOINT [\"/init\"]".parse().unwrap()]);
    draft.set_author("me");
    let tar = layer(&[("b", "2")]);
    let written: Result<_> = draft.write_layer(&lease, "container x", &Limits::default(), |out| {
        out.write_all(&tar).map_err(|source| Error::Io {
            action: "write",
            archive: "x".into(),
            source,
        })
    });
    written.unwrap();
    draft.push_history(HistoryEntry { created_by: "b".into(), ..HistoryEntry::default() });
    let image = draft.store(&lease, Some(&ImageReference::local("made").unwrap())).unwrap();
    drop(lease);

    assert_eq!(place.read("localhost/made:latest", "a").as_deref(), Some("1"));
    assert_eq!(place.read("localhost/made:latest", "b").as_deref(), Some("2"));
    assert_eq!(image.layers[0], base.layers[0]);
    let config = ImageConfig::parse(image.config.get().as_bytes()).unwrap();
    assert_eq!((config.author.as_str(), config.config.env), ("me", vec!["A=b".to_owned()]));
    assert_eq!((config.history.len(), config.config.entrypoint), (2, vec!["/init".to_owned()]));
    let manifest: Value =
        serde_json::from_slice(&place.storage.read_blob(&image.digest, 1 << 20).unwrap()).unwrap();
    assert_eq!(manifest["layers"][0]["mediaType"], "application/vnd.oci.image.layer.v1.tar+gzip");
    assert_eq!(manifest["layers"][1]["mediaType"], "application/vnd.oci.image.layer.v1.tar");
}

#[test]
fn a_squashed_image_has_one_layer_and_the_same_configuration() {
    let place = Place::new();
    let loaded =
        place.load_bytes(tar_of(&docker(&["base"], &[gzipped(layer(&[("a", "1")]))]))).unwrap();
    let base = place.storage.image(&loaded[0].id).unwrap();
    let lease = place.storage.lease().unwrap();
    let mut draft = Draft::on(&place.storage, &base).unwrap();
    draft.squash();
    let tar = layer(&[("a", "1"), ("b", "2")]);
    draft.push_layer(&lease, "x", tar.as_slice(), &Limits::default()).unwrap();
    draft.push_history(HistoryEntry::default());
    let image = draft.store(&lease, None).unwrap();
    let config = ImageConfig::parse(image.config.get().as_bytes()).unwrap();
    assert_eq!((config.rootfs.diff_ids.len(), config.history.len()), (1, 1));
    assert_eq!(config.config.env, ["A=b"]);
    let id = image.id.hex();
    assert_eq!(place.read(&id, "b").as_deref(), Some("2"));
}

#[test]
fn a_writer_that_fails_leaves_no_layer() {
    let place = Place::new();
    let lease = place.storage.lease().unwrap();
    let mut draft = Draft::empty(&Platform::default());
    let tar = layer(&[("b", "2")]);
    let written: Result<DiffId> =
        draft.write_layer(&lease, "container x", &Limits::default(), |out| {
            out.write_all(&tar[..700]).unwrap();
            Err(Error::Io {
                action: "write",
                archive: "x".into(),
                source: io::Error::other("no more"),
            })
        });
    assert!(chain(&written.unwrap_err()).contains("no more"));
    drop((draft, lease));
    place.assert_empty();
}

#[test]
fn a_reader_that_refuses_stops_the_writer() {
    let place = Place::new();
    let lease = place.storage.lease().unwrap();
    let mut draft = Draft::empty(&Platform::default());
    let limits = Limits { bytes: 10_000, ..Limits::default() };
    let written: Result<DiffId> = draft.write_layer(&lease, "container x", &limits, |out| {
        loop {
            out.write_all(&[0; 4096]).map_err(|source| Error::Io {
                action: "write",
                archive: "x".into(),
                source,
            })?;
        }
    });
    assert!(written.is_err());
    drop((draft, lease));
    place.assert_empty();
}
