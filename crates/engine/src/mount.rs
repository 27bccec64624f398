//! `mount` and `unmount`: the user's own hold on a container's root file system.
//!
//! The user's mounts are counted apart from the container's use: neither pulls the root from under the other.

use std::path::PathBuf;

use dhow_state::{ContainerId, Status};

use crate::engine::Engine;
use crate::error::{Error, Result};

/// A container whose root file system is mounted.
#[derive(Debug, Clone, serde::Serialize)]
pub struct MountedContainer {
    /// Its id.
    #[serde(rename = "id")]
    pub id: ContainerId,
    /// Its name.
    #[serde(rename = "Names")]
    pub name: String,
    /// Where.
    #[serde(rename = "mountpoint")]
    pub path: PathBuf,
}

impl Engine {
    /// Mounts the root file system and returns where; each call wants an [`Engine::unmount`].
    ///
    /// # Errors
    /// What mounting says.
    pub fn mount(&self, container: &str) -> Result<PathBuf> {
        let held = self.hold_named(container)?;
        let rootfs = self.rootfs(held.id(), &held.config)?;
        let path = rootfs.mount(&dhow_storage::MountOptions::default()).map_err(Error::Storage)?;
        rootfs.hold().map_err(Error::Storage)?;
        Ok(path)
    }

    /// Gives up one hold, or with `force` all of them; the last one unmounts unless the container uses it.
    ///
    /// # Errors
    /// [`Error::InvalidState`] where the last hold is given up while the container uses the mount.
    pub fn unmount(&self, container: &str, force: bool) -> Result<()> {
        let held = self.hold_named(container)?;
        let rootfs = self.rootfs(held.id(), &held.config)?;
        let used = matches!(
            held.status(),
            Status::Initialized | Status::Running | Status::Paused | Status::Stopping
        );
        let holds = rootfs.holds().map_err(Error::Storage)?;
        if holds == 0 && used {
            return Err(Error::InvalidState {
                verb: "unmount",
                id: held.id().clone(),
                status: held.status(),
                hint: "; its process uses the mount",
            });
        }
        let mut left = holds;
        while left > 0 {
            left = rootfs.release().map_err(Error::Storage)?;
            if !force {
                break;
            }
        }
        if left == 0 && !used {
            rootfs.unmount().map_err(Error::Storage)?;
        }
        Ok(())
    }

    /// The containers whose root file system is mounted, the newest first.
    ///
    /// # Errors
    /// The store cannot be read.
    pub fn mounts(&self) -> Result<Vec<MountedContainer>> {
        let mut mounted = Vec::new();
        for id in self.ids()? {
            let Ok(snapshot) = self.snapshot(&id) else { continue };
            let Ok(config) = self.config_of(&snapshot) else { continue };
            if let Some(path) = self.rootfs(&id, &config)?.mounted().map_err(Error::Storage)? {
                mounted.push(MountedContainer { id, name: snapshot.name.to_string(), path });
            }
        }
        Ok(mounted)
    }
}
