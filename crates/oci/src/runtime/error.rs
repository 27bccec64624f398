//! What a runtime's failure means: the one place where text that a runtime printed is looked into.
//!
//! Runtimes print a line of text, or several, as plain text (crun), as logrus text (`time=… level=error msg="…"`, runc) or
//! as JSON objects (`--log-format=json`); monitors pass the same on. The texts in the tests are real ones of runc 1.1.5 and
//! crun 1.8.1, and of other versions' sources.

use serde::Deserialize;
use std::io;
use std::path::PathBuf;

/// A runtime could not be found, started, or do what it was asked for.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum RuntimeError {
    /// The command is not in the container. Exit code 127.
    #[error("{message}")]
    NotFound {
        /// The runtime's words, in one line.
        message: String,
    },
    /// The command is there and cannot be executed. Exit code 126.
    #[error("{message}")]
    PermissionDenied {
        /// The runtime's words, in one line.
        message: String,
    },
    /// The runtime does not know the container.
    #[error("{message}")]
    NoSuchContainer {
        /// The runtime's words, in one line.
        message: String,
    },
    /// The container's process has ended, or was not started.
    #[error("{message}")]
    NotRunning {
        /// The runtime's words, in one line.
        message: String,
    },
    /// There is no such runtime on this machine.
    #[error("{message}")]
    NotInstalled {
        /// What was looked for, and where.
        message: String,
    },
    /// This runtime cannot do what is needed.
    #[error("{message}")]
    Unsupported {
        /// What, and who could.
        message: String,
    },
    /// Limits that cannot be (`update`).
    #[error("cannot change the limits")]
    Invalid(#[source] crate::Error),
    /// The executable could not be run at all.
    #[error("cannot run {} {verb}", path.display())]
    Spawn {
        /// The executable.
        path: PathBuf,
        /// The verb.
        verb: String,
        /// Why not; `TimedOut` when it was given up.
        source: io::Error,
    },
    /// Anything else that the runtime said.
    #[error("{message}")]
    Other {
        /// The runtime's words, in one line.
        message: String,
    },
}

impl RuntimeError {
    /// The error that a runtime's standard error or log means; also a monitor's message that passes it on.
    pub fn from_text(text: &str) -> RuntimeError {
        let message = one_line(text);
        let lower = message.to_lowercase();
        if is_not_found(&lower) {
            RuntimeError::NotFound { message }
        } else if is_not_executable(&lower) {
            RuntimeError::PermissionDenied { message }
        } else if is_unknown_container(&lower) {
            RuntimeError::NoSuchContainer { message }
        } else if is_not_running(&lower) {
            RuntimeError::NotRunning { message }
        } else {
            RuntimeError::Other { message }
        }
    }

    /// What the command line exits with: 127, 126, or 125 for all that is not the command's own fault.
    pub fn exit_code(&self) -> u8 {
        match self {
            RuntimeError::NotFound { .. } => 127,
            RuntimeError::PermissionDenied { .. } => 126,
            _ => 125,
        }
    }
}

/// All take the message in lower case: crun prints libc's words with a capital, Go its own without.
fn is_not_found(message: &str) -> bool {
    message.contains("not found in $path")
        || message.contains("executable for container process not found")
        // podman's answer to a --workdir that is not there.
        || message.starts_with("chdir ") && message.ends_with("no such file or directory")
        || is_about_exec(message)
            && (message.ends_with("no such file or directory")
                || message.ends_with("not a directory"))
}

fn is_not_executable(message: &str) -> bool {
    let why =
        ["permission denied", "operation not permitted", "is a directory", "exec format error"];
    message.contains("does not have the correct permission")
        || message.ends_with("exec format error")
        || is_about_exec(message) && why.iter().any(|why| message.ends_with(why))
}

/// `exec: "…": …` (runc), `exec /bin/x: …` (runc's own exec), `open executable: …`, `exec: …` (crun).
fn is_about_exec(message: &str) -> bool {
    message.starts_with("exec: ")
        || message.starts_with("exec /")
        || message.starts_with("open executable: ")
}

fn is_unknown_container(message: &str) -> bool {
    message.contains("container does not exist")
        || (message.starts_with("error opening file `")
            && message.contains("/status`: no such file"))
        || (message.starts_with("cannot open directory '")
            && message.ends_with("no such file or directory"))
}

fn is_not_running(message: &str) -> bool {
    let words = [
        "container not running",
        "container is not running",
        "is not running",
        "process already finished",
        "cannot exec in a stopped container",
        "cannot start a container that has stopped",
    ];
    words.iter().any(|word| message.contains(word)) || message.ends_with("no such process")
}

