//! What a network is: its record, and arithmetic on its subnets.

use std::collections::BTreeMap;
use std::fmt;
use std::net::IpAddr;
use std::str::FromStr;

use ipnet::IpNet;
use serde::{Deserialize, Serialize};

use crate::error::{Error, Result};
use crate::name::NetworkName;

/// How containers are connected.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Driver {
    /// A bridge of the host, with addresses translated on the way out.
    #[default]
    Bridge,
}

impl FromStr for Driver {
    type Err = Error;

    fn from_str(text: &str) -> Result<Self> {
        match text {
            "bridge" => Ok(Driver::Bridge),
            "macvlan" | "ipvlan" => Err(Error::Invalid(format!(
                "the network driver {text} is not supported yet: expected bridge"
            ))),
            _ => Err(Error::Invalid(format!("unknown network driver {text:?}: expected bridge"))),
        }
    }
}

impl fmt::Display for Driver {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("bridge")
    }
}

/// The record of a network: `root/networks/<name>.json`. Written once, removed with the network.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Network {
    /// Of the file's format.
    #[serde(default = "version")]
    pub version: u32,
    /// Its name, as the file's.
    pub name: NetworkName,
    /// 64 hexadecimal digits.
    pub id: String,
    /// How it connects.
    #[serde(default)]
    pub driver: Driver,
    /// The bridge on the host.
    pub interface: String,
    /// Nanoseconds since the epoch, UTC.
    pub created: i64,
    /// At least one.
    pub subnets: Vec<Subnet>,
    /// Nothing outside is reached, and nobody outside reaches it.
    #[serde(default)]
    pub internal: bool,
    /// Containers find each other by name.
    #[serde(default)]
    pub dns: bool,
    /// `--dns`: name servers for other names, instead of the host's.
    #[serde(default)]
    pub dns_servers: Vec<IpAddr>,
    /// `--label`.
    #[serde(default)]
    pub labels: BTreeMap<String, String>,
    /// `--opt`, as given.
    #[serde(default)]
    pub options: BTreeMap<String, String>,
}

fn version() -> u32 {
    Network::VERSION
}

impl Network {
    /// The version of the record that this build writes and reads.
    pub const VERSION: u32 = 1;

    /// `--opt mtu=`; `None`: the kernel's default.
    #[must_use]
    pub fn mtu(&self) -> Option<u32> {
        self.options.get("mtu").and_then(|text| text.parse().ok())
    }

    /// Whether its containers are kept apart from those of other networks: unless `--opt isolate=false`.
    #[must_use]
    pub fn isolated(&self) -> bool {
        self.options.get("isolate").is_none_or(|text| text != "false")
    }

    /// It has an IPv6 subnet.
    #[must_use]
    pub fn has_ipv6(&self) -> bool {
        self.subnets.iter().any(|subnet| subnet.subnet.addr().is_ipv6())
    }
}

/// One range of addresses of a network.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Subnet {
    /// The range.
    pub subnet: IpNet,
    /// The bridge's own address.
    pub gateway: IpAddr,
    /// Where containers get their addresses from; `None`: everywhere.
    #[serde(default)]
    pub lease_range: Option<LeaseRange>,
}

/// First and last address for containers.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct LeaseRange {
    /// The first.
    pub start_ip: IpAddr,
    /// The last.
    pub end_ip: IpAddr,
}

impl Subnet {
    /// Checks one subnet as asked for, filling in what is not given: the gateway is the first address.
    ///
    /// # Errors
    /// [`Error::Invalid`] where it has no room for a gateway and a container, or gateway or range are outside.
    pub fn plan(
        subnet: IpNet,
        gateway: Option<IpAddr>,
        range: Option<LeaseRange>,
    ) -> Result<Subnet> {
        let subnet = subnet.trunc();
        let bits = subnet.max_prefix_len() - subnet.prefix_len();
        if bits < 2 {
            return Err(Error::Invalid(format!(
                "the subnet {subnet} is too small: it needs room for a gateway and a container"
            )));
        }
        if !usable(subnet) {
            return Err(Error::Invalid(format!("the subnet {subnet} is not one for hosts")));
        }
        let gateway = gateway.unwrap_or_else(|| nth(subnet, 1));
        let planned = Subnet { subnet, gateway, lease_range: range };
        let inside = |what: &str, address: IpAddr| {
            if is_host(subnet, address) {
                return Ok(());
            }
            Err(Error::Invalid(format!(
                "the {what} {address} is not a host's address in the subnet {subnet}"
            )))
        };
        inside("gateway", gateway)?;
        if let Some(range) = &planned.lease_range {
            for (what, address) in
                [("first address", range.start_ip), ("last address", range.end_ip)]
            {
                if !subnet.contains(&address) {
                    return Err(Error::Invalid(format!(
                        "the {what} {address} of the range is not in the subnet {subnet}"
                    )));
                }
            }
            if number(range.start_ip) > number(range.end_ip) {
                return Err(Error::Invalid(format!(
                    "the range {}-{} ends before it begins",
                    range.start_ip, range.end_ip
                )));
            }
        }
        Ok(planned)
    }

    /// First and last address for containers, the gateway perhaps among them.
    #[must_use]
    pub fn host_range(&self) -> (IpAddr, IpAddr) {
        let first = nth(self.subnet, 1);
        // The last address of an IPv4 subnet is its broadcast address.
        let last = match self.subnet {
            IpNet::V4(net) => address(true, u128::from(u32::from(net.broadcast())) - 1),
            IpNet::V6(net) => address(false, u128::from(net.broadcast())),
        };
        match &self.lease_range {
            Some(range) => (
                address(first.is_ipv4(), number(range.start_ip).max(number(first))),
                address(first.is_ipv4(), number(range.end_ip).min(number(last))),
            ),
            None => (first, last),
        }
    }

