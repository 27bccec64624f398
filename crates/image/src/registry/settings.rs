//! Where what is known of registries is kept, and how a request wants to reach one.

use std::ffi::OsString;
use std::path::PathBuf;
use std::time::Duration;

use serde::{Deserialize, Serialize};

use super::auth::Credentials;

/// The files and programs of this machine that have to do with registries. None of them need exist.
#[derive(Debug, Clone, Default)]
pub struct RegistrySettings {
    /// registries.conf.
    pub registries_conf: PathBuf,
    /// registries.conf.d, of the system and the user.
    pub registries_dirs: Vec<PathBuf>,
    /// policy.json.
    pub policy: PathBuf,
    /// Auth files, in the order in which they are read; the first is written to.
    pub auth_files: Vec<PathBuf>,
    /// Directories with one directory of certificates for each `host[:port]`.
    pub cert_dirs: Vec<PathBuf>,
    /// Where credential helpers are looked for.
    pub search: Vec<PathBuf>,
    /// What they see of the environment.
    pub environment: Vec<(OsString, OsString)>,
    /// The proxy for https, as a URL; and for http.
    pub https_proxy: Option<String>,
    /// See [`RegistrySettings::https_proxy`].
    pub http_proxy: Option<String>,
    /// Hosts that are reached without one, separated by commas.
    pub no_proxy: Option<String>,
}

/// How a request reaches a registry.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct Access {
    /// Instead of what auth files have.
    pub credentials: Option<Credentials>,
    /// The only auth file.
    pub auth_file: Option<PathBuf>,
    /// The only directory of certificates.
    pub cert_dir: Option<PathBuf>,
    /// Whether a registry must prove who it is; none: as registries.conf says.
    pub tls_verify: Option<bool>,
    /// How often a request is tried again when the network or the registry fails.
    pub retry: u32,
    /// How long is waited before that; none: one second, and each time twice as long.
    pub retry_delay: Option<Duration>,
}

impl Default for Access {
    fn default() -> Access {
        Access {
            credentials: None,
            auth_file: None,
            cert_dir: None,
            tls_verify: None,
            retry: 3,
            retry_delay: None,
        }
    }
}
