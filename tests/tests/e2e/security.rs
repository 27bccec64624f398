//! Capabilities, seccomp, masks, privilege: what podman's defaults would give, and what flags change.

use dhow_tests::{BASE, TestEnv, requires};

/// podman's default capabilities as a mask.
const DEFAULT_CAPS: u64 = 0xa804_25fb;

#[track_caller]
fn caps(env: &TestEnv, flags: &str, field: &str) -> u64 {
    let text = env.ok(&format!("run --rm {flags} {BASE} probe status {field}"));
    u64::from_str_radix(&text, 16).unwrap_or_else(|_| panic!("{text:?} is no mask"))
}

#[test]
fn the_default_capabilities() {
    requires!("root", "overlay", "runc");
    let env = TestEnv::with_base();
    assert_eq!(caps(&env, "", "CapBnd"), DEFAULT_CAPS);
    assert_eq!(caps(&env, "", "CapEff"), DEFAULT_CAPS);
    assert_eq!(caps(&env, "", "CapInh"), 0, "nothing is inheritable (CVE-2022-27649)");
    assert_eq!(caps(&env, "--user 1000", "CapEff"), 0);
    assert_eq!(caps(&env, "--user 1000", "CapAmb"), 0);
}

#[test]
fn capabilities_added_and_dropped() {
    requires!("root", "overlay", "runc");
    let env = TestEnv::with_base();
    assert_eq!(caps(&env, "--cap-drop all", "CapBnd"), 0);
    assert_eq!(caps(&env, "--cap-drop ALL --cap-add net_admin", "CapEff"), 1 << 12);
    assert_eq!(caps(&env, "--cap-drop CAP_CHOWN", "CapEff") & 1, 0);
    assert_ne!(caps(&env, "--cap-add SYS_PTRACE,MKNOD", "CapEff") & (1 << 19 | 1 << 27), 0);
    assert_eq!(
        caps(&env, "--user 1000 --cap-add net_admin", "CapEff"),
        1 << 12,
        "an added one reaches a plain user, as in podman"
    );
    let own = std::fs::read_to_string("/proc/self/status").expect("/proc");
    let own =
        own.lines().find_map(|line| line.strip_prefix("CapBnd:")).expect("it is there").trim();
    assert_eq!(
        caps(&env, "--cap-add all", "CapBnd"),
        u64::from_str_radix(own, 16).expect("a mask")
    );
    env.fails(&format!("run --rm --cap-add NO_SUCH {BASE} true"), 125, "NO_SUCH");
    env.fails(&format!("run --rm --cap-drop NO_SUCH {BASE} true"), 125, "NO_SUCH");
    env.fails(&format!("run --rm --cap-add CHOWN --cap-drop CHOWN {BASE} true"), 125, "CHOWN");
}

#[test]
fn privileged() {
    requires!("root", "overlay", "runc");
    let env = TestEnv::with_base();
    assert_eq!(env.ok(&format!("run --rm --privileged {BASE} probe status Seccomp")), "0");
    assert_eq!(caps(&env, "--privileged", "CapEff") >> 21 & 1, 1);
    let mounts = env.ok(&format!("run --rm --privileged {BASE} cat /proc/self/mountinfo"));
    assert!(!mounts.contains(" /proc/keys "), "nothing is masked: {mounts}");
    let devices = env.ok(&format!("run --rm --privileged {BASE} ls /dev"));
    assert!(
        devices.contains("loop") || devices.contains("kmsg") || devices.contains("vda"),
        "the host's devices: {devices}"
    );
}

#[test]
fn seccomp() {
    requires!("root", "overlay", "runc");
    let env = TestEnv::with_base();
    assert_eq!(env.ok(&format!("run --rm {BASE} probe status Seccomp")), "2");
    assert_eq!(
        env.ok(&format!("run --rm --security-opt seccomp=unconfined {BASE} probe status Seccomp")),
        "0"
    );
    let profile = r#"{"defaultAction":"SCMP_ACT_ALLOW","syscalls":[{"names":["mkdir","mkdirat"],"action":"SCMP_ACT_ERRNO","errnoRet":1}]}"#;
    let file = env.write("profile.json", profile);
    let output = env.dhow(&format!("run --rm --security-opt seccomp={file} {BASE} mkdir /x")).run();
    assert!(output.code == 1 && output.stderr.contains("not permitted"), "{}", output.both());
    env.fails(&format!("run --rm --security-opt seccomp=/no/such {BASE} true"), 125, "/no/such");
    let broken = env.write("broken.json", "{");
    env.fails(&format!("run --rm --security-opt seccomp={broken} {BASE} true"), 125, "broken.json");
}

