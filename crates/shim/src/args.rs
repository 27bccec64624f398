//! The monitor's command line, built from values: whoever starts a monitor spells no option.

use std::ffi::OsString;
use std::path::{Path, PathBuf};

/// Everything a monitor is told. Options that are conmon's mean what they mean there.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct MonitorArgs {
    /// The container's id: the runtime's last argument, the name of the exit file.
    pub container: String,
    /// The session's id: the container's, or that of an exec session.
    pub session: String,
    /// The container's name, for logs that carry it.
    pub name: Option<String>,
    /// The OCI runtime's path.
    pub runtime: PathBuf,
    /// Arguments before the runtime's sub-command.
    pub runtime_args: Vec<OsString>,
    /// Arguments after the sub-command's own.
    pub runtime_options: Vec<OsString>,
    /// The bundle.
    pub bundle: PathBuf,
    /// Where the files of [`crate::files`] go; the bundle if `None`. (No option of conmon.)
    pub run_dir: Option<PathBuf>,
    /// Where the runtime writes the container's pid.
    pub container_pidfile: Option<PathBuf>,
    /// Where the monitor's pid is written.
    pub monitor_pidfile: Option<PathBuf>,
    /// The container has a terminal.
    pub terminal: bool,
    /// The container has a stdin pipe.
    pub stdin: bool,
    /// Its stdin stays open when the client that wrote to it ends.
    pub leave_stdin_open: bool,
    /// Where its output goes. None given means [`LogTarget::None`].
    pub logs: Vec<LogTarget>,
    /// How much of it is kept.
    pub log_limits: LogLimits,
    /// fsync the log at the end.
    pub sync_log: bool,
    /// Where the exit code is written as `<exit_dir>/<container>`.
    pub exit_dir: Option<PathBuf>,
    /// Where `exit` and `oom` are written too.
    pub persist_dir: Option<PathBuf>,
    /// Clients that are too slow for the output can read on in the log, and are told where. (No option of conmon.)
    pub attach_catch_up: bool,
    /// What runs when everything is over.
    pub exit_command: Option<ExitCommand>,
    /// Seconds after which the container is killed.
    pub timeout: Option<u32>,
    /// For which program this is.
    pub dialect: Dialect,
    /// An exec session instead of a container.
    pub exec: Option<Exec>,
    /// The runtime shall use systemd's cgroups.
    pub systemd_cgroup: bool,
    /// The runtime shall not use pivot_root.
    pub no_pivot: bool,
    /// The runtime shall not make a session keyring.
    pub no_new_keyring: bool,
}

/// Which program reads the command line.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Dialect {
    /// dhow-shim.
    #[default]
    Shim,
    /// conmon: what it has no option for is left out, and the run directory is its bundle, so that sockets, FIFOs and the
    /// exit file (`exit`) are there. An older one does not rotate: a full log loses its contents.
    Conmon,
}

impl Dialect {
    /// That of the program at this path: ours is called `dhow-shim`; whatever else it is called, it understands conmon's.
    #[must_use]
    pub fn of(program: &Path) -> Self {
        let name = program.file_name().unwrap_or_default().to_string_lossy();
        if name.starts_with("dhow-shim") { Dialect::Shim } else { Dialect::Conmon }
    }
}

/// Where output is logged.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum LogTarget {
    /// In the format of Kubernetes' CRI.
    K8sFile(PathBuf),
    /// In the format of docker's json-file. (No driver of conmon.)
    JsonFile(PathBuf),
    /// In systemd's journal.
    Journald,
    /// Nowhere; attached clients get it.
    None,
    /// The container has the monitor's own stdin, stdout and stderr; nobody attaches.
    Passthrough,
}

/// How much of a log is kept.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct LogLimits {
    /// Bytes a file.
    pub max_size: Option<u64>,
    /// Bytes after which nothing more is logged.
    pub max_total: Option<u64>,
    /// A full file is kept as `.1` (and that as `.2` …) instead of being thrown away.
    pub rotate: bool,
    /// How many of those.
    pub max_files: Option<u32>,
}

/// What runs when everything is over.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ExitCommand {
    /// Program and arguments; no empty list.
    pub argv: Vec<OsString>,
    /// Seconds to wait first.
    pub delay: Option<u32>,
    /// The command waits for this file's flock, and does not run if the file is gone by then. (No option of conmon.)
    pub lock: Option<PathBuf>,
}

/// What makes an exec session.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Exec {
    /// The OCI process specification.
    pub process_spec: PathBuf,
    /// The runtime starts only when a client had time to attach: at the second message on the start pipe.
    pub attach: bool,
}

