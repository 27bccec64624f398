//! `system df`, `image prune`, `system prune`, `image tree`, `image mount`.

use std::path::PathBuf;

use serde::{Deserialize, Serialize};

use super::Time;

/// What was removed.
#[derive(Debug, Default)]
pub struct Pruned {
    /// Ids of containers.
    pub containers: Vec<String>,
    /// Ids of images.
    pub images: Vec<String>,
    /// Bytes that are free now.
    pub reclaimed: u64,
    /// What could not be removed.
    pub errors: Vec<crate::Error>,
}

/// What everything takes on disk.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "PascalCase", default)]
pub struct DiskUsage {
    /// Each image.
    pub images: Vec<ImageUsage>,
    /// Bytes of all layers, each counted once.
    pub images_size: u64,
    /// Bytes of layers that no container stands on.
    pub images_reclaimable: u64,
    /// Each container.
    pub containers: Vec<ContainerUsage>,
    /// Each named or anonymous volume.
    pub volumes: Vec<VolumeUsage>,
}

/// What an image takes.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "PascalCase", default)]
pub struct ImageUsage {
    /// All 64 digits.
    pub id: String,
    /// Its names.
    pub names: Vec<String>,
    /// When it was made.
    pub created: Time,
    /// Bytes of its layers.
    pub size: u64,
    /// Of those that other images have too.
    pub shared_size: u64,
    /// Of those that it alone has.
    pub unique_size: u64,
    /// How many containers were made of it.
    pub containers: u64,
}

/// What a container takes.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "PascalCase", default)]
pub struct ContainerUsage {
    /// All 64 digits.
    pub id: String,
    /// Its name.
    pub name: String,
    /// The image it was made of.
    pub image: String,
    /// What it runs.
    pub command: Vec<String>,
    /// How many volumes it has.
    pub volumes: u64,
    /// Bytes of its writable layer.
    pub size: u64,
    /// When it was made.
    pub created: Time,
    /// `running`, `exited`, …
    pub status: String,
    /// It runs.
    pub active: bool,
}

/// What a volume takes.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "PascalCase", default)]
pub struct VolumeUsage {
    /// Its name.
    pub name: String,
    /// How many containers use it.
    pub links: u64,
    /// Bytes of its files.
    pub size: u64,
}

/// An image and its layers.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "PascalCase", default)]
pub struct ImageTree {
    /// All 64 digits.
    pub id: String,
    /// Its names.
    pub tags: Vec<String>,
    /// Bytes of its layers.
    pub size: u64,
    /// The lowest first.
    pub layers: Vec<TreeLayer>,
}

/// A layer in a tree.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "PascalCase", default)]
pub struct TreeLayer {
    /// Its chain id, all 64 digits.
    pub id: String,
    /// Bytes of its files.
    pub size: u64,
    /// The names of images that end with it.
    pub top_of: Vec<String>,
}

/// An image whose files are mounted.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct MountedImage {
    /// All 64 digits.
    pub id: String,
    /// Its names.
    #[serde(rename = "Repositories")]
    pub repositories: Vec<String>,
    /// Where.
    #[serde(rename = "mountpoint")]
    pub path: PathBuf,
}
