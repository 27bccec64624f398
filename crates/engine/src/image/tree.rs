//! `image tree`: the layers of an image and which images end in them.

use dhow_storage::{Image, ImageId};

use crate::engine::Engine;
use crate::error::{Error, Result};
use crate::report::{ImageTree, TreeLayer};

impl Engine {
    /// The layers of an image, the lowest first, each with the names of the images whose top it is.
    ///
    /// # Errors
    /// [`Error::NoSuch`], [`Error::Ambiguous`].
    pub fn image_tree(&self, image: &str) -> Result<ImageTree> {
        let image = self.find_image(image)?;
        let images = self.storage()?.images().map_err(Error::Storage)?.images;
        let tops = |at: usize| -> Vec<String> {
            let ends_here = |other: &Image| {
                other.layers.get(at).is_some()
                    && other.layers.len() == at + 1
                    && other.layers.last() == image.layers.get(at)
            };
            let fitting = images.iter().filter(|(other, _)| ends_here(other));
            fitting.flat_map(|(_, names)| names.iter().cloned()).collect()
        };
        let layers = image.layers.iter().zip(&image.layer_sizes).enumerate();
        let layers = layers.map(|(at, (chain, size))| TreeLayer {
            id: chain.to_string().trim_start_matches("sha256:").to_owned(),
            size: *size,
            top_of: tops(at),
        });
        Ok(ImageTree {
            id: image.id.hex(),
            tags: self.storage()?.image_names(&image.id).map_err(Error::Storage)?,
            size: image.size,
            layers: layers.collect(),
        })
    }

    /// The images that stand on all layers of this one, itself first.
    ///
    /// # Errors
    /// [`Error::NoSuch`], [`Error::Ambiguous`].
    pub fn images_on(&self, image: &str) -> Result<Vec<ImageTree>> {
        let base = self.find_image(image)?;
        let images = self.storage()?.images().map_err(Error::Storage)?.images;
        let mut found: Vec<(ImageId, usize)> = images
            .iter()
            .filter(|(other, _)| other.layers.starts_with(&base.layers))
            .map(|(other, _)| (other.id, other.layers.len()))
            .collect();
        found.sort_by_key(|(id, layers)| (*id != base.id, *layers, *id));
        found.into_iter().map(|(id, _)| self.image_tree(&id.hex())).collect()
    }
}
