//! Names of images: `[registry/]repository[:tag][@digest]`.
//!
//! The grammar is that of the distribution project (its `reference` package): a registry is a host name, an IPv4
//! address or a bracketed IPv6 address with an optional port; a repository is lower-case path components; a tag is up
//! to 128 word characters, dots and dashes. INVARIANT: an [`ImageReference`] is fully qualified and has a tag or a
//! digest; its `Display` is what the store keeps, and parsing that gives the same reference.

use std::fmt;
use std::str::FromStr;

use dhow_storage::Digest;
use serde::{Deserialize, Serialize};

use crate::error::{Error, Result};

const DOCKER_HUB: &str = "docker.io";
const LOCALHOST: &str = "localhost";
const LATEST: &str = "latest";
/// Of registry and repository together.
const MAX_NAME: usize = 255;
const MAX_TAG: usize = 128;

/// A fully qualified name of an image.
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct ImageReference {
    registry: String,
    repository: String,
    tag: Option<String>,
    digest: Option<Digest>,
}

impl FromStr for ImageReference {
    type Err = Error;

    /// Reads a name as docker does: without a registry it is one of docker.io, without a path of `library` there,
    /// without tag and digest the tag is `latest`.
    fn from_str(text: &str) -> Result<ImageReference> {
        ImageReference::qualify(text, DOCKER_HUB)
    }
}

impl ImageReference {
    /// Reads the name of something made here (`commit`, `import`, `tag`, an image of an OCI archive): without a
    /// registry it is one of `localhost`.
    ///
    /// # Errors
    /// [`Error::Reference`].
    pub fn local(text: &str) -> Result<ImageReference> {
        ImageReference::qualify(text, LOCALHOST)
    }

    /// The names that `text` may stand for in the store, the most likely one first: what has a registry is itself;
    /// a short name was made here or is one of docker.io.
    ///
    /// # Errors
    /// [`Error::Reference`].
    pub fn candidates(text: &str) -> Result<Vec<ImageReference>> {
        let local = ImageReference::local(text)?;
        let mut candidates = vec![local];
        let hub: ImageReference = text.parse()?;
        if !candidates.contains(&hub) {
            candidates.push(hub);
        }
        Ok(candidates)
    }

    /// Has `text` a registry of its own? `example.org/x`, `localhost/x` and `host:5000/x` have; `busybox` and
    /// `library/busybox` have not.
    #[must_use]
    pub fn is_qualified(text: &str) -> bool {
        split_registry(text).0.is_some()
    }

    /// The host that serves it, with its port.
    #[must_use]
    pub fn registry(&self) -> &str {
        &self.registry
    }

    /// The path on that host.
    #[must_use]
    pub fn repository(&self) -> &str {
        &self.repository
    }

    /// The tag, unless the digest says it all.
    #[must_use]
    pub fn tag(&self) -> Option<&str> {
        self.tag.as_deref()
    }

    /// The digest of the manifest.
    #[must_use]
    pub fn digest(&self) -> Option<&Digest> {
        self.digest.as_ref()
    }

    /// Registry and repository: `docker.io/library/busybox`.
    #[must_use]
    pub fn name(&self) -> String {
        format!("{}/{}", self.registry, self.repository)
    }

    /// The short form docker shows: without docker.io and its `library`, without the tag `latest`.
    #[must_use]
    pub fn familiar(&self) -> String {
        let mut text = match (self.registry.as_str(), self.repository.strip_prefix("library/")) {
            (DOCKER_HUB, Some(name)) if !name.contains('/') && !is_image_id(name) => {
                name.to_owned()
            }
            (DOCKER_HUB, _)
                if !is_registry(self.repository.split('/').next().unwrap_or_default()) =>
            {
                self.repository.clone()
            }
            _ => self.name(),
        };
        match (&self.tag, &self.digest) {
            (Some(tag), None) if tag == LATEST => {}
            _ => self.push_suffix(&mut text),
        }
        text
    }

    /// The same name with this digest instead of a tag.
    #[must_use]
    pub fn with_digest(&self, digest: Digest) -> ImageReference {
        ImageReference { tag: None, digest: Some(digest), ..self.clone() }
    }

    /// The same name without its digest.
    #[must_use]
    pub fn without_digest(&self) -> ImageReference {
        ImageReference { digest: None, ..self.clone() }
    }

