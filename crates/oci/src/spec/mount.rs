//! The mounts of a container: podman's defaults, what the user asked for, and the engine's files, parents first.
//!
//! INVARIANTS: a destination is absolute, without `..`, and occurs once; the user's mount replaces a default one of the
//! same destination. Every option is one that a runtime understands: an unknown word would reach mount(2) as data.

use super::BundlePaths;
use crate::error::no_nul;
use crate::{CgroupVersion, Error, Host, INIT_PATH, Mount, MountKind, Namespace, SpecRequest};
use oci_spec::runtime as oci;
use std::path::{Component, Path, PathBuf};

const DEFAULT_SHM: u64 = 64 << 20;

/// All mounts in the order in which they are to be made.
pub(crate) fn mounts(
    request: &SpecRequest,
    bundle: &BundlePaths,
    host: &Host,
) -> Result<Vec<oci::Mount>, Error> {
    let mut mounts = Vec::new();
    for mount in &request.mounts {
        let mount = asked(mount)?;
        if mounts.iter().any(|known: &oci::Mount| known.destination() == mount.destination()) {
            let path = mount.destination().to_string_lossy().into_owned();
            return Err(Error::invalid("mount destination", path, "two mounts have it"));
        }
        mounts.push(mount);
    }
    let defaults = kernel_filesystems(request, bundle, host)
        .into_iter()
        .chain(writable_tmpfs(request))
        .chain(init(request)?)
        .chain(time_zone(request, host)?)
        .chain(files(request, bundle));
    let mut all: Vec<oci::Mount> = Vec::new();
    for default in defaults {
        if !mounts.iter().any(|mount| mount.destination() == default.destination()) {
            all.push(default);
        }
    }
    all.append(&mut mounts);
    // ORDER: a mount hides what was mounted below its destination before. The sort is stable.
    all.sort_by_key(|mount| mount.destination().components().count());
    Ok(all)
}

/// The propagation of the root: the user's word, else what the binds need to be able to propagate at all.
pub(crate) fn root_propagation(request: &SpecRequest) -> Result<Option<String>, Error> {
    let asked = request.root_propagation.as_str();
    if !asked.is_empty() {
        if !PROPAGATION.contains(&asked) {
            return Err(Error::invalid(
                "root propagation",
                asked,
                format!("not one of {}", PROPAGATION.join(", ")),
            ));
        }
        return Ok(Some(asked.to_owned()));
    }
    let any = |words: [&str; 2]| {
        request.mounts.iter().any(|m| m.options.iter().any(|o| words.contains(&o.as_str())))
    };
    Ok(match (any(["shared", "rshared"]), any(["slave", "rslave"])) {
        (true, _) => Some("shared".to_owned()),
        (false, true) => Some("rslave".to_owned()),
        (false, false) => None,
    })
}

fn entry(
    destination: &str,
    kind: &str,
    source: impl Into<PathBuf>,
    options: &[&str],
) -> oci::Mount {
    let mut mount = oci::Mount::default();
    mount
        .set_destination(destination.into())
        .set_typ(Some(kind.to_owned()))
        .set_source(Some(source.into()))
        .set_options(Some(options.iter().map(|&option| option.to_owned()).collect()));
    mount
}

fn kernel_filesystems(request: &SpecRequest, bundle: &BundlePaths, host: &Host) -> Vec<oci::Mount> {
    let write = if request.security.privileged { "rw" } else { "ro" };
    let mut mounts = vec![
        entry("/proc", "proc", "proc", &["nosuid", "noexec", "nodev"]),
        entry(
            "/dev",
            "tmpfs",
            "tmpfs",
            &["nosuid", "noexec", "strictatime", "mode=755", "size=65536k"],
        ),
        entry("/sys", "sysfs", "sysfs", &["nosuid", "noexec", "nodev", write]),
        entry(
            "/dev/pts",
            "devpts",
            "devpts",
            &["nosuid", "noexec", "newinstance", "ptmxmode=0666", "mode=0620", "gid=5"],
        ),
        entry("/dev/mqueue", "mqueue", "mqueue", &["nosuid", "noexec", "nodev"]),
    ];
    mounts.extend(shm(request, bundle));
    if host.cgroup.version != CgroupVersion::None {
        let options = ["rprivate", "nosuid", "noexec", "nodev", "relatime", write];
        mounts.push(entry("/sys/fs/cgroup", "cgroup", "cgroup", &options));
    }
    mounts
}

