//! Devices: nodes made in /dev, and the rules of the device cgroup. The runtime adds the usual ones (null, zero, full,
//! random, urandom, tty, ptmx) itself.

use crate::{Device, DeviceType, Error, SpecRequest};
use oci_spec::runtime::{LinuxDevice, LinuxDeviceCgroup, LinuxDeviceType};
use rustix::fs::{FileType, Mode};
use std::fs::{self, Metadata};
use std::io;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};

/// A directory of devices deeper or larger than any real one is a mistake (or a loop of bind mounts).
const MAX_DEPTH: usize = 8;
const MAX_DEVICES: usize = 4096;

/// Directories of /dev that hold no devices of the machine, or other containers'.
const SKIPPED_DIRS: [&str; 7] = ["pts", "shm", "fd", "mqueue", ".lxc", ".lxd-mounts", ".udev"];

/// The nodes of a container: the request's devices, and with `privileged` each of the machine's.
pub(crate) fn devices(request: &SpecRequest) -> Result<Vec<LinuxDevice>, Error> {
    let mut found = Vec::new();
    if request.security.privileged {
        let all =
            Device { source: "/dev".into(), destination: "/dev".into(), access: "rwm".into() };
        found.extend(expand(&all)?.into_iter().map(|(device, _)| device));
    }
    for device in &request.devices {
        for (device, _) in expand(device)? {
            found.retain(|known: &LinuxDevice| known.path() != device.path());
            found.push(device);
        }
    }
    Ok(found)
}

/// The rules of the device cgroup: everything for a privileged container, else nothing but what is given.
pub(crate) fn rules(request: &SpecRequest) -> Result<Vec<LinuxDeviceCgroup>, Error> {
    let mut rules = vec![rule(request.security.privileged, None, (None, None), "rwm")];
    if !request.security.privileged {
        for device in &request.devices {
            for (node, access) in expand(device)? {
                rules.push(rule(
                    true,
                    Some(node.typ()),
                    (Some(node.major()), Some(node.minor())),
                    &access,
                ));
            }
        }
    }
    for asked in &request.device_rules {
        if !crate::request::is_access(&asked.access) {
            return Err(Error::invalid(
                "--device-cgroup-rule",
                &asked.access,
                "permissions are some of r, w and m",
            ));
        }
        let kind = match asked.kind {
            DeviceType::All => LinuxDeviceType::A,
            DeviceType::Block => LinuxDeviceType::B,
            DeviceType::Char => LinuxDeviceType::C,
        };
        rules.push(rule(true, Some(kind), (asked.major, asked.minor), &asked.access));
    }
    Ok(rules)
}

fn rule(
    allow: bool,
    kind: Option<LinuxDeviceType>,
    number: (Option<i64>, Option<i64>),
    access: &str,
) -> LinuxDeviceCgroup {
    let mut rule = LinuxDeviceCgroup::default();
    rule.set_allow(allow)
        .set_typ(kind)
        .set_major(number.0)
        .set_minor(number.1)
        .set_access(Some(access.to_owned()));
    rule
}

/// One device, or each below a directory.
fn expand(device: &Device) -> Result<Vec<(LinuxDevice, String)>, Error> {
    device.validate()?;
    let (source, destination) = (Path::new(&device.source), Path::new(&device.destination));
    let metadata = fs::metadata(source).map_err(Error::io("find the device", source))?;
    let mut found = Vec::new();
    if metadata.is_dir() {
        walk(source, destination, 0, &mut found)?;
        if found.is_empty() {
            return Err(Error::invalid("--device", &device.source, "no device in this directory"));
        }
    } else {
        let node = node(&metadata, destination);
        found.push(node.ok_or_else(|| Error::invalid("--device", &device.source, "not a device"))?);
    }
    Ok(found.into_iter().map(|node| (node, device.access.clone())).collect())
}

