//! `dhow image tree`: an image's layers.

use anyhow::Result;
use dhow_engine::report::ImageTree;

use crate::context::Context;
use crate::error::SUCCESS;
use crate::{human, output};

#[derive(Debug, clap::Args)]
#[command(after_help = "Examples:
  dhow image tree busybox
  dhow image tree --whatrequires debian:12")]
pub(crate) struct Args {
    /// Name, id, or beginning of an id
    image: String,
    /// Show the images that stand on this one
    #[arg(long)]
    whatrequires: bool,
}

pub(crate) fn run(args: &Args, context: &Context) -> Result<u8> {
    let engine = context.engine()?;
    let tree = engine.image_tree(&args.image)?;
    let mut text = head(&tree);
    if args.whatrequires {
        let images = engine.images_on(&args.image)?;
        let lines: Vec<String> = images.iter().skip(1).map(image_line).collect();
        text.push_str(&branches(&lines));
    } else {
        let lines: Vec<String> = tree
            .layers
            .iter()
            .map(|layer| {
                let mut line = format!(
                    "ID: {} Size: {:>7}",
                    human::short_id(&layer.id),
                    human::size(layer.size)
                );
                if !layer.top_of.is_empty() {
                    line.push_str(&format!(" Top Layer of: [{}]", layer.top_of.join(" ")));
                }
                line
            })
            .collect();
        text.push_str(&branches(&lines));
    }
    output::print(&text)?;
    Ok(SUCCESS)
}

fn head(tree: &ImageTree) -> String {
    format!(
        "Image ID: {}\nTags:     [{}]\nSize:     {}\nImage Layers\n",
        human::short_id(&tree.id),
        tree.tags.join(" "),
        human::size(tree.size)
    )
}

fn image_line(image: &ImageTree) -> String {
    let (id, size) = (human::short_id(&image.id), human::size(image.size));
    format!("ID: {id} Size: {size:>7} Tags: [{}]", image.tags.join(" "))
}

fn branches(lines: &[String]) -> String {
    let last = lines.len().saturating_sub(1);
    let branch = |at: usize| if at == last { "└── " } else { "├── " };
    lines.iter().enumerate().map(|(at, line)| format!("{}{line}\n", branch(at))).collect()
}
