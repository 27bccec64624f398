//! The `dhow` command: arguments in, engine methods called, text and exit codes out.
//!
//! Thin on purpose. It reads the environment (`environment.rs`) and the terminal (`terminal.rs`), which no other crate
//! does; it knows no file under the root. One file a subcommand under `commands/`.

mod args;
mod attached;
mod commands;
mod context;
mod create_flags;
mod detach;
mod environment;
mod error;
mod human;
mod output;
mod output_file;
mod progress;
mod refused;
mod registry_flags;
mod signals;
mod table;
mod targets;
mod template;
mod terminal;

use std::process::ExitCode;

use anyhow::Result;

use crate::args::Parsed;
use crate::context::Context;
use crate::environment::Environment;

fn main() -> ExitCode {
    ExitCode::from(run().unwrap_or_else(|e| error::report(&e)))
}

fn run() -> Result<u8> {
    let environment = Environment::read();
    let cli = match args::parse(std::env::args_os(), &environment)? {
        Parsed::Run(cli) => cli,
        Parsed::Shown(code) => return Ok(code),
    };
    log_to_stderr(cli.global.log_level.as_deref().unwrap_or("warn"))?;
    commands::dispatch(cli.command, &Context::new(cli.global, environment))
}

fn log_to_stderr(level: &str) -> Result<()> {
    let level: tracing::level_filters::LevelFilter = level.parse().map_err(|_| {
        anyhow::anyhow!(
            "no log level is called {level:?}: expected off, error, warn, info, debug or trace"
        )
    })?;
    tracing_subscriber::fmt()
        .with_max_level(level)
        .with_writer(std::io::stderr)
        .without_time()
        .with_target(false)
        .init();
    Ok(())
}
