//! An archive's file or directory: written beside its place and renamed, so that half of one never has its name.

use std::fs::{File, OpenOptions};
use std::io::Write as _;
use std::path::{Path, PathBuf};

use anyhow::{Context as _, Result, bail};

/// Writes a file; what is there and no file (a pipe, /dev/null) is written to as it is.
pub(crate) fn write_file(path: &Path, write: impl FnOnce(&mut File) -> Result<()>) -> Result<()> {
    if path.metadata().is_ok_and(|found| !found.is_file()) {
        let open = OpenOptions::new().write(true).open(path);
        let mut file = open.with_context(|| format!("cannot write to {}", path.display()))?;
        return write(&mut file);
    }
    let partial = beside(path)?;
    let write = || -> Result<()> {
        let mut file =
            File::create(&partial).with_context(|| format!("cannot make {}", partial.display()))?;
        write(&mut file)?;
        file.flush().with_context(|| format!("cannot write {}", partial.display()))?;
        std::fs::rename(&partial, path)
            .with_context(|| format!("cannot rename to {}", path.display()))
    };
    write().inspect_err(|_| {
        std::fs::remove_file(&partial).ok();
    })
}

/// Fills a directory, which must not exist or be empty.
pub(crate) fn write_directory(
    path: &Path,
    write: impl FnOnce(PathBuf) -> Result<()>,
) -> Result<()> {
    if std::fs::read_dir(path).is_ok_and(|mut found| found.next().is_some()) {
        bail!("{} exists and is not empty", path.display());
    }
    let partial = beside(path)?;
    let write = || -> Result<()> {
        std::fs::create_dir(&partial)
            .with_context(|| format!("cannot make {}", partial.display()))?;
        write(partial.clone())?;
        std::fs::rename(&partial, path)
            .with_context(|| format!("cannot rename to {}", path.display()))
    };
    write().inspect_err(|_| {
        std::fs::remove_dir_all(&partial).ok();
    })
}

fn beside(path: &Path) -> Result<PathBuf> {
    let name =
        path.file_name().with_context(|| format!("{} is not a file's name", path.display()))?;
    Ok(path.with_file_name(format!(".{}.{}", name.to_string_lossy(), std::process::id())))
}
