//! The networks of one pair of roots: made, found, listed, removed.
//!
//! One lock, `run/networks/lock`: exclusive while a network is made or removed or the whole table is written, shared while
//! a container reserves its part. It is held for file operations and requests to the kernel, never while waiting for a
//! process.

use std::collections::BTreeMap;
use std::io;
use std::net::IpAddr;
use std::path::{Path, PathBuf};
use std::time::Duration;

use dhow_sys::fs::{Durability, TEMPORARY_PREFIX};
use dhow_sys::lock::{FileLock, LockMode};
use ipnet::IpNet;
use serde::{Deserialize, Serialize};

use crate::choose;
use crate::definition::{Driver, LeaseRange, Network, Subnet, number};
use crate::error::{Error, Result};
use crate::lease::Leases;
use crate::link::Links;
use crate::name::NetworkName;
use crate::record;
use crate::rules::{BridgeRules, Rules};

/// The network of a container that asks for none.
const DEFAULT: &str = "bridge";
/// Names that mean something else where a network is asked for.
const RESERVED: &[&str] =
    &["none", "host", "private", "container", "ns", "default", "slirp4netns", "pasta"];
const LOCK_TIMEOUT: Duration = Duration::from_secs(60);
/// Options of `--opt` and what they take.
const MTU: std::ops::RangeInclusive<u32> = 68..=65535;

/// All networks of a pair of roots. Opens nothing until it is asked.
#[derive(Debug, Clone)]
pub struct Networks {
    /// `root/networks`.
    root: PathBuf,
    /// `run/networks`.
    run: PathBuf,
    /// Begins the names of bridges, `dhow` or `dhow-1a2b3-`.
    prefix: String,
    /// The nftables table.
    pub(crate) table: String,
}

/// A network to be made.
#[derive(Debug, Clone, Default, Serialize, Deserialize)]
#[serde(default)]
pub struct CreateNetwork {
    /// Its name; none: `dhow1`, `dhow2`, ….
    pub name: Option<NetworkName>,
    /// How it connects.
    pub driver: Driver,
    /// Its subnets; none: one is chosen.
    pub subnets: Vec<SubnetRequest>,
    /// It has an IPv6 subnet, a chosen one where none is given.
    pub ipv6: bool,
    /// Nothing outside is reached.
    pub internal: bool,
    /// Its containers do not find each other by name.
    pub disable_dns: bool,
    /// Name servers for other names.
    pub dns_servers: Vec<IpAddr>,
    /// The bridge's name; none: chosen.
    pub interface: Option<String>,
    /// Labels.
    pub labels: BTreeMap<String, String>,
    /// `mtu`, `isolate`.
    pub options: BTreeMap<String, String>,
}

/// One subnet of a network to be made.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct SubnetRequest {
    /// The range.
    pub subnet: IpNet,
    /// The bridge's address.
    pub gateway: Option<IpAddr>,
    /// Where containers get theirs from.
    pub range: Option<LeaseRange>,
}

impl Networks {
    /// The networks below `root` and their state below `run`. `tag` keeps those of other roots apart, in the names of
    /// bridges and of the table: empty, or some letters and digits.
    #[must_use]
    pub fn new(root: PathBuf, run: PathBuf, tag: &str) -> Networks {
        let (prefix, table) = match tag {
            "" => ("dhow".to_owned(), "dhow".to_owned()),
            tag => (format!("dhow-{tag}-"), format!("dhow-{tag}")),
        };
        Networks { root, run, prefix, table }
    }

