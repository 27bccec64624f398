//! `dhow exec`.

use std::path::PathBuf;

use anyhow::{Context as _, Result, bail};
use dhow_engine::Engine;
use dhow_engine::request::{DetachKeys, EnvArgument, ExecRequest, Streams, User};

use crate::attached::{Ending, Manner, Peer, attend, pump};
use crate::context::Context;
use crate::create_flags::{environment_variables, value};
use crate::error::{SUCCESS, exit_code};
use crate::signals::{self, Signals};
use crate::{output, terminal};

#[derive(Debug, clap::Args)]
#[command(
    override_usage = "dhow exec [OPTIONS] CONTAINER COMMAND [ARG...]",
    after_help = "Exit codes: 125 dhow itself failed, 126 the command cannot be executed, 127 it cannot be found,
any other is the command's own.

Examples:
  dhow exec web cat /etc/hostname
  dhow exec -it web sh
  dhow exec -u 1000 -e MODE=test -w /srv web ./check"
)]
pub(crate) struct Args {
    /// Container, then the command and its arguments
    #[arg(required = true, num_args = 1.., trailing_var_arg = true, value_names = ["CONTAINER", "COMMAND"], hide = true)]
    words: Vec<String>,
    /// The container whose id is in this file
    #[arg(long, value_name = "FILE", conflicts_with = "latest")]
    cidfile: Option<PathBuf>,
    /// Leave it running in the background and print the session's id
    #[arg(long, short)]
    detach: bool,
    /// Keys that detach: characters or ctrl-X, separated by commas; "" for none
    #[arg(long, value_name = "KEYS", value_parser = value::<DetachKeys>)]
    detach_keys: Option<DetachKeys>,
    /// Set an environment variable; NAME alone takes this shell's value
    #[arg(long, short, value_name = "NAME=VALUE", value_parser = value::<EnvArgument>)]
    env: Vec<EnvArgument>,
    /// Read environment variables from a file, one a line
    #[arg(long, value_name = "FILE")]
    env_file: Vec<PathBuf>,
    /// Pass input on
    #[arg(long, short)]
    interactive: bool,
    /// The container that was created last
    #[arg(long, short)]
    latest: bool,
    /// Give it all capabilities
    #[arg(long)]
    privileged: bool,
    /// Give it a terminal
    #[arg(long, short)]
    tty: bool,
    /// User and group, each a name or a number
    #[arg(long, short, value_name = "USER[:GROUP]", value_parser = value::<User>)]
    user: Option<User>,
    /// Working directory, which must exist
    #[arg(long, short, value_name = "DIR")]
    workdir: Option<PathBuf>,
}

pub(crate) fn run(mut args: Args, context: &Context) -> Result<u8> {
    if let Some(dir) = &args.workdir
        && !dir.is_absolute()
    {
        bail!("--workdir {}: expected an absolute path", dir.display());
    }
    let engine = context.engine()?;
    let container = container(&mut args, &engine)?;
    if args.words.is_empty() {
        bail!("the command is missing: dhow exec CONTAINER COMMAND [ARG...]");
    }
    let request = ExecRequest {
        container,
        command: args.words,
        env: environment_variables(&args.env_file, args.env, &context.environment)?,
        user: args.user,
        workdir: args.workdir,
        privileged: args.privileged,
        terminal: args.tty,
        stdin_open: args.interactive,
        detach: args.detach,
        window: args.tty.then(terminal::own_window).flatten(),
    };
    let mut session = engine.exec(&request)?;
    let Some(attach) = session.attach() else {
        output::line(&session.id)?;
        return Ok(SUCCESS);
    };
    let manner = Manner {
        streams: Streams { stdin: args.interactive, stdout: true, stderr: true },
        detach_keys: args.detach_keys.unwrap_or_default(),
    };
    let peer = Peer { engine: &engine, container: None };
    let mut signals = Signals::catch(false).context("cannot catch signals")?;
    match pump(attach, &manner, &peer, &mut signals)? {
        Ending::Detached => return Ok(SUCCESS),
        Ending::Interrupted(signal) => signals::die_of(signal).context("cannot end by a signal")?,
        Ending::Ended => {}
    }
    let code = attend(&peer, &mut signals, || Ok(session.wait()?))?;
    Ok(exit_code(code, || "the session's monitor has died".into()))
}

/// The container meant; the words left are the command.
fn container(args: &mut Args, engine: &Engine) -> Result<String> {
    if args.latest {
        return Ok(engine.latest()?.to_string());
    }
    match &args.cidfile {
        Some(file) => crate::targets::read_cidfile(file),
        None => Ok(args.words.remove(0)),
    }
}