    /// Whether a container can have the address.
    #[must_use]
    pub fn takes(&self, address: IpAddr) -> bool {
        is_host(self.subnet, address) && address != self.gateway
    }

    /// The candidates in order.
    pub(crate) fn hosts(&self) -> impl Iterator<Item = IpAddr> + use<> {
        let (first, last) = self.host_range();
        let (v4, gateway) = (first.is_ipv4(), self.gateway);
        (number(first)..=number(last)).map(move |n| address(v4, n)).filter(move |a| *a != gateway)
    }
}

/// Whether a subnet is for hosts at all: not loopback, multicast, link-local or the unspecified network.
fn usable(subnet: IpNet) -> bool {
    match subnet {
        IpNet::V4(net) => {
            let addr = net.network();
            net.prefix_len() >= 8
                && !(addr.is_loopback() || addr.is_multicast() || addr.is_link_local())
                && addr.octets()[0] != 0
                && addr.octets()[0] < 240
        }
        IpNet::V6(net) => {
            let addr = net.network();
            net.prefix_len() >= 8
                && !(addr.is_loopback() || addr.is_multicast() || addr.is_unicast_link_local())
                && addr.segments()[0] != 0
        }
    }
}

fn is_host(subnet: IpNet, address: IpAddr) -> bool {
    subnet.contains(&address)
        && address != subnet.network()
        && (address.is_ipv6() || address != subnet.broadcast())
}

fn nth(subnet: IpNet, n: u128) -> IpAddr {
    address(subnet.addr().is_ipv4(), number(subnet.network()) + n)
}

pub(crate) fn number(address: IpAddr) -> u128 {
    match address {
        IpAddr::V4(v4) => u128::from(u32::from(v4)),
        IpAddr::V6(v6) => u128::from(v6),
    }
}

pub(crate) fn address(v4: bool, number: u128) -> IpAddr {
    match (v4, u32::try_from(number)) {
        (true, Ok(number)) => IpAddr::V4(number.into()),
        _ => IpAddr::V6(number.into()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use expect_test::{Expect, expect};

    #[expect(clippy::needless_pass_by_value, reason = "what is expected stands in the call")]
    fn check(subnet: &str, gateway: Option<&str>, range: Option<(&str, &str)>, expected: Expect) {
        let planned = Subnet::plan(
            subnet.parse().unwrap(),
            gateway.map(|g| g.parse().unwrap()),
            range.map(|(a, b)| LeaseRange {
                start_ip: a.parse().unwrap(),
                end_ip: b.parse().unwrap(),
            }),
        );
        let text = match planned {
            Ok(s) => {
                let (first, last) = s.host_range();
                let few: Vec<_> = s.hosts().take(2).map(|a| a.to_string()).collect();
                format!("{} gw {} hosts {first}-{last}: {}", s.subnet, s.gateway, few.join(" "))
            }
            Err(e) => e.to_string(),
        };
        expected.assert_eq(&text);
    }

    #[test]
    fn subnets() {
        check(
            "10.1.2.3/24",
            None,
            None,
            expect!["10.1.2.0/24 gw 10.1.2.1 hosts 10.1.2.1-10.1.2.254: 10.1.2.2 10.1.2.3"],
        );
        check(
            "10.0.0.0/30",
            Some("10.0.0.2"),
            None,
            expect!["10.0.0.0/30 gw 10.0.0.2 hosts 10.0.0.1-10.0.0.2: 10.0.0.1"],
        );
        check(
            "fd00:1::/64",
            None,
            None,
            expect![
                "fd00:1::/64 gw fd00:1::1 hosts fd00:1::1-fd00:1::ffff:ffff:ffff:ffff: fd00:1::2 fd00:1::3"
            ],
        );
        check(
            "10.1.0.0/16",
            None,
            Some(("10.1.5.0", "10.1.5.255")),
            expect!["10.1.0.0/16 gw 10.1.0.1 hosts 10.1.5.0-10.1.5.255: 10.1.5.0 10.1.5.1"],
        );
        check(
            "10.0.0.0/31",
            None,
            None,
            expect![
                "the subnet 10.0.0.0/31 is too small: it needs room for a gateway and a container"
            ],
        );
        check("127.0.0.0/24", None, None, expect!["the subnet 127.0.0.0/24 is not one for hosts"]);
        check("0.0.0.0/0", None, None, expect!["the subnet 0.0.0.0/0 is not one for hosts"]);
        check("224.0.0.0/24", None, None, expect!["the subnet 224.0.0.0/24 is not one for hosts"]);
        check("fe80::/64", None, None, expect!["the subnet fe80::/64 is not one for hosts"]);
        check(
            "10.1.2.0/24",
            Some("10.1.3.1"),
            None,
            expect!["the gateway 10.1.3.1 is not a host's address in the subnet 10.1.2.0/24"],
        );
        check(
            "10.1.2.0/24",
            Some("10.1.2.255"),
            None,
            expect!["the gateway 10.1.2.255 is not a host's address in the subnet 10.1.2.0/24"],
        );
        check(
            "10.1.2.0/24",
            None,
            Some(("10.1.2.9", "10.1.2.8")),
            expect!["the range 10.1.2.9-10.1.2.8 ends before it begins"],
        );
        check(
            "10.1.2.0/24",
            None,
            Some(("10.1.3.9", "10.1.3.10")),
            expect!["the first address 10.1.3.9 of the range is not in the subnet 10.1.2.0/24"],
        );
    }
}
