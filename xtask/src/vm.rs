//! A machine with cgroup v2 and every capability, under qemu's software emulation: a Debian kernel that sees this very
//! file system, read-only with a tmpfs above it, and runs one command.
//!
//! It is ten to twenty times slower than this machine: for correctness, never for times. Nothing that the command writes
//! outlives it.

use std::fs;
use std::io::{BufRead as _, BufReader};
use std::path::{Path, PathBuf};
use std::process::{ExitCode, Stdio};

use anyhow::{Context, Result, bail, ensure};

use crate::cargo::{cargo, program, root, succeed, target};
use crate::setup;

/// What this task needs beyond the tests' packages.
const NEEDS: &[(&str, &str)] =
    &[("qemu-system-x86_64", "qemu-system-x86"), ("cpio", "cpio"), ("busybox", "busybox-static")];

/// The modules between the kernel and this file system, each after those that it needs. What a kernel has built in, or
/// does not know, is passed over.
const MODULES: &[&str] = &[
    "virtio_ring",
    "virtio",
    "virtio_pci_legacy_dev",
    "virtio_pci_modern_dev",
    "virtio_pci",
    "netfs",
    "fscache",
    "9pnet",
    "9pnet_virtio",
    "9p",
    "overlay",
];

/// Stops a machine that hangs.
const SECONDS: &str = "1800";

/// What the machine prints when it is up, and before the command's exit status.
const START: &str = "dhow-vm-start";
const MARK: &str = "dhow-vm-exit:";

/// The first process of the initial file system.
const INIT: &str = r#"#!/bin/busybox sh
/bin/busybox mkdir -p /proc /sys /dev /host /upper /new
/bin/busybox mount -t proc proc /proc
/bin/busybox mount -t sysfs sysfs /sys
/bin/busybox mount -t devtmpfs dev /dev
for module in $(/bin/busybox cat /modules/order); do /bin/busybox insmod /modules/$module.ko; done
/bin/busybox mount -t 9p -o trans=virtio,version=9p2000.L,msize=524288,cache=loose,ro host /host
/bin/busybox mount -t tmpfs tmpfs /upper
/bin/busybox mkdir /upper/upper /upper/work
/bin/busybox mount -t overlay -o lowerdir=/host,upperdir=/upper/upper,workdir=/upper/work overlay /new
/bin/busybox mount -t proc proc /new/proc
/bin/busybox mount -t sysfs sysfs /new/sys
/bin/busybox mount -t devtmpfs dev /new/dev
/bin/busybox mkdir -p /new/dev/pts /new/dev/shm /new/var/lib/dhow
/bin/busybox mount -t devpts -o mode=620,ptmxmode=666 devpts /new/dev/pts
for place in dev/shm run tmp var/lib/dhow; do /bin/busybox mount -t tmpfs -o mode=1777 tmpfs /new/$place; done
/bin/busybox mount -t cgroup2 cgroup2 /new/sys/fs/cgroup
/bin/busybox cp /second /command /new/run/
exec /bin/busybox switch_root /new /bin/sh /run/second
"#;

/// What runs in the machine's own root, as process 1.
const SECOND: &str = r#"export PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin HOME=/root TERM=dumb
busybox dmesg -n 1
busybox ip link set lo up
busybox mount --make-rshared /
echo dhow-vm-start
sh /run/command < /dev/null
echo "dhow-vm-exit: $?"
echo o > /proc/sysrq-trigger
while :; do read -r line < /dev/console; done
"#;

/// `cargo xtask vm COMMAND…`, or `cargo xtask vm --test PACKAGE`: the tests of one crate.
pub(crate) fn run(args: &[String]) -> Result<ExitCode> {
    let script = match args {
        [] => bail!("nothing to run: `cargo xtask vm COMMAND…` or `cargo xtask vm --test PACKAGE`"),
        [flag, package] if flag == "--test" => tests_of(package)?,
        [flag, ..] if flag == "--test" => bail!("--test takes one package"),
        command => format!("cd {}\nexec {}\n", quote(&root().to_string_lossy()), line(command)),
    };
    setup::install(NEEDS)?;
    let dir = target("vm")?;
    fs::create_dir_all(&dir).with_context(|| format!("cannot make {}", dir.display()))?;
    let kernel = kernel(&dir)?;
    let initial = initial(&dir, &kernel, &script)?;
    boot(&image(&kernel)?, &initial)
}

