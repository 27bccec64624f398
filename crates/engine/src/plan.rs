//! Create's plan: a request, an image and the host into the configuration that is kept.
//!
//! INVARIANT: nothing is changed here, and every error that is the user's shows here. Files that are read (a seccomp
//! profile, the existence of a mount's source) are read so that the container does not change when they do.

mod mounts;
mod namespaces;
mod network;
mod process;
mod resources;
mod security;

use std::collections::BTreeMap;
use std::net::IpAddr;
use std::path::PathBuf;

use dhow_oci::{Cgroup, Cwd, Namespace, Namespaces, SpecRequest};
use dhow_state::{ContainerId, VolumeName};
use oci_spec::image::ImageConfiguration;

use crate::config::{ContainerConfig, ImageUsed, LogConfig, NetworkFiles, RootfsSource};
use crate::engine::utf8;
use crate::error::{Error, Result};
use crate::request::{CgroupMode, CreateRequest, LogDriver, Signal, Timeout};

/// /dev/shm, where nothing was asked for: podman's default.
const SHM_SIZE: u64 = 64 << 20;
/// Seconds between the stop signal and SIGKILL, where nothing was asked for.
const STOP_TIMEOUT: u32 = 10;

/// What a request is planned against.
pub(crate) struct Inputs<'a> {
    pub(crate) id: &'a ContainerId,
    pub(crate) request: &'a CreateRequest,
    pub(crate) rootfs: RootfsSource,
    pub(crate) image: Option<(ImageUsed, &'a ImageConfiguration)>,
    pub(crate) networks: &'a dhow_network::Networks,
    /// The id of another container by name.
    pub(crate) find: &'a dyn Fn(&str) -> Result<ContainerId>,
    pub(crate) host: &'a dhow_oci::Host,
    /// Where the files of a volume are.
    pub(crate) volume_dir: &'a dyn Fn(&VolumeName) -> PathBuf,
    /// Where the log lies by default.
    pub(crate) log: PathBuf,
    /// Where init programs are looked for.
    pub(crate) search: &'a [PathBuf],
    /// The runtime asked for now, kept for later starts.
    pub(crate) runtime: Option<String>,
}

