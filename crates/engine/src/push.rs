//! `push`: an image of the store to a registry.

use dhow_image::{Access, ImageReference, Progress, PushFormat};

use crate::engine::Engine;
use crate::error::{Error, Result};

impl Engine {
    /// Pushes an image to `target`, by default the name by which it is asked for. Gives the digest of its manifest there.
    ///
    /// # Errors
    /// [`Error::NoSuch`]; [`Error::Image`], naming the registry; an image asked for by its id needs a target.
    pub fn push(
        &self,
        image: &str,
        target: Option<&str>,
        format: PushFormat,
        access: &Access,
        progress: &Progress,
    ) -> Result<String> {
        let found = self.find_image_named(image)?;
        let target: ImageReference = match (target, &found.name) {
            (Some(target), _) => {
                target.strip_prefix("docker://").unwrap_or(target).parse().map_err(Error::Image)?
            }
            (None, Some(name)) => name.parse().map_err(Error::Image)?,
            (None, None) => {
                return Err(Error::Invalid(format!("{image} is an id: say where it is pushed to")));
            }
        };
        let settings = &self.options.registries;
        let storage = self.storage()?;
        let pushed =
            dhow_image::push(storage, settings, &found.image, &target, format, access, progress)?;
        Ok(pushed.to_string())
    }
}
