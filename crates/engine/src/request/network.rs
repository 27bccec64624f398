//! `--network`, `--publish`, `--expose`, and what `network create`, `ls` and `prune` ask for.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};
use std::str::FromStr;

use dhow_network::Protocol;
use serde::{Deserialize, Serialize};

use super::{Invalid, LabelMatch, Moment, NamespaceKind, NamespaceMode};

/// How a container is connected.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(default)]
pub struct NetworkOptions {
    /// `--network NAME[:OPTIONS]`; empty, with no network namespace asked for: the default network.
    pub networks: Vec<NetworkChoice>,
    /// `--publish`.
    pub publish: Vec<Publish>,
    /// `--publish-all`: what the image and `--expose` name is published on free ports of the host.
    pub publish_all: bool,
    /// `--expose`.
    pub expose: Vec<Expose>,
    /// `--ip`, where there is one network.
    pub ipv4: Option<Ipv4Addr>,
    /// `--ip6`, where there is one network.
    pub ipv6: Option<Ipv6Addr>,
    /// `--mac-address`, where there is one network.
    pub mac: Option<MacAddress>,
    /// `--network-alias`: on every network that has names.
    pub aliases: Vec<String>,
}

/// One network and the container's place in it.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(default)]
pub struct NetworkChoice {
    /// Name or id; `bridge` is the default network.
    pub name: String,
    /// `ip=`, `ip6=`.
    pub addresses: Vec<IpAddr>,
    /// `mac=`.
    pub mac: Option<MacAddress>,
    /// `interface_name=`.
    pub interface: Option<String>,
    /// `alias=`.
    pub aliases: Vec<String>,
}

/// The value of `--network`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum NetworkArgument {
    /// A namespace: none, host, container:NAME, ns:PATH.
    Namespace(NamespaceMode),
    /// A network.
    Network(NetworkChoice),
}

impl FromStr for NetworkArgument {
    type Err = Invalid;

    fn from_str(text: &str) -> Result<Self, Invalid> {
        let invalid = |why: &str| Invalid::new("network", text, why);
        let (head, options) = text.split_once(':').map_or((text, None), |(h, o)| (h, Some(o)));
        match head {
            "none" | "host" | "container" | "ns" => {
                return NamespaceMode::parse(NamespaceKind::Network, text).map(Self::Namespace);
            }
            "slirp4netns" | "pasta" => {
                return Err(invalid(
                    "is for containers of other users than root, which are not supported yet",
                ));
            }
            "" => {
                return Err(invalid(
                    "expected none, host, container:NAME, ns:PATH, bridge or a network's name, with options as in NAME:ip=10.1.0.5,alias=db",
                ));
            }
            _ => {}
        }
        let name = if matches!(head, "private" | "default") { "bridge" } else { head };
        let mut choice = NetworkChoice { name: name.to_owned(), ..NetworkChoice::default() };
        for option in options.into_iter().flat_map(|options| options.split(',')) {
            let (key, value) = option.split_once('=').unwrap_or((option, ""));
            match key {
                "ip" | "ip6" => choice
                    .addresses
                    .push(value.parse().map_err(|_| invalid("ip= takes an IPv4 or IPv6 address"))?),
                "mac" => choice.mac = Some(value.parse().map_err(|e: Invalid| invalid(&e.why))?),
                "interface_name" if !value.is_empty() => choice.interface = Some(value.to_owned()),
                "alias" => choice.aliases.push(alias(value).map_err(|e| invalid(&e.why))?),
                _ => return Err(invalid("expected options ip=, mac=, interface_name= and alias=")),
            }
        }
        Ok(Self::Network(choice))
    }
}

/// Reads a name by which others on a network find a container.
pub fn alias(text: &str) -> Result<String, Invalid> {
    let good = !text.is_empty()
        && text.len() <= 253
        && text.split('.').all(|label| {
            (1..=63).contains(&label.len())
                && label.bytes().all(|b| b.is_ascii_alphanumeric() || b"-_".contains(&b))
        });
    if good {
        Ok(text.to_ascii_lowercase())
    } else {
        Err(Invalid::new("network alias", text, "an alias is made of letters, digits, -, _ and ."))
    }
}

/// A hardware address.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct MacAddress(pub [u8; 6]);

impl FromStr for MacAddress {
    type Err = Invalid;

