//! Layers: what extraction makes of honest archives and of hostile ones.

use std::path::Path;

use dhow_tests::{Image, Layer, TestEnv, requires};
use tar::EntryType;

#[track_caller]
fn load(env: &TestEnv, image: Image) {
    let file = env.file("image.tar");
    Image::write_oci_archive(&[image], file.as_ref());
    env.ok(&format!("load -q -i {file}"));
}

/// Loads an image and mounts a container of it; gives the root file system.
#[track_caller]
fn mounted(env: &TestEnv, image: Image) -> String {
    load(env, image);
    env.ok("create --name c localhost/x:1 none");
    env.ok("mount c")
}

#[test]
fn whiteouts_opaque_directories_and_replacements() {
    requires!("root", "overlay", "runc");
    let env = TestEnv::new();
    let below = Layer::new()
        .file("gone", 0o644, "1")
        .dir("dir", 0o755)
        .file("dir/a", 0o644, "1")
        .file("dir/b", 0o644, "1");
    let below = below
        .dir("opaque", 0o755)
        .file("opaque/old", 0o644, "1")
        .file("file-then-dir", 0o644, "1")
        .dir("dir-then-file", 0o755)
        .file("dir-then-file/x", 0o644, "1");
    let middle = Layer::new().whiteout("gone").whiteout("dir/a").opaque("opaque").file(
        "opaque/new",
        0o644,
        "2",
    );
    let middle = middle
        .dir("file-then-dir", 0o700)
        .file("file-then-dir/y", 0o644, "2")
        .file("dir-then-file", 0o644, "2")
        .whiteout("dir");
    let above = Layer::new()
        .dir("dir", 0o755)
        .file("dir/c", 0o644, "3")
        .file("gone", 0o644, "again")
        .hardlink("linked", "opaque/new");
    let root = mounted(&env, Image::new("localhost/x:1").layer(below).layer(middle).layer(above));
    let read = |path: &str| {
        std::fs::read_to_string(Path::new(&root).join(path))
            .unwrap_or_else(|error| error.kind().to_string())
    };
    let list = |path: &str| {
        let mut names: Vec<_> = std::fs::read_dir(Path::new(&root).join(path))
            .expect("a directory")
            .flatten()
            .map(|e| e.file_name())
            .collect();
        names.sort();
        names
    };
    assert_eq!(list("dir"), ["c"]);
    assert_eq!(list("opaque"), ["new"]);
    assert_eq!(list("file-then-dir"), ["y"]);
    assert_eq!(
        (read("gone").as_str(), read("dir-then-file").as_str(), read("linked").as_str()),
        ("again", "2", "2")
    );
    env.ok("unmount c");
}

#[test]
fn kinds_owners_modes_times_attributes() {
    requires!("root", "overlay", "runc");
    use std::os::unix::fs::{FileTypeExt, MetadataExt};
    let env = TestEnv::new();
    let layer = Layer::new()
        .owned("suid", 0o4755, (12, 34), "x")
        .dir("locked", 0o000)
        .file("locked/in", 0o600, "x")
        .fifo("pipe");
    let layer = layer
        .file("a", 0o644, "same")
        .hardlink("b", "a")
        .symlink("l", "/etc/target")
        .xattr("x", "user.note", b"hello");
    let root = mounted(&env, Image::new("localhost/x:1").layer(layer));
    let meta = |path: &str| {
        Path::new(&root)
            .join(path)
            .symlink_metadata()
            .unwrap_or_else(|error| panic!("{path}: {error}"))
    };
    assert_eq!(
        (meta("suid").mode() & 0o7777, meta("suid").uid(), meta("suid").gid()),
        (0o4755, 12, 34)
    );
    assert_eq!(meta("suid").mtime(), 1_000_000_000);
    assert_eq!(meta("locked").mode() & 0o7777, 0);
    assert_eq!(meta("locked").mtime(), 1_000_000_000);
    assert!(meta("pipe").file_type().is_fifo());
    assert_eq!(meta("a").ino(), meta("b").ino());
    assert_eq!(
        std::fs::read_link(Path::new(&root).join("l")).expect("a link"),
        Path::new("/etc/target")
    );
    let value = env.tool("/usr/bin/python3").args([
        "-c",
        "import os,sys; print(os.getxattr(sys.argv[1], 'user.note').decode())",
        &format!("{root}/x"),
    ]);
    if Path::new("/usr/bin/python3").exists() {
        assert_eq!(value.ok(), "hello");
    }
    env.ok("unmount c");
}

#[test]
fn nothing_is_written_outside_the_layer() {
    requires!("root", "overlay", "runc");
    let env = TestEnv::new();
    let victim = env.make_dir("victim");
    env.write("victim/secret", "secret");
    let up = "../".repeat(12);
    let hostile: [(&str, Layer); 8] = [
        (
            "dots",
            Layer::new().file(
                &format!("{up}{}/x", &victim[1..]).chars().take(99).collect::<String>(),
                0o644,
                "x",
            ),
        ),
        ("absolute", Layer::new().file(&format!("{victim}/x"), 0o644, "x")),
        ("through a link", Layer::new().symlink("l", &victim).file("l/x", 0o644, "x")),
        (
            "through a relative link",
            Layer::new().symlink("l", &format!("{up}{}", &victim[1..])).file("l/x", 0o644, "x"),
        ),
        (
            "hard link out",
            Layer::new().hardlink("h", &format!("{victim}/secret")).file("h", 0o644, "overwritten"),
        ),
        (
            "hard link through a link",
            Layer::new().symlink("l", &victim).hardlink("h", "l/secret").file(
                "h",
                0o644,
                "overwritten",
            ),
        ),
        ("whiteout through a link", Layer::new().symlink("l", &victim).whiteout("l/secret")),
        (
            "directory over a link",
            Layer::new().symlink("l", &victim).dir("l", 0o777).file("l/x", 0o644, "x"),
        ),
    ];
    for (what, layer) in hostile {
        let file = env.file("image.tar");
        Image::write_oci_archive(&[Image::new("localhost/x:1").layer(layer)], file.as_ref());
        env.dhow(&format!("load -q -i {file}")).run();
        let names: Vec<_> = std::fs::read_dir(&victim)
            .expect("it is there")
            .flatten()
            .map(|entry| entry.file_name())
            .collect();
        assert_eq!(names, ["secret"], "{what}");
        assert_eq!(
            std::fs::read_to_string(format!("{victim}/secret")).expect("it is there"),
            "secret",
            "{what}"
        );
    }
}

