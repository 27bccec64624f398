//! What is kept of a container for all its life: the request as resolved at `create`.
//!
//! It is the payload of `root/containers/<id>/config.json` (state owns the header). INVARIANT: written once, never
//! changed; everything that changes lies in the record. Every field has a default, so that an older dhow's file is read.

use std::collections::BTreeMap;
use std::net::IpAddr;
use std::path::{Path, PathBuf};

use dhow_network::{NetworkName, PortMapping};
use dhow_oci::SpecRequest;
use dhow_state::{ContainerId, VolumeName};
use dhow_storage::{ChainId, Digest};
use serde::{Deserialize, Serialize};

use crate::request::{LogDriver, MacAddress, NamespaceKind, NamespaceOptions, RestartPolicy};

/// The container as resolved from the request, the image and the host at `create`.
#[derive(Debug, Clone, Default, Serialize, Deserialize)]
#[serde(default)]
pub struct ContainerConfig {
    /// The image it was made from; `None` with `--rootfs`.
    pub image: Option<ImageUsed>,
    /// Where its root file system comes from.
    pub rootfs: RootfsSource,
    /// What the runtime specification is generated from at each init.
    pub spec: SpecRequest,
    /// Named and anonymous volumes, mounted over the root file system.
    pub volumes: Vec<VolumeUse>,
    /// Host paths whose owner becomes the container's user (`U`).
    pub chowned: Vec<PathBuf>,
    /// Host directories that the container shares through an overlay of its own (`-v DIR:DEST:O`).
    pub overlays: Vec<OverlayUse>,
    /// Namespaces shared with other containers, which must run first.
    pub joins: Vec<Join>,
    /// The namespaces as asked for, for inspect.
    pub namespace_modes: NamespaceOptions,
    /// The networks it is connected to, the first with the default route; none: the namespace is what it is.
    pub networks: Vec<NetworkUse>,
    /// Published ports; the host's is 0 where it is chosen at each start.
    pub ports: Vec<PortMapping>,
    /// Labels of the image and of `--label`, the latter winning.
    pub labels: BTreeMap<String, String>,
    /// The entry point, as far as inspect and commit show it apart from the command.
    pub entrypoint: Vec<String>,
    /// The command, as shown by ps; entry point and command together are the process's arguments.
    pub command: Vec<String>,
    /// The name or names given to `create`, word for word, for inspect.
    pub create_command: Vec<String>,
    /// Where the output goes.
    pub log: LogConfig,
    /// `--restart`.
    pub restart: RestartPolicy,
    /// The signal of `stop`.
    pub stop_signal: i32,
    /// Seconds between the stop signal and SIGKILL.
    pub stop_timeout: u32,
    /// Seconds after which the monitor kills the container; 0: never.
    pub timeout: u32,
    /// Stdin stays open (`-i`).
    pub stdin: bool,
    /// Bytes of /dev/shm; `None` where it is the host's or another container's.
    pub shm_size: Option<u64>,
    /// What becomes /etc/hosts, /etc/resolv.conf and /etc/hostname.
    pub network_files: NetworkFiles,
    /// Overrides the engine's runtime (`--runtime` at create).
    pub runtime: Option<String>,
    /// Where the pid of the container's process is written for others (`--pidfile`).
    pub pidfile: Option<PathBuf>,
    /// Where the monitor's pid is written for others (`--conmon-pidfile`).
    pub monitor_pidfile: Option<PathBuf>,
    /// The file that holds the id, removed with the container.
    pub cidfile: Option<PathBuf>,
    /// The mounts as the user asked for them, for inspect.
    pub mounts_shown: Vec<MountShown>,
}

/// An image, as it was when the container was made of it.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct ImageUsed {
    /// Its id: the digest of its configuration, in hex.
    pub id: String,
    /// The digest of its manifest.
    pub digest: Digest,
    /// The name by which it was found, in full form, or its id.
    pub name: String,
    /// The name as the user typed it.
    pub asked: String,
}

