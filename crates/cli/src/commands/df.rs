//! `dhow system df`: what everything takes on disk.

use anyhow::{Result, bail};
use dhow_engine::report::{DiskUsage, ImageRow};
use jiff::Timestamp;
use serde::Serialize;

use crate::context::Context;
use crate::error::SUCCESS;
use crate::table::Table;
use crate::template::{self, Format};
use crate::{human, output};

#[derive(Debug, clap::Args)]
#[command(after_help = "A layer that several images have is counted once.

Examples:
  dhow system df
  dhow system df -v
  dhow system df --format '{{.Type}} {{.Reclaimable}}'")]
pub(crate) struct Args {
    /// Print as JSON, or with a Go template
    #[arg(long, value_name = "FORMAT", conflicts_with = "verbose")]
    format: Option<String>,
    /// Show each image, container and volume
    #[arg(long, short)]
    verbose: bool,
}

/// A row of the summary.
#[derive(Debug, Clone, Default, Serialize)]
#[serde(rename_all = "PascalCase")]
struct Row {
    #[serde(rename = "Type")]
    kind: String,
    total: usize,
    active: usize,
    size: String,
    reclaimable: String,
}

pub(crate) fn run(args: &Args, context: &Context) -> Result<u8> {
    let format = Format::parse_option(args.format.as_deref())?;
    let usage = context.engine()?.disk_usage()?;
    if args.verbose {
        output::print(&verbose(&usage, Timestamp::now()))?;
        return Ok(SUCCESS);
    }
    let rows = summary(&usage);
    let text = template::list(&format, &rows, &rows, &[], true, || table(&rows))?;
    if text.is_empty() {
        bail!("there is nothing to be shown");
    }
    output::print(&text)?;
    Ok(SUCCESS)
}

fn summary(usage: &DiskUsage) -> Vec<Row> {
    let row = |kind: &str, total, active, size: u64, free: u64| Row {
        kind: kind.to_owned(),
        total,
        active,
        size: human::size(size),
        reclaimable: format!("{} ({}%)", human::size(free), percent(free, size)),
    };
    let containers = || usage.containers.iter();
    let volumes = || usage.volumes.iter();
    vec![
        row(
            "Images",
            usage.images.len(),
            usage.images.iter().filter(|image| image.containers > 0).count(),
            usage.images_size,
            usage.images_reclaimable,
        ),
        row(
            "Containers",
            usage.containers.len(),
            containers().filter(|one| one.active).count(),
            containers().map(|one| one.size).sum(),
            containers().filter(|one| !one.active).map(|one| one.size).sum(),
        ),
        row(
            "Local Volumes",
            usage.volumes.len(),
            volumes().filter(|one| one.links > 0).count(),
            volumes().map(|one| one.size).sum(),
            volumes().filter(|one| one.links == 0).map(|one| one.size).sum(),
        ),
    ]
}

fn percent(part: u64, whole: u64) -> u64 {
    part.saturating_mul(100).checked_div(whole).unwrap_or(0)
}

fn table(rows: &[Row]) -> String {
    let mut table = Table::new();
    table.row(["TYPE", "TOTAL", "ACTIVE", "SIZE", "RECLAIMABLE"]);
    for row in rows {
        let (total, active) = (row.total.to_string(), row.active.to_string());
        table.row([&row.kind, &total, &active, &row.size, &row.reclaimable]);
    }
    table.render()
}

fn verbose(usage: &DiskUsage, now: Timestamp) -> String {
    let mut images = Table::new();
    images.row([
        "REPOSITORY",
        "TAG",
        "IMAGE ID",
        "CREATED",
        "SIZE",
        "SHARED SIZE",
        "UNIQUE SIZE",
        "CONTAINERS",
    ]);
    for image in &usage.images {
        let none = || ("<none>".to_owned(), "<none>".to_owned());
        let (repository, tag) =
            image.names.first().map_or_else(none, |name| ImageRow::repository_and_tag(name));
        images.row([
            repository,
            tag,
            human::short_id(&image.id).to_owned(),
            human::since(image.created, now),
            human::size(image.size),
            human::size(image.shared_size),
            human::size(image.unique_size),
            image.containers.to_string(),
        ]);
    }
    let mut containers = Table::new();
    containers.row([
        "CONTAINER ID",
        "IMAGE",
        "COMMAND",
        "LOCAL VOLUMES",
        "SIZE",
        "CREATED",
        "STATUS",
        "NAMES",
    ]);
    for one in &usage.containers {
        containers.row([
            human::short_id(&one.id).to_owned(),
            one.image.clone(),
            human::shortened(&one.command.join(" "), 20),
            one.volumes.to_string(),
            human::size(one.size),
            human::since(one.created, now),
            one.status.clone(),
            one.name.clone(),
        ]);
    }
    let mut volumes = Table::new();
    volumes.row(["VOLUME NAME", "LINKS", "SIZE"]);
    for one in &usage.volumes {
        volumes.row([one.name.clone(), one.links.to_string(), human::size(one.size)]);
    }
    format!(
        "Images space usage:\n\n{}\nContainers space usage:\n\n{}\nLocal Volumes space usage:\n\n{}",
        images.render(),
        containers.render(),
        volumes.render()
    )
}

#[cfg(test)]
mod tests {
    use super::*;
    use dhow_engine::report::{ImageUsage, VolumeUsage};
    use expect_test::expect;

    #[test]
    fn the_summary_is_podmans() {
        let usage = DiskUsage {
            images: vec![ImageUsage { size: 3_289_000, ..ImageUsage::default() }],
            images_size: 3_289_000,
            images_reclaimable: 3_289_000,
            volumes: vec![
                VolumeUsage { links: 1, size: 1000, ..VolumeUsage::default() },
                VolumeUsage { links: 0, size: 3000, ..VolumeUsage::default() },
            ],
            ..DiskUsage::default()
        };
        expect![[r#"
            TYPE           TOTAL       ACTIVE      SIZE        RECLAIMABLE
            Images         1           0           3.29MB      3.29MB (100%)
            Containers     0           0           0B          0B (0%)
            Local Volumes  2           1           4kB         3kB (75%)
        "#]]
        .assert_eq(&table(&summary(&usage)));
        let text = verbose(&usage, Timestamp::UNIX_EPOCH);
        assert!(text.contains("UNIQUE SIZE") && text.contains("VOLUME NAME"), "{text}");
    }
}
