//! Images: load, import, tag, untag, rmi, history, commit, diff, export, mount.

use std::path::Path;

use dhow_tests::image::Compression;
use dhow_tests::{BASE, Image, Layer, TestEnv, requires};

fn sample(name: &str, text: &str) -> Image {
    Image::new(name)
        .layer(Layer::new().dir("etc", 0o755).file("etc/one", 0o644, text))
        .layer(Layer::new().file("two", 0o600, "2"))
}

#[test]
fn every_kind_of_archive() {
    requires!("root", "overlay", "runc");
    let env = TestEnv::new();
    let file = env.file("archive.tar");
    for (number, compression) in
        [Compression::None, Compression::Gzip, Compression::Zstd].into_iter().enumerate()
    {
        let image = sample(&format!("localhost/oci:{number}"), "x").compression(compression);
        let id = image.id();
        let dir = env.make_dir(&format!("layout{number}"));
        Image::write_oci_dir(std::slice::from_ref(&image), dir.as_ref());
        assert!(env.ok(&format!("load -i {dir}")).contains(&format!("localhost/oci:{number}")));
        Image::write_oci_archive(std::slice::from_ref(&image), file.as_ref());
        env.ok(&format!("load -q -i {file}"));
        Image::write_docker_archive(
            &[sample(&format!("localhost/docker:{number}"), "x").compression(compression)],
            file.as_ref(),
        );
        env.dhow("load").stdin(std::fs::read(&file).expect("just written")).ok();
        assert_eq!(
            env.ok(&format!("image inspect --format {{{{.Id}}}} localhost/docker:{number}")),
            id
        );
    }
    // The same contents six times are one image.
    assert_eq!(env.ok("images -q").lines().collect::<std::collections::HashSet<_>>().len(), 1);
}

#[test]
fn several_images_in_one_archive_and_names_of_docker() {
    requires!("root", "overlay", "runc");
    let env = TestEnv::new();
    let file = env.file("many.tar");
    let images = [
        sample("docker.io/library/one:1", "1").also("docker.io/library/uno:latest"),
        sample("docker.io/someone/two:2", "2"),
    ];
    Image::write_docker_archive(&images, file.as_ref());
    let said = env.ok(&format!("load -i {file}"));
    for name in
        ["docker.io/library/one:1", "docker.io/library/uno:latest", "docker.io/someone/two:2"]
    {
        assert!(said.contains(name), "{name} is not in {said}");
    }
    for (name, image) in [("one:1", 0), ("uno", 0), ("library/uno:latest", 0), ("someone/two:2", 1)]
    {
        assert_eq!(
            env.ok(&format!("image inspect --format {{{{.Id}}}} {name}")),
            images[image].id(),
            "{name}"
        );
    }
    assert_eq!(env.ok("images --format {{.Repository}}").lines().count(), 3);
}

#[test]
fn archives_of_skopeo_and_umoci() {
    requires!("root", "overlay", "runc", "skopeo", "umoci");
    let env = TestEnv::new();
    let layout = env.file("layout");
    Image::write_oci_dir(&[dhow_tests::image::base()], layout.as_ref());
    let source = format!("oci:{layout}:{BASE}");
    for (kind, target) in [("docker-archive", "d.tar"), ("oci-archive", "o.tar"), ("oci", "o")] {
        let target = env.file(target);
        let skopeo = env.tool("/usr/bin/skopeo").args([
            "copy",
            "--insecure-policy",
            &source,
            &format!("{kind}:{target}:localhost/{kind}:1"),
        ]);
        skopeo.ok();
        env.ok(&format!("load -q -i {target}"));
        assert_eq!(
            env.ok(&format!("run --rm localhost/{kind}:1 cat /data/seed")),
            "seed",
            "{kind}"
        );
    }
    let umoci = |line: &str| env.tool("/usr/bin/umoci").args(dhow_tests::split(line)).ok();
    umoci(&format!("new --image {layout}:localhost/umoci:1"));
    let bundle = env.file("bundle");
    umoci(&format!("unpack --image {layout}:localhost/umoci:1 {bundle}"));
    dhow_tests::image::unpack_base(format!("{bundle}/rootfs").as_ref());
    umoci(&format!("repack --image {layout}:localhost/umoci:1 {bundle}"));
    umoci(&format!(
        "config --image {layout}:localhost/umoci:1 --config.cmd probe --config.cmd args --config.cmd hi"
    ));
    env.ok(&format!("load -q -i {layout}"));
    assert_eq!(env.ok("run --rm localhost/umoci:1"), "hi");
    // What skopeo left in its temporary directory is not dhow's.
    for entry in std::fs::read_dir(env.path().join("tmp")).expect("it is there").flatten() {
        std::fs::remove_dir_all(entry.path()).or_else(|_| std::fs::remove_file(entry.path())).ok();
    }
}

