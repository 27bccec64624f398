//! `inspect`: everything known of one container, in podman's shape.
//!
//! No lock is taken and the runtime is not asked. What the container was last started with (environment, capabilities,
//! limits) is read from its runtime specification; before its first start, what is known is what was asked for.

mod host_config;
mod network;

use std::collections::BTreeMap;

use dhow_state::{Snapshot, Status};
use oci_spec::runtime::{Process, Spec};

use crate::config::{ContainerConfig, MountShown, RootfsSource};
use crate::engine::Engine;
use crate::error::{Error, Result};
use crate::ps::image_name;
use crate::report::{
    ContainerInspect, ContainerState, GraphDriver, InspectConfig, InspectMount, Time,
};
use crate::request::Signal;

/// How large a runtime specification may be.
const MAX_SPEC: u64 = 16 << 20;

impl Engine {
    /// Everything known of the container; with `size`, what it takes on disk too.
    ///
    /// # Errors
    /// [`Error::NoSuch`], [`Error::Ambiguous`]; its records are damaged.
    pub fn inspect(&self, container: &str, size: bool) -> Result<ContainerInspect> {
        let id = self.resolve(container)?;
        let snapshot = self.snapshot(&id)?;
        let config = self.config_of(&snapshot)?;
        let spec = self.last_spec(&snapshot);
        let process = spec.as_ref().and_then(|spec| spec.process().as_ref());
        let size = if size { Some(self.size(&snapshot, &config)?) } else { None };
        let layout = self.layout();
        let path = |path: std::path::PathBuf| path.display().to_string();
        let etc = |name: &str| path(self.run_dir(&id).join("etc").join(name));
        let (first, others) = config
            .spec
            .args
            .split_first()
            .map_or((String::new(), &[][..]), |(f, o)| (f.clone(), o));
        Ok(ContainerInspect {
            id: id.to_string(),
            created: Time::from_unix_nanos(snapshot.config.created),
            path: first,
            args: others.to_vec(),
            state: state(&snapshot, &config, spec.as_ref()),
            image: config.image.as_ref().map(|image| image.id.clone()).unwrap_or_default(),
            image_digest: config
                .image
                .as_ref()
                .map(|image| image.digest.to_string())
                .unwrap_or_default(),
            image_name: config.image.as_ref().map(|image| image.name.clone()).unwrap_or_default(),
            rootfs: if config.image.is_none() { image_name(&config) } else { String::new() },
            resolv_conf_path: etc("resolv.conf"),
            hostname_path: etc("hostname"),
            hosts_path: etc("hosts"),
            static_dir: path(layout.container_dir(&id)),
            oci_config_path: path(layout.bundle(&id).join("config.json")),
            oci_runtime: self.runtime_name(&config),
            conmon_pid_file: path(
                config.monitor_pidfile.clone().unwrap_or_else(|| layout.monitor_pidfile(&id)),
            ),
            pid_file: path(config.pidfile.clone().unwrap_or_else(|| layout.pidfile(&id))),
            name: snapshot.name.to_string(),
            restart_count: snapshot.record.restart_count,
            driver: "overlay".to_owned(),
            mount_label: config.spec.security.mount_label.clone(),
            process_label: config.spec.security.process_label.clone(),
            app_armor_profile: config.spec.security.apparmor.clone().unwrap_or_default(),
            effective_caps: capabilities(process, true),
            bounding_caps: capabilities(process, false),
            exec_ids: self.exec_ids(&id),
            graph_driver: self.graph_driver_of(&snapshot, &config)?,
            size_rw: size.map(|size| size.rw_size),
            size_root_fs: size.map(|size| size.root_fs_size),
            mounts: config
                .mounts_shown
                .iter()
                .filter(|mount| mount.kind != "tmpfs")
                .map(mount)
                .collect(),
            dependencies: config.joins.iter().map(|join| join.container.to_string()).collect(),
            config: inspect_config(&config, process),
            network_settings: self.network_settings(&snapshot, &config),
            host_config: self.host_config(&snapshot, &config, process)?,
            ..ContainerInspect::default()
        })
    }

    /// The runtime specification of the present or last life. One that is not there or cannot be read is none: inspect
    /// tells of a damaged container what there is to tell.
    fn last_spec(&self, snapshot: &Snapshot) -> Option<Spec> {
        let path = self.layout().bundle(snapshot.id()).join("config.json");
        let bytes = dhow_sys::fs::read_bounded(&path, MAX_SPEC).ok()?;
        serde_json::from_slice(&bytes)
            .inspect_err(
                |why| tracing::debug!(path = %path.display(), %why, "not a runtime specification"),
            )
            .ok()
    }

    /// The runtime asked for, else the one that would be taken now.
    fn runtime_name(&self, config: &ContainerConfig) -> String {
        match config.runtime.clone().or_else(|| self.options.runtime.clone()) {
            Some(asked) => asked,
            None => self.find_runtime(None).map(|runtime| runtime.name()).unwrap_or_default(),
        }
    }

