//! Archives that the real tools write.

use std::path::{Path, PathBuf};

use dhow_sys::process::{self, OutputLimits, Spawn};

use super::*;

/// The program's path; `None` where it is not installed, which is a failure if STRICT is set.
#[expect(clippy::disallowed_methods, reason = "the test's own environment")]
fn program(name: &str) -> Option<PathBuf> {
    let path = std::env::var_os("PATH").unwrap_or_default();
    let found = std::env::split_paths(&path).map(|dir| dir.join(name)).find(|path| path.is_file());
    assert!(
        found.is_some() || std::env::var_os("STRICT").is_none_or(|v| v != "1"),
        "{name} is not installed"
    );
    found
}

#[expect(clippy::disallowed_methods, reason = "the test's own environment")]
fn run(program: &Path, args: &[&str], dir: &Path) {
    let spawn = Spawn::new(program)
        .args(args.iter().copied())
        .env("PATH", std::env::var_os("PATH").unwrap_or_default())
        .env("HOME", dir)
        .env("TMPDIR", dir);
    let output =
        process::output(Spawn { cwd: Some(dir.to_path_buf()), ..spawn }, &OutputLimits::default())
            .unwrap();
    assert!(
        output.status.success(),
        "{} {args:?}: {}",
        program.display(),
        String::from_utf8_lossy(&output.stderr)
    );
}

/// A place with an OCI layout `src` of one image, `two` layers.
fn source() -> Place {
    let place = Place::new();
    let mut entries = Entries::new();
    let layers = [
        gzipped(layer(&[("etc/motd", "hello"), ("gone", "1")])),
        gzipped(layer(&[("etc/motd", "world"), (".wh.gone", "")])),
    ];
    let descriptor = oci_image(&mut entries, &layers, "amd64");
    index(&mut entries, &[named(descriptor, "v1")]);
    write_dir(&entries, &place.dir.path().join("src"));
    place
}

fn check(place: &Place, archive: &str, expected: &[&str]) {
    let loaded = place
        .load(&place.dir.path().join(archive))
        .unwrap_or_else(|e| panic!("{archive}: {}", chain(&e)));
    assert_eq!(names(&loaded), expected, "{archive}");
    let id = loaded[0].id.hex();
    assert_eq!(place.read(&id, "etc/motd").as_deref(), Some("world"), "{archive}");
}

#[test]
fn what_skopeo_copies() {
    let Some(skopeo) = program("skopeo") else { return };
    let place = source();
    let copy = |args: &[&str]| {
        run(&skopeo, &[&["copy", "-q", "--insecure-policy"], args].concat(), place.dir.path());
    };
    copy(&["oci:src:v1", "oci-archive:oci.tar:busybox"]);
    check(&place, "oci.tar", &["localhost/busybox:latest"]);
    copy(&["oci:src:v1", "oci-archive:full.tar:example.org/a/b:2"]);
    check(&place, "full.tar", &["example.org/a/b:2"]);
    copy(&["oci:src:v1", "oci-archive:none.tar"]);
    check(&place, "none.tar", &[]);
    copy(&["oci:src:v1", "docker-archive:docker.tar:busybox:1"]);
    check(&place, "docker.tar", &["docker.io/library/busybox:1"]);
    copy(&["oci:src:v1", "docker-archive:unnamed.tar"]);
    check(&place, "unnamed.tar", &[]);
    copy(&["--dest-compress-format", "zstd", "--dest-compress", "oci:src:v1", "oci:zstd:v2"]);
    check(&place, "zstd", &["localhost/zstd:v2"]);
    copy(&["oci:src:v1", "oci:several:one"]);
    copy(&["oci:src:v1", "oci:several:example.org/two:2"]);
    check(&place, "several", &["localhost/several:one", "example.org/two:2"]);
}

#[test]
fn what_podman_saves() {
    let (Some(podman), Some(_)) = (program("podman"), program("skopeo")) else { return };
    let place = source();
    let (root, runroot) = (place.dir.path().join("podman"), place.dir.path().join("podman-run"));
    let global = [
        "--root",
        root.to_str().unwrap(),
        "--runroot",
        runroot.to_str().unwrap(),
        "--storage-driver",
        "vfs",
    ];
    let call = |args: &[&str]| run(&podman, &[&global, args].concat(), place.dir.path());
    call(&["load", "-q", "-i", "src"]);
    call(&["tag", "localhost/src:latest", "tool:1", "example.org/tool:2"]);
    call(&["save", "-q", "-o", "docker.tar", "tool:1"]);
    check(&place, "docker.tar", &["localhost/tool:1"]);
    call(&["save", "-q", "--format", "oci-archive", "-o", "oci.tar", "tool:1"]);
    check(&place, "oci.tar", &["localhost/tool:1"]);
    call(&["save", "-q", "-m", "-o", "both.tar", "tool:1", "example.org/tool:2"]);
    check(&place, "both.tar", &["localhost/tool:1", "example.org/tool:2"]);
    call(&["save", "-q", "--format", "oci-dir", "-o", "dir", "tool:1"]);
    check(&place, "dir", &["localhost/tool:1"]);
    // vfs leaves no mount; the directory goes with the place.
    call(&["rmi", "-a", "-f"]);
}

#[test]
fn what_umoci_makes() {
    let Some(umoci) = program("umoci") else { return };
    let place = Place::new();
    let call = |args: &[&str]| run(&umoci, args, place.dir.path());
    call(&["init", "--layout", "made"]);
    call(&["new", "--image", "made:v1"]);
    write_dir(
        &Entries::from([("etc/motd".to_owned(), b"world".to_vec())]),
        &place.dir.path().join("files"),
    );
    call(&["insert", "--image", "made:v1", "files/etc", "/etc"]);
    check(&place, "made", &["localhost/made:v1"]);
}
