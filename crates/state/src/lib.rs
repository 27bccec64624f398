//! Ids, names, records, locks and exit facts of containers, and the records of volumes, on disk.
//!
//! Knows where every file lies ([`Layout`]) and what a container's status follows from ([`status()`]). It knows no image,
//! no runtime spec and no runtime; the engine's part of a configuration is bytes to it.
//!
//! INVARIANT: no lock is shared by two containers. Readers take none.
//! INVARIANT: a directory `root/containers/<id>` is the first thing of a container that is made and the last that is
//! removed, so whatever a killed process leaves can be found from it. With `config.json` in it, it is a container; without,
//! somebody is making or removing it, or was killed doing so: whoever meets it and gets its lock takes it away.
//! INVARIANT: one object's damage is an error about that object alone, and it can be removed.

mod artifacts;
mod document;
mod error;
mod id;
mod layout;
mod name;
mod record;
mod snapshot;
mod status;
mod store;
mod volumes;

pub use artifacts::Artifacts;
pub use error::{Error, Result};
pub use id::ContainerId;
pub use layout::Layout;
pub use name::{ArtifactName, ContainerName, VolumeName};
pub use record::{Config, Exit, Past, Phase, Record, Started, now};
pub use snapshot::Snapshot;
pub use status::{Facts, Status, status};
pub use store::{Eviction, Locked, Reservation, Store};
pub use volumes::{Volume, Volumes};
