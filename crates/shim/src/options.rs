//! The command line: conmon's grammar (GLib's), its names and its error texts, with the options that are only ours.
//!
//! INVARIANT: an option that cannot be carried out is refused by name; none is accepted and ignored. Nothing is touched here
//! but that the runtime is looked at.

mod grammar;
mod help;
mod table;

use std::ffi::{OsStr, OsString};
use std::os::unix::ffi::OsStrExt as _;
use std::path::{Path, PathBuf};
use std::time::Duration;

use dhow_shim::args::LogTarget;
use dhow_shim::sync::Key;

use crate::say::Level;
use grammar::Given;

/// What was asked for.
#[derive(Debug)]
pub(crate) enum Request {
    /// Help or version.
    Print(String),
    /// To be a monitor.
    Monitor(Box<Options>),
}

/// A command line that is refused; conmon's words.
#[derive(Debug, PartialEq, Eq, thiserror::Error)]
#[error("{0}")]
pub(crate) struct Refused(pub(crate) String);

/// Everything a monitor is told, checked.
#[derive(Debug)]
pub(crate) struct Options {
    pub(crate) container: String,
    pub(crate) runtime: Runtime,
    /// Where attach, ctl, winsz and the records are; `None`: nowhere.
    pub(crate) run_dir: Option<PathBuf>,
    /// Whether started.json and exit.json are written: `--run-dir` was given.
    pub(crate) records: bool,
    /// The link by which the run directory is found: `<socket dir>/<session>`.
    pub(crate) link: Option<PathBuf>,
    pub(crate) container_pidfile: PathBuf,
    pub(crate) monitor_pidfile: Option<PathBuf>,
    pub(crate) stdio: Stdio,
    pub(crate) log: Log,
    pub(crate) exit: Exit,
    pub(crate) timeout: Option<Duration>,
    pub(crate) mode: Mode,
    pub(crate) speech: Speech,
    /// Where the container's messages for systemd are forwarded to.
    pub(crate) notify: Option<PathBuf>,
    /// The names of numbers on the sync pipe: (pid, exit code); `None`: not sent.
    pub(crate) keys: (Option<Key>, Option<Key>),
    /// Do not fork; the exit status is the container's.
    pub(crate) foreground: bool,
    /// How long a client may keep the output waiting before it is dropped.
    pub(crate) patience: Duration,
    /// Clients read on in the log when they are too slow.
    pub(crate) catch_up: bool,
}

/// How the OCI runtime is called.
#[derive(Debug)]
pub(crate) struct Runtime {
    pub(crate) path: PathBuf,
    pub(crate) args: Vec<OsString>,
    pub(crate) options: Vec<OsString>,
    pub(crate) bundle: Option<PathBuf>,
    pub(crate) systemd_cgroup: bool,
    pub(crate) no_pivot: bool,
    pub(crate) no_new_keyring: bool,
    /// Its `$LISTEN_PID` becomes its pid, whatever ours says.
    pub(crate) replace_listen_pid: bool,
}

/// A container or an exec session.
#[derive(Debug)]
pub(crate) enum Mode {
    Create,
    /// A container from a checkpoint.
    Restore {
        checkpoint: PathBuf,
    },
    Exec {
        process_spec: PathBuf,
        /// The runtime waits for a second word on the start pipe.
        attach: bool,
    },
}

/// The container's stdio.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Stdio {
    pub(crate) terminal: bool,
    pub(crate) stdin: bool,
    pub(crate) leave_stdin_open: bool,
    pub(crate) passthrough: bool,
}

/// Where output is logged.
#[derive(Debug)]
pub(crate) struct Log {
    pub(crate) k8s_file: Option<PathBuf>,
    pub(crate) json_file: Option<PathBuf>,
    pub(crate) journal: Option<Journal>,
    /// `--no-container-partial-message` was given where nothing is marked.
    pub(crate) marks_partial_in_vain: bool,
    pub(crate) limits: LogLimits,
    /// Only logs in or below these directories are rotated; empty: all are.
    pub(crate) rotate_below: Vec<PathBuf>,
    pub(crate) sync: bool,
}

/// What the journal is told with each line.
#[derive(Debug)]
pub(crate) struct Journal {
    /// The whole id, of more than [`SHORT_ID`] bytes.
    pub(crate) container: String,
    pub(crate) name: Option<OsString>,
    pub(crate) tag: Option<OsString>,
    /// `NAME=VALUE` each.
    pub(crate) labels: Vec<OsString>,
    /// Whether parts of lines are marked as such.
    pub(crate) marks_partial: bool,
}

