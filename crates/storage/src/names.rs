//! Names of images: `images/names/<escaped name>`, a symlink to the image's directory.
//!
//! INVARIANT: a name belongs to one image at a time, as it is one directory entry; giving it to another is one rename.
//! The links are the only place where names are kept.

use std::io;
use std::path::{Path, PathBuf};

use dhow_sys::lock::LockMode;

use crate::error::{Doing, Error, Result};
use crate::image::list_dir;
use crate::{ImageId, Storage};

/// Names being set; only under the shared collection lock, so that what a collection sees is garbage.
pub(crate) const TEMPORARY: &str = ".tmp-";
/// NAME_MAX of the kernel.
const MAX: usize = 255;

impl Storage {
    /// Gives an image one more name, which another image then loses.
    ///
    /// # Errors
    /// [`Error::NotFound`] without the image; [`Error::Invalid`] for the name.
    pub fn tag(&self, id: &ImageId, name: &str) -> Result<()> {
        self.check_name(name)?;
        let _lock = self.collection_lock(LockMode::Shared)?;
        if !self.image_path(id).is_dir() {
            return Err(Error::NotFound { what: "image", name: id.to_string() });
        }
        self.set_name(id, name)
    }

    /// Takes a name away; gives the image that had it. The image stays, also without any name.
    ///
    /// # Errors
    /// [`Error::NotFound`] when no image has it.
    pub fn untag(&self, name: &str) -> Result<ImageId> {
        let unknown = || Error::NotFound { what: "image", name: name.to_owned() };
        let _lock = self.collection_lock(LockMode::Shared)?;
        let id = self.name_target(name)?.ok_or_else(unknown)?;
        self.remove_name(name)?;
        Ok(id)
    }

    /// All names and their images, in order of the names.
    ///
    /// # Errors
    /// [`Error::Io`].
    pub fn names(&self) -> Result<Vec<(String, ImageId)>> {
        let mut names = Vec::new();
        for file in list_dir(&self.names_dir())? {
            let Some(name) = file.to_str().and_then(unescape) else { continue };
            if let Some(id) = self.name_target(&name)? {
                names.push((name, id));
            }
        }
        names.sort();
        Ok(names)
    }

    /// The names of one image.
    ///
    /// # Errors
    /// [`Error::Io`].
    pub fn image_names(&self, id: &ImageId) -> Result<Vec<String>> {
        let names = self.names()?.into_iter();
        Ok(names.filter(|(_, target)| target == id).map(|(name, _)| name).collect())
    }

    /// Can this text be a name?
    pub(crate) fn check_name(&self, name: &str) -> Result<PathBuf> {
        let invalid = |why| Error::Invalid { what: "image name", value: name.to_owned(), why };
        if name.is_empty() || name.contains('\0') {
            return Err(invalid("it is empty or has a NUL in it"));
        }
        let escaped = escape(name);
        if escaped.len() > MAX {
            return Err(invalid("it is too long"));
        }
        Ok(self.names_dir().join(escaped))
    }

    /// The image that has this name.
    pub(crate) fn name_target(&self, name: &str) -> Result<Option<ImageId>> {
        // What cannot be a name is nobody's.
        let Ok(path) = self.check_name(name) else { return Ok(None) };
        match std::fs::read_link(&path) {
            Ok(target) => Ok(target_id(&target)),
            Err(e) if e.kind() == io::ErrorKind::NotFound => Ok(None),
            Err(e) => Err(Error::io("read", &path, e)),
        }
    }

    /// The caller holds the collection lock, shared.
    pub(crate) fn set_name(&self, id: &ImageId, name: &str) -> Result<()> {
        let path = self.check_name(name)?;
        let target = Path::new("..").join(id.hex());
        let thread = std::thread::current().id();
        let temporary = format!("{TEMPORARY}{}-{thread:?}", std::process::id());
        let temporary = self.names_dir().join(temporary);
        // Left by a process of the same number that was killed.
        dhow_sys::fs::remove_tree(&temporary).doing("remove", &temporary)?;
        std::os::unix::fs::symlink(target, &temporary).doing("create", &temporary)?;
        std::fs::rename(&temporary, &path).doing("create", &path)?;
        self.sync_dir(&self.names_dir())
    }

    pub(crate) fn remove_name(&self, name: &str) -> Result<()> {
        let path = self.check_name(name)?;
        match std::fs::remove_file(&path) {
            Err(e) if e.kind() == io::ErrorKind::NotFound => Ok(()),
            other => other.doing("remove", &path),
        }
    }
}

pub(crate) fn target_id(target: &Path) -> Option<ImageId> {
    target.strip_prefix("..").ok()?.to_str()?.parse().ok()
}

/// A slash, a percent sign and a dot at the beginning become %XX: one file name, never hidden, never `..`.
fn escape(name: &str) -> String {
    let mut escaped = String::with_capacity(name.len() + 8);
    for (at, letter) in name.char_indices() {
        match letter {
            '/' => escaped.push_str("%2F"),
            '%' => escaped.push_str("%25"),
            '.' if at == 0 => escaped.push_str("%2E"),
            other => escaped.push(other),
        }
    }
    escaped
}

fn unescape(file: &str) -> Option<String> {
    if file.starts_with('.') {
        return None;
    }
    Some(file.replace("%2F", "/").replace("%2E", ".").replace("%25", "%"))
}

#[cfg(test)]
mod tests {
    use super::*;

    proptest::proptest! {
        #[test]
        fn names_round_trip_as_one_file_name(name in "[a-z./%:@A-Z0-9éF-]{1,40}") {
            let escaped = escape(&name);
            proptest::prop_assert!(!escaped.contains('/') && !escaped.starts_with('.'));
            proptest::prop_assert_eq!(unescape(&escaped).unwrap(), name);
        }
    }
}
