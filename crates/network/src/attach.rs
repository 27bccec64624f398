//! A container's part in networks: reserved, put up, given back.
//!
//! | step | what | found again by |
//! |---|---|---|
//! | [`Networks::reserve`] | record, addresses, ports | the record, `run/networks/attached/<id>.json`, written first |
//! | [`Networks::connect`] | bridges, devices, routes, rules | names and addresses in the record |
//! | [`Networks::release`] | all of it, the record last | |
//!
//! Each step can be repeated. CRASH: whoever comes next calls `release`, which finds everything by the record.

use std::fs::File;
use std::net::IpAddr;
use std::os::fd::{AsFd as _, OwnedFd};

use dhow_sys::fs::Durability;
use dhow_sys::lock::LockMode;
use ipnet::IpNet;

use crate::attachment::{AttachRequest, Attachment, Endpoint, EndpointRequest};
use crate::definition::Network;
use crate::error::{Error, Result};
use crate::link::{LOOPBACK, Links, Mac, Veth};
use crate::name::NetworkName;
use crate::port::PortMapping;
use crate::record;
use crate::store::{Networks, bridge_rules, check_interface, record_id};
use crate::sysctl;

/// The largest number of networks of a container: what the names of its devices have room for.
const MAX_ENDPOINTS: usize = 36;

impl Networks {
    /// Reserves addresses and ports. The sockets hold the ports: they are to be kept open until the rules are in place.
    ///
    /// # Errors
    /// [`Error::AddressInUse`], [`Error::PortInUse`], [`Error::NotFound`], …; what was reserved is given back by
    /// [`Networks::release`].
    pub fn reserve(&self, request: &AttachRequest) -> Result<(Attachment, Vec<OwnedFd>)> {
        let dir = self.attached_dir();
        dhow_sys::fs::create_dir_all(&dir, 0o700).map_err(Error::io("create", &dir))?;
        // ORDER: looked up before the lock: a default network that is not there yet takes the lock itself.
        let networks =
            request.endpoints.iter().map(|e| self.find(&e.network)).collect::<Result<Vec<_>>>()?;
        check(request, &networks)?;
        // Ports are the host's, and asked of all that is connected: one at a time. Addresses need no such thing.
        let lock = self.lock(if request.ports.is_empty() {
            LockMode::Shared
        } else {
            LockMode::Exclusive
        })?;
        let mut attachment = Attachment {
            version: Attachment::VERSION,
            id: request.id.clone(),
            name: request.name.clone(),
            reserved: false,
            endpoints: Vec::new(),
            ports: Vec::new(),
            dns_servers: request.dns_servers.clone(),
            namespace: request.namespace.clone(),
        };
        for (index, (wanted, network)) in request.endpoints.iter().zip(&networks).enumerate() {
            // Removed before the lock was taken.
            self.find(network.name.as_str())?;
            attachment.endpoints.push(endpoint(&request.id, index, wanted, network));
        }
        let path = dir.join(format!("{}.json", request.id));
        record::write(&path, &attachment, Durability::Volatile)?;
        for ((endpoint, wanted), network) in
            attachment.endpoints.iter_mut().zip(&request.endpoints).zip(&networks)
        {
            self.lease(endpoint, wanted, network, &request.id)?;
        }
        let (v4, v6) = attachment.addresses();
        let mut sockets = Vec::new();
        let others = if request.ports.is_empty() { Vec::new() } else { self.attachments()? };
        for wanted in &request.ports {
            let families = (v4.is_some(), v6.is_some());
            let (port, held) = hold(wanted, families, &request.id, &others)?;
            attachment.ports.push(port);
            sockets.extend(held);
        }
        attachment.reserved = true;
        record::write(&path, &attachment, Durability::Volatile)?;
        drop(lock);
        Ok((attachment, sockets))
    }

