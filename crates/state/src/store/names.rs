//! Names: `root/names/<name>` is a symbolic link to the owner's id, created exclusively, so a name has one owner without
//! a lock that others wait for.
//!
//! INVARIANT: the owner's own `name` says what it is called; a link that says otherwise is stale (or a rename is under
//! way) and finds nothing.
//! INVARIANT: a link is made and removed only under the lock of the container it points to; one whose container is gone,
//! under `run/lock`.

use std::io;
use std::path::Path;

use dhow_sys::fs::TEMPORARY_PREFIX;
use dhow_sys::lock::{FileLock, LockMode};

use crate::document::{self, MAX_CONFIG};
use crate::error::{Error, Result};
use crate::id::ContainerId;
use crate::layout::Layout;
use crate::name::ContainerName;
use crate::record::Config;
use crate::snapshot::{self, Found, read_link};
use crate::store::{SHORT_WAIT, removal};

/// Each round of a claim gets rid of one stale owner.
const ROUNDS: u32 = 100;

/// Takes a name for a container whose lock the caller holds.
///
/// # Errors
/// [`Error::NameInUse`] if another container has it, or somebody works on one that may.
pub(super) fn claim(layout: &Layout, name: &ContainerName, id: &ContainerId) -> Result<()> {
    let link = layout.name(name);
    for _ in 0..ROUNDS {
        match std::os::unix::fs::symlink(id.as_str(), &link) {
            Ok(()) => return Ok(()),
            Err(e) if e.kind() == io::ErrorKind::AlreadyExists => {}
            Err(e) => return Err(Error::io("create", &link)(e)),
        }
        let Some(text) = read_link(&link)? else {
            if link.symlink_metadata().is_ok() {
                return Err(Error::NameInUse { name: name.clone(), by: None });
            }
            continue;
        };
        let owner = text.parse::<ContainerId>().ok();
        match owner.filter(|owner| layout.container_dir(owner).symlink_metadata().is_ok()) {
            Some(owner) if &owner == id => return Ok(()),
            Some(owner) => oust(layout, name, &owner)?,
            None => remove_ownerless(layout, &link, &text)?,
        }
    }
    Err(Error::NameInUse { name: name.clone(), by: None })
}

/// Removes the link to `owner` if that container is unfinished and abandoned, or is called otherwise.
fn oust(layout: &Layout, name: &ContainerName, owner: &ContainerId) -> Result<()> {
    let in_use = || Err(Error::NameInUse { name: name.clone(), by: Some(owner.clone()) });
    let named_so = |found: &Result<Found>| match found {
        Ok(Found::Container(snapshot)) => snapshot.name == *name,
        Ok(Found::Unfinished | Found::Nothing) => false,
        // A damaged container keeps its name until it is removed.
        Err(_) => true,
    };
    if named_so(&snapshot::read(layout, owner)) {
        return in_use();
    }
    super::make_run_dir(layout, owner)?;
    let path = layout.lock(owner);
    let lock = match FileLock::try_acquire(&path, LockMode::Exclusive) {
        Ok(Some(lock)) => lock,
        Ok(None) => return in_use(),
        // Being removed just now: the next round sees what has come of it.
        Err(e) if e.is_not_found() => return Ok(()),
        Err(source) => return Err(Error::Lock { path, source }),
    };
    finish_rename(layout, owner)?;
    let found = snapshot::read(layout, owner);
    match &found {
        Ok(Found::Unfinished | Found::Nothing) => removal::take_away(layout, owner, lock),
        _ if named_so(&found) => in_use(),
        _ => unlink_if(&layout.name(name), owner),
    }
}

/// Removes a link that points to nothing.
fn remove_ownerless(layout: &Layout, link: &Path, text: &str) -> Result<()> {
    // Without a lock, two that see the same stale link could remove each other's new one.
    let path = layout.run_lock();
    let lock = FileLock::acquire(&path, LockMode::Exclusive, Some(SHORT_WAIT))
        .map_err(|source| Error::Lock { path, source })?;
    let result = if read_link(link)?.as_deref() == Some(text) { unlink(link) } else { Ok(()) };
    drop(lock);
    result
}

