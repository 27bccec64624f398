//! `dhow commit`.

use std::fs::File;
use std::io::Write as _;
use std::path::PathBuf;

use anyhow::{Context as _, Result};
use dhow_engine::request::CommitRequest;

use crate::context::Context;
use crate::error::SUCCESS;
use crate::output;

#[derive(Debug, clap::Args)]
#[command(after_help = "Examples:
  dhow commit web web:snapshot
  dhow commit -c 'CMD [\"httpd\",\"-f\"]' -c 'ENV MODE=test' -m 'with test data' web web:test")]
pub(crate) struct Args {
    /// Name, id, or beginning of an id
    container: String,
    /// Name of the new image
    image: Option<String>,
    /// Author of the image
    #[arg(long, short, value_name = "NAME")]
    author: Option<String>,
    /// Apply an instruction: CMD, ENTRYPOINT, ENV, EXPOSE, LABEL, ONBUILD, STOPSIGNAL, USER, VOLUME, WORKDIR
    #[arg(long, short, value_name = "INSTRUCTION")]
    change: Vec<String>,
    /// Format of the image: oci
    #[arg(long, short, value_name = "FORMAT", value_parser = format)]
    format: Option<String>,
    /// Write the image's id to this file
    #[arg(long, value_name = "FILE")]
    iidfile: Option<PathBuf>,
    /// Make the container's volumes the image's
    #[arg(long)]
    include_volumes: bool,
    /// Message of the image's history
    #[arg(long, short, value_name = "TEXT")]
    message: Option<String>,
    /// Freeze the container meanwhile
    #[arg(long, short)]
    pause: bool,
    /// Print nothing but errors
    #[arg(long, short)]
    quiet: bool,
    /// Make one layer of all
    #[arg(long, short)]
    squash: bool,
}

fn format(text: &str) -> Result<String, String> {
    match text {
        "oci" => Ok(text.to_owned()),
        "docker" => Err("not supported yet: expected oci".into()),
        _ => Err("expected oci".into()),
    }
}

pub(crate) fn run(args: Args, context: &Context) -> Result<u8> {
    let id = context.engine()?.commit(&CommitRequest {
        container: args.container,
        image: args.image,
        author: args.author,
        message: args.message,
        changes: args.change,
        pause: args.pause,
        squash: args.squash,
        include_volumes: args.include_volumes,
    })?;
    let id = id.to_string();
    if let Some(path) = &args.iidfile {
        let write = || File::create(path)?.write_all(id.as_bytes());
        write().with_context(|| format!("cannot write the id file {}", path.display()))?;
    }
    if !args.quiet {
        output::line(id.strip_prefix("sha256:").unwrap_or(&id))?;
    }
    Ok(SUCCESS)
}
