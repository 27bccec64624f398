//! Volumes: directories with a record beside them.
//!
//! INVARIANT: a volume exists when its directory does. The record adds to that; where it is missing (its maker was
//! killed), the volume is a plain one, made when the directory was.
//! Who uses a volume is the engine's business.

use std::collections::BTreeMap;
use std::io;
use std::os::unix::fs::MetadataExt;

use dhow_sys::fs::{Durability, create_dir, create_dir_all, remove_tree};
use serde::{Deserialize, Serialize};

use crate::document::{self, MAX_RECORD, Problem, VERSION, version};
use crate::error::{Error, Result};
use crate::layout::Layout;
use crate::name::VolumeName;
use crate::record::now;

/// What is known of a volume: `volume.json`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Volume {
    /// Of the file's format.
    #[serde(default = "version")]
    pub version: u32,
    /// Its name.
    pub name: VolumeName,
    /// `local`.
    #[serde(default = "local")]
    pub driver: String,
    /// The user's.
    #[serde(default)]
    pub labels: BTreeMap<String, String>,
    /// Made for one container, to go with it.
    #[serde(default)]
    pub anonymous: bool,
    /// When it was made, in nanoseconds since the epoch.
    pub created: i64,
}

fn local() -> String {
    "local".to_owned()
}

impl Volume {
    /// A new one without labels.
    #[must_use]
    pub fn new(name: VolumeName, anonymous: bool) -> Self {
        Volume {
            version: VERSION,
            name,
            driver: local(),
            labels: BTreeMap::new(),
            anonymous,
            created: now(),
        }
    }
}

/// All volumes below a root.
#[derive(Debug, Clone, Copy)]
pub struct Volumes<'a> {
    layout: &'a Layout,
}

impl<'a> Volumes<'a> {
    pub(crate) fn new(layout: &'a Layout) -> Self {
        Volumes { layout }
    }

    /// Makes a volume; `false` if there is one of that name.
    ///
    /// # Errors
    /// It cannot be made.
    pub fn create(self, name: &VolumeName, anonymous: bool) -> Result<bool> {
        self.create_with(&Volume::new(name.clone(), anonymous))
    }

    /// As [`Volumes::create`], with labels.
    ///
    /// # Errors
    /// It cannot be made.
    pub fn create_with(self, volume: &Volume) -> Result<bool> {
        let dir = self.layout.volume(&volume.name);
        match create_dir(&dir, 0o711) {
            Ok(()) => {}
            Err(e) if e.kind() == io::ErrorKind::AlreadyExists => return Ok(false),
            Err(e) => return Err(Error::io("create", &dir)(e)),
        }
        // CRASH: from here on it is a volume, with less of a record.
        let data = self.layout.volume_data(&volume.name);
        create_dir_all(&data, 0o755).map_err(Error::io("create", &data))?;
        document::write(&self.layout.volume_record(&volume.name), volume, Durability::Durable)?;
        let all = self.layout.volumes();
        dhow_sys::fs::sync_dir(&all).map_err(Error::io("sync", &all))?;
        Ok(true)
    }

    /// Whether there is one.
    ///
    /// # Errors
    /// The directory cannot be looked at.
    pub fn exists(self, name: &VolumeName) -> Result<bool> {
        let dir = self.layout.volume(name);
        match dir.symlink_metadata() {
            Ok(_) => Ok(true),
            Err(e) if e.kind() == io::ErrorKind::NotFound => Ok(false),
            Err(e) => Err(Error::io("look at", &dir)(e)),
        }
    }

    /// What is known of one.
    ///
    /// # Errors
    /// [`Error::NoVolume`], [`Error::CorruptVolume`].
    pub fn get(self, name: &VolumeName) -> Result<Volume> {
        let path = self.layout.volume_record(name);
        match document::read::<Volume>(&path, MAX_RECORD) {
            Ok(Some(volume)) if volume.name == *name => Ok(volume),
            Ok(Some(other)) => Err(Error::CorruptVolume {
                name: name.clone(),
                path,
                why: format!("it is the record of volume {}", other.name),
            }),
            Ok(None) => self.without_record(name),
            Err(Problem::Bad(why)) => Err(Error::CorruptVolume { name: name.clone(), path, why }),
            Err(Problem::Io(source)) => Err(Error::Io { action: "read", path, source }),
        }
    }

