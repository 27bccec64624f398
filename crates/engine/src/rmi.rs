//! `rmi`: a name of an image, or the image with its layers.

use dhow_storage::Image;

use crate::engine::Engine;
use crate::error::{Error, Object, Result};
use crate::report::RemovedImage;
use crate::request::{RemoveImageRequest, RemoveRequest, Timeout};

impl Engine {
    /// Removes a name of an image; with its last name, or by its id, the image. As with podman, an image that has
    /// several names is removed by id only with `force`, which also removes the containers that use it.
    ///
    /// # Errors
    /// [`Error::NoSuch`], [`Error::InUse`] naming the containers, [`Error::Invalid`] for an id with several names.
    pub fn remove_image(&self, request: &RemoveImageRequest) -> Result<RemovedImage> {
        let found = self.find_image_named(&request.image)?;
        let storage = self.storage()?;
        let names = storage.image_names(&found.image.id).map_err(Error::Storage)?;
        let own = found.name.filter(|name| names.contains(name));
        if let (Some(name), true) = (own, names.len() > 1) {
            storage.untag(&name).map_err(Error::Storage)?;
            return Ok(RemovedImage { untagged: vec![name], deleted: None });
        } else if names.len() > 1 && !request.force && !names_all_meant(&request.image, &names) {
            return Err(Error::Invalid(format!(
                "image {} has several names ({}): remove them by name, or all with --force",
                found.image.id.short(),
                names.join(", ")
            )));
        }
        self.release_image(&found.image, request)?;
        let removed = storage
            .remove_image(&found.image.id, &|| self.layers_in_use())
            .map_err(Error::Storage)?;
        Ok(RemovedImage { untagged: removed.untagged, deleted: Some(found.image.id.hex()) })
    }

    /// Sees to it that no container uses the image.
    fn release_image(&self, image: &Image, request: &RemoveImageRequest) -> Result<()> {
        if let Some(path) = self.image_mounted_at(image)? {
            if !request.force {
                return Err(Error::InUse {
                    object: Object::Image,
                    name: request.image.clone(),
                    by: format!("its mount at {}", path.display()),
                });
            }
            self.unmount_image(&image.id.hex(), true)?;
        }
        let users = self.image_users()?.remove(&image.id).unwrap_or_default();
        if users.is_empty() {
            return Ok(());
        }
        if !request.force {
            let by: Vec<&str> = users.iter().map(|id| id.short()).collect();
            return Err(Error::InUse {
                object: Object::Image,
                name: request.image.clone(),
                by: format!("container {}", by.join(", ")),
            });
        }
        for id in users {
            let request = RemoveRequest {
                container: id.to_string(),
                force: true,
                timeout: Some(Timeout::Seconds(0)),
                ..RemoveRequest::default()
            };
            match self.remove(&request) {
                Ok(()) | Err(Error::NoSuch { .. }) => {}
                Err(error) => return Err(error),
            }
        }
        Ok(())
    }
}

/// `name@digest` means the image under that name, so all names of the same repository.
fn names_all_meant(text: &str, names: &[String]) -> bool {
    let Some((repository, _)) = text.split_once('@') else { return false };
    let Ok(candidates) = dhow_image::ImageReference::candidates(repository) else { return false };
    names.iter().all(|name| {
        name.parse::<dhow_image::ImageReference>()
            .is_ok_and(|name| candidates.iter().any(|candidate| candidate.name() == name.name()))
    })
}