fn shm(request: &SpecRequest, bundle: &BundlePaths) -> Option<oci::Mount> {
    let bound = |source: &Path| {
        entry("/dev/shm", "bind", source, &["bind", "rprivate", "nosuid", "noexec", "nodev"])
    };
    match (&request.namespaces.ipc, &bundle.shm) {
        (Namespace::None, _) => None,
        (Namespace::Host, _) => Some(bound(Path::new("/dev/shm"))),
        (_, Some(dir)) => Some(bound(dir)),
        (_, None) => {
            let size = format!("size={}", request.shm_size.unwrap_or(DEFAULT_SHM));
            Some(entry(
                "/dev/shm",
                "tmpfs",
                "shm",
                &["nosuid", "noexec", "nodev", "mode=1777", &size],
            ))
        }
    }
}

/// With a read-only root: where programs expect to be able to write.
fn writable_tmpfs(request: &SpecRequest) -> impl Iterator<Item = oci::Mount> {
    let wanted = request.read_only && request.read_only_tmpfs;
    let options = ["rw", "rprivate", "nosuid", "nodev", "tmpcopyup"];
    ["/tmp", "/run", "/var/tmp"]
        .into_iter()
        .filter(move |_| wanted)
        .map(move |path| entry(path, "tmpfs", "tmpfs", &options))
}

fn init(request: &SpecRequest) -> Result<Option<oci::Mount>, Error> {
    let Some(program) = &request.init else { return Ok(None) };
    let found = std::fs::metadata(program).map_err(Error::io("find the init program", program))?;
    if !program.is_absolute() || !found.is_file() {
        return Err(Error::invalid(
            "init program",
            program.to_string_lossy(),
            "not an absolute path of a file",
        ));
    }
    Ok(Some(entry(INIT_PATH, "bind", program, &["bind", "ro", "rprivate"])))
}

fn time_zone(request: &SpecRequest, host: &Host) -> Result<Option<oci::Mount>, Error> {
    let Some(name) = request.tz.as_deref().filter(|name| !name.is_empty()) else { return Ok(None) };
    no_nul("--tz", name)?;
    let file = match name {
        "local" => PathBuf::from("/etc/localtime"),
        name if Path::new(name).components().all(|part| matches!(part, Component::Normal(_))) => {
            host.zoneinfo.join(name)
        }
        name => return Err(Error::invalid("--tz", name, "not the name of a time zone")),
    };
    // Resolved here, so that what is bound is the zone of now and not a link.
    let file = file.canonicalize().map_err(Error::io("find the time zone", &file))?;
    if !file.is_file() {
        return Err(Error::invalid("--tz", name, "not the name of a time zone"));
    }
    Ok(Some(entry(
        "/etc/localtime",
        "bind",
        file,
        &["bind", "rprivate", "ro", "nosuid", "noexec", "nodev"],
    )))
}

/// The engine's files. Read-only where the root is, as podman does; /run/.containerenv where /run is.
fn files(request: &SpecRequest, bundle: &BundlePaths) -> impl Iterator<Item = oci::Mount> {
    let (root, run) = (request.read_only, request.read_only && !request.read_only_tmpfs);
    let files = [
        ("/etc/hosts", bundle.hosts.clone(), root),
        ("/etc/resolv.conf", bundle.resolv_conf.clone(), root),
        ("/etc/hostname", bundle.hostname.clone(), root),
        ("/etc/passwd", bundle.passwd.clone(), root),
        ("/run/.containerenv", bundle.containerenv.clone(), run),
    ];
    files.into_iter().filter_map(|(path, source, read_only)| {
        let options: &[&str] = if read_only {
            &["bind", "rprivate", "ro", "nosuid", "noexec", "nodev"]
        } else {
            &["bind", "rprivate"]
        };
        Some(entry(path, "bind", source?, options))
    })
}

