//! `dhow network create`.

use std::collections::BTreeMap;
use std::net::IpAddr;

use anyhow::{Result, anyhow, bail};
use dhow_engine::request::{
    CreateNetwork, IpNet, Label, LeaseRange, NetworkDriver, NetworkName, SubnetRequest,
};

use crate::context::Context;
use crate::create_flags::value;
use crate::{error, output};

#[derive(Debug, clap::Args)]
#[command(after_help = "Examples:
  dhow network create web
  dhow network create --subnet 10.90.0.0/24 --ip-range 10.90.0.128/25 --label stage=test db
  dhow network create --internal --ipv6 inner")]
pub(crate) struct Args {
    /// Its name [default: dhow1, dhow2, ...]
    #[arg(value_parser = name)]
    name: Option<NetworkName>,
    /// How containers are connected: bridge
    #[arg(long, short, value_name = "DRIVER", value_parser = driver)]
    driver: Option<NetworkDriver>,
    /// Range of addresses; one of each family [default: a free one]
    #[arg(long, value_name = "CIDR")]
    subnet: Vec<IpNet>,
    /// The bridge's address, in the order of --subnet [default: the first]
    #[arg(long, value_name = "ADDRESS", value_delimiter = ',')]
    gateway: Vec<IpAddr>,
    /// Where containers get their addresses from, in the order of --subnet
    #[arg(long, value_name = "CIDR|FIRST-LAST", value_parser = range)]
    ip_range: Vec<LeaseRange>,
    /// Give it an IPv6 subnet as well
    #[arg(long)]
    ipv6: bool,
    /// Let nothing in or out but what is between its containers and the host
    #[arg(long)]
    internal: bool,
    /// Do not let its containers find each other by name
    #[arg(long)]
    disable_dns: bool,
    /// Name server for names of others
    #[arg(long, value_name = "ADDRESS", value_delimiter = ',')]
    dns: Vec<IpAddr>,
    /// The bridge's name on the host
    #[arg(long, value_name = "NAME")]
    interface_name: Option<String>,
    /// Set a label
    #[arg(long, value_name = "KEY=VALUE", value_parser = value::<Label>)]
    label: Vec<Label>,
    /// mtu=BYTES, isolate=true|false
    #[arg(long, short, value_name = "KEY=VALUE", value_delimiter = ',', value_parser = option)]
    opt: Vec<(String, String)>,
    /// It is no error if the network exists
    #[arg(long)]
    ignore: bool,
}

fn name(text: &str) -> Result<NetworkName, String> {
    text.parse().map_err(|_| {
        "expected letters, digits, _, . and -, beginning with a letter or digit".to_owned()
    })
}

fn driver(text: &str) -> Result<NetworkDriver, String> {
    match text {
        "bridge" => Ok(NetworkDriver::Bridge),
        "macvlan" | "ipvlan" => Err("not supported yet: expected bridge".into()),
        _ => Err("expected bridge".into()),
    }
}

fn range(text: &str) -> Result<LeaseRange, String> {
    let expected = || "expected a CIDR range, or FIRST-LAST".to_owned();
    if let Some((start, end)) = text.split_once('-') {
        let start_ip: IpAddr = start.parse().map_err(|_| expected())?;
        let end_ip: IpAddr = end.parse().map_err(|_| expected())?;
        return if start_ip.is_ipv4() == end_ip.is_ipv4() {
            Ok(LeaseRange { start_ip, end_ip })
        } else {
            Err(expected())
        };
    }
    text.parse().map(LeaseRange::of).map_err(|_| expected())
}

fn option(text: &str) -> Result<(String, String), String> {
    let (key, value) = text.split_once('=').ok_or("expected KEY=VALUE")?;
    Ok((key.to_owned(), value.to_owned()))
}

/// Gateways and ranges belong to the subnet that they are in.
fn subnets(args: &Args) -> Result<Vec<SubnetRequest>> {
    let mut subnets: Vec<SubnetRequest> = args
        .subnet
        .iter()
        .map(|subnet| SubnetRequest { subnet: subnet.trunc(), gateway: None, range: None })
        .collect();
    let lost = |what: &str, text: String| anyhow!("{what} {text}: it is in no --subnet");
    for gateway in &args.gateway {
        let subnet = subnets
            .iter_mut()
            .find(|s| s.subnet.contains(gateway))
            .ok_or_else(|| lost("--gateway", gateway.to_string()))?;
        if subnet.gateway.replace(*gateway).is_some() {
            bail!("--gateway {gateway}: the subnet {} has one already", subnet.subnet);
        }
    }
    for range in &args.ip_range {
        let text = || format!("{}-{}", range.start_ip, range.end_ip);
        let subnet = subnets
            .iter_mut()
            .find(|s| s.subnet.contains(&range.start_ip) && s.subnet.contains(&range.end_ip))
            .ok_or_else(|| lost("--ip-range", text()))?;
        if subnet.range.replace(range.clone()).is_some() {
            bail!("--ip-range {}: the subnet {} has one already", text(), subnet.subnet);
        }
    }
    Ok(subnets)
}

pub(crate) fn run(args: Args, context: &Context) -> Result<u8> {
    let request = CreateNetwork {
        name: args.name.clone(),
        driver: args.driver.unwrap_or_default(),
        subnets: subnets(&args)?,
        ipv6: args.ipv6,
        internal: args.internal,
        disable_dns: args.disable_dns,
        dns_servers: args.dns.clone(),
        interface: args.interface_name.clone(),
        labels: args.label.iter().map(|l| (l.key.clone(), l.value.clone())).collect(),
        options: args.opt.into_iter().collect::<BTreeMap<_, _>>(),
    };
    let engine = context.engine()?;
    if let (true, Some(name)) = (args.ignore, &args.name)
        && engine.network_exists(name.as_str())?
    {
        output::line(name.as_str())?;
        return Ok(error::SUCCESS);
    }
    output::line(&engine.network_create(&request)?.name)?;
    Ok(error::SUCCESS)
}
