//! `ps`: the containers there are, from their files alone.
//!
//! INVARIANT: no lock is taken, no process started, no runtime asked, nothing written; a container that is stuck, damaged or
//! vanishing meanwhile holds up nobody and hides no other.

mod condition;

use std::path::Path;

use dhow_state::{Snapshot, Status};
use dhow_sys::pidfd::ProcessId;

use crate::config::{ContainerConfig, RootfsSource};
use crate::connect::ports_of;
use crate::engine::Engine;
use crate::error::{Error, Result};
use crate::report::{Namespaces, PortMapping, PsReport, PsRow, PsSize, Time};
use crate::request::PsRequest;
use condition::Conditions;
pub(crate) use condition::policy_name;

impl Engine {
    /// The containers that the request asks for, the oldest first. Without a word about the status, those that have a
    /// process.
    ///
    /// # Errors
    /// The store cannot be read; a container or image in a filter is ambiguous or does not exist.
    pub fn ps(&self, request: &PsRequest) -> Result<PsReport> {
        let conditions = Conditions::new(self, &request.filters)?;
        let all = request.all || request.last.is_some() || conditions.about_status();
        let mut report = PsReport::default();
        let mut found = Vec::new();
        for id in self.store.ids().map_err(Error::State)? {
            let read =
                self.snapshot(&id).and_then(|snapshot| Ok((self.config_of(&snapshot)?, snapshot)));
            match read {
                // Made with `--rm`, it must not outlive a boot: it is gone, even where nobody has cleared it away yet.
                Ok((_, snapshot)) if snapshot.earlier_boot && snapshot.config.auto_remove => {}
                Ok((config, snapshot)) => {
                    if (all || has_process(snapshot.status()))
                        && conditions.hold(&snapshot, &config)
                    {
                        found.push((snapshot, config));
                    }
                }
                // Removed since its name was read.
                Err(Error::NoSuch { .. }) => {}
                Err(damage) => report.errors.push(damage),
            }
        }
        found.sort_by(|(a, _), (b, _)| (a.config.created, a.id()).cmp(&(b.config.created, b.id())));
        let first = request.last.map_or(0, |last| found.len().saturating_sub(last));
        for (snapshot, config) in found.drain(first..) {
            match self.row(&snapshot, &config, request) {
                Ok(row) => report.rows.push(row),
                Err(Error::NoSuch { .. }) => {}
                Err(damage) => report.errors.push(damage),
            }
        }
        Ok(report)
    }

    fn row(
        &self,
        snapshot: &Snapshot,
        config: &ContainerConfig,
        request: &PsRequest,
    ) -> Result<PsRow> {
        let status = snapshot.status();
        let process =
            snapshot.init().filter(|_| has_process(status) || status == Status::Initialized);
        let exited = matches!(status, Status::Stopped | Status::Exited);
        let attachment = if has_process(status) || status == Status::Initialized {
            self.attachment(snapshot.id())
        } else {
            None
        };
        let never = |nanos: Option<i64>| Time::from_unix_nanos_or_never(nanos);
        Ok(PsRow {
            auto_remove: snapshot.config.auto_remove,
            command: config.spec.args.clone(),
            created: Time::from_unix_nanos(snapshot.config.created),
            exited,
            exited_at: never(snapshot.finished_at()),
            exit_code: snapshot.exit_code().filter(|_| exited).unwrap_or(0),
            id: snapshot.id().to_string(),
            image: image_name(config),
            image_id: config.image.as_ref().map(|image| image.id.clone()).unwrap_or_default(),
            labels: config.labels.clone(),
            mounts: config
                .mounts_shown
                .iter()
                .filter(|mount| mount.kind != "tmpfs")
                .map(|mount| mount.destination.clone())
                .collect(),
            names: vec![snapshot.name.to_string()],
            namespaces: process.filter(|_| request.namespaces).map(namespaces).unwrap_or_default(),
            networks: config.networks.iter().map(|of| of.network.to_string()).collect(),
            pid: process.map_or(0, |process| process.pid),
            ports: shown_ports(&ports_of(config, attachment.as_ref())),
            restarts: snapshot.record.restart_count,
            size: if request.size { Some(self.size(snapshot, config)?) } else { None },
            started_at: never(snapshot.started_at()),
            state: status.to_string(),
            ..PsRow::default()
        })
    }

