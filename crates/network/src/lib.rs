//! Networks of containers: what they are, who has which address, the bridges and rules that make them work.
//!
//! Peers: sys only. It does not know images, nor how a container lives: it is handed a namespace, an id, names and options.
//! INVARIANT: what concerns one set of roots (a [`Networks`]) is found by its own files, bridge names and nftables table, so
//! that two engines on different roots never meet; nothing of anybody else's is changed. Reached by netlink: no process is
//! started.

mod attach;
mod attachment;
mod choose;
mod definition;
mod error;
mod lease;
mod link;
mod name;
mod nft;
mod port;
mod record;
mod rules;
mod store;
mod sysctl;

pub use attachment::{AttachRequest, Attachment, Endpoint, EndpointRequest};
pub use definition::{Driver, LeaseRange, Network, Subnet};
pub use error::{Error, Result};
pub use ipnet::{IpNet, Ipv4Net, Ipv6Net};
pub use name::NetworkName;
pub use port::{PortMapping, Protocol};
pub use store::{CreateNetwork, Networks, SubnetRequest};
