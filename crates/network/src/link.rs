//! rtnetlink(7): devices, addresses and routes of one network namespace, by request and answer.
//!
//! INVARIANT: a [`Links`] speaks to the namespace it was opened in, whoever uses it later.

use std::io;
use std::net::IpAddr;
use std::os::fd::{AsRawFd as _, BorrowedFd};

use ipnet::IpNet;
use netlink_packet_core::{
    NLM_F_ACK, NLM_F_CREATE, NLM_F_DUMP, NLM_F_EXCL, NLM_F_REPLACE, NLM_F_REQUEST, NetlinkHeader,
    NetlinkMessage, NetlinkPayload,
};
use netlink_packet_route::address::{AddressAttribute, AddressFlags, AddressMessage, AddressScope};
use netlink_packet_route::link::{
    InfoData, InfoKind, InfoVeth, LinkAttribute, LinkFlags, LinkInfo, LinkMessage,
};
use netlink_packet_route::route::{
    RouteAddress, RouteAttribute, RouteHeader, RouteMessage, RouteProtocol, RouteScope, RouteType,
};
use netlink_packet_route::{AddressFamily, RouteNetlinkMessage};
use netlink_sys::protocols::NETLINK_ROUTE;
use netlink_sys::{Socket, SocketAddr};

/// The index of the loopback device in every namespace.
pub(crate) const LOOPBACK: u32 = 1;

/// A hardware address.
pub(crate) type Mac = [u8; 6];

/// A socket to the kernel's routing part.
pub(crate) struct Links {
    socket: Socket,
    sequence: u32,
}

/// A pair of devices: one end here, the other in a container.
pub(crate) struct Veth<'a> {
    pub(crate) host: &'a str,
    /// Index of the bridge it is put into.
    pub(crate) bridge: u32,
    pub(crate) peer: &'a str,
    pub(crate) namespace: BorrowedFd<'a>,
    pub(crate) mac: Mac,
    pub(crate) mtu: Option<u32>,
}

impl Links {
    /// Opens it in the namespace of the calling thread.
    pub(crate) fn open() -> io::Result<Links> {
        let mut socket = Socket::new(NETLINK_ROUTE)?;
        socket.bind_auto()?;
        socket.connect(&SocketAddr::new(0, 0))?;
        Ok(Links { socket, sequence: 0 })
    }

    /// The index of a device; `None`: there is none of that name.
    pub(crate) fn index(&mut self, name: &str) -> io::Result<Option<u32>> {
        let mut message = LinkMessage::default();
        message.attributes.push(LinkAttribute::IfName(name.to_owned()));
        match self.request(RouteNetlinkMessage::GetLink(message), 0) {
            Ok(answers) => Ok(answers.into_iter().find_map(|answer| match answer {
                RouteNetlinkMessage::NewLink(link) => Some(link.header.index),
                _ => None,
            })),
            Err(e) if is_gone(&e) => Ok(None),
            Err(e) => Err(e),
        }
    }

    /// The names of all devices.
    pub(crate) fn names(&mut self) -> io::Result<Vec<String>> {
        let dump =
            self.request(RouteNetlinkMessage::GetLink(LinkMessage::default()), NLM_F_DUMP)?;
        let name = |attribute| match attribute {
            LinkAttribute::IfName(name) => Some(name),
            _ => None,
        };
        Ok(dump
            .into_iter()
            .filter_map(|answer| match answer {
                RouteNetlinkMessage::NewLink(link) => link.attributes.into_iter().find_map(name),
                _ => None,
            })
            .collect())
    }

