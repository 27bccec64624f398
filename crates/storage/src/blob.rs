//! Blobs: files named by the digest of their content.

use std::fs::{File, OpenOptions};
use std::io::{self, Read, Write};
use std::os::unix::fs::OpenOptionsExt;
use std::path::Path;

use sha2::{Digest as _, Sha256};

use crate::error::{Doing, Error, Result};
use crate::lease::{Lease, Need};
use crate::{Digest, Storage};

const BUFFER: usize = 128 * 1024;

/// A stored blob.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Blob {
    /// Its name.
    pub digest: Digest,
    /// Its length in bytes.
    pub size: u64,
}

impl Lease<'_> {
    /// Stores what `input` gives; nothing is stored unless it is all there and fits `expected`.
    ///
    /// # Errors
    /// [`Error::DigestMismatch`]; [`Error::TooLarge`] beyond `max` bytes; [`Error::Io`].
    pub fn ingest(&self, input: impl Read, expected: Option<&Digest>, max: u64) -> Result<Blob> {
        let path = self.temporary("blob");
        let blob = write(&path, input, max).and_then(|blob| match expected {
            Some(expected) if *expected != blob.digest => {
                Err(Error::DigestMismatch { what: "blob", expected: *expected, found: blob.digest })
            }
            _ => Ok(blob),
        });
        let published = blob.and_then(|blob| self.publish_blob(&path, blob));
        if published.is_err() {
            // Best effort: the lease takes it along otherwise.
            let _gone = std::fs::remove_file(&path);
        }
        published
    }

    /// [`Lease::ingest`] of a text in memory.
    ///
    /// # Errors
    /// [`Error::Io`].
    pub fn ingest_bytes(&self, bytes: &[u8]) -> Result<Blob> {
        self.ingest(bytes, None, u64::MAX)
    }

    fn publish_blob(&self, temporary: &Path, blob: Blob) -> Result<Blob> {
        self.need(&[Need::Blob(blob.digest)])?;
        let path = self.storage.blob_path(&blob.digest);
        if self.storage.has_blob(&blob.digest) {
            return std::fs::remove_file(temporary).doing("remove", temporary).map(|()| blob);
        }
        if self.storage.options().durable {
            let file = File::open(temporary).doing("open", temporary)?;
            file.sync_all().doing("sync", temporary)?;
        }
        std::fs::rename(temporary, &path).doing("publish", &path)?;
        self.storage.sync_dir(&self.storage.blobs())?;
        Ok(blob)
    }
}

impl Storage {
    /// Is this blob stored?
    pub fn has_blob(&self, digest: &Digest) -> bool {
        self.blob_path(digest).is_file()
    }

    /// Opens a blob. Its content was verified when it was stored; see [`Storage::verify_blob`].
    ///
    /// # Errors
    /// [`Error::NotFound`].
    pub fn open_blob(&self, digest: &Digest) -> Result<File> {
        let path = self.blob_path(digest);
        match File::open(&path) {
            Err(e) if e.kind() == io::ErrorKind::NotFound => {
                Err(Error::NotFound { what: "blob", name: digest.to_string() })
            }
            other => other.doing("open", &path),
        }
    }

    /// The content of a small blob, verified.
    ///
    /// # Errors
    /// [`Error::NotFound`], [`Error::TooLarge`], [`Error::Corrupt`].
    pub fn read_blob(&self, digest: &Digest, max: u64) -> Result<Vec<u8>> {
        let mut bytes = Vec::new();
        let file = self.open_blob(digest)?.take(max.saturating_add(1));
        read_to_end(file, &mut bytes).doing("read", self.blob_path(digest))?;
        if u64::try_from(bytes.len()).unwrap_or(u64::MAX) > max {
            return Err(Error::TooLarge { what: "blob", limit: format!("{max} bytes") });
        }
        self.check(digest, Digest::of(&bytes))?;
        Ok(bytes)
    }

    /// Reads a whole blob and compares it with its name.
    ///
    /// # Errors
    /// [`Error::NotFound`], [`Error::Corrupt`].
    pub fn verify_blob(&self, digest: &Digest) -> Result<()> {
        let mut hasher = Sha256::new();
        let mut file = self.open_blob(digest)?;
        copy(&mut file, u64::MAX, |bytes| {
            hasher.update(bytes);
            Ok(())
        })
        .doing("read", self.blob_path(digest))?;
        self.check(digest, Digest::from_hasher(hasher))
    }