#[test]
fn import_a_root_file_system() {
    requires!("root", "overlay", "runc");
    let env = TestEnv::new();
    let tar = dhow_tests::image::base_layer().tar();
    let file = env.write("root.tar", &tar);
    let id = env.ok(&format!("import -q --change 'CMD=[\"echo\",\"hi\"]' --change ENV=A=1 --change 'WORKDIR /data' --message why {file} imported:1"));
    assert!(
        env.ok("image inspect --format {{.Id}} imported:1")
            .starts_with(id.trim_start_matches("sha256:"))
    );
    assert_eq!(env.ok("run --rm imported:1"), "hi");
    assert_eq!(env.ok("run --rm imported:1 sh -c 'echo $A; pwd'"), "1\n/data");
    assert!(env.ok("history --no-trunc imported:1").contains("why"));
    env.dhow("import - piped").stdin(dhow_tests::image::compress(&tar, Compression::Zstd)).ok();
    assert_eq!(env.ok("run --rm piped echo in"), "in");
    env.fails(&format!("import --change NONSENSE=1 {file}"), 125, "NONSENSE");
    env.fails("import /no/such/file", 125, "/no/such/file");
}

#[test]
fn tags_come_and_go() {
    requires!("root", "overlay", "runc");
    let env = TestEnv::with_base();
    let id = env.ok(&format!("image inspect --format {{{{.Id}}}} {BASE}"));
    env.ok("tag base other:2 third");
    assert_eq!(env.ok("images --format '{{.Repository}}:{{.Tag}}'").lines().count(), 3);
    env.ok("untag base other:2");
    env.fails("image inspect other:2", 125, "other:2");
    assert_eq!(env.ok("run --rm third echo x"), "x");
    assert_eq!(env.ok(&format!("run --rm {} echo x", &id[..12])), "x");
    env.fails(&format!("rmi {}", &id[..12]), 125, "several names");
    assert!(env.ok("rmi third").contains("localhost/third:latest"));
    let said = env.ok("rmi base");
    assert!(said.contains(&id), "{said}");
    assert_eq!(env.ok("images -qa"), "");
    env.fails("rmi base", 1, "base");
    for bad in ["UPPER", "a b", "a:b:c", "-x", "a//b", "a@sha256:short"] {
        let output = env.dhow("tag").args([BASE, bad]).run();
        assert_ne!(output.code, 0, "the name {bad:?} was accepted");
    }
}

#[test]
fn an_image_in_use_stays() {
    requires!("root", "overlay", "runc");
    let env = TestEnv::with_base();
    env.ok(&format!("run -d --name c {BASE} probe hold"));
    env.fails(&format!("rmi {BASE}"), 2, "in use");
    assert_eq!(env.ok("exec c cat /data/seed"), "seed");
    env.ok(&format!("rmi -f {BASE}"));
    env.assert_no_containers();
    assert_eq!(env.ok("images -qa"), "");
}

#[test]
fn commit_diff_and_history() {
    requires!("root", "overlay", "runc");
    let env = TestEnv::with_base();
    env.ok(&format!("run --name c {BASE} sh -c 'echo new > /new; rm /data/seed; echo more >> /etc/group; mkdir /d; ln -s x /link'"));
    let diff = env.ok("diff c");
    for line in ["A /new", "D /data/seed", "C /etc/group", "A /d", "A /link", "C /data", "C /etc"] {
        assert!(diff.lines().any(|l| l == line), "{line} is not in {diff}");
    }
    let id = env.ok(
        "commit -q --author me --message why --change 'CMD cat /new' --change LABEL=a=b c made:1",
    );
    assert_eq!(env.ok("run --rm made:1"), "new");
    assert_eq!(env.ok("run --rm made:1 sh -c 'test -e /data/seed || echo gone; tail -n 1 /etc/group; readlink /link'"), "gone\nmore\nx");
    assert_eq!(env.ok("image inspect --format '{{.Labels.a}} {{.Author}}' made:1"), "b me");
    assert!(
        env.ok("image inspect --format {{.Id}} made:1")
            .starts_with(id.trim_start_matches("sha256:"))
    );
    let history = env.ok("history made:1 --format '{{.ID}} {{.Comment}}'");
    assert!(history.lines().count() >= 2 && history.contains("why"), "{history}");
    env.ok("run -d --name r made:1 probe hold");
    let file = env.file("iid");
    env.ok(&format!("commit -q --pause --iidfile {file} r"));
    assert_eq!(env.status("r"), "running");
    assert!(
        std::fs::read_to_string(&file).expect("written").contains(|c: char| c.is_ascii_hexdigit())
    );
    env.fails("commit nobody x", 125, "nobody");
    env.fails("commit c BAD", 125, "BAD");
    env.ok("rm -f -t 0 r");
    env.ok("rmi base -f");
}

