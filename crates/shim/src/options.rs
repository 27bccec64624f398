//! The command line: conmon's grammar (GLib's), its names and its error texts, with the options that are only ours.
//!
//! INVARIANT: an option that this version cannot carry out is refused by name; none is accepted and ignored but those
//! that say so in their help. Nothing is touched here but that the runtime is looked at.

mod grammar;

use std::ffi::{OsStr, OsString};
use std::path::{Path, PathBuf};
use std::time::Duration;

use dhow_shim::args::LogTarget;
use dhow_shim::sync::Key;

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
}

/// A container or an exec session.
#[derive(Debug)]
pub(crate) enum Mode {
    Create,
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
    pub(crate) limits: LogLimits,
    pub(crate) sync: bool,
}

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
        grammar::Read::Help(text) => return Ok(Request::Print(text)),
        grammar::Read::Given(given) => given,
    };
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
    let rotate = given.flag("log-rotate");
    let max_files =
        given.integer("log-max-files", i64::from(i32::MIN), i64::from(i32::MAX))?.unwrap_or(1);
    let Ok(max_files) = u32::try_from(max_files) else {
        return refuse("log-max-files must be non-negative");
    };
    if rotate && max_files == 0 {
        return refuse("log-max-files must be at least 1 when log-rotate is enabled");
    }
    let Some(container) = given.text("cid") else {
        return refuse("Container ID not provided. Use --cid");
    };
    given.not_yet(&[
        "restore",
        "sdnotify-socket",
        "syslog",
        "replace-listen-pid",
        "log-allowlist-dir",
    ])?;
    given.not_yet(&[
        "no-container-partial-message",
        "seccomp-notify-socket",
        "seccomp-notify-plugins",
    ])?;
    log_level(given)?;
    let new_api = given.flag("api-version");
    let mode = mode(given, new_api)?;
    let session = match (given.text("cuuid"), &mode) {
        (Some(session), _) => session,
        (None, Mode::Exec { .. }) if !new_api => container.clone(),
        (None, _) => return refuse("Container UUID not provided. Use --cuuid"),
    };
    let exec = matches!(mode, Mode::Exec { .. });
    let runtime = runtime(given, exec)?;
    let Some(delay) = given
        .integer("exit-delay", i64::from(i32::MIN), i64::from(i32::MAX))?
        .map_or(Some(0), |d| u64::try_from(d).ok())
    else {
        return refuse("Delay before invoking exit command must be greater than or equal to 0");
    };
    let (log, passthrough) = log(given, rotate.then_some(max_files))?;

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
        timeout: given
            .integer("timeout", i64::from(i32::MIN), i64::from(i32::MAX))?
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

fn log_level(given: &Given) -> Result<(), Refused> {
    // Accepted for what it can do here: warnings exist before the fork only, and are errors there.
    match given.text("log-level") {
        Some(level)
            if !["error", "fatal", "panic", "warn", "warning", "info", "debug", "trace"]
                .contains(&level.to_ascii_lowercase().as_str()) =>
        {
            refuse(format!("No such log level {level}"))
        }
        _ => Ok(()),
    }
}

fn mode(given: &Given, new_api: bool) -> Result<Mode, Refused> {
    let attach = given.flag("exec-attach");
    if !given.flag("exec") {
        return if attach {
            refuse("Attach can only be specified with exec")
        } else {
            Ok(Mode::Create)
        };
    }
    if attach && !new_api {
        return refuse("Attach can only be specified for a non-legacy exec session");
    }
    match given.path("exec-process-spec") {
        Some(process_spec) => Ok(Mode::Exec { process_spec, attach }),
        None => refuse("Exec process spec path not provided. Use --exec-process-spec"),
    }
}

fn runtime(given: &Given, exec: bool) -> Result<Runtime, Refused> {
    let Some(path) = given.path("runtime") else {
        return refuse("Runtime path not provided. Use --runtime");
    };
    if nix::unistd::access(&path, nix::unistd::AccessFlags::X_OK).is_err() {
        return refuse(format!("Runtime path {} is not valid", path.display()));
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
    })
}

/// The log, and whether the output is passed through instead.
fn log(given: &Given, rotate: Option<u32>) -> Result<(Log, bool), Refused> {
    let limit = |name| given.integer(name, i64::MIN, i64::MAX).map(|n| n.and_then(positive));
    let limits = LogLimits {
        max_size: limit("log-size-max")?,
        max_total: limit("log-global-size-max")?,
        rotate,
    };
    let mut log = Log { k8s_file: None, json_file: None, limits, sync: !given.flag("no-sync-log") };
    let mut passthrough = false;
    let mut targets = given.all("log-path").peekable();
    if targets.peek().is_none() {
        return refuse("Log driver not provided. Use --log-path");
    }
    for target in targets {
        match log_target(&target)? {
            LogTarget::K8sFile(path) => log.k8s_file = Some(path),
            LogTarget::JsonFile(path) => log.json_file = Some(path),
            LogTarget::None => {}
            LogTarget::Passthrough => passthrough = true,
        }
    }
    for (option, what) in [("log-tag", "--log-tag"), ("log-label", "--log-label")] {
        if given.has(option) {
            return refuse(format!("k8s-file doesn't support {what}"));
        }
    }
    Ok((log, passthrough))
}

/// `DRIVER:PATH`, `:PATH` or `PATH`. A path may have colons: what is before the first is a driver only if it is one of ours.
fn log_target(text: &OsStr) -> Result<LogTarget, Refused> {
    use std::os::unix::ffi::OsStrExt as _;
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
        (b"journald", _, _) => refuse("the log driver journald is not supported by this version"),
        (_, None, _) => Ok(LogTarget::K8sFile(text.into())),
        (_, Some(_), _) if driver.contains(&b'/') => Ok(LogTarget::K8sFile(text.into())),
        (_, Some(_), _) => {
            refuse(format!("No such log driver {}", String::from_utf8_lossy(driver)))
        }
    }
}

#[cfg(test)]
mod tests;
