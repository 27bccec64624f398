//! The verbs on images, on an engine with a store of its own. No container is started here.

use std::fs;
use std::io::Cursor;
use std::path::PathBuf;

use dhow_image::Progress;

use super::*;
use crate::engine::EngineOptions;
use crate::request::{
    CommitRequest, CreateRequest, ImportRequest, LoadRequest, RemoveImageRequest, Source,
};

/// An engine and the directory that all of it is in.
struct Place {
    dir: tempfile::TempDir,
    engine: Engine,
}

impl Place {
    fn new() -> Place {
        let dir = tempfile::tempdir().unwrap();
        let engine = Engine::open(EngineOptions {
            root: dir.path().join("root"),
            run: dir.path().join("run"),
            runtime: None,
            monitor: PathBuf::from("/nonexistent"),
            search: vec!["/usr/bin".into(), "/usr/sbin".into(), "/usr/local/bin".into()],
            exit_command: Vec::new(),
            environment: Vec::new(),
            registries: dhow_image::RegistrySettings::default(),
        })
        .unwrap();
        Place { dir, engine }
    }

    /// A tar archive of these files.
    fn tar(&self, files: &[(&str, &str)]) -> Vec<u8> {
        let dir = tempfile::tempdir_in(self.dir.path()).unwrap();
        for (name, text) in files {
            let path = dir.path().join(name);
            fs::create_dir_all(path.parent().unwrap()).unwrap();
            dhow_sys::fs::write_atomic(
                &path,
                text.as_bytes(),
                0o644,
                dhow_sys::fs::Durability::Volatile,
            )
            .unwrap();
        }
        let mut tar = Vec::new();
        dhow_storage::export(dir.path(), &mut tar).unwrap();
        tar
    }

    fn import(&self, name: Option<&str>, text: &str, changes: &[&str]) -> ImageId {
        let request = ImportRequest {
            reference: name.map(str::to_owned),
            changes: changes.iter().map(|change| (*change).to_owned()).collect(),
            ..ImportRequest::default()
        };
        let stream = Box::new(Cursor::new(self.tar(&[("etc/motd", text)])));
        self.engine.import(&request, Some(stream), &Progress::default()).unwrap()
    }

    fn rows(&self, name: Option<&str>, filters: &[&str]) -> Vec<ImageRow> {
        let filters = filters.iter().map(|filter| filter.parse().unwrap()).collect();
        let request =
            ImagesRequest { name: name.map(str::to_owned), filters, ..ImagesRequest::default() };
        let report = self.engine.images(&request).unwrap();
        assert!(report.errors.is_empty(), "{:?}", report.errors);
        report.images
    }

    fn names(&self, name: Option<&str>, filters: &[&str]) -> Vec<String> {
        self.rows(name, filters).into_iter().flat_map(|row| row.names).collect()
    }

    fn remove(&self, image: &str, force: bool) -> Result<crate::report::RemovedImage> {
        self.engine.remove_image(&RemoveImageRequest { image: image.to_owned(), force })
    }

    /// A container of the image; `None` where no runtime is installed, which is a failure if STRICT is set.
    fn container(&self, image: &str, name: &str) -> Option<ContainerId> {
        let request = CreateRequest {
            name: Some(name.to_owned()),
            command: vec!["/bin/true".to_owned()],
            ..CreateRequest::new(Source::Image(image.to_owned()))
        };
        if let Err(error) = self.engine.find_runtime(None) {
            assert!(!is_strict(), "{error}");
            return None;
        }
        Some(self.engine.create(&request).unwrap().id)
    }

    fn upper(&self, id: &ContainerId) -> PathBuf {
        self.engine.layout().rootfs(id).join("upper")
    }

    fn layers(&self) -> usize {
        fs::read_dir(self.dir.path().join("root/layers")).unwrap().count()
    }
}

#[expect(clippy::disallowed_methods, reason = "the test's own environment")]
fn is_strict() -> bool {
    std::env::var_os("STRICT").is_some_and(|value| value == "1")
}

