//! The configuration of an image (OCI image-spec, `config.md`): what to run, and how the layers came to be.
//!
//! Docker writes the same document with more fields. INVARIANT: a field this module does not know survives reading
//! and writing, so that a commit loses nothing of the image below it.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};

use dhow_storage::DiffId;

use crate::document::{self, null_as_default};
use crate::platform::Platform;

/// The configuration of an image.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
pub struct ImageConfig {
    /// When it was made, RFC 3339.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub created: Option<String>,
    /// Who made it.
    #[serde(
        default,
        deserialize_with = "null_as_default",
        skip_serializing_if = "String::is_empty"
    )]
    pub author: String,
    /// `amd64`, …
    #[serde(default, deserialize_with = "null_as_default")]
    pub architecture: String,
    /// `v7`, …
    #[serde(
        default,
        deserialize_with = "null_as_default",
        skip_serializing_if = "String::is_empty"
    )]
    pub variant: String,
    /// `linux`.
    #[serde(default, deserialize_with = "null_as_default")]
    pub os: String,
    /// What a container of it runs.
    #[serde(default, deserialize_with = "null_as_default")]
    pub config: Settings,
    /// Its layers.
    #[serde(default, deserialize_with = "null_as_default")]
    pub rootfs: RootFs,
    /// How it came to be, oldest step first.
    #[serde(default, deserialize_with = "null_as_default", skip_serializing_if = "Vec::is_empty")]
    pub history: Vec<HistoryEntry>,
    /// What others have written into it.
    #[serde(flatten)]
    pub other: Map<String, Value>,
}

/// What a container of the image runs unless told otherwise.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "PascalCase")]
pub struct Settings {
    /// `user[:group]`, names or numbers.
    #[serde(
        default,
        deserialize_with = "null_as_default",
        skip_serializing_if = "String::is_empty"
    )]
    pub user: String,
    /// `port/protocol`; the values are empty objects.
    #[serde(
        default,
        deserialize_with = "null_as_default",
        skip_serializing_if = "BTreeMap::is_empty"
    )]
    pub exposed_ports: BTreeMap<String, Value>,
    /// `NAME=value`.
    #[serde(default, deserialize_with = "null_as_default", skip_serializing_if = "Vec::is_empty")]
    pub env: Vec<String>,
    /// The words before the command.
    #[serde(default, deserialize_with = "null_as_default", skip_serializing_if = "Vec::is_empty")]
    pub entrypoint: Vec<String>,
    /// The command.
    #[serde(default, deserialize_with = "null_as_default", skip_serializing_if = "Vec::is_empty")]
    pub cmd: Vec<String>,
    /// Directories that become anonymous volumes; the values are empty objects.
    #[serde(
        default,
        deserialize_with = "null_as_default",
        skip_serializing_if = "BTreeMap::is_empty"
    )]
    pub volumes: BTreeMap<String, Value>,
    /// Where the command starts.
    #[serde(
        default,
        deserialize_with = "null_as_default",
        skip_serializing_if = "String::is_empty"
    )]
    pub working_dir: String,
    /// Labels.
    #[serde(
        default,
        deserialize_with = "null_as_default",
        skip_serializing_if = "BTreeMap::is_empty"
    )]
    pub labels: BTreeMap<String, String>,
    /// The signal that asks it to end.
    #[serde(
        default,
        deserialize_with = "null_as_default",
        skip_serializing_if = "String::is_empty"
    )]
    pub stop_signal: String,
    /// Docker's health check.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub healthcheck: Option<Healthcheck>,
    /// Docker's triggers of later builds.
    #[serde(default, deserialize_with = "null_as_default", skip_serializing_if = "Vec::is_empty")]
    pub on_build: Vec<String>,
    /// Docker's shell for the shell form of instructions.
    #[serde(default, deserialize_with = "null_as_default", skip_serializing_if = "Vec::is_empty")]
    pub shell: Vec<String>,
    /// What others have written into it.
    #[serde(flatten)]
    pub other: Map<String, Value>,
}

/// Docker's health check; durations in nanoseconds.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "PascalCase")]
pub struct Healthcheck {
    /// `["NONE"]`, `["CMD", …]` or `["CMD-SHELL", text]`.
    #[serde(default, deserialize_with = "null_as_default", skip_serializing_if = "Vec::is_empty")]
    pub test: Vec<String>,
    /// Interval, timeout, start period, retries.
    #[serde(flatten)]
    pub other: Map<String, Value>,
}

