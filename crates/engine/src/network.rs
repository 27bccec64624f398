//! `network create`, `ls`, `inspect`, `rm`, `prune`, `exists`, `reload`; and which containers use a network.

use dhow_network::{CreateNetwork, Network, NetworkName, Networks};
use dhow_state::ContainerId;

use crate::engine::Engine;
use crate::error::{Error, Object, Result};
use crate::report::{
    LeaseRangeShown, MemberInterface, MemberSubnet, NetworkInspect, NetworkMember, NetworksReport,
    SubnetShown, Time,
};
use crate::request::{ContainerFilter, NetworkFilter, RemoveRequest, Timeout};

/// The root whose bridges and table have the plain names; those of others have a mark of their root in them.
const USUAL_ROOT: &str = "/var/lib/dhow";
/// How many hexadecimal digits of the root's digest that mark has: a device's name has 15 characters.
const MARK: usize = 5;

impl Engine {
    /// The networks of these roots.
    pub(crate) fn networks(&self) -> &Networks {
        self.networks.get_or_init(|| {
            let layout = self.layout();
            let mark = match layout.root.to_str() {
                Some(USUAL_ROOT) => String::new(),
                _ => {
                    let path = std::os::unix::ffi::OsStrExt::as_bytes(layout.root.as_os_str());
                    dhow_storage::Digest::of(path).hex()[..MARK].to_owned()
                }
            };
            Networks::new(layout.networks(), layout.run_networks(), &mark)
        })
    }

    /// Makes a network; what it has become.
    ///
    /// # Errors
    /// The name is taken; a value cannot be honoured.
    pub fn network_create(&self, request: &CreateNetwork) -> Result<NetworkInspect> {
        let made = self.networks().create(request).map_err(network_error)?;
        self.show_network(&made)
    }

    /// Whether there is such a network.
    ///
    /// # Errors
    /// Its record is damaged.
    pub fn network_exists(&self, name: &str) -> Result<bool> {
        match self.networks().find(name) {
            Ok(_) => Ok(true),
            Err(dhow_network::Error::NotFound(_)) => Ok(false),
            Err(e) => Err(network_error(e)),
        }
    }

    /// Everything known of a network.
    ///
    /// # Errors
    /// [`Error::NoSuch`]; its record is damaged.
    pub fn network_inspect(&self, name: &str) -> Result<NetworkInspect> {
        self.show_network(&self.networks().find(name).map_err(network_error)?)
    }

    /// The networks for which all filters hold, by name.
    ///
    /// # Errors
    /// The directory cannot be read.
    pub fn network_list(&self, filters: &[NetworkFilter]) -> Result<NetworksReport> {
        let networks = self.networks();
        networks.default_network().map_err(network_error)?;
        let (found, damaged) = networks.list().map_err(network_error)?;
        let mut report = NetworksReport {
            errors: damaged.into_iter().map(network_error).collect(),
            ..NetworksReport::default()
        };
        for network in found {
            if self.matches(&network, filters)? {
                report.networks.push(self.show_network(&network)?);
            }
        }
        Ok(report)
    }

    /// Removes a network; with `force`, the containers that use it first.
    ///
    /// # Errors
    /// [`Error::NoSuch`]; [`Error::InUse`] while a container uses it; it is the default one.
    pub fn network_remove(&self, name: &str, force: bool, timeout: Option<Timeout>) -> Result<()> {
        let networks = self.networks();
        let network = networks.find(name).map_err(network_error)?;
        let users = self.users_of(&network.name)?;
        if !users.is_empty() && network.name.as_str() != Networks::default_name() {
            if !force {
                let by: Vec<_> = users.iter().map(ContainerId::short).collect();
                return Err(Error::InUse {
                    object: Object::Network,
                    name: network.name.to_string(),
                    by: by.join(", "),
                });
            }
            for user in users {
                let request = RemoveRequest {
                    container: user.to_string(),
                    force: true,
                    timeout,
                    ..RemoveRequest::default()
                };
                match self.remove(&request) {
                    Ok(()) | Err(Error::NoSuch { object: Object::Container, .. }) => {}
                    Err(e) => return Err(e),
                }
            }
        }
        networks.remove(&network).map_err(network_error)
    }

