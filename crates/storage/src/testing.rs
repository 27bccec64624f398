//! What the tests of this crate share: a store in a temporary directory, tars from short descriptions, a tree as text.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use dhow_sys::root::Root;
use rustix::fs::FileType;

use crate::archive::{Entry, Kind, Writer};
use crate::merged::{read_dir, stat};
use crate::{
    ChainId, DiffId, Digest, Layer, LayerSource, Lease, Limits, Result, RootFs, Storage,
    StorageOptions,
};

/// A store that goes with its directory. On a disk file system: tmpfs takes no user attributes.
pub(crate) struct Store {
    pub(crate) temp: tempfile::TempDir,
    pub(crate) storage: Storage,
}

impl Store {
    pub(crate) fn new() -> Store {
        let temp = tempfile::tempdir_in("/var/tmp").unwrap();
        let options = StorageOptions { durable: false, ..StorageOptions::default() };
        let storage = Storage::open_with(&temp.path().join("root"), options).unwrap();
        Store { temp, storage }
    }

    pub(crate) fn path(&self, name: &str) -> PathBuf {
        self.temp.path().join(name)
    }

    /// Nothing is left of work in progress.
    pub(crate) fn assert_clean(&self) {
        let left: Vec<_> = std::fs::read_dir(self.storage.tmp()).unwrap().collect();
        assert!(left.is_empty(), "{left:?}");
    }
}

/// Unmounts even if the test fails.
pub(crate) struct Mounted<'a>(pub(crate) RootFs<'a>);

impl Drop for Mounted<'_> {
    fn drop(&mut self) {
        if let Err(e) = self.0.remove() {
            eprintln!("{e}");
        }
    }
}

impl<'a> std::ops::Deref for Mounted<'a> {
    type Target = RootFs<'a>;

    fn deref(&self) -> &RootFs<'a> {
        &self.0
    }
}

/// An archive: each entry with its data.
pub(crate) type Entries = Vec<(Entry, Vec<u8>)>;

pub(crate) fn file(path: &str, content: &str) -> (Entry, Vec<u8>) {
    let mut entry = Entry::new(path, Kind::File);
    entry.size = content.len() as u64;
    entry.mode = 0o644;
    (entry, content.into())
}

pub(crate) fn dir(path: &str) -> (Entry, Vec<u8>) {
    let mut entry = Entry::new(path, Kind::Directory);
    entry.mode = 0o755;
    (entry, Vec::new())
}

pub(crate) fn link(kind: Kind, path: &str, target: &str) -> (Entry, Vec<u8>) {
    let mut entry = Entry::new(path, kind);
    entry.link = target.into();
    entry.mode = 0o777;
    (entry, Vec::new())
}

pub(crate) fn tar(entries: &[(Entry, Vec<u8>)]) -> Vec<u8> {
    let mut writer = Writer::new(Vec::new());
    for (entry, data) in entries {
        writer.append(entry, data.as_slice()).unwrap();
    }
    writer.finish().unwrap()
}

pub(crate) fn diff_id(tar: &[u8]) -> DiffId {
    Digest::of(tar).into()
}

pub(crate) fn source(tar: &[u8]) -> LayerSource<'_> {
    LayerSource::new(diff_id(tar), move || Ok(tar))
}

pub(crate) fn apply(
    lease: &Lease<'_>,
    parent: Option<&ChainId>,
    entries: &[(Entry, Vec<u8>)],
) -> Result<Layer> {
    let tar = tar(entries);
    let layer = lease.apply(parent, &source(&tar), &Limits::default())?;
    // Whatever a test is about: a layer leaves the store as it came.
    let mut again = Vec::new();
    let mut written = lease.storage.layer_tar(&layer.chain)?;
    std::io::Read::read_to_end(&mut written, &mut again).unwrap();
    assert!(again == tar, "the layer's tar is not what it was");
    assert_eq!(written.size(), tar.len() as u64);
    Ok(layer)
}

/// A layer's own directory as text: path → kind and content. Whiteouts are `W`, opaque directories `O`.
pub(crate) fn tree(dir: &Path) -> BTreeMap<String, String> {
    fn walk(dir: &Root, prefix: &str, found: &mut BTreeMap<String, String>) {
        let fd = dir.open_dir("").unwrap();
        for name in read_dir(&fd).unwrap() {
            let path = format!("{prefix}{}", name.to_string_lossy());
            let stat = stat(&fd, &name).unwrap().unwrap();
            let text = match FileType::from_raw_mode(stat.st_mode) {
                FileType::Directory => {
                    let child = dir.sub(Path::new(&name)).unwrap();
                    walk(&child, &format!("{path}/"), found);
                    let child = dir.open_dir(Path::new(&name)).unwrap();
                    let opaque = crate::merged::is_opaque(child, false).unwrap();
                    if opaque { "O".into() } else { "d".into() }
                }
                FileType::RegularFile if stat.st_size > 1 << 20 => {
                    format!("{} bytes", stat.st_size)
                }
                FileType::RegularFile => {
                    let content = dir.read_bounded(Path::new(&name), 1 << 20).unwrap();
                    format!("={}", String::from_utf8_lossy(&content))
                }
                FileType::Symlink => {
                    let target = dir.read_link(Path::new(&name)).unwrap();
                    format!("->{}", target.to_string_lossy())
                }
                FileType::CharacterDevice if stat.st_rdev == 0 => "W".into(),
                FileType::CharacterDevice => "c".into(),
                FileType::BlockDevice => "b".into(),
                FileType::Fifo => "p".into(),
                other => panic!("{other:?}"),
            };
            found.insert(path, text);
        }
    }
    let mut found = BTreeMap::new();
    walk(&Root::open(dir).unwrap(), "", &mut found);
    found
}

/// `[("a", "d"), ("a/f", "=x")]` as [`tree`] gives it.
pub(crate) fn expected(list: &[(&str, &str)]) -> BTreeMap<String, String> {
    list.iter().map(|(path, text)| ((*path).to_owned(), (*text).to_owned())).collect()
}