fn short(id: &ImageId) -> String {
    id.short()
}

#[test]
fn an_image_is_found_by_all_it_is_called() {
    let place = Place::new();
    let id = place.import(Some("tool:1"), "a", &[]);
    place
        .engine
        .tag(&id.hex(), &["example.org/team/other".into(), "docker.io/library/hub:2".into()])
        .unwrap();
    let digest = place.engine.find_image("tool:1").unwrap().digest;
    for (text, name) in [
        ("tool:1", Some("localhost/tool:1")),
        ("localhost/tool:1", Some("localhost/tool:1")),
        ("hub:2", Some("docker.io/library/hub:2")),
        ("other", Some("example.org/team/other:latest")),
        ("team/other", Some("example.org/team/other:latest")),
        (&id.hex(), None),
        (&short(&id), None),
        (&format!("sha256:{}", id.hex()), None),
        (&digest.to_string(), None),
    ] {
        let found = place.engine.find_image_named(text).unwrap_or_else(|e| panic!("{text}: {e}"));
        assert_eq!((found.image.id, found.name.as_deref()), (id, name), "{text}");
    }
    let by_digest = format!("tool@{digest}");
    assert_eq!(place.engine.find_image(&by_digest).unwrap().id, id);
    for text in
        ["tool", "tool:2", "ther", "zz", "", "tool:1:2", "../x", &format!("nobody@{digest}")]
    {
        let error = place.engine.find_image(text).unwrap_err();
        assert!(
            matches!(&error, Error::NoSuch { object: Object::Image, name } if name == text),
            "{text}: {error}"
        );
        assert!(!place.engine.image_exists(text).unwrap());
    }
    let second = place.import(Some("example.net/other"), "b", &[]);
    assert!(matches!(place.engine.find_image("other").unwrap_err(), Error::Ambiguous { .. }));
    assert_ne!(id, second);
}

#[test]
fn the_list_and_its_filters() {
    let place = Place::new();
    let first = place.import(Some("one"), "a", &["LABEL team=red"]);
    let second = place.import(Some("two:v2"), "b", &["LABEL team=blue"]);
    let third = place.import(None, "c", &[]);
    assert_eq!(place.names(None, &[]), ["localhost/two:v2", "localhost/one:latest"]);
    let ids = |filters: &[&str]| -> Vec<String> {
        place.rows(None, filters).into_iter().map(|row| row.id).collect()
    };
    assert_eq!(ids(&[]), [third.hex(), second.hex(), first.hex()]);
    assert_eq!(ids(&["dangling=true"]), [third.hex()]);
    assert_eq!(ids(&["dangling=false", "label=team=red"]), [first.hex()]);
    assert_eq!(ids(&["before=two:v2"]), [first.hex()]);
    assert_eq!(ids(&["since=one"]), [third.hex(), second.hex()]);
    assert_eq!(ids(&["reference=t*"]), [second.hex()]);
    assert_eq!(ids(&["until=1h"]), Vec::<String>::new());
    assert_eq!(ids(&[&format!("id={}", short(&first))]), [first.hex()]);
    assert_eq!(place.names(Some("one"), &[]), ["localhost/one:latest"]);
    let row = &place.rows(None, &["reference=one"])[0];
    assert_eq!(row.repo_digests, [format!("localhost/one@{}", row.digest)]);
    assert_eq!((row.dangling, row.containers, row.labels["team"].as_str()), (false, 0, "red"));
    let unknown = ImagesRequest {
        filters: vec!["since=nobody".parse().unwrap()],
        ..ImagesRequest::default()
    };
    assert!(matches!(place.engine.images(&unknown).unwrap_err(), Error::NoSuch { .. }));
}

#[test]
fn a_damaged_image_is_named_and_harms_no_other() {
    let place = Place::new();
    let bad = place.import(Some("bad"), "a", &[]);
    place.import(Some("good"), "b", &[]);
    let record = place.dir.path().join("root/images").join(bad.hex()).join("image.json");
    dhow_sys::fs::write_atomic(&record, b"{", 0o600, dhow_sys::fs::Durability::Volatile).unwrap();
    let report = place.engine.images(&ImagesRequest::default()).unwrap();
    assert_eq!(report.images.len(), 1);
    assert!(report.errors[0].to_string().contains(&bad.hex()), "{}", report.errors[0]);
}

