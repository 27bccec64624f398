//! Volumes, binds, tmpfs, read-only roots, devices.

use std::os::unix::fs::MetadataExt;

use dhow_tests::{BASE, TestEnv, requires};

/// The mount options of a destination, as the container sees them.
#[track_caller]
fn options(env: &TestEnv, flags: &str, destination: &str) -> String {
    let mounts = env.ok(&format!("run --rm {flags} {BASE} cat /proc/self/mountinfo"));
    let line = mounts.lines().rfind(|line| line.split(' ').nth(4) == Some(destination));
    line.unwrap_or_else(|| panic!("nothing is mounted on {destination}:\n{mounts}")).to_owned()
}

#[test]
fn a_host_directory() {
    requires!("root", "overlay", "runc");
    let env = TestEnv::with_base();
    let dir = env.make_dir("shared");
    env.ok(&format!("run --rm -v {dir}:/in {BASE} sh -c 'echo x > /in/file'"));
    assert_eq!(std::fs::read_to_string(format!("{dir}/file")).expect("written through"), "x\n");
    let output = env.dhow(&format!("run --rm -v {dir}:/in:ro {BASE} touch /in/new")).run();
    assert!(output.code == 1 && output.stderr.contains("Read-only"), "{}", output.both());
    let line = options(&env, &format!("-v {dir}:/in:nosuid,nodev,noexec"), "/in");
    assert!(line.contains("nosuid") && line.contains("nodev") && line.contains("noexec"), "{line}");
    assert!(options(&env, &format!("-v {dir}:/in:shared"), "/in").contains(" shared:"), "shared");
    assert!(
        !options(&env, &format!("-v {dir}:/in"), "/in").contains(" shared:"),
        "private by default"
    );
    assert_eq!(
        env.ok(&format!("run --rm -v {dir}/file:/etc/one-file {BASE} cat /etc/one-file")),
        "x"
    );
    env.fails(&format!("run --rm -v /no/such/dir:/in {BASE} true"), 125, "/no/such/dir");
    env.assert_no_containers();
}

#[test]
fn an_overlay_of_a_host_directory_and_a_change_of_owner() {
    requires!("root", "overlay", "runc");
    let env = TestEnv::with_base();
    let dir = env.make_dir("shared");
    env.write("shared/file", "x");
    assert_eq!(
        env.ok(&format!("run --rm -v {dir}:/in:O {BASE} sh -c 'echo y > /in/new; ls /in'")),
        "file\nnew"
    );
    assert!(!std::path::Path::new(&dir).join("new").exists());
    env.ok(&format!("run --rm --user 1000:2000 -v {dir}:/in:U {BASE} touch /in/mine"));
    let meta = std::fs::metadata(format!("{dir}/file")).expect("it is there");
    assert_eq!((meta.uid(), meta.gid()), (1000, 2000));
    env.ok(&format!("run --rm -v {dir}:/in:z {BASE} true"));
    env.ok(&format!("run --rm -v {dir}:/in:Z {BASE} true"));
    env.assert_no_containers();
}

#[test]
fn a_named_volume_is_made_filled_and_kept() {
    requires!("root", "overlay", "runc");
    let env = TestEnv::with_base();
    assert_eq!(env.ok(&format!("run --rm -v vol:/data {BASE} sh -c 'cat /data/seed; stat -c %u:%g:%a /data/seed; echo more > /data/more'")), "seed\n1000:2000:640");
    assert_eq!(env.ok(&format!("run --rm -v vol:/data {BASE} ls /data")), "more\nseed");
    env.ok(&format!("run --rm -v vol:/data {BASE} rm /data/seed"));
    assert_eq!(
        env.ok(&format!("run --rm -v vol:/data {BASE} ls /data")),
        "more",
        "it is filled once only"
    );
    assert_eq!(env.ok(&format!("run --rm -v bare:/data:nocopy {BASE} ls /data")), "");
    assert_eq!(
        env.ok(&format!(
            "run --rm --mount type=volume,src=vol,dst=/elsewhere,ro {BASE} ls /elsewhere"
        )),
        "more"
    );
    let output = env
        .dhow(&format!(
            "run --rm --mount type=volume,src=vol,dst=/elsewhere,ro=true {BASE} touch /elsewhere/x"
        ))
        .run();
    assert_eq!(output.code, 1);
}

