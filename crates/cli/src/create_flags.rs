//! The flags of `create` and `run`, and the request they make.
//!
//! Every flag is turned into the engine's own types by the parsers in `dhow_engine::request`; what needs this process —
//! its environment, its working directory, the files of `--env-file` — is looked up here, so that the request stands
//! for itself.

mod values;

use std::ffi::OsString;
use std::fs::File;
use std::io::Read as _;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};
use std::path::{Path, PathBuf, absolute};

use anyhow::{Context as _, Result, bail};
use clap::Args;
use dhow_engine::request::{
    ByteSize, Capability, CgroupMode, CpuCount, CreateRequest, Device, DeviceCgroupRule,
    EnvArgument, EnvVar, Expose, HostEntry, HostsOptions, InitOptions, Label, LifetimeOptions,
    LogDriver, LogOption, LogOptions, MacAddress, MemoryLimit, Mount, NamespaceKind, NamespaceMode,
    NamespaceOptions, NetworkArgument, NetworkChoice, NetworkOptions, ProcessOptions, Publish,
    ResourceOptions, RestartPolicy, Rootfs, SeccompChoice, SecurityOption, SecurityOptions, Signal,
    Source, Sysctl, Timeout, TmpfsMount, Ulimit, User, parse_env_file, parse_label_file,
};

use crate::commands::pull::PullFlags;
use crate::environment::Environment;
use crate::refused::Refused;

pub(crate) use self::values::value;
use self::values::{
    annotation, cgroups, entrypoint, group, hostname, name_server, namespace, network_alias,
    number_list, octal, stream, volume,
};

/// The largest `--env-file` or `--label-file`.
const MAX_FILE: u64 = 16 << 20;

/// One of a process's streams.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Attach {
    Stdin,
    Stdout,
    Stderr,
}

/// The flags that `create` and `run` share.
#[derive(Debug, Args)]
#[command(disable_help_flag = true)]
pub(crate) struct CreateFlags {
    /// Image (or, with --rootfs, a directory), then the command and its arguments
    #[arg(required = true, num_args = 1.., trailing_var_arg = true, value_names = ["IMAGE", "COMMAND"], hide = true)]
    words: Vec<String>,

    /// Print help
    #[arg(long, action = clap::ArgAction::Help)]
    help: Option<bool>,

    // --- what it is
    /// Give the container this name
    #[arg(long, value_name = "NAME")]
    pub(crate) name: Option<String>,
    /// Remove a container that has the name already
    #[arg(long)]
    replace: bool,
    /// Remove the container when it exits
    #[arg(long)]
    pub(crate) rm: bool,
    /// IMAGE is a directory with a root file system; DIR:O puts a throwaway overlay above it
    #[arg(long)]
    rootfs: bool,
    /// Set a label
    #[arg(long, short, value_name = "KEY=VALUE", value_parser = value::<Label>)]
    label: Vec<Label>,
    /// Read labels from a file, one a line
    #[arg(long, value_name = "FILE")]
    label_file: Vec<PathBuf>,
    /// Set an annotation of the runtime specification
    #[arg(long, value_name = "KEY=VALUE", value_delimiter = ',', value_parser = annotation)]
    annotation: Vec<Label>,
    /// Write the container's id to this file, which must not exist
    #[arg(long, value_name = "FILE")]
    pub(crate) cidfile: Option<PathBuf>,
    /// Write the pid of the container's process to this file at each start
    #[arg(long, value_name = "FILE")]
    pidfile: Option<PathBuf>,
    /// Write the pid of the container's monitor to this file at each start
    #[arg(long, value_name = "FILE")]
    conmon_pidfile: Option<PathBuf>,

