//! Images out: every format that `save` writes, read by the tools it is for, and back again.

use dhow_tests::podman::Podman;
use dhow_tests::{BASE, TestEnv, requires};

const FORMATS: [&str; 4] = ["docker-archive", "oci-archive", "oci-dir", "docker-dir"];

#[test]
fn what_is_saved_is_the_same_image_when_loaded() {
    requires!("root", "overlay", "runc");
    let env = TestEnv::with_base();
    env.ok("run --name c base sh -c 'echo new > /data/new; rm /data/seed; mkdir -p /a/b'");
    env.ok("commit -q c localhost/made:1");
    let id = env.ok("image inspect --format {{.Id}} localhost/made:1");
    let other = TestEnv::new();
    for format in FORMATS {
        let file = env.file(format);
        env.ok(&format!("save -q --format {format} -o {file} localhost/made:1"));
        let said = other.ok(&format!("load -q -i {file}"));
        let name = said.trim_start_matches("Loaded image: ").to_owned();
        assert_eq!(other.ok(&format!("image inspect --format {{{{.Id}}}} {name}")), id, "{format}");
        assert_eq!(other.ok(&format!("run --rm {name} ls /data")), "new", "{format}");
        other.ok(&format!("rmi {name}"));
    }
    // Through a pipe, by id, with more names, several at once.
    let archive = env.dhow(&format!("save {BASE} more:1")).run();
    let said = other.dhow("load -q").stdin(&archive.stdout).ok();
    assert!(said.contains(BASE) && said.contains("localhost/more:1"), "{said}");
    let file = env.file("by-id.tar");
    env.ok(&format!("save -q -o {file} {}", &id[..12]));
    assert_eq!(other.ok(&format!("load -q -i {file}")), format!("Loaded image: sha256:{id}"));
    env.ok(&format!("save -q -m --format oci-archive -o {file} {BASE} localhost/made:1"));
    assert_eq!(other.ok(&format!("load -q -i {file}")).lines().count(), 2);
}

#[test]
fn what_cannot_be_saved_leaves_nothing() {
    requires!("root", "overlay", "runc");
    let env = TestEnv::with_base();
    let dir = env.make_dir("out");
    let target = format!("{dir}/x");
    env.fails(&format!("save -o {target} nosuch"), 125, "nosuch");
    env.fails(&format!("save --format nonsense -o {target} {BASE}"), 125, "docker-archive");
    env.fails(&format!("save --compress -o {target} {BASE}"), 125, "docker-dir");
    env.fails(&format!("save --format oci-dir {BASE}"), 125, "--output");
    env.fails(&format!("save -m --format docker-dir -o {target} {BASE} {BASE}"), 125, "one image");
    env.fails(&format!("save --format oci-dir -o {} {BASE}", env.path().display()), 125, "empty");
    env.fails(&format!("save -o /no/such/dir/x {BASE}"), 125, "/no/such/dir");
    assert_eq!(std::fs::read_dir(&dir).expect("a directory").count(), 0);
    // A layer that somebody has written into.
    let layers = std::fs::read_dir(env.root("layers")).expect("there are layers");
    for layer in layers.flatten() {
        std::fs::remove_file(layer.path().join("diff/data/seed")).ok();
    }
    env.fails(&format!("save -o {target} {BASE}"), 125, "data/seed");
    assert_eq!(std::fs::read_dir(&dir).expect("a directory").count(), 0);
}

#[test]
fn skopeo_and_umoci_take_what_is_saved() {
    requires!("root", "overlay", "runc", "skopeo", "umoci");
    let env = TestEnv::with_base();
    let id = env.ok(&format!("image inspect --format {{{{.Id}}}} {BASE}"));
    let transports = ["docker-archive", "oci-archive", "oci", "dir"];
    for (format, transport) in FORMATS.into_iter().zip(transports) {
        let file = env.file(format);
        env.ok(&format!("save -q --format {format} -o {file} {BASE}"));
        let skopeo = |args: &[&str]| env.tool("/usr/bin/skopeo").args(args).ok();
        let source = format!("{transport}:{file}");
        let inspected = skopeo(&["inspect", "--raw", &source]);
        assert!(inspected.contains(&id), "{format}: {inspected}");
        // A copy verifies every digest.
        let copy = env.file(&format!("copy-{format}"));
        skopeo(&["copy", "--insecure-policy", &source, &format!("dir:{copy}")]);
        assert_eq!(env.ok(&format!("load -q -i {copy}")).lines().count(), 1);
        let name = format!("localhost/copy-{format}:latest");
        assert_eq!(env.ok(&format!("image inspect --format {{{{.Id}}}} {name}")), id);
    }
    let layout = env.file("oci-dir");
    let bundle = env.file("bundle");
    let umoci = |line: &str| env.tool("/usr/bin/umoci").args(dhow_tests::split(line)).ok();
    umoci(&format!("unpack --image {layout}:{BASE} {bundle}"));
    let seed = std::fs::read_to_string(format!("{bundle}/rootfs/data/seed"));
    assert_eq!(seed.expect("the file is there"), "seed\n");
    umoci(&format!("repack --image {layout}:{BASE} {bundle}"));
    env.ok(&format!("load -q -i {layout}"));
    for entry in std::fs::read_dir(env.path().join("tmp")).expect("it is there").flatten() {
        std::fs::remove_dir_all(entry.path()).or_else(|_| std::fs::remove_file(entry.path())).ok();
    }
}

#[test]
fn podman_takes_what_is_saved() {
    requires!("root", "overlay", "runc", "podman");
    let env = TestEnv::with_base();
    let podman = Podman::new(&env);
    let id = env.ok(&format!("image inspect --format {{{{.Id}}}} {BASE}"));
    // Not oci-dir: podman names such an image after the whole path, which has capitals here.
    for format in ["docker-archive", "oci-archive"] {
        let file = env.file(format);
        env.ok(&format!("save -q --format {format} -o {file} {BASE}"));
        podman.ok(&format!("load -q -i {file}"));
        assert_eq!(podman.ok("images -q --no-trunc").trim(), format!("sha256:{id}"), "{format}");
        let seed = podman.ok(&format!("run --rm --network none {id} cat /data/seed"));
        assert_eq!(seed, "seed", "{format}");
        podman.ok("rmi --all --force");
    }
}
