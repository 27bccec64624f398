//! What can be asked about images beyond one verb's name: `save`.

use serde::{Deserialize, Serialize};

/// `save`: where to is said beside this.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(default)]
pub struct SaveRequest {
    /// Names, ids or prefixes.
    pub images: Vec<String>,
    /// More names for the only image in the archive.
    pub tags: Vec<String>,
    /// Whether layers are packed by gzip; none: as is usual for the format.
    pub compress: Option<bool>,
}
