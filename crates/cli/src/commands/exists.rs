//! `dhow container exists` and `dhow image exists`: the answer is the exit status, 0 or 1.

use anyhow::Result;

use crate::context::Context;
use crate::error::SUCCESS;

/// The exit status that says no.
const ABSENT: u8 = 1;

#[derive(Debug, clap::Args)]
pub(crate) struct ContainerArgs {
    /// A container's name or id
    container: String,
}

#[derive(Debug, clap::Args)]
pub(crate) struct ImageArgs {
    /// An image's name or id
    image: String,
}

/// `container exists`.
pub(crate) fn container(args: &ContainerArgs, context: &Context) -> Result<u8> {
    Ok(answer(context.engine()?.exists(&args.container)?))
}

/// `image exists`.
pub(crate) fn image(args: &ImageArgs, context: &Context) -> Result<u8> {
    Ok(answer(context.engine()?.image_exists(&args.image)?))
}

fn answer(exists: bool) -> u8 {
    if exists { SUCCESS } else { ABSENT }
}