    /// Every destination that has a route of its own, in every table, and every address's subnet.
    pub(crate) fn taken(&mut self) -> io::Result<Vec<IpNet>> {
        let mut taken = Vec::new();
        for family in [AddressFamily::Inet, AddressFamily::Inet6] {
            let mut message = RouteMessage::default();
            message.header.address_family = family;
            for answer in self.request(RouteNetlinkMessage::GetRoute(message), NLM_F_DUMP)? {
                let RouteNetlinkMessage::NewRoute(route) = answer else { continue };
                let to = route.attributes.iter().find_map(|attribute| match attribute {
                    RouteAttribute::Destination(RouteAddress::Inet(a)) => Some(IpAddr::V4(*a)),
                    RouteAttribute::Destination(RouteAddress::Inet6(a)) => Some(IpAddr::V6(*a)),
                    _ => None,
                });
                let length = route.header.destination_prefix_length;
                if let Some(net) =
                    to.and_then(|to| IpNet::new(to, length).ok()).filter(|_| length > 0)
                {
                    taken.push(net);
                }
            }
        }
        let dump =
            self.request(RouteNetlinkMessage::GetAddress(AddressMessage::default()), NLM_F_DUMP)?;
        for answer in dump {
            let RouteNetlinkMessage::NewAddress(address) = answer else { continue };
            let own = address.attributes.iter().find_map(|attribute| match attribute {
                AddressAttribute::Address(ip) => Some(*ip),
                _ => None,
            });
            taken.extend(own.and_then(|ip| IpNet::new(ip, address.header.prefix_len).ok()));
        }
        Ok(taken)
    }

    /// Makes a bridge, up, with a hardware address of its own: one of a member's would change as they come and go.
    pub(crate) fn create_bridge(
        &mut self,
        name: &str,
        mac: Mac,
        mtu: Option<u32>,
    ) -> io::Result<()> {
        let mut message = named(name, mtu);
        message.attributes.push(LinkAttribute::Address(mac.to_vec()));
        message.attributes.push(LinkAttribute::LinkInfo(vec![LinkInfo::Kind(InfoKind::Bridge)]));
        self.request(RouteNetlinkMessage::NewLink(message), NLM_F_CREATE | NLM_F_EXCL).map(drop)
    }

    /// Makes a pair, this end up and in its bridge, the other, down, in another namespace: one request.
    pub(crate) fn create_veth(&mut self, veth: &Veth<'_>) -> io::Result<()> {
        let mut peer = LinkMessage::default();
        peer.attributes.push(LinkAttribute::IfName(veth.peer.to_owned()));
        peer.attributes.push(LinkAttribute::Address(veth.mac.to_vec()));
        // The message is built and sent while the caller's borrow keeps the descriptor open.
        peer.attributes.push(LinkAttribute::NetNsFd(veth.namespace.as_raw_fd()));
        peer.attributes.extend(veth.mtu.map(LinkAttribute::Mtu));
        let mut message = named(veth.host, veth.mtu);
        message.attributes.push(LinkAttribute::Controller(veth.bridge));
        message.attributes.push(LinkAttribute::LinkInfo(vec![
            LinkInfo::Kind(InfoKind::Veth),
            LinkInfo::Data(InfoData::Veth(InfoVeth::Peer(peer))),
        ]));
        self.request(RouteNetlinkMessage::NewLink(message), NLM_F_CREATE | NLM_F_EXCL).map(drop)
    }

    /// Takes a device away; whether there was one.
    pub(crate) fn delete(&mut self, name: &str) -> io::Result<bool> {
        let mut message = LinkMessage::default();
        message.attributes.push(LinkAttribute::IfName(name.to_owned()));
        match self.request(RouteNetlinkMessage::DelLink(message), 0) {
            Ok(_) => Ok(true),
            Err(e) if is_gone(&e) => Ok(false),
            Err(e) => Err(e),
        }
    }

    /// Brings a device up.
    pub(crate) fn set_up(&mut self, index: u32) -> io::Result<()> {
        let mut message = LinkMessage::default();
        message.header.index = index;
        message.header.flags = LinkFlags::Up;
        message.header.change_mask = LinkFlags::Up;
        self.request(RouteNetlinkMessage::SetLink(message), 0).map(drop)
    }

