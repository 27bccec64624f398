//! `dhow wait`.

use std::time::Duration;

use anyhow::Result;
use clap::builder::PossibleValue;
use dhow_engine::Status;
use dhow_engine::request::{WaitCondition, WaitRequest, parse_span};

use crate::context::Context;
use crate::error;
use crate::output;
use crate::targets::{Targets, ignoring};

#[derive(Debug, clap::Args)]
#[command(after_help = "Prints the exit code of each container, in order; -1 where nobody saw it.

Examples:
  dhow wait web
  dhow wait --condition running --condition exited web")]
pub(crate) struct Args {
    #[command(flatten)]
    targets: Targets,
    /// State to wait for; given several times, any of them [default: stopped]
    #[arg(long, value_name = "STATE", value_delimiter = ',', value_parser = clap::value_parser!(Condition))]
    condition: Vec<Condition>,
    /// Has no effect but to be checked: dhow is told of a change when it happens
    #[arg(long, short, value_name = "DURATION", value_parser = interval, hide = true)]
    interval: Option<Duration>,
    /// Print -1 for containers that do not exist
    #[arg(long)]
    ignore: bool,
}

/// A condition as the command line has it.
#[derive(Debug, Clone, Copy)]
struct Condition(WaitCondition);

impl clap::ValueEnum for Condition {
    fn value_variants<'a>() -> &'a [Self] {
        use WaitCondition::{
            Configured, Created, Exited, Initialized, Paused, Removing, Running, Stopped, Stopping,
        };
        &[
            Self(Configured),
            Self(Created),
            Self(Initialized),
            Self(Running),
            Self(Paused),
            Self(Stopping),
            Self(Stopped),
            Self(Exited),
            Self(Removing),
        ]
    }

    fn to_possible_value(&self) -> Option<PossibleValue> {
        Some(PossibleValue::new(match self.0 {
            WaitCondition::Configured => "configured",
            WaitCondition::Created => "created",
            WaitCondition::Initialized => "initialized",
            WaitCondition::Running => "running",
            WaitCondition::Paused => "paused",
            WaitCondition::Stopping => "stopping",
            WaitCondition::Stopped => "stopped",
            WaitCondition::Exited => "exited",
            WaitCondition::Removing => "removing",
        }))
    }
}

fn interval(text: &str) -> Result<Duration, String> {
    parse_span(text, Duration::from_millis(1)).map_err(|e| e.why)
}

pub(crate) fn run(args: &Args, context: &Context) -> Result<u8> {
    let engine = context.engine()?;
    let fits = |status| matches!(status, Status::Running | Status::Paused | Status::Stopping);
    let targets = args.targets.resolve(&engine, args.ignore, fits)?;
    let conditions: Vec<WaitCondition> =
        args.condition.iter().map(|Condition(condition)| *condition).collect();
    let mut worst = error::SUCCESS;
    for container in targets.names {
        let waited = engine.wait(&WaitRequest { container, conditions: conditions.clone() });
        match ignoring(targets.ignore_missing, waited.map_err(Into::into)) {
            Ok(code) => output::line(&code.unwrap_or(-1).to_string())?,
            Err(e) => {
                error::print(&e);
                worst = worst.max(error::code(&e));
            }
        }
    }
    Ok(worst)
}
