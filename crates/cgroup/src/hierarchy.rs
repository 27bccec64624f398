//! Which hierarchies the machine has, where they are mounted, and where in them this process is.

use std::path::{Path, PathBuf};

use dhow_sys::mountinfo::{self, MountEntry};
use serde::{Deserialize, Serialize};

use crate::Error;

/// The two interfaces of the kernel.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Version {
    /// One hierarchy a controller, or a few.
    V1,
    /// One for all.
    V2,
}

/// One mounted hierarchy.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Hierarchy {
    /// Its interface.
    pub version: Version,
    /// Where its root is.
    pub mount: PathBuf,
    /// The controllers that it has; a v1 hierarchy without one has its name, as `name=systemd`.
    pub controllers: Vec<String>,
    /// This process's own cgroup in it, below `mount`.
    pub own: PathBuf,
}

impl Hierarchy {
    /// Whether it has that controller.
    #[must_use]
    pub fn has(&self, controller: &str) -> bool {
        self.controllers.iter().any(|has| has == controller)
    }
}

/// All hierarchies of the machine.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Hierarchies(Vec<Hierarchy>);

impl Hierarchies {
    /// What this process sees: `/proc/self/mountinfo` and `/proc/self/cgroup` are read once each.
    ///
    /// # Errors
    /// [`Error::Io`] where they cannot be read, [`Error::Unsupported`] where no hierarchy is mounted.
    pub fn detect() -> Result<Hierarchies, Error> {
        let mounts = mountinfo::mounts().map_err(Error::io("read", "/proc/self/mountinfo"))?;
        let own = std::fs::read_to_string("/proc/self/cgroup")
            .map_err(Error::io("read", "/proc/self/cgroup"))?;
        Self::of(&mounts, &own)
    }

    /// A v2 hierarchy at `mount` alone, with this process's own cgroup below it.
    ///
    /// # Errors
    /// [`Error::Io`] where it has no `cgroup.controllers`.
    pub fn unified_at(mount: &Path, own: &Path) -> Result<Hierarchies, Error> {
        Ok(Hierarchies(vec![unified(mount, own.to_owned())?]))
    }

    fn of(mounts: &[MountEntry], own: &str) -> Result<Hierarchies, Error> {
        let mut found: Vec<Hierarchy> = Vec::new();
        for mount in mounts {
            let hierarchy = match mount.fstype.as_str() {
                "cgroup" => {
                    let options = mount.super_options.to_string_lossy();
                    legacy(mount, own, &options)
                }
                "cgroup2" => Some(unified(&mount.target, below(mount, own_path(own, "")))?),
                _ => None,
            };
            // A hierarchy may be mounted a second time: the first one is the machine's.
            let Some(hierarchy) = hierarchy else { continue };
            let known = found.iter().any(|other| {
                other.version == hierarchy.version && other.controllers == hierarchy.controllers
            });
            if !known {
                found.push(hierarchy);
            }
        }
        if found.is_empty() {
            return Err(Error::unsupported("a system without a mounted cgroup hierarchy"));
        }
        // A controller that v1 has is not in v2's list, unless two mount namespaces disagree: v1's is the one in use.
        Ok(Hierarchies(found))
    }

    /// Whether v2 is all there is.
    #[must_use]
    pub fn is_unified(&self) -> bool {
        self.0.iter().all(|hierarchy| hierarchy.version == Version::V2)
    }

    /// Each of them.
    #[must_use]
    pub fn all(&self) -> &[Hierarchy] {
        &self.0
    }
}

fn unified(mount: &Path, own: PathBuf) -> Result<Hierarchy, Error> {
    let controllers = mount.join("cgroup.controllers");
    let text = std::fs::read_to_string(&controllers).map_err(Error::io("read", &controllers))?;
    Ok(Hierarchy {
        version: Version::V2,
        mount: mount.to_owned(),
        controllers: text.split_whitespace().map(str::to_owned).collect(),
        own,
    })
}