/// A line of more than this helps nobody.
const MAX_MESSAGE: usize = 2000;

/// What matters of the text, in one line without the runtime's boilerplate.
fn one_line(text: &str) -> String {
    let mut errors = Vec::new();
    let mut plain = Vec::new();
    for line in text.lines().map(str::trim).filter(|line| !line.is_empty()) {
        match parse(line) {
            Line::Error(message) => errors.push(message),
            Line::Plain(message) => plain.push(message.to_owned()),
            Line::Noise => {}
        }
    }
    let lines = if errors.is_empty() { plain } else { errors };
    let message = lines
        .iter()
        .map(|line| shorten(line))
        .filter(|line| !line.is_empty())
        .collect::<Vec<_>>()
        .join("; ");
    let clean: String =
        message.chars().map(|c| if c.is_control() { ' ' } else { c }).take(MAX_MESSAGE).collect();
    let clean = clean.trim().to_owned();
    if clean.is_empty() { "the runtime failed and said nothing".to_owned() } else { clean }
}

enum Line<'a> {
    /// A log entry of level error or worse.
    Error(String),
    /// Not a log entry.
    Plain(&'a str),
    /// A log entry below error.
    Noise,
}

fn parse(line: &str) -> Line<'_> {
    #[derive(Deserialize)]
    struct Entry {
        level: Option<String>,
        msg: String,
    }
    let leveled = |level: Option<&str>, message: String| match level {
        None | Some("error" | "fatal" | "panic" | "ERROR") => Line::Error(message),
        Some(_) => Line::Noise,
    };
    if line.starts_with('{')
        && let Ok(entry) = serde_json::from_str::<Entry>(line)
    {
        return leveled(entry.level.as_deref(), entry.msg);
    }
    if line.starts_with("time=")
        && let (Some(level), Some(message)) = (field(line, "level="), field(line, "msg="))
    {
        return leveled(Some(&level), message);
    }
    Line::Plain(line)
}

/// The value of a logrus field: a word, or a string in quotes with Go's escapes.
fn field(line: &str, key: &str) -> Option<String> {
    let start = if line.starts_with(key) { 0 } else { line.find(&format!(" {key}"))? + 1 };
    let value = &line[start + key.len()..];
    let Some(quoted) = value.strip_prefix('"') else {
        return Some(value.split_whitespace().next().unwrap_or_default().to_owned());
    };
    let mut text = String::new();
    let mut chars = quoted.chars();
    loop {
        match chars.next()? {
            '"' => return Some(text),
            '\\' => match chars.next()? {
                'n' | 'r' | 't' => text.push(' '),
                other => text.push(other),
            },
            other => text.push(other),
        }
    }
}

/// Without what every message begins with, which says nothing to a user.
fn shorten(message: &str) -> &str {
    const BOILERPLATE: [&str; 9] = [
        "runc create failed: ",
        "runc run failed: ",
        "exec failed: ",
        "unable to start container process: ",
        "error during container init: ",
        "OCI runtime create failed: ",
        "Error: ",
        "error in executing command: ",
        "failed to create container: ",
    ];
    let mut rest = without_timestamp(message.trim());
    while let Some(shorter) = BOILERPLATE.iter().find_map(|prefix| rest.strip_prefix(prefix)) {
        rest = shorter;
    }
    rest
}

