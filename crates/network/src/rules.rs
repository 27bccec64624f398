//! The nftables table: one of our own for a set of roots, its rules the same for ever, what changes in sets and maps.
//!
//! A bridge is an element of `bridges` (and `same`, perhaps `open`, `internal`); a published port is an element of one of
//! the `ports` maps. So neither a start nor an end of a container changes a rule, both are one transaction, and what is
//! there can be asked for. As text, with `nft list ruleset`:
//!
//! ```text
//! chain guard       { filter prerouting -300: iifname @bridges ip daddr 127.0.0.0/8 drop }
//! chain prerouting  { nat prerouting -100: fib daddr type local jump publish }
//! chain output      { nat output -100: fib daddr type local jump publish }
//! chain publish     { dnat ip to ip daddr . meta l4proto . th dport map @ports4_at
//!                     dnat ip to meta l4proto . th dport map @ports4        (and the same for ip6) }
//! chain postrouting { nat postrouting 100: iifname @bridges oifname != @bridges masquerade
//!                     ct status dnat iifname @bridges oifname @bridges masquerade
//!                     ip saddr 127.0.0.0/8 oifname @bridges masquerade }
//! chain forward     { filter forward 0: ct state established,related accept
//!                     iifname . oifname @same accept
//!                     iifname @internal drop; oifname @internal drop
//!                     ct status dnat accept
//!                     iifname @bridges oifname @bridges jump between
//!                     iifname @bridges accept
//!                     oifname @bridges drop }
//! chain between     { iifname @open oifname @open accept; drop }
//! ```
//!
//! The guard is what makes route_localnet safe: with it on, a container could else reach what listens on the host's
//! loopback. The last rule of `forward` keeps neighbours of the host, who may route to a container's address, from what
//! was not published.

use std::io;
use std::net::IpAddr;

use crate::nft::{Attributes, Batch, Kind, Nft, find};
use crate::port::Protocol;

// nf_tables.h, in the order of use.
const TABLE_NAME: u16 = 1;
const SET: (u16, u16, u16, u16, u16, u16, u16, u16) = (1, 2, 3, 4, 5, 6, 7, 10);
const CHAIN: (u16, u16, u16, u16, u16) = (1, 3, 4, 5, 7);
const HOOK: (u16, u16) = (1, 2);
const RULE: (u16, u16, u16) = (1, 2, 4);
const LIST_ELEMENT: u16 = 1;
const EXPRESSION: (u16, u16) = (1, 2);
const ELEMENTS: (u16, u16, u16) = (1, 2, 3);
const ELEMENT: (u16, u16) = (1, 2);
const DATA_VALUE: u16 = 1;
const DATA_VERDICT: u16 = 2;
const SET_IS_MAP: u32 = 8;
const SET_USERDATA: u16 = 13;
/// For `nft list`, which else shows names from the wrong end: type 0, four bytes, 1.
const KEY_IS_IN_HOST_ORDER: [u8; 6] = [0, 4, 1, 0, 0, 0];

/// Registers of 16 bytes (1, 2) and of 4 (8 and up): the same memory.
const R1: u32 = 1;
const R2: u32 = 2;
const WORD: u32 = 8;

const IIFNAME: u32 = 6;
const OIFNAME: u32 = 7;
const NFPROTO: u32 = 15;
const L4PROTO: u32 = 16;
const CT_STATE: u32 = 0;
const CT_STATUS: u32 = 2;
const ESTABLISHED_RELATED: u32 = 6;
const DESTINATION_TRANSLATED: u32 = 0x20;
const IPV4: u8 = 2;
const IPV6: u8 = 10;
const NETWORK_HEADER: u32 = 1;
const TRANSPORT_HEADER: u32 = 2;
const ACCEPT: u32 = 1;
const DROP: u32 = 0;
/// NFT_JUMP, −3.
const JUMP: u32 = 0xffff_fffd;

/// The longest name of a device, with its NUL.
const NAME_SIZE: usize = 16;