/// proc_pid_cgroup(5): the options of the file system that are no controllers are known, the controllers are not.
fn legacy(mount: &MountEntry, own: &str, options: &str) -> Option<Hierarchy> {
    const OTHERS: [&str; 6] = ["rw", "ro", "noprefix", "xattr", "clone_children", "cpuset_v2_mode"];
    let controllers: Vec<String> = options
        .split(',')
        .filter(|option| !OTHERS.contains(option) && !option.starts_with("release_agent="))
        .map(str::to_owned)
        .collect();
    let first = controllers.first()?;
    Some(Hierarchy {
        version: Version::V1,
        mount: mount.target.clone(),
        own: below(mount, own_path(own, first)),
        controllers,
    })
}

/// This process's cgroup in the hierarchy with that controller; v2's is the one without a name.
fn own_path<'a>(own: &'a str, controller: &str) -> &'a str {
    let path = own.lines().find_map(|line| {
        let (_, rest) = line.split_once(':')?;
        let (controllers, path) = rest.split_once(':')?;
        controllers.split(',').any(|one| one == controller).then_some(path)
    });
    path.unwrap_or("/")
}

/// A cgroup as seen below a mount, which may show a part of the hierarchy only (in a container without a namespace).
fn below(mount: &MountEntry, path: &str) -> PathBuf {
    let path = Path::new(path);
    let below = path.strip_prefix(&mount.root).or_else(|_| path.strip_prefix("/"));
    below.unwrap_or(path).to_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn mount(target: &str, root: &str, fstype: &str, options: &str) -> MountEntry {
        MountEntry {
            id: 1,
            parent: 0,
            dev: "0:1".into(),
            root: root.into(),
            target: target.into(),
            fstype: fstype.into(),
            source: fstype.into(),
            options: "rw".into(),
            super_options: options.into(),
            propagation: Vec::new(),
        }
    }

    #[test]
    fn the_hierarchies_of_a_hybrid_machine() {
        let unified = tempfile::tempdir().unwrap();
        std::fs::File::create(unified.path().join("cgroup.controllers")).unwrap();
        let target = unified.path().to_str().unwrap();
        let mounts = [
            mount("/sys/fs/cgroup", "/", "tmpfs", "rw,mode=755"),
            mount("/c/cpu,cpuacct", "/", "cgroup", "rw,cpu,cpuacct"),
            mount("/c/memory", "/docker/x", "cgroup", "rw,memory"),
            mount("/c/systemd", "/", "cgroup", "rw,xattr,release_agent=/l/s,name=systemd"),
            mount("/elsewhere", "/", "cgroup", "rw,memory"),
            mount(target, "/", "cgroup2", "rw,nsdelegate"),
        ];
        let own = "9:name=systemd:/user.slice\n4:memory:/docker/x/y\n2:cpu,cpuacct:/\n0::/a/b\n";
        let found = Hierarchies::of(&mounts, own).unwrap();
        assert!(!found.is_unified());
        let rows: Vec<_> = found
            .all()
            .iter()
            .map(|one| {
                (one.version, one.controllers.join(" "), one.own.to_str().unwrap().to_owned())
            })
            .collect();
        let row = |version, controllers: &str, own: &str| {
            (version, controllers.to_owned(), own.to_owned())
        };
        assert_eq!(
            rows,
            [
                row(Version::V1, "cpu cpuacct", ""),
                row(Version::V1, "memory", "y"),
                row(Version::V1, "name=systemd", "user.slice"),
                row(Version::V2, "", "a/b"),
            ]
        );
    }

    #[test]
    fn a_machine_without_cgroups_is_named_so() {
        let error = Hierarchies::of(&[mount("/", "/", "ext4", "rw")], "").unwrap_err();
        assert_eq!(
            error.to_string(),
            "a system without a mounted cgroup hierarchy is not supported"
        );
    }
}
