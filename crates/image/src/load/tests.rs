//! Loading: what becomes of honest and of damaged archives.

use serde_json::{Value, json};

use super::*;
use crate::fixture::*;
use crate::manifest::{OCI_CONFIG, OCI_INDEX, OCI_LAYER, OCI_MANIFEST};

mod hostile;
mod tools;

fn names(loaded: &[Loaded]) -> Vec<String> {
    loaded.iter().flat_map(|image| &image.names).map(ToString::to_string).collect()
}

#[test]
fn an_oci_archive_with_all_compressions() {
    let place = Place::new();
    let layers = [
        plain(layer(&[("a", "1"), ("b", "1")])),
        gzipped(layer(&[("b", "2"), ("c", "2")])),
        zstded(layer(&[("c", "3")])),
    ];
    let path = place.file("x.tar", &tar_of(&oci("tool", &layers)));
    let loaded = place.load(&path).unwrap();
    assert_eq!(names(&loaded), ["localhost/tool:latest"]);
    for (file, text) in [("a", "1"), ("b", "2"), ("c", "3")] {
        assert_eq!(place.read("localhost/tool:latest", file).as_deref(), Some(text));
    }
    let image = place.storage.image(&loaded[0].id).unwrap();
    assert_eq!(image.created, 1_767_323_045_000_000_000);
    assert_eq!(image.layers.len(), 3);
    // Once more: nothing changes, and no layer is read.
    let (sender, events) = std::sync::mpsc::channel();
    let again =
        load(&place.storage, Input::Path(path), &LoadOptions::default(), &Progress::to(sender))
            .unwrap();
    assert_eq!(again, loaded);
    assert!(events.iter().all(|event| matches!(event, Event::Present { .. })));
    assert_eq!(place.storage.images().unwrap().images.len(), 1);
}

#[test]
fn the_manifest_of_an_oci_archive_is_kept_as_it_is() {
    let place = Place::new();
    let entries = oci("tool", &[gzipped(layer(&[("a", "1")]))]);
    let loaded = place.load_bytes(tar_of(&entries)).unwrap();
    let image = place.storage.image(&loaded[0].id).unwrap();
    let manifest = &entries[&format!("blobs/sha256/{}", image.digest.hex())];
    assert_eq!(&place.storage.read_blob(&image.digest, 1 << 20).unwrap(), manifest);
}

#[test]
fn whole_archives_compressed_and_from_a_stream() {
    for pack in [gzip as fn(&[u8]) -> Vec<u8>, zstd, <[u8]>::to_vec] {
        let place = Place::new();
        let bytes = pack(&tar_of(&docker(&["tool:1"], &[plain(layer(&[("a", "1")]))])));
        let path = place.file("x.tar", &bytes);
        assert_eq!(names(&place.load(&path).unwrap()), ["docker.io/library/tool:1"]);
        let streamed = Place::new();
        assert_eq!(names(&streamed.load_bytes(bytes).unwrap()), ["docker.io/library/tool:1"]);
        assert_eq!(streamed.read("docker.io/library/tool:1", "a").as_deref(), Some("1"));
    }
}

#[test]
fn docker_archives_with_compressed_layers_and_several_names() {
    let place = Place::new();
    let layers =
        [gzipped(layer(&[("a", "1")])), zstded(layer(&[("b", "2")])), plain(layer(&[("c", "3")]))];
    let loaded = place.load_bytes(tar_of(&docker(&["tool", "localhost/t:2"], &layers))).unwrap();
    assert_eq!(names(&loaded), ["docker.io/library/tool:latest", "localhost/t:2"]);
    let image = place.storage.image(&loaded[0].id).unwrap();
    let manifest: Value =
        serde_json::from_slice(&place.storage.read_blob(&image.digest, 1 << 20).unwrap()).unwrap();
    let kinds: Vec<&str> = manifest["layers"]
        .as_array()
        .unwrap()
        .iter()
        .map(|l| l["mediaType"].as_str().unwrap())
        .collect();
    assert!(
        kinds[0].ends_with(".gzip") && kinds[1].ends_with(".zstd") && kinds[2].ends_with(".tar"),
        "{kinds:?}"
    );
    assert_eq!(
        manifest["layers"][0]["digest"],
        dhow_storage::Digest::of(&layers[0].stored).to_string()
    );
}

