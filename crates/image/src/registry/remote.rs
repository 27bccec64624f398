//! A repository of a registry: its manifests, blobs and tags.

use dhow_storage::Digest;
use serde::Deserialize;
use ureq::http::{Method, Response, StatusCode, header};
use ureq::{Body, SendBody};

use super::client::{Ask, Client};
use super::conf::{Location, RegistriesConf};
use super::settings::{Access, RegistrySettings};
use crate::document::MAX_DOCUMENT;
use crate::error::{Error, Result};
use crate::manifest;
use crate::reference::ImageReference;

/// Pages of tags that are asked for at most.
const MAX_PAGES: usize = 1000;

/// A repository.
#[derive(Debug)]
pub(crate) struct Remote {
    pub(crate) client: Client,
    pub(crate) repository: String,
    scope: String,
}

/// A manifest or index as it came, its digest verified where one was asked for.
#[derive(Debug)]
pub(crate) struct Found {
    pub(crate) bytes: Vec<u8>,
    pub(crate) digest: Digest,
    pub(crate) media_type: String,
}

impl Remote {
    /// Connects for reading.
    pub(crate) fn open(
        settings: &RegistrySettings,
        access: &Access,
        conf: &RegistriesConf,
        location: &Location,
    ) -> Result<Remote> {
        Remote::with_scope(settings, access, conf, location, "pull")
    }

    /// Connects for reading and writing.
    pub(crate) fn open_for_push(
        settings: &RegistrySettings,
        access: &Access,
        conf: &RegistriesConf,
        location: &Location,
    ) -> Result<Remote> {
        Remote::with_scope(settings, access, conf, location, "pull,push")
    }

    fn with_scope(
        settings: &RegistrySettings,
        access: &Access,
        conf: &RegistriesConf,
        location: &Location,
        actions: &str,
    ) -> Result<Remote> {
        let client = Client::connect(settings, access, location, &conf.helpers)?;
        let repository = location.repository.clone();
        let scope = format!("repository:{repository}:{actions}");
        Ok(Remote { client, repository, scope })
    }

    /// What a tag or digest of the repository stands for.
    pub(crate) fn manifest(&self, reference: &ImageReference) -> Result<Found> {
        match (reference.digest(), reference.tag()) {
            (Some(digest), _) => self.manifest_by_digest(digest),
            (None, tag) => self.fetch_manifest(tag.unwrap_or("latest"), None),
        }
    }

    /// The manifest with that digest.
    pub(crate) fn manifest_by_digest(&self, digest: &Digest) -> Result<Found> {
        self.fetch_manifest(&digest.to_string(), Some(digest))
    }

    fn fetch_manifest(&self, name: &str, expected: Option<&Digest>) -> Result<Found> {
        let action = format!("read the manifest of {}:{name}", self.repository);
        let to = format!("{}/manifests/{name}", self.repository);
        let accept = [
            manifest::OCI_INDEX,
            manifest::DOCKER_LIST,
            manifest::OCI_MANIFEST,
            manifest::DOCKER_MANIFEST,
        ]
        .join(", ");
        let response = self.ask(Method::GET, &to, &[("accept", &accept)], &action)?;
        if !response.status().is_success() {
            let what = match expected {
                Some(_) => format!("manifest {}@{name}", self.repository),
                None => format!("image {}:{name}", self.repository),
            };
            return Err(self.client.complaint(response, &action, &what));
        }
        let text = |name: header::HeaderName| {
            let value = response.headers().get(name)?.to_str().ok()?;
            Some(value.split(';').next().unwrap_or(value).trim().to_owned())
        };
        let media_type = text(header::CONTENT_TYPE).unwrap_or_default();
        let said = text(header::HeaderName::from_static("docker-content-digest"));
        let bytes = self.client.read(response, MAX_DOCUMENT, &action)?;
        let digest = Digest::of(&bytes);
        // A registry that says one digest and sends another is not to be believed in either.
        let said = said.and_then(|said| said.parse::<Digest>().ok());
        if let Some(wanted) = expected.copied().or(said)
            && wanted != digest
        {
            return Err(Error::Mismatch {
                archive: self.client.host.clone(),
                entry: format!("manifest {}:{name}", self.repository),
                expected: wanted,
                found: digest,
            });
        }
        // What a server says of an unknown file.
        let media_type = match media_type.as_str() {
            "application/json" | "text/plain" | "application/octet-stream" => String::new(),
            _ => media_type,
        };
        Ok(Found { bytes, digest, media_type })
    }