    /// Gives a device an address; one that it has already is no error.
    pub(crate) fn add_address(&mut self, index: u32, net: IpNet) -> io::Result<()> {
        let mut message = AddressMessage::default();
        message.header.index = index;
        message.header.prefix_len = net.prefix_len();
        message.header.scope = AddressScope::Universe;
        message.attributes.push(AddressAttribute::Address(net.addr()));
        match net {
            IpNet::V4(v4) => {
                message.header.family = AddressFamily::Inet;
                message.attributes.push(AddressAttribute::Local(net.addr()));
                message.attributes.push(AddressAttribute::Broadcast(v4.broadcast()));
            }
            IpNet::V6(_) => {
                message.header.family = AddressFamily::Inet6;
                // Who has which address is known here: to ask the neighbours would make the first second silent.
                message.attributes.push(AddressAttribute::Flags(AddressFlags::Nodad));
            }
        }
        self.request(RouteNetlinkMessage::NewAddress(message), NLM_F_CREATE | NLM_F_REPLACE)
            .map(drop)
    }

    /// Adds the default route of the gateway's family.
    pub(crate) fn add_default_route(&mut self, index: u32, gateway: IpAddr) -> io::Result<()> {
        let mut message = RouteMessage::default();
        message.header.address_family = match gateway {
            IpAddr::V4(_) => AddressFamily::Inet,
            IpAddr::V6(_) => AddressFamily::Inet6,
        };
        message.header.table = RouteHeader::RT_TABLE_MAIN;
        message.header.protocol = RouteProtocol::Static;
        message.header.scope = RouteScope::Universe;
        message.header.kind = RouteType::Unicast;
        message.attributes.push(RouteAttribute::Gateway(gateway.into()));
        message.attributes.push(RouteAttribute::Oif(index));
        self.request(RouteNetlinkMessage::NewRoute(message), NLM_F_CREATE | NLM_F_REPLACE).map(drop)
    }

    /// Sends one request and collects the answers up to the acknowledgement or the end of the dump.
    fn request(
        &mut self,
        message: RouteNetlinkMessage,
        flags: u16,
    ) -> io::Result<Vec<RouteNetlinkMessage>> {
        self.sequence += 1;
        let mut header = NetlinkHeader::default();
        header.flags = NLM_F_REQUEST | NLM_F_ACK | flags;
        header.sequence_number = self.sequence;
        let mut packet = NetlinkMessage::new(header, NetlinkPayload::from(message));
        packet.finalize();
        let mut bytes = vec![0; packet.buffer_len()];
        packet.serialize(&mut bytes);
        self.socket.send(&bytes, 0)?;
        let mut answers = Vec::new();
        loop {
            let (bytes, _) = self.socket.recv_from_full()?;
            let mut rest = &bytes[..];
            while !rest.is_empty() {
                let answer = NetlinkMessage::<RouteNetlinkMessage>::deserialize(rest)
                    .map_err(|e| io::Error::new(io::ErrorKind::InvalidData, e.to_string()))?;
                let length = usize::try_from(answer.header.length).unwrap_or(rest.len());
                rest = rest.get(length.next_multiple_of(4).max(16)..).unwrap_or_default();
                if answer.header.sequence_number != self.sequence {
                    continue;
                }
                match answer.payload {
                    NetlinkPayload::Error(e) if e.code.is_some() => return Err(e.to_io()),
                    NetlinkPayload::Error(_) | NetlinkPayload::Done(_) => return Ok(answers),
                    NetlinkPayload::InnerMessage(inner) => answers.push(inner),
                    _ => {}
                }
            }
        }
    }
}

/// ENODEV: there is no such device.
fn is_gone(e: &io::Error) -> bool {
    e.raw_os_error() == Some(rustix::io::Errno::NODEV.raw_os_error())
}

/// A device of that name, up.
fn named(name: &str, mtu: Option<u32>) -> LinkMessage {
    let mut message = LinkMessage::default();
    message.header.flags = LinkFlags::Up;
    message.header.change_mask = LinkFlags::Up;
    message.attributes.push(LinkAttribute::IfName(name.to_owned()));
    message.attributes.extend(mtu.map(LinkAttribute::Mtu));
    message
}