/// How the monitor speaks of itself.
#[derive(Debug)]
pub(crate) struct Speech {
    pub(crate) level: Level,
    pub(crate) syslog: bool,
    pub(crate) tag: Option<String>,
}

/// Bytes of the short form of an id.
pub(crate) const SHORT_ID: usize = 12;

/// How much is kept.
#[derive(Debug, Clone, Copy)]
pub(crate) struct LogLimits {
    pub(crate) max_size: Option<u64>,
    pub(crate) max_total: Option<u64>,
    /// How many full files are kept; `None`: they are not.
    pub(crate) rotate: Option<u32>,
}

/// What is done at the end.
#[derive(Debug)]
pub(crate) struct Exit {
    pub(crate) exit_dir: Option<PathBuf>,
    pub(crate) persist_dir: Option<PathBuf>,
    pub(crate) command: Option<Vec<OsString>>,
    pub(crate) delay: Duration,
    pub(crate) lock: Option<PathBuf>,
}

/// The newest conmon whose command line this is; engines look at it.
const CONMON_VERSION: &str = "2.2.1";
/// Where the links of sessions are, if nothing else is said.
const SOCKET_DIR: &str = "/var/run/crio";
/// How long a client may keep the output waiting, if nothing else is said.
const PATIENCE: Duration = Duration::from_secs(2);

/// What to call ourselves in messages: the name we were called by.
pub(crate) fn program_name(argv0: Option<OsString>) -> String {
    let path = PathBuf::from(argv0.unwrap_or_default());
    path.file_name()
        .map_or_else(|| "dhow-shim".to_owned(), |name| name.to_string_lossy().into_owned())
}

/// Reads the arguments that follow the program's name.
pub(crate) fn parse(argv: impl Iterator<Item = OsString>) -> Result<Request, Refused> {
    let given = match grammar::read(argv)? {
        grammar::Read::Help => return Ok(Request::Print(help::help())),
        grammar::Read::Given(given) => given,
    };
    if given.flag("manual") {
        return Ok(Request::Print(help::manual()));
    }
    if given.flag("version") {
        let text = format!(
            "conmon version {CONMON_VERSION}\ncommit: dhow-shim {}\n",
            env!("CARGO_PKG_VERSION")
        );
        return Ok(Request::Print(text));
    }
    resolve(&given).map(|options| Request::Monitor(Box::new(options)))
}

fn refuse<T>(text: impl Into<String>) -> Result<T, Refused> {
    Err(Refused(text.into()))
}

/// Checks in conmon's order, since callers see the first thing that is wrong.
fn resolve(given: &Given) -> Result<Options, Refused> {
    let rotate = rotation(given)?;
    let Some(container) = given.text("cid") else {
        return refuse("Container ID not provided. Use --cid");
    };
    for name in ["seccomp-notify-socket", "seccomp-notify-plugins"] {
        if given.has(name) {
            return refuse(format!(
                "--{name} is not supported: it takes plugins that are loaded into the monitor, and conmon has given it up"
            ));
        }
    }
    let level = log_level(given)?;
    let new_api = given.flag("api-version");
    let mut mode = mode(given, new_api)?;
    let exec = matches!(mode, Mode::Exec { .. });
    let session = match given.text("cuuid") {
        Some(session) => session,
        None if exec && !new_api => container.clone(),
        None => return refuse("Container UUID not provided. Use --cuuid"),
    };
    let runtime = runtime(given, exec)?;
    if let Mode::Exec { process_spec, .. } = &mut mode {
        let Some(spec) = given.path("exec-process-spec") else {
            return refuse("Exec process spec path not provided. Use --exec-process-spec");
        };
        *process_spec = spec;
    }
    let Ok(delay) = u64::try_from(given.integer("exit-delay", i64::MIN, i64::MAX)?.unwrap_or(0))
    else {
        return refuse("Delay before invoking exit command must be greater than or equal to 0");
    };
    let (log, passthrough) = log(given, &container, rotate)?;

    let run_dir = given
        .path("run-dir")
        .or_else(|| runtime.bundle.clone())
        .filter(|_| !passthrough || given.has("run-dir"));
    let link = runtime
        .bundle
        .as_ref()
        .filter(|_| !given.flag("full-attach") && !given.has("run-dir") && !passthrough);
    let link = link
        .map(|_| given.path("socket-dir-path").unwrap_or_else(|| SOCKET_DIR.into()).join(&session));
    Ok(Options {
        runtime,
        records: given.has("run-dir"),
        run_dir,
        link,
        container_pidfile: given
            .path("container-pidfile")
            .unwrap_or_else(|| format!("pidfile-{container}").into()),
        monitor_pidfile: given.path("conmon-pidfile"),
        stdio: Stdio {
            terminal: given.flag("terminal"),
            stdin: given.flag("stdin"),
            leave_stdin_open: given.flag("leave-stdin-open"),
            passthrough,
        },
        log,
        exit: Exit {
            exit_dir: given.path("exit-dir"),
            persist_dir: given.path("persist-dir"),
            command: given.one("exit-command").map(|program| {
                std::iter::once(program).chain(given.all("exit-command-arg")).collect()
            }),
            delay: Duration::from_secs(delay),
            lock: given.path("exit-command-lock"),
        },
        notify: given.path("sdnotify-socket").filter(|path| !path.as_os_str().is_empty()),
        speech: Speech { level, syslog: given.flag("syslog"), tag: given.text("log-tag") },
        timeout: given
            .integer("timeout", i64::MIN, i64::MAX)?
            .and_then(positive)
            .map(Duration::from_secs),
        keys: match (new_api, exec) {
            (true, true) => (Some(Key::Data), Some(Key::Data)),
            (true, false) => (Some(Key::Data), None),
            (false, true) => (None, Some(Key::ExitCode)),
            (false, false) => (Some(Key::Pid), None),
        },
        foreground: given.flag("sync"),
        catch_up: given.flag("attach-catch-up"),
        patience: given
            .integer("attach-patience", 0, i64::from(i32::MAX))?
            .map_or(PATIENCE, |ms| Duration::from_millis(ms.unsigned_abs())),
        container,
        mode,
    })
}

