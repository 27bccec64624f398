//! From a request to a runtime spec.
//!
//! Linear: each part of the spec is made by one module below and put in its place here. The only effect on the machine
//! is the image's WORKDIR, made where it is missing ([`crate::workdir`]).

mod device;
mod environment;
mod limit;
mod mask;
mod mount;
mod namespace;
mod resources;
mod sysctl;

pub(crate) use environment::{Environment, check_args};
pub(crate) use resources::resources;

use crate::error::{built, no_nul};
use crate::user::{self, User};
use crate::{Error, Host, INIT_PATH, Namespace, Seccomp, SpecRequest};
use dhow_sys::root::Root;
use oci_spec::runtime as oci;
use std::path::{Path, PathBuf};

/// What the engine has put ready for one start of a container. What is `None` is not mounted.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct BundlePaths {
    /// The root file system, mounted.
    pub rootfs: PathBuf,
    /// A directory for /dev/shm that outlives the mount namespace, needed where another container shares it. Without it
    /// a container with an IPC namespace of its own gets a tmpfs of [`SpecRequest::shm_size`].
    pub shm: Option<PathBuf>,
    /// File for /etc/hosts.
    pub hosts: Option<PathBuf>,
    /// File for /etc/hostname.
    pub hostname: Option<PathBuf>,
    /// File for /etc/resolv.conf.
    pub resolv_conf: Option<PathBuf>,
    /// File for /etc/passwd, see [`crate::user::passwd_with_entry`].
    pub passwd: Option<PathBuf>,
    /// File for /run/.containerenv.
    pub containerenv: Option<PathBuf>,
}

/// The runtime spec of a container. `root` is the mounted root file system, the same as `bundle.rootfs`.
///
/// # Errors
/// [`Error::Invalid`] and [`Error::Unsupported`] for values of the request, [`Error::NoSuchUser`] and
/// [`Error::NoWorkdir`] for what the root file system lacks.
pub fn generate(
    request: &SpecRequest,
    bundle: &BundlePaths,
    host: &Host,
    root: &Root,
) -> Result<oci::Spec, Error> {
    let user = user::resolve(root, &request.user, &request.group_add)?;
    let bounding = capabilities(request, host)?;
    let hostname = hostname(request, host)?;
    let mounts = mount::mounts(request, bundle, host)?;
    let cwd = crate::workdir::prepare(request, &user, &mounts, root)?;

    let mut process = oci::Process::default();
    process
        .set_terminal(request.terminal.then_some(true))
        .set_console_size(
            request.console_size.filter(|_| request.terminal).map(console_size).transpose()?,
        )
        .set_user(spec_user(&user, Some(request.umask.unwrap_or(0o022))))
        .set_args(Some(args(request)?))
        .set_env(Some(environment(request, host, &user, &hostname)?))
        .set_cwd(cwd)
        .set_capabilities(Some(crate::capability::process_sets(
            bounding,
            user.uid,
            request.security.privileged,
            &request.security.cap_add,
        )?))
        .set_rlimits(
            Some(limit::rlimits(&request.rlimits, host)?).filter(|limits| !limits.is_empty()),
        )
        // Left out when false: libcontainer takes an explicit false as a reason to load the filter late, and fails.
        .set_no_new_privileges(request.security.no_new_privileges.then_some(true))
        .set_apparmor_profile(apparmor(request, host)?)
        .set_oom_score_adj(limit::oom_score_adj(request.oom_score_adj, host)?)
        .set_selinux_label(non_empty(&request.security.process_label, "label")?);

    let masks = mask::masks(&request.security)?;
    let mut linux = oci::Linux::default();
    linux
        .set_namespaces(Some(namespace::namespaces(&request.namespaces, host)?))
        .set_devices(Some(device::devices(request)?).filter(|devices| !devices.is_empty()))
        .set_resources(Some(spec_resources(request, host)?))
        .set_cgroups_path(cgroups_path(request)?)
        .set_sysctl(Some(sysctl::sysctls(request)?).filter(|sysctls| !sysctls.is_empty()))
        .set_seccomp(seccomp(request, bounding, host)?)
        .set_rootfs_propagation(mount::root_propagation(request)?)
        .set_masked_paths(Some(masks.masked))
        .set_readonly_paths(Some(masks.read_only))
        .set_mount_label(non_empty(&request.security.mount_label, "label")?);

    let mut spec_root = oci::Root::default();
    spec_root.set_path(bundle.rootfs.clone()).set_readonly(request.read_only.then_some(true));

    let mut spec = oci::Spec::default();
    spec.set_version("1.0.2".to_owned())
        .set_root(Some(spec_root))
        .set_mounts(Some(mounts))
        .set_process(Some(process))
        .set_hostname(own_uts(request).then_some(hostname))
        .set_annotations(Some(annotations(request)?).filter(|map| !map.is_empty()))
        .set_linux(Some(linux));
    Ok(spec)
}

