//! `dhow rmi`.

use anyhow::{Result, bail};
use dhow_engine::Error;
use dhow_engine::request::{ImagesRequest, RemoveImageRequest};

use crate::context::Context;
use crate::error;
use crate::output;
use crate::targets::ignoring;

#[derive(Debug, clap::Args)]
#[command(
    after_help = "Exit codes: 1 an image does not exist, 2 one is in use by a container, 125 any other error.

Examples:
  dhow rmi busybox:latest
  dhow rmi --all"
)]
pub(crate) struct Args {
    /// Names, ids, or beginnings of ids
    #[arg(value_name = "IMAGE")]
    images: Vec<String>,
    /// All images
    #[arg(long, short)]
    all: bool,
    /// Remove all names, and the containers that use the image
    #[arg(long, short)]
    force: bool,
    /// Pass over images that do not exist
    #[arg(long, short)]
    ignore: bool,
}

/// An image does not exist.
const ABSENT: u8 = 1;
/// An image is in use.
const IN_USE: u8 = 2;

pub(crate) fn run(args: Args, context: &Context) -> Result<u8> {
    if args.all != args.images.is_empty() {
        bail!("name at least one image, or use --all; not both");
    }
    let engine = context.engine()?;
    let mut images = args.images;
    let force = args.force;
    let mut worst = error::SUCCESS;
    if args.all {
        let found = engine.images(&ImagesRequest { all: true, ..ImagesRequest::default() })?;
        for damaged in found.errors {
            let e = damaged.into();
            error::print(&e);
            worst = worst.max(error::code(&e));
        }
        for image in found.images {
            // By name where it has names: by id, one with several would need --force, which takes its containers too.
            if image.names.is_empty() { images.push(image.id) } else { images.extend(image.names) }
        }
    }
    for image in images {
        let removed = engine.remove_image(&RemoveImageRequest { image, force });
        match ignoring(args.ignore || args.force, removed.map_err(Into::into)) {
            Ok(Some(removed)) => {
                for name in removed.untagged {
                    output::line(&format!("Untagged: {name}"))?;
                }
                if let Some(id) = removed.deleted {
                    output::line(&format!("Deleted: {id}"))?;
                }
            }
            Ok(None) => {}
            Err(e) => {
                error::print(&e);
                worst = worst.max(code(&e));
            }
        }
    }
    Ok(worst)
}

fn code(e: &anyhow::Error) -> u8 {
    match error::engine_error(e) {
        Some(Error::NoSuch { .. }) => ABSENT,
        Some(Error::InUse { .. }) => IN_USE,
        _ => error::code(e),
    }
}