    // --- the process
    /// Replace the image's entry point; a JSON list or one word, "" for none
    #[arg(long, value_name = "COMMAND|JSON", help_heading = "Process", value_parser = entrypoint)]
    entrypoint: Option<Entrypoint>,
    /// Set an environment variable; NAME alone takes this shell's value, PREFIX* all that begin so
    #[arg(long, short, value_name = "NAME=VALUE", help_heading = "Process", value_parser = value::<EnvArgument>)]
    env: Vec<EnvArgument>,
    /// Read environment variables from a file, one a line
    #[arg(long, value_name = "FILE", help_heading = "Process")]
    env_file: Vec<PathBuf>,
    /// Drop a variable of the image
    #[arg(long, value_name = "NAME", help_heading = "Process")]
    unsetenv: Vec<String>,
    /// Drop all variables of the image
    #[arg(long, help_heading = "Process")]
    unsetenv_all: bool,
    /// Working directory, which must exist
    #[arg(long, short, value_name = "DIR", help_heading = "Process")]
    workdir: Option<PathBuf>,
    /// User and group, each a name or a number
    #[arg(long, short, value_name = "USER[:GROUP]", help_heading = "Process", value_parser = value::<User>)]
    user: Option<User>,
    /// Add a group
    #[arg(long, value_name = "GROUP", help_heading = "Process", value_delimiter = ',', value_parser = group)]
    group_add: Vec<String>,
    /// Keep stdin open
    #[arg(long, short, help_heading = "Process")]
    pub(crate) interactive: bool,
    /// Give it a terminal
    #[arg(long, short, help_heading = "Process")]
    pub(crate) tty: bool,
    /// Attach to stdin, stdout or stderr only
    #[arg(long, short, value_name = "STREAM", help_heading = "Process", value_delimiter = ',', value_parser = stream)]
    pub(crate) attach: Vec<Attach>,
    /// Run an init process that reaps zombies and passes on signals
    #[arg(long, help_heading = "Process")]
    init: bool,
    /// The init program, on the host [default: catatonit]
    #[arg(long, value_name = "FILE", help_heading = "Process")]
    init_path: Option<PathBuf>,
    /// File mode mask
    #[arg(long, value_name = "MASK", help_heading = "Process", value_parser = octal)]
    umask: Option<u32>,
    /// Time zone: a name, or `local`
    #[arg(long, value_name = "ZONE", help_heading = "Process")]
    tz: Option<String>,
    /// Preference of the OOM killer, -1000 to 1000
    #[arg(long, value_name = "NUMBER", help_heading = "Process", allow_negative_numbers = true, value_parser = clap::value_parser!(i32).range(-1000..=1000))]
    oom_score_adj: Option<i32>,

    // --- lifetime
    /// When to start it again: no, always, unless-stopped, on-failure or on-failure:COUNT
    #[arg(long, value_name = "POLICY", help_heading = "Lifetime", value_parser = value::<RestartPolicy>)]
    restart: Option<RestartPolicy>,
    /// Signal that stops it [default: the image's, else TERM]
    #[arg(long, value_name = "SIGNAL", help_heading = "Lifetime", value_parser = value::<Signal>)]
    stop_signal: Option<Signal>,
    /// Seconds between that signal and KILL; -1 for ever [default: 10]
    #[arg(long, value_name = "SECONDS", help_heading = "Lifetime", allow_negative_numbers = true, value_parser = value::<Timeout>)]
    stop_timeout: Option<Timeout>,
    /// Kill it after so many seconds; 0 for never
    #[arg(long, value_name = "SECONDS", help_heading = "Lifetime")]
    timeout: Option<u32>,

    // --- files
    /// Mount a host directory or a volume
    #[arg(long, short, value_name = "[SOURCE:]DESTINATION[:OPTIONS]", help_heading = "Files", value_parser = volume)]
    volume: Vec<Mount>,
    /// Mount: type=bind|volume|tmpfs,src=SOURCE,dst=DESTINATION,OPTIONS
    #[arg(long, value_name = "MOUNT", help_heading = "Files", value_parser = value::<Mount>)]
    mount: Vec<Mount>,
    /// Mount memory
    #[arg(long, value_name = "DESTINATION[:OPTIONS]", help_heading = "Files", value_parser = value::<TmpfsMount>)]
    tmpfs: Vec<TmpfsMount>,
    /// Make the root file system read-only
    #[arg(long, help_heading = "Files")]
    read_only: bool,
    /// With --read-only, keep /run, /tmp and /var/tmp writable [default: true]
    #[arg(long, value_name = "BOOL", help_heading = "Files", num_args = 0..=1, require_equals = true, default_missing_value = "true", value_parser = clap::builder::BoolishValueParser::new(), hide_possible_values = true)]
    read_only_tmpfs: Option<bool>,
    /// Give it a device; ACCESS is some of r, w and m
    #[arg(long, value_name = "SOURCE[:DESTINATION][:ACCESS]", help_heading = "Files", value_delimiter = ',', value_parser = value::<Device>)]
    device: Vec<Device>,
    /// Size of /dev/shm [default: 64m]
    #[arg(long, value_name = "SIZE", help_heading = "Files", value_parser = value::<ByteSize>)]
    shm_size: Option<ByteSize>,