#[test]
fn inspect_and_history() {
    let place = Place::new();
    let id = place.import(Some("tool"), "hello", &["CMD [\"sh\"]", "USER app", "LABEL a=b"]);
    let inspect = place.engine.image_inspect("tool").unwrap();
    assert_eq!(inspect.id, id.hex());
    assert_eq!(inspect.repo_tags, ["localhost/tool:latest"]);
    assert_eq!(
        (inspect.config.cmd.as_slice(), inspect.user.as_str()),
        (&["sh".to_owned()][..], "app")
    );
    assert_eq!(inspect.manifest_type, "application/vnd.oci.image.manifest.v1+json");
    assert_eq!((inspect.os.as_str(), inspect.comment.as_str()), ("linux", "imported from tarball"));
    assert_eq!(inspect.root_fs.layers.len(), 1);
    let upper = &inspect.graph_driver.data["UpperDir"];
    assert_eq!(fs::read_to_string(PathBuf::from(upper).join("etc/motd")).unwrap(), "hello");
    let history = place.engine.history("tool").unwrap();
    assert_eq!(history.len(), 1);
    assert_eq!((history[0].id.as_str(), history[0].size), (id.hex().as_str(), inspect.size));
    assert!(history[0].created_by.contains("ADD file:"));
    let diff = place.engine.diff("tool", None).unwrap();
    assert_eq!(diff.added, ["/etc", "/etc/motd"]);
    assert!(place.engine.diff("nobody", None).is_err());
    assert!(place.engine.diff("tool", Some("tool")).is_err());
}

#[test]
fn names_come_and_go() {
    let place = Place::new();
    let first = place.import(Some("one"), "a", &[]);
    let second = place.import(Some("two"), "b", &[]);
    place.engine.tag("one", &["x".into(), "y:1".into()]).unwrap();
    place.engine.tag("two", &["x".into()]).unwrap();
    assert_eq!(place.engine.find_image("x").unwrap().id, second);
    // Nothing is tagged unless every name can be given.
    assert!(place.engine.tag("one", &["z".into(), "No Name".into()]).is_err());
    assert!(place.engine.tag("one", &[format!("z@sha256:{}", first.hex())]).is_err());
    assert!(!place.engine.image_exists("z").unwrap());
    assert!(matches!(
        place.engine.untag("one", &["y:1".into(), "two".into()]).unwrap_err(),
        Error::NoSuch { .. }
    ));
    assert!(place.engine.image_exists("y:1").unwrap());
    place.engine.untag("one", &["y:1".into()]).unwrap();
    assert_eq!(place.engine.find_image(&first.hex()).unwrap().id, first);
    place.engine.untag("one", &[]).unwrap();
    assert_eq!(place.names(None, &[]), ["localhost/two:latest", "localhost/x:latest"]);
    assert_eq!(place.rows(None, &["dangling=true"]).len(), 1);
}

#[test]
fn rmi_takes_a_name_and_with_the_last_one_the_image() {
    let place = Place::new();
    let id = place.import(Some("one"), "a", &[]);
    place.engine.tag("one", &["two".into()]).unwrap();
    let error = place.remove(&short(&id), false).unwrap_err().to_string();
    assert!(error.contains("several names") && error.contains("localhost/two:latest"), "{error}");
    let removed = place.remove("two", false).unwrap();
    assert_eq!(
        (removed.untagged.as_slice(), removed.deleted),
        (&["localhost/two:latest".to_owned()][..], None)
    );
    let removed = place.remove("one", false).unwrap();
    assert_eq!(removed.untagged, ["localhost/one:latest"]);
    assert_eq!(removed.deleted, Some(id.hex()));
    assert_eq!(place.layers(), 0);
    assert!(matches!(place.remove("one", false).unwrap_err(), Error::NoSuch { .. }));

    let id = place.import(Some("one"), "a", &[]);
    place.engine.tag("one", &["two".into()]).unwrap();
    assert_eq!(place.remove(&id.hex(), true).unwrap().untagged.len(), 2);
    assert_eq!(place.layers(), 0);
}