/// The host name a container sees: its own, or the machine's.
///
/// # Errors
/// A name that the kernel would not take, and `--hostname` without a UTS namespace of its own.
pub fn hostname(request: &SpecRequest, host: &Host) -> Result<String, Error> {
    let Some(name) = &request.hostname else {
        let shared = request.namespaces.uts == Namespace::Host
            || request.namespaces.network == Namespace::Host;
        let own: String = request.container_id.chars().take(12).collect();
        return Ok(if shared || own.is_empty() { host.hostname.clone() } else { own });
    };
    if request.namespaces.uts == Namespace::Host {
        return Err(Error::invalid(
            "--hostname",
            name,
            "cannot set a host name in the UTS namespace of the host",
        ));
    }
    // sethostname(2) takes 64 bytes; a name with a space or newline would break the files it is written into.
    let fits = !name.is_empty() && name.len() <= 64;
    if !fits || !name.bytes().all(|b| b.is_ascii_graphic() && b != b'/') {
        return Err(Error::invalid(
            "--hostname",
            name,
            "a host name is 1 to 64 printable characters without spaces",
        ));
    }
    Ok(name.clone())
}

/// The runtime sets a host name only where it makes the namespace: in another container's it would change that one's.
fn own_uts(request: &SpecRequest) -> bool {
    matches!(request.namespaces.uts, Namespace::Private | Namespace::None)
}

fn capabilities(request: &SpecRequest, host: &Host) -> Result<crate::CapSet, Error> {
    let security = &request.security;
    crate::capability::bounding(
        security.privileged,
        &security.cap_add,
        &security.cap_drop,
        host.capabilities,
    )
}

pub(crate) fn spec_user(user: &User, umask: Option<u32>) -> oci::User {
    let mut spec = oci::User::default();
    spec.set_uid(user.uid)
        .set_gid(user.gid)
        .set_umask(umask.map(|mask| mask & 0o777))
        .set_additional_gids(Some(user.additional_gids.clone()).filter(|gids| !gids.is_empty()));
    spec
}

pub(crate) fn console_size(size: crate::ConsoleSize) -> Result<oci::Box, Error> {
    built(oci::BoxBuilder::default().height(size.height).width(size.width).build())
}

fn args(request: &SpecRequest) -> Result<Vec<String>, Error> {
    check_args(&request.args)?;
    if request.init.is_none() {
        return Ok(request.args.clone());
    }
    if !matches!(request.namespaces.pid, Namespace::Private | Namespace::None) {
        return Err(Error::invalid(
            "--init",
            "true",
            "an init must be process 1, and the PID namespace is not private",
        ));
    }
    let prefix = [INIT_PATH.to_owned(), "--".to_owned()];
    Ok(prefix.into_iter().chain(request.args.iter().cloned()).collect())
}

fn environment(
    request: &SpecRequest,
    host: &Host,
    user: &User,
    hostname: &str,
) -> Result<Vec<String>, Error> {
    let mut env = Environment::parse(&request.env)?;
    let seen = if own_uts(request) { hostname } else { &host.hostname };
    env.or_default("PATH", environment::DEFAULT_PATH);
    env.or_default("TERM", "xterm");
    // What programs ask to learn that they are in a container; systemd knows this word.
    env.or_default("container", "oci");
    env.or_default("HOSTNAME", seen);
    env.or_default("HOME", &user.home);
    for key in &request.unset_env {
        env.unset(key);
    }
    env.finish()
}

