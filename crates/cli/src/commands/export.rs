//! `dhow export`.

use std::fs::{File, OpenOptions};
use std::io::{self, Write};
use std::path::{Path, PathBuf};

use anyhow::{Context as _, Result, bail};
use dhow_engine::Engine;
use dhow_sys::tty::is_terminal;

use crate::context::Context;
use crate::error::SUCCESS;

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
        // What is there and no file (a pipe, /dev/null) is written to as it is.
        Some(path) if path.metadata().is_ok_and(|found| !found.is_file()) => {
            let open = OpenOptions::new().write(true).open(path);
            let mut file = open.with_context(|| format!("cannot write to {}", path.display()))?;
            engine.export(&args.container, &mut file)?;
        }
        Some(path) => to_file(&engine, &args.container, path)?,
    }
    Ok(SUCCESS)
}

/// Writes to a file beside the one asked for and renames it: half an archive is never under that name.
fn to_file(engine: &Engine, container: &str, path: &Path) -> Result<()> {
    let name =
        path.file_name().with_context(|| format!("{} is not a file's name", path.display()))?;
    let partial =
        path.with_file_name(format!(".{}.{}", name.to_string_lossy(), std::process::id()));
    let write = || -> Result<()> {
        let mut file =
            File::create(&partial).with_context(|| format!("cannot make {}", partial.display()))?;
        engine.export(container, &mut file)?;
        file.flush().with_context(|| format!("cannot write {}", partial.display()))?;
        std::fs::rename(&partial, path)
            .with_context(|| format!("cannot rename to {}", path.display()))
    };
    write().inspect_err(|_| {
        std::fs::remove_file(&partial).ok();
    })
}