    fn from_str(text: &str) -> Result<Self, Invalid> {
        let invalid = |why: &str| Invalid::new("MAC address", text, why);
        let separator = if text.contains('-') { '-' } else { ':' };
        let mut octets = [0; 6];
        let mut parts = text.split(separator);
        for octet in &mut octets {
            let part = parts.next().filter(|part| (1..=2).contains(&part.len()));
            *octet = part.and_then(|part| u8::from_str_radix(part, 16).ok()).ok_or_else(|| {
                invalid("expected six pairs of hexadecimal digits, as in 92:d0:c6:0a:29:33")
            })?;
        }
        if parts.next().is_some() {
            return Err(invalid(
                "expected six pairs of hexadecimal digits, as in 92:d0:c6:0a:29:33",
            ));
        }
        if octets[0] & 1 == 1 || octets == [0; 6] {
            return Err(invalid("the address is not that of one device"));
        }
        Ok(Self(octets))
    }
}

/// The value of `--publish`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Publish {
    /// The host's address; none: all.
    pub host_ip: Option<IpAddr>,
    /// The first port on the host; none: free ones.
    pub host_port: Option<u16>,
    /// The first port in the container.
    pub container_port: u16,
    /// How many.
    pub count: u16,
    /// The protocol.
    pub protocol: Protocol,
}

/// The value of `--expose`, or a port of the image.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Expose {
    /// The first port.
    pub port: u16,
    /// How many.
    pub count: u16,
    /// The protocol.
    pub protocol: Protocol,
}

fn range(text: &str) -> Option<(u16, u16)> {
    let (first, last) = text.split_once('-').unwrap_or((text, text));
    let (first, last): (u16, u16) = (first.parse().ok()?, last.parse().ok()?);
    (first > 0 && first <= last).then(|| (first, last - first + 1))
}

impl FromStr for Expose {
    type Err = Invalid;

    fn from_str(text: &str) -> Result<Self, Invalid> {
        let (ports, protocol) = text.split_once('/').unwrap_or((text, "tcp"));
        let (port, count) = range(ports).ok_or_else(|| {
            Invalid::new("port", text, "expected PORT[-PORT][/tcp|udp|sctp], ports from 1 to 65535")
        })?;
        let protocol = protocol
            .parse()
            .map_err(|e: dhow_network::Error| Invalid::new("port", text, e.to_string()))?;
        Ok(Self { port, count, protocol })
    }
}

impl FromStr for Publish {
    type Err = Invalid;

    fn from_str(text: &str) -> Result<Self, Invalid> {
        let invalid = |why: &str| Invalid::new("port", text, why);
        let expected = "expected [[HOST-ADDRESS:]HOST-PORT[-PORT]:]PORT[-PORT][/tcp|udp|sctp], ports from 1 to 65535";
        // Only an address has colons of its own, and stands in brackets then.
        let (address, rest) = match text.strip_prefix('[') {
            Some(rest) => {
                let (address, rest) = rest.split_once("]:").ok_or_else(|| invalid(expected))?;
                (Some(address), rest)
            }
            None => match text.rsplitn(3, ':').collect::<Vec<_>>()[..] {
                [_, _, address] if address.contains(':') => return Err(invalid(expected)),
                [_, _, address] => (Some(address), &text[address.len() + 1..]),
                _ => (None, text),
            },
        };
        let (host, container) = match rest.rsplit_once(':') {
            Some((host, container)) => (Some(host).filter(|host| !host.is_empty()), container),
            None if address.is_some() => return Err(invalid(expected)),
            None => (None, rest),
        };
        let Expose { port, count, protocol } = container.parse().map_err(|e: Invalid| {
            invalid(if e.why.starts_with("unknown") { &e.why } else { expected })
        })?;
        let host_port = match host.map(range) {
            None => None,
            Some(Some((first, n))) if n == count => Some(first),
            Some(Some(_)) => {
                return Err(invalid(
                    "the ranges of the host and of the container differ in length",
                ));
            }
            Some(None) => return Err(invalid(expected)),
        };
        let host_ip = match address {
            None | Some("") => None,
            Some(text) => Some(
                text.parse()
                    .map_err(|_| invalid("the host's address is not an IPv4 or IPv6 address"))?,
            ),
        };
        Ok(Self { host_ip, host_port, container_port: port, count, protocol })
    }
}

