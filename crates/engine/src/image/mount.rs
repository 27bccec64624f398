//! `image mount` and `image unmount`: an image's files on the host, read-only.
//!
//! A mount lies at `image-mounts/<image id>` below the root and is counted, as a user's hold on a container is. While it is
//! there the image's layers are in use.

use std::path::PathBuf;

use dhow_storage::{Base, ChainId, Image, ImageId, MountOptions, RootFs};

use crate::engine::Engine;
use crate::error::{Error, Result};
use crate::report::MountedImage;

impl Engine {
    /// Mounts an image read-only and returns where; each call wants an [`Engine::unmount_image`].
    ///
    /// # Errors
    /// [`Error::NoSuch`]; what mounting says.
    pub fn mount_image(&self, image: &str) -> Result<MountedImage> {
        let image = self.find_image(image)?;
        let rootfs = self.image_rootfs(&image)?;
        rootfs.prepare().map_err(Error::Storage)?;
        let options = MountOptions { read_only: true, ..MountOptions::default() };
        let path = rootfs.mount(&options).map_err(Error::Storage)?;
        rootfs.hold().map_err(Error::Storage)?;
        // A removal that came between has taken the layers along.
        if let Err(gone) = self.storage()?.confirm(&image.layers) {
            rootfs.remove().map_err(Error::Storage)?;
            return Err(Error::Storage(gone));
        }
        self.mounted_image(&image, path)
    }

    /// Gives up one hold, or with `force` all of them; says whether there was one. The last one unmounts.
    ///
    /// # Errors
    /// [`Error::NoSuch`]; what unmounting says.
    pub fn unmount_image(&self, image: &str, force: bool) -> Result<Option<ImageId>> {
        let image = self.find_image(image)?;
        let rootfs = self.image_rootfs(&image)?;
        if rootfs.mounted().map_err(Error::Storage)?.is_none() {
            return Ok(None);
        }
        let mut left = rootfs.release().map_err(Error::Storage)?;
        while force && left > 0 {
            left = rootfs.release().map_err(Error::Storage)?;
        }
        if left == 0 {
            rootfs.remove().map_err(Error::Storage)?;
        }
        Ok(Some(image.id))
    }

    /// The images that are mounted.
    ///
    /// # Errors
    /// The store cannot be read.
    pub fn image_mounts(&self) -> Result<Vec<MountedImage>> {
        let mut mounted = Vec::new();
        for image in self.images_mounted()? {
            if let Some(path) = self.image_rootfs(&image)?.mounted().map_err(Error::Storage)? {
                mounted.push(self.mounted_image(&image, path)?);
            }
        }
        Ok(mounted)
    }

    /// The layers that mounted images stand on.
    pub(crate) fn layers_mounted(&self) -> Result<Vec<ChainId>> {
        Ok(self.images_mounted()?.into_iter().flat_map(|image| image.layers).collect())
    }

    /// Where an image is mounted.
    pub(crate) fn image_mounted_at(&self, image: &Image) -> Result<Option<PathBuf>> {
        self.image_rootfs(image)?.mounted().map_err(Error::Storage)
    }

    fn images_mounted(&self) -> Result<Vec<Image>> {
        let dir = self.image_mounts_dir();
        let entries = match std::fs::read_dir(&dir) {
            Err(e) if e.kind() == std::io::ErrorKind::NotFound => return Ok(Vec::new()),
            other => other.map_err(Error::io("read", &dir))?,
        };
        let mut images = Vec::new();
        for entry in entries {
            let name = entry.map_err(Error::io("read", &dir))?.file_name();
            let Some(id) = name.to_str().and_then(|name| name.parse::<ImageId>().ok()) else {
                continue;
            };
            match self.storage()?.image(&id) {
                Ok(image) if self.image_mounted_at(&image)?.is_some() => images.push(image),
                Ok(_) | Err(dhow_storage::Error::NotFound { .. }) => {}
                Err(error) => return Err(Error::Storage(error)),
            }
        }
        Ok(images)
    }

    fn mounted_image(&self, image: &Image, path: PathBuf) -> Result<MountedImage> {
        let repositories = self.storage()?.image_names(&image.id).map_err(Error::Storage)?;
        Ok(MountedImage { id: image.id.hex(), repositories, path })
    }

    fn image_mounts_dir(&self) -> PathBuf {
        self.options.root.join("image-mounts")
    }

    fn image_rootfs(&self, image: &Image) -> Result<RootFs<'_>> {
        let dir = self.image_mounts_dir().join(image.id.hex());
        Ok(RootFs::new(self.storage()?, dir, Base::Layers(image.layers.clone())))
    }
}