/// A published port as the maps have it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Translation {
    /// The host's address; unspecified: every one of its family.
    pub(crate) host_ip: IpAddr,
    pub(crate) protocol: Protocol,
    pub(crate) host_port: u16,
    pub(crate) to: IpAddr,
    pub(crate) to_port: u16,
}

/// A bridge and what its network is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct BridgeRules<'a> {
    pub(crate) name: &'a str,
    pub(crate) internal: bool,
    pub(crate) isolated: bool,
}

/// Our table in the namespace of the thread that opened it.
pub(crate) struct Rules<'a> {
    nft: Nft,
    table: &'a str,
}

impl<'a> Rules<'a> {
    pub(crate) fn open(table: &'a str) -> io::Result<Self> {
        Ok(Rules { nft: Nft::open()?, table })
    }

    /// Whether the table is there.
    pub(crate) fn exist(&self) -> io::Result<bool> {
        match self.nft.ask(Kind::GetTable, &self.named()) {
            Ok(_) => Ok(true),
            Err(e) if e.kind() == io::ErrorKind::NotFound => Ok(false),
            Err(e) => Err(e),
        }
    }

    /// Replaces the whole table, or makes it, in one transaction.
    pub(crate) fn replace(
        &self,
        bridges: &[BridgeRules<'_>],
        ports: &[Translation],
    ) -> io::Result<()> {
        let mut batch = Batch::default();
        // A table must be there to be deleted.
        batch.push(Kind::NewTable, false, &self.named());
        batch.push(Kind::DelTable, false, &self.named());
        batch.push(Kind::NewTable, false, &self.named());
        self.push_sets(&mut batch);
        self.push_chains(&mut batch);
        for bridge in bridges {
            self.push_bridge(&mut batch, Kind::NewElement, bridge);
        }
        for port in ports {
            self.push_port(&mut batch, Kind::NewElement, port);
        }
        self.nft.commit(&batch)
    }

    /// Takes the table away.
    pub(crate) fn remove(&self) -> io::Result<()> {
        let mut batch = Batch::default();
        batch.push(Kind::DelTable, false, &self.named());
        ignoring_absence(self.nft.commit(&batch))
    }

    /// Makes a bridge one of ours. `NotFound`: there is no table.
    pub(crate) fn add_bridge(&self, bridge: &BridgeRules<'_>) -> io::Result<()> {
        let mut batch = Batch::default();
        self.push_bridge(&mut batch, Kind::NewElement, bridge);
        self.nft.commit(&batch)
    }

    pub(crate) fn remove_bridge(&self, bridge: &BridgeRules<'_>) -> io::Result<()> {
        let mut batch = Batch::default();
        self.push_bridge(&mut batch, Kind::DelElement, bridge);
        ignoring_absence(self.nft.commit(&batch))
    }

    /// Publishes ports, all or none. `NotFound`: there is no table. A port whose element is there already, left by
    /// one who is dead, is taken over: who publishes holds the port's socket.
    pub(crate) fn add_ports(&self, ports: &[Translation]) -> io::Result<()> {
        let mut batch = Batch::default();
        for port in ports {
            if self.element(port)?.is_some_and(|data| data != value(port)) {
                self.push_port(&mut batch, Kind::DelElement, port);
            }
            self.push_port(&mut batch, Kind::NewElement, port);
        }
        self.nft.commit(&batch)
    }

    /// Takes ports back, those that still lead where they are said to.
    pub(crate) fn remove_ports(&self, ports: &[Translation]) -> io::Result<()> {
        let mut batch = Batch::default();
        for port in ports {
            if self.element(port)?.is_some_and(|data| data == value(port)) {
                self.push_port(&mut batch, Kind::DelElement, port);
            }
        }
        ignoring_absence(self.nft.commit(&batch))
    }

    /// Where a port leads now.
    fn element(&self, port: &Translation) -> io::Result<Option<Vec<u8>>> {
        let key = data(&key(port));
        let element = Attributes::new().nest(ELEMENT.0, &key);
        let list = Attributes::new().nest(LIST_ELEMENT, &element);
        let question = Attributes::new()
            .text(ELEMENTS.0, self.table)
            .text(ELEMENTS.1, map(port))
            .nest(ELEMENTS.2, &list);
        let answers = match self.nft.ask(Kind::GetElement, &question) {
            Ok(answers) => answers,
            Err(e) if e.kind() == io::ErrorKind::NotFound => return Ok(None),
            Err(e) => return Err(e),
        };
        Ok(answers.iter().find_map(|answer| {
            let element = find(find(answer, ELEMENTS.2)?, LIST_ELEMENT)?;
            Some(find(find(element, ELEMENT.1)?, DATA_VALUE)?.to_vec())
        }))
    }

    fn named(&self) -> Attributes {
        Attributes::new().text(TABLE_NAME, self.table)
    }

    fn push_bridge(&self, batch: &mut Batch, kind: Kind, bridge: &BridgeRules<'_>) {
        let mut name = [0; NAME_SIZE];
        let length = bridge.name.len().min(NAME_SIZE - 1);
        name[..length].copy_from_slice(&bridge.name.as_bytes()[..length]);
        self.push_element(batch, kind, "bridges", &name, None);
        self.push_element(batch, kind, "same", &[name, name].concat(), None);
        if bridge.internal {
            self.push_element(batch, kind, "internal", &name, None);
        }
        if !bridge.isolated {
            self.push_element(batch, kind, "open", &name, None);
        }
    }

    fn push_port(&self, batch: &mut Batch, kind: Kind, port: &Translation) {
        let to = (kind == Kind::NewElement).then(|| value(port));
        self.push_element(batch, kind, map(port), &key(port), to.as_deref());
    }

    fn push_element(
        &self,
        batch: &mut Batch,
        kind: Kind,
        set: &str,
        key: &[u8],
        to: Option<&[u8]>,
    ) {
        let mut element = Attributes::new().nest(ELEMENT.0, &data(key));
        if let Some(to) = to {
            element = element.nest(ELEMENT.1, &data(to));
        }
        let list = Attributes::new().nest(LIST_ELEMENT, &element);
        let attributes = Attributes::new()
            .text(ELEMENTS.0, self.table)
            .text(ELEMENTS.1, set)
            .nest(ELEMENTS.2, &list);
        batch.push(kind, false, &attributes);
    }

    fn push_sets(&self, batch: &mut Batch) {
        // The numbers of nft's own types, by which it shows them: six bits a part.
        let (ipv4, ipv6, protocol, service, name_type) = (7, 8, 12, 13, 41);
        let port = protocol << 6 | service;
        let sets = [
            ("bridges", name_type, 16, None),
            ("same", name_type << 6 | name_type, 32, None),
            ("open", name_type, 16, None),
            ("internal", name_type, 16, None),
            ("ports4", port, 8, Some((ipv4 << 6 | service, 8))),
            ("ports4_at", ipv4 << 12 | port, 12, Some((ipv4 << 6 | service, 8))),
            ("ports6", port, 8, Some((ipv6 << 6 | service, 20))),
            ("ports6_at", ipv6 << 12 | port, 24, Some((ipv6 << 6 | service, 20))),
        ];
        for (id, (name, key_type, key_length, map)) in (1..).zip(sets) {
            let mut set = Attributes::new()
                .text(SET.0, self.table)
                .text(SET.1, name)
                .number(SET.2, if map.is_some() { SET_IS_MAP } else { 0 })
                .number(SET.3, key_type)
                .number(SET.4, key_length);
            if let Some((data_type, data_length)) = map {
                set = set.number(SET.5, data_type).number(SET.6, data_length);
            }
            if key_type == name_type {
                set = set.bytes(SET_USERDATA, &KEY_IS_IN_HOST_ORDER);
            }
            batch.push(Kind::NewSet, false, &set.number(SET.7, id));
        }
    }

    fn push_chains(&self, batch: &mut Batch) {
        /// Type, hook and priority.
        type Base = (&'static str, u32, i32);
        let chains: [(&str, Option<Base>); 7] = [
            ("publish", None),
            ("between", None),
            ("guard", Some(("filter", 0, -300))),
            ("prerouting", Some(("nat", 0, -100))),
            ("output", Some(("nat", 3, -100))),
            ("postrouting", Some(("nat", 4, 100))),
            ("forward", Some(("filter", 2, 0))),
        ];
        for (name, base) in chains {
            let mut chain = Attributes::new().text(CHAIN.0, self.table).text(CHAIN.1, name);
            if let Some((kind, hook, priority)) = base {
                let hook =
                    Attributes::new().number(HOOK.0, hook).number(HOOK.1, priority.cast_unsigned());
                chain = chain.nest(CHAIN.2, &hook).number(CHAIN.3, ACCEPT).text(CHAIN.4, kind);
            }
            batch.push(Kind::NewChain, false, &chain);
        }
        for (chain, rule) in rules() {
            let attributes = Attributes::new()
                .text(RULE.0, self.table)
                .text(RULE.1, chain)
                .nest(RULE.2, &rule.0);
            batch.push(Kind::NewRule, false, &attributes);
        }
    }
}

fn ignoring_absence(result: io::Result<()>) -> io::Result<()> {
    match result {
        Err(e) if e.kind() == io::ErrorKind::NotFound => Ok(()),
        other => other,
    }
}

fn map(port: &Translation) -> &'static str {
    match (port.host_ip.is_ipv4(), port.host_ip.is_unspecified()) {
        (true, true) => "ports4",
        (true, false) => "ports4_at",
        (false, true) => "ports6",
        (false, false) => "ports6_at",
    }
}

/// A key: its parts, each filled up to four bytes.
fn key(port: &Translation) -> Vec<u8> {
    let mut key = if port.host_ip.is_unspecified() { Vec::new() } else { octets(port.host_ip) };
    key.extend([port.protocol.number(), 0, 0, 0]);
    key.extend(port.host_port.to_be_bytes());
    key.extend([0, 0]);
    key
}

fn value(port: &Translation) -> Vec<u8> {
    let mut value = octets(port.to);
    value.extend(port.to_port.to_be_bytes());
    value.extend([0, 0]);
    value
}

fn octets(address: IpAddr) -> Vec<u8> {
    match address {
        IpAddr::V4(v4) => v4.octets().to_vec(),
        IpAddr::V6(v6) => v6.octets().to_vec(),
    }
}

fn data(value: &[u8]) -> Attributes {
    Attributes::new().bytes(DATA_VALUE, value)
}

/// The expressions of one rule, built from left to right.
struct Rule(Attributes);

fn rule() -> Rule {
    Rule(Attributes::new())
}

impl Rule {
    fn expression(self, name: &str, attributes: &Attributes) -> Self {
        let expression = Attributes::new().text(EXPRESSION.0, name).nest(EXPRESSION.1, attributes);
        Rule(self.0.nest(LIST_ELEMENT, &expression))
    }

