//! `dhow logs`: what containers have printed, to stdout what went to stdout and to stderr what went to stderr.

mod printer;

use std::io::IsTerminal as _;
use std::sync::mpsc;

use anyhow::{Context as _, Result, bail};
use dhow_engine::request::{LogsRequest, Moment};
use dhow_engine::{Engine, LogLine};
use jiff::tz::TimeZone;

use crate::context::Context;
use crate::{error, human};
use printer::{Prefix, Printer};

#[derive(Debug, clap::Args)]
#[command(after_help = "Examples:
  dhow logs --tail 20 web
  dhow logs -f --since 5m web db")]
pub(crate) struct Args {
    /// Containers: names, ids or beginnings of ids
    #[arg(required_unless_present = "latest")]
    containers: Vec<String>,
    /// Colour the names of the containers, on a terminal
    #[arg(long)]
    color: bool,
    /// Go on until the containers end
    #[arg(short, long)]
    follow: bool,
    /// Use the container created last
    #[arg(short, long, conflicts_with = "containers")]
    latest: bool,
    /// Begin each line with the container's name
    #[arg(short, long)]
    names: bool,
    /// Leave out what is older: a time (2026-01-02T15:04:05Z), seconds since 1970, or an age (10m)
    #[arg(long, value_name = "TIME")]
    since: Option<Moment>,
    /// Print so many lines from the end, or all
    #[arg(
        long,
        value_name = "LINES",
        default_value = "all",
        hide_default_value = true,
        allow_hyphen_values = true
    )]
    tail: Tail,
    /// Begin each line with its time
    #[arg(short, long)]
    timestamps: bool,
    /// Leave out what is newer
    #[arg(long, value_name = "TIME")]
    until: Option<Moment>,
}

/// `--tail`: a number of lines; `all` and negative numbers mean every line.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Tail(Option<u64>);

impl std::str::FromStr for Tail {
    type Err = anyhow::Error;

    fn from_str(text: &str) -> Result<Tail> {
        match text.parse::<i64>() {
            _ if text == "all" => Ok(Tail(None)),
            Ok(lines) => Ok(Tail(u64::try_from(lines).ok())),
            Err(_) => bail!("expected a number of lines, or all"),
        }
    }
}

/// Performs the command: an error of one container does not keep the others from being printed.
pub(crate) fn run(args: &Args, context: &Context) -> Result<u8> {
    let engine = context.engine()?;
    let containers =
        if args.latest { vec![engine.latest()?.to_string()] } else { args.containers.clone() };
    let requests = containers.into_iter().map(|container| LogsRequest {
        container,
        follow: args.follow,
        tail: args.tail.0,
        since: args.since,
        until: args.until,
    });
    // Every name is looked up before anything is printed: a misspelt one is not found out after an hour of output.
    let requests: Vec<LogsRequest> = requests.collect();
    let prefixes: Vec<Prefix> = requests
        .iter()
        .enumerate()
        .map(|(index, request)| prefix(&engine, args, request, index, requests.len()))
        .collect::<Result<_>>()?;
    let zone = args.timestamps.then(TimeZone::system);
    let mut printer =
        Printer::new(std::io::stdout(), std::io::stderr(), args.follow, zone, prefixes);
    if args.follow && requests.len() > 1 {
        return follow_all(&engine, &requests, &mut printer);
    }
    let mut code = error::SUCCESS;
    for (index, request) in requests.iter().enumerate() {
        if let Err(failure) = print(&engine, request, |line| printer.print(index, line)) {
            if is_reader_gone(&failure) {
                return Err(failure);
            }
            printer.finish()?;
            error::print(&failure);
            code = error::ENGINE;
        }
    }
    printer.finish()?;
    Ok(code)
}

/// Hands every line of a container's log to `print`. A damaged line is an error of its own; the log goes on after it.
fn print(
    engine: &Engine,
    request: &LogsRequest,
    mut print: impl FnMut(&LogLine) -> Result<()>,
) -> Result<()> {
    let mut damaged = Ok(());
    for line in engine.logs(request)? {
        match line {
            Ok(line) => print(&line)?,
            Err(damage) => damaged = Err(damage.into()),
        }
    }
    damaged
}

/// Follows several containers at once: a thread each reads, this one prints.
fn follow_all<O, E>(
    engine: &Engine,
    requests: &[LogsRequest],
    printer: &mut Printer<O, E>,
) -> Result<u8>
where
    O: std::io::Write,
    E: std::io::Write,
{
    // Bounded: a reader waits for the terminal, not the terminal's memory for the reader.
    let (sender, lines) = mpsc::sync_channel::<(usize, Result<LogLine>)>(64);
    std::thread::scope(|scope| {
        for (index, request) in requests.iter().enumerate() {
            let sender = sender.clone();
            scope.spawn(move || {
                let send = |line: &LogLine| {
                    sender.send((index, Ok(line.clone()))).context("nobody reads the log any more")
                };
                if let Err(failure) = print(engine, request, send) {
                    sender.send((index, Err(failure))).ok();
                }
            });
        }
        drop(sender);
        let mut code = error::SUCCESS;
        for (index, line) in &lines {
            let printed = line.and_then(|line| printer.print(index, &line));
            if let Err(failure) = printed {
                if is_reader_gone(&failure) {
                    // The readers wait for containers, not for us: leaving the process is what ends them.
                    finish(error::report(&failure));
                }
                error::print(&failure);
                code = error::ENGINE;
            }
        }
        Ok(code)
    })
}

#[expect(
    clippy::exit,
    reason = "the threads that follow other containers cannot be told that nobody reads them"
)]
fn finish(code: u8) -> ! {
    std::process::exit(code.into())
}

/// Whether the output, not the log, is what failed.
fn is_reader_gone(failure: &anyhow::Error) -> bool {
    failure.downcast_ref::<std::io::Error>().is_some()
}

/// What stands before the lines of a container: its name or id where several are printed or names are asked for.
fn prefix(
    engine: &Engine,
    args: &Args,
    request: &LogsRequest,
    index: usize,
    count: usize,
) -> Result<Prefix> {
    let text = if args.names {
        Some(engine.inspect(&request.container, false)?.name)
    } else if count > 1 || args.color {
        Some(human::short_id(&engine.resolve(&request.container)?.to_string()).to_owned())
    } else {
        engine.resolve(&request.container)?;
        None
    };
    let colour = (args.color && std::io::stdout().is_terminal()).then_some(index);
    Ok(Prefix { text, colour })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn tail_is_a_number_or_all() {
        assert_eq!("3".parse::<Tail>().unwrap(), Tail(Some(3)));
        assert_eq!("0".parse::<Tail>().unwrap(), Tail(Some(0)));
        assert_eq!("-1".parse::<Tail>().unwrap(), Tail(None));
        assert_eq!("all".parse::<Tail>().unwrap(), Tail(None));
        assert_eq!(
            "x".parse::<Tail>().unwrap_err().to_string(),
            "expected a number of lines, or all"
        );
    }
}
