//! `tag` and `untag`: names of images.

use dhow_image::ImageReference;

use crate::engine::Engine;
use crate::error::{Error, Object, Result};
use crate::import::new_name;

impl Engine {
    /// Gives an image further names; an image that has one of them loses it.
    ///
    /// # Errors
    /// [`Error::NoSuch`]; a name that cannot be one. No name is given unless all can be.
    pub fn tag(&self, image: &str, names: &[String]) -> Result<()> {
        let image = self.find_image(image)?;
        let names = names.iter().map(|name| new_name(name)).collect::<Result<Vec<_>>>()?;
        for name in names {
            self.storage()?.tag(&image.id, &name.to_string()).map_err(Error::Storage)?;
        }
        Ok(())
    }

    /// Takes names away from an image, all of them where none is given. The image stays.
    ///
    /// # Errors
    /// [`Error::NoSuch`] for the image, or for a name that it does not have; nothing is taken away then.
    pub fn untag(&self, image: &str, names: &[String]) -> Result<()> {
        let image = self.find_image(image)?;
        let storage = self.storage()?;
        let has = storage.image_names(&image.id).map_err(Error::Storage)?;
        let going = if names.is_empty() {
            has
        } else {
            names.iter().map(|name| own_name(&has, name)).collect::<Result<Vec<_>>>()?
        };
        for name in going {
            storage.untag(&name).map_err(Error::Storage)?;
        }
        Ok(())
    }
}

/// Which of the names that an image has the user means.
fn own_name(has: &[String], text: &str) -> Result<String> {
    let candidates = ImageReference::candidates(text).map_err(Error::Image)?;
    candidates
        .iter()
        .map(ToString::to_string)
        .find(|name| has.contains(name))
        .ok_or_else(|| Error::NoSuch { object: Object::Image, name: text.to_owned() })
}
