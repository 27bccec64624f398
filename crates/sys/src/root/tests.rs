//! A tree beside a secret: nothing may reach the secret through the tree.
#![expect(clippy::disallowed_methods, reason = "test trees are made with plain std::fs")]

use std::fs;
use std::os::unix::fs::{PermissionsExt, symlink};

use super::*;

/// A tree with a secret beside it: `outside` must never be reached through `in/`.
fn tree() -> (tempfile::TempDir, Root) {
    let temp = tempfile::tempdir().unwrap();
    fs::write(temp.path().join("outside"), "secret").unwrap();
    let dir = temp.path().join("in");
    fs::create_dir_all(dir.join("etc")).unwrap();
    fs::write(dir.join("etc/passwd"), "root:x:0:0::/:/bin/sh\n").unwrap();
    let root = Root::open(&dir).unwrap();
    (temp, root)
}

#[test]
fn absolute_and_relative_paths_are_the_same() {
    let (_temp, root) = tree();
    assert_eq!(
        root.read_bounded("/etc/passwd", 100).unwrap(),
        root.read_bounded("etc/passwd", 100).unwrap()
    );
}

#[test]
fn dots_and_links_stay_inside() {
    let (temp, root) = tree();
    symlink("../../../../etc/passwd", root.dir().join("up")).unwrap();
    symlink("/etc/passwd", root.dir().join("abs")).unwrap();
    symlink(temp.path().join("outside"), root.dir().join("host")).unwrap();
    for path in ["up", "abs", "../../etc/passwd", "etc/../../../etc/passwd"] {
        assert_eq!(root.read_bounded(path, 100).unwrap(), b"root:x:0:0::/:/bin/sh\n", "{path}");
    }
    assert_eq!(root.read_bounded("host", 9).unwrap_err().kind(), io::ErrorKind::NotFound);
    assert_eq!(root.real_path("up").unwrap(), Path::new("/etc/passwd"));
    assert_eq!(root.real_path("..").unwrap(), Path::new("/"));
    assert_eq!(root.host_path("abs").unwrap(), root.dir().join("etc/passwd"));
}

#[test]
fn magic_links_are_refused() {
    let (_temp, root) = tree();
    let proc = Root::open("/proc/self").unwrap();
    assert!(proc.open_dir("root").is_err());
    assert!(root.exists("etc").unwrap());
    assert!(!root.exists("etc/passwd/x").unwrap());
}

#[test]
fn a_fifo_is_not_opened() {
    let (_temp, root) = tree();
    rustix::fs::mkfifoat(&root, "pipe", Mode::from_raw_mode(0o600)).unwrap();
    assert_eq!(root.open_file("pipe").unwrap_err().kind(), io::ErrorKind::InvalidInput);
    assert_eq!(root.open_file("etc").unwrap_err().kind(), io::ErrorKind::InvalidInput);
}

#[test]
fn reading_is_bounded() {
    let (_temp, root) = tree();
    assert_eq!(root.read_bounded("etc/passwd", 3).unwrap_err().kind(), io::ErrorKind::FileTooLarge);
}

#[test]
fn parent_and_last_name() {
    let (_temp, root) = tree();
    let (_dir, name) = root.open_parent("/etc/new").unwrap();
    assert_eq!(name, "new");
    for path in ["/", ".", "etc/..", ""] {
        assert_eq!(root.open_parent(path).unwrap_err().kind(), io::ErrorKind::InvalidInput);
    }
}

#[test]
fn directories_are_made_inside_whatever_the_links_say() {
    let (temp, root) = tree();
    symlink("/made/by/link", root.dir().join("dangling")).unwrap();
    symlink("../../../escape", root.dir().join("etc/climb")).unwrap();
    assert_eq!(root.create_dir_all("/a/b/c", 0o1777, None).unwrap(), Path::new("/a/b/c"));
    let mode = fs::metadata(root.dir().join("a/b/c")).unwrap().permissions().mode();
    assert_eq!(mode & 0o7777, 0o1777, "the umask must not matter");
    let made = root.create_dir_all("dangling/x", 0o755, None).unwrap();
    assert_eq!(made, Path::new("/made/by/link/x"));
    assert_eq!(root.create_dir_all("etc/climb", 0o755, None).unwrap(), Path::new("/escape"));
    assert!(!temp.path().join("escape").exists());
    assert_eq!(root.create_dir_all("a/b", 0o700, None).unwrap(), Path::new("/a/b"));
    assert!(root.create_dir_all("etc/passwd/x", 0o755, None).is_err());
    symlink("loop", root.dir().join("loop")).unwrap();
    assert!(root.create_dir_all("loop/x", 0o755, None).is_err());
}

#[test]
fn a_new_file_never_goes_through_a_link() {
    let (temp, root) = tree();
    symlink(temp.path().join("fresh"), root.dir().join("link")).unwrap();
    assert_eq!(root.create_file("link", 0o600).unwrap_err().kind(), io::ErrorKind::AlreadyExists);
    assert!(!temp.path().join("fresh").exists());
    root.create_file("etc/new", 0o666).unwrap();
    let mode = root.metadata("etc/new").unwrap().permissions().mode();
    assert_eq!(mode & 0o777, 0o666);
    assert_eq!(root.sub("etc").unwrap().read_bounded("new", 1).unwrap(), b"");
}