    fn qualify(text: &str, default_registry: &str) -> Result<ImageReference> {
        let reject = |why| Error::Reference { text: text.to_owned(), why };
        let (rest, digest) = match text.split_once('@') {
            Some((rest, digest)) => (
                rest,
                Some(
                    digest
                        .parse::<Digest>()
                        .map_err(|_| reject("the digest is not sha256 and 64 digits"))?,
                ),
            ),
            None => (text, None),
        };
        let (name, tag) = match rest.rsplit_once(':') {
            // A colon before the last slash belongs to a port.
            Some((name, tag)) if !tag.contains('/') => (name, Some(tag)),
            _ => (rest, None),
        };
        if let Some(why) = tag.and_then(tag_fault) {
            return Err(reject(why));
        }
        let (registry, path) = split_registry(name);
        if registry.is_none() && is_image_id(path) {
            return Err(reject("64 hexadecimal digits are an id, not a name"));
        }
        let registry = match registry {
            Some("index.docker.io") => DOCKER_HUB,
            Some(registry) => registry,
            None => default_registry,
        };
        if let Some(why) = registry_fault(registry).or_else(|| repository_fault(path)) {
            return Err(reject(why));
        }
        let repository = if registry == DOCKER_HUB && !path.contains('/') {
            format!("library/{path}")
        } else {
            path.to_owned()
        };
        if registry.len() + 1 + repository.len() > MAX_NAME {
            return Err(reject("the name is longer than 255 characters"));
        }
        let tag = match (tag, &digest) {
            (Some(tag), _) => Some(tag.to_owned()),
            (None, Some(_)) => None,
            (None, None) => Some(LATEST.to_owned()),
        };
        Ok(ImageReference { registry: registry.to_owned(), repository, tag, digest })
    }

    fn push_suffix(&self, text: &mut String) {
        if let Some(tag) = &self.tag {
            text.push(':');
            text.push_str(tag);
        }
        if let Some(digest) = &self.digest {
            text.push('@');
            text.push_str(&digest.to_string());
        }
    }
}

impl fmt::Display for ImageReference {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut text = self.name();
        self.push_suffix(&mut text);
        f.pad(&text)
    }
}

impl TryFrom<String> for ImageReference {
    type Error = Error;

    fn try_from(text: String) -> Result<ImageReference> {
        text.parse()
    }
}

impl From<ImageReference> for String {
    fn from(reference: ImageReference) -> String {
        reference.to_string()
    }
}

/// The registry, where the first component looks like one, and the rest.
fn split_registry(name: &str) -> (Option<&str>, &str) {
    match name.split_once('/') {
        Some((first, rest)) if is_registry(first) => (Some(first), rest),
        _ => (None, name),
    }
}

/// What tells a host from a directory: a dot, a port, an upper-case letter, or the name `localhost`.
fn is_registry(component: &str) -> bool {
    component == LOCALHOST
        || component.contains(['.', ':'])
        || component.chars().any(|c| c.is_ascii_uppercase())
}

fn is_image_id(text: &str) -> bool {
    text.len() == 64 && text.bytes().all(|b| matches!(b, b'0'..=b'9' | b'a'..=b'f'))
}

fn tag_fault(tag: &str) -> Option<&'static str> {
    let word = |b: u8| b.is_ascii_alphanumeric() || b == b'_';
    match tag.as_bytes() {
        [] => Some("the tag is empty"),
        [first, rest @ ..]
            if word(*first) && rest.iter().all(|b| word(*b) || matches!(b, b'.' | b'-')) =>
        {
            (tag.len() > MAX_TAG).then_some("the tag is longer than 128 characters")
        }
        _ => Some(
            "a tag has letters, digits, '_', '.' and '-', and begins with one of the first three",
        ),
    }
}

fn registry_fault(registry: &str) -> Option<&'static str> {
    let (host, port) = match registry.rsplit_once(':') {
        Some((host, port)) if !port.contains(']') => (host, Some(port)),
        _ => (registry, None),
    };
    if port.is_some_and(|port| port.is_empty() || !port.bytes().all(|b| b.is_ascii_digit())) {
        return Some("the registry's port is no number");
    }
    if let Some(address) = host.strip_prefix('[').and_then(|host| host.strip_suffix(']')) {
        let fits =
            !address.is_empty() && address.bytes().all(|b| b.is_ascii_hexdigit() || b == b':');
        return (!fits).then_some("the registry is no IPv6 address");
    }
    let label = |label: &str| {
        !label.is_empty()
            && !label.starts_with('-')
            && !label.ends_with('-')
            && label.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'-')
    };
    (!host.split('.').all(label)).then_some("the registry is no host name")
}

fn repository_fault(repository: &str) -> Option<&'static str> {
    if repository.is_empty() {
        return Some("the name is empty");
    }
    if repository.bytes().any(|b| b.is_ascii_uppercase()) {
        return Some("a repository is written in lower case");
    }
    (!repository.split('/').all(is_path_component)).then_some(
        "a repository is made of lower-case letters and digits, separated by '/', '.', '_', '__' or dashes",
    )
}

/// Runs of letters and digits with one separator between each two: `.`, `_`, `__`, or any number of dashes.
fn is_path_component(component: &str) -> bool {
    let word = |b: &u8| b.is_ascii_lowercase() || b.is_ascii_digit();
    let bytes = component.as_bytes();
    if !bytes.first().is_some_and(word) || !bytes.last().is_some_and(word) {
        return false;
    }
    bytes.split(word).filter(|separator| !separator.is_empty()).all(|separator| {
        matches!(separator, b"." | b"_" | b"__") || separator.iter().all(|b| *b == b'-')
    })
}

#[cfg(test)]
mod tests;
