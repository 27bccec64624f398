//! `--format`: Go templates over reports, by the one rule set for every command.
//!
//! A format is `json`, `table` (the command's own table), `table TEMPLATE` (columns with a header), or a template
//! executed once a row. The words of podman and docker hold: `\t` and `\n` mean what they say, a missing newline is
//! added, `{{json .}}` alone is `json`. Fields are found by the names of the JSON report; where only the case
//! differs (`.ID` for `Id`, `.Host` for `host`) that is mended. A field that does not exist is an error that lists
//! those that do, but a label that a container does not have is an empty text.
//!
//! INVARIANT: templates come from users and data from images; neither can make this panic or run for ever (the
//! engine underneath bounds recursion and iterations).

mod functions;
mod names;

use std::collections::BTreeMap;

use anyhow::{Context, Result, anyhow, bail};
use gotmpl::parse::{Expr, ListNode, Node, Parser};
use gotmpl::{MissingKey, TemplateError, Value};
use serde::Serialize;

use crate::table::Table;

/// The name the user's template has inside the template engine.
const MAIN: &str = "format";

/// What `--format` asks for.
#[derive(Debug)]
pub(crate) enum Format {
    /// JSON, indented.
    Json,
    /// The command's own table.
    DefaultTable,
    /// Columns with a header.
    Table(Template),
    /// Text for each row.
    Rows(Template),
}

impl Format {
    /// Reads the value of `--format`.
    pub(crate) fn parse(source: &str) -> Result<Format> {
        let source = source.trim_start();
        if is_json(source) {
            return Ok(Format::Json);
        }
        if source.is_empty() || source.trim_end() == "table" {
            return Ok(Format::DefaultTable);
        }
        match source.strip_prefix("table").filter(|rest| rest.starts_with([' ', '\t', '\\'])) {
            Some(rest) => {
                Ok(Format::Table(Template::parse(&outside_actions(rest.trim_start(), table_text))?))
            }
            None => Ok(Format::Rows(Template::parse(&outside_actions(source, plain_text))?)),
        }
    }

    /// The same for an optional flag: without it, the command's own table.
    pub(crate) fn parse_option(source: Option<&str>) -> Result<Format> {
        source.map_or(Ok(Format::DefaultTable), Format::parse)
    }
}

/// A parsed template.
#[derive(Debug)]
pub(crate) struct Template {
    body: ListNode,
    defined: Vec<(String, ListNode)>,
    /// It has a `{{range}}` of its own over all rows.
    ranges: bool,
}

impl Template {
    /// Parses Go template source.
    pub(crate) fn parse(source: &str) -> Result<Template> {
        let context = || format!("cannot parse the template {source:?}");
        let parser =
            Parser::with_name(None, source, "{{", "}}").map_err(syntax).with_context(context)?;
        let (body, defined) = parser.parse().map_err(syntax).with_context(context)?;
        let defined =
            defined.into_iter().map(|define| (define.name.to_string(), define.body)).collect();
        let ranges = ranges_over_rows(&body);
        Ok(Template { body, defined, ranges })
    }

    /// The text for one value, ended by a newline.
    pub(crate) fn render(&self, data: &impl Serialize) -> Result<String> {
        let data = to_value(data)?;
        let mut text = self.execute(&data, functions::all())?;
        if !text.ends_with('\n') {
            text.push('\n');
        }
        Ok(text)
    }

    /// The text for all rows: each ended by a newline, unless the template ranges over them itself.
    pub(crate) fn render_rows<T: Serialize>(&self, rows: &[T]) -> Result<String> {
        if self.ranges {
            return self.render(&rows);
        }
        rows.iter().map(|row| self.render(row)).collect()
    }

    /// The table for all rows. `headings` are the names of columns that are not their fields' names.
    pub(crate) fn render_table<T: Serialize + Default>(
        &self,
        rows: &[T],
        headings: &[(&str, &str)],
        with_heading: bool,
    ) -> Result<String> {
        let mut table = Table::new();
        let values = rows.iter().map(to_value).collect::<Result<Vec<_>>>()?;
        if with_heading {
            // Of no rows there is a heading all the same: every row has the fields of an empty one.
            let fields = values.first().cloned().map_or_else(|| to_value(&T::default()), Ok)?;
            if let Value::Map(fields) = fields
                && let Ok(line) = self
                    .execute(&self.dot(heading_row(&fields, headings)), functions::for_headings())
            {
                table.tabbed_row(line.trim_end_matches('\n'));
            }
        }
        let lines = if self.ranges {
            self.execute(&Value::List(values.into()), functions::all())?
        } else {
            let lines: Result<Vec<_>> =
                values.iter().map(|value| self.execute(value, functions::all())).collect();
            lines?.join("\n")
        };
        // A table of no rows has no lines; an empty line is a row of empty cells.
        if !rows.is_empty() {
            lines
                .strip_suffix('\n')
                .unwrap_or(&lines)
                .split('\n')
                .for_each(|line| table.tabbed_row(line));
        }
        Ok(table.render())
    }

    /// What the template sees as its dot: the row, or a list of it where it ranges itself.
    fn dot(&self, row: Value) -> Value {
        if self.ranges { Value::List(vec![row].into()) } else { row }
    }

