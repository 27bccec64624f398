//! `import`: an image of a root file system archive.

use std::io::Read;

use dhow_image::{Change, ImageReference, ImportOptions, Progress};
use dhow_storage::ImageId;

use crate::engine::Engine;
use crate::error::{Error, Result};
use crate::load::input;
use crate::request::ImportRequest;

impl Engine {
    /// Makes an image of a tar archive. `stream` is read where the request has no input.
    ///
    /// # Errors
    /// [`Error::Image`], naming the archive, the entry or the instruction at fault.
    pub fn import(
        &self,
        request: &ImportRequest,
        stream: Option<Box<dyn Read + Send>>,
        progress: &Progress,
    ) -> Result<ImageId> {
        let options = ImportOptions {
            name: request.reference.as_deref().map(new_name).transpose()?,
            changes: changes(&request.changes)?,
            message: request.message.clone(),
            ..ImportOptions::default()
        };
        let input = input(request.input.clone(), stream)?;
        let image = dhow_image::import(self.storage()?, input, &options, progress);
        if image.is_err() {
            self.tidy_images();
        }
        Ok(image.map_err(Error::Image)?.id)
    }
}

/// A name to be given to an image: a short one is local, a digest is none, since it cannot be chosen.
pub(crate) fn new_name(text: &str) -> Result<ImageReference> {
    let reference = ImageReference::local(text).map_err(Error::Image)?;
    match reference.digest() {
        None => Ok(reference),
        Some(_) => Err(Error::Invalid(format!(
            "an image cannot be named {text:?}: a digest follows from the content"
        ))),
    }
}

/// The instructions of `--change`.
pub(crate) fn changes(texts: &[String]) -> Result<Vec<Change>> {
    texts.iter().map(|text| text.parse().map_err(Error::Image)).collect()
}