/// Gives a container another name. The caller holds its lock.
pub(super) fn rename(
    layout: &Layout,
    id: &ContainerId,
    old: &ContainerName,
    new: &ContainerName,
    durable: bool,
) -> Result<()> {
    let intent = intent_path(layout, id);
    // CRASH: from here to the end, whoever locks the container next goes back or forward, by what its `name` says.
    replace_link(&format!("{old}/{new}"), &intent)?;
    if let Err(e) = claim(layout, new, id) {
        unlink(&intent)?;
        return Err(e);
    }
    if durable {
        sync(&layout.names_dir())?;
    }
    replace_link(new.as_str(), &layout.name_file(id))?;
    if durable {
        sync(&layout.container_dir(id))?;
    }
    finish_rename(layout, id)
}

/// Finishes or undoes a rename that was begun. The caller holds the container's lock.
pub(super) fn finish_rename(layout: &Layout, id: &ContainerId) -> Result<()> {
    let intent = intent_path(layout, id);
    let Some(text) = read_link(&intent)? else { return Ok(()) };
    let own = read_link(&layout.name_file(id))?;
    for name in text.split('/').filter(|name| own.as_deref() != Some(*name)) {
        if let Ok(name) = name.parse::<ContainerName>() {
            unlink_if(&layout.name(&name), id)?;
        }
    }
    unlink(&intent)
}

/// The names that a container may have links of. The caller holds its lock.
pub(super) fn all_of(layout: &Layout, id: &ContainerId) -> Result<Vec<ContainerName>> {
    let mut names: Vec<String> = Vec::new();
    names.extend(read_link(&layout.name_file(id))?);
    if let Some(text) = read_link(&intent_path(layout, id))? {
        names.extend(text.split('/').map(str::to_owned));
    }
    // Where its own word is damaged, the name it was made with is the best guess.
    if names.is_empty()
        && let Ok(Some(config)) = document::read::<Config>(&layout.config(id), MAX_CONFIG)
    {
        names.push(config.name.into());
    }
    Ok(names.into_iter().filter_map(|name| name.parse().ok()).collect())
}

/// Gives a name back. The caller holds the lock of the container that may have it.
pub(super) fn release(layout: &Layout, name: &ContainerName, id: &ContainerId) -> Result<()> {
    unlink_if(&layout.name(name), id)
}

/// Writes what a container is called into its own directory.
pub(super) fn write_own(layout: &Layout, id: &ContainerId, name: &ContainerName) -> Result<()> {
    replace_link(name.as_str(), &layout.name_file(id))
}

/// `renaming`: a symbolic link whose text is `old/new`.
fn intent_path(layout: &Layout, id: &ContainerId) -> std::path::PathBuf {
    layout.container_dir(id).join("renaming")
}

fn replace_link(text: &str, path: &Path) -> Result<()> {
    match std::os::unix::fs::symlink(text, path) {
        Err(e) if e.kind() == io::ErrorKind::AlreadyExists => {}
        other => return other.map_err(Error::io("create", path)),
    }
    let mut temporary = std::ffi::OsString::from(TEMPORARY_PREFIX);
    temporary.push(path.file_name().unwrap_or_default());
    let temporary = path.with_file_name(temporary);
    // Only the holder of the container's lock writes here: what is there is a killed one's.
    unlink(&temporary)?;
    std::os::unix::fs::symlink(text, &temporary).map_err(Error::io("create", &temporary))?;
    std::fs::rename(&temporary, path).map_err(Error::io("replace", path))
}

fn unlink_if(link: &Path, owner: &ContainerId) -> Result<()> {
    if read_link(link)?.as_deref() == Some(owner.as_str()) { unlink(link) } else { Ok(()) }
}

pub(super) fn unlink(path: &Path) -> Result<()> {
    match std::fs::remove_file(path) {
        Err(e) if e.kind() != io::ErrorKind::NotFound => Err(Error::io("remove", path)(e)),
        _ => Ok(()),
    }
}

pub(super) fn sync(dir: &Path) -> Result<()> {
    dhow_sys::fs::sync_dir(dir).map_err(Error::io("sync", dir))
}
