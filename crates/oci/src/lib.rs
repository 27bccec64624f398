//! The runtime spec of a container, and the driving of an OCI runtime executable.
//!
//! * [`SpecRequest`] says what is wanted; [`generate`] turns it, with what the machine can do ([`Host`]) and what the
//!   bundle holds ([`BundlePaths`]), into a runtime spec that gives what podman's defaults give. [`exec_process`] does the
//!   same for a further program in a running container.
//! * [`user`], [`seccomp`] and [`etc`] are the parts of it that the engine needs by themselves.
//! * [`runtime`] finds an OCI runtime (runc, crun, youki), runs its verbs, and turns what it prints into typed errors.
//!
//! INVARIANTS. Nothing here knows where things are stored, what an image is, or that an engine exists: paths are handed
//! in. No option is accepted and ignored: what cannot be done here is an error. Whatever lies in a container's root file
//! system is read through [`dhow_sys::root::Root`]. The same inputs make the same spec.

mod capability;
mod error;
pub mod etc;
mod exec;
mod host;
mod request;
pub mod runtime;
pub mod seccomp;
mod spec;
pub mod user;
mod workdir;

pub use capability::CapSet;
pub use error::Error;
pub use exec::{exec_process, read_process};
pub use host::{CgroupHost, CgroupVersion, Host};
pub use request::*;
pub use runtime::{Runtime, RuntimeError, RuntimeKind};
pub use spec::{BundlePaths, generate, hostname};

/// Where `--init` puts its program in the container.
pub const INIT_PATH: &str = "/run/dhow-init";

/// A spec, a process or limits as the JSON that a runtime reads.
pub fn to_json<T: serde::Serialize>(spec: &T) -> Vec<u8> {
    // The spec's types serialise to JSON by construction: string keys, no failing serialiser.
    serde_json::to_vec(spec).unwrap_or_default()
}
