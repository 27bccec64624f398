//! The compiler against libseccomp, and its programs against the kernel.
#![expect(
    clippy::disallowed_methods,
    clippy::unwrap_used,
    reason = "tests ask the environment for STRICT, and a helper of theirs that fails is a test that fails"
)]

mod bpf;
mod differential;
mod kernel;
mod reference;

/// Whether a test that is skipped is a failure.
fn strict() -> bool {
    std::env::var_os("STRICT").is_some_and(|value| value != "0")
}