impl MonitorArgs {
    /// The least there is: a container without terminal or stdin, whose output is not logged.
    pub fn new(
        container: impl Into<String>,
        runtime: impl Into<PathBuf>,
        bundle: impl Into<PathBuf>,
    ) -> Self {
        let container = container.into();
        MonitorArgs {
            session: container.clone(),
            container,
            name: None,
            runtime: runtime.into(),
            runtime_args: Vec::new(),
            runtime_options: Vec::new(),
            bundle: bundle.into(),
            run_dir: None,
            container_pidfile: None,
            monitor_pidfile: None,
            terminal: false,
            stdin: false,
            leave_stdin_open: false,
            logs: Vec::new(),
            log_limits: LogLimits::default(),
            sync_log: true,
            exit_dir: None,
            persist_dir: None,
            attach_catch_up: false,
            exit_command: None,
            timeout: None,
            dialect: Dialect::Shim,
            exec: None,
            systemd_cgroup: false,
            no_pivot: false,
            no_new_keyring: false,
        }
    }

    /// The arguments, without the program's name.
    #[must_use]
    pub fn to_argv(&self) -> Vec<OsString> {
        let mut argv = Argv(Vec::with_capacity(48));
        argv.flag("--api-version", true);
        argv.option("--cid", &self.container);
        argv.option("--cuuid", &self.session);
        argv.maybe("--name", self.name.as_ref());
        argv.option("--runtime", &self.runtime);
        argv.each("--runtime-arg", &self.runtime_args);
        argv.each("--runtime-opt", &self.runtime_options);
        let ours = self.dialect == Dialect::Shim;
        let run_dir = self.run_dir.as_ref();
        argv.option("--bundle", run_dir.filter(|_| !ours).unwrap_or(&self.bundle));
        argv.flag("--full-attach", true);
        argv.maybe("--run-dir", run_dir.filter(|_| ours));
        argv.maybe("--container-pidfile", self.container_pidfile.as_ref());
        argv.maybe("--conmon-pidfile", self.monitor_pidfile.as_ref());
        argv.flag("--terminal", self.terminal);
        argv.flag("--stdin", self.stdin);
        argv.flag("--leave-stdin-open", self.leave_stdin_open);
        self.log_argv(&mut argv);
        argv.maybe("--exit-dir", self.exit_dir.as_ref());
        let exit_file_in = run_dir.filter(|_| !ours && self.exec.is_none());
        argv.maybe("--persist-dir", self.persist_dir.as_ref().or(exit_file_in));
        argv.flag("--attach-catch-up", self.attach_catch_up && ours);
        if let Some(command) = &self.exit_command {
            let mut words = command.argv.iter();
            argv.maybe("--exit-command", words.next());
            words.for_each(|word| argv.option("--exit-command-arg", word));
            argv.maybe("--exit-delay", command.delay.map(|d| d.to_string()));
            argv.maybe("--exit-command-lock", command.lock.as_ref().filter(|_| ours));
        }
        argv.maybe("--timeout", self.timeout.map(|t| t.to_string()));
        if let Some(exec) = &self.exec {
            argv.flag("--exec", true);
            argv.flag("--exec-attach", exec.attach);
            argv.option("--exec-process-spec", &exec.process_spec);
        }
        argv.flag("--systemd-cgroup", self.systemd_cgroup);
        argv.flag("--no-pivot", self.no_pivot);
        argv.flag("--no-new-keyring", self.no_new_keyring);
        argv.0
    }

    fn log_argv(&self, argv: &mut Argv) {
        for target in &self.logs {
            argv.option("--log-path", target.to_option());
        }
        if self.logs.is_empty() {
            argv.option("--log-path", LogTarget::None.to_option());
        }
        argv.maybe("--log-size-max", self.log_limits.max_size.map(|n| n.to_string()));
        argv.maybe("--log-global-size-max", self.log_limits.max_total.map(|n| n.to_string()));
        if self.dialect == Dialect::Shim {
            argv.flag("--log-rotate", self.log_limits.rotate);
            argv.maybe("--log-max-files", self.log_limits.max_files.map(|n| n.to_string()));
        }
        argv.flag("--no-sync-log", !self.sync_log);
    }
}

impl LogTarget {
    /// As `--log-path` takes it.
    #[must_use]
    pub fn to_option(&self) -> OsString {
        let (driver, path) = match self {
            LogTarget::K8sFile(path) => ("k8s-file:", path.as_os_str()),
            LogTarget::JsonFile(path) => ("json-file:", path.as_os_str()),
            LogTarget::Journald => ("journald", "".as_ref()),
            LogTarget::None => ("none", "".as_ref()),
            LogTarget::Passthrough => ("passthrough", "".as_ref()),
        };
        let mut text = OsString::from(driver);
        text.push(path);
        text
    }
}

struct Argv(Vec<OsString>);

impl Argv {
    fn flag(&mut self, name: &str, on: bool) {
        if on {
            self.0.push(name.into());
        }
    }

    fn option(&mut self, name: &str, value: impl Into<OsString>) {
        self.0.push(name.into());
        self.0.push(value.into());
    }

    fn maybe(&mut self, name: &str, value: Option<impl Into<OsString>>) {
        if let Some(value) = value {
            self.option(name, value);
        }
    }

    fn each(&mut self, name: &str, values: &[OsString]) {
        values.iter().for_each(|value| self.option(name, value));
    }
}
