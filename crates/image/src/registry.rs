//! Registries (OCI distribution-spec 1.1): finding an image's place, and talking to who keeps it.
//!
//! A thin client of our own over `ureq`: a pull is threads that read and write files, and the one runtime of threads
//! does. What it must do that a larger client would not leave to us: go on with a download where it broke, follow
//! redirects without credentials, give up what is too large while it comes.

pub(crate) mod auth;
mod challenge;
pub(crate) mod client;
pub(crate) mod conf;
pub(crate) mod login;
mod remote;
pub(crate) mod settings;
mod tls;

pub(crate) use remote::{Found, Remote};

use crate::error::Result;
use crate::reference::ImageReference;

/// What a short name stands for by the configuration, the likeliest first.
///
/// # Errors
/// [`Error::ShortName`](crate::Error::ShortName), [`Error::Config`](crate::Error::Config).
pub fn short_names(
    settings: &settings::RegistrySettings,
    text: &str,
) -> Result<Vec<ImageReference>> {
    conf::RegistriesConf::read(&settings.registries_conf, &settings.registries_dirs)?.resolve(text)
}
