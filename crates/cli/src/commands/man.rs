//! `dhow man`: the manual pages, for those who package dhow.

use std::fs::{File, create_dir_all};
use std::path::{Path, PathBuf};

use anyhow::{Context as _, Result};
use clap_mangen::Man;

use crate::args;
use crate::error::SUCCESS;

#[derive(Debug, clap::Args)]
pub(crate) struct Args {
    /// The directory to write dhow.1, dhow-run.1 and all others to
    directory: PathBuf,
}

/// Performs the command.
pub(crate) fn run(args: &Args) -> Result<u8> {
    create_dir_all(&args.directory)
        .with_context(|| format!("cannot make {}", args.directory.display()))?;
    let mut command = args::command();
    command.build();
    pages(&command, "dhow", &args.directory)?;
    Ok(SUCCESS)
}

/// Writes the page of a command that is not hidden, then those of its commands.
fn pages(command: &clap::Command, name: &str, directory: &Path) -> Result<()> {
    let path = directory.join(format!("{name}.1"));
    let page = command.clone().name(name.to_owned()).bin_name(name.replace('-', " "));
    File::create(&path)
        .and_then(|mut file| Man::new(page).title(name.to_owned()).render(&mut file))
        .with_context(|| format!("cannot write {}", path.display()))?;
    command.get_subcommands().filter(|command| !command.is_hide_set()).try_for_each(|command| {
        pages(command, &format!("{name}-{}", command.get_name()), directory)
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_page_for_every_command_that_is_shown() {
        let directory = tempfile::tempdir().unwrap();
        run(&Args { directory: directory.path().join("man1") }).unwrap();
        for name in ["dhow", "dhow-run", "dhow-container-ps", "dhow-image-history"] {
            let page =
                std::fs::read_to_string(directory.path().join(format!("man1/{name}.1"))).unwrap();
            assert!(page.contains(".SH SYNOPSIS"), "{name}");
        }
        assert!(!directory.path().join("man1/dhow-man.1").exists());
    }
}
