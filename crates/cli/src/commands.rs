//! The commands, one file each, and which one a command line means.
//!
//! A command is `Args` (its flags) and `run(args, context)`, which returns the exit code; an error that ends the whole
//! command is returned, errors about one of several containers are printed on the way (`targets.rs`).

pub(crate) mod attach;
pub(crate) mod cleanup;
pub(crate) mod commit;
pub(crate) mod completion;
pub(crate) mod create;
pub(crate) mod df;
pub(crate) mod diff;
pub(crate) mod exec;
pub(crate) mod exists;
pub(crate) mod export;
pub(crate) mod history;
pub(crate) mod image_mount;
pub(crate) mod images;
pub(crate) mod import;
pub(crate) mod info;
pub(crate) mod init;
pub(crate) mod inspect;
pub(crate) mod kill;
pub(crate) mod load;
pub(crate) mod login;
pub(crate) mod logout;
pub(crate) mod logs;
pub(crate) mod man;
pub(crate) mod mount;
pub(crate) mod network;
pub(crate) mod pause;
pub(crate) mod port;
pub(crate) mod prune;
pub(crate) mod ps;
pub(crate) mod pull;
pub(crate) mod push;
pub(crate) mod rename;
pub(crate) mod restart;
pub(crate) mod rm;
pub(crate) mod rmi;
pub(crate) mod run;
pub(crate) mod save;
pub(crate) mod start;
pub(crate) mod stop;
pub(crate) mod tag;
pub(crate) mod tree;
pub(crate) mod unmount;
pub(crate) mod unpause;
pub(crate) mod untag;
pub(crate) mod version;
pub(crate) mod wait;

use anyhow::Result;

use crate::args::{
    Command, ContainerCommand, ContainerGroup, ImageCommand, ImageGroup, NetworkGroup, SystemGroup,
};
use crate::context::Context;

/// Runs a command; its exit code.
pub(crate) fn dispatch(command: Command, context: &Context) -> Result<u8> {
    match command {
        Command::SharedContainer(command) => container(command, context),
        Command::SharedImage(command) => image(command, context),
        Command::Completion(args) => completion::run(&args),
        Command::Diff(args) => diff::run(&args, context),
        Command::Images(args) => images::run(&args, context),
        Command::Info(args) => info::run(&args, context),
        Command::Inspect(args) => inspect::run(&args, context),
        Command::Login(args) => login::run(args, context),
        Command::Logout(args) => logout::run(&args, context),
        Command::Man(args) => man::run(&args),
        Command::Rmi(args) => rmi::run(args, context),
        Command::Version(args) => version::run(&args),
        Command::Container { command } => match command {
            ContainerGroup::Shared(command) => container(command, context),
            ContainerGroup::Cleanup(args) => cleanup::run(&args, context),
            ContainerGroup::Diff(args) => diff::run(&args, context),
            ContainerGroup::Inspect(args) => inspect::container(&args, context),
            ContainerGroup::Ls(args) => ps::run(&args, context),
            ContainerGroup::Exists(args) => exists::container(&args, context),
        },
        Command::Network { command } => match command {
            NetworkGroup::Create(args) => network::create::run(args, context),
            NetworkGroup::Exists(args) => network::exists(&args, context),
            NetworkGroup::Inspect(args) => network::inspect(&args, context),
            NetworkGroup::Ls(args) => network::ls::run(&args, context),
            NetworkGroup::Prune(args) => network::prune(&args, context),
            NetworkGroup::Reload(args) => network::reload(&args, context),
            NetworkGroup::Rm(args) => network::rm(&args, context),
        },
        Command::System { command } => match command {
            SystemGroup::Df(args) => df::run(&args, context),
            SystemGroup::Info(args) => info::run(&args, context),
            SystemGroup::Prune(args) => prune::system(&args, context),
        },
        Command::Image { command } => match command {
            ImageGroup::Shared(command) => image(command, context),
            ImageGroup::Rm(args) => rmi::run(args, context),
            ImageGroup::Diff(args) => diff::run(&args, context),
            ImageGroup::Inspect(args) => inspect::image(&args, context),
            ImageGroup::Ls(args) => images::run(&args, context),
            ImageGroup::Mount(args) => image_mount::mount(&args, context),
            ImageGroup::Prune(args) => prune::image(&args, context),
            ImageGroup::Tree(args) => tree::run(&args, context),
            ImageGroup::Unmount(args) => image_mount::unmount(&args, context),
            ImageGroup::Exists(args) => exists::image(&args, context),
        },
    }
}

fn container(command: ContainerCommand, context: &Context) -> Result<u8> {
    match command {
        ContainerCommand::Attach(args) => attach::run(args, context),
        ContainerCommand::Commit(args) => commit::run(args, context),
        ContainerCommand::Create(args) => create::run(*args, context),
        ContainerCommand::Exec(args) => exec::run(args, context),
        ContainerCommand::Export(args) => export::run(&args, context),
        ContainerCommand::Init(args) => init::run(&args, context),
        ContainerCommand::Kill(args) => kill::run(&args, context),
        ContainerCommand::Logs(args) => logs::run(&args, context),
        ContainerCommand::Mount(args) => mount::run(&args, context),
        ContainerCommand::Pause(args) => pause::run(&args, context),
        ContainerCommand::Port(args) => port::run(&args, context),
        ContainerCommand::Ps(args) => ps::run(&args, context),
        ContainerCommand::Rename(args) => rename::run(&args, context),
        ContainerCommand::Restart(args) => restart::run(args, context),
        ContainerCommand::Rm(args) => rm::run(&args, context),
        ContainerCommand::Run(args) => run::run(*args, context),
        ContainerCommand::Start(args) => start::run(&args, context),
        ContainerCommand::Stop(args) => stop::run(&args, context),
        ContainerCommand::Unmount(args) => unmount::run(&args, context),
        ContainerCommand::Unpause(args) => unpause::run(&args, context),
        ContainerCommand::Wait(args) => wait::run(&args, context),
    }
}

fn image(command: ImageCommand, context: &Context) -> Result<u8> {
    match command {
        ImageCommand::History(args) => history::run(&args, context),
        ImageCommand::Import(args) => import::run(args, context),
        ImageCommand::Load(args) => load::run(args, context),
        ImageCommand::Pull(args) => pull::run(&args, context),
        ImageCommand::Push(args) => push::run(&args, context),
        ImageCommand::Save(args) => save::run(&args, context),
        ImageCommand::Tag(args) => tag::run(&args, context),
        ImageCommand::Untag(args) => untag::run(&args, context),
    }
}