    // --- security
    /// Give it all capabilities and devices, hide nothing
    #[arg(long, help_heading = "Security")]
    privileged: bool,
    /// Add a capability, or ALL
    #[arg(long, value_name = "CAP", help_heading = "Security", value_delimiter = ',', value_parser = value::<Capability>)]
    cap_add: Vec<Capability>,
    /// Drop a capability, or ALL
    #[arg(long, value_name = "CAP", help_heading = "Security", value_delimiter = ',', value_parser = value::<Capability>)]
    cap_drop: Vec<Capability>,
    /// seccomp=FILE|unconfined, no-new-privileges, mask=PATH, unmask=PATH|ALL, label=..., apparmor=...
    #[arg(long, value_name = "OPTION", help_heading = "Security", value_parser = value::<SecurityOption>)]
    security_opt: Vec<SecurityOption>,
    /// Allow or deny devices: KIND MAJOR:MINOR ACCESS, as in "c 1:3 rw"
    #[arg(long, value_name = "RULE", help_heading = "Security", value_delimiter = ',', value_parser = value::<DeviceCgroupRule>)]
    device_cgroup_rule: Vec<DeviceCgroupRule>,

    // --- namespaces and network
    /// Processes: private, host, container:NAME, ns:PATH
    #[arg(long, value_name = "MODE", help_heading = "Namespaces", value_parser = namespace(NamespaceKind::Pid))]
    pid: Option<NamespaceMode>,
    /// IPC: shareable, private, host, none, container:NAME, ns:PATH
    #[arg(long, value_name = "MODE", help_heading = "Namespaces", value_parser = namespace(NamespaceKind::Ipc))]
    ipc: Option<NamespaceMode>,
    /// Host name: private, host, container:NAME, ns:PATH
    #[arg(long, value_name = "MODE", help_heading = "Namespaces", value_parser = namespace(NamespaceKind::Uts))]
    uts: Option<NamespaceMode>,
    /// View of the cgroups: private, host, container:NAME, ns:PATH
    #[arg(long, value_name = "MODE", help_heading = "Namespaces", value_parser = namespace(NamespaceKind::Cgroup))]
    cgroupns: Option<NamespaceMode>,
    /// Host name
    #[arg(long, short = 'h', value_name = "NAME", help_heading = "Namespaces", value_parser = hostname)]
    hostname: Option<String>,