fn walk(
    dir: &Path,
    destination: &Path,
    depth: usize,
    found: &mut Vec<LinuxDevice>,
) -> Result<(), Error> {
    let entries = match fs::read_dir(dir) {
        Ok(entries) => entries,
        Err(e) if depth > 0 && e.kind() == io::ErrorKind::NotFound => return Ok(()),
        Err(e) => return Err(Error::io("list the devices in", dir)(e)),
    };
    let mut names: Vec<PathBuf> =
        entries.filter_map(|entry| Some(entry.ok()?.file_name().into())).collect();
    names.sort();
    for name in names {
        let path = dir.join(&name);
        // A node may go away at any time; links of /dev lead to what is listed anyway.
        let Ok(metadata) = fs::symlink_metadata(&path) else { continue };
        if metadata.is_dir() {
            let skipped = SKIPPED_DIRS.iter().any(|skip| name == Path::new(skip));
            if !skipped && depth < MAX_DEPTH {
                walk(&path, &destination.join(&name), depth + 1, found)?;
            }
        } else if name != Path::new("console")
            && let Some(node) = node(&metadata, &destination.join(&name))
        {
            if found.len() >= MAX_DEVICES {
                return Err(Error::invalid(
                    "--device",
                    dir.to_string_lossy(),
                    format!("more than {MAX_DEVICES} devices"),
                ));
            }
            found.push(node);
        }
    }
    Ok(())
}

/// `None` for what is not a device, or has a name that JSON cannot hold.
fn node(metadata: &Metadata, destination: &Path) -> Option<LinuxDevice> {
    let kind = match FileType::from_raw_mode(metadata.mode()) {
        FileType::CharacterDevice => LinuxDeviceType::C,
        FileType::BlockDevice => LinuxDeviceType::B,
        _ => return None,
    };
    destination.to_str()?;
    let (major, minor) = numbers(metadata);
    let mut device = LinuxDevice::default();
    device
        .set_path(destination.to_path_buf())
        .set_typ(kind)
        .set_major(major)
        .set_minor(minor)
        .set_file_mode(Some(Mode::from_raw_mode(metadata.mode()).as_raw_mode()))
        .set_uid(Some(metadata.uid()))
        .set_gid(Some(metadata.gid()));
    Some(device)
}

/// Major and minor of a device.
pub(crate) fn numbers(metadata: &Metadata) -> (i64, i64) {
    let number = metadata.rdev();
    (i64::from(rustix::fs::major(number)), i64::from(rustix::fs::minor(number)))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{DeviceRule, Security};

    #[test]
    fn devices_and_their_rules() {
        let request = SpecRequest {
            devices: vec!["/dev/null:/dev/xnull:rw".parse().unwrap()],
            device_rules: vec!["c 5:* rmw".parse::<DeviceRule>().unwrap()],
            ..SpecRequest::default()
        };
        let list = devices(&request).unwrap();
        assert_eq!(list.len(), 1);
        assert_eq!(
            (list[0].path().to_str(), list[0].major(), list[0].minor()),
            (Some("/dev/xnull"), 1, 3)
        );
        assert_eq!(list[0].file_mode().map(|mode| mode & 0o777_0000), Some(0), "no file type bits");
        let shown: Vec<String> = rules(&request)
            .unwrap()
            .iter()
            .map(|r| {
                format!(
                    "{} {:?} {:?}:{:?} {}",
                    r.allow(),
                    r.typ(),
                    r.major(),
                    r.minor(),
                    r.access().clone().unwrap()
                )
            })
            .collect();
        assert_eq!(
            shown,
            [
                "false None None:None rwm",
                "true Some(C) Some(1):Some(3) rw",
                "true Some(C) Some(5):None rmw"
            ]
        );
    }

    #[test]
    fn privileged_gets_them_all() {
        let security = Security { privileged: true, ..Security::default() };
        let request = SpecRequest { security, ..SpecRequest::default() };
        let list = devices(&request).unwrap();
        assert!(list.iter().any(|d| d.path() == Path::new("/dev/null")));
        assert!(list.iter().all(|d| d.path() != Path::new("/dev/console") && !d.path().starts_with("/dev/pts")));
        let rules = rules(&request).unwrap();
        assert_eq!((rules.len(), rules[0].allow()), (1, true));
    }

    #[test]
    fn refused() {
        let with = |text: &str| {
            let request =
                SpecRequest { devices: vec![text.parse().unwrap()], ..SpecRequest::default() };
            devices(&request).unwrap_err().to_string()
        };
        assert_eq!(with("/dev/nope"), "cannot find the device /dev/nope");
        assert_eq!(with("/etc/passwd"), r#"invalid --device "/etc/passwd": not a device"#);
    }
}
