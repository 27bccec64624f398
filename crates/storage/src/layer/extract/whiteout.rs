//! Whiteouts: what this layer removes from those below it.
//!
//! They are carried out when everything else is there: only then is it known what this layer has itself, and by then the
//! layers below are likely to be there too. One that hides nothing is left out, as overlayfs would show it in a directory
//! that no lower layer has.

use std::ffi::OsStr;
use std::os::fd::OwnedFd;
use std::os::unix::ffi::OsStrExt;
use std::path::PathBuf;

use rustix::fs::{FileType, Mode};

use super::{Extractor, WHITEOUT};
use crate::error::{Doing, Error, Result};
use crate::merged::{Found, MergedDir, OPEN_DIR, stat};

impl Extractor<'_> {
    /// Takes note of `.wh.<hidden>` in `parent`.
    pub(super) fn whiteout(&mut self, entry: &[u8], parent: PathBuf, hidden: &OsStr) -> Result<()> {
        // Nothing is below: nothing to hide.
        let pointless = self.below.is_empty();
        match hidden.as_bytes() {
            b"" | b"." | b".." => {
                return Err(Error::hostile(entry, "a whiteout of nothing that has a name"));
            }
            _ if pointless => {}
            b".wh..opq" => {
                // At once where possible: what follows must not take parents from below then.
                match self.existing(&parent)? {
                    Some(dir) if !parent.as_os_str().is_empty() => self.set_opaque(&dir)?,
                    _ => drop(self.opaque.insert(parent)),
                }
            }
            // aufs keeps its own things under such names.
            name if name.starts_with(WHITEOUT) => {}
            _ => {
                if let Some(dir) = self.existing(&parent)?
                    && let Ok(own) = rustix::fs::openat(&dir, hidden, OPEN_DIR, Mode::empty())
                {
                    self.set_opaque(&own)?;
                }
                self.whiteouts.insert(parent.join(hidden));
            }
        }
        Ok(())
    }

    pub(super) fn finish_whiteouts(&mut self) -> Result<()> {
        if self.below.is_empty() {
            return Ok(());
        }
        // ORDER: directories first that hide all; what is hidden so needs no whiteout, and must not get one. Parents
        // before what is in them, for the same reason.
        for path in std::mem::take(&mut self.opaque) {
            let Some(dir) = self.parent_if_seen(&path)? else { continue };
            if !path.as_os_str().is_empty() {
                self.set_opaque(&dir)?;
                continue;
            }
            // overlayfs always merges the roots of its layers: there each name must be hidden by itself.
            let lower = self.lower()?;
            for name in lower.names().doing("list", self.root.dir())? {
                self.hide(&dir, &lower, &name)?;
            }
        }
        for path in std::mem::take(&mut self.whiteouts) {
            let (Some(parent), Some(name)) = (path.parent(), path.file_name()) else { continue };
            let Some(lower) = self.seen_below(parent)? else { continue };
            if matches!(lower.lookup(name).doing("look up below", name)?, Found::Nothing) {
                continue;
            }
            if let Some(dir) = self.parent_if_seen(parent)? {
                self.hide(&dir, &lower, name)?;
            }
        }
        Ok(())
    }

    /// Hides `name` of `lower`, unless this layer has something of that name: then that covers it, if need be as opaque.
    fn hide(&self, dir: &OwnedFd, lower: &MergedDir, name: &OsStr) -> Result<()> {
        let found = lower.lookup(name).doing("look up below", name)?;
        if matches!(found, Found::Nothing) {
            return Ok(());
        }
        match stat(dir, name).doing("look up", name)? {
            None => rustix::fs::mknodat(
                dir,
                name,
                FileType::CharacterDevice,
                Mode::empty(),
                rustix::fs::makedev(0, 0),
            )
            .doing("hide", name),
            Some(here) if FileType::from_raw_mode(here.st_mode) == FileType::Directory => {
                let child = rustix::fs::openat(dir, name, OPEN_DIR, Mode::empty());
                self.set_opaque(child.doing("open", name)?)
            }
            Some(_) => Ok(()),
        }
    }
}