fn quote(word: &str) -> String {
    format!("'{}'", word.replace('\'', r"'\''"))
}

fn line(words: &[String]) -> String {
    words.iter().map(|word| quote(word)).collect::<Vec<_>>().join(" ")
}

/// Builds the tests of a package; a script that runs each and fails with the first.
fn tests_of(package: &str) -> Result<String> {
    let mut build = cargo(&["test", "--no-run", "-p", package]);
    let output = build.stdout(Stdio::null()).output().context("cannot start cargo")?;
    let text = String::from_utf8_lossy(&output.stderr);
    ensure!(output.status.success(), "cargo test --no-run -p {package} failed:\n{text}");
    // `  Executable unittests src/lib.rs (target/debug/deps/…)`
    let executables = text.lines().filter_map(|line| {
        let line = line.trim_start().strip_prefix("Executable ")?;
        Some(line.rsplit_once('(')?.1.strip_suffix(')')?.to_owned())
    });
    let mut script = format!("cd {}\nexport STRICT=1\n", quote(&root().to_string_lossy()));
    let mut count = 0;
    for executable in executables {
        script += &format!("{} || exit\n", quote(&root().join(executable).to_string_lossy()));
        count += 1;
    }
    ensure!(count > 0, "{package} has no tests");
    Ok(script)
}

/// The kernel's package, unpacked once: what Debian's linux-image-amd64 depends on.
fn kernel(dir: &Path) -> Result<PathBuf> {
    let kernel = dir.join("kernel");
    if kernel.exists() {
        return Ok(kernel);
    }
    let depends = program("/usr/bin/apt-cache").args(["depends", "linux-image-amd64"]).output();
    let depends = depends.context("cannot start apt-cache")?;
    let text = String::from_utf8_lossy(&depends.stdout);
    let package = text.lines().find_map(|line| line.trim().strip_prefix("Depends: "));
    let package = package.context("apt-cache knows no linux-image-amd64: apt-get update?")?;
    crate::print(&format!("fetching {package}"));
    let fetched = dir.join("fetched");
    if fetched.exists() {
        fs::remove_dir_all(&fetched).context("cannot remove what was fetched before")?;
    }
    fs::create_dir_all(&fetched).context("cannot make a directory for the package")?;
    succeed(program("/usr/bin/apt-get").current_dir(&fetched).args(["-q", "download", package]))?;
    let archive = fs::read_dir(&fetched)?.flatten().next().context("apt-get downloaded nothing")?;
    // Unpacked beside its place and then renamed, so that what is there is whole.
    let unpacked = fetched.join("unpacked");
    succeed(program("/usr/bin/dpkg-deb").arg("-x").arg(archive.path()).arg(&unpacked))?;
    fs::rename(&unpacked, &kernel).context("cannot put the kernel in its place")?;
    fs::remove_dir_all(&fetched).context("cannot remove the package")?;
    Ok(kernel)
}

fn image(kernel: &Path) -> Result<PathBuf> {
    let boot = fs::read_dir(kernel.join("boot")).context("the package has no /boot")?;
    let mut images = boot.flatten().map(|entry| entry.path());
    images
        .find(|path| {
            path.file_name().is_some_and(|name| name.to_string_lossy().starts_with("vmlinuz"))
        })
        .context("the package has no vmlinuz")
}

