//! `dhow load`.

use std::io;
use std::path::PathBuf;

use anyhow::{Result, bail};
use dhow_engine::request::LoadRequest;
use dhow_sys::tty::is_terminal;

use crate::context::Context;
use crate::error::SUCCESS;
use crate::output;
use crate::progress;

#[derive(Debug, clap::Args)]
#[command(
    after_help = "Reads OCI layouts (a directory or a tar archive) and docker archives, each with one image or more.

Examples:
  dhow load -i image.tar
  podman save busybox | dhow load"
)]
pub(crate) struct Args {
    /// Archive or directory [default: stdin]
    #[arg(long, short, value_name = "PATH")]
    input: Option<PathBuf>,
    /// Draw no progress
    #[arg(long, short)]
    quiet: bool,
}

pub(crate) fn run(args: Args, context: &Context) -> Result<u8> {
    if args.input.is_none() && is_terminal(io::stdin()) {
        bail!("an archive does not come from a terminal: use --input PATH, or a pipe");
    }
    let stream: Option<Box<dyn io::Read + Send>> = match args.input {
        Some(_) => None,
        None => Some(Box::new(io::stdin())),
    };
    let engine = context.engine()?;
    let request = LoadRequest { input: args.input };
    for image in progress::shown(args.quiet, |progress| engine.load(&request, stream, progress))? {
        if image.names.is_empty() {
            output::line(&format!("Loaded image: sha256:{}", image.id))?;
        }
        for name in image.names {
            output::line(&format!("Loaded image: {name}"))?;
        }
    }
    Ok(SUCCESS)
}
