//! The command line: global flags, the list of commands, and how clap's errors read.
//!
//! Each command's own flags are in its file under `commands/`. INVARIANT: after [`parse`], nobody looks at argv again.

use std::ffi::OsString;
use std::path::PathBuf;

use anyhow::{Result, bail};
use clap::builder::BoolishValueParser;
use clap::error::{ContextKind, ContextValue, ErrorKind};
use clap::{Arg, ArgAction, Args, CommandFactory as _, FromArgMatches as _, Parser, Subcommand};

use crate::commands;
use crate::environment::Environment;
use crate::error::{ENGINE, SUCCESS};

/// Run containers without a daemon.
#[derive(Debug, Parser)]
#[command(
    name = "dhow",
    version,
    disable_version_flag = true,
    disable_help_subcommand = true,
    subcommand_required = true,
    arg_required_else_help = true,
    max_term_width = 110,
    after_help = "Examples:
  dhow run --rm -it --rootfs /:O sh       a shell in a throwaway copy of this machine's own root
  dhow load -i image.tar                  bring an image in from an archive
  dhow run -d --name web IMAGE            start a container in the background
  dhow ps -a                              list containers
  dhow rm -f web                          stop and remove it

`dhow COMMAND --help` shows a command's flags and more examples."
)]
pub(crate) struct Cli {
    #[command(flatten)]
    pub(crate) global: Global,
    #[command(subcommand)]
    pub(crate) command: Command,
    /// Print the version
    #[arg(short = 'v', long, action = ArgAction::Version)]
    version: Option<bool>,
}

/// Flags of every command.
#[derive(Debug, Clone, Default, Args)]
#[command(next_help_heading = "Global options")]
pub(crate) struct Global {
    /// Where containers and images are kept over reboots [env: DHOW_ROOT] [default: /var/lib/dhow]
    #[arg(long, global = true, value_name = "DIR")]
    pub(crate) root: Option<PathBuf>,
    /// Where the state of this boot is kept [env: DHOW_RUNROOT] [default: /run/dhow]
    #[arg(long, global = true, value_name = "DIR")]
    pub(crate) runroot: Option<PathBuf>,
    /// OCI runtime, by name or path [env: DHOW_RUNTIME] [default: the first of crun, runc, youki that can run here]
    #[arg(long, global = true, value_name = "NAME|PATH")]
    pub(crate) runtime: Option<String>,
    /// Monitor program [env: DHOW_CONMON] [default: dhow-shim beside dhow]
    #[arg(long, global = true, value_name = "PATH")]
    pub(crate) conmon: Option<PathBuf>,
    /// Log what dhow does to stderr [env: DHOW_LOG_LEVEL] [default: warn]
    #[arg(long, global = true, value_name = "LEVEL", value_parser = ["off", "error", "warn", "info", "debug", "trace"], hide_possible_values = true)]
    pub(crate) log_level: Option<String>,
}

/// Every command. Those about containers and images are also under `dhow container` and `dhow image`.
#[derive(Debug, Subcommand)]
pub(crate) enum Command {
    #[command(flatten)]
    SharedContainer(ContainerCommand),
    #[command(flatten)]
    SharedImage(ImageCommand),
    /// Write a script that completes dhow's command line
    Completion(commands::completion::Args),
    /// List the files that differ from what a container or image was made from
    Diff(commands::diff::Args),
    /// List images
    Images(commands::images::Args),
    /// Show the machine, the engine and how much it holds
    Info(commands::info::Args),
    /// Show everything known of containers and images
    Inspect(commands::inspect::Args),
    /// Log in to a registry
    Login(commands::login::Args),
    /// Forget the credentials of a registry
    Logout(commands::logout::Args),
    /// Write the manual pages
    #[command(hide = true)]
    Man(commands::man::Args),
    /// Remove images
    Rmi(commands::rmi::Args),
    /// Show the version
    Version(commands::version::Args),
    /// Manage containers
    #[command(subcommand_required = true, arg_required_else_help = true)]
    Container {
        #[command(subcommand)]
        command: ContainerGroup,
    },
    /// Manage networks
    #[command(subcommand_required = true, arg_required_else_help = true)]
    Network {
        #[command(subcommand)]
        command: NetworkGroup,
    },
    /// Manage images
    #[command(subcommand_required = true, arg_required_else_help = true)]
    Image {
        #[command(subcommand)]
        command: ImageGroup,
    },
    /// Manage the machine's containers, images and volumes as a whole
    #[command(subcommand_required = true, arg_required_else_help = true)]
    System {
        #[command(subcommand)]
        command: SystemGroup,
    },
}

