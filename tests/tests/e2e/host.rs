//! Real root file systems: the machine's own, and a Debian made on the spot.

use std::time::Duration;

use dhow_tests::{TestEnv, requires};

#[test]
fn a_throwaway_overlay_of_the_machines_own_root() {
    requires!("root", "overlay", "runc");
    let env = TestEnv::new();
    let text = env.ok("run --rm --rootfs /:O sh -c 'cat /etc/os-release; touch /etc/dhow-was-here; ls /etc/dhow-was-here'");
    assert!(text.contains("PRETTY_NAME") && text.ends_with("/etc/dhow-was-here"), "{text}");
    assert!(!std::path::Path::new("/etc/dhow-was-here").exists());
    env.assert_no_containers();
}

#[test]
fn a_debian_that_installs_nothing_but_itself() {
    requires!("root", "overlay", "runc", "mmdebstrap");
    let env = TestEnv::new();
    let tar = env.file("debian.tar");
    let release = std::fs::read_to_string("/etc/os-release").expect("this is a Debian");
    let suite = release
        .lines()
        .find_map(|line| line.strip_prefix("VERSION_CODENAME="))
        .expect("it has a name");
    let make = env.tool("/usr/bin/mmdebstrap").args([
        "--mode=root",
        "--variant=essential",
        "--include=passwd",
    ]);
    let make = make.arg("--aptopt=Acquire::Check-Valid-Until \"false\"").args([suite, &tar]);
    make.host_network().deadline(Duration::from_secs(600)).ok();
    env.dhow(&format!("import -q {tar} debian:test")).deadline(Duration::from_secs(300)).ok();
    let text = env.ok("run --rm debian:test bash -c 'set -e; . /etc/os-release; echo $ID; useradd -m someone; su someone -c id; perl -e \"print 6*7\"'");
    assert!(text.starts_with("debian\nuid=") && text.ends_with("42"), "{text}");
    env.ok("run --name c debian:test bash -c 'echo x > /etc/new; rm -r /usr/share/doc || true'");
    env.dhow("commit -q c debian:changed").deadline(Duration::from_secs(300)).ok();
    assert_eq!(env.ok("run --rm debian:changed cat /etc/new"), "x");
}
