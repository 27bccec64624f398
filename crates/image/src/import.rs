//! `import`: a root file system archive becomes an image of one layer.

use std::io::Read;

use dhow_storage::{Image, Limits, Storage};

use crate::archive::{Input, Opened, Packing, io_error, open_input};
use crate::change::Change;
use crate::config::HistoryEntry;
use crate::draft::Draft;
use crate::error::{Error, Result};
use crate::platform::Platform;
use crate::progress::Progress;
use crate::reference::ImageReference;

/// How to import.
#[derive(Debug, Clone, Default)]
pub struct ImportOptions {
    /// Its name; none: it has an id only.
    pub name: Option<ImageReference>,
    /// What is set in its configuration.
    pub changes: Vec<Change>,
    /// The remark in its history.
    pub message: Option<String>,
    /// What it is for.
    pub platform: Platform,
    /// What the archive may ask for.
    pub limits: Limits,
}

/// Makes an image of a tar archive, which may be compressed by gzip or zstd.
///
/// # Errors
/// Any of [`Error`]; nothing is stored then.
pub fn import(
    storage: &Storage,
    input: Input,
    options: &ImportOptions,
    progress: &Progress,
) -> Result<Image> {
    let (name, size, reader): (_, _, Box<dyn Read + Send>) = match open_input(input)? {
        Opened::Directory(name, _) => {
            let why = "it is a directory, not a tar archive of a root file system".to_owned();
            return Err(Error::NotAnArchive { archive: name, why });
        }
        Opened::File(name, file) => {
            let size = file.metadata().map_err(io_error("read", &name))?.len();
            (name, size, Box::new(file))
        }
        Opened::Stream(name, reader) => (name, 0, reader),
    };
    let (packing, reader) = Packing::peek(reader).map_err(io_error("read", &name))?;
    packing.check(&name)?;
    if packing == Packing::Empty {
        return Err(Error::NotAnArchive { archive: name, why: "it is empty".to_owned() });
    }

    let lease = storage.lease().map_err(Error::store("write to the image store"))?;
    let mut draft = Draft::empty(&options.platform);
    draft.change(&options.changes);
    // The layer's digest is not known before it has been read; its name will do for whoever watches.
    let label = dhow_storage::Digest::of(&name);
    let reader = progress.watch(&label, size, reader);
    let layer = draft.push_layer(&lease, &name, reader, &options.limits)?;
    draft.push_history(HistoryEntry {
        created_by: format!("/bin/sh -c #(nop) ADD file:{} in /", layer.hex()),
        comment: options.message.clone().unwrap_or_else(|| "imported from tarball".to_owned()),
        ..HistoryEntry::default()
    });
    draft.store(&lease, options.name.as_ref())
}

#[cfg(test)]
mod tests;
