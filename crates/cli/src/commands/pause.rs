//! `dhow pause`.

use anyhow::Result;
use dhow_engine::Status;

use crate::context::Context;
use crate::error;
use crate::targets::Targets;

#[derive(Debug, clap::Args)]
#[command(after_help = "Examples:
  dhow pause web
  dhow pause --all")]
pub(crate) struct Args {
    #[command(flatten)]
    targets: Targets,
}

pub(crate) fn run(args: &Args, context: &Context) -> Result<u8> {
    let engine = context.engine()?;
    let targets = args.targets.resolve(&engine, false, |status| status == Status::Running)?;
    targets.each(error::code, |name| engine.pause(name))
}
