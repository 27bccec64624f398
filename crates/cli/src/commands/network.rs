//! `dhow network`: the commands that need few words; `create` and `ls` have files of their own.

pub(crate) mod create;
pub(crate) mod ls;

use anyhow::{Result, bail};
use dhow_engine::Error;
use dhow_engine::request::{NetworkFilter, Timeout};

use crate::context::Context;
use crate::create_flags::value;
use crate::targets::ignoring;
use crate::template::{self, Format};
use crate::{error, output};

/// A network does not exist.
const ABSENT: u8 = 1;
/// A network is in use.
const IN_USE: u8 = 2;

#[derive(Debug, clap::Args)]
pub(crate) struct NameArgs {
    /// A network's name or id
    network: String,
}

#[derive(Debug, clap::Args)]
#[command(after_help = "Examples:
  dhow network inspect bridge
  dhow network inspect --format '{{range .Subnets}}{{.Subnet}}{{end}}' web")]
pub(crate) struct InspectArgs {
    /// Names, ids, or beginnings of ids
    #[arg(required = true, value_name = "NETWORK")]
    networks: Vec<String>,
    /// Print with a Go template instead of as JSON
    #[arg(short, long, value_name = "FORMAT")]
    format: Option<String>,
}

#[derive(Debug, clap::Args)]
#[command(
    after_help = "Exit codes: 1 a network does not exist, 2 one is in use by a container, 125 any other error."
)]
pub(crate) struct RmArgs {
    /// Names, ids, or beginnings of ids
    #[arg(required = true, value_name = "NETWORK")]
    networks: Vec<String>,
    /// Remove the containers that use them, too
    #[arg(long, short)]
    force: bool,
    /// Seconds that running containers have to end [default: 10]
    #[arg(long, short, value_name = "SECONDS", allow_negative_numbers = true, value_parser = value::<Timeout>)]
    time: Option<Timeout>,
}

#[derive(Debug, clap::Args)]
#[command(
    after_help = "The bridges of networks without a running container are taken down too; they come again with the next.

Examples:
  dhow network prune
  dhow network prune --filter label=stage=test"
)]
pub(crate) struct PruneArgs {
    /// Do not ask; dhow never does
    #[arg(long, short)]
    force: bool,
    /// Only those for which KEY=VALUE holds: label, label!, until, name
    #[arg(long, value_name = "KEY=VALUE", value_parser = value::<NetworkFilter>)]
    filter: Vec<NetworkFilter>,
}

#[derive(Debug, clap::Args)]
#[command(
    after_help = "The rules of all connected containers lie in one table, which is written as a whole."
)]
pub(crate) struct ReloadArgs {
    /// Names, ids, or beginnings of ids
    #[arg(value_name = "CONTAINER")]
    containers: Vec<String>,
    /// All containers
    #[arg(long, short)]
    all: bool,
}

/// `network exists`.
pub(crate) fn exists(args: &NameArgs, context: &Context) -> Result<u8> {
    let exists = context.engine()?.network_exists(&args.network)?;
    Ok(if exists { error::SUCCESS } else { ABSENT })
}

/// `network inspect`.
pub(crate) fn inspect(args: &InspectArgs, context: &Context) -> Result<u8> {
    let format = args.format.as_deref().map_or(Ok(Format::Json), Format::parse)?;
    let engine = context.engine()?;
    let (mut found, mut missing) = (Vec::new(), Vec::new());
    for name in &args.networks {
        match engine.network_inspect(name) {
            Ok(network) => found.push(network),
            Err(e) => missing.push(e.into()),
        }
    }
    output::print(&match &format {
        Format::Json => template::json(&found)?,
        Format::Rows(template) => template.render_rows(&found)?,
        Format::DefaultTable | Format::Table(_) => bail!("--format: inspect has no table"),
    })?;
    missing.iter().for_each(error::print);
    Ok(if missing.is_empty() { error::SUCCESS } else { error::ENGINE })
}

/// `network rm`.
pub(crate) fn rm(args: &RmArgs, context: &Context) -> Result<u8> {
    let engine = context.engine()?;
    let mut worst = error::SUCCESS;
    for name in &args.networks {
        let removed = engine.network_remove(name, args.force, args.time).map_err(Into::into);
        match ignoring(args.force, removed) {
            Ok(_) => output::line(name)?,
            Err(e) => {
                error::print(&e);
                worst = worst.max(match error::engine_error(&e) {
                    Some(Error::NoSuch { .. }) => ABSENT,
                    Some(Error::InUse { .. }) => IN_USE,
                    _ => error::code(&e),
                });
            }
        }
    }
    Ok(worst)
}

/// `network prune`.
pub(crate) fn prune(args: &PruneArgs, context: &Context) -> Result<u8> {
    let (removed, failed) = context.engine()?.network_prune(&args.filter)?;
    for name in &removed {
        output::line(name)?;
    }
    let failed: Vec<anyhow::Error> = failed.into_iter().map(Into::into).collect();
    failed.iter().for_each(error::print);
    Ok(if failed.is_empty() { error::SUCCESS } else { error::ENGINE })
}

/// `network reload`.
pub(crate) fn reload(args: &ReloadArgs, context: &Context) -> Result<u8> {
    if args.all != args.containers.is_empty() {
        bail!("name at least one container, or use --all; not both");
    }
    let engine = context.engine()?;
    for name in &args.containers {
        engine.resolve(name)?;
    }
    engine.network_reload()?;
    for name in &args.containers {
        output::line(name)?;
    }
    Ok(error::SUCCESS)
}
