//! Making a layer's directory out of its tar.
//!
//! INVARIANT: each path is resolved with `openat2(RESOLVE_IN_ROOT | NO_XDEV)` in the layer's own directory; what is then
//! made has one component and is made with "must not exist" and "do not follow". An archive cannot reach outside by
//! `..`, links of either kind, or the order of its entries.
//! INVARIANT: whiteouts hide what lower layers have, never what this archive makes, in whatever order (image-spec
//! `layer.md`); in everything else a later entry replaces an earlier one.

mod entry;
mod parents;
mod whiteout;

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::ffi::{OsStr, OsString};
use std::os::fd::{AsFd, OwnedFd};
use std::os::unix::ffi::OsStrExt;
use std::path::{Path, PathBuf};

use dhow_sys::root::{Mode, OFlags, Root};
use rustix::fs::{AtFlags, FileType};

use super::parallel::Below;
use super::recipe::{REPLACED, Recorded};
use crate::Limits;
use crate::archive::{Entry, Kind, Reader};
use crate::attributes::{Attributes, times};
use crate::error::{Doing, Error, Result};
use crate::merged::{MergedDir, OPEN_DIR, stat};
use crate::stream::Chunks;

/// The kernel's PATH_MAX, with room for what is put before a path.
const MAX_PATH: usize = 3800;
const WHITEOUT: &[u8] = b".wh.";

/// What was made.
pub(super) struct Extracted {
    /// Bytes of regular files, holes included.
    pub(super) size: u64,
}

pub(super) struct Extractor<'a> {
    root: Root,
    userxattr: bool,
    below: &'a Below<'a>,
    lower: Option<Lower>,
    /// The directory of the last entry: archives list a directory's entries together.
    cached: Option<(PathBuf, OwnedFd)>,
    /// Directories that a lower layer's link leads elsewhere, and where.
    redirects: HashMap<PathBuf, PathBuf>,
    /// Mode and time to be set when nothing more is put into the directory.
    directories: BTreeMap<PathBuf, Late>,
    /// Paths that this layer hides, to be carried out at the end.
    whiteouts: BTreeSet<PathBuf>,
    /// Directories that hide all that is below; only those that could not be marked at once.
    opaque: BTreeSet<PathBuf>,
    root_listed: bool,
    size: u64,
    /// The directory of the layer, for what entries replace of this archive's own.
    dir: PathBuf,
    replaced: u64,
}

/// The layers below, opened when they are first needed: most layers never need them.
struct Lower {
    dirs: Vec<PathBuf>,
}

#[derive(Debug, Clone, Copy)]
struct Late {
    mode: u32,
    mtime: (i64, u32),
}

/// A checked path: relative, without `.` and `..`; empty for the root.
struct Place {
    parent: PathBuf,
    name: OsString,
}