    /// The name of the default network.
    #[must_use]
    pub fn default_name() -> &'static str {
        DEFAULT
    }

    /// All networks by name; the second half are those that cannot be read.
    ///
    /// # Errors
    /// The directory cannot be read.
    pub fn list(&self) -> Result<(Vec<Network>, Vec<Error>)> {
        let entries = match std::fs::read_dir(&self.root) {
            Ok(entries) => entries,
            Err(e) if e.kind() == io::ErrorKind::NotFound => return Ok((Vec::new(), Vec::new())),
            Err(e) => return Err(Error::io("read", &self.root)(e)),
        };
        let (mut networks, mut damaged) = (Vec::new(), Vec::new());
        for entry in entries.flatten() {
            let file = entry.file_name();
            let Some(name) = file.to_str().and_then(|name| name.strip_suffix(".json")) else {
                continue;
            };
            if name.starts_with(TEMPORARY_PREFIX) {
                continue;
            }
            match record::read(&entry.path(), Network::VERSION) {
                Ok(network) => networks.extend(network),
                Err(e) => damaged.push(e),
            }
        }
        networks.sort_by(|a: &Network, b| a.name.cmp(&b.name));
        Ok((networks, damaged))
    }

    /// The network with that name, id, or unique beginning of an id. The default one is made if it is asked for by name.
    ///
    /// # Errors
    /// [`Error::NotFound`], [`Error::Ambiguous`]; its record is damaged.
    pub fn find(&self, text: &str) -> Result<Network> {
        if text == DEFAULT {
            return self.default_network();
        }
        if let Ok(name) = text.parse::<NetworkName>()
            && let Some(network) = record::read(&self.path(&name), Network::VERSION)?
        {
            return Ok(network);
        }
        let missing = || Error::NotFound(text.to_owned());
        if text.is_empty() || !text.bytes().all(|b| b.is_ascii_hexdigit()) {
            return Err(missing());
        }
        let (networks, _) = self.list()?;
        let mut found: Vec<Network> =
            networks.into_iter().filter(|network| network.id.starts_with(text)).collect();
        match found.len() {
            0 => Err(missing()),
            1 => Ok(found.remove(0)),
            _ => Err(Error::Ambiguous {
                prefix: text.to_owned(),
                candidates: found.iter().map(|n| n.name.to_string()).collect::<Vec<_>>().join(", "),
            }),
        }
    }

    /// The default network, made when it is first asked for.
    ///
    /// # Errors
    /// It cannot be made or read.
    pub fn default_network(&self) -> Result<Network> {
        let name: NetworkName = DEFAULT.parse()?;
        let read = || record::read(&self.path(&name), Network::VERSION);
        if let Some(network) = read()? {
            return Ok(network);
        }
        let lock = self.lock(LockMode::Exclusive)?;
        if let Some(network) = read()? {
            return Ok(network);
        }
        let surroundings = self.surroundings()?;
        let subnet = choose::default_subnet(&surroundings.taken)?;
        let network = self.build(
            name,
            vec![Subnet::plan(subnet, None, None)?],
            &CreateNetwork { disable_dns: true, ..CreateNetwork::default() },
            &surroundings,
        )?;
        self.commit(&network)?;
        drop(lock);
        Ok(network)
    }

    /// Makes a network: its record. Its bridge is made for its first container.
    ///
    /// # Errors
    /// [`Error::NameInUse`], [`Error::Invalid`].
    pub fn create(&self, request: &CreateNetwork) -> Result<Network> {
        check_options(&request.options)?;
        if let Some(name) = &request.name
            && RESERVED.contains(&name.as_str())
        {
            return Err(Error::Invalid(format!(
                "the network name {name} is reserved: choose another"
            )));
        }
        let lock = self.lock(LockMode::Exclusive)?;
        let surroundings = self.surroundings()?;
        let name = match &request.name {
            Some(name) if name.as_str() == DEFAULT || self.path(name).exists() => {
                return Err(Error::NameInUse(name.to_string()));
            }
            Some(name) => name.clone(),
            None => self.free_name()?,
        };
        let subnets = plan_subnets(request, &surroundings.taken)?;
        let network = self.build(name, subnets, request, &surroundings)?;
        self.commit(&network)?;
        drop(lock);
        Ok(network)
    }

    /// Removes a network, its bridge, and what is said of it in the table.
    ///
    /// # Errors
    /// [`Error::InUse`] while a container is connected; the default network cannot be removed.
    pub fn remove(&self, network: &Network) -> Result<()> {
        if network.name.as_str() == DEFAULT {
            return Err(Error::Invalid(format!("the default network {DEFAULT} cannot be removed")));
        }
        let lock = self.lock(LockMode::Exclusive)?;
        let users = self.connected(&network.name)?;
        if !users.is_empty() {
            return Err(Error::InUse { network: network.name.to_string(), by: users.join(", ") });
        }
        self.take_down(network)?;
        let leases = self.leases_dir(&network.name);
        dhow_sys::fs::remove_tree(&leases).map_err(Error::io("remove", &leases))?;
        // ORDER: the record last: until then the command can be repeated.
        let path = self.path(&network.name);
        record::remove(&path)?;
        dhow_sys::fs::sync_dir(&self.root).map_err(Error::io("sync", &self.root))?;
        drop(lock);
        Ok(())
    }

    /// Takes the bridge of a network down, which no container is connected to, and the table with the last one.
    fn take_down(&self, network: &Network) -> Result<()> {
        let bridge = &network.interface;
        let mut links = Links::open().map_err(Error::kernel("open a netlink socket"))?;
        links.delete(bridge).map_err(Error::kernel(format!("remove the bridge {bridge}")))?;
        let rules = self.rules()?;
        rules
            .remove_bridge(&bridge_rules(network))
            .map_err(Error::kernel(format!("remove the rules of the bridge {bridge}")))
    }

    /// Takes down the bridges of all networks without a connected container, and the table where none is left. They come
    /// again with the next container.
    ///
    /// # Errors
    /// What the kernel says.
    pub fn take_down_unused(&self) -> Result<()> {
        let lock = self.lock(LockMode::Exclusive)?;
        let mut used = false;
        for network in self.list()?.0 {
            if self.connected(&network.name)?.is_empty() {
                self.take_down(&network)?;
            } else {
                used = true;
            }
        }
        if !used {
            self.rules()?
                .remove()
                .map_err(Error::kernel(format!("remove the nftables table {}", self.table)))?;
        }
        drop(lock);
        Ok(())
    }

    fn build(
        &self,
        name: NetworkName,
        subnets: Vec<Subnet>,
        request: &CreateNetwork,
        surroundings: &Surroundings,
    ) -> Result<Network> {
        let interface = match &request.interface {
            Some(interface) => {
                check_interface(interface)?;
                if surroundings.interfaces.contains(interface) {
                    return Err(Error::Invalid(format!(
                        "the interface name {interface} is in use"
                    )));
                }
                interface.clone()
            }
            None => (usize::from(name.as_str() != DEFAULT)..)
                .map(|n| format!("{}{n}", self.prefix))
                .find(|name| !surroundings.interfaces.contains(name))
                .unwrap_or_default(),
        };
        let mut random = [0; 32];
        dhow_sys::random::fill(&mut random).map_err(Error::kernel("get random bytes"))?;
        Ok(Network {
            version: Network::VERSION,
            name,
            id: random.iter().map(|byte| format!("{byte:02x}")).collect(),
            driver: request.driver,
            interface,
            created: now(),
            subnets,
            internal: request.internal,
            dns: !request.disable_dns,
            dns_servers: request.dns_servers.clone(),
            labels: request.labels.clone(),
            options: request.options.clone(),
        })
    }

    fn commit(&self, network: &Network) -> Result<()> {
        dhow_sys::fs::create_dir_all(&self.root, 0o700).map_err(Error::io("create", &self.root))?;
        record::write(&self.path(&network.name), network, Durability::Durable)
    }

    /// What a new network must keep clear of.
    fn surroundings(&self) -> Result<Surroundings> {
        let mut links = Links::open().map_err(Error::kernel("open a netlink socket"))?;
        let mut taken = links.taken().map_err(Error::kernel("list the routes"))?;
        let mut interfaces = links.names().map_err(Error::kernel("list the devices"))?;
        for network in self.list()?.0 {
            taken.extend(network.subnets.iter().map(|subnet| subnet.subnet));
            interfaces.push(network.interface);
        }
        Ok(Surroundings { taken, interfaces })
    }

    fn free_name(&self) -> Result<NetworkName> {
        (1..)
            .map(|n| format!("dhow{n}"))
            .find(|name| !self.root.join(format!("{name}.json")).exists())
            .unwrap_or_default()
            .parse()
    }

    fn path(&self, name: &NetworkName) -> PathBuf {
        self.root.join(format!("{name}.json"))
    }

    pub(crate) fn leases(&self, name: &NetworkName) -> Leases {
        Leases::of(&self.leases_dir(name))
    }

    fn leases_dir(&self, name: &NetworkName) -> PathBuf {
        self.run.join("leases").join(name.as_str())
    }

    pub(crate) fn attached_dir(&self) -> PathBuf {
        self.run.join("attached")
    }

    pub(crate) fn rules(&self) -> Result<Rules<'_>> {
        Rules::open(&self.table).map_err(Error::kernel("open a netfilter socket"))
    }

    pub(crate) fn lock(&self, mode: LockMode) -> Result<FileLock> {
        dhow_sys::fs::create_dir_all(&self.run, 0o700).map_err(Error::io("create", &self.run))?;
        let path = self.run.join("lock");
        FileLock::acquire(&path, mode, Some(LOCK_TIMEOUT))
            .map_err(|source| Error::Lock { path, source })
    }
}

