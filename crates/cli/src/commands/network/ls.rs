//! `dhow network ls`.

use anyhow::Result;
use dhow_engine::report::NetworkInspect;
use dhow_engine::request::NetworkFilter;
use serde::Serialize;

use crate::context::Context;
use crate::create_flags::value;
use crate::table::Table;
use crate::template::{self, Format};
use crate::{error, output};

const HEADINGS: [(&str, &str); 1] = [("ID", "NETWORK ID")];
/// How much of an id is shown.
const SHORT: usize = 12;

#[derive(Debug, clap::Args)]
#[command(after_help = "Examples:
  dhow network ls
  dhow network ls --filter label=stage=test --format '{{.Name}} {{.Driver}}'")]
pub(crate) struct Args {
    /// Only those for which KEY=VALUE holds: name, id, driver, label, label!, dangling, until
    #[arg(short, long = "filter", value_name = "KEY=VALUE", value_parser = value::<NetworkFilter>)]
    filters: Vec<NetworkFilter>,
    /// Print as JSON, or with a Go template
    #[arg(long, value_name = "FORMAT")]
    format: Option<String>,
    /// Show ids in full
    #[arg(long)]
    no_trunc: bool,
    /// Leave the heading out
    #[arg(short, long)]
    noheading: bool,
    /// Print names only
    #[arg(short, long)]
    quiet: bool,
}

/// A row as templates see it.
#[derive(Debug, Default, Serialize)]
#[serde(rename_all = "PascalCase")]
struct View {
    #[serde(rename = "ID")]
    id: String,
    name: String,
    driver: String,
    internal: bool,
    labels: std::collections::BTreeMap<String, String>,
    created: String,
    subnets: Vec<String>,
}

impl View {
    fn new(network: &NetworkInspect, whole: bool) -> Self {
        let id =
            if whole { &network.id[..] } else { network.id.get(..SHORT).unwrap_or(&network.id) };
        Self {
            id: id.to_owned(),
            name: network.name.clone(),
            driver: network.driver.clone(),
            internal: network.internal,
            labels: network.labels.clone(),
            created: network.created.timestamp().to_string(),
            subnets: network.subnets.iter().map(|s| s.subnet.clone()).collect(),
        }
    }
}

pub(crate) fn run(args: &Args, context: &Context) -> Result<u8> {
    let format = Format::parse_option(args.format.as_deref())?;
    let report = context.engine()?.network_list(&args.filters)?;
    let views: Vec<View> = report.networks.iter().map(|n| View::new(n, args.no_trunc)).collect();
    let text = if args.quiet {
        views.iter().map(|view| format!("{}\n", view.name)).collect()
    } else {
        template::list(&format, &views, &report.networks, &HEADINGS, !args.noheading, || {
            let mut table = Table::new();
            if !args.noheading {
                table.row(["NETWORK ID", "NAME", "DRIVER"]);
            }
            for view in &views {
                table.row([&view.id, &view.name, &view.driver]);
            }
            table.render()
        })?
    };
    output::print(&text)?;
    let damaged: Vec<anyhow::Error> = report.errors.into_iter().map(Into::into).collect();
    damaged.iter().for_each(error::print);
    Ok(if damaged.is_empty() { error::SUCCESS } else { error::ENGINE })
}
