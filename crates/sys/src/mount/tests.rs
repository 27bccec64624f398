//! Real mounts, so root only. Each is detached again when its guard goes.
#![expect(clippy::disallowed_methods, reason = "test trees are made with plain std::fs")]

use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::PathBuf;

use super::*;
use crate::mountinfo::{is_mount_point, mounts_below};

/// A temporary directory with `dirs` in it; what is mounted on `m` goes before it does.
struct Bench(tempfile::TempDir);

impl Bench {
    fn new(dirs: &[&str]) -> Bench {
        let bench = Bench(tempfile::tempdir_in("/var/tmp").unwrap());
        for dir in ["m"].iter().chain(dirs) {
            fs::create_dir_all(bench.path(dir)).unwrap();
        }
        bench
    }

    fn path(&self, name: &str) -> PathBuf {
        self.0.path().join(name)
    }

    fn target(&self) -> PathBuf {
        self.path("m")
    }
}

impl Drop for Bench {
    fn drop(&mut self) {
        while unmount(&self.target(), true).unwrap_or(false) {}
    }
}

type MountOverlay = fn(&Overlay<'_>, &Path) -> io::Result<()>;

/// Both ways to the same mount.
fn ways() -> [(&'static str, MountOverlay); 2] {
    fn modern(overlay: &Overlay<'_>, target: &Path) -> io::Result<()> {
        match modern::overlay(overlay, target) {
            Err(Refused::Unsupported) => panic!("this kernel has no lowerdir+"),
            Err(Refused::Failed(e)) => Err(e.into()),
            Ok(()) => Ok(()),
        }
    }
    [("modern", modern), ("legacy", legacy::overlay)]
}

#[test]
fn an_overlay_with_130_layers_by_both_ways() {
    for (way, mount) in ways() {
        let bench = Bench::new(&["upper", "work"]);
        // Longer than one fsconfig string with the temporary directory before it, and with every awkward character.
        let base = bench.path(&format!("{}/{}:,\\ x", "n".repeat(120), "o".repeat(120)));
        let layers: Vec<PathBuf> = (0..130).map(|n| base.join(format!("layer{n}"))).collect();
        for (n, layer) in layers.iter().enumerate() {
            fs::create_dir_all(layer).unwrap();
            fs::write(layer.join("top"), n.to_string()).unwrap();
            fs::write(layer.join(format!("file{n}")), "").unwrap();
        }
        let lower: Vec<&Path> = layers.iter().rev().map(PathBuf::as_path).collect();
        let (upper, work) = (bench.path("upper"), bench.path("work"));
        let overlay =
            Overlay { lower: &lower, upper: Some(&upper), work: Some(&work), ..Overlay::default() };
        mount(&overlay, &bench.target()).unwrap_or_else(|e| panic!("{way}: {e}"));
        assert_eq!(fs::read_to_string(bench.path("m/top")).unwrap(), "129", "{way}");
        assert!((0..130).all(|n| bench.path(&format!("m/file{n}")).exists()), "{way}");
        fs::write(bench.path("m/new"), "x").unwrap();
        assert!(bench.path("upper/new").exists(), "{way}");
        assert!(unmount(&bench.target(), false).unwrap());
        assert!(!unmount(&bench.target(), false).unwrap());
    }
}

#[test]
fn read_only_and_volatile_by_both_ways() {
    for (way, mount) in ways() {
        let bench = Bench::new(&["a", "b", "upper", "work"]);
        fs::write(bench.path("a/x"), "a").unwrap();
        let (a, b) = (bench.path("a"), bench.path("b"));
        let (upper, work) = (bench.path("upper"), bench.path("work"));
        let overlay = Overlay { lower: &[&a, &b], ..Overlay::default() };
        mount(&overlay, &bench.target()).unwrap_or_else(|e| panic!("{way}: {e}"));
        let error = fs::write(bench.path("m/x"), "b").unwrap_err();
        assert_eq!(error.kind(), io::ErrorKind::ReadOnlyFilesystem, "{way}");
        unmount(&bench.target(), false).unwrap();
        let overlay = Overlay {
            upper: Some(&upper),
            work: Some(&work),
            volatile: true,
            read_only: true,
            ..overlay
        };
        mount(&overlay, &bench.target()).unwrap_or_else(|e| panic!("{way}: {e}"));
        let entry = &mounts_below(&bench.target()).unwrap()[0];
        assert_eq!(entry.fstype, "overlay");
        assert!(entry.super_options.to_string_lossy().contains("volatile"), "{way}: {entry:?}");
        assert!(fs::write(bench.path("m/x"), "b").is_err(), "{way}");
    }
}

/// `--rootfs /:O` has its upper layer below the lower one.
#[test]
fn an_upper_may_lie_inside_its_lower_but_no_lower_inside_a_lower() {
    for (way, mount) in ways() {
        let bench = Bench::new(&["low/upper", "low/work", "low/inner"]);
        let low = bench.path("low");
        let (upper, work) = (bench.path("low/upper"), bench.path("low/work"));
        let lower: [&Path; 1] = [&low];
        let overlay =
            Overlay { lower: &lower, upper: Some(&upper), work: Some(&work), ..Overlay::default() };
        mount(&overlay, &bench.target()).unwrap_or_else(|e| panic!("{way}: {e}"));
        fs::write(bench.path("m/x"), "").unwrap();
        assert!(bench.path("low/upper/x").exists(), "{way}");
        unmount(&bench.target(), false).unwrap();
        let inner = bench.path("low/inner");
        let error = mount(&Overlay { lower: &[&low, &inner], ..overlay }, &bench.target());
        assert_eq!(error.unwrap_err().raw_os_error(), Some(libc::ELOOP), "{way}");
        assert!(!is_mount_point(&bench.target()).unwrap());
    }
}

#[test]
fn tmpfs_has_its_size_mode_and_flags_by_both_ways() {
    let flags = MountFlags { nosuid: true, nodev: true, noexec: true, read_only: false };
    let tmpfs = Tmpfs {
        source: "shm",
        size: Some(65536),
        inodes: Some(64),
        mode: 0o1777,
        flags,
        context: None,
    };
    let modern: fn(&Tmpfs<'_>, &Path) -> io::Result<()> = mount_tmpfs;
    for mount in [modern, legacy::tmpfs] {
        let bench = Bench::new(&[]);
        mount(&tmpfs, &bench.target()).unwrap();
        let entry = &mounts_below(&bench.target()).unwrap()[0];
        assert_eq!((entry.fstype.as_str(), entry.source.to_str()), ("tmpfs", Some("shm")));
        for flag in ["nosuid", "nodev", "noexec"] {
            assert!(entry.options.contains(flag), "{entry:?}");
        }
        let options = entry.super_options.to_string_lossy();
        assert!(options.contains("size=64k"), "{options}");
        let mode = fs::metadata(bench.target()).unwrap().permissions().mode();
        assert_eq!(mode & 0o7777, 0o1777);
        let error = fs::write(bench.path("m/big"), vec![1; 100_000]).unwrap_err();
        assert_eq!(error.kind(), io::ErrorKind::StorageFull);
    }
}

#[test]
fn bind_restricts_what_it_shows_by_both_ways() {
    let modern: fn(&Path, &Path, &Bind) -> io::Result<()> = bind;
    for mount in [modern, legacy::bind] {
        let bench = Bench::new(&["source"]);
        let flags = MountFlags { read_only: true, ..MountFlags::default() };
        mount(&bench.path("source"), &bench.target(), &Bind { recursive: false, flags }).unwrap();
        assert!(fs::write(bench.path("m/x"), "").is_err());
        fs::write(bench.path("source/x"), "seen").unwrap();
        assert_eq!(fs::read_to_string(bench.path("m/x")).unwrap(), "seen");
        set_propagation(&bench.target(), Propagation::Shared, false).unwrap();
        let entry = &mounts_below(&bench.target()).unwrap()[0];
        assert!(entry.propagation[0].starts_with("shared:"), "{entry:?}");
        set_propagation(&bench.target(), Propagation::Private, true).unwrap();
        assert!(mounts_below(&bench.target()).unwrap()[0].propagation.is_empty());
    }
}

#[test]
fn nothing_mounted_is_no_error() {
    let bench = Bench::new(&[]);
    assert!(!unmount(&bench.target(), false).unwrap());
    assert!(!unmount(&bench.path("absent"), true).unwrap());
    let busy = Tmpfs { mode: 0o755, ..Tmpfs::default() };
    mount_tmpfs(&busy, &bench.target()).unwrap();
    let held = fs::File::create(bench.path("m/held")).unwrap();
    assert_eq!(unmount(&bench.target(), false).unwrap_err().kind(), io::ErrorKind::ResourceBusy);
    assert!(unmount(&bench.target(), true).unwrap());
    drop(held);
}
