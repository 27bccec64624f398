//! `dhow tag`.

use anyhow::Result;

use crate::context::Context;
use crate::error::SUCCESS;

#[derive(Debug, clap::Args)]
#[command(after_help = "Examples:
  dhow tag busybox:latest localhost/base:1 localhost/base:latest")]
pub(crate) struct Args {
    /// Name, id, or beginning of an id
    image: String,
    /// Names to be added
    #[arg(required = true, value_name = "NAME")]
    names: Vec<String>,
}

pub(crate) fn run(args: &Args, context: &Context) -> Result<u8> {
    context.engine()?.tag(&args.image, &args.names)?;
    Ok(SUCCESS)
}
