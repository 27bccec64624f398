//! `dhow pull`, and the pulling of `run` and `create`.

use std::path::PathBuf;

use anyhow::Result;
use dhow_engine::Engine;
use dhow_engine::request::{CreateRequest, PullPolicy, PullRequest, Source};

use crate::context::Context;
use crate::create_flags::value;
use crate::error::{self, SUCCESS, warn_line};
use crate::registry_flags::{PlatformFlags, RegistryFlags};
use crate::{output, progress};

#[derive(Debug, clap::Args)]
#[command(after_help = "A download that broke is gone on with; the ids of the images go to stdout.

Examples:
  dhow pull docker.io/library/busybox
  dhow pull --platform linux/arm64 debian:12
  dhow pull --tls-verify=false localhost:5000/tool:1
  dhow pull --creds me:secret -q registry.example.org/team/tool@sha256:...")]
pub(crate) struct Args {
    /// Names, short or in full, with a tag or a digest
    #[arg(required = true, value_name = "IMAGE")]
    images: Vec<String>,
    /// Pull all tags of the repository
    #[arg(long, short)]
    all_tags: bool,
    /// Print ids only
    #[arg(long, short)]
    quiet: bool,
    /// Pull it always, if it is missing, if there is a newer one, or never
    #[arg(long, value_name = "POLICY", default_value = "always", hide_default_value = true, value_parser = value::<PullPolicy>)]
    policy: PullPolicy,
    /// Signature policy instead of the machine's
    #[arg(long, value_name = "FILE", hide = true)]
    signature_policy: Option<PathBuf>,
    #[command(flatten)]
    platform: PlatformFlags,
    #[command(flatten)]
    registry: RegistryFlags,
}

pub(crate) fn run(args: &Args, context: &Context) -> Result<u8> {
    let engine = context.engine()?;
    let access = args.registry.access()?;
    let mut worst = SUCCESS;
    for image in &args.images {
        let request = PullRequest {
            image: image.clone(),
            policy: args.policy,
            all_tags: args.all_tags,
            platform: args.platform.request(),
            access: access.clone(),
            signature_policy: args.signature_policy.clone(),
        };
        match pull(&engine, &request, args.quiet) {
            Ok(ids) => {
                for id in ids {
                    output::line(&id)?;
                }
            }
            Err(e) => {
                error::print(&e);
                worst = worst.max(error::code(&e));
            }
        }
    }
    Ok(worst)
}

fn pull(engine: &Engine, request: &PullRequest, quiet: bool) -> Result<Vec<String>> {
    let pulled = progress::told(quiet, |progress| engine.pull(request, progress))?;
    for warning in pulled.iter().filter_map(|image| image.warning.as_ref()) {
        warn_line(&format!("Warning: {warning}"));
    }
    Ok(pulled.into_iter().map(|image| image.id).collect())
}

/// The flags of `run` and `create` about pulling.
#[derive(Debug, Clone, clap::Args)]
#[command(next_help_heading = "Image")]
pub(crate) struct PullFlags {
    /// Pull the image always, if it is missing, if there is a newer one, or never [default: missing]
    #[arg(long, value_name = "POLICY", help_heading = "Image", value_parser = value::<PullPolicy>)]
    pull: Option<PullPolicy>,
    /// Say nothing of the pull
    #[arg(long, short, help_heading = "Image")]
    quiet: bool,
    #[command(flatten)]
    platform: PlatformFlags,
    #[command(flatten)]
    registry: RegistryFlags,
}

impl PullFlags {
    /// Sees to it that the image of a request is here.
    ///
    /// What is here and wanted as it is costs a look at its record, and nothing else.
    pub(crate) fn ensure(&self, engine: &Engine, request: &CreateRequest) -> Result<()> {
        let Source::Image(image) = &request.source else { return Ok(()) };
        let policy = self.pull.unwrap_or_default();
        let platform = self.platform.request();
        if policy == PullPolicy::Missing && !platform.is_given() && engine.image_exists(image)? {
            return Ok(());
        }
        let request = PullRequest {
            image: image.clone(),
            policy,
            platform,
            access: self.registry.access()?,
            ..PullRequest::default()
        };
        pull(engine, &request, self.quiet).map(drop)
    }
}
