//! Archives that lie, are damaged, or want out. Each gets one error that names the archive and the entry, and leaves
//! nothing in the store.

use super::*;

/// Loads the archive and returns the error in one line; the store must be empty afterwards.
fn refused(bytes: &[u8]) -> String {
    let place = Place::new();
    let path = place.file("bad.tar", bytes);
    let error = chain(&place.load(&path).expect_err("the archive was loaded"));
    place.assert_empty();
    assert!(error.contains("bad.tar"), "{error}");
    error
}

fn good() -> Entries {
    oci("x", &[plain(layer(&[("a", "1")])), gzipped(layer(&[("b", "2")]))])
}

/// An OCI archive whose manifest has been changed, all digests above it made right again.
fn with_manifest(change: impl FnOnce(&mut Entries, &mut Value)) -> Vec<u8> {
    let mut entries = Entries::new();
    let descriptor = oci_image(
        &mut entries,
        &[plain(layer(&[("a", "1")])), gzipped(layer(&[("b", "2")]))],
        "amd64",
    );
    let key =
        format!("blobs/sha256/{}", &descriptor["digest"].as_str().unwrap()["sha256:".len()..]);
    let mut manifest: Value = serde_json::from_slice(&entries.remove(&key).unwrap()).unwrap();
    change(&mut entries, &mut manifest);
    let descriptor = blob(&mut entries, OCI_MANIFEST, manifest.to_string().as_bytes());
    index(&mut entries, &[named(descriptor, "x")]);
    tar_of(&entries)
}

fn key_of(descriptor: &Value) -> String {
    format!("blobs/sha256/{}", &descriptor["digest"].as_str().unwrap()["sha256:".len()..])
}