/// The layers of an image.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
pub struct RootFs {
    /// Always `layers`.
    #[serde(rename = "type", default, deserialize_with = "null_as_default")]
    pub kind: String,
    /// Digests of the uncompressed layers, bottom first.
    #[serde(default, deserialize_with = "null_as_default")]
    pub diff_ids: Vec<DiffId>,
}

/// One step in an image's making.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
pub struct HistoryEntry {
    /// When, RFC 3339.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub created: Option<String>,
    /// The instruction or command.
    #[serde(
        default,
        deserialize_with = "null_as_default",
        skip_serializing_if = "String::is_empty"
    )]
    pub created_by: String,
    /// By whom.
    #[serde(
        default,
        deserialize_with = "null_as_default",
        skip_serializing_if = "String::is_empty"
    )]
    pub author: String,
    /// A remark.
    #[serde(
        default,
        deserialize_with = "null_as_default",
        skip_serializing_if = "String::is_empty"
    )]
    pub comment: String,
    /// It made no layer.
    #[serde(
        default,
        deserialize_with = "null_as_default",
        skip_serializing_if = "std::ops::Not::not"
    )]
    pub empty_layer: bool,
}

impl ImageConfig {
    /// What it is for.
    #[must_use]
    pub fn platform(&self) -> Platform {
        Platform {
            os: self.os.clone(),
            architecture: self.architecture.clone(),
            variant: (!self.variant.is_empty()).then(|| self.variant.clone()),
        }
    }

    /// Reads a configuration.
    ///
    /// # Errors
    /// A sentence about what is wrong with it, duplicate keys included.
    pub fn parse(bytes: &[u8]) -> Result<ImageConfig, String> {
        let config: ImageConfig = document::parse(bytes)?;
        if !matches!(config.rootfs.kind.as_str(), "layers" | "") {
            return Err(format!(
                "its root file system is of the unknown type {:?}",
                config.rootfs.kind
            ));
        }
        Ok(config)
    }

    /// An image without layers, for this machine.
    #[must_use]
    pub fn empty(platform: &Platform) -> ImageConfig {
        ImageConfig {
            architecture: platform.architecture.clone(),
            variant: platform.variant.clone().unwrap_or_default(),
            os: platform.os.clone(),
            rootfs: RootFs { kind: "layers".to_owned(), diff_ids: Vec::new() },
            ..ImageConfig::default()
        }
    }

    /// When it was made, as nanoseconds since 1970; `None` where it does not say or says nonsense.
    #[must_use]
    pub fn created_nanos(&self) -> Option<i64> {
        let at: jiff::Timestamp = self.created.as_deref()?.parse().ok()?;
        i64::try_from(at.as_nanosecond()).ok()
    }

    /// The remark of the newest step.
    #[must_use]
    pub fn comment(&self) -> &str {
        self.history.last().map(|step| step.comment.as_str()).unwrap_or_default()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn nulls_are_nothing_and_unknown_fields_survive() {
        let text = r#"{"architecture":"amd64","os":"linux","docker_version":"1.2","config":{"Cmd":null,"Env":null,
            "Volumes":null,"Labels":null,"Entrypoint":null,"Memory":5,"Healthcheck":{"Test":["NONE"],"Retries":3}},
            "rootfs":{"type":"layers","diff_ids":null},"history":null,"created":null}"#;
        let config = ImageConfig::parse(text.as_bytes()).unwrap();
        assert_eq!(config.config.cmd, Vec::<String>::new());
        assert_eq!(config.created_nanos(), None);
        let written = serde_json::to_value(&config).unwrap();
        assert_eq!(written["docker_version"], "1.2");
        assert_eq!(written["config"]["Memory"], 5);
        assert_eq!(written["config"]["Healthcheck"]["Retries"], 3);
        assert_eq!(ImageConfig::parse(written.to_string().as_bytes()).unwrap(), config);
    }

    #[test]
    fn times_and_types() {
        let config = ImageConfig::parse(br#"{"created":"1970-01-01T00:00:01.5Z"}"#).unwrap();
        assert_eq!(config.created_nanos(), Some(1_500_000_000));
        assert!(ImageConfig::parse(br#"{"rootfs":{"type":"tree"}}"#).unwrap_err().contains("tree"));
        assert!(ImageConfig::parse(br#"{"os":"a","os":"b"}"#).unwrap_err().contains("twice"));
        assert!(ImageConfig::parse(b"[]").is_err());
    }
}