    // --- network
    /// Network: bridge, none, host, container:NAME, ns:PATH, or a network; may be repeated for networks
    #[arg(long, visible_alias = "net", value_name = "MODE|NETWORK[:ip=ADDRESS,mac=ADDRESS,interface_name=NAME,alias=NAME]", help_heading = "Network", value_parser = value::<NetworkArgument>)]
    network: Vec<NetworkArgument>,
    /// Publish a port, or a range, on the host
    #[arg(long, short, value_name = "[[ADDRESS:]HOST-PORT:]PORT[/PROTOCOL]", help_heading = "Network", value_parser = value::<Publish>)]
    publish: Vec<Publish>,
    /// Publish all ports of the image and of --expose on free ports of the host
    #[arg(long, short = 'P', help_heading = "Network")]
    publish_all: bool,
    /// A port for --publish-all
    #[arg(long, value_name = "PORT[-PORT][/PROTOCOL]", help_heading = "Network", value_delimiter = ',', value_parser = value::<Expose>)]
    expose: Vec<Expose>,
    /// IPv4 address
    #[arg(long, value_name = "ADDRESS", help_heading = "Network", value_parser = clap::value_parser!(Ipv4Addr))]
    ip: Option<Ipv4Addr>,
    /// IPv6 address
    #[arg(long, value_name = "ADDRESS", help_heading = "Network", value_parser = clap::value_parser!(Ipv6Addr))]
    ip6: Option<Ipv6Addr>,
    /// Hardware address
    #[arg(long, value_name = "ADDRESS", help_heading = "Network", value_parser = value::<MacAddress>)]
    mac_address: Option<MacAddress>,
    /// A further name for others on its networks
    #[arg(long, value_name = "NAME", help_heading = "Network", value_delimiter = ',', value_parser = network_alias)]
    network_alias: Vec<String>,
    /// Leave the image's /etc/hosts as it is
    #[arg(long, help_heading = "Network")]
    no_hosts: bool,
    /// Add a line to /etc/hosts
    #[arg(long, value_name = "NAME:ADDRESS", help_heading = "Network", value_delimiter = ',', value_parser = value::<HostEntry>)]
    add_host: Vec<HostEntry>,
    /// Name server
    #[arg(long, value_name = "ADDRESS", help_heading = "Network", value_delimiter = ',', value_parser = name_server)]
    dns: Vec<IpAddr>,
    /// Resolver option
    #[arg(
        long,
        visible_alias = "dns-opt",
        value_name = "OPTION",
        help_heading = "Network",
        value_delimiter = ','
    )]
    dns_option: Vec<String>,
    /// Domain in which short names are looked up; "." for none
    #[arg(long, value_name = "DOMAIN", help_heading = "Network", value_delimiter = ',')]
    dns_search: Vec<String>,
    /// Kernel parameter of its namespaces
    #[arg(long, value_name = "NAME=VALUE", help_heading = "Namespaces", value_delimiter = ',', value_parser = value::<Sysctl>)]
    sysctl: Vec<Sysctl>,

    // --- limits
    /// Memory
    #[arg(long, short, value_name = "SIZE", help_heading = "Limits", value_parser = value::<ByteSize>)]
    memory: Option<ByteSize>,
    /// Memory it is pressed down to when the host is short of it
    #[arg(long, value_name = "SIZE", help_heading = "Limits", value_parser = value::<ByteSize>)]
    memory_reservation: Option<ByteSize>,
    /// Memory and swap together; -1 for no limit
    #[arg(long, value_name = "SIZE", help_heading = "Limits", allow_negative_numbers = true, value_parser = value::<MemoryLimit>)]
    memory_swap: Option<MemoryLimit>,
    /// Tendency to swap, 0 to 100; -1 for the system's
    #[arg(long, value_name = "NUMBER", help_heading = "Limits", allow_negative_numbers = true, value_parser = clap::value_parser!(i64).range(-1..=100))]
    memory_swappiness: Option<i64>,
    /// Number of CPUs
    #[arg(long, value_name = "NUMBER", help_heading = "Limits", value_parser = value::<CpuCount>, conflicts_with_all = ["cpu_period", "cpu_quota"])]
    cpus: Option<CpuCount>,
    /// CFS period in microseconds
    #[arg(long, value_name = "US", help_heading = "Limits")]
    cpu_period: Option<u64>,
    /// CFS quota in microseconds
    #[arg(long, value_name = "US", help_heading = "Limits", allow_negative_numbers = true)]
    cpu_quota: Option<i64>,
    /// Real-time period in microseconds
    #[arg(long, value_name = "US", help_heading = "Limits")]
    cpu_rt_period: Option<u64>,
    /// Real-time run time in microseconds
    #[arg(long, value_name = "US", help_heading = "Limits", allow_negative_numbers = true)]
    cpu_rt_runtime: Option<i64>,
    /// Share of the CPUs, relative to others
    #[arg(long, short, value_name = "NUMBER", help_heading = "Limits")]
    cpu_shares: Option<u64>,
    /// CPUs, as in 0-3,8
    #[arg(long, value_name = "LIST", help_heading = "Limits", value_parser = number_list)]
    cpuset_cpus: Option<String>,
    /// Memory nodes, as in 0,1
    #[arg(long, value_name = "LIST", help_heading = "Limits", value_parser = number_list)]
    cpuset_mems: Option<String>,
    /// Number of processes; -1 for no limit
    #[arg(long, value_name = "NUMBER", help_heading = "Limits", allow_negative_numbers = true, value_parser = clap::value_parser!(i64).range(-1..))]
    pids_limit: Option<i64>,
    /// Share of the disks' time, 10 to 1000
    #[arg(long, value_name = "NUMBER", help_heading = "Limits", value_parser = clap::value_parser!(u16).range(10..=1000))]
    blkio_weight: Option<u16>,
    /// Limit of each process; `host` keeps this shell's limits
    #[arg(long, value_name = "NAME=SOFT[:HARD]", help_heading = "Limits", value_delimiter = ',', value_parser = value::<Ulimit>)]
    ulimit: Vec<Ulimit>,
    /// Cgroup under which its own is made
    #[arg(long, value_name = "PATH", help_heading = "Limits")]
    cgroup_parent: Option<String>,
    /// Whether it gets a cgroup: enabled, disabled
    #[arg(long, value_name = "MODE", help_heading = "Limits", value_parser = cgroups)]
    cgroups: Option<CgroupMode>,

    // --- log
    /// Where its output is kept: k8s-file, json-file, none, passthrough
    #[arg(long, value_name = "DRIVER", help_heading = "Log", value_parser = value::<LogDriver>)]
    pub(crate) log_driver: Option<LogDriver>,
    /// path=FILE, max-size=SIZE, max-file=COUNT
    #[arg(long, value_name = "NAME=VALUE", help_heading = "Log", value_delimiter = ',', value_parser = value::<LogOption>)]
    log_opt: Vec<LogOption>,

    #[command(flatten)]
    pub(crate) pull: PullFlags,
    #[command(flatten)]
    refused: Refused,
}