    fn meta(self, key: u32, register: u32) -> Self {
        self.expression("meta", &Attributes::new().number(1, register).number(2, key))
    }

    fn payload(self, base: u32, offset: u32, length: u32, register: u32) -> Self {
        let attributes = Attributes::new()
            .number(1, register)
            .number(2, base)
            .number(3, offset)
            .number(4, length);
        self.expression("payload", &attributes)
    }

    fn compare(self, equal: bool, value: &[u8]) -> Self {
        let attributes =
            Attributes::new().number(1, R1).number(2, u32::from(!equal)).nest(3, &data(value));
        self.expression("cmp", &attributes)
    }

    /// The device, incoming or outgoing, is, or is not, in a set.
    fn device(self, key: u32, set: &str, is_in: bool) -> Self {
        let rule = self.meta(key, R1);
        let attributes = Attributes::new().text(1, set).number(2, R1);
        let attributes = if is_in { attributes } else { attributes.number(5, 1) };
        rule.expression("lookup", &attributes)
    }

    fn family(self, family: u8) -> Self {
        self.meta(NFPROTO, R1).compare(true, &[family])
    }

    /// One of the bits of what connection tracking knows.
    fn tracked(self, key: u32, bits: u32) -> Self {
        let mask = Attributes::new()
            .number(1, R1)
            .number(2, R1)
            .number(3, 4)
            .nest(4, &data(&bits.to_ne_bytes()))
            .nest(5, &data(&[0; 4]));
        self.expression("ct", &Attributes::new().number(1, R1).number(2, key))
            .expression("bitwise", &mask)
            .compare(false, &[0; 4])
    }

