//! `dhow image prune` and `dhow system prune`.

use anyhow::{Result, bail};
use dhow_engine::report::Pruned;
use dhow_engine::request::{ImageFilter, PruneRequest};

use crate::context::Context;
use crate::error::{self, SUCCESS};
use crate::registry_flags::ask;
use crate::{human, output};

#[derive(Debug, clap::Args)]
#[command(after_help = "Examples:
  dhow image prune -f
  dhow image prune --all --filter until=240h")]
pub(crate) struct ImageArgs {
    /// Remove every image that no container uses, not only those without a name
    #[arg(long, short)]
    all: bool,
    /// Only images for which KEY=VALUE holds, as in label=a or until=24h
    #[arg(long, value_name = "KEY=VALUE")]
    filter: Vec<ImageFilter>,
    /// Do not ask
    #[arg(long, short)]
    force: bool,
}

#[derive(Debug, clap::Args)]
#[command(
    after_help = "Removes containers that do not run, and images without a name. Volumes stay.

Examples:
  dhow system prune
  dhow system prune -af"
)]
pub(crate) struct SystemArgs {
    /// Remove every image that no container uses, not only those without a name
    #[arg(long, short)]
    all: bool,
    /// Do not ask
    #[arg(long, short)]
    force: bool,
}

pub(crate) fn image(args: &ImageArgs, context: &Context) -> Result<u8> {
    let what = if args.all { "all images without a container" } else { "all dangling images" };
    if !args.force && !agreed(&format!("WARNING! This will remove {what}."))? {
        return Ok(SUCCESS);
    }
    let pruned = context.engine()?.prune_images(args.all, &args.filter)?;
    output::print(&pruned.images.iter().map(|id| format!("{id}\n")).collect::<String>())?;
    complain(pruned)
}

pub(crate) fn system(args: &SystemArgs, context: &Context) -> Result<u8> {
    let images = if args.all { "all images without a container" } else { "all dangling images" };
    let warning = format!("WARNING! This will remove:\n  - all stopped containers\n  - {images}\n");
    if !args.force && !agreed(&warning)? {
        return Ok(SUCCESS);
    }
    let request = PruneRequest { all: args.all, filters: Vec::new() };
    let pruned = context.engine()?.prune(&request)?;
    for (what, ids) in [("Containers", &pruned.containers), ("Images", &pruned.images)] {
        if !ids.is_empty() {
            output::line(&format!("Deleted {what}\n{}", ids.join("\n")))?;
        }
    }
    output::line(&format!("Total reclaimed space: {}", human::size(pruned.reclaimed)))?;
    complain(pruned)
}

fn agreed(warning: &str) -> Result<bool> {
    error::warn_line(warning);
    let answer = ask("Are you sure you want to continue? [y/N]")?;
    Ok(matches!(answer.trim().to_lowercase().as_str(), "y" | "yes"))
}

fn complain(pruned: Pruned) -> Result<u8> {
    let count = pruned.errors.len();
    for failed in pruned.errors {
        error::print(&failed.into());
    }
    if count > 0 {
        bail!("{count} of them could not be removed");
    }
    Ok(SUCCESS)
}
