//! `dhow untag`.

use anyhow::Result;

use crate::context::Context;
use crate::error::SUCCESS;

#[derive(Debug, clap::Args)]
#[command(after_help = "Examples:
  dhow untag 3f5a localhost/base:1
  dhow untag localhost/base                all its names")]
pub(crate) struct Args {
    /// Name, id, or beginning of an id
    image: String,
    /// Names to be taken away [default: all]
    #[arg(value_name = "NAME")]
    names: Vec<String>,
}

pub(crate) fn run(args: &Args, context: &Context) -> Result<u8> {
    context.engine()?.untag(&args.image, &args.names)?;
    Ok(SUCCESS)
}
