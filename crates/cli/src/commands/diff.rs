//! `dhow diff`: which files differ between a container or image and what it was made from.

use anyhow::{Result, bail};
use dhow_engine::report::DiffReport;

use crate::context::Context;
use crate::{error, output, template};

#[derive(Debug, clap::Args)]
#[command(after_help = "Examples:
  dhow diff web
  dhow diff --format json IMAGE")]
pub(crate) struct Args {
    /// A container or image
    #[arg(required_unless_present = "latest")]
    object: Option<String>,
    /// Print as JSON
    #[arg(long, value_name = "json")]
    format: Option<String>,
    /// Use the container created last
    #[arg(short, long, conflicts_with = "object")]
    latest: bool,
}

/// Performs the command.
pub(crate) fn run(args: &Args, context: &Context) -> Result<u8> {
    let json = match args.format.as_deref() {
        None => false,
        Some(format) if template::is_json(format) => true,
        Some(other) => bail!("invalid --format {other:?}: diff knows only json"),
    };
    let engine = context.engine()?;
    let object = match &args.object {
        Some(object) => object.clone(),
        None => engine.latest()?.to_string(),
    };
    let report = engine.diff(&object, None)?;
    output::print(&if json { template::json(&report)? } else { lines(&report) })?;
    Ok(error::SUCCESS)
}

fn lines(report: &DiffReport) -> String {
    report.lines().map(|(kind, path)| format!("{kind} {path}\n")).collect()
}