const PROPAGATION: [&str; 8] =
    ["private", "rprivate", "shared", "rshared", "slave", "rslave", "unbindable", "runbindable"];

/// Words that every kind of mount takes.
const FLAGS: [&str; 19] = [
    "ro",
    "rw",
    "suid",
    "nosuid",
    "dev",
    "nodev",
    "exec",
    "noexec",
    "sync",
    "async",
    "dirsync",
    "atime",
    "noatime",
    "diratime",
    "nodiratime",
    "relatime",
    "norelatime",
    "strictatime",
    "nostrictatime",
];

/// A mount of the request with podman's defaults for what was not said.
fn asked(mount: &Mount) -> Result<oci::Mount, Error> {
    let destination = clean(&mount.destination)?;
    let mut options = Vec::new();
    for option in &mount.options {
        check_option(mount.kind, option)?;
        if option != "notmpcopyup" {
            options.push(option.clone());
        }
    }
    let said = |words: &[&str]| mount.options.iter().any(|option| words.contains(&option.as_str()));
    let mut default = |words: &[&str], word: &str| {
        if !said(words) {
            options.push(word.to_owned());
        }
    };
    default(&["ro", "rw"], "rw");
    default(&PROPAGATION, "rprivate");
    let (kind, source) = match mount.kind {
        MountKind::Bind => {
            default(&["bind", "rbind"], "rbind");
            no_nul("mount source", &mount.source)?;
            if !mount.source.starts_with('/') {
                return Err(Error::invalid(
                    "mount source",
                    &mount.source,
                    "the path is not absolute",
                ));
            }
            ("bind", mount.source.as_str())
        }
        MountKind::Tmpfs => {
            default(&["suid", "nosuid"], "nosuid");
            default(&["dev", "nodev"], "nodev");
            default(&["tmpcopyup", "notmpcopyup"], "tmpcopyup");
            ("tmpfs", "tmpfs")
        }
        MountKind::Ramfs => ("ramfs", "ramfs"),
        MountKind::Devpts => {
            default(&["suid", "nosuid"], "nosuid");
            default(&["exec", "noexec"], "noexec");
            default(&["newinstance"], "newinstance");
            ("devpts", "devpts")
        }
        MountKind::Mqueue => ("mqueue", "mqueue"),
    };
    let mut spec = entry(&destination, kind, source, &[]);
    spec.set_options(Some(options));
    Ok(spec)
}

fn check_option(kind: MountKind, option: &str) -> Result<(), Error> {
    let key = option.split_once('=').map(|(key, _)| key);
    let fits = FLAGS.contains(&option)
        || PROPAGATION.contains(&option)
        || match kind {
            MountKind::Bind => ["bind", "rbind"].contains(&option),
            MountKind::Tmpfs => {
                ["tmpcopyup", "notmpcopyup"].contains(&option)
                    || key.is_some_and(|key| {
                        ["size", "mode", "uid", "gid", "nr_inodes", "nr_blocks", "huge"]
                            .contains(&key)
                    })
            }
            MountKind::Ramfs => key == Some("mode"),
            MountKind::Devpts => {
                option == "newinstance"
                    || key
                        .is_some_and(|key| ["uid", "gid", "mode", "ptmxmode", "max"].contains(&key))
            }
            MountKind::Mqueue => false,
        };
    // A comma would be taken for the next option by a runtime that joins them.
    if !fits || option.contains([',', '\0']) {
        return Err(Error::invalid(
            "mount option",
            option,
            "not one that this kind of mount takes",
        ));
    }
    Ok(())
}