impl<'a> Extractor<'a> {
    /// Extracts into `dir/diff`.
    pub(super) fn new(dir: &Path, below: &'a Below<'a>, userxattr: bool) -> Result<Extractor<'a>> {
        let diff = dir.join("diff");
        Ok(Extractor {
            root: Root::open(&diff).doing("open", &diff)?,
            dir: dir.to_path_buf(),
            replaced: 0,
            userxattr,
            below,
            lower: None,
            cached: None,
            redirects: HashMap::new(),
            directories: BTreeMap::new(),
            whiteouts: BTreeSet::new(),
            opaque: BTreeSet::new(),
            root_listed: false,
            size: 0,
        })
    }

    pub(super) fn run(mut self, chunks: &mut Chunks, limits: &Limits) -> Result<Extracted> {
        let mut reader = Reader::new(Recorded::new(chunks, &self.dir)?, limits);
        while let Some(entry) = reader.next_entry()? {
            self.entry(&entry, &mut reader)?;
        }
        let written = reader.into_inner().finish();
        written.map_err(|e| Error::io("write the recipe in", &self.dir, e))?;
        self.finish_whiteouts()?;
        self.finish_root()?;
        self.finish_directories()?;
        Ok(Extracted { size: self.size })
    }

    fn entry(&mut self, entry: &Entry, data: &mut Reader<Recorded<'_>>) -> Result<()> {
        let path = clean(&entry.path)?;
        let Some(Place { parent, name }) = place(&path) else {
            return self.root_entry(entry);
        };
        if parent.iter().any(|part| part.as_bytes().starts_with(WHITEOUT)) {
            return Err(Error::hostile(&entry.path, "a whiteout has nothing below it"));
        }
        if let Some(hidden) = name.as_bytes().strip_prefix(WHITEOUT) {
            return self.whiteout(&entry.path, parent, OsStr::from_bytes(hidden));
        }
        let dir = self.parent(&parent).map_err(|e| locate(e, entry))?;
        let made = self.make(entry, &path, &dir, &name, data);
        self.cached = Some((parent, dir));
        made.map_err(|e| locate(e, entry))
    }

    /// `./` gives the root its owner and mode.
    fn root_entry(&mut self, entry: &Entry) -> Result<()> {
        if entry.kind != Kind::Directory {
            return Err(Error::hostile(&entry.path, "the root must be a directory"));
        }
        self.root_listed = true;
        let attributes = Attributes::of_entry(entry);
        self.set_directory(Path::new(""), &attributes)
    }

    /// A layer that does not list its root leaves the one below as it is seen.
    fn finish_root(&mut self) -> Result<()> {
        if self.root_listed || self.below.is_empty() {
            return Ok(());
        }
        let lower = self.lower()?;
        let Some(top) = lower.top() else { return Ok(()) };
        let here = OsStr::new(".");
        let stat = rustix::fs::fstat(top).doing("stat the root of", self.root.dir())?;
        let attributes = Attributes::of(top, here, &stat).doing("read", self.root.dir())?;
        self.set_directory(Path::new(""), &attributes)
    }

    /// Sets what may be set at once, and keeps the rest for the end. Until then its owner can enter and fill it.
    fn set_directory(&mut self, path: &Path, attributes: &Attributes) -> Result<()> {
        let late = Late { mode: attributes.mode, mtime: attributes.mtime };
        let now = Attributes { mode: attributes.mode | 0o700, ..attributes.clone() };
        let dir = self.root.open_at(path, OPEN_DIR, Mode::empty()).doing("open", path)?;
        now.set(&dir).doing("set the attributes of", path)?;
        self.directories.insert(path.to_path_buf(), late);
        Ok(())
    }

    fn finish_directories(&mut self) -> Result<()> {
        // Children before their parents, which may not be entered afterwards by an ordinary user.
        for (path, late) in std::mem::take(&mut self.directories).into_iter().rev() {
            let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::NOFOLLOW;
            // A later entry may have replaced it by something else, which has its own attributes.
            let Ok(dir) = self.root.open_at(&path, flags, Mode::empty()) else { continue };
            let set = || -> std::io::Result<()> {
                if late.mode & 0o700 != 0o700 {
                    rustix::fs::fchmod(&dir, Mode::from_raw_mode(late.mode))?;
                }
                Ok(rustix::fs::futimens(&dir, &times(late.mtime))?)
            };
            set().doing("set the attributes of", &path)?;
        }
        Ok(())
    }

    fn lower(&mut self) -> Result<MergedDir> {
        if self.lower.is_none() {
            self.lower = Some(Lower { dirs: self.below.dirs()? });
        }
        let dirs = self.lower.as_ref().map(|lower| lower.dirs.as_slice()).unwrap_or_default();
        MergedDir::root(dirs, self.userxattr).doing("open the layers below", self.root.dir())
    }

    fn set_opaque(&self, dir: impl AsFd) -> Result<()> {
        let name = crate::merged::opaque_name(self.userxattr);
        dhow_sys::xattr::set(dir, name, b"y").doing("mark as opaque in", self.root.dir())
    }

    /// Where `path` is in this layer: the archive's own may lead through a link of a lower layer.
    fn real(&self, path: &Path) -> PathBuf {
        let (Some(parent), Some(name)) = (path.parent(), path.file_name()) else {
            return path.to_path_buf();
        };
        self.redirects.get(parent).map_or_else(|| path.to_path_buf(), |dir| dir.join(name))
    }

    /// Takes away what an entry of this archive has made as `name` in `dir`, for another that has the same name. What
    /// has content is kept aside: the layer's tar can be written again with it only.
    fn set_aside(
        &mut self,
        path: &Path,
        dir: &OwnedFd,
        name: &OsStr,
        data: &mut Reader<Recorded<'_>>,
    ) -> std::io::Result<()> {
        let Some(stat) = stat(dir, name)? else { return Ok(()) };
        match FileType::from_raw_mode(stat.st_mode) {
            FileType::RegularFile | FileType::Directory => {}
            _ => return remove(dir, name, false),
        }
        let aside = self.dir.join(REPLACED);
        if self.replaced == 0 {
            dhow_sys::fs::create_dir(&aside, 0o700)?;
        }
        let real = self.real(path);
        data.input_mut().moved(self.replaced, &real)?;
        rustix::fs::renameat(dir, name, rustix::fs::CWD, aside.join(self.replaced.to_string()))?;
        self.replaced += 1;
        // What was noted of directories in it would be set on whatever is made there next.
        let inside = self.directories.range(real.clone()..);
        let inside: Vec<PathBuf> =
            inside.map(|(known, _)| known.clone()).take_while(|p| p.starts_with(&real)).collect();
        for path in inside {
            self.directories.remove(&path);
        }
        Ok(())
    }
}

/// The components of an archive's path, joined again. `..` has no business in a layer, so nobody guesses what it means.
fn clean(path: &[u8]) -> Result<PathBuf> {
    let mut clean = PathBuf::new();
    for part in path.split(|byte| *byte == b'/') {
        match part {
            b"" | b"." => {}
            b".." => return Err(Error::hostile(path, "`..` in a path")),
            _ if part.contains(&0) => return Err(Error::hostile(path, "NUL in a path")),
            _ if part.len() > 255 => return Err(Error::hostile(path, "a name is too long")),
            _ => clean.push(OsStr::from_bytes(part)),
        }
    }
    if clean.as_os_str().len() > MAX_PATH {
        return Err(Error::hostile(path, "the path is too long"));
    }
    Ok(clean)
}

/// `None` for the root.
fn place(path: &Path) -> Option<Place> {
    let name = path.file_name()?.to_os_string();
    let parent = path.parent().unwrap_or(Path::new("")).to_path_buf();
    Some(Place { parent, name })
}

/// Errors of making an entry name it.
fn locate(error: Error, entry: &Entry) -> Error {
    match error {
        Error::Io { source, .. } => Error::Io {
            action: "extract",
            path: PathBuf::from(String::from_utf8_lossy(&entry.path).into_owned()),
            source,
        },
        other => other,
    }
}

/// Removes an entry of a directory, whatever it is; gone already is as good.
fn remove(dir: &OwnedFd, name: &OsStr, is_dir: bool) -> std::io::Result<()> {
    if is_dir {
        use std::os::fd::AsRawFd;
        let path = PathBuf::from(format!("/proc/self/fd/{}", dir.as_raw_fd())).join(name);
        return dhow_sys::fs::remove_tree(&path);
    }
    match rustix::fs::unlinkat(dir, name, AtFlags::empty()) {
        Err(rustix::io::Errno::NOENT) => Ok(()),
        other => Ok(other?),
    }
}
