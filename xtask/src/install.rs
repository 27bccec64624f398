//! `cargo xtask install`: the programs, their manual pages and completions below a prefix.

use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::process::ExitCode;

use anyhow::{Context, Result, bail, ensure};

use crate::cargo::{build_release, program, succeed};
use crate::print;

/// Builds and installs; `args` are the task's own.
pub(crate) fn install(args: &[String]) -> Result<ExitCode> {
    let prefix = match args {
        [] => PathBuf::from("/usr/local"),
        [flag, prefix] if flag == "--prefix" => PathBuf::from(prefix),
        [both] if both.starts_with("--prefix=") => PathBuf::from(&both["--prefix=".len()..]),
        _ => bail!("usage: cargo xtask install [--prefix DIR]"),
    };
    let dhow = build_release()?;
    for name in ["dhow", "dhow-shim"] {
        put(&dhow.with_file_name(name), &prefix.join("bin").join(name))?;
    }
    for (shell, place) in [
        ("bash", "share/bash-completion/completions/dhow"),
        ("zsh", "share/zsh/site-functions/_dhow"),
        ("fish", "share/fish/vendor_completions.d/dhow.fish"),
    ] {
        let output =
            program(&dhow).args(["completion", shell]).output().context("cannot start dhow")?;
        ensure!(
            output.status.success(),
            "dhow completion {shell} failed: {}",
            String::from_utf8_lossy(&output.stderr)
        );
        write(&prefix.join(place), &output.stdout)?;
    }
    let manual = prefix.join("share/man/man1");
    fs::create_dir_all(&manual).with_context(|| format!("cannot create {}", manual.display()))?;
    succeed(program(&dhow).arg("man").arg(&manual))?;
    let shim = program(dhow.with_file_name("dhow-shim"))
        .arg("--manual")
        .output()
        .context("cannot start dhow-shim")?;
    ensure!(shim.status.success(), "dhow-shim --manual failed");
    write(&manual.join("dhow-shim.1"), &shim.stdout)?;
    print(&format!("installed in {}", prefix.display()));
    Ok(ExitCode::SUCCESS)
}

/// Copies a program beside its place and renames it in: a running one is not written over.
fn put(from: &Path, to: &Path) -> Result<()> {
    let bytes = fs::read(from).with_context(|| format!("cannot read {}", from.display()))?;
    write(to, &bytes)?;
    fs::set_permissions(to, fs::Permissions::from_mode(0o755))
        .with_context(|| format!("cannot change {}", to.display()))
}

#[expect(
    clippy::disallowed_methods,
    reason = "xtask depends on no crate of dhow; the file is renamed in"
)]
fn write(to: &Path, bytes: &[u8]) -> Result<()> {
    let dir = to.parent().context("a file has a directory")?;
    fs::create_dir_all(dir).with_context(|| format!("cannot create {}", dir.display()))?;
    let new = to.with_extension("new");
    fs::write(&new, bytes).with_context(|| format!("cannot write {}", new.display()))?;
    fs::rename(&new, to).with_context(|| format!("cannot put {} in its place", to.display()))
}
