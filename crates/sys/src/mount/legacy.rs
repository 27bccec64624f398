//! `mount(2)`, for kernels without the new API or without `lowerdir+`.

use std::ffi::CString;
use std::io;
use std::os::fd::{AsRawFd, OwnedFd};
use std::path::Path;

use rustix::fs::{Mode, OFlags};
use rustix::mount as sys;

use super::{Bind, MountFlags, Overlay, Tmpfs};

/// mount(2) reads one page of options, the last byte of which ends the text.
const MAX_OPTIONS: usize = 4095;

impl Overlay<'_> {
    /// Options besides the directories. What would move a file's content or name out of its own layer is switched off,
    /// whatever the module's defaults are: a layer must mean the same on every machine, and `diff` reads the upper one.
    pub(super) fn features(&self) -> Vec<(&'static str, Option<&'static str>)> {
        let mut features = Vec::new();
        if self.userxattr {
            // The kernel refuses redirect_dir and metacopy beside it: they are off then.
            features.push(("userxattr", None));
        } else if self.upper.is_some() {
            features.push(("redirect_dir", Some("off")));
            features.push(("metacopy", Some("off")));
        }
        if self.upper.is_some() {
            features.push(("index", Some("off")));
            if self.volatile {
                features.push(("volatile", None));
            }
        }
        features
    }
}

pub(super) fn overlay(overlay: &Overlay<'_>, target: &Path) -> io::Result<()> {
    let mut held = Vec::new();
    let lower = overlay.lower.iter().map(|layer| fd_name(layer, &mut held));
    let lower = lower.collect::<io::Result<Vec<_>>>()?;
    let mut options = format!("lowerdir={}", lower.join(":"));
    if let (Some(upper), Some(work)) = (overlay.upper, overlay.work) {
        let (upper, work) = (fd_name(upper, &mut held)?, fd_name(work, &mut held)?);
        options.push_str(&format!(",upperdir={upper},workdir={work}"));
    }
    for (key, value) in overlay.features() {
        options.push(',');
        options.push_str(key);
        if let Some(value) = value {
            options.push_str(&format!("={value}"));
        }
    }
    push_context(&mut options, overlay.context);
    let flags = MountFlags {
        read_only: overlay.read_only || overlay.upper.is_none(),
        ..MountFlags::default()
    };
    mount("overlay", "overlay", &options, flags, target)
}

pub(super) fn tmpfs(tmpfs: &Tmpfs<'_>, target: &Path) -> io::Result<()> {
    let source = if tmpfs.source.is_empty() { "tmpfs" } else { tmpfs.source };
    let mut options = format!("mode={:o}", tmpfs.mode);
    if let Some(size) = tmpfs.size {
        options.push_str(&format!(",size={size}"));
    }
    if let Some(inodes) = tmpfs.inodes {
        options.push_str(&format!(",nr_inodes={inodes}"));
    }
    push_context(&mut options, tmpfs.context);
    mount("tmpfs", source, &options, tmpfs.flags, target)
}

pub(super) fn bind(source: &Path, target: &Path, options: &Bind) -> io::Result<()> {
    if options.recursive {
        sys::mount_bind_recursive(source, target)?;
    } else {
        sys::mount_bind(source, target)?;
    }
    if options.flags == MountFlags::default() {
        return Ok(());
    }
    // A bind mount takes no flags; they need a second call, which reaches the topmost mount only.
    let restricted = sys::mount_remount(target, sys::MountFlags::BIND | flags(options.flags), c"");
    restricted.map_err(|e| {
        // Best effort: an unrestricted mount must not stay behind an error.
        let _gone = super::unmount(target, true);
        e.into()
    })
}

fn mount(
    fstype: &str,
    source: &str,
    options: &str,
    restrictions: MountFlags,
    target: &Path,
) -> io::Result<()> {
    if options.len() > MAX_OPTIONS {
        return Err(io::Error::new(
            io::ErrorKind::InvalidInput,
            format!("{} bytes of mount options; this kernel takes {MAX_OPTIONS}", options.len()),
        ));
    }
    let options = CString::new(options)?;
    Ok(sys::mount(source, target, fstype, flags(restrictions), options.as_c_str())?)
}

fn push_context(options: &mut String, context: Option<&str>) {
    if let Some(label) = context {
        options.push_str(&format!(",context=\"{label}\""));
    }
}

fn fd_name(path: &Path, held: &mut Vec<OwnedFd>) -> io::Result<String> {
    let flags = OFlags::PATH | OFlags::DIRECTORY | OFlags::CLOEXEC;
    let fd = rustix::fs::open(path, flags, Mode::empty())?;
    let name = format!("/proc/self/fd/{}", fd.as_raw_fd());
    held.push(fd);
    Ok(name)
}

fn flags(flags: MountFlags) -> sys::MountFlags {
    let pairs = [
        (flags.read_only, sys::MountFlags::RDONLY),
        (flags.nosuid, sys::MountFlags::NOSUID),
        (flags.nodev, sys::MountFlags::NODEV),
        (flags.noexec, sys::MountFlags::NOEXEC),
    ];
    pairs.into_iter().filter(|(wanted, _)| *wanted).map(|(_, flag)| flag).collect()
}