#[test]
fn an_image_in_use_stays_unless_forced() {
    let place = Place::new();
    let id = place.import(Some("tool"), "a", &[]);
    let Some(container) = place.container("tool", "user") else { return };
    assert_eq!(place.rows(None, &[])[0].containers, 1);
    let error = place.remove("tool", false).unwrap_err();
    assert!(matches!(&error, Error::InUse { by, .. } if by.contains(container.short())), "{error}");
    // Another name may go all the same.
    place.engine.tag("tool", &["other".into()]).unwrap();
    place.remove("other", false).unwrap();
    assert_eq!(place.layers(), 1);
    assert_eq!(place.remove(&id.hex(), true).unwrap().deleted, Some(id.hex()));
    assert!(!place.engine.exists("user").unwrap());
    assert_eq!(place.layers(), 0);
}

#[test]
fn a_container_becomes_an_image() {
    let place = Place::new();
    let base = place.import(Some("base"), "hello", &["CMD [\"sh\"]", "ENV A=b", "WORKDIR /srv"]);
    let Some(container) = place.container("base", "work") else { return };
    let upper = place.upper(&container);
    dhow_sys::fs::write_atomic(&upper.join("new"), b"1", 0o644, dhow_sys::fs::Durability::Volatile)
        .unwrap();
    let diff = place.engine.diff("work", None).unwrap();
    assert!(diff.added.contains(&"/new".to_owned()), "{diff:?}");

    let request = CommitRequest {
        container: "work".into(),
        image: Some("made:1".into()),
        author: Some("me".into()),
        message: Some("why".into()),
        changes: vec!["LABEL x=y".into()],
        pause: true,
        ..CommitRequest::default()
    };
    let made = place.engine.commit(&request).unwrap();
    let inspect = place.engine.image_inspect("made:1").unwrap();
    assert_eq!(inspect.id, made.hex());
    assert_eq!(inspect.config.cmd, ["/bin/true"]);
    assert!(inspect.config.env.contains(&"A=b".to_owned()), "{:?}", inspect.config.env);
    assert_eq!((inspect.config.working_dir.as_str(), inspect.author.as_str()), ("/srv", "me"));
    assert_eq!((inspect.labels["x"].as_str(), inspect.comment.as_str()), ("y", "why"));
    assert_eq!(inspect.root_fs.layers.len(), 2);
    assert_eq!(
        inspect.root_fs.layers[0],
        place.engine.find_image("base").unwrap().diff_ids[0].to_string()
    );
    assert_eq!(place.engine.diff("made:1", None).unwrap(), diff);
    let history = place.engine.history("made:1").unwrap();
    assert_eq!(
        history.iter().map(|step| step.id.clone()).collect::<Vec<_>>(),
        [made.hex(), base.hex()]
    );
    assert_eq!(history[0].created_by, "/bin/true");

    // The image below can go: its layer is that of the new one too, and the container's.
    assert!(matches!(place.remove("base", false).unwrap_err(), Error::InUse { .. }));
    assert_ne!(base, made);

    for bad in [
        CommitRequest { image: Some("Bad Name".into()), ..request.clone() },
        CommitRequest { changes: vec!["RUN true".into()], ..request.clone() },
        CommitRequest { container: "nobody".into(), ..request.clone() },
    ] {
        assert!(place.engine.commit(&bad).is_err(), "{bad:?}");
    }
    assert_eq!(place.rows(None, &[]).len(), 2);
}

