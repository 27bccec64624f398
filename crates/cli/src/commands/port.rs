//! `dhow port`: where a container's ports are on the host.

use anyhow::{Result, bail};
use dhow_engine::report::ContainerInspect;
use dhow_engine::request::{Expose, PsRequest};

use crate::context::Context;
use crate::create_flags::value;
use crate::{error, output};

#[derive(Debug, clap::Args)]
#[command(after_help = "Examples:
  dhow port web
  dhow port web 80/tcp
  dhow port --all")]
pub(crate) struct Args {
    /// Name, id, or beginning of an id
    container: Option<String>,
    /// One port of the container
    #[arg(value_name = "PORT[/PROTOCOL]", value_parser = value::<Expose>)]
    port: Option<Expose>,
    /// All containers that run
    #[arg(long, short)]
    all: bool,
    /// The container that was created last
    #[arg(long, short)]
    latest: bool,
}

pub(crate) fn run(args: &Args, context: &Context) -> Result<u8> {
    let engine = context.engine()?;
    if usize::from(args.all) + usize::from(args.latest) + usize::from(args.container.is_some()) != 1
    {
        bail!("name one container, or use --latest or --all");
    }
    if args.all {
        let mut text = String::new();
        for row in engine.ps(&PsRequest::default())?.rows {
            let report = engine.inspect(&row.id, false)?;
            for (port, at) in lines(&report, None) {
                let id = report.id.get(..12).unwrap_or(&report.id);
                text.push_str(&format!("{id}\t{port} -> {at}\n"));
            }
        }
        output::print(&text)?;
        return Ok(error::SUCCESS);
    }
    let name = match &args.container {
        Some(name) => name.clone(),
        None => engine.latest()?.to_string(),
    };
    let report = engine.inspect(&name, false)?;
    let found = lines(&report, args.port.as_ref());
    if let (true, Some(port)) = (found.is_empty(), &args.port) {
        bail!("container {name} does not publish the port {}/{}", port.port, port.protocol);
    }
    let text: String = found
        .into_iter()
        .map(
            |(port, at)| {
                if args.port.is_some() { format!("{at}\n") } else { format!("{port} -> {at}\n") }
            },
        )
        .collect();
    output::print(&text)?;
    Ok(error::SUCCESS)
}

/// `80/tcp` and `0.0.0.0:8080`.
fn lines(report: &ContainerInspect, only: Option<&Expose>) -> Vec<(String, String)> {
    let wanted = only.map(|port| format!("{}/{}", port.port, port.protocol));
    let mut lines = Vec::new();
    for (port, places) in &report.network_settings.ports {
        if wanted.as_ref().is_some_and(|wanted| wanted != port) {
            continue;
        }
        for place in places.iter().filter(|place| !place.host_port.is_empty()) {
            let address = match place.host_ip.as_str() {
                "" => "0.0.0.0".to_owned(),
                v6 if v6.contains(':') => format!("[{v6}]"),
                v4 => v4.to_owned(),
            };
            lines.push((port.clone(), format!("{address}:{}", place.host_port)));
        }
    }
    lines
}