#[test]
fn anonymous_volumes_and_those_of_the_image() {
    requires!("root", "overlay", "runc");
    let env = TestEnv::with_base();
    let image = dhow_tests::Image::new("localhost/vols:1").layer(dhow_tests::image::base_layer());
    let image = image.config("Volumes", serde_json::json!({"/data": {}}));
    let archive = env.file("vols.tar");
    dhow_tests::Image::write_oci_archive(&[image], archive.as_ref());
    env.ok(&format!("load -q -i {archive}"));
    env.ok("run --name c vols:1 sh -c 'echo kept > /data/new; echo lost > /tmp/new'");
    env.ok("start c");
    assert_eq!(
        env.inspect("c", "{{(index .Mounts 0).Destination}} {{(index .Mounts 0).Type}}"),
        "/data volume"
    );
    let source = env.inspect("c", "{{(index .Mounts 0).Source}}");
    assert_eq!(std::fs::read_to_string(format!("{source}/new")).expect("in the volume"), "kept\n");
    assert_eq!(std::fs::read_to_string(format!("{source}/seed")).expect("copied up"), "seed\n");
    let mounted = env.ok("run --rm --tmpfs /data vols:1 grep ' /data ' /proc/self/mountinfo");
    assert!(mounted.contains("- tmpfs"), "a flag wins over the image's volume: {mounted}");
    env.ok("rm -v c");
    assert!(!std::path::Path::new(&source).exists());
}

#[test]
fn the_mount_flag() {
    requires!("root", "overlay", "runc");
    let env = TestEnv::with_base();
    let dir = env.make_dir("shared");
    env.write("shared/file", "x");
    assert_eq!(
        env.ok(&format!("run --rm --mount type=bind,source={dir},target=/in {BASE} cat /in/file")),
        "x"
    );
    let line = options(
        &env,
        &format!("--mount type=bind,src={dir},dst=/in,readonly,bind-propagation=rslave"),
        "/in",
    );
    assert!(line.contains(" ro,"), "{line}");
    let line = options(
        &env,
        "--mount type=tmpfs,destination=/scratch,tmpfs-size=1m,tmpfs-mode=0700",
        "/scratch",
    );
    assert!(line.contains("size=1024k") && line.contains("mode=700"), "{line}");
    for bad in [
        "type=nonsense,dst=/x",
        "type=bind,dst=/x",
        "type=bind,src=/tmp",
        "type=tmpfs,dst=relative",
        "type=tmpfs,dst=/x,unknown=1",
        "type=bind,src=/no/such,dst=/x",
        "",
    ] {
        env.dhow("run --rm")
            .arg(format!("--mount={bad}"))
            .args([BASE, "true"])
            .run()
            .fails(125, "");
    }
    for bad in [
        "/a:/b:nonsense",
        "/tmp:relative",
        "a:b:c:d",
        "/tmp:/",
        "",
        ":/x",
        "bad name:/x",
        "../x:/y",
        "/tmp:/a:ro,rw",
    ] {
        env.dhow("run --rm")
            .arg(format!("--volume={bad}"))
            .args([BASE, "true"])
            .run()
            .fails(125, "");
    }
    let twice = format!("run --rm -v {dir}:/x -v /tmp:/x {BASE} true");
    env.fails(&twice, 125, "/x");
    env.assert_no_containers();
}

#[test]
fn tmpfs() {
    requires!("root", "overlay", "runc");
    let env = TestEnv::with_base();
    let line = options(&env, "--tmpfs /scratch", "/scratch");
    assert!(line.contains("tmpfs") && line.contains("nosuid") && line.contains("nodev"), "{line}");
    let line = options(&env, "--tmpfs /scratch:size=2m,mode=711,exec,ro", "/scratch");
    assert!(
        line.contains("size=2048k") && line.contains("mode=711") && line.contains(" ro,"),
        "{line}"
    );
    env.dhow(&format!("run --rm --tmpfs /x:nonsense {BASE} true")).run().fails(125, "nonsense");
    env.dhow(&format!("run --rm --tmpfs relative {BASE} true")).run().fails(125, "relative");
}

