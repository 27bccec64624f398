//! `dhow kill`.

use anyhow::Result;
use dhow_engine::Status;
use dhow_engine::request::{KillRequest, Signal};

use crate::context::Context;
use crate::create_flags::value;
use crate::error;
use crate::targets::Targets;

#[derive(Debug, clap::Args)]
#[command(after_help = "Examples:
  dhow kill web
  dhow kill -s HUP web
  dhow kill -s RTMIN+3 --all")]
pub(crate) struct Args {
    #[command(flatten)]
    targets: Targets,
    /// Signal, by name or number
    #[arg(long, short, value_name = "SIGNAL", default_value = "KILL", value_parser = value::<Signal>)]
    signal: Signal,
}

pub(crate) fn run(args: &Args, context: &Context) -> Result<u8> {
    let engine = context.engine()?;
    let fits = |status| matches!(status, Status::Running | Status::Paused | Status::Stopping);
    let targets = args.targets.resolve(&engine, false, fits)?;
    targets.each(error::code, |name| {
        engine.kill(&KillRequest { container: name.to_owned(), signal: args.signal })
    })
}
