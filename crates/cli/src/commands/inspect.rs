//! `dhow inspect`, `dhow container inspect` and `dhow image inspect`: everything known of an object.
//!
//! What is found is printed, what is not is an error each; one that is not found does not hide the others.

use anyhow::{Result, bail};
use clap::ValueEnum;
use dhow_engine::Engine;
use dhow_engine::report::{ContainerInspect, ImageInspect};
use serde::Serialize;

use crate::context::Context;
use crate::template::{self, Format};
use crate::{error, output};

#[derive(Debug, clap::Args)]
#[command(after_help = "Examples:
  dhow inspect web
  dhow inspect --format '{{.State.Status}} {{.State.ExitCode}}' web
  dhow inspect --type image --format '{{json .Config}}' IMAGE")]
pub(crate) struct Args {
    /// Containers and images: names, ids or beginnings of ids
    #[arg(required_unless_present = "latest")]
    names: Vec<String>,
    /// What the names are: all, container or image
    #[arg(
        short = 't',
        long = "type",
        value_name = "TYPE",
        default_value = "all",
        hide_default_value = true
    )]
    kind: Kind,
    #[command(flatten)]
    shared: Shared,
}

#[derive(Debug, clap::Args)]
#[command(after_help = "Examples:
  dhow container inspect web
  dhow container inspect --format '{{.State.Status}}' web")]
pub(crate) struct ContainerArgs {
    /// Containers: names, ids or beginnings of ids
    #[arg(required_unless_present = "latest")]
    names: Vec<String>,
    #[command(flatten)]
    shared: Shared,
}

#[derive(Debug, clap::Args)]
struct Shared {
    /// Print with a Go template instead of as JSON
    #[arg(short, long, value_name = "FORMAT")]
    format: Option<String>,
    /// Inspect the container created last
    #[arg(short, long, conflicts_with = "names")]
    latest: bool,
    /// Tell how much each container takes on disk
    #[arg(short, long)]
    size: bool,
}

#[derive(Debug, clap::Args)]
#[command(after_help = "Examples:
  dhow image inspect IMAGE
  dhow image inspect --format '{{.Architecture}}' IMAGE")]
pub(crate) struct ImageArgs {
    /// Images: names, ids or beginnings of ids
    #[arg(required = true)]
    names: Vec<String>,
    /// Print with a Go template instead of as JSON
    #[arg(short, long, value_name = "FORMAT")]
    format: Option<String>,
}

/// What a name can mean.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
enum Kind {
    All,
    Container,
    Image,
}

/// An object that was found.
#[derive(Debug, Serialize)]
#[serde(untagged)]
enum Object {
    Container(Box<ContainerInspect>),
    Image(Box<ImageInspect>),
}

/// `inspect`.
pub(crate) fn run(args: &Args, context: &Context) -> Result<u8> {
    inspect(&args.names, args.kind, &args.shared, context)
}

/// `container inspect`.
pub(crate) fn container(args: &ContainerArgs, context: &Context) -> Result<u8> {
    inspect(&args.names, Kind::Container, &args.shared, context)
}

/// `image inspect`.
pub(crate) fn image(args: &ImageArgs, context: &Context) -> Result<u8> {
    let shared = Shared { format: args.format.clone(), latest: false, size: false };
    inspect(&args.names, Kind::Image, &shared, context)
}

fn inspect(names: &[String], kind: Kind, shared: &Shared, context: &Context) -> Result<u8> {
    let format = match shared.format.as_deref().map(Format::parse).transpose()? {
        Some(Format::Table(_)) => bail!("--format: inspect has no table"),
        format => format.unwrap_or(Format::Json),
    };
    let engine = context.engine()?;
    let names = if shared.latest {
        if kind == Kind::Image {
            bail!("--latest is a container: it cannot be inspected as an image");
        }
        vec![engine.latest()?.to_string()]
    } else {
        names.to_vec()
    };
    let mut found = Vec::new();
    let mut missing = Vec::new();
    for name in &names {
        match find(&engine, name, kind, shared.size) {
            Ok(object) => found.push(object),
            Err(reason) => missing.push(reason),
        }
    }
    output::print(&render(&found, &format)?)?;
    missing.iter().for_each(error::print);
    Ok(if missing.is_empty() { error::SUCCESS } else { error::ENGINE })
}

fn find(engine: &Engine, name: &str, kind: Kind, size: bool) -> Result<Object> {
    let container = || engine.inspect(name, size).map(|report| Object::Container(Box::new(report)));
    let image = || engine.image_inspect(name).map(|report| Object::Image(Box::new(report)));
    match kind {
        Kind::Container => Ok(container()?),
        Kind::Image => Ok(image()?),
        Kind::All => match container().map_err(anyhow::Error::from) {
            Err(missing) if error::is_no_such(&missing) => {
                match image().map_err(anyhow::Error::from) {
                    Err(missing) if error::is_no_such(&missing) => {
                        bail!("no such container or image: {name}")
                    }
                    other => other,
                }
            }
            other => other,
        },
    }
}

fn render(found: &[Object], format: &Format) -> Result<String> {
    match format {
        Format::Json => template::json(&found),
        Format::Rows(template) => found.iter().map(|object| template.render(object)).collect(),
        Format::DefaultTable | Format::Table(_) => template::json(&found),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use dhow_engine::report::ContainerState;
    use expect_test::{Expect, expect};

    #[expect(clippy::needless_pass_by_value, reason = "what is expected stands in the call")]
    fn check(format: &str, expected: Expect) {
        let container = ContainerInspect {
            id: "1f56e9c5bd3e".into(),
            name: "web".into(),
            state: ContainerState {
                status: "running".into(),
                running: true,
                pid: 9202,
                ..ContainerState::default()
            },
            ..ContainerInspect::default()
        };
        let image = ImageInspect { id: "0fc222e2ab90".into(), ..ImageInspect::default() };
        let found = [Object::Container(Box::new(container)), Object::Image(Box::new(image))];
        let text = Format::parse(format).and_then(|format| render(&found, &format));
        expected.assert_eq(&text.unwrap_or_else(|error| format!("error: {error:#}\n")));
    }

    #[test]
    fn templates_see_containers_and_images() {
        check(
            "{{.Id}} {{.ID}}",
            expect![["1f56e9c5bd3e 1f56e9c5bd3e\n0fc222e2ab90 0fc222e2ab90\n"]],
        );
        check(
            "{{if .State}}{{.State.Status}} {{.State.Pid}} {{.Config.Labels.zz}}|{{end}}",
            expect![[r#"
                error: the template asks for the field "State", which does not exist; there are: Annotations, Architecture, Author, Comment, Config, Created, Digest, GraphDriver, History, Id, Labels, ManifestType, NamesHistory, Os, Parent, RepoDigests, RepoTags, RootFS, Size, User, Version, VirtualSize
            "#]],
        );
    }

    #[test]
    fn nothing_found_is_an_empty_list() {
        assert_eq!(render(&[], &Format::Json).unwrap(), "[]\n");
        assert_eq!(render(&[], &Format::parse("{{.Id}}").unwrap()).unwrap(), "");
    }
}
