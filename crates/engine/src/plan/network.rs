//! Networks and ports of a planned container.

use std::net::IpAddr;

use dhow_network::{Network, Networks, PortMapping};
use oci_spec::image::Config;

use crate::config::NetworkUse;
use crate::error::{Error, Result};
use crate::network::network_error;
use crate::request::{CreateRequest, Expose, NamespaceMode, NetworkChoice};

/// What a container is connected to.
#[derive(Debug, Default)]
pub(super) struct Planned {
    pub(super) networks: Vec<NetworkUse>,
    pub(super) ports: Vec<PortMapping>,
}

/// Resolves names of networks and ranges of ports.
pub(super) fn network(
    request: &CreateRequest,
    image: Option<&Config>,
    networks: &Networks,
    warnings: &mut Vec<String>,
) -> Result<Planned> {
    let options = &request.network;
    let single = [
        ("--ip", options.ipv4.is_some()),
        ("--ip6", options.ipv6.is_some()),
        ("--mac-address", options.mac.is_some()),
        ("--network-alias", !options.aliases.is_empty()),
    ];
    let given = single.iter().find(|(_, given)| *given).map(|(flag, _)| *flag);
    if let Some(mode) = &request.namespaces.network
        && *mode != NamespaceMode::Private
    {
        if !options.networks.is_empty() {
            return Err(Error::Invalid(format!("--network {mode} excludes other networks")));
        }
        if let Some(flag) = given {
            return Err(Error::Invalid(format!(
                "{flag} needs a network: --network {mode} has none"
            )));
        }
        if !options.publish.is_empty() || options.publish_all {
            if *mode != NamespaceMode::Host {
                return Err(Error::Invalid(format!(
                    "--publish needs a network: --network {mode} has none that is the container's own"
                )));
            }
            warnings.push(
                "the container is on the host's network: its ports are the host's, nothing is published".into(),
            );
        }
        return Ok(Planned::default());
    }
    let default =
        [NetworkChoice { name: Networks::default_name().to_owned(), ..NetworkChoice::default() }];
    let choices = if options.networks.is_empty() { &default[..] } else { &options.networks[..] };
    if let (Some(flag), true) = (given.filter(|flag| *flag != "--network-alias"), choices.len() > 1)
    {
        return Err(Error::Invalid(format!(
            "{flag} is for a container with one network: say it with the network, as in --network NAME:ip=10.1.0.5,mac=92:d0:c6:0a:29:33"
        )));
    }
    let mut planned = Planned::default();
    for choice in choices {
        let network = networks.find(&choice.name).map_err(network_error)?;
        if planned.networks.iter().any(|other| other.network == network.name) {
            return Err(Error::Invalid(format!("--network {} is given twice", network.name)));
        }
        planned.networks.push(place(&network, choice, request)?);
        if !network.dns && !choice.aliases.is_empty() {
            return Err(no_names(&network));
        }
        if !network.dns && !options.aliases.is_empty() && choices.len() == 1 {
            return Err(no_names(&network));
        }
    }
    planned.ports = ports(request, image)?;
    Ok(planned)
}

fn no_names(network: &Network) -> Error {
    Error::Invalid(format!(
        "a network alias needs a network with names: network {} has none; make one with `dhow network create`",
        network.name
    ))
}

fn place(network: &Network, choice: &NetworkChoice, request: &CreateRequest) -> Result<NetworkUse> {
    let options = &request.network;
    let mut place = NetworkUse {
        network: network.name.clone(),
        ipv4: options.ipv4.map(IpAddr::V4),
        ipv6: options.ipv6.map(IpAddr::V6),
        mac: choice.mac.or(options.mac),
        interface: choice.interface.clone(),
        aliases: choice.aliases.iter().chain(&options.aliases).cloned().collect(),
    };
    for address in &choice.addresses {
        let slot = if address.is_ipv4() { &mut place.ipv4 } else { &mut place.ipv6 };
        if slot.replace(*address).is_some() {
            return Err(Error::Invalid(format!(
                "network {}: two addresses of one family are given",
                network.name
            )));
        }
    }
    for address in [place.ipv4, place.ipv6].into_iter().flatten() {
        if !network.subnets.iter().any(|subnet| subnet.takes(address)) {
            let subnets: Vec<_> = network.subnets.iter().map(|s| s.subnet.to_string()).collect();
            return Err(Error::Invalid(format!(
                "the address {address} is not one for a container of network {}, which is {}",
                network.name,
                subnets.join(" and ")
            )));
        }
    }
    Ok(place)
}

/// Every published port by itself.
fn ports(request: &CreateRequest, image: Option<&Config>) -> Result<Vec<PortMapping>> {
    let options = &request.network;
    let mut ports: Vec<PortMapping> = Vec::new();
    let mut add = |port: PortMapping| {
        if ports.contains(&port) && port.host_port != 0 {
            return Ok(());
        }
        if port.host_port != 0 && ports.iter().any(|other| other.collides(&port)) {
            return Err(Error::Invalid(format!(
                "the host port {}/{} is published twice",
                port.host_port, port.protocol
            )));
        }
        ports.push(port);
        Ok(())
    };
    for publish in &options.publish {
        for n in 0..publish.count {
            add(PortMapping {
                host_ip: publish.host_ip.filter(|ip| !ip.is_unspecified() || ip.is_ipv6()),
                host_port: publish.host_port.map_or(0, |first| first + n),
                container_port: publish.container_port + n,
                protocol: publish.protocol,
            })?;
        }
    }
    if !options.publish_all {
        return Ok(ports);
    }
    let mut exposed = options.expose.clone();
    for text in image.and_then(|image| image.exposed_ports().as_ref()).into_iter().flatten() {
        exposed
            .push(text.parse::<Expose>().map_err(|e| Error::Invalid(format!("the image's {e}")))?);
    }
    for expose in exposed {
        for container_port in (0..expose.count).map(|n| expose.port + n) {
            let published = ports
                .iter()
                .any(|p| p.container_port == container_port && p.protocol == expose.protocol);
            if !published {
                ports.push(PortMapping {
                    host_ip: None,
                    host_port: 0,
                    container_port,
                    protocol: expose.protocol,
                });
            }
        }
    }
    Ok(ports)
}
