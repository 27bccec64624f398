//! Published ports: what is asked for, and the sockets that try whether a port of the host is free.
//!
//! The kernel is the arbiter against other programs of the host: a port that one listens on cannot be had. Containers of
//! these roots are kept from each other by their records (attach.rs). Nothing is ever accepted on such a socket: packets
//! are translated before they could reach it.

use std::fmt;
use std::io;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::os::fd::OwnedFd;
use std::str::FromStr;

use rustix::io::Errno;
use rustix::net::{AddressFamily, SocketFlags, SocketType, ipproto, sockopt};
use serde::{Deserialize, Serialize};

use crate::error::{Error, Result};
use crate::rules::Translation;

/// A transport protocol.
#[derive(
    Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Default, Serialize, Deserialize,
)]
#[serde(rename_all = "lowercase")]
pub enum Protocol {
    /// TCP.
    #[default]
    Tcp,
    /// UDP.
    Udp,
    /// SCTP.
    Sctp,
}

impl Protocol {
    /// Its number in an IP header.
    pub(crate) fn number(self) -> u8 {
        match self {
            Protocol::Tcp => 6,
            Protocol::Udp => 17,
            Protocol::Sctp => 132,
        }
    }
}

impl FromStr for Protocol {
    type Err = Error;

    fn from_str(text: &str) -> Result<Self> {
        match text.to_ascii_lowercase().as_str() {
            "tcp" => Ok(Protocol::Tcp),
            "udp" => Ok(Protocol::Udp),
            "sctp" => Ok(Protocol::Sctp),
            _ => {
                Err(Error::Invalid(format!("unknown protocol {text:?}: expected tcp, udp or sctp")))
            }
        }
    }
}

impl fmt::Display for Protocol {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Protocol::Tcp => "tcp",
            Protocol::Udp => "udp",
            Protocol::Sctp => "sctp",
        })
    }
}

/// A port of the host that leads to one of a container.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct PortMapping {
    /// The address on the host; `None`: all.
    pub host_ip: Option<IpAddr>,
    /// The port on the host; 0: one that is free.
    pub host_port: u16,
    /// The port in the container.
    pub container_port: u16,
    /// The protocol.
    pub protocol: Protocol,
}

impl PortMapping {
    /// The same port of the host by other words.
    #[must_use]
    pub fn collides(&self, other: &PortMapping) -> bool {
        let any = |ip: Option<IpAddr>| ip.is_none_or(|ip| ip.is_unspecified());
        self.protocol == other.protocol
            && self.host_port == other.host_port
            && (any(self.host_ip) || any(other.host_ip) || self.host_ip == other.host_ip)
    }

    /// Address, port and protocol on the host.
    pub(crate) fn host(&self) -> String {
        match self.host_ip {
            Some(ip) => format!("{}/{}", SocketAddr::new(ip, self.host_port), self.protocol),
            None => format!("{}/{}", self.host_port, self.protocol),
        }
    }

    /// The host's addresses it stands for, of the families that the container has.
    fn host_addresses(&self, v4: bool, v6: bool) -> Vec<IpAddr> {
        match self.host_ip {
            Some(ip) => vec![ip],
            None => {
                [(v4, IpAddr::V4(Ipv4Addr::UNSPECIFIED)), (v6, IpAddr::V6(Ipv6Addr::UNSPECIFIED))]
                    .into_iter()
                    .filter_map(|(has, ip)| has.then_some(ip))
                    .collect()
            }
        }
    }

    /// As the rules have it, for a container with these addresses.
    pub(crate) fn translations(&self, v4: Option<IpAddr>, v6: Option<IpAddr>) -> Vec<Translation> {
        self.host_addresses(v4.is_some(), v6.is_some())
            .into_iter()
            .filter_map(|host_ip| {
                Some(Translation {
                    host_ip,
                    protocol: self.protocol,
                    host_port: self.host_port,
                    to: if host_ip.is_ipv4() { v4? } else { v6? },
                    to_port: self.container_port,
                })
            })
            .collect()
    }