#[test]
fn no_archive_at_all() {
    assert!(refused(b"").contains("is no image archive"));
    assert!(refused(&[b'x'; 5000]).contains("is no image archive"));
    assert!(
        refused(&layer(&[("etc/passwd", "root")]))
            .contains("neither an index.json nor a manifest.json")
    );
    assert!(
        refused(&gzip(&layer(&[("etc/passwd", "root")])))
            .contains("neither an index.json nor a manifest.json")
    );
    let mut empty = Entries::new();
    index(&mut empty, &[]);
    assert!(refused(&tar_of(&empty)).contains("holds no image"));
    assert!(refused(b"\xfd7zXZ\0 and so on").contains("this is xz"));
    assert!(refused(b"BZh91AY&SY").contains("this is bzip2"));
    let place = Place::new();
    let mut skopeo_dir = Entries::new();
    skopeo_dir.insert("manifest.json".into(), br#"{"schemaVersion":2}"#.to_vec());
    assert!(
        refused(&tar_of(&skopeo_dir))
            .contains("skopeo's dir: format in a tar archive is not supported")
    );
    let missing = chain(&place.load(&place.dir.path().join("bad.tar")).unwrap_err());
    assert!(missing.contains("cannot open") && missing.contains("bad.tar"), "{missing}");
}

#[test]
fn truncated_anywhere() {
    let mut entries = good();
    // Without this one, nothing that is cut off could be done without.
    entries.remove("oci-layout");
    let whole = tar_of(&entries);
    let packed = gzip(&whole);
    // The two zero blocks at the end of a tar archive may be missing; anything before must not.
    let end = whole.len() - 1024;
    for cut in (0..20).map(|n| end * n / 20) {
        refused(&whole[..cut]);
    }
    for cut in (1..10).map(|n| packed.len() * n / 10) {
        refused(&packed[..cut]);
    }
}

#[test]
fn a_blob_is_missing_or_changed() {
    for key in good().keys().filter(|key| key.starts_with("blobs/")) {
        let mut entries = good();
        entries.remove(key);
        let error = refused(&tar_of(&entries));
        assert!(error.contains(key) && error.contains("is missing"), "{error}");

        let mut entries = good();
        let bytes = entries.get_mut(key).unwrap();
        let middle = bytes.len() / 3;
        bytes[middle] ^= 1;
        let error = refused(&tar_of(&entries));
        assert!(!error.is_empty());
    }
}

#[test]
fn a_changed_document_is_named_with_both_digests() {
    let mut entries = good();
    let (key, bytes) =
        entries.iter_mut().find(|(_, bytes)| bytes.starts_with(b"{\"architecture")).unwrap();
    let key = key.clone();
    let text = String::from_utf8(bytes.clone()).unwrap().replace("test", "TEST");
    *bytes = text.into_bytes();
    let error = refused(&tar_of(&entries));
    assert!(
        error.contains(&key)
            && error.contains("expected sha256:")
            && error.contains("found sha256:"),
        "{error}"
    );
}

#[test]
fn sizes_that_lie() {
    let error = refused(&with_manifest(|_, manifest| manifest["layers"][1]["size"] = json!(7)));
    assert!(error.contains("bytes where its descriptor says 7"), "{error}");
    let error = refused(&with_manifest(|_, manifest| manifest["config"]["size"] = json!(u64::MAX)));
    assert!(error.contains("descriptor says"), "{error}");
    let error = refused(&with_manifest(|_, manifest| manifest["config"]["size"] = json!(-1)));
    assert!(error.contains("invalid"), "{error}");
}

#[test]
fn diff_ids_that_lie() {
    let error = refused(&with_manifest(|entries, manifest| {
        let mut config: Value =
            serde_json::from_slice(&entries.remove(&key_of(&manifest["config"])).unwrap()).unwrap();
        config["rootfs"]["diff_ids"][1] = json!(dhow_storage::Digest::of("other").to_string());
        manifest["config"] = blob(entries, OCI_CONFIG, config.to_string().as_bytes());
    }));
    assert!(error.contains("digest"), "{error}");
    let error = refused(&with_manifest(|entries, manifest| {
        let mut config: Value =
            serde_json::from_slice(&entries.remove(&key_of(&manifest["config"])).unwrap()).unwrap();
        config["rootfs"]["diff_ids"].as_array_mut().unwrap().pop();
        manifest["config"] = blob(entries, OCI_CONFIG, config.to_string().as_bytes());
    }));
    assert!(error.contains("2 layers, and its configuration has 1"), "{error}");
}

#[test]
fn media_types_that_lie() {
    let error = refused(&with_manifest(|_, manifest| manifest["mediaType"] = json!(OCI_INDEX)));
    assert!(error.contains("says that it is"), "{error}");
    let error = refused(&with_manifest(|_, manifest| manifest["manifests"] = json!([])));
    assert!(error.contains("a manifest and an index at once"), "{error}");
    let error = refused(&with_manifest(|_, manifest| {
        manifest["config"]["mediaType"] = json!("application/x-recipe");
    }));
    assert!(error.contains("an artifact of type"), "{error}");
    let error = refused(&with_manifest(|_, manifest| {
        manifest["layers"][0]["mediaType"] = json!(format!("{OCI_LAYER}+encrypted"));
    }));
    assert!(error.contains("encrypted") && error.contains("not supported"), "{error}");
}

#[test]
fn digests_that_are_none() {
    for digest in ["sha256:../../etc/passwd", "sha512:00", "", "sha256:ABC"] {
        let error =
            refused(&with_manifest(|_, manifest| manifest["layers"][0]["digest"] = json!(digest)));
        assert!(error.contains("invalid document"), "{error}");
    }
}

#[test]
fn duplicate_keys() {
    let mut entries = good();
    let index = String::from_utf8(entries["index.json"].clone()).unwrap();
    entries.insert("index.json".into(), index.replacen('{', r#"{"manifests":[],"#, 1).into_bytes());
    let error = refused(&tar_of(&entries));
    assert!(error.contains("index.json") && error.contains("occurs twice"), "{error}");
    let mut entries = docker(&["x"], &[plain(layer(&[("a", "1")]))]);
    let manifest = String::from_utf8(entries["manifest.json"].clone()).unwrap();
    entries.insert(
        "manifest.json".into(),
        manifest.replacen('{', r#"{"Config":"x","#, 1).into_bytes(),
    );
    assert!(refused(&tar_of(&entries)).contains("occurs twice"));
}

#[test]
fn huge_documents_and_deep_nesting() {
    let mut entries = good();
    let mut bytes = entries["index.json"].clone();
    bytes.resize(5 << 20, b' ');
    entries.insert("index.json".into(), bytes);
    assert!(refused(&tar_of(&entries)).contains("index.json"));

    let mut entries = Entries::new();
    let mut descriptor = oci_image(&mut entries, &[plain(layer(&[("a", "1")]))], "amd64");
    for _ in 0..20 {
        let nested = json!({ "schemaVersion": 2, "manifests": [descriptor] });
        descriptor = blob(&mut entries, OCI_INDEX, nested.to_string().as_bytes());
    }
    index_of(&mut entries, descriptor);
    assert!(refused(&tar_of(&entries)).contains("nested too deeply"));

    let mut entries = Entries::new();
    let descriptor = oci_image(&mut entries, &[plain(layer(&[("a", "1")]))], "amd64");
    index(&mut entries, &vec![descriptor.clone(); 1200]);
    assert!(refused(&tar_of(&entries)).contains("more than 1000 images"));
    index(&mut entries, &vec![descriptor; 5000]);
    assert!(refused(&tar_of(&entries)).contains("5000 entries"));

    let many = refused(&with_manifest(|_, manifest| {
        let layer = manifest["layers"][0].clone();
        manifest["layers"] = Value::Array(vec![layer; 600]);
    }));
    assert!(many.contains("600 layers"), "{many}");
}

fn index_of(entries: &mut Entries, descriptor: Value) {
    index(entries, &[named(descriptor, "x")]);
}

#[test]
fn names_that_are_none() {
    let mut entries = Entries::new();
    let descriptor = oci_image(&mut entries, &[plain(layer(&[("a", "1")]))], "amd64");
    index(&mut entries, &[named(descriptor, "../../Bad Name")]);
    let error = refused(&tar_of(&entries));
    assert!(error.contains("index.json") && error.contains("invalid image reference"), "{error}");
    let error = refused(&tar_of(&docker(&["UPPER"], &[plain(layer(&[("a", "1")]))])));
    assert!(error.contains("manifest.json") && error.contains("lower case"), "{error}");
}

#[test]
fn docker_layers_that_lie_elsewhere() {
    for path in ["../../../etc/passwd", "/etc/passwd", "a/../../b"] {
        let mut entries = docker(&["x"], &[plain(layer(&[("a", "1")]))]);
        let mut manifest: Value = serde_json::from_slice(&entries["manifest.json"]).unwrap();
        manifest[0]["Layers"][0] = json!(path);
        entries.insert("manifest.json".into(), manifest.to_string().into_bytes());
        let error = refused(&tar_of(&entries));
        assert!(error.contains(path) && error.contains("leads out of the archive"), "{error}");
    }
    let mut entries = docker(&["x"], &[plain(layer(&[("a", "1")]))]);
    let mut manifest: Value = serde_json::from_slice(&entries["manifest.json"]).unwrap();
    manifest[0]["Layers"][0] = json!("nothing.tar");
    entries.insert("manifest.json".into(), manifest.to_string().into_bytes());
    assert!(refused(&tar_of(&entries)).contains("nothing.tar is missing"));
}

#[test]
fn a_docker_configuration_under_another_name() {
    let mut entries = docker(&["x"], &[plain(layer(&[("a", "1")]))]);
    let name = format!("{}.json", dhow_storage::Digest::of("other").hex());
    let mut manifest: Value = serde_json::from_slice(&entries["manifest.json"]).unwrap();
    let config = entries.remove(manifest[0]["Config"].as_str().unwrap()).unwrap();
    entries.insert(name.clone(), config);
    manifest[0]["Config"] = json!(name);
    entries.insert("manifest.json".into(), manifest.to_string().into_bytes());
    assert!(refused(&tar_of(&entries)).contains("expected sha256:"));
}

/// A docker archive whose layer is this link.
fn with_link(kind: tar::EntryType, target: &str) -> Vec<u8> {
    let entries = docker(&["x"], &[plain(layer(&[("a", "1")]))]);
    let mut builder = tar::Builder::new(Vec::new());
    for (name, bytes) in &entries {
        let mut header = tar::Header::new_gnu();
        if name.ends_with(".tar") {
            header.set_entry_type(kind);
            header.set_size(0);
            builder.append_link(&mut header, name, target).unwrap();
        } else {
            header.set_size(bytes.len() as u64);
            builder.append_data(&mut header, name, bytes.as_slice()).unwrap();
        }
    }
    builder.into_inner().unwrap()
}

#[test]
fn links_that_lead_out_or_nowhere() {
    use tar::EntryType::{Link, Symlink};
    for (kind, target) in [
        (Symlink, "/etc/passwd"),
        (Symlink, "../../etc/passwd"),
        (Link, "/etc/passwd"),
        (Link, "../x"),
    ] {
        let error = refused(&with_link(kind, target));
        assert!(error.contains("a link that leads out of the archive"), "{error}");
    }
    assert!(refused(&with_link(Symlink, "gone")).contains("is missing"));
    let own = docker(&["x"], &[plain(layer(&[("a", "1")]))]);
    let own = own.keys().find(|name| name.ends_with(".tar")).unwrap();
    assert!(refused(&with_link(Symlink, own)).contains("without end"));
    assert!(refused(&with_link(tar::EntryType::Fifo, "x")).contains("neither a file nor a link"));
}

#[test]
fn entries_that_want_out_or_occur_twice() {
    let mut bytes = tar_of(&good());
    // The name field of the first header.
    let evil = b"../../evil\0";
    bytes[..100].fill(0);
    bytes[..evil.len()].copy_from_slice(evil);
    let sum: u32 =
        bytes[..148].iter().chain(&bytes[156..512]).map(|b| u32::from(*b)).sum::<u32>() + 8 * 32;
    bytes[148..156].copy_from_slice(format!("{sum:06o}\0 ").as_bytes());
    assert!(refused(&bytes).contains("its name leads out of the archive"));

    let mut builder = tar::Builder::new(Vec::new());
    for _ in 0..2 {
        for (name, bytes) in &good() {
            let mut header = tar::Header::new_gnu();
            header.set_size(bytes.len() as u64);
            builder.append_data(&mut header, name, bytes.as_slice()).unwrap();
        }
    }
    assert!(refused(&builder.into_inner().unwrap()).contains("occurs twice"));
}

#[test]
fn one_bad_image_of_two_keeps_out_both() {
    let mut entries = Entries::new();
    let one = oci_image(&mut entries, &[plain(layer(&[("a", "1")]))], "amd64");
    let bad =
        Stored { stored: b"no tar at all".to_vec(), plain: b"no tar at all".to_vec(), suffix: "" };
    let two = oci_image(&mut entries, &[bad], "amd64");
    index(&mut entries, &[named(one, "one"), named(two, "two")]);
    let error = refused(&tar_of(&entries));
    assert!(error.contains("cannot extract the layers of"), "{error}");
}

#[test]
fn a_directory_whose_blobs_are_links_or_fifos() {
    let place = Place::new();
    let dir = place.dir.path().join("bad.tar");
    let entries = good();
    write_dir(&entries, &dir);
    let key = entries.keys().find(|key| key.starts_with("blobs/")).unwrap();
    std::fs::remove_file(dir.join(key)).unwrap();
    std::os::unix::fs::symlink("/etc/passwd", dir.join(key)).unwrap();
    let error = chain(&place.load(&dir).unwrap_err());
    assert!(error.contains("is missing") || error.contains("descriptor says"), "{error}");
    place.assert_empty();
    std::fs::remove_file(dir.join(key)).unwrap();
    std::fs::create_dir(dir.join(key)).unwrap();
    let error = chain(&place.load(&dir).unwrap_err());
    assert!(error.contains("not a regular file"), "{error}");
    place.assert_empty();
}