#[test]
fn export_is_the_root_as_a_stream() {
    requires!("root", "overlay", "runc");
    let env = TestEnv::with_base();
    env.ok(&format!(
        "run -d --name c {BASE} sh -c 'echo new > /new; rm /data/seed; exec probe hold'"
    ));
    dhow_tests::wait_until("it has done it", || env.ok("logs c").contains("holding"));
    let file = env.file("out.tar");
    env.ok(&format!("export -o {file} c"));
    let names = |bytes: &[u8]| {
        let mut archive = tar::Archive::new(bytes);
        let entries = archive
            .entries()
            .expect("a tar")
            .map(|entry| entry.expect("whole").path().expect("a path").display().to_string());
        entries
            .map(|name| name.trim_matches('/').trim_start_matches("./").to_owned())
            .collect::<Vec<_>>()
    };
    let written = names(&std::fs::read(&file).expect("written"));
    assert!(
        written.iter().any(|name| name == "new") && !written.iter().any(|name| name == "data/seed"),
        "{written:?}"
    );
    env.ok("stop -t 0 c");
    assert_eq!(names(&env.dhow("export c").run().stdout).len(), written.len());
    env.assert_quiet();
    env.fails("export -o /no/such/dir/out.tar c", 125, "/no/such/dir");
    env.fails("export nobody", 125, "nobody");
    env.ok("import -q {} again".replace("{}", &file).as_str());
    assert_eq!(env.ok("run --rm again cat /new"), "new");
}

#[test]
fn mount_and_unmount_count() {
    requires!("root", "overlay", "runc");
    let env = TestEnv::with_base();
    env.ok(&format!("create --name c {BASE} probe hold"));
    let place = env.ok("mount c");
    assert_eq!(
        std::fs::read_to_string(Path::new(&place).join("data/seed")).expect("mounted"),
        "seed\n"
    );
    assert_eq!(env.ok("mount c"), place);
    assert!(env.ok("mount").contains(&place));
    env.ok("start c");
    assert!(
        env.ok("exec c cat /proc/self/mountinfo").contains("/dev/shm"),
        "shm is mounted all the same (Q13)"
    );
    env.ok("unmount c");
    assert!(Path::new(&place).join("data/seed").exists(), "two mounts, one unmount (Q14)");
    assert_eq!(env.ok("exec c cat /data/seed"), "seed");
    env.ok("stop -t 0 c");
    assert!(Path::new(&place).join("data/seed").exists(), "stop leaves the user's mount (Q14)");
    env.ok("umount c");
    env.assert_quiet();
    env.ok("mount c");
    env.ok("unmount --force c");
    env.assert_quiet();
    for verb in ["init", "start"] {
        env.ok(&format!("{verb} c"));
        env.fails("unmount c", 125, "its process uses the mount");
    }
    assert_eq!(env.ok("exec c cat /data/seed"), "seed", "what runs keeps its root (Q16)");
    env.ok("stop -t 0 c");
    env.fails("mount nobody", 125, "nobody");
}

#[test]
fn images_lists_and_filters() {
    requires!("root", "overlay", "runc");
    let env = TestEnv::with_base();
    assert_eq!(env.ok("images --format '{{.Repository}} {{.Tag}}'"), "localhost/base latest");
    assert_eq!(env.ok("images --noheading").lines().count(), 1);
    assert!(env.ok("images").starts_with("REPOSITORY"));
    assert_eq!(env.ok("images --filter reference=nothing -q"), "");
    let json: serde_json::Value =
        serde_json::from_str(&env.ok("images --format json")).expect("json");
    assert_eq!(json[0]["Names"][0], BASE);
    assert_eq!(env.ok("images base -q").lines().count(), 1);
    assert!(env.ok("images --digests").contains("sha256:"));
    env.fails("images --filter nonsense=1", 125, "nonsense");
}

#[test]
fn removing_an_image_leaves_no_byte() {
    requires!("root", "overlay", "runc");
    let env = TestEnv::with_base();
    env.ok(&format!("rmi {BASE}"));
    let layers = std::fs::read_dir(env.root("layers"))
        .expect("it is there")
        .flatten()
        .filter(|e| e.path().is_dir())
        .count();
    assert_eq!(layers, 0);
}
