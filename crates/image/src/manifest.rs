//! Manifests and indexes: OCI image-spec 1.1 and docker's schema 2, which differ in media types only.
//!
//! INVARIANT: what a document is, is decided by the descriptor that leads to it and must agree with what the document
//! says of itself; one that could be read as both a manifest and an index is refused (CVE-2021-41190).

use std::collections::BTreeMap;

use dhow_storage::Digest;
use serde::{Deserialize, Serialize};

use crate::document::{self, null_as_default};
use crate::error::Error;
use crate::platform::Platform;

pub(crate) const OCI_MANIFEST: &str = "application/vnd.oci.image.manifest.v1+json";
pub(crate) const OCI_INDEX: &str = "application/vnd.oci.image.index.v1+json";
pub(crate) const OCI_CONFIG: &str = "application/vnd.oci.image.config.v1+json";
pub(crate) const OCI_LAYER: &str = "application/vnd.oci.image.layer.v1.tar";
pub(crate) const DOCKER_MANIFEST: &str = "application/vnd.docker.distribution.manifest.v2+json";
pub(crate) const DOCKER_LIST: &str = "application/vnd.docker.distribution.manifest.list.v2+json";
pub(crate) const DOCKER_CONFIG: &str = "application/vnd.docker.container.image.v1+json";
pub(crate) const DOCKER_LAYER: &str = "application/vnd.docker.image.rootfs.diff.tar";

const OCI_FOREIGN: &str = "application/vnd.oci.image.layer.nondistributable.v1.tar";
const DOCKER_FOREIGN: &str = "application/vnd.docker.image.rootfs.foreign.diff.tar";

/// More layers than the kernel can stack.
pub(crate) const MAX_LAYERS: usize = 500;

/// A reference to a blob.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct Descriptor {
    #[serde(default)]
    pub(crate) media_type: String,
    pub(crate) digest: Digest,
    pub(crate) size: u64,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) platform: Option<Platform>,
    #[serde(
        default,
        deserialize_with = "null_as_default",
        skip_serializing_if = "BTreeMap::is_empty"
    )]
    pub(crate) annotations: BTreeMap<String, String>,
}

impl Descriptor {
    pub(crate) fn new(media_type: &str, digest: Digest, size: u64) -> Descriptor {
        Descriptor {
            media_type: media_type.to_owned(),
            digest,
            size,
            platform: None,
            annotations: BTreeMap::new(),
        }
    }
}

/// What one image consists of.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct Manifest {
    pub(crate) schema_version: u32,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) media_type: Option<String>,
    pub(crate) config: Descriptor,
    pub(crate) layers: Vec<Descriptor>,
    #[serde(
        default,
        deserialize_with = "null_as_default",
        skip_serializing_if = "BTreeMap::is_empty"
    )]
    pub(crate) annotations: BTreeMap<String, String>,
}

/// A list of manifests or of further indexes.
#[derive(Debug, Clone, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct Index {
    pub(crate) schema_version: u32,
    pub(crate) manifests: Vec<Descriptor>,
}

/// Either, once it is known which.
#[derive(Debug)]
pub(crate) enum Document {
    Manifest(Box<Manifest>),
    Index(Index),
}

/// The keys that tell what a document is.
#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Shape {
    media_type: Option<String>,
    config: Option<serde::de::IgnoredAny>,
    layers: Option<serde::de::IgnoredAny>,
    manifests: Option<serde::de::IgnoredAny>,
    fs_layers: Option<serde::de::IgnoredAny>,
}

/// Reads a manifest or an index; `expected` is the media type its descriptor gives, empty for the top `index.json`.
pub(crate) fn parse(bytes: &[u8], expected: &str) -> Result<Document, String> {
    let shape: Shape = document::parse(bytes)?;
    let said = shape.media_type.as_deref().unwrap_or_default();
    if !said.is_empty() && !expected.is_empty() && said != expected {
        return Err(format!("it is referred to as {expected:?} and says that it is {said:?}"));
    }
    let kind = if said.is_empty() { expected } else { said };
    let is_manifest = shape.config.is_some() || shape.layers.is_some() || shape.fs_layers.is_some();
    match kind {
        OCI_MANIFEST | DOCKER_MANIFEST if shape.manifests.is_some() => {
            Err("it is a manifest and an index at once".to_owned())
        }
        OCI_INDEX | DOCKER_LIST | "" if is_manifest && shape.manifests.is_some() => {
            Err("it is a manifest and an index at once".to_owned())
        }
        OCI_MANIFEST | DOCKER_MANIFEST => manifest(bytes).map(Box::new).map(Document::Manifest),
        OCI_INDEX | DOCKER_LIST => index(bytes).map(Document::Index),
        "" if shape.manifests.is_some() => index(bytes).map(Document::Index),
        "" if is_manifest => manifest(bytes).map(Box::new).map(Document::Manifest),
        "" => Err("it is neither a manifest nor an index".to_owned()),
        other => Err(format!("the media type {other:?} is not that of an image")),
    }
}

fn manifest(bytes: &[u8]) -> Result<Manifest, String> {
    let manifest: Manifest = document::parse(bytes)?;
    check_version(manifest.schema_version)?;
    if manifest.layers.len() > MAX_LAYERS {
        return Err(format!("it has {} layers, more than {MAX_LAYERS}", manifest.layers.len()));
    }
    Ok(manifest)
}

fn index(bytes: &[u8]) -> Result<Index, String> {
    let index: Index = document::parse(bytes)?;
    check_version(index.schema_version)?;
    Ok(index)
}

