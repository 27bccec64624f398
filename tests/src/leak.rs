//! What a test may not leave behind, and the sweeping up after one that failed.

use std::io::Write;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use nix::mount::{MntFlags, umount2};
use nix::sys::signal::Signal;

use crate::netns::NetNs;
use crate::process::{Children, Proc};

/// How long what was asked to end may take to be gone: a killed process is not gone at once.
const SETTLE: Duration = Duration::from_secs(10);

/// Everything left once a while has passed: mounts, processes, cgroups, files.
pub(crate) fn settled(dir: &Path, ids: &[String]) -> Vec<String> {
    settle(|| {
        let mut left = outside(dir);
        left.extend(cgroups(ids).iter().map(|path| format!("cgroup {}", path.display())));
        left.extend(containers(dir));
        left.extend(images(dir));
        left
    })
}

/// What is left of containers once a while has passed; images may stay.
pub(crate) fn settled_containers(dir: &Path, ids: &[String]) -> Vec<String> {
    settle(|| {
        let mut left = [outside(dir), containers(dir)].concat();
        left.extend(cgroups(ids).iter().map(|path| format!("cgroup {}", path.display())));
        left
    })
}

/// What is left outside the files once a while has passed.
pub(crate) fn settled_outside(dir: &Path) -> Vec<String> {
    settle(|| outside(dir))
}

/// Devices of containers that are left once a while has passed: the kernel takes them away when it has time.
pub(crate) fn settled_links(netns: &NetNs) -> Vec<String> {
    settle(|| {
        let links = netns.inside(|| names_in(Path::new("/proc/thread-self/net/dev_snmp6")));
        links
            .into_iter()
            .filter(|name| name.starts_with("dh") && !name.starts_with("dhow"))
            .map(|name| format!("device {name}"))
            .collect()
    })
}

/// Tables of rules, and bridges, after everything was removed.
#[expect(clippy::disallowed_methods, reason = "the harness starts programs as a shell would")]
pub(crate) fn tables(netns: &NetNs) -> Vec<String> {
    let say = |program: &str, words: &[&str]| {
        Children::run(std::process::Command::new(program).args(words)).unwrap_or_default()
    };
    let text = netns.inside(|| {
        say("nft", &["list", "tables"]) + &say("ip", &["-o", "link", "show", "type", "bridge"])
    });
    text.lines().filter(|line| line.contains("dhow")).map(str::to_owned).collect()
}

fn settle(look: impl Fn() -> Vec<String>) -> Vec<String> {
    let start = Instant::now();
    loop {
        Children::reap();
        let left = look();
        if left.is_empty() || start.elapsed() > SETTLE {
            return left;
        }
        std::thread::park_timeout(Duration::from_millis(10));
    }
}

/// Mounts and processes of the environment, and temporary files of commands.
pub(crate) fn outside(dir: &Path) -> Vec<String> {
    let mut left: Vec<String> =
        mounts(dir).iter().map(|target| format!("mount {}", target.display())).collect();
    left.extend(
        Proc::of_env(dir).iter().map(|process| format!("process {} {}", process.pid, process.line)),
    );
    left.extend(names_in(&dir.join("tmp")).iter().map(|name| format!("temporary file tmp/{name}")));
    left
}

/// Files that stand for a container.
pub(crate) fn containers(dir: &Path) -> Vec<String> {
    let places = ["root/containers", "root/names", "run/containers"];
    let found = places.iter().flat_map(|place| {
        names_in(&dir.join(place)).into_iter().map(move |name| format!("{place}/{name}"))
    });
    let mut left: Vec<String> = found.collect();
    let anonymous = |name: &String| name.len() == 64 && name.chars().all(|c| c.is_ascii_hexdigit());
    left.extend(
        names_in(&dir.join("root/volumes"))
            .into_iter()
            .filter(anonymous)
            .map(|name| format!("root/volumes/{name}")),
    );
    left
}

