//! `dhow images`: the images there are.

use std::collections::{BTreeMap, BTreeSet};

use anyhow::{Result, bail};
use dhow_engine::report::ImageRow;
use dhow_engine::request::{ImageFilter, ImagesRequest};
use jiff::Timestamp;
use serde::Serialize;

use crate::context::Context;
use crate::table::Table;
use crate::template::{self, Format};
use crate::{error, human, output};

const HEADINGS: [(&str, &str); 3] =
    [("ID", "IMAGE ID"), ("CreatedSince", "CREATED"), ("CreatedAt", "CREATED AT")];

#[derive(Debug, clap::Args)]
#[command(after_help = "Examples:
  dhow images
  dhow images --filter dangling=true -q
  dhow images --format '{{.Repository}}:{{.Tag}} {{.Size}}'")]
pub(crate) struct Args {
    /// Show only images of this name
    name: Option<String>,
    /// Show all images, also those that only other images use
    #[arg(short, long)]
    all: bool,
    /// Show the digests of the manifests
    #[arg(long)]
    digests: bool,
    /// Show only images for which KEY=VALUE holds
    #[arg(short, long = "filter", value_name = "KEY=VALUE")]
    filters: Vec<ImageFilter>,
    /// Print as JSON, or with a Go template
    #[arg(long, value_name = "FORMAT")]
    format: Option<String>,
    /// Show the names each image has had
    #[arg(long)]
    history: bool,
    /// Show ids in full
    #[arg(long)]
    no_trunc: bool,
    /// Leave the heading out
    #[arg(short, long)]
    noheading: bool,
    /// Print ids only
    #[arg(short, long)]
    quiet: bool,
    /// Sort by created, id, repository, size or tag
    #[arg(long, value_name = "KEY", default_value = "created", hide_default_value = true)]
    sort: SortKey,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, clap::ValueEnum)]
enum SortKey {
    Created,
    Id,
    Repository,
    Size,
    Tag,
}

/// What templates see of an image: one of these for each of its names.
#[derive(Debug, Clone, Default, Serialize)]
#[serde(rename_all = "PascalCase")]
struct View {
    containers: u64,
    created: String,
    created_at: String,
    created_since: String,
    created_time: String,
    digest: String,
    history: Vec<String>,
    #[serde(rename = "ID")]
    id: String,
    labels: BTreeMap<String, String>,
    names: Vec<String>,
    parent_id: String,
    read_only: bool,
    repo_digests: Vec<String>,
    repo_tags: Vec<String>,
    repository: String,
    size: String,
    tag: String,
    virtual_size: String,
    #[serde(skip)]
    bytes: u64,
    #[serde(skip)]
    seconds: i64,
}

/// Performs the command: an error after the list if images could not be read.
pub(crate) fn run(args: &Args, context: &Context) -> Result<u8> {
    let format = Format::parse_option(args.format.as_deref())?;
    let request =
        ImagesRequest { all: args.all, name: args.name.clone(), filters: args.filters.clone() };
    let report = context.engine()?.images(&request)?;
    output::print(&render(&report.images, args, &format, Timestamp::now())?)?;
    let damaged = report.errors.len();
    for damage in report.errors {
        error::print(&anyhow::Error::from(damage));
    }
    if damaged > 0 {
        bail!("{damaged} of the images cannot be read; the list is not complete");
    }
    Ok(error::SUCCESS)
}

fn render(images: &[ImageRow], args: &Args, format: &Format, now: Timestamp) -> Result<String> {
    let mut views: Vec<View> =
        images.iter().flat_map(|image| views(image, args.no_trunc, now)).collect();
    views.sort_by(|a, b| match args.sort {
        SortKey::Created => b.seconds.cmp(&a.seconds),
        SortKey::Id => a.id.cmp(&b.id),
        SortKey::Repository => a.repository.cmp(&b.repository),
        SortKey::Size => a.bytes.cmp(&b.bytes),
        SortKey::Tag => a.tag.cmp(&b.tag),
    });
    if args.quiet && !matches!(format, Format::Json) {
        let mut seen = BTreeSet::new();
        let ids = views.iter().map(|view| &view.id).filter(|id| seen.insert(*id));
        return Ok(ids.map(|id| format!("{id}\n")).collect());
    }
    template::list(format, &views, &images, &HEADINGS, !args.noheading, || table(&views, args))
}

fn table(views: &[View], args: &Args) -> String {
    let mut table = Table::new();
    let columns = |cells: [String; 7]| {
        let [repository, tag, digest, id, created, size, history] = cells;
        let digest = args.digests.then_some(digest);
        let history = args.history.then_some(history);
        [repository, tag].into_iter().chain(digest).chain([id, created, size]).chain(history)
    };
    if !args.noheading {
        let heading = ["REPOSITORY", "TAG", "DIGEST", "IMAGE ID", "CREATED", "SIZE", "HISTORY"];
        table.row(columns(heading.map(str::to_owned)));
    }
    for view in views.iter().cloned() {
        let history = view.history.join(", ");
        table.row(columns([
            view.repository,
            view.tag,
            view.digest,
            view.id,
            view.created_since,
            view.size,
            history,
        ]));
    }
    table.render()
}