    fn without_record(self, name: &VolumeName) -> Result<Volume> {
        let dir = self.layout.volume(name);
        match dir.symlink_metadata() {
            Ok(meta) => {
                let created =
                    meta.mtime().saturating_mul(1_000_000_000).saturating_add(meta.mtime_nsec());
                Ok(Volume { created, ..Volume::new(name.clone(), false) })
            }
            Err(e) if e.kind() == io::ErrorKind::NotFound => {
                Err(Error::NoVolume { name: name.clone() })
            }
            Err(e) => Err(Error::io("look at", &dir)(e)),
        }
    }

    /// The names of all, sorted.
    ///
    /// # Errors
    /// The directory cannot be read.
    pub fn names(self) -> Result<Vec<VolumeName>> {
        let dir = self.layout.volumes();
        let mut names = Vec::new();
        for entry in std::fs::read_dir(&dir).map_err(Error::io("read", &dir))? {
            let entry = entry.map_err(Error::io("read", &dir))?;
            names.extend(entry.file_name().to_str().and_then(|name| name.parse().ok()));
        }
        names.sort();
        Ok(names)
    }

    /// Removes a volume and its data; a damaged one too.
    ///
    /// # Errors
    /// [`Error::NoVolume`]; something in it cannot be removed (a mount): to be repeated.
    pub fn remove(self, name: &VolumeName) -> Result<()> {
        if !self.exists(name)? {
            return Err(Error::NoVolume { name: name.clone() });
        }
        self.remove_if_there(name)
    }

    pub(crate) fn remove_if_there(self, name: &VolumeName) -> Result<()> {
        // ORDER: the data, the record, the directory. CRASH: it is still a volume, with less in it.
        for path in [self.layout.volume_data(name), self.layout.volume(name)] {
            remove_tree(&path).map_err(Error::io("remove", &path))?;
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(test: impl FnOnce(&Layout, Volumes<'_>)) {
        let dir = tempfile::tempdir().unwrap();
        let layout = Layout { root: dir.path().join("root"), run: dir.path().join("run") };
        create_dir_all(&layout.volumes(), 0o700).unwrap();
        test(&layout, Volumes::new(&layout));
    }

    fn name(text: &str) -> VolumeName {
        text.parse().unwrap()
    }

    #[test]
    fn made_once_listed_and_removed() {
        check(|layout, volumes| {
            let mut volume = Volume::new(name("data"), false);
            volume.labels.insert("a".to_owned(), "b".to_owned());
            assert!(volumes.create_with(&volume).unwrap());
            assert!(!volumes.create(&name("data"), true).unwrap());
            assert_eq!(volumes.get(&name("data")).unwrap(), volume);
            assert!(volumes.create(&name("b"), true).unwrap());
            assert!(volumes.get(&name("b")).unwrap().anonymous);
            assert_eq!(volumes.names().unwrap(), [name("b"), name("data")]);
            assert!(layout.volume_data(&name("b")).is_dir());
            volumes.remove(&name("b")).unwrap();
            assert!(matches!(volumes.remove(&name("b")), Err(Error::NoVolume { .. })));
            assert!(matches!(volumes.get(&name("b")), Err(Error::NoVolume { .. })));
            assert_eq!(volumes.names().unwrap(), [name("data")]);
        });
    }

    #[test]
    fn one_maker_among_many() {
        check(|_, volumes| {
            let made: usize = std::thread::scope(|s| {
                let threads: Vec<_> = (0..8)
                    .map(|_| s.spawn(|| volumes.create(&name("data"), false).unwrap()))
                    .collect();
                threads.into_iter().map(|t| usize::from(t.join().unwrap())).sum()
            });
            assert_eq!(made, 1);
        });
    }

    #[test]
    fn a_missing_record_is_a_plain_volume_and_a_damaged_one_can_be_removed() {
        check(|layout, volumes| {
            create_dir(&layout.volume(&name("bare")), 0o700).unwrap();
            let volume = volumes.get(&name("bare")).unwrap();
            assert!(!volume.anonymous && volume.created > 0);
            volumes.create(&name("sick"), false).unwrap();
            document::write(&layout.volume_record(&name("sick")), &"text", Durability::Volatile)
                .unwrap();
            assert!(matches!(volumes.get(&name("sick")), Err(Error::CorruptVolume { .. })));
            volumes.remove(&name("sick")).unwrap();
            volumes.remove(&name("bare")).unwrap();
            assert!(volumes.names().unwrap().is_empty());
        });
    }
}