/// An entry point; a type of its own, because clap takes a vector for a flag that may be repeated.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Entrypoint(Vec<String>);

/// Reads environment variables: those of the files first, then those of the flags.
pub(crate) fn environment_variables(
    files: &[PathBuf],
    flags: Vec<EnvArgument>,
    environment: &Environment,
) -> Result<Vec<EnvVar>> {
    let caller = environment.text_variables();
    let mut variables = Vec::new();
    for file in files {
        let arguments = parse_env_file(&file.to_string_lossy(), &read_text(file)?)?;
        variables.extend(arguments.into_iter().flat_map(|argument| argument.resolve(&caller)));
    }
    variables.extend(flags.into_iter().flat_map(|argument| argument.resolve(&caller)));
    Ok(variables)
}

/// A file or pipe (`--env-file <(…)`) that is text.
fn read_text(file: &Path) -> Result<String> {
    let name = || format!("cannot read {}", file.display());
    let mut bytes = Vec::new();
    let opened = File::open(file).with_context(name)?;
    opened.take(MAX_FILE + 1).read_to_end(&mut bytes).with_context(name)?;
    if bytes.len() as u64 > MAX_FILE {
        bail!("{} is larger than {} MiB", file.display(), MAX_FILE >> 20);
    }
    String::from_utf8(bytes).with_context(|| format!("{} is not UTF-8 text", file.display()))
}

fn host_path(path: &Path) -> Result<PathBuf> {
    absolute(path).with_context(|| format!("{:?} is not a path", path.display()))
}

impl CreateFlags {
    /// The image or directory and the command, as given.
    fn source(&mut self) -> Result<(Source, Vec<String>)> {
        let mut words = std::mem::take(&mut self.words).into_iter();
        let first = words.next().unwrap_or_default();
        if first.is_empty() {
            bail!("the image's name is empty");
        }
        let source = if self.rootfs {
            let rootfs: Rootfs = first.parse()?;
            Source::Rootfs(Rootfs { path: host_path(&rootfs.path)?, ..rootfs })
        } else {
            Source::Image(first)
        };
        Ok((source, words.collect()))
    }

    /// The request.
    pub(crate) fn request(
        mut self,
        environment: &Environment,
        command_line: &[OsString],
    ) -> Result<CreateRequest> {
        if let Some(dir) = &self.workdir
            && !dir.is_absolute()
        {
            bail!("--workdir {}: expected an absolute path", dir.display());
        }
        let (source, command) = self.source()?;
        let (mode, networks) = self.networks()?;
        let mut labels = Vec::new();
        for file in &self.label_file {
            labels.extend(parse_label_file(&file.to_string_lossy(), &read_text(file)?)?);
        }
        labels.append(&mut self.label);
        let process = ProcessOptions {
            entrypoint: self.entrypoint.take().map(|Entrypoint(words)| words),
            env: environment_variables(&self.env_file, std::mem::take(&mut self.env), environment)?,
            unset_env: std::mem::take(&mut self.unsetenv),
            unset_env_all: self.unsetenv_all,
            workdir: self.workdir.take(),
            user: self.user.take(),
            groups: std::mem::take(&mut self.group_add),
            hostname: self.hostname.take(),
            terminal: self.tty,
            stdin_open: self.interactive,
            umask: self.umask,
            timezone: self.tz.take(),
            init: InitOptions {
                enabled: self.init || self.init_path.is_some(),
                path: self.init_path.as_deref().map(host_path).transpose()?,
            },
            oom_score_adj: self.oom_score_adj,
        };
        Ok(CreateRequest {
            command,
            name: self.name.take(),
            replace: self.replace,
            auto_remove: self.rm,
            labels,
            annotations: std::mem::take(&mut self.annotation),
            process,
            security: self.security()?,
            namespaces: NamespaceOptions {
                pid: self.pid.take(),
                ipc: self.ipc.take(),
                uts: self.uts.take(),
                network: mode,
                cgroup: self.cgroupns.take(),
            },
            network: self.network_options(networks),
            hosts: HostsOptions {
                no_hosts: self.no_hosts,
                add_hosts: std::mem::take(&mut self.add_host),
                dns_servers: std::mem::take(&mut self.dns),
                dns_options: std::mem::take(&mut self.dns_option),
                dns_search: std::mem::take(&mut self.dns_search),
            },
            mounts: self.mounts()?,
            devices: std::mem::take(&mut self.device),
            logging: self.logging()?,
            lifetime: LifetimeOptions {
                restart: self.restart.unwrap_or_default(),
                stop_signal: self.stop_signal,
                stop_timeout: self.stop_timeout,
                run_timeout: self.timeout.filter(|seconds| *seconds > 0),
            },
            pid_file: self.pidfile.as_deref().map(host_path).transpose()?,
            monitor_pid_file: self.conmon_pidfile.as_deref().map(host_path).transpose()?,
            cid_file: self.cidfile.as_deref().map(host_path).transpose()?,
            create_command: command_line
                .iter()
                .map(|word| word.to_string_lossy().into_owned())
                .collect(),
            resources: self.resources(),
            source,
        })
    }

