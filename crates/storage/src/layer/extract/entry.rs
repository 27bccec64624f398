//! One entry of the archive: file, directory, link, device, fifo.

use std::ffi::OsStr;
use std::fs::File;
use std::io::{self, BufRead};
use std::os::fd::{AsFd, OwnedFd};
use std::os::unix::ffi::OsStrExt;
use std::os::unix::fs::FileExt;
use std::path::Path;

use rustix::fs::{AtFlags, FileType, Mode, OFlags};
use rustix::io::Errno;

use super::{Extractor, clean};
use crate::archive::{Entry, Kind, Reader};
use crate::attributes::Attributes;
use crate::error::{Doing, Error, Result};
use crate::layer::recipe::Recorded;
use crate::merged::{OPEN_DIR, is_whiteout, stat};

/// Zeros of this length and more become a hole: two pages of the largest common kind.
const HOLE: usize = 32 * 1024;

impl Extractor<'_> {
    /// Makes `entry` as `name` in `dir`; `path` is where the archive says that it is.
    pub(super) fn make(
        &mut self,
        entry: &Entry,
        path: &Path,
        dir: &OwnedFd,
        name: &OsStr,
        data: &mut Reader<Recorded<'_>>,
    ) -> Result<()> {
        // What is made here covers a link of a lower layer that led elsewhere until now.
        self.redirects.retain(|known, _| !known.starts_with(path));
        let attributes = Attributes::of_entry(entry);
        match entry.kind {
            Kind::Directory => return self.directory(path, dir, name, &attributes, data),
            Kind::HardLink => return self.hard_link(entry, path, dir, name, data),
            Kind::File => {
                let flags = OFlags::WRONLY | OFlags::CREATE | OFlags::EXCL | OFlags::NOFOLLOW;
                let file = self.replacing(path, dir, name, data, || {
                    let mode = Mode::from_raw_mode(0o600);
                    rustix::fs::openat(dir, name, flags | OFlags::CLOEXEC, mode)
                });
                let file = File::from(file.doing("create", path)?);
                // A sparse file's data has no one place in the file: it stays in the recipe.
                if entry.pieces.is_none() && entry.size > 0 {
                    let real = self.real(path);
                    data.input_mut().content(&real, entry.size).doing("write down", path)?;
                }
                write(&file, entry, data).doing("write", path)?;
                self.size = self.size.saturating_add(entry.size);
                return attributes.set(&file).doing("set the attributes of", path);
            }
            Kind::Symlink => {
                let target = OsStr::from_bytes(&entry.link);
                if target.is_empty() || target.as_bytes().contains(&0) {
                    return Err(Error::hostile(&entry.path, "a link to nothing that has a name"));
                }
                self.replacing(path, dir, name, data, || rustix::fs::symlinkat(target, dir, name))
            }
            Kind::Character | Kind::Block | Kind::Fifo => {
                let kind = match entry.kind {
                    Kind::Character => FileType::CharacterDevice,
                    Kind::Block => FileType::BlockDevice,
                    _ => FileType::Fifo,
                };
                if kind == FileType::CharacterDevice && entry.device == (0, 0) {
                    return Err(Error::hostile(&entry.path, "a device that is overlayfs's mark"));
                }
                let mode = Mode::from_raw_mode(0o600);
                let device = rustix::fs::makedev(entry.device.0, entry.device.1);
                self.replacing(path, dir, name, data, || {
                    rustix::fs::mknodat(dir, name, kind, mode, device)
                })
            }
        }
        .doing("create", path)?;
        let link = entry.kind == Kind::Symlink;
        attributes.set_at(dir.as_fd(), name, link).doing("set the attributes of", path)
    }

    fn directory(
        &mut self,
        path: &Path,
        dir: &OwnedFd,
        name: &OsStr,
        attributes: &Attributes,
        data: &mut Reader<Recorded<'_>>,
    ) -> Result<()> {
        let mode = Mode::from_raw_mode(0o700);
        match rustix::fs::mkdirat(dir, name, mode) {
            Ok(()) if self.whiteouts.contains(path) => {
                let made = rustix::fs::openat(dir, name, OPEN_DIR, Mode::empty());
                self.set_opaque(made.doing("open", path)?)?;
            }
            Ok(()) => {}
            Err(Errno::EXIST) => {
                let there = stat(dir, name).doing("look up", path)?;
                let kind = there.map(|stat| FileType::from_raw_mode(stat.st_mode));
                if kind != Some(FileType::Directory) {
                    // Something else of this archive had the name, and hid what is below.
                    self.set_aside(path, dir, name, data).doing("replace", path)?;
                    rustix::fs::mkdirat(dir, name, mode).doing("create", path)?;
                    let made = rustix::fs::openat(dir, name, OPEN_DIR, Mode::empty());
                    self.set_opaque(made.doing("open", path)?)?;
                }
            }
            Err(e) => return Err(Error::io("create", path, e.into())),
        }
        self.set_directory(&self.real(path), attributes)
    }

    /// The link's target is another path of the image, looked up as strictly as any.
    fn hard_link(
        &mut self,
        entry: &Entry,
        path: &Path,
        dir: &OwnedFd,
        name: &OsStr,
        data: &mut Reader<Recorded<'_>>,
    ) -> Result<()> {
        let target = clean(&entry.link)?;
        let (Some(parent), Some(target_name)) = (target.parent(), target.file_name()) else {
            return Err(Error::hostile(&entry.path, "a hard link to the root"));
        };
        let missing = || Error::hostile(&entry.path, "a hard link to what does not exist");
        let in_layer = |this: &Self| -> Result<Option<OwnedFd>> {
            let Some(target_dir) = this.existing(parent)? else { return Ok(None) };
            let there = stat(&target_dir, target_name).doing("look up", &target)?;
            Ok(there.filter(|stat| !is_whiteout(stat)).map(|_| target_dir))
        };
        let target_dir = match in_layer(self)? {
            Some(target_dir) => target_dir,
            None if self.copy_up(&target)? => in_layer(self)?.ok_or_else(missing)?,
            None => return Err(missing()),
        };
        let there = stat(&target_dir, target_name).doing("look up", &target)?;
        let there = there.ok_or_else(missing)?;
        if FileType::from_raw_mode(there.st_mode) == FileType::Directory {
            return Err(Error::hostile(&entry.path, "a hard link to a directory"));
        }
        let old = stat(dir, name).doing("look up", name)?;
        if old.is_some_and(|old| (old.st_dev, old.st_ino) == (there.st_dev, there.st_ino)) {
            // A link to itself: removing the old name first would remove the file.
            return Ok(());
        }
        self.replacing(path, dir, name, data, || {
            rustix::fs::linkat(&target_dir, target_name, dir, name, AtFlags::empty())
        })
        .doing("link", name)
    }

    /// Makes something that is not a directory, in place of whatever had the name.
    fn replacing<T>(
        &mut self,
        path: &Path,
        dir: &OwnedFd,
        name: &OsStr,
        data: &mut Reader<Recorded<'_>>,
        make: impl Fn() -> std::result::Result<T, Errno>,
    ) -> io::Result<T> {
        match make() {
            Err(Errno::EXIST) => {
                self.set_aside(path, dir, name, data)?;
                Ok(make()?)
            }
            other => Ok(other?),
        }
    }
}

/// The file's data to its places, long runs of zeros as holes.
fn write(file: &File, entry: &Entry, data: &mut Reader<Recorded<'_>>) -> io::Result<()> {
    let whole = [(0, entry.size)];
    let mut end = 0;
    for (offset, length) in entry.pieces.as_deref().unwrap_or(&whole) {
        let mut at = *offset;
        let stop = offset.saturating_add(*length);
        while at < stop {
            let available = data.fill_buf()?;
            let wanted = usize::try_from(stop - at).unwrap_or(usize::MAX).min(available.len());
            let chunk = available.get(..wanted).unwrap_or_default();
            if chunk.is_empty() {
                return Err(Error::archive("it ends within an entry").into());
            }
            for part in chunk.chunks(HOLE) {
                if part.len() < HOLE || part.iter().any(|byte| *byte != 0) {
                    file.write_all_at(part, at)?;
                    end = at + u64::try_from(part.len()).unwrap_or_default();
                }
                at += u64::try_from(part.len()).unwrap_or_default();
            }
            data.consume(wanted);
        }
    }
    if end < entry.size {
        file.set_len(entry.size)?;
    }
    Ok(())
}