#[test]
fn what_cannot_be_loaded_leaves_nothing() {
    let place = Place::new();
    let tar = place.tar(&[("etc/motd", "no image")]);
    let stream = Box::new(Cursor::new(tar.clone()));
    let error =
        place.engine.load(&LoadRequest::default(), Some(stream), &Progress::default()).unwrap_err();
    assert!(error.to_string().contains("standard input"), "{error}");
    let request = ImportRequest { changes: vec!["CMD [".into()], ..ImportRequest::default() };
    assert!(
        place
            .engine
            .import(&request, Some(Box::new(Cursor::new(tar.clone()))), &Progress::default())
            .is_err()
    );
    let request = ImportRequest::default();
    let cut = tar[..700].to_vec();
    assert!(
        place
            .engine
            .import(&request, Some(Box::new(Cursor::new(cut))), &Progress::default())
            .is_err()
    );
    assert!(place.engine.load(&LoadRequest::default(), None, &Progress::default()).is_err());
    assert_eq!((place.rows(None, &[]).len(), place.layers()), (0, 0));
    for part in ["tmp", "blobs/sha256"] {
        let left = fs::read_dir(place.dir.path().join("root").join(part)).unwrap().count();
        assert_eq!(left, 0, "{part}");
    }
}

#[test]
fn an_export_is_the_whole_tree() {
    let place = Place::new();
    place.import(Some("base"), "hello", &[]);
    let Some(container) = place.container("base", "work") else { return };
    if let Err(error) = place.engine.mount("work") {
        assert!(!is_strict(), "{error}");
        return;
    }
    place.engine.unmount("work", false).unwrap();
    let upper = place.upper(&container);
    dhow_sys::fs::write_atomic(&upper.join("new"), b"1", 0o644, dhow_sys::fs::Durability::Volatile)
        .unwrap();
    let mut tar = Vec::new();
    place.engine.export("work", &mut tar).unwrap();
    assert!(place.engine.mounts().unwrap().is_empty());
    let request = ImportRequest { reference: Some("again".into()), ..ImportRequest::default() };
    place.engine.import(&request, Some(Box::new(Cursor::new(tar))), &Progress::default()).unwrap();
    let added = place.engine.diff("again", None).unwrap().added;
    assert!(
        added.contains(&"/etc/motd".to_owned()) && added.contains(&"/new".to_owned()),
        "{added:?}"
    );
    assert!(place.engine.export("nobody", &mut Vec::new()).is_err());

    let request = CommitRequest {
        container: "work".into(),
        image: Some("flat".into()),
        squash: true,
        ..CommitRequest::default()
    };
    place.engine.commit(&request).unwrap();
    let flat = place.engine.image_inspect("flat").unwrap();
    assert_eq!((flat.root_fs.layers.len(), flat.history.len()), (1, 1));
    let added = place.engine.diff("flat", None).unwrap().added;
    assert!(
        added.contains(&"/etc/motd".to_owned()) && added.contains(&"/new".to_owned()),
        "{added:?}"
    );
    assert!(place.engine.mounts().unwrap().is_empty());
}

/// Takes the container's lock at the first write.
struct Renamer<'a> {
    engine: &'a Engine,
    renamed: bool,
}

impl std::io::Write for Renamer<'_> {
    fn write(&mut self, bytes: &[u8]) -> std::io::Result<usize> {
        if !self.renamed {
            self.engine.rename("work", "renamed").map_err(std::io::Error::other)?;
            self.renamed = true;
        }
        Ok(bytes.len())
    }

    fn flush(&mut self) -> std::io::Result<()> {
        Ok(())
    }
}

/// Guards P6: an export that holds the container's lock for as long as somebody reads it.
#[test]
fn others_work_while_an_export_streams() {
    let place = Place::new();
    place.import(Some("base"), "hello", &[]);
    let Some(container) = place.container("base", "work") else { return };
    if let Err(error) = place.engine.mount("work") {
        assert!(!is_strict(), "{error}");
        return;
    }
    place.engine.unmount("work", false).unwrap();
    let mut out = Renamer { engine: &place.engine, renamed: false };
    place.engine.export(container.as_str(), &mut out).unwrap();
    assert!(out.renamed && place.engine.exists("renamed").unwrap());
}
