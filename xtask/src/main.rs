//! `cargo xtask TASK`: everything a developer or CI types, in one place and without a shell.
//!
//! It depends on no crate of dhow, so that it builds in seconds on a fresh machine; the crash and bench programs, which
//! need the test harness, are binaries of the tests crate that it builds and runs.

mod cargo;
mod check;
mod install;
mod setup;
#[cfg(test)]
mod tidy;
mod vm;

use std::process::ExitCode;

use anyhow::{Result, bail};

const HELP: &str = "\
cargo xtask TASK

  run [--] ARGS…        install what a container needs, build, and `dhow run ARGS…`
  setup                 install everything the tests need (Debian and its kin, as root)
  test                  all checks: format, lints, documents, unit and end-to-end tests, crash points
                        STRICT=1: a test that this machine cannot run fails instead of being skipped
  crash [ARGS…]         kill dhow and dhow-shim before each system call that changes something
  bench [ROUNDS]        `dhow run` beside podman and beside the bare runtime
  bench shim [ROUNDS]   the monitor beside conmon: memory, throughput, time to the pid
  vm COMMAND…           run a command on an emulated machine with cgroup v2 that sees this file system read-only
  vm --test PACKAGE     a crate's tests there
  install [--prefix DIR]  build and install dhow, dhow-shim, manual pages and completions (default /usr/local)
";

fn main() -> Result<ExitCode> {
    let mut args = std::env::args().skip(1);
    let task = args.next().unwrap_or_default();
    let mut rest: Vec<String> = args.collect();
    match task.as_str() {
        "run" => {
            if rest.first().is_some_and(|arg| arg == "--") {
                rest.remove(0);
            }
            setup::install(setup::RUN)?;
            let dhow = cargo::build_release()?;
            cargo::run(cargo::program(&dhow).arg("run").args(&rest))
        }
        "setup" => setup::install(setup::TEST).map(|()| ExitCode::SUCCESS),
        "test" => check::all(),
        "crash" | "bench" => {
            setup::install(setup::TEST)?;
            cargo::build_release()?;
            let mut command = cargo::release("run")?;
            cargo::run(command.args(["-p", "dhow-tests", "--bin", &task, "--"]).args(&rest))
        }
        "vm" => vm::run(&rest),
        "install" => install::install(&rest),
        "" | "help" | "--help" | "-h" => {
            print(HELP);
            Ok(ExitCode::SUCCESS)
        }
        other => bail!("there is no task `{other}`\n\n{HELP}"),
    }
}

#[expect(clippy::print_stdout, reason = "this is a program for a terminal")]
fn print(text: &str) {
    println!("{text}");
}
