//! What can be asked about images as they travel: `save`, `pull`.

use std::path::PathBuf;
use std::str::FromStr;

use dhow_image::{Access, Platform};
use serde::{Deserialize, Serialize};

use super::{ImageFilter, Invalid};

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

/// `system prune`.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(default)]
pub struct PruneRequest {
    /// Images with a name too, if no container uses them.
    pub all: bool,
    /// Only images for which these hold.
    pub filters: Vec<ImageFilter>,
}

/// When an image is pulled.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum PullPolicy {
    /// Whether it is here or not.
    Always,
    /// If it is not here.
    #[default]
    Missing,
    /// If it is not here, or the registry has another one under that name. Here it may stay if nobody answers.
    Newer,
    /// It must be here.
    Never,
}

impl FromStr for PullPolicy {
    type Err = Invalid;

    fn from_str(text: &str) -> Result<Self, Invalid> {
        Ok(match text {
            "always" | "true" | "1" => Self::Always,
            "missing" | "ifnotpresent" | "IfNotPresent" => Self::Missing,
            "newer" | "ifnewer" => Self::Newer,
            "never" | "false" | "0" => Self::Never,
            _ => {
                let why = "expected always, missing, newer or never".to_owned();
                return Err(Invalid::new("pull policy", text, why));
            }
        })
    }
}

/// `--os`, `--arch`, `--variant`, `--platform`: what is not said is this machine's.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(default)]
pub struct PlatformRequest {
    /// `linux`.
    pub os: Option<String>,
    /// `amd64`, …
    pub architecture: Option<String>,
    /// `v7`, …
    pub variant: Option<String>,
}

impl PlatformRequest {
    /// Whether anything is asked for.
    #[must_use]
    pub fn is_given(&self) -> bool {
        *self != Self::default()
    }

    /// The whole platform.
    #[must_use]
    pub fn resolve(&self) -> Platform {
        let host = Platform::default();
        Platform {
            os: self.os.clone().unwrap_or(host.os),
            architecture: self.architecture.clone().map_or(host.architecture, |a| usual_name(&a)),
            variant: self.variant.clone(),
        }
    }
}

/// Go's name for an architecture that users know by another.
fn usual_name(architecture: &str) -> String {
    match architecture {
        "x86_64" | "x86-64" => "amd64",
        "aarch64" => "arm64",
        "i386" | "i686" => "386",
        "armhf" => "arm",
        other => other,
    }
    .to_owned()
}

impl FromStr for PlatformRequest {
    type Err = Invalid;

    /// `OS/ARCH[/VARIANT]`.
    fn from_str(text: &str) -> Result<Self, Invalid> {
        let parts: Vec<&str> = text.split('/').collect();
        let (os, architecture, variant) = match parts.as_slice() {
            [os, architecture] => (os, architecture, None),
            [os, architecture, variant] => (os, architecture, Some((*variant).to_owned())),
            _ => {
                return Err(Invalid::new(
                    "platform",
                    text,
                    "expected OS/ARCH[/VARIANT]".to_owned(),
                ));
            }
        };
        if parts.iter().any(|part| part.is_empty()) {
            return Err(Invalid::new("platform", text, "a part of it is empty".to_owned()));
        }
        Ok(Self {
            os: Some((*os).to_owned()),
            architecture: Some((*architecture).to_owned()),
            variant,
        })
    }
}

/// `pull`, and the pulling of `run` and `create`.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(default)]
pub struct PullRequest {
    /// A name, short or in full, with a tag or a digest.
    pub image: String,
    /// Whether it is pulled at all.
    pub policy: PullPolicy,
    /// Every tag of the repository.
    pub all_tags: bool,
    /// Which image of several.
    pub platform: PlatformRequest,
    /// How the registry is reached.
    pub access: Access,
    /// The signature policy instead of the machine's.
    pub signature_policy: Option<PathBuf>,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn words() {
        assert_eq!("newer".parse::<PullPolicy>().unwrap(), PullPolicy::Newer);
        assert!("sometimes".parse::<PullPolicy>().unwrap_err().to_string().contains("never"));
        let platform: PlatformRequest = "linux/arm/v7".parse().unwrap();
        assert_eq!(platform.resolve().to_string(), "linux/arm/v7");
        let platform: PlatformRequest = "linux/x86_64".parse().unwrap();
        assert_eq!(platform.resolve().to_string(), "linux/amd64");
        for bad in ["linux", "", "linux/", "a/b/c/d"] {
            assert!(bad.parse::<PlatformRequest>().is_err(), "{bad}");
        }
    }
}