    fn check(&self, expected: &Digest, found: Digest) -> Result<()> {
        if *expected == found {
            return Ok(());
        }
        let why = format!("its content has the digest {found}");
        Err(Error::Corrupt { path: self.blob_path(expected), why })
    }
}

fn read_to_end(mut file: impl Read, bytes: &mut Vec<u8>) -> io::Result<()> {
    file.read_to_end(bytes).map(drop)
}

fn write(path: &Path, mut input: impl Read, max: u64) -> Result<Blob> {
    let mut options = OpenOptions::new();
    let file = options.write(true).create_new(true).mode(0o600).open(path);
    let mut file = file.doing("create", path)?;
    let mut hasher = Sha256::new();
    let size = copy(&mut input, max.saturating_add(1), |bytes| {
        hasher.update(bytes);
        file.write_all(bytes)
    })
    .doing("write", path)?;
    if size > max {
        return Err(Error::TooLarge { what: "blob", limit: format!("{max} bytes") });
    }
    Ok(Blob { digest: Digest::from_hasher(hasher), size })
}

fn copy(
    input: &mut impl Read,
    max: u64,
    mut each: impl FnMut(&[u8]) -> io::Result<()>,
) -> io::Result<u64> {
    let mut buffer = vec![0; BUFFER];
    let mut input = input.take(max);
    let mut size = 0u64;
    loop {
        match input.read(&mut buffer) {
            Ok(0) => return Ok(size),
            Ok(length) => {
                each(buffer.get(..length).unwrap_or_default())?;
                size += u64::try_from(length).unwrap_or_default();
            }
            Err(e) if e.kind() == io::ErrorKind::Interrupted => {}
            Err(e) => return Err(e),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::StorageOptions;

    #[test]
    fn a_blob_has_its_name_only_when_it_is_whole() {
        let temp = tempfile::tempdir().unwrap();
        let options = StorageOptions { durable: false, ..StorageOptions::default() };
        let storage = Storage::open_with(temp.path(), options).unwrap();
        let digest = Digest::of("hello");
        {
            let lease = storage.lease().unwrap();
            let error = lease.ingest(&b"hellO"[..], Some(&digest), 10).unwrap_err();
            assert!(matches!(error, Error::DigestMismatch { .. }), "{error}");
            let error = lease.ingest(&b"hello"[..], Some(&digest), 4).unwrap_err();
            assert!(matches!(error, Error::TooLarge { .. }), "{error}");
            assert!(!storage.has_blob(&digest));
            let blob = lease.ingest(&b"hello"[..], Some(&digest), 5).unwrap();
            assert_eq!(blob, lease.ingest_bytes(b"hello").unwrap());
            assert_eq!(blob.size, 5);
            assert_eq!(std::fs::read_dir(lease.dir()).unwrap().count(), 1, "the list of needs");
        }
        assert_eq!(storage.read_blob(&digest, 5).unwrap(), b"hello");
        assert!(matches!(storage.read_blob(&digest, 4).unwrap_err(), Error::TooLarge { .. }));
        assert!(matches!(
            storage.open_blob(&Digest::of("")).unwrap_err(),
            Error::NotFound { what: "blob", .. }
        ));
        assert_eq!(std::fs::read_dir(storage.tmp()).unwrap().count(), 0);
    }

    #[test]
    fn a_blob_that_was_changed_is_noticed() {
        let temp = tempfile::tempdir().unwrap();
        let storage = Storage::open(temp.path()).unwrap();
        let blob = storage.lease().unwrap().ingest_bytes(b"hello").unwrap();
        storage.verify_blob(&blob.digest).unwrap();
        let mut file =
            OpenOptions::new().write(true).open(storage.blob_path(&blob.digest)).unwrap();
        file.write_all(b"j").unwrap();
        let error = storage.read_blob(&blob.digest, 100).unwrap_err();
        assert!(matches!(error, Error::Corrupt { .. }), "{error}");
        assert!(storage.verify_blob(&blob.digest).is_err());
    }

    #[test]
    fn spooled_input_is_bounded_and_leaves_nothing() {
        let temp = tempfile::tempdir().unwrap();
        let storage = Storage::open(temp.path()).unwrap();
        let lease = storage.lease().unwrap();
        let mut text = String::new();
        lease.spool(&b"abc"[..], 3).unwrap().read_to_string(&mut text).unwrap();
        assert_eq!(text, "abc");
        assert!(matches!(lease.spool(&b"abc"[..], 2).unwrap_err(), Error::TooLarge { .. }));
        assert_eq!(std::fs::read_dir(lease.dir()).unwrap().count(), 1);
    }
}
