//! What a container wants of networks, and the record of what it has.

use std::net::IpAddr;
use std::path::PathBuf;

use ipnet::IpNet;
use serde::{Deserialize, Serialize};

use crate::name::NetworkName;
use crate::port::PortMapping;
use crate::rules::Translation;

/// What a container wants of networks.
#[derive(Debug, Clone, Default)]
pub struct AttachRequest {
    /// The container's id: letters and digits, unique.
    pub id: String,
    /// Its name, by which others on its networks find it.
    pub name: String,
    /// Its networks in order: the first one has the default route.
    pub endpoints: Vec<EndpointRequest>,
    /// Its published ports.
    pub ports: Vec<PortMapping>,
    /// `--dns`: name servers for names that are not of its networks.
    pub dns_servers: Vec<IpAddr>,
    /// Where its network namespace is kept.
    pub namespace: PathBuf,
}

/// One network of a container, as asked for.
#[derive(Debug, Clone, Default)]
pub struct EndpointRequest {
    /// Name or id.
    pub network: String,
    /// `--ip`.
    pub ipv4: Option<IpAddr>,
    /// `--ip6`.
    pub ipv6: Option<IpAddr>,
    /// `--mac-address`.
    pub mac: Option<[u8; 6]>,
    /// The device's name inside; none: eth0, eth1, ….
    pub interface: Option<String>,
    /// Further names.
    pub aliases: Vec<String>,
}

/// What a container has of networks: `run/networks/attached/<id>.json`, written by whoever holds the container's lock.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Attachment {
    /// Of the file's format.
    pub version: u32,
    /// The container's id.
    pub id: String,
    /// Its name.
    pub name: String,
    /// Whether addresses and ports below are all there; before, some may be leased that are not named.
    pub reserved: bool,
    /// Its networks.
    pub endpoints: Vec<Endpoint>,
    /// Its published ports, each with the host's port that it got.
    pub ports: Vec<PortMapping>,
    /// Name servers of its own.
    #[serde(default)]
    pub dns_servers: Vec<IpAddr>,
    /// Where its network namespace is kept.
    pub namespace: PathBuf,
}

/// One network of a container.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Endpoint {
    /// The network.
    pub network: NetworkName,
    /// Its id.
    pub network_id: String,
    /// The device's name inside.
    pub interface: String,
    /// The device's name on the host.
    pub host_interface: String,
    /// Its hardware address.
    pub mac: [u8; 6],
    /// Its IPv4 address with its subnet.
    pub ipv4: Option<IpNet>,
    /// Its IPv6 address with its subnet.
    pub ipv6: Option<IpNet>,
    /// The bridge's IPv4 address.
    pub gateway4: Option<IpAddr>,
    /// The bridge's IPv6 address.
    pub gateway6: Option<IpAddr>,
    /// Further names.
    pub aliases: Vec<String>,
    /// Others on the network are found by name.
    pub dns: bool,
    /// Nothing outside is reached.
    pub internal: bool,
}

impl Endpoint {
    /// The hardware address as one writes it.
    #[must_use]
    pub fn mac_text(&self) -> String {
        self.mac.map(|byte| format!("{byte:02x}")).join(":")
    }
}

impl Attachment {
    pub(crate) const VERSION: u32 = 1;

    /// The first address of each family, to which published ports lead.
    pub(crate) fn addresses(&self) -> (Option<IpAddr>, Option<IpAddr>) {
        let first = |of: fn(&Endpoint) -> Option<IpNet>| {
            self.endpoints.iter().find_map(of).map(|net| net.addr())
        };
        (first(|e| e.ipv4), first(|e| e.ipv6))
    }

    pub(crate) fn translations(&self) -> Vec<Translation> {
        let (v4, v6) = self.addresses();
        self.ports.iter().flat_map(|port| port.translations(v4, v6)).collect()
    }
}
