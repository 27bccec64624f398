//! `dhow mount`.

use anyhow::Result;
use serde_json::json;

use crate::context::Context;
use crate::error;
use crate::output;
use crate::table::Table;
use crate::targets::Targets;

#[derive(Debug, clap::Args)]
#[command(after_help = "Without a container, lists what is mounted.

Examples:
  dhow mount web
  dhow mount --all
  dhow mount --format json")]
pub(crate) struct Args {
    #[command(flatten)]
    targets: Targets,
    /// Print JSON
    #[arg(long, value_name = "FORMAT", value_parser = ["json"], hide_possible_values = true)]
    format: Option<String>,
    /// Print full ids
    #[arg(long, visible_alias = "no-trunc")]
    notruncate: bool,
}

/// A container and where it is mounted.
struct Mounted {
    id: String,
    names: Vec<String>,
    path: String,
}

pub(crate) fn run(args: &Args, context: &Context) -> Result<u8> {
    let engine = context.engine()?;
    let targets = &args.targets;
    let lists = targets.names.is_empty()
        && !targets.all
        && !targets.latest
        && targets.filter.is_empty()
        && targets.cidfile.is_empty();
    let mut worst = error::SUCCESS;
    let mut mounted = Vec::new();
    if lists {
        for mount in engine.mounts()? {
            let (id, path) = (mount.id.to_string(), mount.path.display().to_string());
            mounted.push(Mounted { id, names: vec![mount.name.to_string()], path });
        }
    } else {
        for name in targets.resolve(&engine, false, |_| true)?.names {
            match engine.mount(&name).and_then(|path| Ok((engine.resolve(&name)?, path))) {
                Ok((id, path)) => mounted.push(Mounted {
                    id: id.to_string(),
                    names: vec![name],
                    path: path.display().to_string(),
                }),
                Err(e) => {
                    let e = e.into();
                    error::print(&e);
                    worst = worst.max(error::code(&e));
                }
            }
        }
    }
    print(args, lists, &mounted)?;
    Ok(worst)
}

fn print(args: &Args, lists: bool, mounted: &[Mounted]) -> Result<()> {
    if args.format.is_some() {
        let rows: Vec<_> = mounted
            .iter()
            .map(|m| json!({ "id": m.id, "Names": m.names, "mountpoint": m.path }))
            .collect();
        return output::line(&serde_json::to_string_pretty(&rows)?);
    }
    if let ([one], false, 1) = (mounted, lists, args.targets.names.len()) {
        return output::line(&one.path);
    }
    let mut table = Table::new();
    for m in mounted {
        let id = if args.notruncate { m.id.as_str() } else { m.id.get(..12).unwrap_or(&m.id) };
        table.row([id, m.path.as_str()]);
    }
    output::print(&table.render())
}