    /// Makes the network namespace of a container, with nothing in it yet. One that an earlier life has left is replaced.
    ///
    /// # Errors
    /// What the kernel says.
    pub fn make_namespace(&self, attachment: &Attachment) -> Result<()> {
        let path = &attachment.namespace;
        dhow_sys::netns::remove(path).map_err(Error::io("remove the network namespace", path))?;
        dhow_sys::netns::create(path, || {
            // As podman has it: root in a container can ping without a capability for it.
            sysctl::set_if_there("ipv4/ping_group_range", "0\t0")
        })
        .map_err(Error::io("create the network namespace", path))?
    }

    /// Puts up what was reserved: bridges, devices, addresses, routes, rules.
    ///
    /// # Errors
    /// What the kernel says.
    pub fn connect(&self, attachment: &Attachment) -> Result<()> {
        let path = &attachment.namespace;
        let namespace = File::open(path).map_err(Error::io("open the network namespace", path))?;
        let mut inside = dhow_sys::netns::inside(&namespace, Links::open)
            .and_then(|links| links)
            .map_err(Error::io("enter the network namespace", path))?;
        let mut host = Links::open().map_err(Error::kernel("open a netlink socket"))?;
        inside.set_up(LOOPBACK).map_err(Error::kernel("bring the loopback device up"))?;
        let mut default = [false; 2];
        for endpoint in &attachment.endpoints {
            let network = self.find(endpoint.network.as_str())?;
            let bridge = self.bring_up(&mut host, &network)?;
            plug(&mut host, bridge, endpoint, &network, &namespace)?;
            configure(&mut inside, endpoint, &mut default)?;
        }
        self.publish(attachment)
    }

    /// Gives back everything that a container has of networks. Nothing where it has nothing.
    ///
    /// # Errors
    /// What the kernel says; the rest is given back all the same.
    pub fn release(&self, id: &str) -> Result<()> {
        let path = self.attached_dir().join(format!("{id}.json"));
        let attachment: Attachment = match record::read(&path, Attachment::VERSION) {
            Ok(Some(attachment)) => attachment,
            Ok(None) => return Ok(()),
            Err(Error::Corrupt { .. }) => {
                // Nothing in it can be believed: what is in its name is looked for.
                for network in self.list()?.0 {
                    self.leases(&network.name).give_back_all(id)?;
                }
                return record::remove(&path).map(drop);
            }
            Err(e) => return Err(e),
        };
        let mut first: Option<Error> = None;
        let mut keep = |result: Result<()>| {
            if let Err(e) = result {
                tracing::debug!(%id, error = %e, "the release of a container's networks goes on after an error");
                first.get_or_insert(e);
            }
        };
        let translations = attachment.translations();
        if !translations.is_empty() {
            keep(self.rules().and_then(|rules| {
                rules
                    .remove_ports(&translations)
                    .map_err(Error::kernel("remove the published ports"))
            }));
        }
        // ORDER: the namespace before the addresses: its devices go with it, and nobody is to have an address with a
        // predecessor still there. The kernel takes them away when it has time, which no command waits for.
        let namespace = &attachment.namespace;
        keep(
            dhow_sys::netns::remove(namespace)
                .map_err(Error::io("remove the network namespace", namespace)),
        );
        for endpoint in &attachment.endpoints {
            let leases = self.leases(&endpoint.network);
            if attachment.reserved {
                for net in [endpoint.ipv4, endpoint.ipv6].into_iter().flatten() {
                    keep(leases.give_back(net.addr(), id));
                }
            } else {
                keep(leases.give_back_all(id));
            }
        }
        match first {
            None => record::remove(&path).map(drop),
            Some(e) => Err(e),
        }
    }

    /// What a container has now; `None`: nothing.
    ///
    /// # Errors
    /// The record is damaged.
    pub fn attachment(&self, id: &str) -> Result<Option<Attachment>> {
        record::read(&self.attached_dir().join(format!("{id}.json")), Attachment::VERSION)
    }

    /// Writes the whole table anew, for what is connected now: after somebody has flushed the rules of the machine.
    ///
    /// # Errors
    /// What the kernel says.
    pub fn reload(&self) -> Result<()> {
        let lock = self.lock(LockMode::Exclusive)?;
        self.write_table()?;
        drop(lock);
        Ok(())
    }

