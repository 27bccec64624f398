//! `dhow history`: how an image was made, the newest step first.

use anyhow::Result;
use dhow_engine::report::HistoryRow;
use jiff::Timestamp;
use serde::Serialize;

use crate::context::Context;
use crate::table::Table;
use crate::template::{self, Format};
use crate::{error, human, output};

const HEADINGS: [(&str, &str); 2] = [("CreatedSince", "CREATED"), ("CreatedAt", "CREATED AT")];

#[derive(Debug, clap::Args)]
#[command(after_help = "Examples:
  dhow history IMAGE
  dhow history --no-trunc --format '{{.CreatedBy}}' IMAGE")]
pub(crate) struct Args {
    /// The image: a name, an id or the beginning of one
    image: String,
    /// Print as JSON, or with a Go template
    #[arg(long, value_name = "FORMAT")]
    format: Option<String>,
    /// Print times and sizes in words; with false, as dates and bytes
    #[arg(short = 'H', long, num_args = 0..=1, require_equals = true, default_value_t = true, default_missing_value = "true", action = clap::ArgAction::Set, hide_possible_values = true)]
    human: bool,
    /// Show ids and commands in full
    #[arg(long)]
    no_trunc: bool,
    /// Print ids only
    #[arg(short, long)]
    quiet: bool,
}

/// What templates see of a step.
#[derive(Debug, Default, Serialize)]
#[serde(rename_all = "PascalCase")]
struct View {
    comment: String,
    created: String,
    created_at: String,
    created_by: String,
    created_since: String,
    #[serde(rename = "ID")]
    id: String,
    size: String,
    tags: Vec<String>,
}

/// Performs the command.
pub(crate) fn run(args: &Args, context: &Context) -> Result<u8> {
    let format = Format::parse_option(args.format.as_deref())?;
    let rows = context.engine()?.history(&args.image)?;
    output::print(&render(&rows, args, &format, Timestamp::now())?)?;
    Ok(error::SUCCESS)
}

fn render(rows: &[HistoryRow], args: &Args, format: &Format, now: Timestamp) -> Result<String> {
    let views: Vec<View> = rows.iter().map(|row| view(row, args, now)).collect();
    if args.quiet && !matches!(format, Format::Json) {
        return Ok(views.iter().map(|view| format!("{}\n", view.id)).collect());
    }
    template::list(format, &views, &rows, &HEADINGS, true, || {
        let mut table = Table::new();
        table.row(["ID", "CREATED", "CREATED BY", "SIZE", "COMMENT"]);
        for view in &views {
            table.row(
                [&view.id, &view.created, &view.created_by, &view.size, &view.comment]
                    .map(String::as_str),
            );
        }
        table.render()
    })
}

fn view(row: &HistoryRow, args: &Args, now: Timestamp) -> View {
    let since = human::ago(row.created, now);
    View {
        comment: row.comment.clone(),
        created: if args.human { since.clone() } else { row.created.timestamp().to_string() },
        created_at: human::moment(row.created),
        created_by: if args.no_trunc {
            row.created_by.clone()
        } else {
            human::shortened(&row.created_by, 45)
        },
        created_since: since,
        id: if args.no_trunc { row.id.clone() } else { human::short_id(&row.id).to_owned() },
        size: if args.human { human::spaced_size(row.size) } else { row.size.to_string() },
        tags: row.tags.clone(),
    }
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
        let row = |id: &str, by: &str, size| HistoryRow {
            id: id.into(),
            created: Time::from_unix_nanos(1_795_458_672_120_510_451),
            created_by: by.into(),
            size,
            ..HistoryRow::default()
        };
        let rows = [
            row(
                "0fc222e2ab908dc9d3a561211aa7bd4e237f57724555c5b1d5406d017f6f2f01",
                "/bin/sh -c #(nop) ADD file:b8e1d5617517417164a89f19f27fb8627d00983b",
                1_996_800,
            ),
            row("<missing>", "CMD [\"sh\"]", 0),
        ];
        let args = CommandLine::parse_from([&["history", "x"], line].concat()).args;
        let format = Format::parse_option(args.format.as_deref()).unwrap();
        let now = Timestamp::from_second(1_795_459_200).unwrap();
        expected.assert_eq(&render(&rows, &args, &format, now).unwrap());
    }

    #[test]
    fn tables_and_templates() {
        check(
            &[],
            expect![[r#"
            ID            CREATED        CREATED BY                                     SIZE        COMMENT
            0fc222e2ab90  8 minutes ago  /bin/sh -c #(nop) ADD file:b8e1d5617517417...  2 MB
            <missing>     8 minutes ago  CMD ["sh"]                                     0 B
        "#]],
        );
        check(
            &["--human=false", "--no-trunc"],
            expect![[r#"
            ID                                                                CREATED                         CREATED BY                                                           SIZE        COMMENT
            0fc222e2ab908dc9d3a561211aa7bd4e237f57724555c5b1d5406d017f6f2f01  2026-11-23T18:31:12.120510451Z  /bin/sh -c #(nop) ADD file:b8e1d5617517417164a89f19f27fb8627d00983b  1996800
            <missing>                                                         2026-11-23T18:31:12.120510451Z  CMD ["sh"]                                                           0
        "#]],
        );
        check(
            &["-q"],
            expect![[r#"
            0fc222e2ab90
            <missing>
        "#]],
        );
        check(
            &["--format", "table {{.ID}} {{.CreatedSince}} {{.Size}} {{.Tags}}"],
            expect![[r#"
            ID            CREATED        SIZE        TAGS
            0fc222e2ab90  8 minutes ago  2 MB        []
            <missing>     8 minutes ago  0 B         []
        "#]],
        );
    }
}
