//! The network part of `inspect`.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

/// Addresses of a container; empty where its network is the host's, another container's or loopback only.
#[derive(Debug, Clone, PartialEq, Default, Serialize, Deserialize)]
#[serde(rename_all = "PascalCase", default)]
pub struct NetworkSettings {
    /// Docker's name of the connection.
    #[serde(rename = "EndpointID")]
    pub endpoint_id: String,
    /// IPv4 router.
    pub gateway: String,
    /// IPv4 address.
    #[serde(rename = "IPAddress")]
    pub ip_address: String,
    /// Bits of its network part.
    #[serde(rename = "IPPrefixLen")]
    pub ip_prefix_len: u8,
    /// IPv6 router.
    #[serde(rename = "IPv6Gateway")]
    pub ipv6_gateway: String,
    /// IPv6 address.
    #[serde(rename = "GlobalIPv6Address")]
    pub global_ipv6_address: String,
    /// Bits of its network part.
    #[serde(rename = "GlobalIPv6PrefixLen")]
    pub global_ipv6_prefix_len: u8,
    /// Hardware address.
    pub mac_address: String,
    /// The bridge it is connected to.
    pub bridge: String,
    /// Docker's name of the network namespace.
    #[serde(rename = "SandboxID")]
    pub sandbox_id: String,
    /// It reaches its own published ports.
    pub hairpin_mode: bool,
    /// IPv6 address of the link.
    #[serde(rename = "LinkLocalIPv6Address")]
    pub link_local_ipv6_address: String,
    /// Bits of its network part.
    #[serde(rename = "LinkLocalIPv6PrefixLen")]
    pub link_local_ipv6_prefix_len: u8,
    /// Published ports.
    pub ports: BTreeMap<String, Vec<HostPort>>,
    /// Path of the network namespace, where it has a name.
    pub sandbox_key: String,
    /// The networks by name.
    pub networks: BTreeMap<String, NetworkEndpoint>,
}

/// Where a port of a container is on the host.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "PascalCase", default)]
pub struct HostPort {
    /// Address; empty: all.
    pub host_ip: String,
    /// Port; empty before it is chosen.
    pub host_port: String,
}

/// A container's place in one network.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "PascalCase", default)]
pub struct NetworkEndpoint {
    /// Docker's name of the connection.
    #[serde(rename = "EndpointID")]
    pub endpoint_id: String,
    /// IPv4 router.
    pub gateway: String,
    /// IPv4 address.
    #[serde(rename = "IPAddress")]
    pub ip_address: String,
    /// Bits of its network part.
    #[serde(rename = "IPPrefixLen")]
    pub ip_prefix_len: u8,
    /// IPv6 router.
    #[serde(rename = "IPv6Gateway")]
    pub ipv6_gateway: String,
    /// IPv6 address.
    #[serde(rename = "GlobalIPv6Address")]
    pub global_ipv6_address: String,
    /// Bits of its network part.
    #[serde(rename = "GlobalIPv6PrefixLen")]
    pub global_ipv6_prefix_len: u8,
    /// Hardware address.
    pub mac_address: String,
    /// The network's id.
    #[serde(rename = "NetworkID")]
    pub network_id: String,
    /// Further names.
    pub aliases: Vec<String>,
}
