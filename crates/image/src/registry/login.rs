//! `login`: do these credentials let us in?

use super::auth::Credentials;
use super::client::Client;
use super::conf::{Location, RegistriesConf};
use super::settings::{Access, RegistrySettings};
use crate::error::Result;

/// Shows credentials to a registry, whose `key` may have a namespace behind its host.
///
/// # Errors
/// [`Error::Denied`](crate::Error::Denied) where it does not take them; it cannot be reached.
pub fn log_in(
    settings: &RegistrySettings,
    access: &Access,
    key: &str,
    credentials: &Credentials,
) -> Result<()> {
    let conf = RegistriesConf::read(&settings.registries_conf, &settings.registries_dirs)?;
    let host = key.split('/').next().unwrap_or(key).to_owned();
    let insecure = conf.is_insecure(&host);
    let location = Location { host, repository: String::new(), insecure };
    let access = Access { credentials: Some(credentials.clone()), ..access.clone() };
    Client::connect(settings, &access, &location, &[])?.verify_login()
}
