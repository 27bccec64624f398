//! A spec's resources, written to the controllers: each to the hierarchy that has it, in that version's files.
//!
//! A value that the spec leaves out is left as it is, so that the same function makes a cgroup and updates it.

use oci_spec::runtime::LinuxResources;

use crate::hierarchy::Version;
use crate::{Cgroup, Directory, Error};

mod block;
mod cpu;
mod memory;
mod other;

impl Cgroup {
    /// Writes resources.
    ///
    /// # Errors
    /// [`Error::NoController`] and [`Error::Unsupported`] by name for what this system cannot do: nothing is ignored.
    /// [`Error::Write`] for a value that the kernel refuses. What was written before stays written.
    pub fn apply(&self, resources: &LinuxResources) -> Result<(), Error> {
        // Where v1 has the controllers, those that v2 has are turned on for whoever asks for them.
        if !self.directories.iter().all(|one| one.hierarchy.version == Version::V2) {
            self.enable_unified(resources)?;
        }
        if let Some(rules) = resources.devices().as_deref().filter(|rules| !rules.is_empty()) {
            self.apply_devices(rules)?;
        }
        if let Some(memory) = resources.memory() {
            self.apply_memory(memory)?;
        }
        if let Some(cpu) = resources.cpu() {
            self.apply_cpu(cpu)?;
        }
        if let Some(pids) = resources.pids() {
            self.apply_pids(pids.limit())?;
        }
        if let Some(block) = resources.block_io() {
            self.apply_block(block)?;
        }
        for limit in resources.hugepage_limits().iter().flatten() {
            self.apply_hugepages(limit)?;
        }
        if let Some(network) = resources.network() {
            self.apply_network(network)?;
        }
        for (device, limits) in resources.rdma().iter().flatten() {
            self.apply_rdma(device, limits)?;
        }
        if let Some(unified) = resources.unified() {
            self.apply_unified(unified)?;
        }
        Ok(())
    }

    fn enable_unified(&self, resources: &LinuxResources) -> Result<(), Error> {
        let asked = [
            ("memory", resources.memory().is_some()),
            ("cpu", resources.cpu().is_some()),
            ("cpuset", resources.cpu().is_some()),
            ("pids", resources.pids().is_some()),
            ("io", resources.block_io().is_some()),
            ("hugetlb", resources.hugepage_limits().iter().flatten().next().is_some()),
            ("rdma", resources.rdma().iter().flatten().next().is_some()),
        ];
        let Some(directory) = self.unified() else { return Ok(()) };
        let mut wanted: Vec<String> =
            asked.iter().filter(|(_, asked)| *asked).map(|(name, _)| (*name).to_owned()).collect();
        for key in resources.unified().iter().flatten().map(|(key, _)| key) {
            wanted.extend(key.split_once('.').map(|(controller, _)| controller.to_owned()));
        }
        wanted.retain(|one| directory.hierarchy.has(one));
        if wanted.is_empty() { Ok(()) } else { directory.enable(&wanted) }
    }
}

impl Directory {
    fn is_v2(&self) -> bool {
        self.hierarchy.version == Version::V2
    }
}

/// How v2 writes a limit where the spec's −1 means "none".
fn limit(value: i64) -> String {
    if value < 0 { "max".to_owned() } else { value.to_string() }
}
