//! Where a saved image goes: entries of a tar, or files of a directory.

use std::collections::HashSet;
use std::fs::File;
use std::io::{self, BufWriter, Read, Write};
use std::path::PathBuf;

use dhow_storage::archive::{Entry, Kind, Writer};

use super::Output;
use crate::error::{Error, Result};

const BUFFER: usize = 128 * 1024;

pub(super) enum Sink<'a> {
    Tar {
        writer: Writer<BufWriter<Box<dyn Write + Send + 'a>>>,
        /// Directories that have an entry.
        made: HashSet<String>,
    },
    Directory(PathBuf),
}

impl<'a> Sink<'a> {
    pub(super) fn new(output: Output<'a>) -> Result<Sink<'a>> {
        Ok(match output {
            Output::Stream(out) => Sink::Tar {
                writer: Writer::new(BufWriter::with_capacity(BUFFER, out)),
                made: HashSet::new(),
            },
            Output::Directory(dir) => Sink::Directory(dir),
        })
    }

    /// Writes `size` bytes under a name of ours.
    pub(super) fn put(&mut self, name: &str, size: u64, mut data: impl Read) -> Result<()> {
        let failed = |source: io::Error| match source.downcast::<dhow_storage::Error>() {
            Ok(own) => Error::store("read a layer")(own),
            Err(source) => Error::Io { action: "write", archive: name.to_owned(), source },
        };
        match self {
            Sink::Tar { writer, made } => {
                for (at, _) in name.match_indices('/') {
                    let dir = name.get(..at).unwrap_or_default();
                    if made.insert(dir.to_owned()) {
                        let mut entry = Entry::new(dir, Kind::Directory);
                        entry.mode = 0o755;
                        writer.append(&entry, io::empty()).map_err(failed)?;
                    }
                }
                let mut entry = Entry::new(name, Kind::File);
                (entry.mode, entry.size) = (0o644, size);
                writer.append(&entry, &mut data).map_err(failed)?;
                // A reader verifies what it has given when it is asked for more.
                io::copy(&mut data, &mut io::sink()).map(drop).map_err(failed)
            }
            Sink::Directory(dir) => {
                let path = dir.join(name);
                let mut write = || -> io::Result<()> {
                    if let Some(parent) = path.parent() {
                        dhow_sys::fs::create_dir_all(parent, 0o755)?;
                    }
                    io::copy(&mut data, &mut File::create(&path)?).map(drop)
                };
                write().map_err(failed)
            }
        }
    }

    pub(super) fn finish(self) -> Result<()> {
        match self {
            Sink::Tar { writer, .. } => {
                let finished = writer.finish().and_then(|mut out| out.flush());
                finished.map_err(|source| Error::Io {
                    action: "write",
                    archive: "the archive".to_owned(),
                    source,
                })
            }
            Sink::Directory(_) => Ok(()),
        }
    }
}
