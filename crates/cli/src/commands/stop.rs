//! `dhow stop`.

use anyhow::Result;
use dhow_engine::Status;
use dhow_engine::request::{StopRequest, Timeout};

use crate::context::Context;
use crate::create_flags::value;
use crate::error;
use crate::targets::Targets;

#[derive(Debug, clap::Args)]
#[command(after_help = "The container gets its stop signal, and KILL when the time is over.

Examples:
  dhow stop web
  dhow stop -t 2 --all
  dhow stop --filter label=app=web")]
pub(crate) struct Args {
    #[command(flatten)]
    targets: Targets,
    /// Pass over containers that do not exist
    #[arg(long, short)]
    ignore: bool,
    /// Seconds until KILL; -1 for ever [default: the container's, 10]
    #[arg(long, short, visible_alias = "timeout", value_name = "SECONDS", allow_negative_numbers = true, value_parser = value::<Timeout>)]
    time: Option<Timeout>,
}

pub(crate) fn run(args: &Args, context: &Context) -> Result<u8> {
    let engine = context.engine()?;
    let fits = |status| {
        matches!(status, Status::Running | Status::Paused | Status::Stopping | Status::Initialized)
    };
    let targets = args.targets.resolve(&engine, args.ignore, fits)?;
    targets.each(error::code, |name| {
        engine.stop(&StopRequest { container: name.to_owned(), timeout: args.time }).map(drop)
    })
}
