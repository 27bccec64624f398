//! `dhow ps`: the containers there are.

mod view;

use std::time::{Duration, Instant};

use anyhow::{Result, bail};
use dhow_engine::Engine;
use dhow_engine::report::PsRow;
use dhow_engine::request::{ContainerFilter, PsRequest};
use jiff::Timestamp;

use crate::context::Context;
use crate::template::{self, Format};
use crate::{error, output};
use view::{PsJson, View};

/// The columns that templates may name differently from the table of `ps` itself.
const HEADINGS: [(&str, &str); 6] = [
    ("CGROUPNS", "CGROUPNS"),
    ("CreatedHuman", "CREATED"),
    ("ID", "CONTAINER ID"),
    ("Pod", "POD ID"),
    ("PodName", "PODNAME"),
    ("RunningFor", "CREATED"),
];

#[derive(Debug, clap::Args)]
#[command(after_help = r"Examples:
  dhow ps -a
  dhow ps --filter status=exited --format '{{.Names}} {{.ExitCode}}'
  dhow ps --format 'table {{.ID}}\t{{.Names}}\t{{.Status}}'")]
pub(crate) struct Args {
    /// Show all containers, not only those that run
    #[arg(short, long)]
    all: bool,
    /// Show only containers for which KEY=VALUE holds (id, name, label, status, exited, ancestor, before, since, until, volume, network, restart-policy)
    #[arg(short, long = "filter", value_name = "KEY=VALUE")]
    filters: Vec<ContainerFilter>,
    /// Print as JSON, or with a Go template
    #[arg(long, value_name = "FORMAT")]
    format: Option<String>,
    /// Show the N containers created last, in any state
    #[arg(short = 'n', long, value_name = "N")]
    last: Option<usize>,
    /// Show the container created last, in any state
    #[arg(short, long, conflicts_with = "last")]
    latest: bool,
    /// Show the namespaces of each container
    #[arg(long = "ns", alias = "namespace", conflicts_with = "size")]
    namespaces: bool,
    /// Show ids and commands in full
    #[arg(long)]
    no_trunc: bool,
    /// Leave the heading out
    #[arg(long)]
    noheading: bool,
    /// Print ids only
    #[arg(short, long, conflicts_with_all = ["size", "namespaces"])]
    quiet: bool,
    /// Show how much each container takes on disk
    #[arg(short, long)]
    size: bool,
    /// Sort by command, created, id, image, names, runningfor, size or status
    #[arg(long, value_name = "KEY", default_value = "created", hide_default_value = true)]
    sort: SortKey,
    /// Print again every so many seconds
    #[arg(short, long, value_name = "SECONDS", conflicts_with = "latest", value_parser = clap::value_parser!(u64).range(1..))]
    watch: Option<u64>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, clap::ValueEnum)]
#[value(rename_all = "lower")]
enum SortKey {
    Command,
    Created,
    Id,
    Image,
    Names,
    RunningFor,
    Size,
    Status,
}

/// Performs the command: an error after the list if containers could not be read.
pub(crate) fn run(args: &Args, context: &Context) -> Result<u8> {
    let format = Format::parse_option(args.format.as_deref())?;
    let engine = context.engine()?;
    let Some(seconds) = args.watch else {
        once(&engine, args, &format)?;
        return Ok(error::SUCCESS);
    };
    loop {
        output::print("\x1b[2J\x1b[H")?;
        once(&engine, args, &format)?;
        let next = Instant::now() + Duration::from_secs(seconds);
        while let Some(rest) =
            next.checked_duration_since(Instant::now()).filter(|rest| !rest.is_zero())
        {
            std::thread::park_timeout(rest);
        }
    }
}

fn once(engine: &Engine, args: &Args, format: &Format) -> Result<()> {
    let report = engine.ps(&PsRequest {
        all: args.all,
        last: if args.latest { Some(1) } else { args.last },
        size: args.size || args.sort == SortKey::Size,
        namespaces: args.namespaces || args.format.is_some(),
        filters: args.filters.clone(),
    })?;
    let mut rows = report.rows;
    sort(&mut rows, args.sort);
    output::print(&render(&rows, args, format, Timestamp::now())?)?;
    let damaged = report.errors.len();
    for damage in report.errors {
        error::print(&anyhow::Error::from(damage));
    }
    if damaged > 0 {
        bail!("{damaged} of the containers cannot be read; the list is not complete");
    }
    Ok(())
}

fn sort(rows: &mut [PsRow], key: SortKey) {
    rows.sort_by(|a, b| match key {
        SortKey::Command => a.command.cmp(&b.command),
        SortKey::Created => a.created.cmp(&b.created),
        SortKey::Id => a.id.cmp(&b.id),
        SortKey::Image => a.image.cmp(&b.image),
        SortKey::Names => a.names.cmp(&b.names),
        SortKey::RunningFor => a.started_at.cmp(&b.started_at),
        SortKey::Size => {
            a.size.map(|size| size.root_fs_size).cmp(&b.size.map(|size| size.root_fs_size))
        }
        SortKey::Status => a.state.cmp(&b.state),
    });
}

fn render(rows: &[PsRow], args: &Args, format: &Format, now: Timestamp) -> Result<String> {
    if args.quiet && !matches!(format, Format::Json) {
        let ids = rows.iter().map(|row| view::id(row, args.no_trunc));
        return Ok(ids.map(|id| format!("{id}\n")).collect());
    }
    let json: Vec<PsJson<'_>> = rows.iter().map(|row| PsJson::new(row, now)).collect();
    let views: Vec<View> = rows.iter().map(|row| View::new(row, args.no_trunc, now)).collect();
    template::list(format, &views, &json, &HEADINGS, !args.noheading, || {
        let columns = if args.namespaces { view::NAMESPACE_COLUMNS } else { view::COLUMNS };
        view::table(&views, columns, args.size, !args.noheading)
    })
}

#[cfg(test)]
mod tests;