    /// A blob from the byte `offset` on. The answer says whether it begins there or at the beginning.
    pub(crate) fn blob(&self, digest: &Digest, offset: u64) -> Result<(Response<Body>, bool)> {
        let action = format!("download {digest}");
        let range = format!("bytes={offset}-");
        let headers = [("range", range.as_str())];
        let headers = if offset > 0 { headers.as_slice() } else { &[] };
        let to = format!("{}/blobs/{digest}", self.repository);
        let response = self.ask(Method::GET, &to, headers, &action)?;
        match response.status() {
            StatusCode::PARTIAL_CONTENT if offset > 0 => {
                let said = response.headers().get(header::CONTENT_RANGE);
                let said = said.and_then(|value| value.to_str().ok()).unwrap_or_default();
                if said.starts_with(&format!("bytes {offset}-")) {
                    return Ok((response, true));
                }
                Err(self.client.protocol(&action, format!("it sent another range: {said:?}")))
            }
            status if status == StatusCode::OK => Ok((response, false)),
            _ => Err(self.client.complaint(response, &action, &format!("blob {digest}"))),
        }
    }

    /// A small blob, verified.
    pub(crate) fn read_blob(&self, digest: &Digest, size: u64) -> Result<Vec<u8>> {
        let entry = format!("blob {digest}");
        if size > MAX_DOCUMENT {
            return Err(self.client.protocol(
                &format!("read {entry}"),
                format!(
                    "its {size} bytes are more than the {MAX_DOCUMENT} such a document may have"
                ),
            ));
        }
        let (response, _) = self.blob(digest, 0)?;
        let bytes = self.client.read(response, size, &format!("read {entry}"))?;
        let found = Digest::of(&bytes);
        if found != *digest {
            let archive = self.client.host.clone();
            return Err(Error::Mismatch { archive, entry, expected: *digest, found });
        }
        Ok(bytes)
    }

    /// All tags of the repository.
    pub(crate) fn tags(&self) -> Result<Vec<String>> {
        #[derive(Deserialize)]
        struct Page {
            #[serde(default)]
            tags: Option<Vec<String>>,
        }
        let action = format!("list the tags of {}", self.repository);
        let mut next = Some(format!("{}/tags/list", self.repository));
        let mut tags = Vec::new();
        for _ in 0..MAX_PAGES {
            let Some(to) = next else { break };
            let response = self.ask(Method::GET, &to, &[], &action)?;
            if !response.status().is_success() {
                let what = format!("repository {}", self.repository);
                return Err(self.client.complaint(response, &action, &what));
            }
            next = next_page(&response);
            let page: Page = self.client.read_json(response, &action)?;
            tags.extend(page.tags.unwrap_or_default());
        }
        Ok(tags)
    }

    pub(crate) fn ask(
        &self,
        method: Method,
        to: &str,
        headers: &[(&str, &str)],
        action: &str,
    ) -> Result<Response<Body>> {
        self.client.get(&Ask { method, to, scope: &self.scope, headers, action })
    }

    pub(crate) fn send<'b>(
        &self,
        method: Method,
        to: &str,
        headers: &[(&str, &str)],
        action: &str,
        body: &mut dyn FnMut() -> Result<SendBody<'b>>,
    ) -> Result<Response<Body>> {
        self.client.request(&Ask { method, to, scope: &self.scope, headers, action }, body)
    }
}

/// `Link: </v2/…>; rel="next"`.
pub(crate) fn next_page(response: &Response<Body>) -> Option<String> {
    let link = response.headers().get(header::LINK)?.to_str().ok()?;
    let (url, rest) = link.trim().strip_prefix('<')?.split_once('>')?;
    // Only of the registry itself, whatever it says.
    (rest.contains("next") && url.starts_with('/')).then(|| url.to_owned())
}