/// One view a name; one without any name for an image that has none.
fn views(image: &ImageRow, no_trunc: bool, now: Timestamp) -> Vec<View> {
    let none = || ("<none>".to_owned(), "<none>".to_owned());
    let mut names: Vec<_> =
        image.names.iter().map(|name| ImageRow::repository_and_tag(name)).collect();
    if names.is_empty() {
        names.push(none());
    }
    let since = human::ago(image.created_at, now);
    let view = |(repository, tag)| View {
        containers: image.containers,
        created: since.clone(),
        created_at: human::moment(image.created_at),
        created_since: since.clone(),
        created_time: human::moment(image.created_at),
        digest: image.digest.clone(),
        history: image.history.clone(),
        id: if no_trunc {
            format!("sha256:{}", image.id)
        } else {
            human::short_id(&image.id).to_owned()
        },
        labels: image.labels.clone(),
        names: image.names.clone(),
        parent_id: image.parent_id.clone(),
        read_only: false,
        repo_digests: image.repo_digests.clone(),
        repo_tags: image.repo_tags.clone(),
        repository,
        size: human::spaced_size(image.size),
        tag,
        virtual_size: human::spaced_size(image.virtual_size),
        bytes: image.size,
        seconds: image.created_at.unix_seconds(),
    };
    names.into_iter().map(view).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use clap::Parser;
    use dhow_engine::report::Time;
    use expect_test::{Expect, expect};

    #[derive(Debug, clap::Parser)]
    struct CommandLine {
        #[command(flatten)]
        args: Args,
    }

    #[expect(clippy::needless_pass_by_value, reason = "what is expected stands in the call")]
    fn check(line: &[&str], expected: Expect) {
        let row = |id: &str, names: &[&str], size, seconds: i64| ImageRow {
            id: id.repeat(8),
            names: names.iter().map(|name| (*name).to_owned()).collect(),
            repo_tags: names.iter().map(|name| (*name).to_owned()).collect(),
            digest: format!("sha256:{}", id.repeat(4)),
            size,
            virtual_size: size,
            labels: [("a".to_owned(), "b".to_owned())].into(),
            created_at: Time::from_unix_nanos(seconds * 1_000_000_000),
            ..ImageRow::default()
        };
        let rows = [
            row(
                "0fc222e2",
                &["localhost/busy:1", "localhost/other:latest"],
                1_997_921,
                1_795_458_672,
            ),
            row("9d3a5612", &[], 75_000_000, 1_795_000_000),
        ];
        let args = CommandLine::parse_from([&["images"], line].concat()).args;
        let format = Format::parse_option(args.format.as_deref()).unwrap();
        let now = Timestamp::from_second(1_795_459_200).unwrap();
        let text = render(&rows, &args, &format, now)
            .unwrap_or_else(|error| format!("error: {error:#}\n"));
        expected.assert_eq(&text);
    }

    #[test]
    fn a_line_a_name() {
        check(
            &[],
            expect![[r#"
                REPOSITORY       TAG         IMAGE ID      CREATED        SIZE
                localhost/busy   1           0fc222e20fc2  8 minutes ago  2 MB
                localhost/other  latest      0fc222e20fc2  8 minutes ago  2 MB
                <none>           <none>      9d3a56129d3a  5 days ago     75 MB
            "#]],
        );
        check(
            &["-q"],
            expect![[r#"
            0fc222e20fc2
            9d3a56129d3a
        "#]],
        );
        check(
            &["--digests", "--no-trunc", "--noheading", "--sort=size"],
            expect![[r#"
                localhost/busy   1           sha256:0fc222e20fc222e20fc222e20fc222e2  sha256:0fc222e20fc222e20fc222e20fc222e20fc222e20fc222e20fc222e20fc222e2  8 minutes ago  2 MB
                localhost/other  latest      sha256:0fc222e20fc222e20fc222e20fc222e2  sha256:0fc222e20fc222e20fc222e20fc222e20fc222e20fc222e20fc222e20fc222e2  8 minutes ago  2 MB
                <none>           <none>      sha256:9d3a56129d3a56129d3a56129d3a5612  sha256:9d3a56129d3a56129d3a56129d3a56129d3a56129d3a56129d3a56129d3a5612  5 days ago     75 MB
            "#]],
        );
        check(
            &["--history"],
            expect![[r#"
                REPOSITORY       TAG         IMAGE ID      CREATED        SIZE        HISTORY
                localhost/busy   1           0fc222e20fc2  8 minutes ago  2 MB
                localhost/other  latest      0fc222e20fc2  8 minutes ago  2 MB
                <none>           <none>      9d3a56129d3a  5 days ago     75 MB
            "#]],
        );
    }

    #[test]
    fn templates() {
        check(
            &["--format", "table {{.ID}}\\t{{.Repository}}:{{.Tag}}\\t{{.CreatedSince}} {{.Size}}"],
            expect![[r#"
                IMAGE ID      REPOSITORY:TAG          CREATED        SIZE
                0fc222e20fc2  localhost/busy:1        8 minutes ago  2 MB
                0fc222e20fc2  localhost/other:latest  8 minutes ago  2 MB
                9d3a56129d3a  <none>:<none>           5 days ago     75 MB
            "#]],
        );
        check(
            &["--format", "{{.Id}} {{.Labels.a}} {{.CreatedAt}} {{.RepoTags}}"],
            expect![[r#"
            0fc222e20fc2 b 2026-11-23 18:31:12 +0000 UTC [localhost/busy:1 localhost/other:latest]
            0fc222e20fc2 b 2026-11-23 18:31:12 +0000 UTC [localhost/busy:1 localhost/other:latest]
            9d3a56129d3a b 2026-11-18 11:06:40 +0000 UTC []
        "#]],
        );
        check(
            &["--format", "{{.Nope}}"],
            expect![[r#"
            error: the template asks for the field "Nope", which does not exist; there are: Containers, Created, CreatedAt, CreatedSince, CreatedTime, Digest, History, ID, Labels, Names, ParentId, ReadOnly, RepoDigests, RepoTags, Repository, Size, Tag, VirtualSize
        "#]],
        );
    }
}