    /// The namespace, or the networks.
    fn networks(&mut self) -> Result<(Option<NamespaceMode>, Vec<NetworkChoice>)> {
        let (mut mode, mut networks) = (None, Vec::new());
        for argument in std::mem::take(&mut self.network) {
            match argument {
                NetworkArgument::Namespace(given) => mode = Some(given),
                NetworkArgument::Network(network) => networks.push(network),
            }
        }
        if let (Some(mode), false) = (&mode, networks.is_empty()) {
            bail!("--network {mode} excludes other networks");
        }
        Ok((mode, networks))
    }

    fn network_options(&mut self, networks: Vec<NetworkChoice>) -> NetworkOptions {
        NetworkOptions {
            networks,
            publish: std::mem::take(&mut self.publish),
            publish_all: self.publish_all,
            expose: std::mem::take(&mut self.expose),
            ipv4: self.ip,
            ipv6: self.ip6,
            mac: self.mac_address,
            aliases: std::mem::take(&mut self.network_alias),
        }
    }

    fn security(&mut self) -> Result<SecurityOptions> {
        let mut security = SecurityOptions {
            privileged: self.privileged,
            cap_add: std::mem::take(&mut self.cap_add),
            cap_drop: std::mem::take(&mut self.cap_drop),
            read_only: self.read_only,
            read_only_tmpfs: self.read_only_tmpfs,
            ..SecurityOptions::default()
        };
        for option in std::mem::take(&mut self.security_opt) {
            option.apply(&mut security);
        }
        if let SeccompChoice::File(path) = &mut security.seccomp {
            *path = host_path(path)?;
        }
        Ok(security)
    }

    fn mounts(&mut self) -> Result<Vec<Mount>> {
        let mut mounts = std::mem::take(&mut self.volume);
        mounts.append(&mut self.mount);
        mounts.extend(std::mem::take(&mut self.tmpfs).into_iter().map(Mount::Tmpfs));
        for mount in &mut mounts {
            if let Some(path) = mount.host_path_mut() {
                *path = host_path(path)?;
            }
        }
        Ok(mounts)
    }

    fn logging(&mut self) -> Result<LogOptions> {
        let mut logging =
            LogOptions { driver: self.log_driver.unwrap_or_default(), ..LogOptions::default() };
        for option in std::mem::take(&mut self.log_opt) {
            option.apply(&mut logging);
        }
        logging.path = logging.path.as_deref().map(host_path).transpose()?;
        Ok(logging)
    }

    fn resources(self) -> ResourceOptions {
        ResourceOptions {
            memory: self.memory,
            memory_reservation: self.memory_reservation,
            memory_swap: self.memory_swap,
            memory_swappiness: self.memory_swappiness.and_then(|n| u64::try_from(n).ok()),
            cpus: self.cpus,
            cpu_period: self.cpu_period,
            cpu_quota: self.cpu_quota,
            cpu_rt_period: self.cpu_rt_period,
            cpu_rt_runtime: self.cpu_rt_runtime,
            cpu_shares: self.cpu_shares,
            cpuset_cpus: self.cpuset_cpus,
            cpuset_mems: self.cpuset_mems,
            pids_limit: self.pids_limit,
            blkio_weight: self.blkio_weight,
            shm_size: self.shm_size,
            ulimits: self.ulimit,
            sysctls: self.sysctl,
            device_cgroup_rules: self.device_cgroup_rule,
            cgroup_parent: self.cgroup_parent,
            cgroups: self.cgroups.unwrap_or_default(),
        }
    }
}