    /// Takes hold of the host's port; the mapping with the port that it has become, and the sockets that hold it.
    ///
    /// # Errors
    /// `AddrInUse`; `AddrNotAvailable` where the host has no such address.
    pub(crate) fn hold(mut self, v4: bool, v6: bool) -> io::Result<(PortMapping, Vec<OwnedFd>)> {
        let asked = self.host_port;
        let mut attempts = 0;
        'again: loop {
            self.host_port = asked;
            let mut held = Vec::new();
            for ip in self.host_addresses(v4, v6) {
                match bind(self.protocol, SocketAddr::new(ip, self.host_port)) {
                    Ok(Some((socket, port))) => {
                        self.host_port = port;
                        held.push(socket);
                    }
                    Ok(None) => {}
                    // Free in one family is not free in both: another one is as good.
                    Err(Errno::ADDRINUSE) if asked == 0 && attempts < 64 => {
                        attempts += 1;
                        continue 'again;
                    }
                    Err(e) => return Err(e.into()),
                }
            }
            if self.host_port == 0 {
                return Err(io::Error::new(
                    io::ErrorKind::Unsupported,
                    "this kernel cannot choose a port of that protocol",
                ));
            }
            return Ok((self, held));
        }
    }
}

/// A socket bound to a port, and the port; `None`: the kernel does not have the protocol, so nobody else has its ports.
fn bind(protocol: Protocol, to: SocketAddr) -> Result<Option<(OwnedFd, u16)>, Errno> {
    let family = if to.is_ipv4() { AddressFamily::INET } else { AddressFamily::INET6 };
    let (kind, number) = match protocol {
        Protocol::Tcp => (SocketType::STREAM, ipproto::TCP),
        Protocol::Udp => (SocketType::DGRAM, ipproto::UDP),
        Protocol::Sctp => (SocketType::STREAM, ipproto::SCTP),
    };
    let socket = match rustix::net::socket_with(family, kind, SocketFlags::CLOEXEC, Some(number)) {
        Ok(socket) => socket,
        Err(Errno::PROTONOSUPPORT | Errno::AFNOSUPPORT | Errno::SOCKTNOSUPPORT) => return Ok(None),
        Err(e) => return Err(e),
    };
    if to.is_ipv6() {
        sockopt::set_ipv6_v6only(&socket, true)?;
    }
    if protocol == Protocol::Tcp {
        // Old connections in TIME_WAIT do not count; somebody who listens does.
        sockopt::set_socket_reuseaddr(&socket, true)?;
    }
    rustix::net::bind(&socket, &to)?;
    if protocol != Protocol::Udp {
        // Two that set SO_REUSEADDR exclude each other only where one listens.
        rustix::net::listen(&socket, 1)?;
    }
    let bound: SocketAddr =
        rustix::net::getsockname(&socket)?.try_into().map_err(|_| Errno::AFNOSUPPORT)?;
    Ok(Some((socket, bound.port())))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn mapping(ip: Option<&str>, host_port: u16) -> PortMapping {
        PortMapping {
            host_ip: ip.map(|ip| ip.parse().unwrap()),
            host_port,
            container_port: 80,
            protocol: Protocol::Tcp,
        }
    }

    #[test]
    fn a_port_is_held_once() {
        let (first, sockets) = mapping(Some("127.0.0.1"), 0).hold(true, false).unwrap();
        assert_ne!(first.host_port, 0);
        let again = mapping(Some("127.0.0.1"), first.host_port).hold(true, false);
        assert_eq!(again.unwrap_err().kind(), io::ErrorKind::AddrInUse);
        let everywhere = mapping(None, first.host_port).hold(true, false);
        assert_eq!(everywhere.unwrap_err().kind(), io::ErrorKind::AddrInUse);
        drop(sockets);
        mapping(None, first.host_port).hold(true, false).unwrap();
    }

    #[test]
    fn collisions_know_what_all_addresses_means() {
        assert!(mapping(None, 80).collides(&mapping(Some("127.0.0.1"), 80)));
        assert!(mapping(Some("0.0.0.0"), 80).collides(&mapping(Some("127.0.0.1"), 80)));
        assert!(!mapping(Some("127.0.0.2"), 80).collides(&mapping(Some("127.0.0.1"), 80)));
        assert!(!mapping(None, 80).collides(&mapping(None, 81)));
        let udp = PortMapping { protocol: Protocol::Udp, ..mapping(None, 80) };
        assert!(!mapping(None, 80).collides(&udp));
    }

    #[test]
    fn an_address_of_a_family_that_the_container_lacks_leads_nowhere() {
        let v4 = Some("10.0.0.2".parse().unwrap());
        assert_eq!(mapping(None, 80).translations(v4, None).len(), 1);
        assert_eq!(mapping(None, 80).translations(v4, Some("fd00::2".parse().unwrap())).len(), 2);
        assert_eq!(mapping(Some("::1"), 80).translations(v4, None).len(), 0);
    }
}
