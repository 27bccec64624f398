//! The flags of every command that talks to a registry, and of those that choose one image of several.

use std::io::{self, BufRead as _, Write as _};
use std::os::fd::AsFd as _;
use std::path::PathBuf;
use std::time::Duration;

use anyhow::{Context as _, Result, bail};
use clap::Args;
use dhow_engine::request::{PlatformRequest, parse_span};
use dhow_engine::{Access, Credentials};
use dhow_sys::tty::{NoEcho, is_terminal};

use crate::create_flags::value;

/// How a registry is reached.
#[derive(Debug, Clone, Default, Args)]
#[command(next_help_heading = "Registry")]
pub(crate) struct RegistryFlags {
    /// Read credentials from this file only [env: REGISTRY_AUTH_FILE]
    #[arg(long, value_name = "FILE")]
    pub(crate) authfile: Option<PathBuf>,
    /// Take the registry's certificates from this directory only
    #[arg(long, value_name = "DIR")]
    cert_dir: Option<PathBuf>,
    /// User and password
    #[arg(long, value_name = "USER[:PASSWORD]")]
    creds: Option<String>,
    /// The registry must use https and prove who it is [default: true, but for what registries.conf calls insecure]
    #[arg(long, value_name = "BOOL", num_args = 0..=1, require_equals = true, default_missing_value = "true", value_parser = clap::builder::BoolishValueParser::new(), hide_possible_values = true)]
    tls_verify: Option<bool>,
    /// Try again so often when the network or the registry fails [default: 3]
    #[arg(long, value_name = "COUNT")]
    retry: Option<u32>,
    /// Wait so long before that, as in 500ms or 2s [default: 1s, and each time twice as long]
    #[arg(long, value_name = "TIME", value_parser = delay)]
    retry_delay: Option<Duration>,
}

fn delay(text: &str) -> Result<Duration, String> {
    parse_span(text, Duration::from_secs(1)).map_err(|e| e.to_string())
}

impl RegistryFlags {
    /// What they come to; a password that is missing is asked for.
    pub(crate) fn access(&self) -> Result<Access> {
        let usual = Access::default();
        Ok(Access {
            credentials: self.creds.as_deref().map(credentials).transpose()?,
            auth_file: self.authfile.clone(),
            cert_dir: self.cert_dir.clone(),
            tls_verify: self.tls_verify,
            retry: self.retry.unwrap_or(usual.retry),
            retry_delay: self.retry_delay,
        })
    }
}

fn credentials(text: &str) -> Result<Credentials> {
    let (user, password) = match text.split_once(':') {
        Some((user, password)) => (user, password.to_owned()),
        None => (text, ask_password()?),
    };
    if user.is_empty() {
        bail!("--creds needs a user's name");
    }
    Ok(Credentials::Basic { user: user.to_owned(), password })
}

/// A line from the terminal.
pub(crate) fn ask(what: &str) -> Result<String> {
    if !is_terminal(io::stdin()) {
        bail!("there is no terminal to ask for the {what}: give it by a flag");
    }
    let mut stderr = io::stderr();
    write!(stderr, "{what}: ").and_then(|()| stderr.flush()).context("cannot write to stderr")?;
    let mut line = String::new();
    io::stdin().lock().read_line(&mut line).context("cannot read from the terminal")?;
    Ok(line.trim_end_matches(['\r', '\n']).to_owned())
}

/// The same, without showing it.
pub(crate) fn ask_password() -> Result<String> {
    let stdin = io::stdin();
    let _hidden = is_terminal(&stdin).then(|| NoEcho::enter(stdin.as_fd())).transpose()?;
    ask("Password")
}

/// Which image of a multi-platform one.
#[derive(Debug, Clone, Default, Args)]
pub(crate) struct PlatformFlags {
    /// Take the image for this architecture
    #[arg(long, value_name = "ARCH", conflicts_with = "platform")]
    arch: Option<String>,
    /// Take the image for this operating system
    #[arg(long, value_name = "OS", conflicts_with = "platform")]
    os: Option<String>,
    /// Take the image for this variant of the architecture
    #[arg(long, value_name = "VARIANT")]
    variant: Option<String>,
    /// Take the image for this platform
    #[arg(long, value_name = "OS/ARCH[/VARIANT]", value_parser = value::<PlatformRequest>)]
    platform: Option<PlatformRequest>,
}

impl PlatformFlags {
    pub(crate) fn request(&self) -> PlatformRequest {
        let own = PlatformRequest {
            os: self.os.clone(),
            architecture: self.arch.clone(),
            variant: self.variant.clone(),
        };
        match &self.platform {
            Some(platform) => PlatformRequest {
                variant: platform.variant.clone().or(own.variant),
                ..platform.clone()
            },
            None => own,
        }
    }
}