    /// What a container takes on disk: its own layer, and that with the layers of its image.
    pub(crate) fn size(&self, snapshot: &Snapshot, config: &ContainerConfig) -> Result<PsSize> {
        let rw_size = self.rootfs(snapshot.id(), config)?.size().map_err(Error::Storage)?;
        let mut root_fs_size = rw_size;
        if let RootfsSource::Layers(chain) = &config.rootfs {
            for layer in chain {
                root_fs_size += self.storage()?.layer(layer).map_err(Error::Storage)?.size;
            }
        }
        Ok(PsSize { root_fs_size, rw_size })
    }
}

/// Ports as `ps` shows them: those that follow each other as one range.
fn shown_ports(ports: &[dhow_network::PortMapping]) -> Vec<PortMapping> {
    let mut shown: Vec<PortMapping> = Vec::new();
    for port in ports {
        let host_ip = port.host_ip.map(|ip| ip.to_string()).unwrap_or_default();
        let protocol = port.protocol.to_string();
        if let Some(last) = shown.last_mut()
            && last.host_ip == host_ip
            && last.protocol == protocol
            && port.host_port != 0
            && last.host_port.checked_add(last.range) == Some(port.host_port)
            && last.container_port.checked_add(last.range) == Some(port.container_port)
        {
            last.range += 1;
            continue;
        }
        shown.push(PortMapping {
            host_ip,
            container_port: port.container_port,
            host_port: port.host_port,
            range: 1,
            protocol,
        });
    }
    shown
}

/// The name of what a container was made from: an image's, or a directory's.
pub(crate) fn image_name(config: &ContainerConfig) -> String {
    match (&config.image, &config.rootfs) {
        (Some(image), _) => image.name.clone(),
        (None, RootfsSource::Directory(dir) | RootfsSource::OverlayOf(dir)) => {
            dir.display().to_string()
        }
        (None, RootfsSource::Layers(_)) => String::new(),
    }
}

/// Whether a container of this status runs a process of its user's.
fn has_process(status: Status) -> bool {
    matches!(status, Status::Running | Status::Paused | Status::Stopping)
}

/// The namespaces of a process, by the inode numbers that their links in /proc show; empty ones where it has just ended.
fn namespaces(process: ProcessId) -> Namespaces {
    let dir = format!("/proc/{}/ns", process.pid);
    let namespace = |kind: &str| {
        let link = std::fs::read_link(Path::new(&dir).join(kind)).unwrap_or_default();
        let text = link.to_string_lossy();
        text.trim_end_matches(']')
            .rsplit_once('[')
            .map(|(_, inode)| inode.to_owned())
            .unwrap_or_default()
    };
    let found = Namespaces {
        mnt: namespace("mnt"),
        cgroup: namespace("cgroup"),
        ipc: namespace("ipc"),
        net: namespace("net"),
        pid: namespace("pid"),
        user: namespace("user"),
        uts: namespace("uts"),
    };
    // Looked at last: what was read belongs to this process if it is still there.
    if process.is_alive().unwrap_or(false) { found } else { Namespaces::default() }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn namespaces_are_inode_numbers() {
        let mine = namespaces(ProcessId::current().unwrap());
        for inode in
            [&mine.mnt, &mine.cgroup, &mine.ipc, &mine.net, &mine.pid, &mine.user, &mine.uts]
        {
            assert!(inode.parse::<u64>().is_ok(), "{inode:?}");
        }
        let gone = ProcessId { start_time: 1, ..ProcessId::current().unwrap() };
        assert_eq!(namespaces(gone), Namespaces::default());
    }
}
