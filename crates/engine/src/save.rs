//! `save`: images out of the store.

use dhow_image::{Output, Progress, SaveFormat, Saved};

use crate::engine::Engine;
use crate::error::{Error, Result};
use crate::import::new_name;
use crate::request::SaveRequest;

impl Engine {
    /// Writes images to an archive or an empty directory, under the names by which they were asked for. An image asked
    /// for by its id has no name there.
    ///
    /// # Errors
    /// [`Error::NoSuch`], [`Error::Ambiguous`], [`Error::Image`]; what was written then is no archive.
    pub fn save(
        &self,
        request: &SaveRequest,
        format: SaveFormat,
        output: Output<'_>,
        progress: &Progress,
    ) -> Result<()> {
        if request.images.len() > 1 && !request.tags.is_empty() {
            return Err(Error::Invalid("further names are for a single image".to_owned()));
        }
        let mut images: Vec<Saved> = Vec::new();
        for asked in &request.images {
            let found = self.find_image_named(asked)?;
            let name = found.name.as_deref().map(str::parse).transpose().map_err(Error::Image)?;
            match images.iter_mut().find(|other| other.image.id == found.image.id) {
                Some(other) => other.names.extend(name),
                None => {
                    let names = name.into_iter().collect();
                    images.push(Saved { image: found.image, names });
                }
            }
        }
        if let [image] = images.as_mut_slice() {
            for tag in &request.tags {
                image.names.push(new_name(tag)?);
            }
        }
        Ok(dhow_image::save(self.storage()?, &images, format, request.compress, output, progress)?)
    }
}