/// Subnets and devices that are there.
struct Surroundings {
    taken: Vec<IpNet>,
    interfaces: Vec<String>,
}

/// The rules of a network's bridge.
pub(crate) fn bridge_rules(network: &Network) -> BridgeRules<'_> {
    BridgeRules {
        name: &network.interface,
        internal: network.internal,
        isolated: network.isolated(),
    }
}

/// The subnets of a network as asked for, or chosen.
fn plan_subnets(request: &CreateNetwork, taken: &[IpNet]) -> Result<Vec<Subnet>> {
    let mut subnets: Vec<Subnet> = Vec::new();
    for asked in &request.subnets {
        let subnet = Subnet::plan(asked.subnet, asked.gateway, asked.range.clone())?;
        let own: Vec<IpNet> = subnets.iter().map(|subnet| subnet.subnet).collect();
        if let Some(other) = choose::overlapped(subnet.subnet, taken)
            .or_else(|| choose::overlapped(subnet.subnet, &own))
        {
            return Err(Error::Invalid(format!(
                "the subnet {} overlaps {other}, which is in use on this machine or by another network",
                subnet.subnet
            )));
        }
        subnets.push(subnet);
    }
    let has =
        |v4: bool, subnets: &[Subnet]| subnets.iter().any(|s| s.subnet.addr().is_ipv4() == v4);
    if !has(true, &subnets) && (subnets.is_empty() || request.ipv6) {
        subnets.push(Subnet::plan(choose::subnet4(taken)?, None, None)?);
    }
    if request.ipv6 && !has(false, &subnets) {
        subnets.push(Subnet::plan(choose::subnet6(taken)?, None, None)?);
    }
    for v4 in [true, false] {
        if subnets.iter().filter(|s| s.subnet.addr().is_ipv4() == v4).count() > 1 {
            return Err(Error::Invalid(format!(
                "a network has at most one IPv{} subnet",
                if v4 { 4 } else { 6 }
            )));
        }
    }
    Ok(subnets)
}