    /// Removes all networks that no container uses, but the default one, and takes bridges down that nobody is connected
    /// to; the names of what was removed, and what could not be.
    ///
    /// # Errors
    /// The networks or containers cannot be listed.
    pub fn network_prune(&self, filters: &[NetworkFilter]) -> Result<(Vec<String>, Vec<Error>)> {
        let networks = self.networks();
        let (found, _) = networks.list().map_err(network_error)?;
        let (mut removed, mut failed) = (Vec::new(), Vec::new());
        for network in found {
            if network.name.as_str() == Networks::default_name()
                || !self.users_of(&network.name)?.is_empty()
                || !self.matches(&network, filters)?
            {
                continue;
            }
            match networks.remove(&network) {
                Ok(()) => removed.push(network.name.to_string()),
                Err(e) => failed.push(network_error(e)),
            }
        }
        networks.take_down_unused().map_err(network_error)?;
        Ok((removed, failed))
    }

    /// Writes the rules of everything that is connected anew.
    ///
    /// # Errors
    /// What the kernel says.
    pub fn network_reload(&self) -> Result<()> {
        self.networks().reload().map_err(network_error)
    }

    /// The containers that use a network, whatever they do now. One that cannot be read uses nothing that could be known.
    pub(crate) fn users_of(&self, network: &NetworkName) -> Result<Vec<ContainerId>> {
        let mut users = Vec::new();
        for id in self.store.ids().map_err(Error::State)? {
            let Ok(config) = self.snapshot(&id).and_then(|snapshot| self.config_of(&snapshot))
            else {
                continue;
            };
            if config.networks.iter().any(|of| of.network == *network) {
                users.push(id);
            }
        }
        Ok(users)
    }

    fn matches(&self, network: &Network, filters: &[NetworkFilter]) -> Result<bool> {
        for filter in filters {
            let holds = match filter {
                NetworkFilter::Name(name) => {
                    ContainerFilter::name_matches(name, network.name.as_str())
                }
                NetworkFilter::Id(id) => network.id.starts_with(id.as_str()),
                NetworkFilter::Driver(driver) => network.driver.to_string() == *driver,
                NetworkFilter::Label(label) => label.matches(&network.labels),
                NetworkFilter::Dangling(wanted) => {
                    self.users_of(&network.name)?.is_empty() == *wanted
                }
                NetworkFilter::Until(moment) => network.created < moment.resolve(dhow_state::now()),
            };
            if !holds {
                return Ok(false);
            }
        }
        Ok(true)
    }

    fn show_network(&self, network: &Network) -> Result<NetworkInspect> {
        let members = self.networks().members(&network.name).map_err(network_error)?;
        Ok(NetworkInspect {
            name: network.name.to_string(),
            id: network.id.clone(),
            driver: network.driver.to_string(),
            network_interface: network.interface.clone(),
            created: Time::from_unix_nanos(network.created),
            subnets: network
                .subnets
                .iter()
                .map(|subnet| SubnetShown {
                    subnet: subnet.subnet.to_string(),
                    gateway: subnet.gateway.to_string(),
                    lease_range: subnet.lease_range.as_ref().map(|range| LeaseRangeShown {
                        start_ip: range.start_ip.to_string(),
                        end_ip: range.end_ip.to_string(),
                    }),
                })
                .collect(),
            ipv6_enabled: network.has_ipv6(),
            internal: network.internal,
            dns_enabled: network.dns,
            network_dns_servers: network.dns_servers.clone(),
            labels: network.labels.clone(),
            options: network.options.clone(),
            ipam_options: [("driver".to_owned(), "host-local".to_owned())].into(),
            containers: members
                .into_iter()
                .map(|(attachment, endpoint)| {
                    let pairs =
                        [(endpoint.ipv4, endpoint.gateway4), (endpoint.ipv6, endpoint.gateway6)];
                    let subnets = pairs
                        .into_iter()
                        .filter_map(|(net, gateway)| {
                            Some(MemberSubnet {
                                ipnet: net?.to_string(),
                                gateway: gateway.map(|g| g.to_string()).unwrap_or_default(),
                            })
                        })
                        .collect();
                    let interface = MemberInterface { subnets, mac_address: endpoint.mac_text() };
                    let member = NetworkMember {
                        name: attachment.name,
                        interfaces: [(endpoint.interface, interface)].into(),
                    };
                    (attachment.id, member)
                })
                .collect(),
        })
    }
}

/// An error of networks, in the words of the engine where it has its own.
pub(crate) fn network_error(e: dhow_network::Error) -> Error {
    use dhow_network::Error as Of;
    match e {
        Of::NotFound(name) => Error::NoSuch { object: Object::Network, name },
        Of::Ambiguous { prefix, candidates } => {
            Error::Ambiguous { object: Object::Network, name: prefix, candidates }
        }
        Of::InUse { network, by } => Error::InUse { object: Object::Network, name: network, by },
        Of::Invalid(why) => Error::Invalid(why),
        other => Error::Network(other),
    }
}