    /// All that is connected. Damaged records are left out: they are an error of their own container.
    pub(crate) fn attachments(&self) -> Result<Vec<Attachment>> {
        let dir = self.attached_dir();
        let entries = match std::fs::read_dir(&dir) {
            Ok(entries) => entries,
            Err(e) if e.kind() == std::io::ErrorKind::NotFound => return Ok(Vec::new()),
            Err(e) => return Err(Error::io("read", dir)(e)),
        };
        Ok(entries
            .flatten()
            .filter(|entry| record_id(&entry.path()).is_some())
            .filter_map(|entry| record::read(&entry.path(), Attachment::VERSION).ok().flatten())
            .collect())
    }

    /// What is connected to a network.
    ///
    /// # Errors
    /// The records cannot be read.
    pub fn members(&self, network: &NetworkName) -> Result<Vec<(Attachment, Endpoint)>> {
        let all = self.attachments()?.into_iter();
        Ok(all
            .filter_map(|attachment| {
                let endpoint = attachment.endpoints.iter().find(|e| e.network == *network)?.clone();
                Some((attachment, endpoint))
            })
            .collect())
    }

    /// The names of the containers on a network.
    pub(crate) fn connected(&self, network: &NetworkName) -> Result<Vec<String>> {
        let all = self.attachments()?;
        let on = |a: &Attachment| a.endpoints.iter().any(|e| e.network == *network);
        Ok(all.into_iter().filter(on).map(|attachment| attachment.name).collect())
    }

    fn lease(
        &self,
        endpoint: &mut Endpoint,
        wanted: &EndpointRequest,
        network: &Network,
        id: &str,
    ) -> Result<()> {
        let leases = self.leases(&network.name);
        for subnet in &network.subnets {
            let v4 = subnet.subnet.addr().is_ipv4();
            let asked = if v4 { wanted.ipv4 } else { wanted.ipv6 };
            let address = leases.take(network, subnet, asked, id)?;
            let net = IpNet::new(address, subnet.subnet.prefix_len()).ok();
            if v4 {
                (endpoint.ipv4, endpoint.gateway4) = (net, Some(subnet.gateway));
            } else {
                (endpoint.ipv6, endpoint.gateway6) = (net, Some(subnet.gateway));
            }
        }
        if wanted.mac.is_none() {
            endpoint.mac = mac_of(endpoint, id);
        }
        Ok(())
    }

    /// The bridge of a network: made, addressed and known to the rules; its index. Repeated for each container, so that
    /// what somebody has taken away comes again.
    fn bring_up(&self, host: &mut Links, network: &Network) -> Result<u32> {
        let name = &network.interface;
        let look = |host: &mut Links| {
            host.index(name).map_err(Error::kernel(format!("look up the device {name}")))
        };
        let mut index = look(host)?;
        if index.is_none() {
            match host.create_bridge(name, bridge_mac(network), network.mtu()) {
                Ok(()) => {}
                // Somebody was faster.
                Err(e) if e.kind() == std::io::ErrorKind::AlreadyExists => {}
                Err(e) => return Err(Error::kernel(format!("create the bridge {name}"))(e)),
            }
            index = look(host)?;
        }
        let index = index.ok_or_else(|| {
            Error::kernel(format!("create the bridge {name}"))(std::io::ErrorKind::NotFound.into())
        })?;
        for subnet in &network.subnets {
            if let Ok(net) = IpNet::new(subnet.gateway, subnet.subnet.prefix_len()) {
                host.add_address(index, net)
                    .map_err(Error::kernel(format!("give {name} the address {net}")))?;
            }
        }
        sysctl::set("ipv4/ip_forward", "1")?;
        // For ports published on the host's loopback; the guard chain is what makes it safe.
        sysctl::set(&format!("ipv4/conf/{name}/route_localnet"), "1")?;
        sysctl::set_if_there(&format!("ipv6/conf/{name}/accept_ra"), "0")?;
        if network.has_ipv6() {
            sysctl::set_if_there("ipv6/conf/all/forwarding", "1")?;
        }
        self.with_table(|rules| rules.add_bridge(&bridge_rules(network)))?;
        Ok(index)
    }

