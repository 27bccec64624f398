//! Operating system, architecture and variant, as images name them (Go's `GOOS` and `GOARCH`).

use std::fmt;

use serde::{Deserialize, Serialize};

/// What an image was made for.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Platform {
    /// `linux`.
    pub os: String,
    /// `amd64`, `arm64`, …
    pub architecture: String,
    /// `v7`, `v8`, …; none where the architecture has no variants or any will do.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub variant: Option<String>,
}

impl Default for Platform {
    /// That of this machine.
    fn default() -> Platform {
        Platform {
            os: "linux".to_owned(),
            architecture: host_architecture().to_owned(),
            variant: None,
        }
    }
}

impl fmt::Display for Platform {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}/{}", self.os, self.architecture)?;
        match &self.variant {
            Some(variant) => write!(f, "/{variant}"),
            None => Ok(()),
        }
    }
}

impl Platform {
    /// Does what was made for `offered` run here?
    #[must_use]
    pub fn serves(&self, offered: &Platform) -> bool {
        // A document that does not say it is not doubted.
        offered.os.is_empty() || offered.architecture.is_empty() || self.rank(offered).is_some()
    }

    /// How well an image for `offered` serves here; `None`: not at all, more is better.
    pub(crate) fn rank(&self, offered: &Platform) -> Option<u32> {
        if self.os != offered.os || self.architecture != offered.architecture {
            return None;
        }
        match (&self.variant, offered.variant.as_deref()) {
            (Some(wanted), Some(variant)) if wanted == variant => Some(1000),
            (Some(_), None) => Some(0),
            (Some(wanted), Some(variant)) => {
                // A newer arm runs what was made for an older one.
                let (wanted, variant) = (variant_number(wanted)?, variant_number(variant)?);
                (variant < wanted).then_some(variant)
            }
            // The plain architecture means its usual variant: v8 of arm64, v7 of arm, v1 of amd64.
            (None, None) => Some(1000),
            (None, Some(variant)) => match (self.architecture.as_str(), variant_number(variant)?) {
                ("arm64", 8) | ("arm", 7) | ("amd64", 1) => Some(999),
                ("arm", older) if older < 7 => Some(older),
                _ => None,
            },
        }
    }
}

fn variant_number(variant: &str) -> Option<u32> {
    variant.strip_prefix('v')?.split('.').next()?.parse().ok()
}

/// Rust's name for the architecture in Go's words.
fn host_architecture() -> &'static str {
    match std::env::consts::ARCH {
        "x86_64" => "amd64",
        "x86" => "386",
        "aarch64" => "arm64",
        "powerpc64" => "ppc64le",
        "loongarch64" => "loong64",
        other => other,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn platform(text: &str) -> Platform {
        let mut parts = text.split('/').map(str::to_owned);
        Platform {
            os: parts.next().unwrap(),
            architecture: parts.next().unwrap(),
            variant: parts.next(),
        }
    }

    #[test]
    fn the_best_of_several_wins() {
        let best = |wanted: &str, offers: &[&str]| {
            let wanted = platform(wanted);
            let ranked = offers.iter().filter_map(|o| Some((wanted.rank(&platform(o))?, *o)));
            ranked.max_by_key(|(rank, _)| *rank).map(|(_, offer)| offer.to_owned())
        };
        let offers =
            ["linux/amd64", "linux/arm/v5", "linux/arm/v7", "linux/arm64/v8", "windows/amd64"];
        assert_eq!(best("linux/amd64", &offers).unwrap(), "linux/amd64");
        assert_eq!(best("linux/arm64", &offers).unwrap(), "linux/arm64/v8");
        assert_eq!(best("linux/arm", &offers).unwrap(), "linux/arm/v7");
        assert_eq!(best("linux/arm/v6", &offers).unwrap(), "linux/arm/v5");
        assert_eq!(best("linux/amd64", &["linux/amd64/v3"]), None);
        assert_eq!(best("linux/riscv64", &offers), None);
    }

    #[test]
    fn shown_as_users_write_it() {
        assert_eq!(platform("linux/arm/v7").to_string(), "linux/arm/v7");
        assert_eq!(platform("linux/amd64").to_string(), "linux/amd64");
    }
}
