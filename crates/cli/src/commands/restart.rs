//! `dhow restart`.

use anyhow::{Result, bail};
use dhow_engine::Status;
use dhow_engine::request::{RestartRequest, Timeout};

use crate::context::Context;
use crate::create_flags::value;
use crate::error;
use crate::targets::Targets;

#[derive(Debug, clap::Args)]
#[command(after_help = "Examples:
  dhow restart web
  dhow restart -t 2 --running")]
pub(crate) struct Args {
    #[command(flatten)]
    targets: Targets,
    /// All containers that run
    #[arg(long)]
    running: bool,
    /// Seconds until KILL; -1 for ever [default: the container's, 10]
    #[arg(long, short, visible_alias = "timeout", value_name = "SECONDS", allow_negative_numbers = true, value_parser = value::<Timeout>)]
    time: Option<Timeout>,
}

pub(crate) fn run(mut args: Args, context: &Context) -> Result<u8> {
    let engine = context.engine()?;
    if args.running && (args.targets.all || args.targets.latest || !args.targets.names.is_empty()) {
        bail!("--running excludes containers' names, --all and --latest");
    }
    args.targets.all |= args.running;
    let fits =
        |status| if args.running { status == Status::Running } else { status != Status::Removing };
    let targets = args.targets.resolve(&engine, false, fits)?;
    targets.each(error::code, |name| {
        engine.restart(&RestartRequest { container: name.to_owned(), timeout: args.time })
    })
}
