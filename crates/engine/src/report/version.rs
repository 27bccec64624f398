//! What `version` tells.

use serde::{Deserialize, Serialize};

/// The versions of the parts that answered; podman's shape, where a remote service would be a second side.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "PascalCase", default)]
pub struct Version {
    /// This program.
    pub client: VersionSide,
}

/// The version of one program.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "PascalCase", default)]
pub struct VersionSide {
    /// The version of the engine's interface.
    #[serde(rename = "APIVersion")]
    pub api_version: String,
    /// The version of dhow.
    pub version: String,
    /// The commit it was built of, where the build was told.
    pub git_commit: String,
    /// Operating system and processor, as image indexes write them: `linux/amd64`.
    pub os_arch: String,
    /// Operating system.
    pub os: String,
}

impl Version {
    /// The version of this build.
    #[must_use]
    pub fn of_this_build() -> Version {
        let version = env!("CARGO_PKG_VERSION").to_owned();
        Version {
            client: VersionSide {
                api_version: version.clone(),
                version,
                git_commit: option_env!("DHOW_GIT_COMMIT").unwrap_or_default().to_owned(),
                os_arch: format!("{}/{}", std::env::consts::OS, go_arch(std::env::consts::ARCH)),
                os: std::env::consts::OS.to_owned(),
            },
        }
    }
}

/// The processor's name as image indexes and Go programs write it.
#[must_use]
pub(super) fn go_arch(arch: &str) -> &str {
    match arch {
        "x86_64" => "amd64",
        "x86" => "386",
        "aarch64" => "arm64",
        "powerpc64" if cfg!(target_endian = "little") => "ppc64le",
        "powerpc64" => "ppc64",
        "loongarch64" => "loong64",
        other => other,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn architectures_have_gos_names() {
        assert_eq!(go_arch("x86_64"), "amd64");
        assert_eq!(go_arch("aarch64"), "arm64");
        assert_eq!(go_arch("riscv64"), "riscv64");
        let version = Version::of_this_build();
        assert!(version.client.os_arch.starts_with("linux/"));
        assert_eq!(version.client.version, env!("CARGO_PKG_VERSION"));
    }
}