    fn execute(&self, data: &Value, functions: gotmpl::FuncMap) -> Result<String> {
        let names = names::Names::of(data);
        let mut template =
            gotmpl::Template::new("").missing_key(MissingKey::Error).funcs(functions);
        for (name, body) in &self.defined {
            template = template.add_parse_tree(name, names.resolve(body));
        }
        template = template.add_parse_tree(MAIN, names.resolve(&self.body));
        template.execute_template_to_string(MAIN, data).map_err(|error| match error {
            TemplateError::MissingKey { key } => {
                anyhow!(
                    "the template asks for the field {key:?}, which does not exist{}",
                    names.hint()
                )
            }
            TemplateError::Exec(why) => anyhow!("cannot execute the template: {why}"),
            TemplateError::UndefinedFunction(name) => {
                anyhow!("the template calls {name:?}, which is no function")
            }
            other => anyhow!("cannot execute the template: {other}"),
        })
    }
}

/// Prints a list of rows the way `--format` and its neighbours ask for, and returns the text. `own_table` is the
/// command's table without a format, which is only made where it is wanted.
pub(crate) fn list<T: Serialize + Default, J: Serialize>(
    format: &Format,
    rows: &[T],
    json: &J,
    headings: &[(&str, &str)],
    with_heading: bool,
    own_table: impl FnOnce() -> String,
) -> Result<String> {
    match format {
        Format::Json => self::json(json),
        Format::DefaultTable => Ok(own_table()),
        Format::Table(template) => template.render_table(rows, headings, with_heading),
        Format::Rows(template) => template.render_rows(rows),
    }
}

/// JSON with an indentation of two, ended by a newline.
pub(crate) fn json(data: &impl Serialize) -> Result<String> {
    let mut text = serde_json::to_string_pretty(data).context("cannot write the report as JSON")?;
    text.push('\n');
    Ok(text)
}

/// `json`, `{{json}}` and `{{json .}}`, with spaces anywhere.
pub(crate) fn is_json(format: &str) -> bool {
    let words = format.trim();
    let words = words.strip_prefix("{{").and_then(|rest| rest.strip_suffix("}}")).unwrap_or(words);
    let mut words = words.split_whitespace();
    words.next() == Some("json") && matches!((words.next(), words.next()), (None | Some("."), None))
}

/// Whether the template begins with `{{range .}}`: then it is executed once, over all rows.
fn ranges_over_rows(body: &ListNode) -> bool {
    let mut nodes = body
        .nodes
        .iter()
        .filter(|node| !matches!(node, Node::Text(text) if text.text.trim().is_empty()));
    let Some(Node::Range(range)) = nodes.next() else { return false };
    let [command] = range.pipe.commands.as_slice() else { return false };
    matches!(command.args.as_slice(), [Expr::Dot(_)])
}

fn to_value(data: &(impl Serialize + ?Sized)) -> Result<Value> {
    gotmpl::to_value(data)
        .map_err(|error| anyhow!("cannot give the report to the template: {error}"))
}

fn syntax(error: TemplateError) -> anyhow::Error {
    match error {
        TemplateError::Parse { line, col, message, .. }
        | TemplateError::Lex { line, col, message, .. } => {
            anyhow!("line {line}, column {col}: {message}")
        }
        other => anyhow!("{other}"),
    }
}

/// The heading of every column by its field: the given one, else the field's name in capitals and words.
fn heading_row(fields: &BTreeMap<std::sync::Arc<str>, Value>, headings: &[(&str, &str)]) -> Value {
    let heading = |field: &str| match headings.iter().find(|(name, _)| *name == field) {
        Some((_, heading)) => (*heading).to_owned(),
        None => names::capital_words(field),
    };
    let row = fields.keys().map(|field| (field.clone(), Value::String(heading(field).into())));
    Value::Map(std::sync::Arc::new(row.collect()))
}

/// Applies `change` to the text between actions, and leaves the actions alone: `"\n"` in a string literal is the
/// template engine's business.
fn outside_actions(source: &str, change: fn(&str) -> String) -> String {
    let mut result = String::new();
    let mut rest = source;
    while let Some(start) = rest.find("{{") {
        result.push_str(&change(&rest[..start]));
        let end = rest[start..].find("}}").map_or(rest.len(), |end| start + end + 2);
        result.push_str(&rest[start..end]);
        rest = &rest[end..];
    }
    result.push_str(&change(rest));
    result
}

fn plain_text(text: &str) -> String {
    text.replace("\\t", "\t").replace("\\n", "\n")
}

/// In a table a space between columns is a column's end, as in podman.
fn table_text(text: &str) -> String {
    plain_text(text).replace(' ', "\t")
}

/// One value by a format: JSON, or a template. There is no table of one value.
pub(crate) fn one(format: &Format, data: &impl Serialize) -> Result<String> {
    match format {
        Format::Json => json(data),
        Format::Rows(template) => template.render(data),
        Format::DefaultTable | Format::Table(_) => bail!("--format: a table is not possible here"),
    }
}

#[cfg(test)]
mod tests;
