//! `dhow unmount`.

use anyhow::Result;
use dhow_engine::Status;

use crate::context::Context;
use crate::error;
use crate::targets::Targets;

#[derive(Debug, clap::Args)]
#[command(after_help = "Takes back one `dhow mount`; the last is refused while the container runs.

Examples:
  dhow unmount web
  dhow unmount --all")]
pub(crate) struct Args {
    #[command(flatten)]
    targets: Targets,
    /// Take back all mounts at once
    #[arg(long, short)]
    force: bool,
}

pub(crate) fn run(args: &Args, context: &Context) -> Result<u8> {
    let engine = context.engine()?;
    let fits = |status| !matches!(status, Status::Running | Status::Paused | Status::Stopping);
    let targets = args.targets.resolve(&engine, false, fits)?;
    targets.each(error::code, |name| engine.unmount(name, args.force))
}