/// Files that stand for an image, a layer or a blob, temporary ones included.
fn images(dir: &Path) -> Vec<String> {
    let mut left = Vec::new();
    for place in
        ["root/images", "root/images/names", "root/layers", "root/blobs", "root/blobs/sha256"]
    {
        for name in names_in(&dir.join(place)) {
            let part = matches!(
                (place, name.as_str()),
                ("root/images", "names") | ("root/blobs", "sha256")
            );
            if !part && !name.contains("lock") {
                left.push(format!("{place}/{name}"));
            }
        }
    }
    left
}

/// The names in a directory; none where there is no directory.
pub(crate) fn names_in(dir: &Path) -> Vec<String> {
    let entries = std::fs::read_dir(dir).into_iter().flatten().flatten();
    let mut names: Vec<String> =
        entries.map(|entry| entry.file_name().to_string_lossy().into_owned()).collect();
    names.sort();
    names
}

/// Mount points below `dir`, innermost last.
pub(crate) fn mounts(dir: &Path) -> Vec<PathBuf> {
    let table = std::fs::read_to_string("/proc/self/mountinfo").expect("/proc is mounted");
    let targets = table.lines().filter_map(|line| line.split(' ').nth(4));
    targets.map(PathBuf::from).filter(|target| target.starts_with(dir)).collect()
}

/// Directories in any cgroup hierarchy that bear one of these ids.
pub(crate) fn cgroups(ids: &[String]) -> Vec<PathBuf> {
    let mut found = Vec::new();
    if !ids.is_empty() {
        find(Path::new("/sys/fs/cgroup"), 6, &mut |path, name| {
            if ids.iter().any(|id| name.contains(id.as_str())) {
                found.push(path.to_owned());
            }
        });
    }
    found
}

fn find(dir: &Path, depth: u32, visit: &mut impl FnMut(&Path, &str)) {
    let entries = std::fs::read_dir(dir).into_iter().flatten().flatten();
    for entry in entries.filter(|entry| entry.file_type().is_ok_and(|kind| kind.is_dir())) {
        visit(&entry.path(), &entry.file_name().to_string_lossy());
        if depth > 0 {
            find(&entry.path(), depth - 1, visit);
        }
    }
}

/// Kills every process of the environment and waits until they are gone.
pub(crate) fn kill_all(dir: &Path) {
    let start = Instant::now();
    loop {
        let left = Proc::of_env(dir);
        if left.is_empty() || start.elapsed() > SETTLE {
            break;
        }
        left.iter().for_each(|process| process.signal(Signal::SIGKILL));
        Children::reap();
        std::thread::park_timeout(Duration::from_millis(5));
    }
    Children::reap();
}

/// Unmounts everything below `dir`.
pub(crate) fn unmount_all(dir: &Path) {
    for target in mounts(dir).iter().rev() {
        umount2(target, MntFlags::MNT_DETACH).ok();
    }
}

/// Lets paused containers run: a frozen process of cgroup version 1 does not even die.
pub(crate) fn thaw(ids: &[String]) {
    for path in cgroups(ids) {
        for (file, word) in [("freezer.state", "THAWED"), ("cgroup.freeze", "0")] {
            let opened = std::fs::OpenOptions::new().write(true).open(path.join(file));
            opened.and_then(|mut file| file.write_all(word.as_bytes())).ok();
        }
    }
}

/// Removes the cgroups of these containers, deepest first.
pub(crate) fn remove_cgroups(ids: &[String]) {
    for path in cgroups(ids).iter().rev() {
        std::fs::remove_dir(path).ok();
    }
}

/// The tree below `dir`, without what is inside layers and root file systems.
pub(crate) fn tree(dir: &Path, text: &mut String) {
    find_files(dir, 5, 0, text);
}

fn find_files(dir: &Path, depth: u32, indent: usize, text: &mut String) {
    for name in names_in(dir) {
        let path = dir.join(&name);
        text.push_str(&format!("{}{name}\n", "  ".repeat(indent)));
        let opaque = ["merged", "upper", "layers", "sha256"].contains(&name.as_str());
        if depth > 0 && !opaque && path.symlink_metadata().is_ok_and(|meta| meta.is_dir()) {
            find_files(&path, depth - 1, indent + 1, text);
        }
    }
}