/// A condition on a network.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub enum NetworkFilter {
    /// The name contains this.
    Name(String),
    /// The id begins so.
    Id(String),
    /// It connects so.
    Driver(String),
    /// A label.
    Label(LabelMatch),
    /// Whether no container uses it.
    Dangling(bool),
    /// It was made before this time.
    Until(Moment),
}

impl FromStr for NetworkFilter {
    type Err = Invalid;

    fn from_str(text: &str) -> Result<Self, Invalid> {
        const KEYS: &str = "name, id, driver, label, label!, dangling, until";
        let invalid = |why: String| Invalid::new("filter", text, why);
        let (key, value) = text
            .split_once('=')
            .filter(|(_, value)| !value.is_empty())
            .ok_or_else(|| invalid(format!("expected KEY=VALUE with KEY one of {KEYS}")))?;
        let label = |negated| {
            let (key, of) =
                value.split_once('=').map_or((value, None), |(k, v)| (k, Some(v.to_owned())));
            Self::Label(LabelMatch { key: key.to_owned(), value: of, negated })
        };
        Ok(match key {
            "name" => Self::Name(value.to_owned()),
            "id" => Self::Id(value.to_owned()),
            "driver" => Self::Driver(value.to_owned()),
            "label" => label(false),
            "label!" => label(true),
            "dangling" => Self::Dangling(match value {
                "true" | "1" => true,
                "false" | "0" => false,
                _ => return Err(invalid("expected true or false".to_owned())),
            }),
            "until" => Self::Until(value.parse()?),
            _ => return Err(invalid(format!("unknown key: expected one of {KEYS}"))),
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn networks() {
        let network = |text: &str| text.parse::<NetworkArgument>();
        assert_eq!(network("none").unwrap(), NetworkArgument::Namespace(NamespaceMode::None));
        assert_eq!(
            network("container:a").unwrap(),
            NetworkArgument::Namespace(NamespaceMode::Container("a".into()))
        );
        let NetworkArgument::Network(choice) = network(
            "db:ip=10.1.0.5,ip6=fd00::5,mac=92:d0:c6:0a:29:33,interface_name=db0,alias=A,alias=b",
        )
        .unwrap() else {
            panic!()
        };
        assert_eq!(choice.name, "db");
        assert_eq!(choice.addresses.len(), 2);
        assert_eq!(choice.mac.unwrap().0[0], 0x92);
        assert_eq!(choice.interface.as_deref(), Some("db0"));
        assert_eq!(choice.aliases, ["a", "b"]);
        for same in ["private", "default", "bridge"] {
            let NetworkArgument::Network(choice) = network(same).unwrap() else { panic!() };
            assert_eq!(choice.name, "bridge");
        }
        for bad in [
            "",
            "db:",
            "db:ip=x",
            "db:mac=01:00:00:00:00:00",
            "db:alias=",
            "db:alias=a b",
            "db:what=1",
            "ns:x",
            "pasta",
        ] {
            assert!(network(bad).is_err(), "{bad}");
        }
    }

    #[test]
    fn published_ports() {
        let show = |text: &str| match text.parse::<Publish>() {
            Ok(p) => format!(
                "{} {} {} {} {}",
                p.host_ip.map_or("*".into(), |ip| ip.to_string()),
                p.host_port.map_or("?".into(), |port| port.to_string()),
                p.container_port,
                p.count,
                p.protocol
            ),
            Err(e) => e.why,
        };
        assert_eq!(show("80"), "* ? 80 1 tcp");
        assert_eq!(show("8080:80/udp"), "* 8080 80 1 udp");
        assert_eq!(show("127.0.0.1:8080:80"), "127.0.0.1 8080 80 1 tcp");
        assert_eq!(show("127.0.0.1::80"), "127.0.0.1 ? 80 1 tcp");
        assert_eq!(show("[::1]:8080:80/SCTP"), "::1 8080 80 1 sctp");
        assert_eq!(show("8000-8002:80-82"), "* 8000 80 3 tcp");
        assert_eq!(show("80-82"), "* ? 80 3 tcp");
        assert_eq!(
            show("8000-8002:80"),
            "the ranges of the host and of the container differ in length"
        );
        for bad in [
            "",
            ":",
            "a",
            "0",
            "65536",
            "80:",
            "1.2.3:80:80",
            "::1:80:80",
            "80/icmp",
            "82-80",
            "127.0.0.1:80:80:80",
            "[::1]80:80",
        ] {
            assert!(bad.parse::<Publish>().is_err(), "{bad}");
        }
    }
}