/// Plans the container; the second half are warnings for the user.
pub(crate) fn plan(inputs: Inputs<'_>) -> Result<(ContainerConfig, Vec<String>)> {
    let request = inputs.request;
    let mut warnings = Vec::new();
    check(request)?;
    let image_config = inputs.image.as_ref().and_then(|(_, image)| image.config().as_ref());
    let command = process::command(request, image_config)?;
    let planned = mounts::mounts(request, image_config, inputs.volume_dir)?;
    let namespaces =
        namespaces::namespaces(&request.namespaces, request.security.privileged, inputs.find)?;
    let network = network::network(request, image_config, inputs.networks, &mut warnings)?;
    let hostname = hostname(request, inputs.id, &namespaces.spec, namespaces.joins.as_slice())?;
    if request.resources.cgroups == CgroupMode::Disabled && has_limits(request) {
        return Err(Error::Invalid(
            "--cgroups=disabled excludes resource limits: there is no cgroup to set them on".into(),
        ));
    }

    let mut labels: BTreeMap<String, String> = BTreeMap::new();
    labels.extend(
        image_config
            .and_then(|c| c.labels().as_ref())
            .into_iter()
            .flatten()
            .map(|(k, v)| (k.clone(), v.clone())),
    );
    labels.extend(request.labels.iter().map(|l| (l.key.clone(), l.value.clone())));
    let stop_signal =
        match (request.lifetime.stop_signal, image_config.and_then(|c| c.stop_signal().as_deref()))
        {
            (Some(signal), _) => signal,
            (None, Some(text)) => text.parse().unwrap_or_else(|e| {
                warnings.push(format!(
                    "the image's stop signal is not usable, TERM is taken instead: {e}"
                ));
                Signal::TERM
            }),
            (None, None) => Signal::TERM,
        };
    let shm_size = match namespaces.shareable_shm {
        true => Some(request.resources.shm_size.map_or(SHM_SIZE, |size| size.0)),
        false => None,
    };

    let mut annotations: BTreeMap<String, String> =
        request.annotations.iter().map(|a| (a.key.clone(), a.value.clone())).collect();
    annotations.entry("io.container.manager".to_owned()).or_insert_with(|| "dhow".to_owned());
    annotations
        .insert("org.opencontainers.image.stopSignal".to_owned(), stop_signal.number().to_string());

    let spec = SpecRequest {
        args: command.args(),
        env: process::environment(&request.process, image_config),
        unset_env: process::unset(&request.process),
        cwd: cwd(request, image_config)?,
        user: match (&request.process.user, image_config.and_then(|c| c.user().as_deref())) {
            (Some(user), _) => user.to_string(),
            (None, of_image) => of_image.unwrap_or_default().to_owned(),
        },
        group_add: request.process.groups.clone(),
        terminal: request.process.terminal,
        console_size: None,
        umask: request.process.umask,
        hostname,
        container_id: inputs.id.to_string(),
        security: security::security(&request.security, inputs.host)?,
        rlimits: resources::rlimits(&request.resources.ulimits),
        oom_score_adj: request.process.oom_score_adj,
        namespaces: namespaces.spec,
        mounts: planned.spec,
        read_only: request.security.read_only,
        read_only_tmpfs: request.security.wants_read_only_tmpfs(),
        root_propagation: String::new(),
        devices: resources::devices(&request.devices)?,
        device_rules: resources::device_rules(&request.resources.device_cgroup_rules),
        resources: resources::resources(&request.resources)?,
        sysctls: request
            .resources
            .sysctls
            .iter()
            .map(|s| (s.name.clone(), s.value.clone()))
            .collect(),
        cgroup: cgroup(request, inputs.id)?,
        annotations,
        init: init(request, inputs.search)?,
        tz: request.process.timezone.clone(),
        shm_size: request.resources.shm_size.map(|size| size.0),
    };
    let log = &request.logging;
    let config = ContainerConfig {
        image: inputs.image.map(|(used, _)| used),
        rootfs: inputs.rootfs,
        spec,
        volumes: planned.volumes,
        chowned: planned.chowned,
        overlays: planned.overlays,
        joins: namespaces.joins,
        networks: network.networks,
        ports: network.ports,
        namespace_modes: request.namespaces.clone(),
        labels,
        entrypoint: command.entrypoint,
        command: command.command,
        create_command: request.create_command.clone(),
        log: LogConfig {
            driver: log.driver,
            path: matches!(log.driver, LogDriver::K8sFile | LogDriver::JsonFile)
                .then(|| log.path.clone().unwrap_or(inputs.log)),
            max_size: log.max_size.map(|size| size.0),
            max_files: log.max_files,
        },
        restart: request.lifetime.restart,
        stop_signal: stop_signal.number(),
        stop_timeout: request.lifetime.stop_timeout.map_or(STOP_TIMEOUT, Timeout::seconds),
        timeout: request.lifetime.run_timeout.unwrap_or(0),
        stdin: request.process.stdin_open,
        shm_size,
        network_files: NetworkFiles {
            add_hosts: add_hosts(request),
            gateway_hosts: gateway_hosts(request)?,
            no_hosts: request.hosts.no_hosts,
            dns_servers: request.hosts.dns_servers.iter().map(ToString::to_string).collect(),
            dns_search: request.hosts.dns_search.clone(),
            dns_options: request.hosts.dns_options.clone(),
        },
        runtime: inputs.runtime,
        pidfile: request.pid_file.clone(),
        monitor_pidfile: request.monitor_pid_file.clone(),
        cidfile: request.cid_file.clone(),
        mounts_shown: planned.shown,
    };
    Ok((config, warnings))
}

/// What contradicts itself whatever the image is.
fn check(request: &CreateRequest) -> Result<()> {
    use crate::request::RestartPolicy;
    if request.auto_remove && request.lifetime.restart != RestartPolicy::No {
        return Err(Error::Invalid(
            "--rm and --restart exclude each other: what is removed cannot be started again".into(),
        ));
    }
    if request.logging.driver == LogDriver::Passthrough && request.process.terminal {
        return Err(Error::Invalid(
            "--log-driver passthrough excludes --tty: there is no terminal to pass through".into(),
        ));
    }
    for (flag, file) in
        [("--pidfile", &request.pid_file), ("--conmon-pidfile", &request.monitor_pid_file)]
    {
        let Some(file) = file else { continue };
        if !file.parent().is_some_and(std::path::Path::is_dir) {
            return Err(Error::Invalid(format!(
                "{flag} {}: there is no such directory",
                file.display()
            )));
        }
    }
    if let Some(path) = &request.process.workdir
        && !path.is_absolute()
    {
        return Err(Error::Invalid(format!(
            "the working directory {} is not an absolute path",
            path.display()
        )));
    }
    Ok(())
}

/// The host name: the short id in a private UTS namespace; the host's own, or the other container's, stay theirs. On the
/// host's network it is the host's (`None`), as in podman: programs look their own name up in the network they are on.
fn hostname(
    request: &CreateRequest,
    id: &ContainerId,
    spec: &Namespaces,
    joins: &[crate::config::Join],
) -> Result<Option<String>> {
    let joined = joins.iter().any(|j| j.kind == crate::request::NamespaceKind::Uts);
    match &request.process.hostname {
        Some(_) if spec.uts == Namespace::Host || joined => Err(Error::Invalid(
            "--hostname cannot be given with --uts host or container: the name would change for others".into(),
        )),
        Some(name) => Ok(Some(name.clone())),
        None if spec.uts == Namespace::Private && !joined && spec.network != Namespace::Host => Ok(Some(id.short().to_owned())),
        None => Ok(None),
    }
}