/// Commands under `dhow system`.
#[derive(Debug, Subcommand)]
pub(crate) enum SystemGroup {
    /// Show what images, containers and volumes take on disk
    Df(commands::df::Args),
    /// Show the machine, the engine and how much it holds
    Info(commands::info::Args),
    /// Remove containers that do not run and images that nobody uses
    Prune(commands::prune::SystemArgs),
}

/// Commands that are both at the top and under `dhow container`.
#[derive(Debug, Subcommand)]
pub(crate) enum ContainerCommand {
    /// Attach to a running container
    Attach(commands::attach::Args),
    /// Make an image of a container's changes
    Commit(commands::commit::Args),
    /// Make a container without starting it
    Create(Box<commands::create::Args>),
    /// Run a process in a running container
    Exec(commands::exec::Args),
    /// Write a container's file system as a tar archive
    Export(commands::export::Args),
    /// Prepare containers so that starting them is quick
    Init(commands::init::Args),
    /// Send a signal to containers
    Kill(commands::kill::Args),
    /// Print what containers have written
    Logs(commands::logs::Args),
    /// Mount containers' file systems on the host
    Mount(commands::mount::Args),
    /// Freeze containers
    Pause(commands::pause::Args),
    /// Show where a container's ports are on the host
    Port(commands::port::Args),
    /// List containers
    Ps(commands::ps::Args),
    /// Give a container another name
    Rename(commands::rename::Args),
    /// Stop and start containers
    Restart(commands::restart::Args),
    /// Remove containers
    Rm(commands::rm::Args),
    /// Make a container and start it
    Run(Box<commands::run::Args>),
    /// Start containers
    Start(commands::start::Args),
    /// Stop containers
    Stop(commands::stop::Args),
    /// Unmount containers' file systems
    #[command(visible_alias = "umount")]
    Unmount(commands::unmount::Args),
    /// Let frozen containers go on
    Unpause(commands::unpause::Args),
    /// Wait until containers end and print their exit codes
    Wait(commands::wait::Args),
}

/// Commands under `dhow container`.
#[derive(Debug, Subcommand)]
pub(crate) enum ContainerGroup {
    #[command(flatten)]
    Shared(ContainerCommand),
    /// Clean up after a container that has ended
    #[command(hide = true)]
    Cleanup(commands::cleanup::Args),
    /// Say by the exit code whether a container exists
    Exists(commands::exists::ContainerArgs),
    /// List the files that differ from what a container was made from
    Diff(commands::diff::Args),
    /// Show everything known of containers
    Inspect(commands::inspect::ContainerArgs),
    /// List containers
    #[command(visible_alias = "list")]
    Ls(commands::ps::Args),
}

/// Commands under `dhow network`.
#[derive(Debug, Subcommand)]
pub(crate) enum NetworkGroup {
    /// Make a network
    Create(commands::network::create::Args),
    /// Say by the exit code whether a network exists
    Exists(commands::network::NameArgs),
    /// Show everything known of networks
    Inspect(commands::network::InspectArgs),
    /// List networks
    #[command(visible_alias = "list")]
    Ls(commands::network::ls::Args),
    /// Remove networks that no container uses
    Prune(commands::network::PruneArgs),
    /// Write the rules of the connected containers anew, after the machine's firewall was reloaded
    Reload(commands::network::ReloadArgs),
    /// Remove networks
    #[command(visible_alias = "remove")]
    Rm(commands::network::RmArgs),
}

/// Commands that are both at the top and under `dhow image`.
#[derive(Debug, Subcommand)]
pub(crate) enum ImageCommand {
    /// Show how an image was made
    History(commands::history::Args),
    /// Make an image of a root file system's tar archive
    Import(commands::import::Args),
    /// Bring images in from an archive or a directory
    Load(commands::load::Args),
    /// Bring images in from a registry
    Pull(Box<commands::pull::Args>),
    /// Send an image to a registry
    Push(Box<commands::push::Args>),
    /// Write images to an archive or a directory
    Save(commands::save::Args),
    /// Give an image more names
    Tag(commands::tag::Args),
    /// Take names from an image
    Untag(commands::untag::Args),
}

