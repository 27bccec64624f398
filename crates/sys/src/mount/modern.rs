//! The mount API of Linux 5.2: fsopen, fsconfig, fsmount, move_mount, open_tree; mount_setattr of 5.12.

use std::io::Read;
use std::os::fd::{AsRawFd, OwnedFd};
use std::os::unix::ffi::OsStrExt;
use std::path::Path;

use rustix::fs::{CWD, Mode, OFlags};
use rustix::io::Errno;
use rustix::mount::{
    FsMountFlags, FsOpenFlags, MountAttrFlags, MoveMountFlags, OpenTreeFlags, fsconfig_create,
    fsconfig_set_flag, fsconfig_set_string, fsmount, fsopen, move_mount, open_tree,
};

use super::{Bind, MountFlags, Overlay, Refused, Tmpfs};

/// fsconfig(2) takes strings of at most 255 bytes.
const MAX_VALUE: usize = 255;

impl From<Errno> for Refused {
    fn from(e: Errno) -> Refused {
        if e == Errno::NOSYS { Refused::Unsupported } else { Refused::Failed(e) }
    }
}

pub(super) fn overlay(overlay: &Overlay<'_>, target: &Path) -> Result<(), Refused> {
    let context = fsopen("overlay", FsOpenFlags::FSOPEN_CLOEXEC)?;
    // Descriptors that stand for long paths must live until the file system is created.
    let mut held = Vec::new();
    let mut set = |key: &str, path: &Path| -> Result<(), Refused> {
        match short_name(path, &mut held)? {
            Some(name) => Ok(fsconfig_set_string(&context, key, &name)?),
            None => Ok(fsconfig_set_string(&context, key, path)?),
        }
    };
    for layer in overlay.lower {
        match set("lowerdir+", layer) {
            // Linux before 6.8 does not know the key.
            Err(Refused::Failed(Errno::INVAL)) => return Err(Refused::Unsupported),
            other => other?,
        }
    }
    if let (Some(upper), Some(work)) = (overlay.upper, overlay.work) {
        set("upperdir", upper)?;
        set("workdir", work)?;
    }
    fsconfig_set_string(&context, "source", "overlay")?;
    for (key, value) in overlay.features() {
        match value {
            Some(value) => fsconfig_set_string(&context, key, value)?,
            None => fsconfig_set_flag(&context, key)?,
        }
    }
    if let Some(label) = overlay.context {
        fsconfig_set_string(&context, "context", label)?;
    }
    let flags = MountFlags {
        read_only: overlay.read_only || overlay.upper.is_none(),
        ..MountFlags::default()
    };
    if flags.read_only {
        fsconfig_set_flag(&context, "ro")?;
    }
    match create_and_move(context, flags, target) {
        // Linux before 6.5 takes every key of an overlay as it comes, and refuses `lowerdir+` only now. What is wrong in
        // itself is refused by mount(2) again.
        Err(Refused::Failed(Errno::INVAL)) => Err(Refused::Unsupported),
        other => other,
    }
}

pub(super) fn tmpfs(tmpfs: &Tmpfs<'_>, target: &Path) -> Result<(), Refused> {
    let context = fsopen("tmpfs", FsOpenFlags::FSOPEN_CLOEXEC)?;
    let source = if tmpfs.source.is_empty() { "tmpfs" } else { tmpfs.source };
    fsconfig_set_string(&context, "source", source)?;
    fsconfig_set_string(&context, "mode", format!("{:o}", tmpfs.mode))?;
    if let Some(size) = tmpfs.size {
        fsconfig_set_string(&context, "size", size.to_string())?;
    }
    if let Some(inodes) = tmpfs.inodes {
        fsconfig_set_string(&context, "nr_inodes", inodes.to_string())?;
    }
    if let Some(label) = tmpfs.context {
        fsconfig_set_string(&context, "context", label)?;
    }
    create_and_move(context, tmpfs.flags, target)
}

