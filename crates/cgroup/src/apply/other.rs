//! Processes, huge pages, networks, RDMA, and v2's files by name.

use std::collections::HashMap;

use oci_spec::runtime::{LinuxHugepageLimit, LinuxNetwork, LinuxRdma};

use super::limit;
use crate::hierarchy::Version;
use crate::{Cgroup, Error};

impl Cgroup {
    pub(super) fn apply_pids(&self, value: i64) -> Result<(), Error> {
        // Zero is how engines leave it out.
        if value == 0 {
            return Ok(());
        }
        self.need("pids")?.write("pids.max", limit(value))
    }

    pub(super) fn apply_hugepages(&self, wanted: &LinuxHugepageLimit) -> Result<(), Error> {
        let directory = self.need("hugetlb")?;
        let size = wanted.page_size();
        if size.is_empty() || size.contains(['/', '.']) {
            return Err(Error::invalid("hugepageLimits", format!("{size:?} is no page size")));
        }
        let (file, reserved) = match directory.hierarchy.version {
            Version::V1 => (
                format!("hugetlb.{size}.limit_in_bytes"),
                format!("hugetlb.{size}.rsvd.limit_in_bytes"),
            ),
            Version::V2 => (format!("hugetlb.{size}.max"), format!("hugetlb.{size}.rsvd.max")),
        };
        let value = wanted.limit().to_string();
        directory.set(&file, &format!("hugepageLimits of {size}"), &value)?;
        // Linux 5.7 counts reservations too.
        if directory.has(&reserved) { directory.write(&reserved, &value) } else { Ok(()) }
    }

    pub(super) fn apply_network(&self, network: &LinuxNetwork) -> Result<(), Error> {
        if let Some(class) = network.class_id().filter(|class| *class != 0) {
            self.need("net_cls")?.write("net_cls.classid", class)?;
        }
        for priority in network.priorities().iter().flatten() {
            let value = format!("{} {}", priority.name(), priority.priority());
            self.need("net_prio")?.write("net_prio.ifpriomap", value)?;
        }
        Ok(())
    }

    pub(super) fn apply_rdma(&self, device: &str, limits: &LinuxRdma) -> Result<(), Error> {
        let mut value = device.to_owned();
        if let Some(handles) = limits.hca_handles() {
            value += &format!(" hca_handle={handles}");
        }
        if let Some(objects) = limits.hca_objects() {
            value += &format!(" hca_object={objects}");
        }
        self.need("rdma")?.write("rdma.max", value)
    }

    pub(super) fn apply_unified(&self, files: &HashMap<String, String>) -> Result<(), Error> {
        // In one order, so that an error is always the same.
        let mut names: Vec<&String> = files.keys().collect();
        names.sort();
        for name in names {
            let Some(directory) = self.unified() else {
                return Err(Error::unsupported(format!("unified.{name} with cgroup v1")));
            };
            if name.contains('/') || !name.contains('.') || name.starts_with('.') {
                return Err(Error::invalid(
                    "unified",
                    format!("{name:?} is no file of a controller"),
                ));
            }
            // A file may take several lines, one write each (io.max).
            for line in files[name].lines() {
                directory.set(name, &format!("unified.{name}"), line)?;
            }
        }
        Ok(())
    }
}