/// crun gets the filter compiled: the container and what is executed in it are confined by it.
#[test]
fn seccomp_compiled_for_crun() {
    requires!("root", "overlay", "crun");
    let env = TestEnv::with_base();
    // crun refuses a machine with controllers in both versions of cgroups: it is shown the older one alone.
    let crun = env.write(
        "crun",
        "#!/bin/sh\nexec /usr/bin/unshare -m /bin/sh -c '/bin/umount /sys/fs/cgroup/unified 2>/dev/null; exec /usr/bin/crun \"$@\"' crun \"$@\"\n",
    );
    let mode = std::os::unix::fs::PermissionsExt::from_mode(0o755);
    std::fs::set_permissions(&crun, mode).expect("a file of our own");
    let run = format!("run --rm --runtime {crun} --cgroups disabled");
    assert_eq!(env.ok(&format!("{run} {BASE} probe status Seccomp")), "2");
    assert_eq!(env.ok(&format!("{run} {BASE} probe status Seccomp_filters")), "1");
    let profile = r#"{"defaultAction":"SCMP_ACT_ALLOW","syscalls":[{"names":["mkdir","mkdirat"],"action":"SCMP_ACT_ERRNO","errnoRet":122}]}"#;
    let file = env.write("profile.json", profile);
    let output = env.dhow(&format!("{run} --security-opt seccomp={file} {BASE} mkdir /x")).run();
    assert!(output.code == 1 && output.stderr.contains("uota"), "{}", output.both());
    env.ok(&format!(
        "run -d --name crun --runtime {crun} --cgroups disabled --security-opt seccomp={file} {BASE} sleep 1000"
    ));
    // What crun has kept is what the annotation said, and it is used for what is executed.
    let output = env.dhow("exec crun mkdir /x").run();
    assert!(output.code == 1 && output.stderr.contains("uota"), "{}", output.both());
    assert_eq!(env.ok("exec crun probe status Seccomp"), "2");
    let bundle = env.ok("inspect --format {{.OCIConfigPath}} crun");
    let spec = std::fs::read_to_string(bundle).expect("the bundle's config.json");
    assert!(spec.contains("run.oci.seccomp_bpf_data"), "{spec}");
    env.ok("rm -f -t 0 crun");
}

#[test]
fn no_new_privileges_and_unknown_options() {
    requires!("root", "overlay", "runc");
    let env = TestEnv::with_base();
    assert_eq!(env.ok(&format!("run --rm {BASE} probe status NoNewPrivs")), "0");
    for option in ["no-new-privileges", "no-new-privileges:true", "no-new-privileges=true"] {
        assert_eq!(
            env.ok(&format!("run --rm --security-opt {option} {BASE} probe status NoNewPrivs")),
            "1",
            "{option}"
        );
    }
    env.ok(&format!("run --rm --security-opt label=disable {BASE} true"));
    env.fails(&format!("run --rm --security-opt nonsense=1 {BASE} true"), 125, "nonsense");
    env.ok(&format!("run --rm --security-opt apparmor=unconfined {BASE} true"));
}

#[test]
fn masked_and_read_only_paths() {
    requires!("root", "overlay", "runc");
    let env = TestEnv::with_base();
    assert_eq!(env.ok(&format!("run --rm {BASE} sh -c 'wc -c < /proc/keys; ls /proc/acpi /sys/firmware 2>/dev/null | grep -v : | wc -w'")), "0\n0");
    let output =
        env.dhow(&format!("run --rm {BASE} sh -c 'echo x > /proc/sys/kernel/hostname'")).run();
    assert!(output.stderr.contains("Read-only"), "{}", output.both());
    assert_eq!(env.ok(&format!("run --rm --security-opt mask=/data:/home {BASE} sh -c 'ls /data /home | grep -v : | wc -w'")), "0");
    let mounts =
        env.ok(&format!("run --rm --security-opt unmask=ALL {BASE} cat /proc/self/mountinfo"));
    assert!(!mounts.contains(" /proc/keys ") && !mounts.contains(" /sys/firmware "), "{mounts}");
    let mounts = env
        .ok(&format!("run --rm --security-opt unmask=/proc/keys {BASE} cat /proc/self/mountinfo"));
    assert!(!mounts.contains(" /proc/keys ") && mounts.contains(" /sys/firmware "), "{mounts}");
    let sys = env.ok(&format!("run --rm {BASE} cat /proc/self/mountinfo"));
    assert!(sys.lines().any(|line| line.contains(" /sys ") && line.contains(" ro,")), "{sys}");
}

#[test]
fn cgroups_cannot_be_changed_from_inside() {
    requires!("root", "overlay", "runc");
    let env = TestEnv::with_base();
    let output = env.ok(&format!("run --rm {BASE} sh -c 'find /sys/fs/cgroup -mindepth 1 -maxdepth 2 -type d | while read d; do mkdir $d/made 2>/dev/null && echo $d; done; true'"));
    assert_eq!(output, "");
}

#[test]
fn users_are_looked_up_inside_the_root_only() {
    requires!("root", "overlay", "runc");
    let env = TestEnv::with_base();
    let passwd = env.write("passwd", "victim:x:4242:4242::/:/bin/sh\n");
    let layer = dhow_tests::Layer::new().symlink("etc/passwd", &passwd);
    let image = dhow_tests::Image::new("localhost/hostile:1")
        .layer(dhow_tests::image::base_layer())
        .layer(layer);
    let archive = env.file("hostile.tar");
    dhow_tests::Image::write_oci_archive(&[image], archive.as_ref());
    env.ok(&format!("load -q -i {archive}"));
    env.fails("run --rm --user victim hostile:1 true", 125, "victim");
    env.assert_no_containers();
}
