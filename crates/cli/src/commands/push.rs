//! `dhow push`.

use std::path::PathBuf;

use anyhow::Result;
use dhow_engine::PushFormat;

use crate::context::Context;
use crate::error::SUCCESS;
use crate::output_file::write_file;
use crate::progress;
use crate::registry_flags::RegistryFlags;

#[derive(Debug, clap::Args)]
#[command(after_help = "Only what the registry lacks is sent.

Examples:
  dhow push registry.example.org/team/tool:1
  dhow push tool registry.example.org/team/tool:1
  dhow push --tls-verify=false tool localhost:5000/tool")]
pub(crate) struct Args {
    /// Name, id, or beginning of an id
    image: String,
    /// Where to [default: its name]
    destination: Option<String>,
    /// Write the digest of the manifest to this file
    #[arg(long, value_name = "FILE")]
    digestfile: Option<PathBuf>,
    /// Form of the manifest: oci or v2s2 [default: as the image is]
    #[arg(long, short, value_name = "FORMAT", value_parser = format)]
    format: Option<PushFormat>,
    /// Print nothing but errors
    #[arg(long, short)]
    quiet: bool,
    #[command(flatten)]
    registry: RegistryFlags,
}

fn format(text: &str) -> Result<PushFormat, String> {
    match text {
        "oci" => Ok(PushFormat::Oci),
        "v2s2" | "docker" => Ok(PushFormat::Docker),
        _ => Err("expected oci or v2s2".into()),
    }
}

pub(crate) fn run(args: &Args, context: &Context) -> Result<u8> {
    let engine = context.engine()?;
    let access = args.registry.access()?;
    let format = args.format.unwrap_or_default();
    let digest = progress::told(args.quiet, |progress| {
        engine.push(&args.image, args.destination.as_deref(), format, &access, progress)
    })?;
    if let Some(file) = &args.digestfile {
        write_file(file, |file| Ok(std::io::Write::write_all(file, digest.as_bytes())?))?;
    }
    Ok(SUCCESS)
}
