//! `dhow image mount` and `dhow image unmount`: an image's files on the host.

use anyhow::{Result, bail};
use dhow_engine::Engine;
use dhow_engine::request::ImagesRequest;

use crate::context::Context;
use crate::error::{self, SUCCESS};
use crate::output;
use crate::table::Table;

#[derive(Debug, clap::Args)]
#[command(after_help = "The files cannot be written. Without an image, lists what is mounted.

Examples:
  dhow image mount debian:12
  dhow image mount --format json")]
pub(crate) struct MountArgs {
    /// Names, ids, or beginnings of ids
    #[arg(value_name = "IMAGE")]
    images: Vec<String>,
    /// Mount all images
    #[arg(long, short, conflicts_with = "images")]
    all: bool,
    /// Print JSON
    #[arg(long, value_name = "FORMAT", value_parser = ["json"], hide_possible_values = true)]
    format: Option<String>,
}

#[derive(Debug, clap::Args)]
#[command(after_help = "Takes back one `dhow image mount`.

Examples:
  dhow image unmount debian:12
  dhow image unmount --all")]
pub(crate) struct UnmountArgs {
    /// Names, ids, or beginnings of ids
    #[arg(value_name = "IMAGE")]
    images: Vec<String>,
    /// Unmount all images
    #[arg(long, short, conflicts_with = "images")]
    all: bool,
    /// Take back all mounts at once
    #[arg(long, short)]
    force: bool,
}

pub(crate) fn mount(args: &MountArgs, context: &Context) -> Result<u8> {
    let engine = context.engine()?;
    let mut worst = SUCCESS;
    let mut mounted = Vec::new();
    let images = if args.all { all(&engine)? } else { args.images.clone() };
    if images.is_empty() && !args.all {
        mounted = engine.image_mounts()?;
    }
    for image in &images {
        match engine.mount_image(image) {
            Ok(one) => mounted.push(one),
            Err(e) => {
                let e = e.into();
                error::print(&e);
                worst = worst.max(error::code(&e));
            }
        }
    }
    if args.format.is_some() {
        output::line(&serde_json::to_string_pretty(&mounted)?)?;
    } else if let ([one], [_]) = (mounted.as_slice(), args.images.as_slice()) {
        output::line(&one.path.display().to_string())?;
    } else {
        let mut table = Table::new();
        for one in &mounted {
            let name = one.repositories.first().unwrap_or(&one.id);
            table.row([name.clone(), one.path.display().to_string()]);
        }
        output::print(&table.render())?;
    }
    Ok(worst)
}

pub(crate) fn unmount(args: &UnmountArgs, context: &Context) -> Result<u8> {
    if args.images.is_empty() && !args.all {
        bail!("name at least one image, or use --all");
    }
    let engine = context.engine()?;
    let images = if args.all {
        engine.image_mounts()?.into_iter().map(|one| one.id).collect()
    } else {
        args.images.clone()
    };
    let mut worst = SUCCESS;
    for image in &images {
        let unmounted = engine.unmount_image(image, args.force).map_err(anyhow::Error::from);
        let unmounted = unmounted.and_then(|id| match id {
            Some(id) => Ok(id),
            None => bail!("image {image} is not mounted"),
        });
        match unmounted {
            Ok(id) => output::line(&id.hex())?,
            Err(e) => {
                error::print(&e);
                worst = worst.max(error::code(&e));
            }
        }
    }
    Ok(worst)
}

fn all(engine: &Engine) -> Result<Vec<String>> {
    let found = engine.images(&ImagesRequest { all: true, ..ImagesRequest::default() })?;
    Ok(found.images.into_iter().map(|image| image.id).collect())
}