fn positive(number: i64) -> Option<u64> {
    u64::try_from(number).ok().filter(|n| *n > 0)
}

/// How many full files are kept, if any.
fn rotation(given: &Given) -> Result<Option<u32>, Refused> {
    let rotate = given.flag("log-rotate");
    let max_files = given.integer("log-max-files", i64::MIN, i64::MAX)?.unwrap_or(1);
    match u32::try_from(max_files) {
        Err(_) => refuse("log-max-files must be non-negative"),
        Ok(0) if rotate => refuse("log-max-files must be at least 1 when log-rotate is enabled"),
        Ok(max_files) => Ok(rotate.then_some(max_files)),
    }
}

fn log_level(given: &Given) -> Result<Level, Refused> {
    let Some(name) = given.text("log-level") else { return Ok(Level::Warning) };
    match Level::of(&name) {
        Some(level) => Ok(level),
        None => refuse(format!("No such log level {name}")),
    }
}

/// Of an exec session, the specification is looked for later.
fn mode(given: &Given, new_api: bool) -> Result<Mode, Refused> {
    let attach = given.flag("exec-attach");
    match (given.flag("exec"), given.path("restore")) {
        (true, Some(_)) => refuse("Cannot use 'exec' and 'restore' at the same time"),
        (false, _) if attach => refuse("Attach can only be specified with exec"),
        (true, None) if attach && !new_api => {
            refuse("Attach can only be specified for a non-legacy exec session")
        }
        (true, None) => Ok(Mode::Exec { process_spec: PathBuf::new(), attach }),
        (false, Some(checkpoint)) => Ok(Mode::Restore { checkpoint }),
        (false, None) => Ok(Mode::Create),
    }
}

fn runtime(given: &Given, exec: bool) -> Result<Runtime, Refused> {
    let Some(path) = given.path("runtime") else {
        return refuse("Runtime path not provided. Use --runtime");
    };
    if let Err(e) = nix::unistd::access(&path, nix::unistd::AccessFlags::X_OK) {
        return refuse(format!("Runtime path {} is not valid: {}", path.display(), e.desc()));
    }
    Ok(Runtime {
        path,
        args: given.all("runtime-arg").collect(),
        options: given.all("runtime-opt").collect(),
        // Without one, an exec session has no sockets; a container's bundle is the working directory.
        bundle: given.path("bundle").or_else(|| (!exec).then(|| PathBuf::from("."))),
        systemd_cgroup: given.flag("systemd-cgroup") && !exec,
        no_pivot: given.flag("no-pivot") && !exec,
        no_new_keyring: given.flag("no-new-keyring") && !exec,
        replace_listen_pid: given.flag("replace-listen-pid"),
    })
}