fn apparmor(request: &SpecRequest, host: &Host) -> Result<Option<String>, Error> {
    match request.security.apparmor.as_deref() {
        None | Some("" | "unconfined") => Ok(None),
        Some(_) if request.security.privileged => Ok(None),
        Some(profile) if host.apparmor => non_empty(profile, "apparmor profile"),
        Some(profile) => Err(Error::unsupported(
            "apparmor profile",
            profile,
            "AppArmor is not enabled on this system",
        )),
    }
}

fn seccomp(
    request: &SpecRequest,
    bounding: crate::CapSet,
    host: &Host,
) -> Result<Option<oci::LinuxSeccomp>, Error> {
    match &request.security.seccomp {
        Seccomp::Unconfined => Ok(None),
        Seccomp::Default if request.security.privileged => Ok(None),
        Seccomp::Default => crate::seccomp::default_profile(bounding, host).map(Some),
        Seccomp::Profile(text) => crate::seccomp::resolve(text, bounding, host).map(Some),
    }
}

fn spec_resources(request: &SpecRequest, host: &Host) -> Result<oci::LinuxResources, Error> {
    let mut spec = resources(&request.resources, &request.cgroup, host)?;
    spec.set_devices(Some(device::rules(request)?));
    Ok(spec)
}

fn cgroups_path(request: &SpecRequest) -> Result<Option<PathBuf>, Error> {
    let path = &request.cgroup.path;
    if path.is_empty() || request.cgroup.disabled {
        return Ok(None);
    }
    no_nul("cgroup path", path)?;
    if Path::new(path).components().any(|part| part == std::path::Component::ParentDir) {
        return Err(Error::invalid("cgroup path", path, "it leads out by .."));
    }
    Ok(Some(PathBuf::from(path)))
}

fn annotations(request: &SpecRequest) -> Result<std::collections::HashMap<String, String>, Error> {
    for (key, value) in &request.annotations {
        no_nul("annotation", key)?;
        no_nul("annotation", value)?;
        if key.is_empty() {
            return Err(Error::invalid("annotation", value, "the key is empty"));
        }
    }
    Ok(request.annotations.clone().into_iter().collect())
}

