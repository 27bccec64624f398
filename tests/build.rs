//! Builds the probe, the static program that tests run inside containers.
//!
//! It is not a cargo target of its own because it must be linked statically whatever the host's
//! default is, so that it runs in an empty root file system, and cargo has no such setting for a
//! single binary.

use std::path::PathBuf;

#[expect(
    clippy::disallowed_methods,
    reason = "a build script is told everything by its environment, and starts the compiler"
)]
fn main() {
    println!("cargo::rerun-if-changed=probe/probe.rs");
    let var = |name: &str| std::env::var(name).unwrap_or_else(|_| panic!("cargo sets {name}"));
    let probe = PathBuf::from(var("OUT_DIR")).join("probe");
    let status = std::process::Command::new(var("RUSTC"))
        .args(["--edition=2024", "--crate-name=probe", "--target", &var("TARGET")])
        .args(["-Ctarget-feature=+crt-static", "-Copt-level=z", "-Cpanic=abort", "-Cstrip=symbols"])
        .arg("-o")
        .arg(&probe)
        .arg("probe/probe.rs")
        .status()
        .unwrap_or_else(|error| panic!("cannot start the compiler: {error}"));
    assert!(status.success(), "the probe does not compile: {status}");
    println!("cargo::rustc-env=DHOW_PROBE={}", probe.display());
}
