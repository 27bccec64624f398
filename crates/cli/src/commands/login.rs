//! `dhow login`.

use std::io::{self, Read as _};
use std::path::PathBuf;

use anyhow::{Context as _, Result, bail};
use dhow_engine::{Access, Credentials};

use crate::context::Context;
use crate::error::SUCCESS;
use crate::output;
use crate::registry_flags::{ask, ask_password};

/// A password is a line.
const MAX_PASSWORD: u64 = 64 * 1024;

#[derive(Debug, clap::Args)]
#[command(after_help = "Examples:
  dhow login -u me registry.example.org
  pass show registry | dhow login -u me --password-stdin registry.example.org
  dhow login --get-login registry.example.org")]
pub(crate) struct Args {
    /// A host with an optional port, perhaps with a namespace
    registry: String,
    /// Keep the credentials in this file [env: REGISTRY_AUTH_FILE]
    #[arg(long, value_name = "FILE")]
    authfile: Option<PathBuf>,
    /// Take the registry's certificates from this directory only
    #[arg(long, value_name = "DIR")]
    cert_dir: Option<PathBuf>,
    /// Print who is logged in
    #[arg(long)]
    get_login: bool,
    /// The password; better by --password-stdin or when asked
    #[arg(long, short, value_name = "PASSWORD", conflicts_with = "password_stdin")]
    password: Option<String>,
    /// Read the password from stdin
    #[arg(long)]
    password_stdin: bool,
    /// The registry must use https and prove who it is [default: true, but for what registries.conf calls insecure]
    #[arg(long, value_name = "BOOL", num_args = 0..=1, require_equals = true, default_missing_value = "true", value_parser = clap::builder::BoolishValueParser::new(), hide_possible_values = true)]
    tls_verify: Option<bool>,
    /// The user's name
    #[arg(long, short, value_name = "NAME")]
    username: Option<String>,
    /// Say a little more
    #[arg(long, short)]
    verbose: bool,
}

pub(crate) fn run(args: Args, context: &Context) -> Result<u8> {
    let engine = context.engine()?;
    let known = engine.logged_in(&args.registry, args.authfile.as_deref())?;
    if args.get_login {
        let Some(user) = known else { bail!("not logged in to {}", args.registry) };
        output::line(&user)?;
        return Ok(SUCCESS);
    }
    let user = match (args.username, known) {
        (Some(user), _) => user,
        (None, Some(user)) if args.password.is_some() || args.password_stdin => user,
        _ => ask("Username")?,
    };
    if user.is_empty() {
        bail!("the user's name is empty");
    }
    let password = match args.password {
        Some(password) => password,
        None if args.password_stdin => {
            let mut text = String::new();
            let stdin = io::stdin().lock().take(MAX_PASSWORD).read_to_string(&mut text);
            stdin.context("cannot read the password from stdin")?;
            text.trim_end_matches(['\r', '\n']).to_owned()
        }
        None => ask_password()?,
    };
    let access = Access {
        auth_file: args.authfile,
        cert_dir: args.cert_dir,
        tls_verify: args.tls_verify,
        ..Access::default()
    };
    engine.login(&args.registry, &Credentials::Basic { user, password }, &access)?;
    output::line("Login Succeeded!")?;
    if args.verbose {
        output::line(&format!("Used: {}", engine.auth_file_name(access.auth_file.as_deref())?))?;
    }
    Ok(SUCCESS)
}
