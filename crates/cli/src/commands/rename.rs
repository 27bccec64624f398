//! `dhow rename`.

use anyhow::Result;

use crate::context::Context;
use crate::error::SUCCESS;

#[derive(Debug, clap::Args)]
#[command(after_help = "Examples:
  dhow rename web old-web")]
pub(crate) struct Args {
    /// Name, id, or beginning of an id
    container: String,
    /// The new name
    name: String,
}

pub(crate) fn run(args: &Args, context: &Context) -> Result<u8> {
    context.engine()?.rename(&args.container, &args.name)?;
    Ok(SUCCESS)
}