/// Where the root file system comes from.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum RootfsSource {
    /// An overlay above the layers of an image, lowest first.
    Layers(Vec<ChainId>),
    /// A directory, written to directly (`--rootfs DIR`).
    Directory(PathBuf),
    /// A throwaway overlay above a directory (`--rootfs DIR:O`).
    OverlayOf(PathBuf),
}

impl Default for RootfsSource {
    fn default() -> Self {
        RootfsSource::Layers(Vec::new())
    }
}

/// A volume and where it is mounted.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct VolumeUse {
    /// The volume; made when it does not exist.
    pub name: VolumeName,
    /// Where in the container.
    pub destination: String,
    /// Mount options, as for a bind mount.
    pub options: Vec<String>,
    /// It belongs to this container and goes with it (`rm -v`, `--rm`).
    pub anonymous: bool,
    /// An empty volume is filled from the image's directory first.
    pub copy_up: bool,
    /// Its owner becomes the container's user (`U`).
    pub chown: bool,
}

/// A host directory under an overlay of the container's own.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct OverlayUse {
    /// The directory below.
    pub source: PathBuf,
    /// Where in the container.
    pub destination: String,
    /// Kept between starts in these directories, where given (`upperdir`, `workdir`).
    pub upper: Option<(PathBuf, PathBuf)>,
    /// Mount options, as for a bind mount.
    pub options: Vec<String>,
}

/// A namespace of another container.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct Join {
    /// Which kind.
    pub kind: NamespaceKind,
    /// Whose.
    pub container: ContainerId,
}

/// A network and the container's place in it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct NetworkUse {
    /// The network.
    pub network: NetworkName,
    /// Its IPv4 address; `None`: one that is free.
    #[serde(default)]
    pub ipv4: Option<IpAddr>,
    /// Its IPv6 address; `None`: one that is free.
    #[serde(default)]
    pub ipv6: Option<IpAddr>,
    /// Its hardware address; `None`: made from the IPv4 address.
    #[serde(default)]
    pub mac: Option<MacAddress>,
    /// The device's name inside; `None`: eth0, eth1, ….
    #[serde(default)]
    pub interface: Option<String>,
    /// Further names.
    #[serde(default)]
    pub aliases: Vec<String>,
}

/// Where the output of a container goes.
#[derive(Debug, Clone, Default, Serialize, Deserialize)]
#[serde(default)]
pub struct LogConfig {
    /// The driver.
    pub driver: LogDriver,
    /// The file, for the drivers that write one.
    pub path: Option<PathBuf>,
    /// Bytes a file may have before it is rotated.
    pub max_size: Option<u64>,
    /// How many rotated files are kept.
    pub max_files: Option<u32>,
}

impl LogConfig {
    /// The file that has every byte of the output as it was written, if there is one.
    #[must_use]
    pub fn whole(&self) -> Option<&Path> {
        let is_whole = self.driver == LogDriver::K8sFile && self.max_size.is_none();
        self.path.as_deref().filter(|_| is_whole)
    }
}

/// What becomes /etc/hosts, /etc/resolv.conf and /etc/hostname.
#[derive(Debug, Clone, Default, Serialize, Deserialize)]
#[serde(default)]
pub struct NetworkFiles {
    /// `--add-host`: name and address.
    pub add_hosts: Vec<(String, IpAddr)>,
    /// `--add-host NAME:host-gateway`: the bridge's address.
    pub gateway_hosts: Vec<String>,
    /// `--no-hosts`.
    pub no_hosts: bool,
    /// `--dns`.
    pub dns_servers: Vec<String>,
    /// `--dns-search`.
    pub dns_search: Vec<String>,
    /// `--dns-option`.
    pub dns_options: Vec<String>,
}

/// A mount as inspect shows it.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct MountShown {
    /// `bind`, `volume` or `tmpfs`.
    pub kind: String,
    /// The volume's name.
    pub name: Option<String>,
    /// The path on the host.
    pub source: String,
    /// The path in the container.
    pub destination: String,
    /// The options, without ro and rw.
    pub options: Vec<String>,
    /// It can be written to.
    pub rw: bool,
    /// Propagation.
    pub propagation: String,
}