#[test]
fn a_read_only_root() {
    requires!("root", "overlay", "runc");
    let env = TestEnv::with_base();
    let script = "sh -c 'touch /x 2>/dev/null && echo root; touch /tmp/x 2>/dev/null && echo tmp; touch /run/x 2>/dev/null && echo run; touch /dev/shm/x && echo shm'";
    assert_eq!(env.ok(&format!("run --rm {BASE} {script}")), "root\ntmp\nrun\nshm");
    assert_eq!(env.ok(&format!("run --rm --read-only {BASE} {script}")), "tmp\nrun\nshm");
    let strict = env
        .dhow(&format!("run --rm --read-only --read-only-tmpfs=false {BASE} {script}"))
        .run()
        .text();
    assert!(
        !strict.contains("root") && !strict.contains("tmp\n") && !strict.contains("run"),
        "{strict}"
    );
    assert_eq!(
        env.ok(&format!(
            "run --rm --read-only -v vol:/data {BASE} sh -c 'touch /data/x && echo written'"
        )),
        "written"
    );
}

#[test]
fn shared_memory_has_its_size() {
    requires!("root", "overlay", "runc");
    let env = TestEnv::with_base();
    assert!(
        options(&env, "", "/dev/shm").contains("size=64000k")
            || options(&env, "", "/dev/shm").contains("size=65536k")
    );
    let line = options(&env, "--shm-size 1m", "/dev/shm");
    assert!(
        line.contains("size=1024k") && line.contains("noexec") && line.contains("nosuid"),
        "{line}"
    );
    let mounts = env.ok(&format!("run --rm {BASE} cat /proc/self/mountinfo"));
    assert_eq!(
        mounts.lines().filter(|line| line.split(' ').nth(4) == Some("/dev/shm")).count(),
        1,
        "once (Q18)"
    );
    env.dhow(&format!("run --rm --shm-size nonsense {BASE} true")).run().fails(125, "nonsense");
}

#[test]
fn devices() {
    requires!("root", "overlay", "runc");
    let env = TestEnv::with_base();
    let null = format!("run --rm --device /dev/full:/dev/mine:rw {BASE} stat -c %t:%T /dev/mine");
    assert_eq!(env.ok(&null), "1:7");
    let list = env.ok(&format!("run --rm {BASE} ls /dev"));
    for name in ["null", "zero", "full", "random", "urandom", "tty", "shm", "pts", "fd", "stdin"] {
        assert!(list.lines().any(|line| line == name), "{name} is not in /dev: {list}");
    }
    for bad in ["/dev/no-such", "/dev/null:/dev/x:q", "relative", "/etc/passwd"] {
        env.dhow(&format!("run --rm --device {bad} {BASE} true")).run().fails(125, "");
    }
}

#[test]
fn a_link_in_the_image_cannot_lead_a_mount_out() {
    requires!("root", "overlay", "runc");
    let env = TestEnv::with_base();
    let victim = env.make_dir("victim");
    let links = dhow_tests::Layer::new()
        .symlink("escape", &victim)
        .symlink("dotdot", "../../../../../../tmp")
        .symlink("etc/resolv.conf", "/data/seed");
    let image = dhow_tests::Image::new("localhost/links:1")
        .layer(dhow_tests::image::base_layer())
        .layer(links);
    let image = image
        .config("WorkingDir", serde_json::json!("/escape/made"))
        .config("Volumes", serde_json::json!({"/escape/vol": {}}));
    let archive = env.file("links.tar");
    dhow_tests::Image::write_oci_archive(&[image], archive.as_ref());
    env.ok(&format!("load -q -i {archive}"));
    env.dhow("run --rm --tmpfs /escape/tmpfs -v vol:/dotdot/vol links:1 true").run();
    assert_eq!(
        std::fs::read_dir(&victim).expect("it is there").count(),
        0,
        "something was made outside the root"
    );
    assert!(!std::path::Path::new("/tmp/vol").exists());
}