pub(super) fn bind(source: &Path, target: &Path, options: &Bind) -> Result<(), Refused> {
    let mut flags = OpenTreeFlags::OPEN_TREE_CLONE | OpenTreeFlags::OPEN_TREE_CLOEXEC;
    if options.recursive {
        flags |= OpenTreeFlags::AT_RECURSIVE;
    }
    let tree = open_tree(CWD, source, flags)?;
    if options.flags != MountFlags::default() {
        set_attributes(&tree, options)?;
    }
    place(&tree, target)
}

fn create_and_move(context: OwnedFd, flags: MountFlags, target: &Path) -> Result<(), Refused> {
    if let Err(e) = fsconfig_create(&context) {
        explain(context);
        return Err(e.into());
    }
    let mount = fsmount(&context, FsMountFlags::FSMOUNT_CLOEXEC, attributes(flags))?;
    place(&mount, target)
}

fn place(mount: &OwnedFd, target: &Path) -> Result<(), Refused> {
    Ok(move_mount(mount, "", CWD, target, MoveMountFlags::MOVE_MOUNT_F_EMPTY_PATH)?)
}

/// The kernel says in words why it refused; they are for the log, the error number is for the caller.
fn explain(context: OwnedFd) {
    let mut message = [0; 512];
    let mut context = std::fs::File::from(context);
    while let Ok(length) = context.read(&mut message) {
        let Some(text) = message.get(..length).filter(|text| !text.is_empty()) else { break };
        tracing::debug!(message = %String::from_utf8_lossy(text).trim_end(), "mount refused");
    }
}

/// A path that is too long for fsconfig, or that overlayfs would take apart (it unescapes, and splits at colons), is
/// named by a descriptor.
fn short_name(path: &Path, held: &mut Vec<OwnedFd>) -> Result<Option<String>, Refused> {
    let bytes = path.as_os_str().as_bytes();
    if bytes.len() <= MAX_VALUE && !bytes.iter().any(|byte| matches!(byte, b':' | b'\\' | b',')) {
        return Ok(None);
    }
    let fd = rustix::fs::open(path, OFlags::PATH | OFlags::CLOEXEC, Mode::empty())?;
    let name = format!("/proc/self/fd/{}", fd.as_raw_fd());
    held.push(fd);
    Ok(Some(name))
}

fn attributes(flags: MountFlags) -> MountAttrFlags {
    let pairs = [
        (flags.read_only, MountAttrFlags::MOUNT_ATTR_RDONLY),
        (flags.nosuid, MountAttrFlags::MOUNT_ATTR_NOSUID),
        (flags.nodev, MountAttrFlags::MOUNT_ATTR_NODEV),
        (flags.noexec, MountAttrFlags::MOUNT_ATTR_NOEXEC),
    ];
    pairs.into_iter().filter(|(wanted, _)| *wanted).map(|(_, flag)| flag).collect()
}

fn set_attributes(tree: &OwnedFd, options: &Bind) -> Result<(), Refused> {
    let change = libc::mount_attr {
        attr_set: attributes(options.flags).bits().into(),
        attr_clr: 0,
        propagation: 0,
        userns_fd: 0,
    };
    let mut flags = libc::AT_EMPTY_PATH;
    if options.recursive {
        flags |= libc::AT_RECURSIVE;
    }
    // SAFETY: `tree` is open for the call, the path is a NUL-terminated literal, and `change` is a live mount_attr whose
    // exact size is passed; the kernel only reads both.
    let result = unsafe {
        libc::syscall(
            libc::SYS_mount_setattr,
            tree.as_raw_fd(),
            c"".as_ptr(),
            flags,
            &raw const change,
            size_of::<libc::mount_attr>(),
        )
    };
    if result == 0 {
        return Ok(());
    }
    let error = std::io::Error::last_os_error();
    Err(Errno::from_io_error(&error).unwrap_or(Errno::IO).into())
}
