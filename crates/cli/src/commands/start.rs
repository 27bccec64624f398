//! `dhow start`.

use anyhow::{Result, bail};
use dhow_engine::request::{AttachRequest, ContainerFilter, DetachKeys, StartRequest, Streams};
use dhow_engine::{Engine, Status};

use crate::attached::{Foreground, Manner};
use crate::context::Context;
use crate::create_flags::value;
use crate::error::{self, SUCCESS};
use crate::targets::Targets;
use crate::terminal;

#[derive(Debug, clap::Args)]
#[command(after_help = "Examples:
  dhow start web db
  dhow start -ai shell                     be attached with input: the exit code is the container's
  dhow start --all")]
pub(crate) struct Args {
    /// Names, ids, or beginnings of ids
    #[arg(value_name = "CONTAINER")]
    names: Vec<String>,
    // Not by `Targets`: here, -a is --attach.
    /// All containers that do not run
    #[arg(long)]
    all: bool,
    /// The container that was created last
    #[arg(long, short)]
    latest: bool,
    /// Those for which this holds, as in name=web or label=app=web
    #[arg(long, short, value_name = "KEY=VALUE", value_parser = value::<ContainerFilter>)]
    filter: Vec<ContainerFilter>,
    /// Be attached to its output
    #[arg(long, short)]
    attach: bool,
    /// Be attached with input too
    #[arg(long, short)]
    interactive: bool,
    /// Keys that detach: characters or ctrl-X, separated by commas; "" for none
    #[arg(long, value_name = "KEYS", value_parser = value::<DetachKeys>)]
    detach_keys: Option<DetachKeys>,
    /// Pass signals on to it [default: as --attach]
    #[arg(long, value_name = "BOOL", num_args = 0..=1, require_equals = true, default_missing_value = "true", hide_possible_values = true)]
    sig_proxy: Option<bool>,
}

pub(crate) fn run(args: &Args, context: &Context) -> Result<u8> {
    let engine = context.engine()?;
    let fits = |status| {
        matches!(status, Status::Created | Status::Initialized | Status::Stopped | Status::Exited)
    };
    let targets = Targets {
        names: args.names.clone(),
        all: args.all,
        latest: args.latest,
        filter: args.filter.clone(),
        cidfile: Vec::new(),
    };
    let targets = targets.resolve(&engine, false, fits)?;
    if !(args.attach || args.interactive) {
        if args.sig_proxy == Some(true) {
            bail!("--sig-proxy goes with --attach");
        }
        return targets.each(error::code, |name| {
            engine.start(&StartRequest { container: name.to_owned() }).map(drop)
        });
    }
    let [name] = &targets.names[..] else {
        bail!(
            "--attach and --interactive are for one container at a time, not {}",
            targets.names.len()
        );
    };
    attached(&engine, name, args)
}

fn attached(engine: &Engine, name: &str, args: &Args) -> Result<u8> {
    let id = engine.resolve(name)?.to_string();
    let streams = Streams { stdin: args.interactive, stdout: true, stderr: true };
    let mut foreground = Foreground::new(engine, args.sig_proxy.unwrap_or(true))?;
    let request = AttachRequest { container: id.clone(), streams, window: terminal::own_window() };
    let running = engine.status(&engine.resolve(&id)?)? == Status::Running;
    let attendance = if running { None } else { Some(engine.attend(&id)?) };
    let session = engine.start_attached(&request)?;
    let manner = Manner { streams, detach_keys: args.detach_keys.clone().unwrap_or_default() };
    let Some(code) = foreground.follow(Some(session), &manner, &id)? else {
        return Ok(SUCCESS);
    };
    if let Some(attendance) = attendance {
        attendance.finish()?;
    }
    Ok(code)
}
