//! `dhow logout`.

use std::path::PathBuf;

use anyhow::{Result, bail};

use crate::context::Context;
use crate::error::SUCCESS;
use crate::output;

#[derive(Debug, clap::Args)]
#[command(after_help = "Examples:
  dhow logout registry.example.org
  dhow logout --all")]
pub(crate) struct Args {
    /// The registry as it was logged in to
    registry: Option<String>,
    /// Forget all credentials of the file
    #[arg(long, short, conflicts_with = "registry")]
    all: bool,
    /// The file with the credentials [env: REGISTRY_AUTH_FILE]
    #[arg(long, value_name = "FILE")]
    authfile: Option<PathBuf>,
}

pub(crate) fn run(args: &Args, context: &Context) -> Result<u8> {
    if args.all == args.registry.is_some() {
        bail!("name a registry, or use --all");
    }
    let found = context.engine()?.logout(args.registry.as_deref(), args.authfile.as_deref())?;
    match &args.registry {
        Some(registry) if !found => bail!("not logged in to {registry}"),
        Some(registry) => {
            output::line(&format!("Removed login credentials for {registry}"))?;
        }
        None => output::line("Removed login credentials for all registries")?,
    }
    Ok(SUCCESS)
}