/// Commands under `dhow image`.
#[derive(Debug, Subcommand)]
pub(crate) enum ImageGroup {
    #[command(flatten)]
    Shared(ImageCommand),
    /// Remove images
    #[command(visible_alias = "remove")]
    Rm(commands::rmi::Args),
    /// Say by the exit code whether an image exists
    Exists(commands::exists::ImageArgs),
    /// List the files that differ from what an image was made from
    Diff(commands::diff::Args),
    /// Show everything known of images
    Inspect(commands::inspect::ImageArgs),
    /// List images
    #[command(visible_alias = "list")]
    Ls(commands::images::Args),
    /// Mount images' files on the host
    Mount(commands::image_mount::MountArgs),
    /// Remove images that nobody uses
    Prune(commands::prune::ImageArgs),
    /// Show an image's layers
    Tree(commands::tree::Args),
    /// Unmount images' files
    #[command(visible_alias = "umount")]
    Unmount(commands::image_mount::UnmountArgs),
}

/// The command line's grammar, as help, completion and man pages show it.
pub(crate) fn command() -> clap::Command {
    habits(Cli::command())
}

/// Podman's habits: a flag may be given twice (the last counts), a switch takes `=true` and `=false`.
fn habits(command: clap::Command) -> clap::Command {
    let switch = |arg: Arg| match arg.get_action() {
        ArgAction::SetTrue => arg
            .action(ArgAction::Set)
            .num_args(0..=1)
            .require_equals(true)
            .default_value("false")
            .default_missing_value("true")
            .hide_default_value(true)
            .hide_possible_values(true)
            .value_name("BOOL")
            .value_parser(BoolishValueParser::new()),
        _ => arg,
    };
    command.args_override_self(true).mut_args(switch).mut_subcommands(habits)
}

/// What a command line comes to.
#[derive(Debug)]
pub(crate) enum Parsed {
    /// A command.
    Run(Box<Cli>),
    /// Help or version, which have been printed; the exit code.
    Shown(u8),
}

/// Reads the command line; the environment stands in for global flags that are not given. Help and version are
/// printed here.
pub(crate) fn parse(
    argv: impl IntoIterator<Item = OsString>,
    environment: &Environment,
) -> Result<Parsed> {
    let matches = match command().try_get_matches_from(argv) {
        Ok(matches) => matches,
        Err(e) if matches!(e.kind(), ErrorKind::DisplayHelp | ErrorKind::DisplayVersion) => {
            e.print()?;
            return Ok(Parsed::Shown(SUCCESS));
        }
        Err(e) if e.kind() == ErrorKind::DisplayHelpOnMissingArgumentOrSubcommand => {
            e.print()?;
            return Ok(Parsed::Shown(ENGINE));
        }
        Err(e) => bail!(text_of(&e)),
    };
    let mut cli = Cli::from_arg_matches(&matches).map_err(|e| anyhow::anyhow!(text_of(&e)))?;
    let Global { root, runroot, runtime, conmon, log_level } = &mut cli.global;
    for (flag, name) in [(root, "DHOW_ROOT"), (runroot, "DHOW_RUNROOT"), (conmon, "DHOW_CONMON")] {
        *flag = flag.take().or_else(|| environment.get(name).map(PathBuf::from));
    }
    for (flag, name) in [(runtime, "DHOW_RUNTIME"), (log_level, "DHOW_LOG_LEVEL")] {
        *flag = flag.take().or_else(|| environment.text(name).map(str::to_owned));
    }
    Ok(Parsed::Run(Box::new(cli)))
}

/// Clap's errors in one line for a wrong value, as clap has them (less its prefix) for all else.
fn text_of(e: &clap::Error) -> String {
    use std::error::Error as _;
    if e.kind() == ErrorKind::ValueValidation
        && let Some(ContextValue::String(flag)) = e.get(ContextKind::InvalidArg)
        && let Some(ContextValue::String(value)) = e.get(ContextKind::InvalidValue)
        && let Some(why) = e.source()
    {
        let flag = flag.split([' ', '=', '[']).next().unwrap_or(flag);
        let flag = flag.trim_end_matches("...");
        return match value.as_str() {
            "" => format!("{flag}: {why}"),
            value => format!("{flag} {value}: {why}"),
        };
    }
    let text = e.render().to_string();
    text.strip_prefix("error: ").unwrap_or(&text).trim_end().to_owned()
}

#[cfg(test)]
mod tests;