    fn graph_driver_of(
        &self,
        snapshot: &Snapshot,
        config: &ContainerConfig,
    ) -> Result<GraphDriver> {
        let dir = self.layout().rootfs(snapshot.id());
        let lower: Vec<String> = match &config.rootfs {
            RootfsSource::Directory(_) => return Ok(GraphDriver::default()),
            RootfsSource::OverlayOf(dir) => vec![dir.display().to_string()],
            RootfsSource::Layers(chain) => {
                let storage = self.storage()?;
                chain
                    .iter()
                    .rev()
                    .map(|layer| storage.layer_diff(layer).display().to_string())
                    .collect()
            }
        };
        let mut data: BTreeMap<String, String> = [("UpperDir", "upper"), ("WorkDir", "work")]
            .map(|(key, name)| (key.to_owned(), dir.join(name).display().to_string()))
            .into();
        data.insert("LowerDir".to_owned(), lower.join(":"));
        if let Some(merged) =
            self.rootfs(snapshot.id(), config)?.mounted().map_err(Error::Storage)?
        {
            data.insert("MergedDir".to_owned(), merged.display().to_string());
        }
        Ok(GraphDriver { name: "overlay".to_owned(), data })
    }
}

fn state(snapshot: &Snapshot, config: &ContainerConfig, spec: Option<&Spec>) -> ContainerState {
    let status = snapshot.status();
    let alive =
        matches!(status, Status::Initialized | Status::Running | Status::Paused | Status::Stopping);
    let pid = |process: Option<dhow_sys::pidfd::ProcessId>| {
        process.filter(|_| alive).map_or(0, |process| process.pid)
    };
    ContainerState {
        oci_version: spec.map(|spec| spec.version().clone()).unwrap_or_default(),
        status: status.to_string(),
        running: matches!(status, Status::Running | Status::Paused | Status::Stopping),
        paused: status == Status::Paused,
        oom_killed: snapshot.oom(),
        pid: pid(snapshot.init()),
        conmon_pid: pid(snapshot.monitor()),
        exit_code: snapshot.exit_code().unwrap_or(0),
        error: snapshot
            .record
            .error
            .clone()
            .or_else(|| snapshot.exit.as_ref()?.message.clone())
            .unwrap_or_default(),
        started_at: Time::from_unix_nanos_or_never(snapshot.started_at()),
        finished_at: Time::from_unix_nanos_or_never(snapshot.finished_at()),
        cgroup_path: if alive { config.spec.cgroup.path.clone() } else { String::new() },
        ..ContainerState::default()
    }
}

/// The effective or the bounding set of the process.
fn capabilities(process: Option<&Process>, effective: bool) -> Vec<String> {
    let Some(sets) = process.and_then(|process| process.capabilities().as_ref()) else {
        return Vec::new();
    };
    let set = if effective { sets.effective() } else { sets.bounding() };
    let mut names: Vec<String> = set
        .iter()
        .flatten()
        .map(|capability| format!("CAP_{}", capability.to_string().trim_start_matches("CAP_")))
        .collect();
    names.sort();
    names
}

fn mount(mount: &MountShown) -> InspectMount {
    InspectMount {
        kind: mount.kind.clone(),
        name: mount.name.clone().unwrap_or_default(),
        source: mount.source.clone(),
        destination: mount.destination.clone(),
        driver: if mount.kind == "volume" { "local".to_owned() } else { String::new() },
        mode: String::new(),
        options: mount.options.clone(),
        rw: mount.rw,
        propagation: mount.propagation.clone(),
    }
}

fn inspect_config(config: &ContainerConfig, process: Option<&Process>) -> InspectConfig {
    let spec = &config.spec;
    InspectConfig {
        hostname: spec.hostname.clone().unwrap_or_default(),
        user: spec.user.clone(),
        tty: spec.terminal,
        open_stdin: config.stdin,
        env: process.and_then(|process| process.env().clone()).unwrap_or_else(|| spec.env.clone()),
        cmd: config.command.clone(),
        image: config.image.as_ref().map(|image| image.name.clone()).unwrap_or_default(),
        working_dir: spec.cwd.as_ref().map_or_else(|| "/".to_owned(), |cwd| cwd.path.clone()),
        entrypoint: config.entrypoint.clone(),
        labels: config.labels.clone(),
        annotations: spec.annotations.clone(),
        stop_signal: Signal::from_number(config.stop_signal)
            .map_or_else(|| config.stop_signal.to_string(), |s| s.to_string()),
        create_command: config.create_command.clone(),
        umask: format!("{:04o}", spec.umask.unwrap_or(0o022)),
        timeout: config.timeout,
        stop_timeout: config.stop_timeout,
        domainname: String::new(),
        passwd: false,
        ..InspectConfig::default()
    }
}
