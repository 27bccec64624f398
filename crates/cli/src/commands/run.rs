//! `dhow run`: create, start, be attached, wait, clean up.
//!
//! In the foreground this process promises the monitor to do the cleanup itself (`Engine::attend`), which saves a second
//! process; if it dies, or the user detaches, the promise is void and the monitor's exit command does it.

use std::io;

use anyhow::{Result, bail};
use dhow_engine::request::{
    AttachRequest, DetachKeys, LogDriver, RemoveRequest, StartRequest, Streams,
};
use dhow_engine::{ContainerId, Engine};
use dhow_sys::tty::is_terminal;

use crate::attached::{Foreground, Manner};
use crate::commands::create::{command_line, create};
use crate::context::Context;
use crate::create_flags::{Attach, CreateFlags, value};
use crate::error::{SUCCESS, warn_line};
use crate::{output, terminal};

#[derive(Debug, clap::Args)]
#[command(
    override_usage = "dhow run [OPTIONS] IMAGE [COMMAND [ARG...]]",
    after_help = "Exit codes: 125 dhow itself failed, 126 the command cannot be executed, 127 it cannot be found,
any other is the command's own.

Examples:
  dhow run --rm -it --rootfs /:O sh            a shell in a throwaway copy of this machine's root
  dhow run --rm IMAGE echo hello
  dhow run -d --name web -v /srv:/srv:ro --restart on-failure:3 IMAGE
  dhow run --rm --read-only --cap-drop all --network none -m 256m --cpus 0.5 IMAGE
  dhow run --rm --env-file vars -u 1000:1000 -w /src -v .:/src IMAGE make"
)]
pub(crate) struct Args {
    /// Leave it running in the background and print its id
    #[arg(long, short)]
    detach: bool,
    /// Keys that detach: characters or ctrl-X, separated by commas; "" for none
    #[arg(long, value_name = "KEYS", value_parser = value::<DetachKeys>)]
    detach_keys: Option<DetachKeys>,
    /// Pass signals on to it
    #[arg(long, value_name = "BOOL", num_args = 0..=1, require_equals = true, default_value = "true", default_missing_value = "true", action = clap::ArgAction::Set, hide_possible_values = true)]
    sig_proxy: bool,
    #[command(flatten)]
    flags: CreateFlags,
}

pub(crate) fn run(mut args: Args, context: &Context) -> Result<u8> {
    let attach = std::mem::take(&mut args.flags.attach);
    let detach_keys = args.detach_keys.take().unwrap_or_default();
    if args.detach && !attach.is_empty() {
        bail!("--attach and --detach exclude each other");
    }
    args.flags.interactive |= attach.contains(&Attach::Stdin);
    let streams = Streams {
        stdin: args.flags.interactive && (attach.is_empty() || attach.contains(&Attach::Stdin)),
        stdout: attach.is_empty() || attach.contains(&Attach::Stdout),
        stderr: attach.is_empty() || attach.contains(&Attach::Stderr),
    };
    let pull = args.flags.pull.clone();
    let request = args.flags.request(&context.environment, &command_line())?;
    let passthrough = request.logging.driver == LogDriver::Passthrough;
    if passthrough
        && [is_terminal(io::stdin()), is_terminal(io::stdout()), is_terminal(io::stderr())]
            .contains(&true)
    {
        // A container that holds our terminal could type into it (TIOCSTI).
        bail!("--log-driver passthrough cannot be used on a terminal");
    }
    let interactive = request.process.terminal && streams.stdin;
    if interactive && !args.detach && !is_terminal(io::stdin()) {
        warn_line(
            "Warning: stdin is not a terminal: --tty and --interactive may not work as expected",
        );
    }
    let engine = context.engine()?;
    // Before signals are caught: one that comes meanwhile ends this command.
    pull.ensure(&engine, &request)?;
    let manner = Manner { streams, detach_keys };
    if args.detach {
        let id = create(&engine, &request)?;
        start_or_remove(&engine, &id, request.auto_remove)?;
        output::line(id.as_str())?;
        return Ok(SUCCESS);
    }
    // ORDER: caught before there is a container: a signal that comes while it is made is passed on when it runs.
    let mut foreground = Foreground::new(&engine, args.sig_proxy)?;
    let id = create(&engine, &request)?;
    let attendance = engine.attend(id.as_str())?;
    let started = if passthrough {
        engine.start(&StartRequest { container: id.to_string() }).map(|_| None)
    } else {
        let window = request.process.terminal.then(terminal::own_window).flatten();
        engine
            .start_attached(&AttachRequest { container: id.to_string(), streams, window })
            .map(Some)
    };
    let session = match started {
        Ok(session) => session,
        Err(e) => {
            let error = undo(&engine, &id, request.auto_remove, e);
            // ORDER: last, so that the monitor's exit command does not come between.
            if let Err(cleanup) = attendance.finish() {
                tracing::debug!(%id, "cleanup after a failed start: {cleanup}");
            }
            return Err(error);
        }
    };
    let Some(code) = foreground.follow(session, &manner, id.as_str())? else {
        drop(attendance);
        return Ok(SUCCESS);
    };
    attendance.finish()?;
    Ok(code)
}

fn start_or_remove(engine: &Engine, id: &ContainerId, auto_remove: bool) -> Result<()> {
    match engine.start(&StartRequest { container: id.to_string() }) {
        Ok(_) => Ok(()),
        Err(e) => Err(undo(engine, id, auto_remove, e)),
    }
}

/// Removes a container that did not start, with `--rm`, and where dhow itself found the request at fault: `run` either
/// runs what was asked for or leaves nothing. One whose command the runtime refuses stays, as podman's does. The error
/// of the start is what the user wants to know.
fn undo(
    engine: &Engine,
    id: &ContainerId,
    auto_remove: bool,
    e: dhow_engine::Error,
) -> anyhow::Error {
    if auto_remove || !e.is_of_runtime() {
        let request = RemoveRequest {
            container: id.to_string(),
            force: true,
            volumes: true,
            ..RemoveRequest::default()
        };
        if let Err(cleanup) = engine.remove(&request) {
            tracing::debug!(%id, "cleanup after a failed start: {cleanup}");
        }
    }
    e.into()
}
