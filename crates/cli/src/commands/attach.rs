//! `dhow attach`.

use anyhow::{Result, bail};
use dhow_engine::request::{AttachRequest, DetachKeys, Streams};

use crate::attached::{Foreground, Manner};
use crate::context::Context;
use crate::create_flags::value;
use crate::error::SUCCESS;
use crate::terminal;

#[derive(Debug, clap::Args)]
#[command(after_help = "The exit code is the container's; 0 after detaching.

Examples:
  dhow attach web                          leave it with ctrl-p ctrl-q
  dhow attach --no-stdin --sig-proxy=false web")]
pub(crate) struct Args {
    /// Name, id, or beginning of an id
    container: Option<String>,
    /// Keys that detach: characters or ctrl-X, separated by commas; "" for none
    #[arg(long, value_name = "KEYS", value_parser = value::<DetachKeys>)]
    detach_keys: Option<DetachKeys>,
    /// The container that was created last
    #[arg(long, short)]
    latest: bool,
    /// Do not pass input on
    #[arg(long)]
    no_stdin: bool,
    /// Pass signals on to it
    #[arg(long, value_name = "BOOL", num_args = 0..=1, require_equals = true, default_value = "true", default_missing_value = "true", action = clap::ArgAction::Set, hide_possible_values = true)]
    sig_proxy: bool,
}

pub(crate) fn run(args: Args, context: &Context) -> Result<u8> {
    let engine = context.engine()?;
    let container = match (args.container, args.latest) {
        (Some(name), false) => name,
        (None, true) => engine.latest()?.to_string(),
        (Some(_), true) => bail!("a container's name and --latest exclude each other"),
        (None, false) => bail!("name a container, or use --latest"),
    };
    let id = engine.resolve(&container)?.to_string();
    let streams = Streams { stdin: !args.no_stdin, stdout: true, stderr: true };
    let mut foreground = Foreground::new(&engine, args.sig_proxy)?;
    let session = engine.attach(&AttachRequest {
        container: id.clone(),
        streams,
        window: terminal::own_window(),
    })?;
    let manner = Manner { streams, detach_keys: args.detach_keys.unwrap_or_default() };
    Ok(foreground.follow(Some(session), &manner, &id)?.unwrap_or(SUCCESS))
}
