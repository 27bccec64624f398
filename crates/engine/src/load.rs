//! `load`: images from an archive, a directory or a stream.

use std::io::Read;

use dhow_image::{Input, LoadOptions, Progress};

use crate::engine::Engine;
use crate::error::{Error, Result};
use crate::report::LoadedImage;
use crate::request::LoadRequest;

impl Engine {
    /// Loads all images of an archive, or none of them. `stream` is read where the request has no input.
    ///
    /// # Errors
    /// [`Error::Image`], naming the archive and the entry at fault.
    pub fn load(
        &self,
        request: &LoadRequest,
        stream: Option<Box<dyn Read + Send>>,
        progress: &Progress,
    ) -> Result<Vec<LoadedImage>> {
        let input = input(request.input.clone(), stream)?;
        let loaded = dhow_image::load(self.storage()?, input, &LoadOptions::default(), progress);
        if loaded.is_err() {
            self.tidy_images();
        }
        let loaded = loaded.map_err(Error::Image)?;
        Ok(loaded
            .into_iter()
            .map(|image| LoadedImage {
                id: image.id.hex(),
                names: image.names.iter().map(ToString::to_string).collect(),
            })
            .collect())
    }
}

/// The path of the request, else the stream.
pub(crate) fn input(
    path: Option<std::path::PathBuf>,
    stream: Option<Box<dyn Read + Send>>,
) -> Result<Input> {
    match (path, stream) {
        (Some(path), _) => Ok(Input::Path(path)),
        (None, Some(stream)) => Ok(Input::Stream(stream)),
        (None, None) => {
            Err(Error::Invalid("there is neither a path nor a stream to read".to_owned()))
        }
    }
}
