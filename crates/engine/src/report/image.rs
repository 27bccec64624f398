//! `images`, `image inspect`, `history`, `diff`, and what `load` and `rmi` have done.

use std::collections::BTreeMap;

use dhow_image::Settings;
use serde::{Deserialize, Serialize};

use super::{GraphDriver, Time};

/// An image in the list of images. One image is one row, whatever number of names it has.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "PascalCase", default)]
pub struct ImageRow {
    /// All 64 digits.
    pub id: String,
    /// Always empty: layers are shared, images have no parents.
    pub parent_id: String,
    /// Its names; docker's word for [`ImageRow::names`].
    pub repo_tags: Vec<String>,
    /// Its names by digest.
    pub repo_digests: Vec<String>,
    /// Bytes of its layers.
    pub size: u64,
    /// Always 0, as with podman.
    pub shared_size: u64,
    /// As `size`.
    pub virtual_size: u64,
    /// Its labels.
    pub labels: BTreeMap<String, String>,
    /// How many containers were made of it.
    pub containers: u64,
    /// Its names, fully qualified.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub names: Vec<String>,
    /// Of its manifest.
    pub digest: String,
    /// Its names, as podman remembers them.
    pub history: Vec<String>,
    /// When it was made, in seconds.
    #[serde(with = "super::time::unix_seconds")]
    pub created: Time,
    /// When it was made.
    pub created_at: Time,
    /// It has no name.
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    pub dangling: bool,
}

impl ImageRow {
    /// The columns REPOSITORY and TAG of one of its names.
    #[must_use]
    pub fn repository_and_tag(name: &str) -> (String, String) {
        match name.parse::<dhow_image::ImageReference>() {
            Ok(reference) => (reference.name(), reference.tag().unwrap_or("<none>").to_owned()),
            Err(_) => (name.to_owned(), "<none>".to_owned()),
        }
    }
}

/// The images there are.
#[derive(Debug, Default)]
pub struct ImagesReport {
    /// Newest first.
    pub images: Vec<ImageRow>,
    /// One for each image whose record cannot be read.
    pub errors: Vec<crate::Error>,
}

/// An image, all that is known of it.
#[derive(Debug, Clone, PartialEq, Default, Serialize, Deserialize)]
#[serde(rename_all = "PascalCase", default)]
pub struct ImageInspect {
    /// All 64 digits.
    pub id: String,
    /// Of its manifest.
    pub digest: String,
    /// Its names.
    pub repo_tags: Vec<String>,
    /// Its names by digest.
    pub repo_digests: Vec<String>,
    /// Always empty.
    pub parent: String,
    /// The remark of its newest step.
    pub comment: String,
    /// When it was made.
    pub created: Time,
    /// What a container of it runs.
    pub config: Settings,
    /// The version of the docker that made it.
    pub version: String,
    /// Who made it.
    pub author: String,
    /// `amd64`, …
    pub architecture: String,
    /// `linux`.
    pub os: String,
    /// Bytes of its layers.
    pub size: u64,
    /// As `size`.
    pub virtual_size: u64,
    /// Where its layers are.
    pub graph_driver: GraphDriver,
    /// Its layers by digest.
    #[serde(rename = "RootFS")]
    pub root_fs: ImageRootFs,
    /// Its labels.
    pub labels: BTreeMap<String, String>,
    /// The annotations of its manifest.
    pub annotations: BTreeMap<String, String>,
    /// The media type of its manifest.
    pub manifest_type: String,
    /// Who runs it.
    pub user: String,
    /// How it was made, oldest step first.
    pub history: Vec<dhow_image::HistoryEntry>,
    /// Its names.
    pub names_history: Vec<String>,
}

/// The layers of an image.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "PascalCase", default)]
pub struct ImageRootFs {
    /// Always `layers`.
    #[serde(rename = "Type")]
    pub kind: String,
    /// Digests of the uncompressed layers, bottom first.
    pub layers: Vec<String>,
}

