//! `dhow version`.

use anyhow::Result;
use dhow_engine::report::Version;

use crate::template::{self, Format};
use crate::{error, output};

#[derive(Debug, clap::Args)]
#[command(after_help = "Examples:
  dhow version
  dhow version --format '{{.Client.Version}}'")]
pub(crate) struct Args {
    /// Print as JSON, or with a Go template
    #[arg(short, long, value_name = "FORMAT")]
    format: Option<String>,
}

/// Performs the command.
pub(crate) fn run(args: &Args) -> Result<u8> {
    let version = Version::of_this_build();
    output::print(&match &args.format {
        None => text(&version),
        Some(format) => template::one(&Format::parse(format)?, &version)?,
    })?;
    Ok(error::SUCCESS)
}

fn text(version: &Version) -> String {
    let client = &version.client;
    let mut text = format!(
        "Client:       dhow\nVersion:      {}\nAPI Version:  {}\n",
        client.version, client.api_version
    );
    if !client.git_commit.is_empty() {
        text.push_str(&format!("Git Commit:   {}\n", client.git_commit));
    }
    text.push_str(&format!("OS/Arch:      {}\n", client.os_arch));
    text
}

#[cfg(test)]
mod tests {
    use super::*;
    use dhow_engine::report::VersionSide;
    use expect_test::expect;

    #[test]
    fn text_and_templates() {
        let side = |commit: &str| VersionSide {
            api_version: "0.1.0".into(),
            version: "0.1.0".into(),
            git_commit: commit.into(),
            os_arch: "linux/amd64".into(),
            os: "linux".into(),
        };
        let version = Version { client: side("") };
        expect![[r#"
            Client:       dhow
            Version:      0.1.0
            API Version:  0.1.0
            OS/Arch:      linux/amd64
        "#]]
        .assert_eq(&text(&version));
        assert!(text(&Version { client: side("abc") }).contains("Git Commit:   abc\n"));
        let format = Format::parse("{{.Client.Version}}").unwrap();
        assert_eq!(template::one(&format, &version).unwrap(), "0.1.0\n");
    }
}
