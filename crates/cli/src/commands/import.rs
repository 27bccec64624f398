//! `dhow import`.

use std::io;
use std::path::PathBuf;

use anyhow::{Result, bail};
use dhow_engine::request::ImportRequest;
use dhow_sys::tty::is_terminal;

use crate::context::Context;
use crate::error::SUCCESS;
use crate::output;
use crate::progress;

#[derive(Debug, clap::Args)]
#[command(after_help = "Examples:
  dhow import rootfs.tar debian:12
  mmdebstrap bookworm | dhow import -c 'CMD [\"bash\"]' - debian:12")]
pub(crate) struct Args {
    /// A tar archive of a root file system, plain, gzip or zstd; - for stdin
    path: PathBuf,
    /// Name of the new image
    reference: Option<String>,
    /// Apply an instruction: CMD, ENTRYPOINT, ENV, EXPOSE, LABEL, ONBUILD, STOPSIGNAL, USER, VOLUME, WORKDIR
    #[arg(long, short, value_name = "INSTRUCTION")]
    change: Vec<String>,
    /// Message of the image's history
    #[arg(long, short, value_name = "TEXT")]
    message: Option<String>,
    /// Draw no progress
    #[arg(long, short)]
    quiet: bool,
}

pub(crate) fn run(args: Args, context: &Context) -> Result<u8> {
    let from_stdin = args.path.as_os_str() == "-";
    if from_stdin && is_terminal(io::stdin()) {
        bail!("an archive does not come from a terminal: name a file, or use a pipe");
    }
    let stream: Option<Box<dyn io::Read + Send>> =
        if from_stdin { Some(Box::new(io::stdin())) } else { None };
    let request = ImportRequest {
        input: (!from_stdin).then_some(args.path),
        reference: args.reference,
        changes: args.change,
        message: args.message,
    };
    let engine = context.engine()?;
    let id = progress::shown(args.quiet, |progress| engine.import(&request, stream, progress))?;
    output::line(&format!("sha256:{}", id.to_string().trim_start_matches("sha256:")))?;
    Ok(SUCCESS)
}