#[test]
fn an_image_without_a_name_or_with_two() {
    let place = Place::new();
    let mut entries = Entries::new();
    let descriptor = oci_image(&mut entries, &[plain(layer(&[("a", "1")]))], "amd64");
    index(
        &mut entries,
        &[
            named(descriptor.clone(), "a:1"),
            descriptor.clone(),
            named(descriptor, "example.org/b:2"),
        ],
    );
    let loaded = place.load_bytes(tar_of(&entries)).unwrap();
    assert_eq!(loaded.len(), 1);
    assert_eq!(names(&loaded), ["localhost/a:1", "example.org/b:2"]);
}

#[test]
fn several_images_that_share_a_layer() {
    let place = Place::new();
    let mut entries = Entries::new();
    let base = || gzipped(layer(&[("base", "b")]));
    let one = oci_image(&mut entries, &[base(), plain(layer(&[("x", "1")]))], "amd64");
    let two = oci_image(&mut entries, &[base(), plain(layer(&[("x", "2")]))], "amd64");
    index(&mut entries, &[named(one, "one"), named(two, "two")]);
    let loaded = place.load_bytes(tar_of(&entries)).unwrap();
    assert_eq!(names(&loaded), ["localhost/one:latest", "localhost/two:latest"]);
    assert_eq!(place.read("localhost/two:latest", "x").as_deref(), Some("2"));
    assert_eq!(place.read("localhost/one:latest", "x").as_deref(), Some("1"));
    let first = place.storage.image(&loaded[0].id).unwrap();
    assert_eq!(first.layers[0], place.storage.image(&loaded[1].id).unwrap().layers[0]);
}

#[test]
fn a_directory_gives_its_name_to_what_has_only_a_tag() {
    let place = Place::new();
    let mut entries = Entries::new();
    let one = oci_image(&mut entries, &[plain(layer(&[("x", "1")]))], "amd64");
    let two = oci_image(&mut entries, &[plain(layer(&[("x", "2")]))], "amd64");
    let three = oci_image(&mut entries, &[plain(layer(&[("x", "3")]))], "amd64");
    index(&mut entries, &[named(one, "v1"), named(two, "busybox:v2"), three]);
    write_dir(&entries, &place.dir.path().join("tool"));
    let loaded = place.load(&place.dir.path().join("tool/")).unwrap();
    assert_eq!(
        names(&loaded),
        ["localhost/tool:v1", "localhost/busybox:v2", "localhost/tool:latest"]
    );
    // A directory whose name no image can have.
    write_dir(&entries, &place.dir.path().join("Tool Box"));
    let loaded = place.load(&place.dir.path().join("Tool Box")).unwrap();
    assert_eq!(names(&loaded), ["localhost/busybox:v2"]);
}

#[test]
fn the_full_name_of_containerd_goes_before_the_tag() {
    let place = Place::new();
    let mut entries = Entries::new();
    let mut descriptor = oci_image(&mut entries, &[plain(layer(&[("x", "1")]))], "amd64");
    descriptor["annotations"] = json!({
        "io.containerd.image.name": "docker.io/library/busybox:latest",
        "org.opencontainers.image.ref.name": "latest",
    });
    index(&mut entries, &[descriptor]);
    assert_eq!(
        names(&place.load_bytes(tar_of(&entries)).unwrap()),
        ["docker.io/library/busybox:latest"]
    );
}