/// crun, when its standard error is not a terminal of some kind: `2026-11-23T19:05:10.501683Z: …`.
fn without_timestamp(message: &str) -> &str {
    match message.split_once("Z: ") {
        Some((stamp, rest))
            if stamp.len() >= 19
                && stamp.bytes().all(|b| b.is_ascii_digit() || b"-T:.".contains(&b)) =>
        {
            rest
        }
        _ => message,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn kind(error: &RuntimeError) -> &'static str {
        match error {
            RuntimeError::NotFound { .. } => "not found",
            RuntimeError::PermissionDenied { .. } => "permission denied",
            RuntimeError::NoSuchContainer { .. } => "no such container",
            RuntimeError::NotRunning { .. } => "not running",
            RuntimeError::Other { .. } => "other",
            _ => "else",
        }
    }

    /// What was printed; what it means; what the user reads.
    const REAL: &[(&str, &str, &str)] = &[
        // runc 1.1.5
        (
            r#"time="2026-11-23T19:05:10Z" level=error msg="runc create failed: unable to start container process: exec: \"nope\": executable file not found in $PATH""#,
            "not found",
            r#"exec: "nope": executable file not found in $PATH"#,
        ),
        (
            r#"time="T" level=error msg="runc create failed: unable to start container process: exec: \"/bin/nope\": stat /bin/nope: no such file or directory""#,
            "not found",
            r#"exec: "/bin/nope": stat /bin/nope: no such file or directory"#,
        ),
        (
            r#"time="T" level=error msg="runc create failed: unable to start container process: exec: \"/etc/passwd/x\": stat /etc/passwd/x: not a directory""#,
            "not found",
            r#"exec: "/etc/passwd/x": stat /etc/passwd/x: not a directory"#,
        ),
        (
            r#"time="T" level=error msg="runc create failed: unable to start container process: exec: \"/bin/notexec\": permission denied""#,
            "permission denied",
            r#"exec: "/bin/notexec": permission denied"#,
        ),
        (
            r#"time="T" level=error msg="runc create failed: unable to start container process: exec: \"/bin\": permission denied""#,
            "permission denied",
            r#"exec: "/bin": permission denied"#,
        ),
        (
            r#"time="T" level=error msg="exec failed: unable to start container process: exec: \"nope\": executable file not found in $PATH""#,
            "not found",
            r#"exec: "nope": executable file not found in $PATH"#,
        ),
        (
            "exec /bin/badfmt: exec format error",
            "permission denied",
            "exec /bin/badfmt: exec format error",
        ),
        (
            r#"time="T" level=error msg="runc create failed: unable to start container process: error during container init: mkdir /etc/passwd: not a directory""#,
            "other",
            "mkdir /etc/passwd: not a directory",
        ),
        (
            r#"time="T" level=error msg="runc create failed: invalid rootfs: stat /nope: no such file or directory""#,
            "other",
            "invalid rootfs: stat /nope: no such file or directory",
        ),
        (
            r#"time="T" level=error msg="runc create failed: unable to start container process: error during container init: error mounting \"/nope\" to rootfs at \"/x\": stat /nope: no such file or directory""#,
            "other",
            r#"error mounting "/nope" to rootfs at "/x": stat /nope: no such file or directory"#,
        ),
        (
            r#"time="T" level=error msg="runc create failed: unable to start container process: error during container init: error setting rlimits for ready process: error setting rlimit type 7: operation not permitted""#,
            "other",
            "error setting rlimits for ready process: error setting rlimit type 7: operation not permitted",
        ),
        (
            r#"time="T" level=error msg="runc create failed: unable to start container process: unable to apply caps: operation not permitted""#,
            "other",
            "unable to apply caps: operation not permitted",
        ),
        (
            "time=\"T\" level=warning msg=\"unable to get oom kill count\" error=\"openat2 /sys/fs/cgroup/memory/x/memory.oom_control: no such file or directory\"\ntime=\"T\" level=error msg=\"runc create failed: unable to start container process: unable to apply cgroup configuration: failed to write \\\"900\\\": write /sys/fs/cgroup/cpuset/x/cpuset.cpus: numerical result out of range\"\n",
            "other",
            r#"unable to apply cgroup configuration: failed to write "900": write /sys/fs/cgroup/cpuset/x/cpuset.cpus: numerical result out of range"#,
        ),
        (
            r#"time="T" level=error msg="runc create failed: unable to create new parent process: namespace path: lstat /proc/1/ns/nope: no such file or directory""#,
            "other",
            "unable to create new parent process: namespace path: lstat /proc/1/ns/nope: no such file or directory",
        ),
        (
            r#"time="T" level=error msg="runc create failed: container with given ID already exists""#,
            "other",
            "container with given ID already exists",
        ),
        (
            r#"time="T" level=error msg="container does not exist""#,
            "no such container",
            "container does not exist",
        ),
        (
            r#"time="T" level=error msg="exec failed: container does not exist""#,
            "no such container",
            "container does not exist",
        ),
        (
            r#"{"level":"error","msg":"container does not exist","time":"2026-11-23T19:05:10Z"}"#,
            "no such container",
            "container does not exist",
        ),
        (
            r#"time="T" level=error msg="container not running""#,
            "not running",
            "container not running",
        ),
        (
            r#"time="T" level=error msg="cannot start a container that has stopped""#,
            "not running",
            "cannot start a container that has stopped",
        ),
        (
            r#"time="T" level=error msg="exec failed: cannot exec in a stopped container""#,
            "not running",
            "cannot exec in a stopped container",
        ),
        (
            r#"time="T" level=error msg="cannot delete container x that is not stopped: running""#,
            "other",
            "cannot delete container x that is not stopped: running",
        ),
        (
            r#"time="T" level=error msg="unable to signal init: invalid argument""#,
            "other",
            "unable to signal init: invalid argument",
        ),
        (
            r#"time="T" level=error msg="exec failed: unable to start container process: chdir to cwd (\"/nope\") set in config.json failed: no such file or directory""#,
            "not found",
            r#"chdir to cwd ("/nope") set in config.json failed: no such file or directory"#,
        ),
        // runc 1.2
        (
            r#"time="T" level=error msg="runc create failed: unable to start container process: error during container init: exec: \"/bin\": is a directory""#,
            "permission denied",
            r#"exec: "/bin": is a directory"#,
        ),
        // crun 1.8.1
        (
            "executable file `nope` not found in $PATH: No such file or directory\n",
            "not found",
            "executable file `nope` not found in $PATH: No such file or directory",
        ),
        (
            "2026-11-23T19:05:10.501683Z: executable file `/bin/nope` not found in $PATH: No such file or directory",
            "not found",
            "executable file `/bin/nope` not found in $PATH: No such file or directory",
        ),
        (
            "open executable: Permission denied",
            "permission denied",
            "open executable: Permission denied",
        ),
        (
            "open executable: Operation not permitted",
            "permission denied",
            "open executable: Operation not permitted",
        ),
        ("open executable: Not a directory", "not found", "open executable: Not a directory"),
        ("exec: Exec format error", "permission denied", "exec: Exec format error"),
        ("chdir `/etc/passwd`: Not a directory", "other", "chdir `/etc/passwd`: Not a directory"),
        (
            "make `/nope` private: No such file or directory",
            "other",
            "make `/nope` private: No such file or directory",
        ),
        (
            "error stat'ing file `/nope`: No such file or directory",
            "other",
            "error stat'ing file `/nope`: No such file or directory",
        ),
        ("capset: Operation not permitted", "other", "capset: Operation not permitted"),
        (
            "setrlimit `RLIMIT_NOFILE`: Operation not permitted",
            "other",
            "setrlimit `RLIMIT_NOFILE`: Operation not permitted",
        ),
        (
            "cgroups in hybrid mode not supported, drop all controllers from cgroupv2",
            "other",
            "cgroups in hybrid mode not supported, drop all controllers from cgroupv2",
        ),
        (
            "OOM: the memory limit could be too low: read from sync socket: Connection reset by peer",
            "other",
            "OOM: the memory limit could be too low: read from sync socket: Connection reset by peer",
        ),
        (
            "{\"msg\":\"error opening file `/run/crun/nope/status`: No such file or directory\",\"level\":\"error\",\"time\":\"T\"}",
            "no such container",
            "error opening file `/run/crun/nope/status`: No such file or directory",
        ),
        (
            "cannot open directory '/run/crun/nope': No such file or directory",
            "no such container",
            "cannot open directory '/run/crun/nope': No such file or directory",
        ),
        (
            "fail startup\nsetns(pid=15466, CLONE_NEWUSER): No such process\n",
            "not running",
            "fail startup; setns(pid=15466, CLONE_NEWUSER): No such process",
        ),
        (
            "the container `x` is not in `created` or `stopped` state",
            "other",
            "the container `x` is not in `created` or `stopped` state",
        ),
        // none
        ("", "other", "the runtime failed and said nothing"),
        ("\x1b[31mred\x07\n\n", "other", "[31mred"),
    ];

    #[test]
    fn real_outputs() {
        for (text, meaning, message) in REAL {
            let error = RuntimeError::from_text(text);
            assert_eq!((kind(&error), error.to_string().as_str()), (*meaning, *message), "{text}");
        }
    }

    #[test]
    fn exit_codes() {
        assert_eq!(RuntimeError::from_text(REAL[0].0).exit_code(), 127);
        assert_eq!(RuntimeError::from_text(REAL[3].0).exit_code(), 126);
        assert_eq!(RuntimeError::from_text("").exit_code(), 125);
    }

    proptest! {
        #[test]
        fn any_text_is_one_line(text in "(?s)(time=|\\{\"msg\":)?.{0,200}") {
            let shown = RuntimeError::from_text(&text).to_string();
            prop_assert!(!shown.is_empty() && !shown.chars().any(char::is_control), "{shown:?}");
        }
    }
}