/// The log, and whether the output is passed through instead.
fn log(given: &Given, container: &str, rotate: Option<u32>) -> Result<(Log, bool), Refused> {
    let limit = |name| given.integer(name, i64::MIN, i64::MAX).map(|n| n.and_then(positive));
    let limits = LogLimits {
        max_size: limit("log-size-max")?,
        max_total: limit("log-global-size-max")?,
        rotate,
    };
    let mut log = Log {
        k8s_file: None,
        json_file: None,
        journal: None,
        marks_partial_in_vain: false,
        limits,
        rotate_below: given.all("log-allowlist-dir").map(PathBuf::from).collect(),
        sync: !given.flag("no-sync-log"),
    };
    let mut passthrough = false;
    let mut targets = given.all("log-path").peekable();
    if targets.peek().is_none() {
        return refuse("Log driver not provided. Use --log-path");
    }
    for target in targets {
        match log_target(&target)? {
            LogTarget::K8sFile(path) => log.k8s_file = Some(path),
            LogTarget::JsonFile(path) => log.json_file = Some(path),
            LogTarget::Journald => log.journal = Some(journal(given, container)?),
            LogTarget::None => {}
            LogTarget::Passthrough => passthrough = true,
        }
    }
    log.marks_partial_in_vain = given.flag("no-container-partial-message") && log.journal.is_none();
    for (option, what) in [("log-tag", "--log-tag"), ("log-label", "--log-label")] {
        // As conmon: nothing is logged with `none`, and that is no error.
        if given.has(option) && log.journal.is_none() && log.k8s_file.is_some() {
            return refuse(format!("k8s-file doesn't support {what}"));
        }
        if given.has(option) && log.journal.is_none() && log.json_file.is_some() {
            return refuse(format!("json-file doesn't support {what}"));
        }
    }
    Ok((log, passthrough))
}

fn journal(given: &Given, container: &str) -> Result<Journal, Refused> {
    // The short form would not be shorter.
    if container.len() <= SHORT_ID {
        return refuse(format!("Container ID must be longer than {SHORT_ID} characters"));
    }
    let labels: Vec<OsString> = given.all("log-label").collect();
    labels.iter().try_for_each(|label| check_label(label))?;
    Ok(Journal {
        container: container.to_owned(),
        name: given.one("name").filter(|name| !name.is_empty()),
        tag: given.one("log-tag").filter(|tag| !tag.is_empty()),
        labels,
        marks_partial: !given.flag("no-container-partial-message"),
    })
}

/// `NAME=VALUE`: one `=`, and a name that the journal takes from programs.
fn check_label(label: &OsStr) -> Result<(), Refused> {
    let mut parts = label.as_bytes().split(|b| *b == b'=');
    let (name, value) = (parts.next().unwrap_or_default(), parts.next());
    let shown = label.display();
    if value.is_none() || parts.next().is_some() {
        return refuse(format!("Container labels must be in format LABEL=VALUE: '{shown}'"));
    }
    let named = |b: &u8| b.is_ascii_uppercase() || b.is_ascii_digit() || *b == b'_';
    if name.is_empty() || !name.iter().all(named) {
        return refuse(format!(
            "Container label names must contain only uppercase letters, digits and underscores: '{shown}'"
        ));
    }
    Ok(())
}

/// `DRIVER:PATH`, `:PATH` or `PATH`. A path may have colons: what is before the first is a driver only if it is one of ours.
fn log_target(text: &OsStr) -> Result<LogTarget, Refused> {
    let bytes = text.as_bytes();
    let (driver, path) = match bytes.iter().position(|b| *b == b':') {
        Some(at) => (&bytes[..at], Some(&bytes[at + 1..])),
        None => (bytes, None),
    };
    let path = path.map(|path| Path::new(OsStr::from_bytes(path)).to_path_buf());
    let named = path.clone().filter(|path| !path.as_os_str().is_empty());
    match (driver, path, named) {
        (b"", _, None) => refuse("log-path must not be empty"),
        (b"", _, Some(path)) => Ok(LogTarget::K8sFile(path)),
        (b"k8s-file", _, Some(path)) => Ok(LogTarget::K8sFile(path)),
        (b"k8s-file", _, None) => refuse("k8s-file requires a filename"),
        (b"json-file", _, Some(path)) => Ok(LogTarget::JsonFile(path)),
        // Without a colon, conmon takes this for the name of a file; nobody can mean that.
        (b"json-file", _, None) => refuse("json-file requires a filename"),
        (b"off" | b"null" | b"none", _, _) => Ok(LogTarget::None),
        (b"passthrough", _, _) => Ok(LogTarget::Passthrough),
        (b"journald", _, _) => Ok(LogTarget::Journald),
        (_, None, _) => Ok(LogTarget::K8sFile(text.into())),
        (_, Some(_), _) if driver.contains(&b'/') => Ok(LogTarget::K8sFile(text.into())),
        (_, Some(_), _) => {
            refuse(format!("No such log driver {}", String::from_utf8_lossy(driver)))
        }
    }
}

#[cfg(test)]
mod tests;
