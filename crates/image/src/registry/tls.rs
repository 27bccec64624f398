//! Which certificates a registry may show, and which one is shown to it.
//!
//! The authorities are the system's, or those of the registry's own directory beside them (containers-certs.d(5)):
//! `*.crt` are authorities, `*.cert` with `*.key` of the same name is this client's own. INVARIANT: a file of that
//! directory that cannot be read is an error, never passed over.

use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use ureq::tls::{Certificate, ClientCert, PemItem, PrivateKey, RootCerts, TlsConfig, parse_pem};

use super::settings::{Access, RegistrySettings};
use crate::error::{Error, Result};

const MAX_FILE: u64 = 16 << 20;
/// Where distributions keep the authorities they trust, as Go's crypto/x509 looks for them.
const BUNDLES: [&str; 5] = [
    "/etc/ssl/certs/ca-certificates.crt",
    "/etc/pki/tls/certs/ca-bundle.crt",
    "/etc/ssl/ca-bundle.pem",
    "/etc/pki/ca-trust/extracted/pem/tls-ca-bundle.pem",
    "/etc/ssl/cert.pem",
];

/// The configuration for one registry; `verify`: it must prove who it is.
pub(super) fn config(
    settings: &RegistrySettings,
    access: &Access,
    host: &str,
    verify: bool,
) -> Result<TlsConfig> {
    let mut roots = Vec::new();
    let mut client = None;
    let dirs: Vec<PathBuf> = match &access.cert_dir {
        Some(dir) => vec![dir.clone()],
        None => settings.cert_dirs.iter().map(|dir| dir.join(host)).collect(),
    };
    for dir in dirs {
        let mut found: Vec<PathBuf> = match std::fs::read_dir(&dir) {
            Ok(entries) => entries.flatten().map(|entry| entry.path()).collect(),
            Err(e) if e.kind() == io::ErrorKind::NotFound && access.cert_dir.is_none() => continue,
            Err(e) => return Err(unusable(&dir, e.to_string())),
        };
        found.sort();
        for path in found {
            match path.extension().and_then(|end| end.to_str()) {
                Some("crt") => roots.extend(certificates(&path)?),
                Some("cert") => client = Some(client_cert(&path)?),
                Some("key") if !path.with_extension("cert").exists() => {
                    return Err(unusable(&path, "there is no .cert for this key"));
                }
                _ => {}
            }
        }
    }
    if verify {
        let bundle = BUNDLES.iter().map(Path::new).find(|path| path.is_file());
        if let Some(bundle) = bundle {
            roots.extend(certificates(bundle)?);
        }
    }
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    Ok(TlsConfig::builder()
        .root_certs(RootCerts::Specific(Arc::new(roots)))
        .client_cert(client)
        .disable_verification(!verify)
        .unversioned_rustls_crypto_provider(provider)
        .build())
}

fn certificates(path: &Path) -> Result<Vec<Certificate<'static>>> {
    let bytes = read(path)?;
    let mut found = Vec::new();
    for item in parse_pem(&bytes) {
        if let PemItem::Certificate(certificate) =
            item.map_err(|e| unusable(path, e.to_string()))?
        {
            found.push(certificate);
        }
    }
    if found.is_empty() {
        return Err(unusable(path, "there is no certificate in it"));
    }
    Ok(found)
}

fn client_cert(path: &Path) -> Result<ClientCert> {
    let key_path = path.with_extension("key");
    let key = PrivateKey::from_pem(&read(&key_path)?)
        .map_err(|_| unusable(&key_path, "there is no private key in it"))?;
    Ok(ClientCert::new_with_certs(&certificates(path)?, key))
}

fn read(path: &Path) -> Result<Vec<u8>> {
    dhow_sys::fs::read_bounded(path, MAX_FILE).map_err(|e| unusable(path, e.to_string()))
}

fn unusable(path: &Path, why: impl Into<String>) -> Error {
    Error::Config { path: path.to_path_buf(), why: why.into() }
}