/// An absolute path without `.`, `..` and doubled slashes, other than `/`.
fn clean(path: &str) -> Result<String, Error> {
    no_nul("mount destination", path)?;
    if !path.starts_with('/') {
        return Err(Error::invalid("mount destination", path, "the path is not absolute"));
    }
    if path.split('/').any(|part| part == "..") {
        return Err(Error::invalid("mount destination", path, "the path has .. in it"));
    }
    let parts: Vec<&str> =
        path.split('/').filter(|part| !part.is_empty() && *part != ".").collect();
    if parts.is_empty() {
        return Err(Error::invalid(
            "mount destination",
            path,
            "the root file system cannot be mounted over",
        ));
    }
    Ok(format!("/{}", parts.join("/")))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::host::tests::generous;
    use expect_test::{Expect, expect};
    use proptest::prelude::*;

    fn check(request: &SpecRequest, bundle: &BundlePaths, expected: &Expect) {
        let shown = match mounts(request, bundle, &generous()) {
            Ok(mounts) => mounts
                .iter()
                .map(|m| {
                    let options = m.options().as_ref().map(|o| o.join(",")).unwrap_or_default();
                    let source =
                        m.source().as_ref().map(|s| s.display().to_string()).unwrap_or_default();
                    format!(
                        "{} {} {source} {options}\n",
                        m.destination().display(),
                        m.typ().clone().unwrap_or_default()
                    )
                })
                .collect(),
            Err(e) => format!("{e}\n"),
        };
        expected.assert_eq(&shown);
    }

    fn bind(destination: &str, options: &[&str]) -> Mount {
        Mount {
            kind: MountKind::Bind,
            source: "/src".into(),
            destination: destination.into(),
            options: options.iter().map(|&o| o.to_owned()).collect(),
        }
    }

    #[test]
    fn defaults() {
        let bundle = BundlePaths {
            hosts: Some("/b/hosts".into()),
            containerenv: Some("/b/env".into()),
            shm: Some("/b/shm".into()),
            ..BundlePaths::default()
        };
        check(
            &SpecRequest::default(),
            &bundle,
            &expect![[r#"
            /proc proc proc nosuid,noexec,nodev
            /dev tmpfs tmpfs nosuid,noexec,strictatime,mode=755,size=65536k
            /sys sysfs sysfs nosuid,noexec,nodev,ro
            /dev/pts devpts devpts nosuid,noexec,newinstance,ptmxmode=0666,mode=0620,gid=5
            /dev/mqueue mqueue mqueue nosuid,noexec,nodev
            /dev/shm bind /b/shm bind,rprivate,nosuid,noexec,nodev
            /etc/hosts bind /b/hosts bind,rprivate
            /run/.containerenv bind /b/env bind,rprivate
            /sys/fs/cgroup cgroup cgroup rprivate,nosuid,noexec,nodev,relatime,ro
        "#]],
        );
        let request =
            SpecRequest { read_only: true, read_only_tmpfs: true, ..SpecRequest::default() };
        check(
            &request,
            &bundle,
            &expect![[r#"
                /proc proc proc nosuid,noexec,nodev
                /dev tmpfs tmpfs nosuid,noexec,strictatime,mode=755,size=65536k
                /sys sysfs sysfs nosuid,noexec,nodev,ro
                /tmp tmpfs tmpfs rw,rprivate,nosuid,nodev,tmpcopyup
                /run tmpfs tmpfs rw,rprivate,nosuid,nodev,tmpcopyup
                /dev/pts devpts devpts nosuid,noexec,newinstance,ptmxmode=0666,mode=0620,gid=5
                /dev/mqueue mqueue mqueue nosuid,noexec,nodev
                /dev/shm bind /b/shm bind,rprivate,nosuid,noexec,nodev
                /var/tmp tmpfs tmpfs rw,rprivate,nosuid,nodev,tmpcopyup
                /etc/hosts bind /b/hosts bind,rprivate,ro,nosuid,noexec,nodev
                /run/.containerenv bind /b/env bind,rprivate
                /sys/fs/cgroup cgroup cgroup rprivate,nosuid,noexec,nodev,relatime,ro
            "#]],
        );
    }

    #[test]
    fn the_users_replace_the_defaults() {
        let tmpfs = Mount {
            kind: MountKind::Tmpfs,
            source: String::new(),
            destination: "/dev/shm/".into(),
            options: vec!["size=1m".into(), "notmpcopyup".into(), "exec".into()],
        };
        let request = SpecRequest {
            mounts: vec![
                bind("/a/b//c/.", &["ro", "rshared"]),
                tmpfs,
                bind("/a", &["bind", "noexec"]),
            ],
            ..SpecRequest::default()
        };
        check(
            &request,
            &BundlePaths::default(),
            &expect![[r#"
            /proc proc proc nosuid,noexec,nodev
            /dev tmpfs tmpfs nosuid,noexec,strictatime,mode=755,size=65536k
            /sys sysfs sysfs nosuid,noexec,nodev,ro
            /a bind /src bind,noexec,rw,rprivate
            /dev/pts devpts devpts nosuid,noexec,newinstance,ptmxmode=0666,mode=0620,gid=5
            /dev/mqueue mqueue mqueue nosuid,noexec,nodev
            /dev/shm tmpfs tmpfs size=1m,exec,rw,rprivate,nosuid,nodev
            /sys/fs/cgroup cgroup cgroup rprivate,nosuid,noexec,nodev,relatime,ro
            /a/b/c bind /src ro,rshared,rbind
        "#]],
        );
        assert_eq!(root_propagation(&request).unwrap().as_deref(), Some("shared"));
    }

    #[test]
    fn refused() {
        for (mount, expected) in [
            (
                bind("relative", &[]),
                r#"invalid mount destination "relative": the path is not absolute"#,
            ),
            (
                bind("/a/../..", &[]),
                r#"invalid mount destination "/a/../..": the path has .. in it"#,
            ),
            (
                bind("//.", &[]),
                r#"invalid mount destination "//.": the root file system cannot be mounted over"#,
            ),
            (bind("/a\0", &[]), r#"invalid mount destination "/a\0": it contains a NUL byte"#),
            (
                bind("/a", &["size=1"]),
                r#"invalid mount option "size=1": not one that this kind of mount takes"#,
            ),
            (
                bind("/a", &["Z"]),
                r#"invalid mount option "Z": not one that this kind of mount takes"#,
            ),
            (
                bind("/a", &["ro,rw"]),
                r#"invalid mount option "ro,rw": not one that this kind of mount takes"#,
            ),
        ] {
            let request = SpecRequest { mounts: vec![mount], ..SpecRequest::default() };
            assert_eq!(
                mounts(&request, &BundlePaths::default(), &generous()).unwrap_err().to_string(),
                expected
            );
        }
        let twice = SpecRequest {
            mounts: vec![bind("/a", &[]), bind("/a/", &[])],
            ..SpecRequest::default()
        };
        assert!(mounts(&twice, &BundlePaths::default(), &generous()).is_err());
        let tz = SpecRequest { tz: Some("../../../etc/shadow".into()), ..SpecRequest::default() };
        assert!(mounts(&tz, &BundlePaths::default(), &generous()).is_err());
        let init = SpecRequest { init: Some("/nonexistent/init".into()), ..SpecRequest::default() };
        assert!(mounts(&init, &BundlePaths::default(), &generous()).is_err());
    }

    proptest! {
        #[test]
        fn any_destination_gives_an_answer(path in "(?s)/?[a-z./]{0,20}") {
            if let Ok(clean_path) = clean(&path) {
                prop_assert!(clean_path.starts_with('/') && clean_path.len() > 1);
                prop_assert!(!clean_path.contains("//") && clean_path.split('/').all(|part| part != ".."), "{clean_path}");
                prop_assert_eq!(clean(&clean_path).unwrap(), clean_path);
            }
        }
    }
}
