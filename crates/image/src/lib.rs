//! Images as they travel: references, archives, and the documents that describe an image.
//!
//! A reference names an image ([`ImageReference`]); an archive or an OCI layout directory carries some ([`load()`]); a
//! root file system archive becomes one ([`import()`]); a container's changes become one ([`Draft`]). Where layers and
//! blobs lie is the business of `dhow_storage`.
//!
//! INVARIANT: nothing read from outside is used before its digest and its size have been checked, nothing is believed
//! that can be counted, and no path of an archive ever reaches the file system: entries are looked up in an index.
//! INVARIANT: an archive is taken as a whole. When one of its images cannot be, no image of it is stored.
//! Knows no container, no terminal and no environment.

mod archive;
mod change;
mod config;
mod document;
mod draft;
mod error;
#[cfg(test)]
mod fixture;
mod import;
mod load;
mod manifest;
mod pack;
mod platform;
mod policy;
mod progress;
mod pull;
mod push;
mod reference;
mod registry;
mod save;

pub use archive::Input;
pub use change::{Change, Words};
pub use config::{Healthcheck, HistoryEntry, ImageConfig, RootFs, Settings};
pub use draft::Draft;
pub use error::{Error, Result};
pub use import::{ImportOptions, import};
pub use load::{LoadOptions, Loaded, load};
pub use manifest::{manifest_annotations, manifest_media_type};
pub use platform::Platform;
pub use progress::{Event, Progress};
pub use pull::{PullOptions, Pulled, pull, pull_all_tags, remote_digests};
pub use push::{PushFormat, push};
pub use reference::ImageReference;
pub use registry::auth::{
    Credentials, credentials_key, logged_in, remove_credentials, store_credentials,
};
pub use registry::login::log_in;
pub use registry::settings::{Access, RegistrySettings};
pub use registry::short_names;
pub use save::{Output, SaveFormat, Saved, save};
