//! Installing what dhow and its tests need from Debian's packages, where it is missing.

use std::path::Path;

use anyhow::{Result, bail};

use crate::cargo::{program, succeed};

/// A file that shows that a package is there, and the package.
type Need = (&'static str, &'static str);

/// What `dhow run` needs: an OCI runtime.
pub(crate) const RUN: &[Need] = &[("runc", "runc")];

/// What the tests need as well: peers, makers of fixtures, the tracer.
pub(crate) const TEST: &[Need] = &[
    ("runc", "runc"),
    ("crun", "crun"),
    ("podman", "podman"),
    ("conmon", "conmon"),
    ("skopeo", "skopeo"),
    ("umoci", "umoci"),
    ("docker-registry", "docker-registry"),
    ("openssl", "openssl"),
    ("busybox", "busybox-static"),
    ("strace", "strace"),
    ("mmdebstrap", "mmdebstrap"),
    ("catatonit", "catatonit"),
    ("netavark", "netavark"),
    ("nft", "nftables"),
    ("ip", "iproute2"),
    ("setsid", "util-linux"),
    ("python3", "python3-minimal"),
    ("seccomp.h", "libseccomp-dev"),
];

const PLACES: &[&str] = &[
    "/usr/local/sbin",
    "/usr/local/bin",
    "/usr/sbin",
    "/usr/bin",
    "/sbin",
    "/bin",
    "/usr/libexec/podman",
    "/usr/lib/podman",
    "/usr/include",
];

/// Installs the packages of `needs` that are missing.
///
/// # Errors
/// Where that is not possible, with what to do by hand.
pub(crate) fn install(needs: &[Need]) -> Result<()> {
    let missing: Vec<&str> =
        needs.iter().filter(|(name, _)| !present(name)).map(|(_, package)| *package).collect();
    if missing.is_empty() {
        return Ok(());
    }
    let by_hand = format!("install them by hand: {}", missing.join(" "));
    if !Path::new("/usr/bin/apt-get").exists() {
        bail!("this machine lacks packages and has no apt-get; {by_hand}");
    }
    if !is_root() {
        bail!(
            "this machine lacks packages and only root can install them: sudo apt-get install {}",
            missing.join(" ")
        );
    }
    crate::print(&format!("installing {}", missing.join(" ")));
    let apt = |args: &[&str]| {
        let mut command = program("/usr/bin/apt-get");
        command
            .env("DEBIAN_FRONTEND", "noninteractive")
            .args(["-q", "-y", "-o", "Dpkg::Use-Pty=0"])
            .args(args);
        command.stdin(std::process::Stdio::null());
        succeed(&mut command)
    };
    let mut line = vec!["install", "--no-install-recommends"];
    line.extend(&missing);
    // The lists may be absent or old: they are only fetched where that is so.
    if apt(&line).is_err() && (apt(&["update"]).is_err() || apt(&line).is_err()) {
        bail!("apt-get cannot install what is missing; {by_hand}");
    }
    Ok(())
}

fn present(name: &str) -> bool {
    PLACES.iter().any(|place| Path::new(place).join(name).exists())
}

fn is_root() -> bool {
    use std::os::unix::fs::MetadataExt;
    std::fs::metadata("/proc/self").is_ok_and(|meta| meta.uid() == 0)
}
