//! `dhow save`.

use std::io;
use std::path::PathBuf;

use anyhow::{Result, bail};
use dhow_engine::request::SaveRequest;
use dhow_engine::{Output, SaveFormat};
use dhow_sys::tty::is_terminal;

use crate::context::Context;
use crate::error::SUCCESS;
use crate::output_file::{write_directory, write_file};
use crate::progress;

#[derive(Debug, clap::Args)]
#[command(after_help = "What is written has the images' ids and layers byte for byte as they came.

Examples:
  dhow save -o busybox.tar busybox
  dhow save busybox | ssh host dhow load
  dhow save -m -o both.tar busybox debian:12
  dhow save --format oci-archive -o busybox.tar busybox
  dhow save --format oci-dir -o busybox busybox")]
pub(crate) struct Args {
    /// An image, then more names for it in the archive; with -m, images
    #[arg(required = true, value_name = "IMAGE")]
    images: Vec<String>,
    /// Compress the layers of a docker-dir
    #[arg(long)]
    compress: bool,
    /// docker-archive, oci-archive, oci-dir or docker-dir
    #[arg(long, value_name = "FORMAT", default_value = "docker-archive", hide_default_value = true, value_parser = format)]
    format: SaveFormat,
    /// Take every argument for an image
    #[arg(long, short)]
    multi_image_archive: bool,
    /// Write to this file or directory [default: stdout]
    #[arg(long, short, value_name = "PATH")]
    output: Option<PathBuf>,
    /// Draw no progress
    #[arg(long, short)]
    quiet: bool,
    /// Write an OCI layout's layers uncompressed
    #[arg(long, conflicts_with = "compress")]
    uncompressed: bool,
}

fn format(text: &str) -> Result<SaveFormat, String> {
    match text {
        "docker-archive" => Ok(SaveFormat::DockerArchive),
        "oci-archive" => Ok(SaveFormat::OciArchive),
        "oci-dir" => Ok(SaveFormat::OciDir),
        "docker-dir" => Ok(SaveFormat::DockerDir),
        _ => Err("expected docker-archive, oci-archive, oci-dir or docker-dir".into()),
    }
}

pub(crate) fn run(args: &Args, context: &Context) -> Result<u8> {
    if args.compress && args.format != SaveFormat::DockerDir {
        bail!("--compress is for --format docker-dir");
    }
    if args.multi_image_archive && args.format == SaveFormat::DockerDir {
        bail!("a docker-dir holds one image");
    }
    let (images, tags) = match args.images.split_first() {
        Some((first, tags)) if !args.multi_image_archive => (vec![first.clone()], tags.to_vec()),
        _ => (args.images.clone(), Vec::new()),
    };
    let compress = (args.compress || args.uncompressed).then_some(args.compress);
    let request = SaveRequest { images, tags, compress };
    let engine = context.engine()?;
    let save = |output: Output<'_>| {
        progress::shown(args.quiet, |progress| engine.save(&request, args.format, output, progress))
    };
    match (&args.output, args.format.is_directory()) {
        (None, true) => bail!("a directory needs --output DIR"),
        (None, false) if is_terminal(io::stdout()) => {
            bail!("an archive is not for a terminal: use --output FILE, or a pipe")
        }
        (None, false) => save(Output::Stream(Box::new(io::stdout())))?,
        (Some(dir), true) => write_directory(dir, |dir| save(Output::Directory(dir)))?,
        (Some(file), false) => {
            write_file(file, |file| save(Output::Stream(Box::new(file))))?;
        }
    }
    Ok(SUCCESS)
}
