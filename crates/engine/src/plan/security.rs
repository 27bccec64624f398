//! What confines a planned container: capabilities, seccomp, labels, masks.

use std::path::Path;

use dhow_oci::{CapSet, Host, Seccomp, Security};

use crate::error::{Error, Result};
use crate::request::{SeccompChoice, SecurityOptions};

/// The spec request's security part. A seccomp profile is read here, so that a file changed later changes no container.
pub(super) fn security(options: &SecurityOptions, host: &Host) -> Result<Security> {
    let text = |path: &Path| {
        path.to_str()
            .map(str::to_owned)
            .ok_or_else(|| Error::Invalid(format!("the path {} is not UTF-8", path.display())))
    };
    let paths =
        |paths: &[std::path::PathBuf]| paths.iter().map(|p| text(p)).collect::<Result<Vec<_>>>();
    let mut unmask = paths(&options.unmask)?;
    if options.unmask_all {
        unmask.push("ALL".to_owned());
    }
    let enforcing = Path::new("/sys/fs/selinux/enforce").exists();
    if enforcing && options.labels.iter().any(|label| label != "disable") {
        return Err(Error::Invalid(
            "--security-opt label: dhow computes no SELinux labels yet; use label=disable on this host".into(),
        ));
    }
    Ok(Security {
        privileged: options.privileged,
        cap_add: options.cap_add.iter().map(|c| c.as_str().to_owned()).collect(),
        cap_drop: options.cap_drop.iter().map(|c| c.as_str().to_owned()).collect(),
        no_new_privileges: options.no_new_privileges,
        seccomp: match &options.seccomp {
            SeccompChoice::Default => Seccomp::Default,
            SeccompChoice::Unconfined => Seccomp::Unconfined,
            SeccompChoice::File(path) => Seccomp::Profile(profile(path, host)?),
        },
        apparmor: options.apparmor.clone(),
        process_label: String::new(),
        mount_label: String::new(),
        mask: paths(&options.mask)?,
        unmask,
    })
}

/// Its text, once it is known to be a profile.
fn profile(path: &Path, host: &Host) -> Result<String> {
    let bytes = dhow_sys::fs::read_bounded(path, dhow_oci::seccomp::MAX_PROFILE)
        .map_err(Error::io("read the seccomp profile", path))?;
    let text = String::from_utf8(bytes).map_err(|_| {
        Error::Invalid(format!("the seccomp profile {} is not UTF-8", path.display()))
    })?;
    dhow_oci::seccomp::resolve(&text, CapSet::EMPTY, host).map_err(|e| Error::While {
        what: format!("cannot use the seccomp profile {}", path.display()),
        source: Box::new(Error::Spec(e)),
    })?;
    Ok(text)
}
