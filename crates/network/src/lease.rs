//! Who has which address: a symbolic link an address, whose text is the id of its owner.
//!
//! INVARIANT: a link is made exclusively, so no address is given twice, and no lock is needed to find one. They lie under
//! `run`: no address outlives a boot. CRASH: the record of the owner (record.rs) names the network before anything is
//! leased in it, so what a killed command has leased is found again.

use std::collections::BTreeSet;
use std::io;
use std::net::IpAddr;
use std::path::{Path, PathBuf};

use crate::definition::{Network, Subnet};
use crate::error::{Error, Result};

/// The leases of one network.
pub(crate) struct Leases {
    dir: PathBuf,
}

impl Leases {
    pub(crate) fn of(dir: &Path) -> Leases {
        Leases { dir: dir.to_path_buf() }
    }

    /// Leases an address of a subnet: the one asked for, else the lowest that is free.
    pub(crate) fn take(
        &self,
        network: &Network,
        subnet: &Subnet,
        asked: Option<IpAddr>,
        owner: &str,
    ) -> Result<IpAddr> {
        dhow_sys::fs::create_dir_all(&self.dir, 0o700).map_err(Error::io("create", &self.dir))?;
        if let Some(address) = asked {
            if !subnet.takes(address) {
                return Err(Error::Invalid(format!(
                    "the address {address} is not one for a container in the subnet {} of network {}",
                    subnet.subnet, network.name
                )));
            }
            return match self.try_take(address, owner)? {
                true => Ok(address),
                false => Err(Error::AddressInUse {
                    address,
                    network: network.name.to_string(),
                    by: self.owner(address).unwrap_or_else(|| "another".into()),
                }),
            };
        }
        let taken: BTreeSet<IpAddr> = self.all()?.into_iter().map(|(address, _)| address).collect();
        for address in subnet.hosts().filter(|address| !taken.contains(address)) {
            if self.try_take(address, owner)? {
                return Ok(address);
            }
        }
        let (first, last) = subnet.host_range();
        Err(Error::Exhausted {
            network: network.name.to_string(),
            range: format!("{first}-{last}"),
        })
    }

    /// Gives an address back, if it is the owner's.
    pub(crate) fn give_back(&self, address: IpAddr, owner: &str) -> Result<()> {
        if self.owner(address).as_deref() != Some(owner) {
            return Ok(());
        }
        let path = self.path(address);
        match std::fs::remove_file(&path) {
            Err(e) if e.kind() != io::ErrorKind::NotFound => Err(Error::io("remove", path)(e)),
            _ => Ok(()),
        }
    }

    /// Gives back whatever the owner has.
    pub(crate) fn give_back_all(&self, owner: &str) -> Result<()> {
        for (address, of) in self.all()? {
            if of == owner {
                self.give_back(address, owner)?;
            }
        }
        Ok(())
    }

    fn try_take(&self, address: IpAddr, owner: &str) -> Result<bool> {
        let path = self.path(address);
        match std::os::unix::fs::symlink(owner, &path) {
            Ok(()) => Ok(true),
            // Its own: init is repeated after a crash.
            Err(e) if e.kind() == io::ErrorKind::AlreadyExists => {
                Ok(self.owner(address).as_deref() == Some(owner))
            }
            Err(e) => Err(Error::io("create", path)(e)),
        }
    }

    fn owner(&self, address: IpAddr) -> Option<String> {
        std::fs::read_link(self.path(address)).ok()?.into_os_string().into_string().ok()
    }

    fn all(&self) -> Result<Vec<(IpAddr, String)>> {
        let entries = match std::fs::read_dir(&self.dir) {
            Ok(entries) => entries,
            Err(e) if e.kind() == io::ErrorKind::NotFound => return Ok(Vec::new()),
            Err(e) => return Err(Error::io("read", &self.dir)(e)),
        };
        Ok(entries
            .flatten()
            .filter_map(|entry| {
                let address: IpAddr = entry.file_name().to_str()?.parse().ok()?;
                Some((address, self.owner(address)?))
            })
            .collect())
    }

    fn path(&self, address: IpAddr) -> PathBuf {
        self.dir.join(address.to_string())
    }
}
