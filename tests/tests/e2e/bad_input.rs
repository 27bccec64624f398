//! Bad input: one clear error, the right exit code, and nothing left behind.

use dhow_tests::{BASE, Image, Layer, TestEnv, requires};

/// Command line (`IMG` stands for the base image), exit code, what the error names.
const TABLE: &[(&str, i32, &str)] = &[
    ("run", 125, ""),
    ("run no-such-image", 125, "no-such-image"),
    ("run IMG:nope true", 125, "nope"),
    ("create --pull never absent", 125, "absent"),
    ("create --pull sometimes absent", 125, "never"),
    ("run --platform linux absent", 125, "OS/ARCH"),
    ("run UPPER/Case true", 125, "UPPER"),
    ("run --name a/b IMG true", 125, "a/b"),
    ("run --name .. IMG true", 125, ".."),
    ("run --name '' IMG true", 125, ""),
    ("run --no-such-flag IMG true", 125, "--no-such-flag"),
    ("run --memory lots IMG true", 125, "lots"),
    ("run --cpus many IMG true", 125, "many"),
    ("run --stop-signal SIGNOPE IMG true", 125, "SIGNOPE"),
    ("run --stop-timeout x IMG true", 125, "x"),
    ("run --timeout -1 IMG true", 125, "-1"),
    ("run --log-driver quill IMG true", 125, "quill"),
    ("run --label =x IMG true", 125, "=x"),
    ("run --network bridge:x IMG true", 125, "bridge"),
    ("run --network nope IMG true", 125, "no such network: nope"),
    ("run --network none --network bridge IMG true", 125, "excludes"),
    ("run --network bridge --network bridge IMG true", 125, "given twice"),
    ("run --network none --ip 10.84.0.9 IMG true", 125, "--ip"),
    ("run --network none -p 80:80 IMG true", 125, "--publish"),
    ("run --ip 10.9.0.9 IMG true", 125, "not one for a container"),
    ("run --ip 10.84.0.1 IMG true", 125, "not one for a container"),
    ("run --network-alias x IMG true", 125, "alias"),
    ("run --mac-address 01:00:00:00:00:00 IMG true", 125, "MAC"),
    ("run -p 99999:80 IMG true", 125, "ports from 1"),
    ("run -p 80:80 -p 80:81 IMG true", 125, "published twice"),
    ("run -p 80-82:80 IMG true", 125, "differ in length"),
    ("run --no-hosts --add-host a:1.2.3.4 IMG true", 125, "exclude"),
    ("network create --subnet 10.99.0.0/31 x", 125, "too small"),
    ("network create --subnet 127.0.0.0/24 x", 125, "not one for hosts"),
    ("network create --subnet nonsense x", 125, "nonsense"),
    ("network create --subnet 10.84.1.0/24 x", 125, "overlaps"),
    ("network create --subnet 10.99.0.0/24 --gateway 10.98.0.1 x", 125, "no --subnet"),
    ("network create --subnet 10.99.0.0/24 --ip-range 10.98.0.0/25 x", 125, "no --subnet"),
    ("network create --opt what=1 x", 125, "not supported"),
    ("network create --driver macvlan x", 125, "not supported yet"),
    ("network create host", 125, "reserved"),
    ("network create bridge", 125, "in use"),
    ("network rm nope", 1, "no such network"),
    ("network rm bridge", 125, "cannot be removed"),
    ("network inspect nope", 125, "no such network"),
    ("run --pid container:nobody IMG true", 125, "nobody"),
    ("run --rootfs /no/such/dir true", 125, "/no/such/dir"),
    ("run --rootfs /etc/passwd true", 125, "/etc/passwd"),
    ("run --rootfs /:X true", 125, ""),
    ("run --cidfile /no/such/dir/cid IMG true", 125, "/no/such/dir"),
    ("run --rm --pidfile /no/such/dir/pid IMG true", 125, "/no/such/dir"),
    ("run -d -a stdout IMG true", 125, ""),
    ("run --umask 0999 IMG true", 125, "0999"),
    ("run --ulimit bogus=1 IMG true", 125, "bogus"),
    ("run --cap-add BOGUS IMG true", 125, "BOGUS"),
    ("run --rm --device /dev/bogus IMG true", 125, "/dev/bogus"),
    ("run --rm --user bogus IMG true", 125, "bogus"),
    ("run --rm --group-add bogus IMG true", 125, "bogus"),
    ("run --tmpfs /a:bogus IMG true", 125, "bogus"),
    ("run --security-opt bogus IMG true", 125, "bogus"),
    ("run --add-host bogus IMG true", 125, "bogus"),
    ("run --shm-size bogus IMG true", 125, "bogus"),
    ("run --env-file /bogus IMG true", 125, "/bogus"),
    ("run --detach-keys bogus IMG true", 125, "bogus"),
    ("run --restart bogus IMG true", 125, "bogus"),
    ("start", 125, ""),
    ("start nobody", 125, "nobody"),
    ("start a/b", 125, "a/b"),
    ("start ..", 125, ".."),
    ("start --all nobody", 125, ""),
    ("stop nobody", 125, "nobody"),
    ("stop -t x nobody", 125, "x"),
    ("kill --signal BOGUS nobody", 125, "BOGUS"),
    ("restart nobody", 125, "nobody"),
    ("pause nobody", 125, "nobody"),
    ("unpause nobody", 125, "nobody"),
    ("attach nobody", 125, "nobody"),
    ("wait nobody", 125, "nobody"),
    ("wait --condition bogus nobody", 125, "bogus"),
    ("rename nobody new", 125, "nobody"),
    ("rm", 125, ""),
    ("rm nobody", 1, "nobody"),
    ("init nobody", 125, "nobody"),
    ("logs nobody", 125, "nobody"),
    ("diff nobody", 125, "nobody"),
    ("export nobody", 125, "nobody"),
    ("commit nobody", 125, "nobody"),
    ("mount nobody", 125, "nobody"),
    ("unmount nobody", 125, "nobody"),
    ("inspect nobody", 125, "nobody"),
    ("exec nobody true", 125, "nobody"),
    ("load -i /no/such", 125, "/no/such"),
    ("load -i /etc/passwd", 125, "/etc/passwd"),
    ("load -i /etc", 125, "/etc"),
    ("import /no/such", 125, "/no/such"),
    ("rmi absent", 1, "absent"),
    ("tag absent new", 125, "absent"),
    ("untag absent", 125, "absent"),
    ("history absent", 125, "absent"),
    ("images --filter bogus=1", 125, "bogus"),
];

