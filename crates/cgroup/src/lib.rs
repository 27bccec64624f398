//! The cgroup of one container, in every hierarchy that the machine has: v1, v2, or both side by side (hybrid).
//!
//! A [`Cgroup`] is a list of directories, decided once from `/proc/self/mountinfo` and `/proc/self/cgroup`. It is plain
//! data: a runtime keeps it in its state and needs neither of the two files again. What a controller is asked for goes
//! to the hierarchy that has it, in that version's files; what no hierarchy has is an error that names it.
//!
//! INVARIANT: only directories of the container's own path are written to, and `cgroup.subtree_control` on the way to
//! them (v2), and `cpuset.*` where they are empty on the way (v1).
//!
//! It does not know containers, bundles or states; that cgroups are not wanted at all is the caller's affair. Everything
//! here is by files: the systemd way of naming a cgroup is refused by name.

mod apply;
mod create;
mod delete;
mod device;
mod error;
mod file;
mod freeze;
mod hierarchy;
mod path;
mod process;
mod stats;

pub use device::default_rules;
pub use error::Error;
pub use hierarchy::{Hierarchies, Hierarchy, Version};
pub use stats::Stats;

use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};

/// The cgroup of one container.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Cgroup {
    directories: Vec<Directory>,
}

/// The cgroup's directory in one hierarchy.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Directory {
    /// The hierarchy.
    #[serde(flatten)]
    pub hierarchy: Hierarchy,
    /// The directory itself.
    pub path: PathBuf,
}

impl Cgroup {
    /// The cgroup that a spec's `cgroupsPath` names; `id` where it names none. Nothing is made or looked for.
    ///
    /// An absolute path is below each hierarchy's root; a relative one below our own cgroup (v1), or beside it (v2, where
    /// a cgroup with processes cannot have children with controllers). `..` does not lead out.
    ///
    /// # Errors
    /// [`Error::Unsupported`] for systemd's `slice:prefix:name`; [`Error::Invalid`] for a path that names the root.
    pub fn new(hierarchies: &Hierarchies, path: Option<&Path>, id: &str) -> Result<Cgroup, Error> {
        let path = path::resolve(path, id)?;
        let directory = |hierarchy: &Hierarchy| Directory {
            path: path.below(hierarchy),
            hierarchy: hierarchy.clone(),
        };
        Ok(Cgroup { directories: hierarchies.all().iter().map(directory).collect() })
    }

    /// Its directories.
    #[must_use]
    pub fn directories(&self) -> &[Directory] {
        &self.directories
    }

    /// The directory of the v2 hierarchy.
    #[must_use]
    pub fn unified(&self) -> Option<&Directory> {
        self.directories.iter().find(|directory| directory.hierarchy.version == Version::V2)
    }

    /// The directory where a controller is.
    #[must_use]
    pub fn controller(&self, name: &str) -> Option<&Directory> {
        self.directories.iter().find(|directory| directory.hierarchy.has(name))
    }

    /// As [`Self::controller`], for a property of the spec that cannot do without.
    fn need(&self, controller: &'static str) -> Result<&Directory, Error> {
        self.controller(controller).ok_or(Error::NoController { controller })
    }
}