fn non_empty(text: &str, what: &'static str) -> Result<Option<String>, Error> {
    no_nul(what, text)?;
    Ok((!text.is_empty()).then(|| text.to_owned()))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::host::tests::generous;
    use crate::{Cwd, Device, DeviceRule, DeviceType, Mount, MountKind, Rlimit};
    use proptest::prelude::*;

    fn root() -> (tempfile::TempDir, Root) {
        let dir = tempfile::tempdir().unwrap();
        let root = Root::open(dir.path()).unwrap();
        (dir, root)
    }

    fn made(request: &SpecRequest) -> Result<oci::Spec, Error> {
        let (_dir, root) = root();
        generate(request, &BundlePaths::default(), &generous(), &root)
    }

    fn plain() -> SpecRequest {
        SpecRequest {
            args: vec!["sh".into()],
            container_id: "0123456789abcdef".into(),
            ..SpecRequest::default()
        }
    }

    /// Puts a text into one field after the other.
    fn poisoned(text: &str) -> Vec<(&'static str, SpecRequest)> {
        let mount = |kind, source: &str, destination: &str, option: &str| Mount {
            kind,
            source: source.into(),
            destination: destination.into(),
            options: vec![option.into()],
        };
        let t = || text.to_owned();
        let with = |change: &dyn Fn(&mut SpecRequest)| {
            let mut request = plain();
            change(&mut request);
            request
        };
        vec![
            ("arg", with(&|r| r.args.push(t()))),
            ("program", with(&|r| r.args = vec![t()])),
            ("env", with(&|r| r.env = vec![format!("A={text}")])),
            ("env key", with(&|r| r.env = vec![format!("{text}=1")])),
            ("cwd", with(&|r| r.cwd = Some(Cwd { path: format!("/{text}"), create: true }))),
            ("user", with(&|r| r.user = t())),
            ("group", with(&|r| r.user = format!("0:{text}"))),
            ("group_add", with(&|r| r.group_add = vec![t()])),
            ("hostname", with(&|r| r.hostname = Some(t()))),
            ("cap", with(&|r| r.security.cap_add = vec![t()])),
            ("seccomp", with(&|r| r.security.seccomp = Seccomp::Profile(t()))),
            ("apparmor", with(&|r| r.security.apparmor = Some(format!("x{text}")))),
            ("label", with(&|r| r.security.process_label = format!("x{text}"))),
            ("mask", with(&|r| r.security.mask = vec![t()])),
            ("unmask", with(&|r| r.security.unmask = vec![t()])),
            ("rlimit", with(&|r| r.rlimits = vec![Rlimit { name: t(), soft: 0, hard: 0 }])),
            (
                "mount source",
                with(&|r| r.mounts = vec![mount(MountKind::Bind, &format!("/{text}"), "/x", "ro")]),
            ),
            (
                "mount destination",
                with(&|r| r.mounts = vec![mount(MountKind::Tmpfs, "", &format!("/x{text}"), "ro")]),
            ),
            (
                "mount option",
                with(&|r| {
                    r.mounts = vec![mount(MountKind::Tmpfs, "", "/x", &format!("size={text}"))];
                }),
            ),
            ("propagation", with(&|r| r.root_propagation = format!("x{text}"))),
            (
                "device",
                with(&|r| {
                    r.devices = vec![Device {
                        source: "/dev/null".into(),
                        destination: format!("/dev/{text}"),
                        access: "r".into(),
                    }];
                }),
            ),
            (
                "rule",
                with(&|r| {
                    r.device_rules = vec![DeviceRule {
                        kind: DeviceType::All,
                        major: None,
                        minor: None,
                        access: t(),
                    }];
                }),
            ),
            ("cpuset", with(&|r| r.resources.cpuset_cpus = Some(format!("x{text}")))),
            ("unified", with(&|r| r.resources.unified = [("a.b".to_owned(), t())].into())),
            ("sysctl", with(&|r| r.sysctls = [(format!("net.{text}"), "1".to_owned())].into())),
            ("sysctl value", with(&|r| r.sysctls = [("net.a".to_owned(), t())].into())),
            ("cgroup", with(&|r| r.cgroup.path = format!("/{text}"))),
            ("annotation", with(&|r| r.annotations = [("a".to_owned(), t())].into())),
            ("tz", with(&|r| r.tz = Some(t()))),
        ]
    }

    #[test]
    fn a_nul_is_an_error_wherever_it_is() {
        for (field, request) in poisoned("a\0b") {
            assert!(made(&request).is_err(), "{field}");
        }
    }

    #[test]
    fn absurd_lengths_do_no_harm() {
        let long = "x/".repeat(150_000);
        for (field, request) in poisoned(&long) {
            if let Err(e) = made(&request) {
                let shown = e.to_string();
                assert!(shown.len() < 5000, "{field}: {} bytes", shown.len());
            }
        }
    }

    #[test]
    fn init_needs_its_own_pid_namespace() {
        let mut request = plain();
        request.init = Some("/bin/sh".into());
        let args =
            made(&request).unwrap().process().as_ref().and_then(|p| p.args().clone()).unwrap();
        assert_eq!(args, [INIT_PATH, "--", "sh"]);
        request.namespaces.pid = Namespace::Host;
        assert!(made(&request).unwrap_err().to_string().contains("PID namespace"));
    }

    #[test]
    fn host_names() {
        let name = |change: &dyn Fn(&mut SpecRequest)| {
            let mut request = plain();
            change(&mut request);
            hostname(&request, &generous()).map_err(|e| e.to_string())
        };
        assert_eq!(name(&|_| ()).unwrap(), "0123456789ab");
        assert_eq!(name(&|r| r.hostname = Some("box".into())).unwrap(), "box");
        assert_eq!(name(&|r| r.namespaces.uts = Namespace::Host).unwrap(), "machine");
        assert_eq!(name(&|r| r.namespaces.network = Namespace::Host).unwrap(), "machine");
        let both = name(&|r| {
            r.hostname = Some("box".into());
            r.namespaces.uts = Namespace::Host;
        });
        assert!(both.unwrap_err().contains("UTS namespace of the host"));
        for bad in ["", "a b", "a\nb", "é", &"x".repeat(65)] {
            assert!(name(&|r| r.hostname = Some(bad.into())).is_err(), "{bad}");
        }
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(64))]
        #[test]
        fn any_text_anywhere_gives_an_answer(text in "(?s).{0,16}") {
            for (_, request) in poisoned(&text) {
                if let Ok(spec) = made(&request) {
                    prop_assert!(!crate::to_json(&spec).contains(&0));
                }
            }
        }
    }
}