#[test]
fn the_table() {
    requires!("root", "overlay", "runc");
    let env = TestEnv::with_base();
    let mut wrong = Vec::new();
    for (line, code, needle) in TABLE {
        let words = dhow_tests::split(line)
            .into_iter()
            .map(|word| word.replace("IMG", BASE.trim_end_matches(":latest")));
        let output = env.dhow("").args(words).run();
        // All rows are judged before any is reported: a table is read as a whole.
        let judged = std::panic::catch_unwind(|| output.fails(*code, needle));
        if let Err(panic) = judged {
            wrong.push(panic.downcast_ref::<String>().cloned().unwrap_or_default());
        }
        let left = env.ids_on_disk();
        if !left.is_empty() {
            wrong.push(format!("`{line}` left the container {left:?}"));
            env.ok("rm -f --all");
        }
        env.assert_quiet();
    }
    assert!(wrong.is_empty(), "{} of {}:\n{}", wrong.len(), TABLE.len(), wrong.join("\n"));
    env.assert_no_containers();
}

#[test]
fn an_image_without_a_command() {
    requires!("root", "overlay", "runc");
    let env = TestEnv::new();
    let file = env.file("bare.tar");
    Image::write_oci_archive(
        &[Image::new("localhost/bare:1").layer(Layer::new().file("x", 0o644, "x"))],
        file.as_ref(),
    );
    env.ok(&format!("load -q -i {file}"));
    env.fails("run bare:1", 125, "command");
    env.fails("create bare:1", 125, "command");
    env.assert_no_containers();
}

#[test]
fn a_missing_runtime() {
    requires!("root", "overlay", "runc");
    let env = TestEnv::with_base();
    for runtime in ["/no/such/runc", "no-such-runtime", "/etc/passwd"] {
        let output = env
            .bare()
            .args(env.global())
            .args(["--runtime", runtime, "run", "--rm", BASE, "true"])
            .run();
        assert!([125, 126, 127].contains(&output.code), "{}", output.both());
        assert!(
            output.stderr.contains(runtime) && output.stderr.matches("Error: ").count() == 1,
            "{}",
            output.stderr
        );
    }
    // What needs no runtime works without one.
    env.bare().args(env.global()).args(["--runtime", "/no/such/runc", "ps", "-a"]).ok();
    env.assert_no_containers();
}

#[test]
fn a_full_disk() {
    requires!("root", "overlay", "runc");
    let env = TestEnv::new();
    let disk = env.make_dir("disk");
    env.tool("/usr/bin/mount").args(["-t", "tmpfs", "-o", "size=1m", "tmpfs", &disk]).ok();
    let global = [
        "--root".to_owned(),
        format!("{disk}/root"),
        "--runroot".to_owned(),
        format!("{disk}/run"),
    ];
    let dhow = |line: &str| env.bare().args(&global).args(dhow_tests::split(line));
    let said = dhow("load -i").arg(dhow_tests::image::base_archive()).fails(125, "no space");
    assert!(!said.contains("panicked"));
    assert_eq!(dhow("images -qa").ok(), "", "and dhow goes on working");
    let left: u64 = walk(disk.as_ref());
    assert!(left < 100_000, "{left} bytes are left on the full disk");
    env.tool("/usr/bin/umount").arg(&disk).ok();
}

/// Bytes of all files below a directory.
fn walk(dir: &std::path::Path) -> u64 {
    let entries = std::fs::read_dir(dir).into_iter().flatten().flatten();
    entries
        .map(|entry| {
            if entry.path().is_dir() {
                walk(&entry.path())
            } else {
                entry.metadata().map_or(0, |meta| meta.len())
            }
        })
        .sum()
}

#[test]
fn the_error_of_the_runtime_is_one_line() {
    requires!("root", "overlay", "runc");
    let env = TestEnv::with_base();
    let said = env.fails(&format!("run --rm {BASE} /data/seed"), 126, "permission denied");
    assert_eq!(said.trim_end().lines().count(), 1, "{said}");
    assert!(!said.contains("level=") && !said.contains("time="), "{said}");
}