/// The initial file system: busybox, the modules, the two scripts and the command.
fn initial(dir: &Path, kernel: &Path, script: &str) -> Result<PathBuf> {
    // One a run, so that two machines do not meet.
    let stage = dir.join(format!("initial-{}", std::process::id()));
    let (bin, modules) = (stage.join("bin"), stage.join("modules"));
    fs::create_dir_all(&bin).context("cannot make the initial file system")?;
    fs::create_dir_all(&modules).context("cannot make the initial file system")?;
    let busybox = ["/bin/busybox", "/usr/bin/busybox"].iter().find(|path| Path::new(path).exists());
    fs::copy(busybox.context("busybox is not installed")?, bin.join("busybox"))?;
    let mut order = String::new();
    for name in MODULES {
        let file = format!("{name}.ko");
        if let Some(found) = find(&kernel.join("lib/modules"), &file)? {
            fs::copy(found, modules.join(&file))?;
            order += &format!("{name}\n");
        }
    }
    write(&modules.join("order"), &order)?;
    write(&stage.join("init"), INIT)?;
    write(&stage.join("second"), SECOND)?;
    write(&stage.join("command"), script)?;
    let packed = dir.join(format!("initial-{}.cpio", std::process::id()));
    let pack = format!(
        "chmod 755 init && find . | cpio -o -H newc --quiet > {}",
        quote(&packed.to_string_lossy())
    );
    succeed(program("/bin/sh").current_dir(&stage).args(["-c", &pack]))?;
    fs::remove_dir_all(&stage).context("cannot remove the initial file system's tree")?;
    Ok(packed)
}

#[expect(
    clippy::disallowed_methods,
    reason = "xtask knows no crate of dhow; the tree is made anew each time"
)]
fn write(path: &Path, text: &str) -> Result<()> {
    fs::write(path, text).with_context(|| format!("cannot write {}", path.display()))
}

fn find(dir: &Path, name: &str) -> Result<Option<PathBuf>> {
    for entry in fs::read_dir(dir).with_context(|| format!("cannot read {}", dir.display()))? {
        let entry = entry?;
        if entry.file_type()?.is_dir() {
            if let Some(found) = find(&entry.path(), name)? {
                return Ok(Some(found));
            }
        } else if entry.file_name() == name {
            return Ok(Some(entry.path()));
        }
    }
    Ok(None)
}

/// Runs the machine to its end, with its console on ours; the command's exit status.
fn boot(image: &Path, initial: &Path) -> Result<ExitCode> {
    let mut qemu = program("/usr/bin/timeout");
    qemu.arg(SECONDS).arg("qemu-system-x86_64");
    // KVM is not usable on every machine that has it: emulation is.
    qemu.args(["-accel", "tcg,thread=multi", "-cpu", "max", "-smp", "2", "-m", "4096"]);
    qemu.args(["-nic", "none", "-nographic", "-no-reboot", "-kernel"])
        .arg(image)
        .arg("-initrd")
        .arg(initial);
    qemu.args(["-append", "console=ttyS0 quiet panic=-1"]);
    qemu.args([
        "-virtfs",
        "local,path=/,mount_tag=host,security_model=none,readonly=on,multidevs=remap",
    ]);
    let mut machine = qemu.stdin(Stdio::null()).stdout(Stdio::piped()).spawn()?;
    let console = machine.stdout.take().context("the console was asked for")?;
    // What comes before is the firmware's and the kernel's, and of interest where it does not get further.
    let mut before = Some(String::new());
    let mut status = None;
    for line in BufReader::new(console).split(b'\n') {
        let line = line.context("cannot read the machine's console")?;
        let line = String::from_utf8_lossy(&line);
        let line = line.trim_end_matches('\r');
        match (&mut before, line.strip_prefix(MARK)) {
            (_, Some(code)) => status = code.trim().parse::<u8>().ok(),
            (Some(_), None) if line.ends_with(START) => before = None,
            (Some(text), None) => {
                text.push_str(line);
                text.push('\n');
            }
            (None, None) if status.is_none() => crate::print(line),
            (None, None) => {}
        }
    }
    let ended = machine.wait().context("cannot wait for the machine")?;
    fs::remove_file(initial).context("cannot remove the initial file system")?;
    let status = status.with_context(|| {
        let text = before.unwrap_or_default();
        format!("the machine ended ({ended}) before the command did\n{text}")
    })?;
    Ok(ExitCode::from(status))
}
