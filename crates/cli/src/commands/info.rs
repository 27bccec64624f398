//! `dhow info`: the machine, the engine on it, and how much it holds.

mod yaml;

use anyhow::Result;

use crate::context::Context;
use crate::template::{self, Format};
use crate::{error, output};

#[derive(Debug, clap::Args)]
#[command(after_help = "Examples:
  dhow info
  dhow info --format '{{.Store.GraphRoot}}'")]
pub(crate) struct Args {
    /// Print as JSON, or with a Go template
    #[arg(short, long, value_name = "FORMAT")]
    format: Option<String>,
}

/// Performs the command.
pub(crate) fn run(args: &Args, context: &Context) -> Result<u8> {
    let format = args.format.as_deref().map(Format::parse).transpose()?;
    let info = context.engine()?.info()?;
    output::print(&match format {
        None => yaml::to_text(&serde_json::to_value(&info)?),
        Some(format) => template::one(&format, &info)?,
    })?;
    Ok(error::SUCCESS)
}
