//! Starting cargo and other programs, with their output on ours.

use std::path::{Path, PathBuf};
use std::process::{Command, ExitCode};

use anyhow::{Context, Result, ensure};

/// The top of the checkout.
pub(crate) fn root() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR")).parent().expect("xtask lies in the checkout")
}

/// Where this build's programs go, for a profile's directory (`debug`, `release`).
pub(crate) fn target(profile: &str) -> Result<PathBuf> {
    // xtask itself was built into TARGET/debug.
    let own = std::env::current_exe().context("cannot find xtask itself")?;
    let target =
        own.parent().and_then(Path::parent).context("xtask lies in no target directory")?;
    Ok(target.join(profile))
}

/// A program to be run at the top of the checkout.
#[expect(
    clippy::disallowed_methods,
    reason = "a task runs programs with the developer's own environment"
)]
pub(crate) fn program(path: impl AsRef<Path>) -> Command {
    Command::new(path.as_ref())
}

/// cargo with these arguments, at the top of the checkout.
pub(crate) fn cargo(args: &[&str]) -> Command {
    let mut command = program(env!("CARGO"));
    command.current_dir(root()).args(args);
    command
}

/// Builds the two programs as users get them; the path of `dhow`.
pub(crate) fn build_release() -> Result<PathBuf> {
    succeed(release("build")?.args(["-p", "dhow", "-p", "dhow-shim"]))?;
    Ok(target(&host()?)?.join("release/dhow"))
}

/// cargo with this command, for programs as users get them: linked statically, which saves the dynamic linker's time at
/// each start and most of a monitor's own memory. What `RUSTFLAGS` says takes the place of that.
pub(crate) fn release(command: &str) -> Result<Command> {
    let host = host()?;
    let is_static = format!("target.{host}.rustflags=[\"-Ctarget-feature=+crt-static\"]");
    // Without --target the flag would be for build scripts and procedural macros too, which cannot be static.
    Ok(cargo(&[command, "--release", "-q", "--target", &host, "--config", &is_static]))
}

/// The machine's own target.
fn host() -> Result<String> {
    let output = program("rustc").arg("-vV").output().context("cannot start rustc")?;
    let text = String::from_utf8_lossy(&output.stdout).into_owned();
    let host = text.lines().find_map(|line| line.strip_prefix("host: "));
    host.map(str::to_owned).context("rustc does not tell its host")
}

/// Runs a program that must succeed.
pub(crate) fn succeed(command: &mut Command) -> Result<()> {
    let status = command.status().with_context(|| format!("cannot start {}", line(command)))?;
    ensure!(status.success(), "{} failed: {status}", line(command));
    Ok(())
}

/// Runs a program and takes over its exit code.
pub(crate) fn run(command: &mut Command) -> Result<ExitCode> {
    use std::os::unix::process::ExitStatusExt;
    let status = command.status().with_context(|| format!("cannot start {}", line(command)))?;
    let code = status.code().unwrap_or_else(|| 128 + status.signal().unwrap_or_default());
    Ok(ExitCode::from(u8::try_from(code).unwrap_or(1)))
}

/// A command line, for messages.
pub(crate) fn line(command: &Command) -> String {
    let program =
        Path::new(command.get_program()).file_name().unwrap_or_default().display().to_string();
    command.get_args().fold(program, |line, arg| format!("{line} {}", arg.display()))
}
