//! `dhow completion`: a script that completes dhow's command line in a shell.

use std::fs::File;
use std::io::Write as _;
use std::path::PathBuf;

use anyhow::{Context as _, Result};
use clap_complete::Shell;

use crate::error::SUCCESS;
use crate::{args, output};

#[derive(Debug, clap::Args)]
#[command(after_help = "Examples:
  dhow completion bash > /etc/bash_completion.d/dhow
  dhow completion fish --file ~/.config/fish/completions/dhow.fish")]
pub(crate) struct Args {
    /// The shell
    shell: Shell,
    /// Write the script to a file
    #[arg(short, long, value_name = "PATH")]
    file: Option<PathBuf>,
}

/// Performs the command.
pub(crate) fn run(args: &Args) -> Result<u8> {
    let script = script(args.shell);
    match &args.file {
        None => output::print(&String::from_utf8_lossy(&script))?,
        Some(path) => File::create(path)
            .and_then(|mut file| file.write_all(&script))
            .with_context(|| format!("cannot write {}", path.display()))?,
    }
    Ok(SUCCESS)
}

fn script(shell: Shell) -> Vec<u8> {
    let mut script = Vec::new();
    clap_complete::generate(shell, &mut args::command(), "dhow", &mut script);
    script
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_shell_learns_the_commands() {
        for shell in [Shell::Bash, Shell::Zsh, Shell::Fish] {
            let script = String::from_utf8(script(shell)).unwrap();
            for word in ["images", "inspect", "no-trunc"] {
                assert!(script.contains(word), "{shell}: {word} is missing");
            }
            assert!(!script.contains("man DIR"), "hidden commands stay hidden");
        }
    }
}
