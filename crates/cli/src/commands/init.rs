//! `dhow init`.

use anyhow::Result;
use dhow_engine::Status;

use crate::context::Context;
use crate::error;
use crate::targets::Targets;

#[derive(Debug, clap::Args)]
#[command(
    after_help = "Mounts the root file system and has the runtime make the process, which waits for `dhow start`.

Examples:
  dhow init web && dhow start web"
)]
pub(crate) struct Args {
    #[command(flatten)]
    targets: Targets,
}

pub(crate) fn run(args: &Args, context: &Context) -> Result<u8> {
    let engine = context.engine()?;
    let fits = |status| matches!(status, Status::Created | Status::Stopped | Status::Exited);
    let targets = args.targets.resolve(&engine, false, fits)?;
    targets.each(error::code, |name| engine.init(name))
}
