//! `dhow rm`.

use anyhow::{Result, bail};
use dhow_engine::request::{RemoveRequest, Timeout};
use dhow_engine::{Error, Status};

use crate::context::Context;
use crate::create_flags::value;
use crate::error;
use crate::targets::Targets;

#[derive(Debug, clap::Args)]
#[command(
    after_help = "Exit codes: 1 a container does not exist, 2 one runs or is paused, 125 any other error.

Examples:
  dhow rm web
  dhow rm -f --all
  dhow rm --filter status=exited
  dhow rm -f -i --cidfile /run/web.cid"
)]
pub(crate) struct Args {
    #[command(flatten)]
    targets: Targets,
    /// Stop those that run first; remove damaged ones too; pass over those that do not exist
    #[arg(long, short)]
    force: bool,
    /// Pass over containers that do not exist
    #[arg(long, short)]
    ignore: bool,
    /// Remove their anonymous volumes too
    #[arg(long, short)]
    volumes: bool,
    /// Remove the containers that share their namespaces too
    #[arg(long)]
    depend: bool,
    /// With --force, seconds until KILL; -1 for ever [default: the container's, 10]
    #[arg(long, short, value_name = "SECONDS", allow_negative_numbers = true, value_parser = value::<Timeout>)]
    time: Option<Timeout>,
}

/// A container does not exist.
const ABSENT: u8 = 1;
/// A container is in a state in which it cannot be removed.
const STATE: u8 = 2;

pub(crate) fn run(args: &Args, context: &Context) -> Result<u8> {
    if args.time.is_some() && !args.force {
        bail!("--time goes with --force");
    }
    let engine = context.engine()?;
    // As in podman ≥ 4: what --force wants is that the container is not there.
    let ignore = args.ignore || args.force;
    let targets = if args.force {
        args.targets.resolve_any(&engine, ignore)?
    } else {
        let ended = |status| !matches!(status, Status::Running | Status::Paused | Status::Stopping);
        args.targets.resolve(&engine, ignore, ended)?
    };
    targets.each(code, |name| {
        engine.remove(&RemoveRequest {
            container: name.to_owned(),
            force: args.force,
            volumes: args.volumes,
            depend: args.depend,
            timeout: args.time,
        })
    })
}

fn code(e: &anyhow::Error) -> u8 {
    match error::engine_error(e) {
        Some(Error::NoSuch { .. }) => ABSENT,
        Some(Error::InvalidState { .. }) => STATE,
        _ => error::code(e),
    }
}