fn cwd(request: &CreateRequest, image: Option<&oci_spec::image::Config>) -> Result<Option<Cwd>> {
    if let Some(path) = &request.process.workdir {
        return Ok(Some(Cwd { path: utf8(path)?.to_owned(), create: false }));
    }
    let of_image = image.and_then(|c| c.working_dir().as_deref()).filter(|dir| !dir.is_empty());
    Ok(of_image.map(|dir| Cwd {
        // A relative WORKDIR is below the root, as docker has it.
        path: if dir.starts_with('/') { dir.to_owned() } else { format!("/{dir}") },
        create: true,
    }))
}

fn cgroup(request: &CreateRequest, id: &ContainerId) -> Result<Cgroup> {
    if request.resources.cgroups == CgroupMode::Disabled {
        if request.resources.cgroup_parent.is_some() {
            return Err(Error::Invalid(
                "--cgroup-parent cannot be given with --cgroups=disabled".into(),
            ));
        }
        return Ok(Cgroup { path: String::new(), disabled: true });
    }
    let parent = request.resources.cgroup_parent.as_deref().unwrap_or("/dhow");
    if parent.split('/').any(|part| part == "..") || parent.ends_with(".slice") {
        return Err(Error::Invalid(format!(
            "the cgroup parent {parent:?} must be a path below the hierarchy's root, without .. and not a systemd slice"
        )));
    }
    Ok(Cgroup {
        path: format!("/{}/{id}", parent.trim_matches('/')).replace("//", "/"),
        disabled: false,
    })
}

/// The init program on the host: the one asked for, else catatonit where it is installed.
fn init(request: &CreateRequest, search: &[PathBuf]) -> Result<Option<PathBuf>> {
    let options = &request.process.init;
    if !options.enabled {
        return Ok(None);
    }
    if let Some(path) = &options.path {
        return match std::fs::metadata(path) {
            Ok(meta) if meta.is_file() => Ok(Some(path.clone())),
            Ok(_) => {
                Err(Error::Invalid(format!("the init program {} is not a file", path.display())))
            }
            Err(e) => {
                Err(Error::Io { action: "use the init program", path: path.clone(), source: e })
            }
        };
    }
    let usual = ["/usr/libexec/podman", "/usr/libexec/dhow", "/usr/lib/dhow"].map(PathBuf::from);
    usual.iter().chain(search).map(|dir| dir.join("catatonit")).find(|path| path.is_file()).map(Some).ok_or_else(|| {
        Error::Invalid("--init needs catatonit, which is not installed; install it or name another with --init-path".into())
    })
}

/// The lines of `--add-host` that have an address.
fn add_hosts(request: &CreateRequest) -> Vec<(String, IpAddr)> {
    let entries = request.hosts.add_hosts.iter();
    entries
        .filter_map(|entry| Some((&entry.names, entry.address?)))
        .flat_map(|(names, address)| names.iter().map(move |name| (name.clone(), address)))
        .collect()
}

/// The names of `--add-host NAME:host-gateway`.
fn gateway_hosts(request: &CreateRequest) -> Result<Vec<String>> {
    let entries = request.hosts.add_hosts.iter().filter(|entry| entry.address.is_none());
    let names: Vec<String> = entries.flat_map(|entry| entry.names.clone()).collect();
    if request.hosts.no_hosts && !request.hosts.add_hosts.is_empty() {
        return Err(Error::Invalid("--no-hosts and --add-host exclude each other".into()));
    }
    if !names.is_empty() && request.namespaces.network.is_some() {
        return Err(Error::Invalid(
            "--add-host NAME:host-gateway: without a bridge network there is no gateway; give an address".into(),
        ));
    }
    Ok(names)
}

fn has_limits(request: &CreateRequest) -> bool {
    let r = &request.resources;
    r.memory.is_some()
        || r.memory_reservation.is_some()
        || r.memory_swap.is_some()
        || r.memory_swappiness.is_some()
        || r.cpus.is_some()
        || r.cpu_period.is_some()
        || r.cpu_quota.is_some()
        || r.cpu_rt_period.is_some()
        || r.cpu_rt_runtime.is_some()
        || r.cpu_shares.is_some()
        || r.cpuset_cpus.is_some()
        || r.cpuset_mems.is_some()
        || r.blkio_weight.is_some()
        || r.pids_limit.is_some_and(|limit| limit > 0)
}