#[test]
fn a_whiteout_of_everything_above_is_refused() {
    requires!("root", "overlay", "runc");
    let env = TestEnv::new();
    for name in [".wh...", ".wh..", "d/.wh...", ".wh."] {
        let file = env.file("image.tar");
        Image::write_oci_archive(
            &[Image::new("localhost/x:1")
                .layer(Layer::new().dir("d", 0o755).file(name, 0o644, ""))],
            file.as_ref(),
        );
        env.dhow(&format!("load -q -i {file}")).run();
        assert!(env.root("").exists());
    }
    load(&env, Image::new("localhost/y:1").layer(Layer::new().file("f", 0o644, "x")));
}

#[test]
fn a_hundred_and_twenty_layers() {
    requires!("root", "overlay", "runc");
    let env = TestEnv::new();
    let mut image = Image::new("localhost/many:1").layer(dhow_tests::image::base_layer());
    for n in 0..119 {
        image = image.layer(Layer::new().file(&format!("layer-{n}"), 0o644, n.to_string()).file(
            "top",
            0o644,
            n.to_string(),
        ));
    }
    load(&env, image);
    assert_eq!(env.ok("run --rm many:1 sh -c 'ls / | grep -c layer-; cat /top'"), "119\n118");
}

#[test]
fn damaged_archives_leave_nothing() {
    requires!("root", "overlay", "runc");
    let env = TestEnv::new();
    env.ok("images");
    let image = Image::new("localhost/x:1")
        .layer(Layer::new().file("big", 0o644, vec![7; 300_000]))
        .layer(Layer::new().file("f", 0o644, "x"));
    let whole = env.file("whole.tar");
    Image::write_docker_archive(std::slice::from_ref(&image), whole.as_ref());
    let bytes = std::fs::read(&whole).expect("just written");
    for length in [0, 1, 100, 512, 5000, bytes.len() / 2] {
        let file = env.write("cut.tar", &bytes[..length]);
        env.dhow(&format!("load -i {file}")).run().fails(125, "");
    }
    // A flipped byte in the layer: its digest is not what the configuration says.
    let mut wrong = bytes.clone();
    let at = wrong.windows(64).position(|window| window == [7; 64]).expect("the file's contents");
    wrong[at] = 8;
    let file = env.write("wrong.tar", &wrong);
    env.dhow(&format!("load -i {file}")).run().fails(125, "digest");
    let layout = env.make_dir("layout");
    Image::write_oci_dir(&[image], layout.as_ref());
    for blob in std::fs::read_dir(format!("{layout}/blobs/sha256")).expect("blobs").flatten() {
        let path = blob.path();
        let good = std::fs::read(&path).expect("a blob");
        let mut bad = good.clone();
        *bad.last_mut().expect("not empty") ^= 1;
        let at = path.strip_prefix(env.path().join("work")).expect("below").display().to_string();
        env.write(&at, &bad);
        env.dhow(&format!("load -i {layout}")).run().fails(125, "");
        std::fs::remove_file(&path).expect("ours");
        env.dhow(&format!("load -i {layout}")).run().fails(125, "");
        env.write(&at, &good);
    }
    for junk in ["{", "not a tar at all", "[]"] {
        let file = env.write("junk", junk);
        env.dhow(&format!("load -i {file}")).run().fails(125, "");
        env.write("layout/index.json", junk);
        env.dhow(&format!("load -i {layout}")).run().fails(125, "");
    }
    assert_eq!(env.ok("images -qa"), "");
    let left: Vec<_> = std::fs::read_dir(env.root("layers"))
        .into_iter()
        .flatten()
        .flatten()
        .filter(|e| e.path().is_dir())
        .collect();
    assert!(left.is_empty(), "{left:?}");
}

#[test]
fn a_bomb_is_bounded() {
    requires!("root", "overlay", "runc");
    let env = TestEnv::new();
    // An entry that claims 8 EiB, and a file name of an extension header that claims 4 GiB.
    for kind in [EntryType::Regular, EntryType::GNULongName, EntryType::XHeader] {
        let mut header = tar::Header::new_gnu();
        header.set_path("x").expect("short");
        header.set_entry_type(kind);
        header.set_size(if kind == EntryType::Regular { 1 << 62 } else { 4 << 30 });
        header.set_mode(0o644);
        header.set_cksum();
        let file = env.write("bomb.tar", header.as_bytes());
        env.dhow(&format!("import {file} bomb")).run().fails(125, "");
    }
    assert_eq!(env.ok("images -qa"), "");
}
