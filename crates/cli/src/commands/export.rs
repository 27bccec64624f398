//! `dhow export`.

use std::io;
use std::path::PathBuf;

use anyhow::{Result, bail};
use dhow_sys::tty::is_terminal;

use crate::context::Context;
use crate::error::SUCCESS;
use crate::output_file::write_file;

#[derive(Debug, clap::Args)]
#[command(after_help = "Examples:
  dhow export -o web.tar web
  dhow export web | tar -t")]
pub(crate) struct Args {
    /// Name, id, or beginning of an id
    container: String,
    /// Write to this file [default: stdout]
    #[arg(long, short, value_name = "FILE")]
    output: Option<PathBuf>,
}

pub(crate) fn run(args: &Args, context: &Context) -> Result<u8> {
    if args.output.is_none() && is_terminal(io::stdout()) {
        bail!("an archive is not for a terminal: use --output FILE, or a pipe");
    }
    let engine = context.engine()?;
    match &args.output {
        None => engine.export(&args.container, &mut io::stdout())?,
        Some(path) => {
            write_file(path, |file| Ok(engine.export(&args.container, file)?))?;
        }
    }
    Ok(SUCCESS)
}
