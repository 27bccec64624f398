//! A network as `network ls` and `network inspect` show it: podman's shape.

use std::collections::BTreeMap;
use std::net::IpAddr;

use serde::{Deserialize, Serialize};

use super::time::Time;

/// Networks, and those that cannot be read.
#[derive(Debug, Default)]
pub struct NetworksReport {
    /// By name.
    pub networks: Vec<NetworkInspect>,
    /// One for each that cannot be read.
    pub errors: Vec<crate::Error>,
}

/// One network.
#[derive(Debug, Clone, PartialEq, Default, Serialize, Deserialize)]
#[serde(default)]
pub struct NetworkInspect {
    /// Its name.
    pub name: String,
    /// 64 hexadecimal digits.
    pub id: String,
    /// `bridge`.
    pub driver: String,
    /// The bridge on the host.
    pub network_interface: String,
    /// When it was made.
    pub created: Time,
    /// Its subnets.
    pub subnets: Vec<SubnetShown>,
    /// It has an IPv6 subnet.
    pub ipv6_enabled: bool,
    /// Nothing outside is reached.
    pub internal: bool,
    /// Containers find each other by name.
    pub dns_enabled: bool,
    /// Name servers for other names.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub network_dns_servers: Vec<IpAddr>,
    /// Labels.
    pub labels: BTreeMap<String, String>,
    /// `--opt`.
    pub options: BTreeMap<String, String>,
    /// How addresses are given.
    pub ipam_options: BTreeMap<String, String>,
    /// The connected containers by id.
    pub containers: BTreeMap<String, NetworkMember>,
}

/// A range of addresses.
#[derive(Debug, Clone, PartialEq, Default, Serialize, Deserialize)]
#[serde(default)]
pub struct SubnetShown {
    /// CIDR.
    pub subnet: String,
    /// The bridge's address.
    pub gateway: String,
    /// Where containers get theirs from, where that was limited.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub lease_range: Option<LeaseRangeShown>,
}

/// First and last address.
#[derive(Debug, Clone, PartialEq, Default, Serialize, Deserialize)]
pub struct LeaseRangeShown {
    /// The first.
    pub start_ip: String,
    /// The last.
    pub end_ip: String,
}

/// A connected container.
#[derive(Debug, Clone, PartialEq, Default, Serialize, Deserialize)]
#[serde(default)]
pub struct NetworkMember {
    /// Its name.
    pub name: String,
    /// Its devices by name.
    pub interfaces: BTreeMap<String, MemberInterface>,
}

/// A device of a connected container.
#[derive(Debug, Clone, PartialEq, Default, Serialize, Deserialize)]
#[serde(default)]
pub struct MemberInterface {
    /// Its addresses.
    pub subnets: Vec<MemberSubnet>,
    /// Its hardware address.
    pub mac_address: String,
}

/// An address of a connected container.
#[derive(Debug, Clone, PartialEq, Default, Serialize, Deserialize)]
#[serde(default)]
pub struct MemberSubnet {
    /// The address with its subnet's length.
    pub ipnet: String,
    /// The bridge's address.
    pub gateway: String,
}