    fn loopback(self, offset: u32) -> Self {
        self.family(IPV4).payload(NETWORK_HEADER, offset, 1, R1).compare(true, &[127])
    }

    /// The packet's destination is an address of this host.
    fn destined_here(self) -> Self {
        const LOCAL: u32 = 2;
        let fib = Attributes::new().number(1, R1).number(2, 3).number(3, 2);
        self.expression("fib", &fib).compare(true, &LOCAL.to_ne_bytes())
    }

    fn masquerade(self) -> Self {
        self.expression("masq", &Attributes::new())
    }

    fn verdict(self, code: u32, chain: Option<&str>) -> Self {
        let mut verdict = Attributes::new().number(1, code);
        if let Some(chain) = chain {
            verdict = verdict.text(2, chain);
        }
        let verdict = Attributes::new().nest(DATA_VERDICT, &verdict);
        self.expression("immediate", &Attributes::new().number(1, 0).nest(2, &verdict))
    }

    /// Looks protocol and port (and before them the address in the first register, of `address` bytes) up in a map, and
    /// translates to what it says.
    fn translate(self, map: &str, family: u8, address: u32) -> Self {
        let protocol = if address == 0 { R1 } else { WORD + address / 4 };
        let port = WORD + address / 4 + 1;
        let to_port = if family == IPV4 { WORD + 1 } else { R2 };
        self.meta(L4PROTO, protocol)
            .payload(TRANSPORT_HEADER, 2, 2, port)
            .expression("lookup", &Attributes::new().text(1, map).number(2, R1).number(3, R1))
            .expression(
                "nat",
                &Attributes::new()
                    .number(1, 1)
                    .number(2, u32::from(family))
                    .number(3, R1)
                    .number(5, to_port),
            )
    }
}

/// All rules, each with its chain, in order.
fn rules() -> Vec<(&'static str, Rule)> {
    let to = |rule: Rule| rule.destined_here().verdict(JUMP, Some("publish"));
    let (incoming, outgoing) = (IIFNAME, OIFNAME);
    let same = rule()
        .meta(incoming, R1)
        .meta(outgoing, R2)
        .expression("lookup", &Attributes::new().text(1, "same").number(2, R1));
    vec![
        (
            "publish",
            rule().family(IPV4).payload(NETWORK_HEADER, 16, 4, R1).translate("ports4_at", IPV4, 4),
        ),
        ("publish", rule().family(IPV4).translate("ports4", IPV4, 0)),
        (
            "publish",
            rule().family(IPV6).payload(NETWORK_HEADER, 24, 16, R1).translate(
                "ports6_at",
                IPV6,
                16,
            ),
        ),
        ("publish", rule().family(IPV6).translate("ports6", IPV6, 0)),
        ("guard", rule().device(incoming, "bridges", true).loopback(16).verdict(DROP, None)),
        ("prerouting", to(rule())),
        ("output", to(rule())),
        (
            "postrouting",
            rule()
                .device(incoming, "bridges", true)
                .device(outgoing, "bridges", false)
                .masquerade(),
        ),
        (
            "postrouting",
            rule()
                .tracked(CT_STATUS, DESTINATION_TRANSLATED)
                .device(incoming, "bridges", true)
                .device(outgoing, "bridges", true)
                .masquerade(),
        ),
        ("postrouting", rule().loopback(12).device(outgoing, "bridges", true).masquerade()),
        ("forward", rule().tracked(CT_STATE, ESTABLISHED_RELATED).verdict(ACCEPT, None)),
        ("forward", same.verdict(ACCEPT, None)),
        ("forward", rule().device(incoming, "internal", true).verdict(DROP, None)),
        ("forward", rule().device(outgoing, "internal", true).verdict(DROP, None)),
        ("forward", rule().tracked(CT_STATUS, DESTINATION_TRANSLATED).verdict(ACCEPT, None)),
        (
            "forward",
            rule()
                .device(incoming, "bridges", true)
                .device(outgoing, "bridges", true)
                .verdict(JUMP, Some("between")),
        ),
        ("forward", rule().device(incoming, "bridges", true).verdict(ACCEPT, None)),
        ("forward", rule().device(outgoing, "bridges", true).verdict(DROP, None)),
        (
            "between",
            rule()
                .device(incoming, "open", true)
                .device(outgoing, "open", true)
                .verdict(ACCEPT, None),
        ),
        ("between", rule().verdict(DROP, None)),
    ]
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn keys_are_parts_of_four_bytes() {
        let port = Translation {
            host_ip: "10.0.0.1".parse().unwrap(),
            protocol: Protocol::Udp,
            host_port: 8080,
            to: "10.84.0.2".parse().unwrap(),
            to_port: 53,
        };
        assert_eq!(key(&port), [10, 0, 0, 1, 17, 0, 0, 0, 0x1f, 0x90, 0, 0]);
        assert_eq!(value(&port), [10, 84, 0, 2, 0, 53, 0, 0]);
        assert_eq!(map(&port), "ports4_at");
        let any = Translation { host_ip: "::".parse().unwrap(), ..port };
        assert_eq!(key(&any), [17, 0, 0, 0, 0x1f, 0x90, 0, 0]);
        assert_eq!(map(&any), "ports6");
    }

    /// What the kernel makes of the table is what the words above say, as far as it can be asked: it takes it, twice,
    /// finds an element again, and lets go of all of it.
    #[test]
    fn the_kernel_takes_the_table() {
        if !rustix::process::geteuid().is_root() {
            return;
        }
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("net");
        dhow_sys::netns::create(&path, || {
            let rules = Rules::open("dhow-test").unwrap();
            assert!(!rules.exist().unwrap());
            let bridge = BridgeRules { name: "dhow0", internal: true, isolated: false };
            assert_eq!(rules.add_bridge(&bridge).unwrap_err().kind(), io::ErrorKind::NotFound);
            rules.replace(&[bridge], &[]).unwrap();
            rules.replace(&[bridge], &[]).unwrap();
            rules.add_bridge(&bridge).unwrap();
            let v4 = Translation {
                host_ip: "0.0.0.0".parse().unwrap(),
                protocol: Protocol::Tcp,
                host_port: 80,
                to: "10.84.0.2".parse().unwrap(),
                to_port: 8080,
            };
            let v6 = Translation {
                host_ip: "fd00::1".parse().unwrap(),
                to: "fd01::2".parse().unwrap(),
                ..v4
            };
            rules.add_ports(&[v4, v6]).unwrap();
            rules.add_ports(&[v4, v6]).unwrap();
            assert_eq!(rules.element(&v4).unwrap(), Some(value(&v4)));
            assert_eq!(rules.element(&v6).unwrap(), Some(value(&v6)));
            let taken_over = Translation { to: "10.84.0.3".parse().unwrap(), ..v4 };
            rules.add_ports(&[taken_over]).unwrap();
            rules.remove_ports(&[v4]).unwrap();
            assert_eq!(
                rules.element(&v4).unwrap(),
                Some(value(&taken_over)),
                "it is another's now"
            );
            rules.remove_ports(&[taken_over, v6]).unwrap();
            assert_eq!(rules.element(&v4).unwrap(), None);
            rules.remove_bridge(&bridge).unwrap();
            rules.remove_bridge(&bridge).unwrap();
            rules.remove().unwrap();
            rules.remove().unwrap();
            assert!(!rules.exist().unwrap());
        })
        .unwrap();
        dhow_sys::netns::remove(&path).unwrap();
    }
}