fn check_version(version: u32) -> Result<(), String> {
    if version == 2 { Ok(()) } else { Err(format!("its schema version is {version}, not 2")) }
}

/// The entry of an index for `platform`; a single one is taken for what it is.
pub(crate) fn choose(
    archive: &str,
    entry: &str,
    descriptors: &[Descriptor],
    platform: &Platform,
) -> Result<Descriptor, Error> {
    if let [only] = descriptors {
        return Ok(only.clone());
    }
    let ranked = descriptors.iter().filter_map(|d| Some((platform.rank(d.platform.as_ref()?)?, d)));
    // Of equals the first: max_by_key would take the last.
    let best = ranked.reduce(|best, next| if next.0 > best.0 { next } else { best });
    best.map(|(_, descriptor)| descriptor.clone()).ok_or_else(|| {
        let mut available: Vec<String> = descriptors
            .iter()
            .filter_map(|d| d.platform.as_ref())
            .map(ToString::to_string)
            .collect();
        available.dedup();
        let available = if available.is_empty() {
            format!("what {entry} does not say")
        } else {
            available.join(", ")
        };
        Error::NoPlatform { archive: archive.to_owned(), wanted: platform.to_string(), available }
    })
}

/// Is it of a layer that is not in the registry but somewhere else?
pub(crate) fn is_foreign(media_type: &str) -> bool {
    media_type.starts_with(OCI_FOREIGN) || media_type.starts_with(DOCKER_FOREIGN)
}

/// Is this the media type of a layer dhow can read? The compression is seen from the bytes, not believed.
pub(crate) fn is_layer(media_type: &str) -> bool {
    let base = media_type
        .strip_suffix("+gzip")
        .or_else(|| media_type.strip_suffix("+zstd"))
        .or_else(|| media_type.strip_suffix(".gzip"))
        .or_else(|| media_type.strip_suffix(".zstd"))
        .unwrap_or(media_type);
    matches!(base, OCI_LAYER | DOCKER_LAYER | OCI_FOREIGN | DOCKER_FOREIGN)
}

/// Is this the media type of an image's configuration, rather than of some other artifact's?
pub(crate) fn is_config(media_type: &str) -> bool {
    matches!(media_type, OCI_CONFIG | DOCKER_CONFIG)
}

/// The media type of a manifest the store keeps: what it says of itself, OCI's where it says nothing.
#[must_use]
pub fn manifest_media_type(manifest: &[u8]) -> String {
    let said = serde_json::from_slice::<Manifest>(manifest).ok().and_then(|m| m.media_type);
    said.unwrap_or_else(|| OCI_MANIFEST.to_owned())
}

/// The annotations of a manifest the store keeps.
#[must_use]
pub fn manifest_annotations(manifest: &[u8]) -> BTreeMap<String, String> {
    serde_json::from_slice::<Manifest>(manifest).map(|m| m.annotations).unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;

    const EMPTY: &str = "sha256:e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855";

    fn descriptor() -> String {
        format!(r#"{{"mediaType":"x","digest":"{EMPTY}","size":0}}"#)
    }

    #[test]
    fn a_document_is_what_it_says_and_what_leads_to_it_says() {
        let manifest = format!(r#"{{"schemaVersion":2,"config":{},"layers":[]}}"#, descriptor());
        assert!(matches!(parse(manifest.as_bytes(), OCI_MANIFEST), Ok(Document::Manifest(_))));
        assert!(matches!(parse(manifest.as_bytes(), ""), Ok(Document::Manifest(_))));
        assert!(parse(manifest.as_bytes(), OCI_INDEX).unwrap_err().contains("missing field"));
        let index = br#"{"schemaVersion":2,"manifests":[]}"#;
        assert!(matches!(parse(index, OCI_INDEX), Ok(Document::Index(_))));
        assert!(matches!(parse(index, ""), Ok(Document::Index(_))));
        assert!(parse(index, OCI_MANIFEST).unwrap_err().contains("at once"));
        assert!(parse(index, "application/x").unwrap_err().contains("not that of an image"));
    }

    #[test]
    fn two_meanings_are_refused() {
        let both = format!(
            r#"{{"schemaVersion":2,"config":{},"layers":[],"manifests":[]}}"#,
            descriptor()
        );
        for expected in ["", OCI_MANIFEST, OCI_INDEX] {
            assert!(parse(both.as_bytes(), expected).unwrap_err().contains("at once"));
        }
        let liar = format!(r#"{{"schemaVersion":2,"mediaType":"{OCI_INDEX}","manifests":[]}}"#);
        assert!(parse(liar.as_bytes(), OCI_MANIFEST).unwrap_err().contains("says that it is"));
        assert!(
            parse(br#"{"schemaVersion":1,"manifests":[]}"#, "")
                .unwrap_err()
                .contains("version is 1")
        );
        assert!(parse(b"{}", "").unwrap_err().contains("neither"));
    }

    #[test]
    fn layers_of_both_worlds() {
        for media_type in [
            "application/vnd.oci.image.layer.v1.tar",
            "application/vnd.oci.image.layer.v1.tar+gzip",
            "application/vnd.oci.image.layer.v1.tar+zstd",
            "application/vnd.docker.image.rootfs.diff.tar.gzip",
        ] {
            assert!(is_layer(media_type), "{media_type}");
        }
        for media_type in
            ["application/vnd.oci.image.layer.v1.tar+gzip+encrypted", "text/plain", ""]
        {
            assert!(!is_layer(media_type), "{media_type}");
        }
    }
}