    fn publish(&self, attachment: &Attachment) -> Result<()> {
        let translations = attachment.translations();
        if translations.is_empty() {
            return Ok(());
        }
        self.with_table(|rules| rules.add_ports(&translations))
    }

    /// Changes the table; where there is none, it is written with all that is connected first.
    fn with_table(
        &self,
        change: impl Fn(&crate::rules::Rules<'_>) -> std::io::Result<()>,
    ) -> Result<()> {
        let rules = self.rules()?;
        let failed = || Error::kernel(format!("change the nftables table {}", self.table));
        match change(&rules) {
            Err(e) if e.kind() == std::io::ErrorKind::NotFound => {}
            other => return other.map_err(failed()),
        }
        let lock = self.lock(LockMode::Exclusive)?;
        if !rules.exist().map_err(failed())? {
            self.write_table()?;
        }
        drop(lock);
        change(&rules).map_err(failed())
    }

    /// The whole table, for everything that is connected.
    fn write_table(&self) -> Result<()> {
        let attachments = self.attachments()?;
        let networks: Vec<Network> = self
            .list()?
            .0
            .into_iter()
            .filter(|n| attachments.iter().any(|a| a.endpoints.iter().any(|e| e.network == n.name)))
            .collect();
        let bridges: Vec<_> = networks.iter().map(bridge_rules).collect();
        let ports: Vec<_> =
            attachments.iter().filter(|a| a.reserved).flat_map(Attachment::translations).collect();
        self.rules()?
            .replace(&bridges, &ports)
            .map_err(Error::kernel(format!("write the nftables table {}", self.table)))
    }
}

/// Takes hold of a port that neither another container nor another program has.
fn hold(
    wanted: &PortMapping,
    (v4, v6): (bool, bool),
    id: &str,
    others: &[Attachment],
) -> Result<(PortMapping, Vec<OwnedFd>)> {
    let holder = |port: &PortMapping| {
        others.iter().find(|a| a.id != id && a.ports.iter().any(|other| other.collides(port)))
    };
    for _ in 0..64 {
        // ORDER: a container is named before the socket is tried: its own socket is what would be in the way.
        if let Some(other) = holder(wanted).filter(|_| wanted.host_port != 0) {
            return Err(Error::PortInUse {
                port: wanted.host(),
                by: format!("container {}", other.name),
            });
        }
        match wanted.hold(v4, v6) {
            Ok((port, held)) if holder(&port).is_none() => return Ok((port, held)),
            Ok(_) => {}
            Err(e) if e.kind() == std::io::ErrorKind::AddrInUse => {
                return Err(Error::PortInUse {
                    port: wanted.host(),
                    by: "another program of the host".to_owned(),
                });
            }
            Err(e) => return Err(Error::kernel(format!("use the host port {}", wanted.host()))(e)),
        }
    }
    Err(Error::PortInUse { port: wanted.host(), by: "containers".to_owned() })
}

/// What contradicts itself.
fn check(request: &AttachRequest, networks: &[Network]) -> Result<()> {
    if request.endpoints.len() > MAX_ENDPOINTS {
        return Err(Error::Invalid(format!("a container has at most {MAX_ENDPOINTS} networks")));
    }
    for (n, (endpoint, network)) in request.endpoints.iter().zip(networks).enumerate() {
        if networks[..n].iter().any(|other| other.name == network.name) {
            return Err(Error::Invalid(format!("network {} is given twice", network.name)));
        }
        if let Some(name) = &endpoint.interface {
            check_interface(name)?;
        }
        for (asked, v4) in [(endpoint.ipv4, true), (endpoint.ipv6, false)] {
            if let Some(address) = asked
                && !network
                    .subnets
                    .iter()
                    .any(|s| s.subnet.addr().is_ipv4() == v4 && s.takes(address))
            {
                return Err(Error::Invalid(format!(
                    "the address {address} is not one for a container of network {}",
                    network.name
                )));
            }
        }
    }
    Ok(())
}

fn endpoint(id: &str, index: usize, wanted: &EndpointRequest, network: &Network) -> Endpoint {
    Endpoint {
        network: network.name.clone(),
        network_id: network.id.clone(),
        interface: wanted.interface.clone().unwrap_or_else(|| format!("eth{index}")),
        host_interface: host_interface(id, index),
        mac: wanted.mac.unwrap_or_default(),
        ipv4: None,
        ipv6: None,
        gateway4: None,
        gateway6: None,
        aliases: wanted.aliases.clone(),
        dns: network.dns,
        internal: network.internal,
    }
}

/// The host's end, by the container's id: 48 bits of it, so that it can be found without a record.
fn host_interface(id: &str, index: usize) -> String {
    let digit = char::from_digit(u32::try_from(index).unwrap_or(0), 36).unwrap_or('0');
    format!("dh{}{digit}", id.get(..12).unwrap_or(id))
}

/// A hardware address of the locally administered ones, made from the address: who gets an address again after another
/// is reached by those who remember the other's.
fn mac_of(endpoint: &Endpoint, id: &str) -> Mac {
    match endpoint.ipv4.map(|net| net.addr()) {
        Some(IpAddr::V4(v4)) => {
            let [a, b, c, d] = v4.octets();
            [0x0a, 0x58, a, b, c, d]
        }
        _ => {
            let digit = |n: usize| {
                id.get(2 * n..2 * n + 2)
                    .and_then(|two| u8::from_str_radix(two, 16).ok())
                    .unwrap_or(0)
            };
            [0x0a, 0x59, digit(0), digit(1), digit(2), digit(3)]
        }
    }
}

fn bridge_mac(network: &Network) -> Mac {
    let gateway = network.subnets.iter().map(|subnet| subnet.gateway).next();
    let id = |n: usize| {
        network
            .id
            .get(2 * n..2 * n + 2)
            .and_then(|two| u8::from_str_radix(two, 16).ok())
            .unwrap_or(0)
    };
    match gateway {
        Some(IpAddr::V4(v4)) => {
            let [a, b, c, d] = v4.octets();
            [0x0a, 0x58, a, b, c, d]
        }
        _ => [0x0a, 0x5a, id(0), id(1), id(2), id(3)],
    }
}

/// The pair of devices of one endpoint.
fn plug(
    host: &mut Links,
    bridge: u32,
    endpoint: &Endpoint,
    network: &Network,
    namespace: &File,
) -> Result<()> {
    let name = &endpoint.host_interface;
    let veth = Veth {
        host: name,
        bridge,
        peer: &endpoint.interface,
        namespace: namespace.as_fd(),
        mac: endpoint.mac,
        mtu: network.mtu(),
    };
    let failed = || Error::kernel(format!("create the device {name}"));
    match host.create_veth(&veth) {
        // Of an earlier life of the same container; the kernel has not come to take it away.
        Err(e) if e.kind() == std::io::ErrorKind::AlreadyExists => {
            host.delete(name).map_err(Error::kernel(format!("remove the device {name}")))?;
            host.create_veth(&veth).map_err(failed())
        }
        other => other.map_err(failed()),
    }
}

/// Addresses and routes inside. `default` says which families have a default route already.
fn configure(inside: &mut Links, endpoint: &Endpoint, default: &mut [bool; 2]) -> Result<()> {
    let name = &endpoint.interface;
    let index = inside
        .index(name)
        .and_then(|index| index.ok_or_else(|| std::io::ErrorKind::NotFound.into()))
        .map_err(Error::kernel(format!("find {name} in the container")))?;
    for net in [endpoint.ipv4, endpoint.ipv6].into_iter().flatten() {
        inside
            .add_address(index, net)
            .map_err(Error::kernel(format!("give {name} the address {net}")))?;
    }
    inside.set_up(index).map_err(Error::kernel(format!("bring {name} up")))?;
    if endpoint.internal {
        return Ok(());
    }
    for (has, gateway) in default.iter_mut().zip([endpoint.gateway4, endpoint.gateway6]) {
        if let Some(gateway) = gateway.filter(|_| !*has) {
            inside
                .add_default_route(index, gateway)
                .map_err(Error::kernel(format!("route by {gateway}")))?;
            *has = true;
        }
    }
    Ok(())
}
