//! Volumes of containers: made at create, filled at the first mount, removed with their owner.

use dhow_state::VolumeName;
use dhow_sys::root::Root;

use crate::config::VolumeUse;
use crate::engine::Engine;
use crate::error::{Error, Result};

impl Engine {
    /// Removes volumes, as far as it goes: what is left is empty and has a name.
    pub(crate) fn drop_volumes(&self, names: &[VolumeName]) {
        for name in names {
            if let Err(e) = self.store.volumes().remove(name) {
                tracing::debug!(volume = %name, error = %e, "volume not removed");
            }
        }
    }

    /// Fills an empty volume from what the image has in its place.
    pub(crate) fn fill_volume(&self, rootfs: &Root, volume: &VolumeUse) -> Result<()> {
        let data = self.layout().volume_data(&volume.name);
        dhow_sys::fs::create_dir_all(&data, 0o755)
            .map_err(Error::io("create the volume's directory", &data))?;
        if !volume.copy_up {
            return Ok(());
        }
        let empty =
            std::fs::read_dir(&data).map_err(Error::io("read the volume", &data))?.next().is_none();
        if empty {
            dhow_storage::copy_tree(rootfs, volume.destination.as_ref(), &data)
                .map_err(Error::Storage)?;
        }
        Ok(())
    }
}
