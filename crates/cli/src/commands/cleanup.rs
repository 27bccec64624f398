//! `dhow container cleanup`: what the monitor runs when its container has ended.

use anyhow::Result;
use dhow_engine::Status;

use crate::context::Context;
use crate::error;
use crate::targets::{Targets, ignoring};

#[derive(Debug, clap::Args)]
pub(crate) struct Args {
    #[command(flatten)]
    targets: Targets,
}

pub(crate) fn run(args: &Args, context: &Context) -> Result<u8> {
    let engine = context.engine()?;
    let targets = args
        .targets
        .resolve(&engine, true, |status| matches!(status, Status::Stopped | Status::Exited))?;
    let mut worst = error::SUCCESS;
    for name in targets.names {
        // Somebody else may have removed it since.
        if let Err(e) = ignoring(true, engine.cleanup(&name).map_err(Into::into)) {
            error::print(&e);
            worst = worst.max(error::code(&e));
        }
    }
    Ok(worst)
}
