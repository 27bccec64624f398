//! What a program in the container sees.

use crate::bundle::Bundle;
use dhow_oci::{
    Cwd, Mount, MountKind, Namespace, Namespaces, Resources, Seccomp, Security, SpecRequest,
};
use expect_test::expect;
use std::fs;

#[test]
fn the_default_container() {
    let Some(mut bundle) = Bundle::new("default") else { return };
    let hosts = bundle.dir.join("hosts");
    fs::write(&hosts, "10.1.2.3\tmarker\n").unwrap();
    bundle.paths.hosts = Some(hosts);
    let out = bundle.script(
        &SpecRequest::default(),
        "id; pwd; umask; hostname; env | sort; cat /etc/hosts
         grep -E '^(Cap|Seccomp:|NoNewPrivs)' /proc/self/status
         cat /proc/kcore | head -c1; ls /sys/firmware; touch /proc/sys/x /sys/x /ok 2>&1
         mount | cut -d' ' -f1,3,5 | grep -vE 'cgroup|/etc/hosts| / |/proc/|/sys/' | sort
         ls /dev | grep -vx core | sort",
    );
    expect![[r#"
        uid=0(root) gid=0(root)
        /
        0022
        0123456789ab
        HOME=/root
        HOSTNAME=0123456789ab
        PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin
        PWD=/
        SHLVL=1
        TERM=xterm
        container=oci
        10.1.2.3	marker
        CapInh:	0000000000000000
        CapPrm:	00000000a80425fb
        CapEff:	00000000a80425fb
        CapBnd:	00000000a80425fb
        CapAmb:	0000000000000000
        NoNewPrivs:	0
        Seccomp:	2
        touch: /proc/sys/x: No such file or directory
        touch: /sys/x: Read-only file system
        devpts /dev/pts devpts
        mqueue /dev/mqueue mqueue
        proc /proc proc
        shm /dev/shm tmpfs
        sysfs /sys sysfs
        tmpfs /dev tmpfs
        fd
        full
        mqueue
        null
        ptmx
        pts
        random
        shm
        stderr
        stdin
        stdout
        tty
        urandom
        zero
    "#]]
    .assert_eq(&out);
}

fn capabilities(bundle: &Bundle) -> u64 {
    let status = fs::read_to_string("/proc/self/status").unwrap();
    let line = status.lines().find_map(|line| line.strip_prefix("CapBnd:")).unwrap();
    assert!(bundle.host.capabilities.has("CAP_CHOWN"));
    u64::from_str_radix(line.trim(), 16).unwrap()
}

#[test]
fn a_user_with_one_capability_and_the_images_workdir() {
    let Some(bundle) = Bundle::new("user") else { return };
    let security = Security {
        cap_add: vec!["net_raw".into()],
        no_new_privileges: true,
        ..Security::default()
    };
    let request = SpecRequest {
        user: "alice".into(),
        group_add: vec!["77".into()],
        umask: Some(0o77),
        cwd: Some(Cwd { path: "/srv/app".into(), create: true }),
        env: vec!["A=x\ny".into()],
        unset_env: vec!["TERM".into()],
        hostname: Some("box".into()),
        security,
        ..SpecRequest::default()
    };
    let out = bundle.script(
        &request,
        "id; pwd; umask; hostname; env | sort; stat -c '%u:%g %a' /srv/app; grep -E '^(Cap|Seccomp:|NoNewPrivs)' /proc/self/status",
    );
    expect![[r#"
        uid=1000(alice) gid=1000(alice) groups=44(video),77,1000(alice)
        /srv/app
        0077
        box
        A=x
        HOME=/home/alice
        HOSTNAME=box
        PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin
        PWD=/srv/app
        SHLVL=1
        container=oci
        y
        1000:1000 755
        CapInh:	0000000000002000
        CapPrm:	0000000000002000
        CapEff:	0000000000002000
        CapBnd:	00000000a80425fb
        CapAmb:	0000000000002000
        NoNewPrivs:	1
        Seccomp:	2
    "#]]
    .assert_eq(&out);
}

#[test]
fn privileged() {
    let Some(bundle) = Bundle::new("privileged") else { return };
    let security = Security { privileged: true, ..Security::default() };
    let out = bundle.script(
        &SpecRequest { security, ..SpecRequest::default() },
        "grep -E '^(CapEff|Seccomp:)' /proc/self/status; ls /dev/kmsg; mount | grep -E ' /sys ' | grep -o 'rw,'",
    );
    let all = format!("{:016x}", capabilities(&bundle));
    assert_eq!(out, format!("CapEff:\t{all}\nSeccomp:\t0\n/dev/kmsg\nrw,\n"));
}

#[test]
fn a_read_only_root_with_and_without_tmpfs() {
    let Some(bundle) = Bundle::new("readonly") else { return };
    fs::create_dir_all(bundle.paths.rootfs.join("tmp/below")).unwrap();
    let script =
        "for d in / /tmp /run /var/tmp; do touch $d/x 2>/dev/null && echo $d; done; ls /tmp; true";
    let request = SpecRequest { read_only: true, read_only_tmpfs: true, ..SpecRequest::default() };
    assert_eq!(bundle.script(&request, script), "/tmp\n/run\n/var/tmp\nbelow\nx\n");
    let request = SpecRequest { read_only_tmpfs: false, ..request };
    assert_eq!(bundle.script(&request, script), "below\n");
}

#[test]
fn mounts_limits_and_parameters() {
    let Some(bundle) = Bundle::new("mounts") else { return };
    let shared = bundle.dir.join("shared");
    fs::create_dir(&shared).unwrap();
    fs::write(shared.join("file"), "from the host\n").unwrap();
    let source = shared.to_str().unwrap().to_owned();
    let bind = |destination: &str, options: &[&str]| Mount {
        kind: MountKind::Bind,
        source: source.clone(),
        destination: destination.into(),
        options: options.iter().map(|&option| option.to_owned()).collect(),
    };
    let tmpfs = Mount {
        kind: MountKind::Tmpfs,
        source: String::new(),
        destination: "/t".into(),
        options: vec!["size=1m".into()],
    };
    let request = SpecRequest {
        mounts: vec![bind("/a/b", &[]), bind("/ro", &["ro"]), tmpfs],
        shm_size: Some(2 << 20),
        rlimits: vec!["nofile=100:200".parse().unwrap()],
        sysctls: [
            ("net.ipv4.ip_forward".to_owned(), "1".to_owned()),
            ("kernel.msgmax".to_owned(), "4096".to_owned()),
        ]
        .into(),
        resources: Resources {
            memory: Some(64 << 20),
            pids_limit: Some(50),
            ..Resources::default()
        },
        devices: vec!["/dev/null:/dev/mine:rw".parse().unwrap()],
        oom_score_adj: Some(500),
        ..SpecRequest::default()
    };
    let out = bundle.script(
        &request,
        "cat /a/b/file; touch /ro/x 2>/dev/null || echo ro; touch /a/b/new; df -k /t /dev/shm | tail -n2 | while read _ size _; do echo $size; done
         ulimit -Sn; ulimit -Hn; cat /proc/sys/net/ipv4/ip_forward /proc/sys/kernel/msgmax /proc/self/oom_score_adj
         echo x > /dev/mine && echo device",
    );
    assert_eq!(out, "from the host\nro\n1024\n2048\n100\n200\n1\n4096\n500\ndevice\n");
    assert!(shared.join("new").exists());
    assert!(!shared.join("x").exists());
}

#[test]
fn the_hosts_namespaces() {
    let Some(bundle) = Bundle::new("host") else { return };
    let namespaces = Namespaces {
        pid: Namespace::Host,
        ipc: Namespace::Host,
        uts: Namespace::Host,
        network: Namespace::Path("/proc/self/ns/net".into()),
        cgroup: Some(Namespace::Host),
    };
    let own =
        |name: &str| fs::read_link(format!("/proc/self/ns/{name}")).unwrap().display().to_string();
    let expected = format!("{}\n{}\n{}\n{}\n", own("pid"), own("ipc"), own("uts"), own("net"));
    let request = SpecRequest { namespaces, ..SpecRequest::default() };
    let script = "for n in pid ipc uts net; do stat -c %N /proc/self/ns/$n | cut -d\"'\" -f4; done";
    assert_eq!(bundle.script(&request, script), expected);
    let private = bundle.script(&SpecRequest::default(), script);
    assert!(private.lines().zip(expected.lines()).all(|(a, b)| a != b), "{private}");
}

#[test]
fn an_own_seccomp_profile_and_none() {
    let Some(bundle) = Bundle::new("seccomp") else { return };
    let with = |seccomp| SpecRequest {
        security: Security { seccomp, ..Security::default() },
        ..SpecRequest::default()
    };
    let script = "grep ^Seccomp: /proc/self/status; mkdir /x 2>&1; true";
    let profile = r#"{"defaultAction":"SCMP_ACT_ALLOW","syscalls":[{"names":["mkdir","mkdirat"],"action":"SCMP_ACT_ERRNO","errnoRet":28}]}"#;
    let out = bundle.script(&with(Seccomp::Profile(profile.into())), script);
    assert_eq!(out, "Seccomp:\t2\nmkdir: can't create directory '/x': No space left on device\n");
    assert_eq!(bundle.script(&with(Seccomp::Unconfined), script), "Seccomp:\t0\n");
}

#[test]
fn the_init_is_process_one() {
    let Some(bundle) = Bundle::new("init") else { return };
    // An init that has the grammar of catatonit: `init -- command…`.
    let init = bundle.dir.join("init");
    fs::write(&init, "#!/bin/sh\nshift\n\"$@\"\n").unwrap();
    fs::set_permissions(&init, std::os::unix::fs::PermissionsExt::from_mode(0o755)).unwrap();
    let request = SpecRequest { init: Some(init), ..SpecRequest::default() };
    let out = bundle.script(
        &request,
        "cat /proc/1/cmdline | head -c 32 | tr '\\0' ' ' 2>/dev/null || cat /proc/1/cmdline",
    );
    assert!(out.contains(dhow_oci::INIT_PATH), "{out}");
}