fn check_options(options: &BTreeMap<String, String>) -> Result<()> {
    for (key, value) in options {
        let good = match key.as_str() {
            "mtu" => value.parse().is_ok_and(|mtu| MTU.contains(&mtu)),
            "isolate" => matches!(value.as_str(), "true" | "false"),
            _ => {
                return Err(Error::Invalid(format!(
                    "the network option {key:?} is not supported: expected mtu or isolate"
                )));
            }
        };
        if !good {
            return Err(Error::Invalid(format!("the network option {key}={value} is not valid")));
        }
    }
    Ok(())
}

/// The rules of the kernel for names of devices.
pub(crate) fn check_interface(name: &str) -> Result<()> {
    let good = !name.is_empty()
        && name.len() < 16
        && name != "."
        && name != ".."
        && name.bytes().all(|b| b.is_ascii_graphic() && b != b'/' && b != b':');
    if good {
        return Ok(());
    }
    Err(Error::Invalid(format!(
        "invalid interface name {name:?}: expected at most 15 characters without /, : and spaces"
    )))
}

fn now() -> i64 {
    let since =
        std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH).unwrap_or_default();
    i64::try_from(since.as_nanos()).unwrap_or(i64::MAX)
}

impl LeaseRange {
    /// The addresses of a CIDR range (`--ip-range`).
    #[must_use]
    pub fn of(net: IpNet) -> LeaseRange {
        LeaseRange { start_ip: net.network(), end_ip: net.broadcast() }
    }