/// A step in an image's history.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(default)]
pub struct HistoryRow {
    /// The image as it was after this step, or `<missing>`.
    pub id: String,
    /// When.
    pub created: Time,
    /// The command or instruction.
    #[serde(rename = "CreatedBy")]
    pub created_by: String,
    /// Bytes of the layer it made.
    pub size: u64,
    /// A remark.
    pub comment: String,
    /// The names of that image.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub tags: Vec<String>,
}

/// What differs.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(default)]
pub struct DiffReport {
    /// Paths that are in both and differ.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub changed: Vec<String>,
    /// Paths that are new.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub added: Vec<String>,
    /// Paths that are gone.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub deleted: Vec<String>,
}

impl DiffReport {
    /// Every path with its letter, `A`, `C` or `D`, in the order of the paths.
    pub fn lines(&self) -> impl Iterator<Item = (char, &str)> {
        let lists = [('C', &self.changed), ('A', &self.added), ('D', &self.deleted)];
        let mut lines: Vec<(char, &str)> = lists
            .into_iter()
            .flat_map(|(letter, paths)| paths.iter().map(move |path| (letter, path.as_str())))
            .collect();
        lines.sort_by_key(|(_, path)| *path);
        lines.into_iter()
    }
}

/// An image that `load` has found in an archive.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "PascalCase", default)]
pub struct LoadedImage {
    /// All 64 digits.
    pub id: String,
    /// The names it has from the archive.
    pub names: Vec<String>,
}

/// An image that `pull` has seen to.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "PascalCase", default)]
pub struct PulledImage {
    /// All 64 digits.
    pub id: String,
    /// The name it was pulled under; none: it was here.
    pub name: Option<String>,
    /// What the user should know, though it is no error.
    pub warning: Option<String>,
}

/// What `rmi` has taken away.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "PascalCase", default)]
pub struct RemovedImage {
    /// Names that are gone.
    pub untagged: Vec<String>,
    /// The id of the image, if it is gone too.
    pub deleted: Option<String>,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_diff_in_text_is_sorted_by_path() {
        let report = DiffReport {
            changed: vec!["/etc".into()],
            added: vec!["/etc/a".into()],
            deleted: vec!["/b".into()],
        };
        let lines: Vec<String> =
            report.lines().map(|(letter, path)| format!("{letter} {path}")).collect();
        assert_eq!(lines, ["D /b", "C /etc", "A /etc/a"]);
        let added = DiffReport { added: vec!["/x".into()], ..DiffReport::default() };
        assert_eq!(serde_json::to_string(&added).unwrap(), r#"{"added":["/x"]}"#);
    }

    #[test]
    fn a_name_in_two_columns() {
        let columns = |name| ImageRow::repository_and_tag(name);
        assert_eq!(columns("localhost/x:1"), ("localhost/x".into(), "1".into()));
        assert_eq!(columns("host:5000/x:latest"), ("host:5000/x".into(), "latest".into()));
    }

    #[test]
    fn the_fields_are_podmans() {
        let row = serde_json::to_value(ImageRow { dangling: true, ..ImageRow::default() }).unwrap();
        for field in [
            "Id",
            "ParentId",
            "RepoTags",
            "RepoDigests",
            "Size",
            "SharedSize",
            "VirtualSize",
            "Labels",
        ] {
            assert!(row.get(field).is_some(), "{field}");
        }
        for field in ["Containers", "Digest", "History", "Created", "CreatedAt", "Dangling"] {
            assert!(row.get(field).is_some(), "{field}");
        }
        let inspect = serde_json::to_value(ImageInspect::default()).unwrap();
        for field in
            ["RootFS", "GraphDriver", "ManifestType", "NamesHistory", "RepoDigests", "Config"]
        {
            assert!(inspect.get(field).is_some(), "{field}");
        }
    }
}