#[test]
fn the_image_for_this_platform_is_taken() {
    let place = Place::new();
    let mut entries = Entries::new();
    let amd = oci_image(&mut entries, &[plain(layer(&[("arch", "amd64")]))], "amd64");
    let arm = oci_image(&mut entries, &[plain(layer(&[("arch", "arm64")]))], "arm64");
    let inner = json!({ "schemaVersion": 2, "manifests": [for_platform(amd, "amd64"), for_platform(arm, "arm64")] });
    let inner = blob(&mut entries, OCI_INDEX, inner.to_string().as_bytes());
    index(&mut entries, &[named(inner, "multi")]);
    let path = place.file("multi.tar", &tar_of(&entries));
    for architecture in ["amd64", "arm64"] {
        let platform =
            Platform { os: "linux".into(), architecture: architecture.into(), variant: None };
        let options = LoadOptions { platform, ..LoadOptions::default() };
        load(&place.storage, Input::Path(path.clone()), &options, &Progress::default()).unwrap();
        assert_eq!(place.read("localhost/multi:latest", "arch").as_deref(), Some(architecture));
    }
    let platform = Platform { os: "linux".into(), architecture: "s390x".into(), variant: None };
    let options = LoadOptions { platform, ..LoadOptions::default() };
    let error = load(&place.storage, Input::Path(path), &options, &Progress::default())
        .unwrap_err()
        .to_string();
    assert!(
        error.ends_with("has no image for linux/s390x, only for linux/amd64, linux/arm64"),
        "{error}"
    );
}

#[test]
fn links_inside_a_docker_archive_are_followed() {
    let place = Place::new();
    let tar = layer(&[("a", "1")]);
    let entries = docker(&["tool"], &[plain(tar.clone())]);
    let mut builder = tar::Builder::new(Vec::new());
    let mut header = tar::Header::new_gnu();
    for (name, bytes) in &entries {
        let name = if name.ends_with(".tar") { "real/layer.tar" } else { name };
        header.set_entry_type(tar::EntryType::Regular);
        header.set_size(bytes.len() as u64);
        builder.append_data(&mut header, name, bytes.as_slice()).unwrap();
    }
    let link = format!("{}.tar", dhow_storage::Digest::of(&tar).hex());
    header.set_entry_type(tar::EntryType::Symlink);
    header.set_size(0);
    builder.append_link(&mut header, &link, "other/../real/layer.tar").unwrap();
    let loaded = place.load_bytes(builder.into_inner().unwrap()).unwrap();
    assert_eq!(names(&loaded), ["docker.io/library/tool:latest"]);
    assert_eq!(place.read("docker.io/library/tool:latest", "a").as_deref(), Some("1"));
}

#[test]
fn a_name_moves_to_the_image_loaded_last() {
    let place = Place::new();
    let first =
        place.load_bytes(tar_of(&docker(&["tool"], &[plain(layer(&[("a", "1")]))]))).unwrap();
    let second =
        place.load_bytes(tar_of(&docker(&["tool"], &[plain(layer(&[("a", "2")]))]))).unwrap();
    assert_ne!(first[0].id, second[0].id);
    assert_eq!(
        place.storage.resolve_image("docker.io/library/tool:latest").unwrap().id,
        second[0].id
    );
    assert_eq!(place.storage.image_names(&first[0].id).unwrap(), Vec::<String>::new());
}

#[test]
fn loads_and_collections_at_the_same_time() {
    let place = Place::new();
    let layers = || {
        [gzipped(layer(&[("a", "1")])), gzipped(layer(&[("b", "2")])), plain(layer(&[("c", "3")]))]
    };
    let path = place.file("x.tar", &tar_of(&oci("tool", &layers())));
    let other = place.file("y.tar", &tar_of(&oci("other", &layers()[..2])));
    std::thread::scope(|scope| {
        for _ in 0..3 {
            scope.spawn(|| place.load(&path).unwrap());
            scope.spawn(|| place.load(&other).unwrap());
            scope.spawn(|| place.storage.collect(&|| Some(Vec::new())).unwrap());
        }
    });
    for (name, file) in [("tool", "c"), ("other", "b")] {
        assert!(place.read(&format!("localhost/{name}:latest"), file).is_some(), "{name}");
    }
    assert_eq!(place.storage.images().unwrap().images.len(), 2);
}