    /// How many there are.
    #[must_use]
    pub fn size(&self) -> u128 {
        number(self.end_ip).saturating_sub(number(self.start_ip)).saturating_add(1)
    }
}

/// Whether a file is one of a record, by its name.
pub(crate) fn record_id(path: &Path) -> Option<&str> {
    path.file_name()?.to_str()?.strip_suffix(".json").filter(|name| !name.starts_with('.'))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn networks(dir: &Path) -> Networks {
        Networks::new(dir.join("root"), dir.join("run"), "test1")
    }

    #[test]
    fn a_network_is_made_found_and_listed() {
        let dir = tempfile::tempdir().unwrap();
        let networks = networks(dir.path());
        let request = CreateNetwork {
            name: Some("web".parse().unwrap()),
            ipv6: true,
            ..CreateNetwork::default()
        };
        let made = networks.create(&request).unwrap();
        assert_eq!(made.subnets.len(), 2);
        assert_eq!(networks.find("web").unwrap(), made);
        assert_eq!(networks.find(&made.id[..8]).unwrap(), made);
        assert!(matches!(networks.create(&request), Err(Error::NameInUse(_))));
        let default = networks.default_network().unwrap();
        assert_eq!(default.interface, "dhow-test1-0");
        assert_eq!(made.interface, "dhow-test1-1");
        let unnamed = networks.create(&CreateNetwork::default()).unwrap();
        assert_eq!(unnamed.name.as_str(), "dhow1");
        assert_ne!(unnamed.subnets[0].subnet, made.subnets[0].subnet);
        let (all, damaged) = networks.list().unwrap();
        assert_eq!(all.len(), 3);
        assert!(damaged.is_empty());
        assert!(matches!(networks.find("nope"), Err(Error::NotFound(_))));
    }

    #[test]
    fn what_cannot_be_is_refused() {
        let dir = tempfile::tempdir().unwrap();
        let networks = networks(dir.path());
        let with = |subnets: &[&str]| CreateNetwork {
            subnets: subnets
                .iter()
                .map(|s| SubnetRequest { subnet: s.parse().unwrap(), gateway: None, range: None })
                .collect(),
            ..CreateNetwork::default()
        };
        networks.create(&with(&["10.99.1.0/24"])).unwrap();
        for (bad, why) in [
            (with(&["10.99.1.128/25"]), "overlaps 10.99.1.0/24"),
            (with(&["10.99.0.0/16"]), "overlaps 10.99.1.0/24"),
            (with(&["10.98.0.0/24", "10.98.1.0/24"]), "at most one IPv4 subnet"),
            (CreateNetwork { name: Some("host".parse().unwrap()), ..with(&[]) }, "reserved"),
            (
                CreateNetwork { options: [("mtu".into(), "9".into())].into(), ..with(&[]) },
                "not valid",
            ),
            (
                CreateNetwork { options: [("x".into(), "9".into())].into(), ..with(&[]) },
                "not supported",
            ),
            (CreateNetwork { interface: Some("a/b".into()), ..with(&[]) }, "invalid interface"),
            (CreateNetwork { interface: Some("lo".into()), ..with(&[]) }, "in use"),
        ] {
            let text = networks.create(&bad).unwrap_err().to_string();
            assert!(text.contains(why), "{text}");
        }
    }
}
