//! Cgroups of this machine, as root; and v2 in a directory that looks like one, where the machine has none.
#![expect(
    clippy::disallowed_methods,
    clippy::unwrap_used,
    reason = "tests make their trees with plain std::fs and ask the environment for STRICT"
)]

mod plain;
mod real;

/// Whether a test that is skipped is a failure.
fn strict() -> bool {
    std::env::var_os("STRICT").is_some_and(|value| value != "0")
}
