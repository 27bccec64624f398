//! `cargo xtask test`: every check, in the order in which they fail fastest.

use std::process::{Command, ExitCode};
use std::time::Instant;

use anyhow::Result;

use crate::cargo::{cargo, program, root, succeed, target};
use crate::{print, setup};

/// Runs all checks; stops at the first that fails and says which.
pub(crate) fn all() -> Result<ExitCode> {
    setup::install(setup::TEST)?;
    let bin = |name: &str| Ok::<_, anyhow::Error>(program(target("debug")?.join(name)));
    let mut doc = cargo(&["doc", "-q", "--workspace", "--no-deps", "--document-private-items"]);
    doc.env("RUSTDOCFLAGS", "-D warnings");
    let mut crash = bin("crash")?;
    crash.arg("--bounded");
    let steps: [(&str, Command); 7] = [
        ("format", cargo(&["fmt", "--all", "--check"])),
        ("lints", cargo(&["clippy", "-q", "--workspace", "--all-targets", "--", "-D", "warnings"])),
        ("documents", doc),
        ("programs", cargo(&["build", "-q", "--workspace", "--bins"])),
        ("unit tests", cargo(&["test", "-q", "--workspace", "--exclude", "dhow-tests"])),
        // Most of a test is waiting for the kernel: more of them at once than there are cores.
        ("end-to-end tests", cargo(&["test", "-p", "dhow-tests", "--", "--test-threads=4"])),
        ("crash points", crash),
    ];
    let start = Instant::now();
    let total = steps.len();
    for (number, (name, mut command)) in steps.into_iter().enumerate() {
        print(&format!("\n=== {}/{total} {name}", number + 1));
        let step = Instant::now();
        command.current_dir(root()).stdin(std::process::Stdio::null());
        if let Err(error) = succeed(&mut command) {
            print(&format!("\n=== FAILED: {name} after {:.0?}", step.elapsed()));
            return Err(error);
        }
        print(&format!("=== {name}: passed in {:.0?}", step.elapsed()));
    }
    print(&format!("\n=== all {total} checks passed in {:.0?}", start.elapsed()));
    print(&format!("\n{total} passed, 0 failed"));
    Ok(ExitCode::SUCCESS)
}
