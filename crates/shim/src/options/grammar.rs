//! GLib's option grammar, by clap: values may begin with `-`, flags may have a value that means nothing, words that belong to
//! no option are ignored (podman writes `--api-version 1` for a flag), and of an option given twice the last one counts.

use std::ffi::OsString;
use std::path::PathBuf;

use clap::builder::ValueParser;
use clap::error::{ContextKind, ContextValue, ErrorKind};
use clap::{Arg, ArgAction, ArgMatches, Command};

use super::Refused;

/// What was on the command line.
#[derive(Debug)]
pub(super) struct Given(ArgMatches);

pub(super) enum Read {
    Help(String),
    Given(Given),
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Kind {
    Flag,
    One,
    Many,
}

/// Name, short form, kind, other names, help.
type Row = (&'static str, Option<char>, Kind, &'static [&'static str], &'static str);

#[rustfmt::skip]
const TABLE: &[Row] = {
    use Kind::{Flag, Many, One};
    &[
        ("api-version", None, Flag, &[], "Speak the newer protocol: messages have the key `data`, exec sends the pid first"),
        ("bundle", Some('b'), One, &[], "The bundle [default: the working directory; none for --exec]"),
        ("cid", Some('c'), One, &[], "The container's id"),
        ("cuuid", Some('u'), One, &[], "The session's id, the name of its link in the socket directory"),
        ("name", Some('n'), One, &[], "The container's name (no log driver of this version shows it)"),
        ("runtime", Some('r'), One, &[], "The path of the OCI runtime"),
        ("runtime-arg", None, Many, &[], "An argument before the runtime's sub-command; repeatable"),
        ("runtime-opt", None, Many, &["restore-arg"], "An argument after the sub-command's own; repeatable"),
        ("systemd-cgroup", Some('s'), Flag, &[], "Have the runtime use systemd's cgroups"),
        ("no-pivot", None, Flag, &[], "Have the runtime not use pivot_root"),
        ("no-new-keyring", None, Flag, &[], "Have the runtime make no session keyring"),
        ("container-pidfile", Some('p'), One, &["pidfile"], "Where the runtime writes the container's pid"),
        ("conmon-pidfile", Some('P'), One, &[], "Where the monitor's pid is written"),
        ("terminal", Some('t'), Flag, &[], "The container has a terminal"),
        ("stdin", Some('i'), Flag, &[], "The container has a stdin"),
        ("leave-stdin-open", None, Flag, &[], "Leave its stdin open when an attached client ends"),
        ("log-path", Some('l'), Many, &[], "Where output is logged: k8s-file:PATH, json-file:PATH, PATH, none or passthrough"),
        ("log-level", None, One, &[], "error, warn, info, debug or trace"),
        ("log-size-max", None, One, &[], "Bytes a log file"),
        ("log-global-size-max", None, One, &[], "Log no more than these bytes"),
        ("log-rotate", None, Flag, &[], "Keep full log files as .1, .2 … instead of dropping them"),
        ("log-max-files", None, One, &[], "How many of them [default: 1]"),
        ("no-sync-log", None, Flag, &[], "Do not fsync the log at the end"),
        ("log-tag", None, One, &[], "Refused: no log driver of this version has tags"),
        ("log-label", None, Many, &[], "Refused: no log driver of this version has labels"),
        ("exit-dir", None, One, &[], "Write the exit code to DIR/CID"),
        ("persist-dir", Some('0'), One, &[], "Write the exit code to DIR/exit, and make DIR/oom"),
        ("exit-command", None, One, &[], "The program to run when everything is over"),
        ("exit-command-arg", None, Many, &[], "An argument of it; repeatable"),
        ("exit-delay", None, One, &[], "Seconds to wait before it"),
        ("exit-command-lock", None, One, &[], "Wait for this file's flock before it; skip it if the file is gone then (not in conmon)"),
        ("timeout", Some('T'), One, &[], "Kill the container after so many seconds"),
        ("exec", Some('e'), Flag, &[], "Be the monitor of a process in a running container"),
        ("exec-process-spec", None, One, &[], "Its OCI process specification"),
        ("exec-attach", None, Flag, &[], "Hold it until the start pipe says so a second time"),
        ("socket-dir-path", None, One, &[], "Where links to bundles are made [default: /var/run/crio]"),
        ("full-attach", None, Flag, &[], "Make no such link"),
        ("run-dir", None, One, &[], "Put sockets, FIFOs and records here, not into the bundle (not in conmon)"),
        ("attach-catch-up", None, Flag, &[], "Tell a client that is too slow where in the log its output goes on (not in conmon)"),
        ("attach-patience", None, One, &[], "Milliseconds a client may keep output waiting before it is dropped [default: 2000] (not in conmon)"),
        ("sync", None, Flag, &[], "Do not fork; end with the container's status"),
        ("version", None, Flag, &[], "Print the version"),
        ("restore", None, One, &[], "Not supported yet"),
        ("sdnotify-socket", None, One, &[], "Not supported yet"),
        ("syslog", None, Flag, &[], "Not supported yet"),
        ("replace-listen-pid", None, Flag, &[], "Not supported yet"),
        ("log-allowlist-dir", None, Many, &[], "Not supported yet"),
        ("no-container-partial-message", None, Flag, &[], "Not supported yet"),
        ("seccomp-notify-socket", None, One, &[], "Not supported yet"),
        ("seccomp-notify-plugins", None, One, &[], "Not supported yet"),
    ]
};

fn command() -> Command {
    let mut command = Command::new("dhow-shim")
        .about("The monitor of a container: stdio, attach socket, log, exit code. Takes conmon's options")
        .no_binary_name(true)
        .args_override_self(true)
        .disable_help_flag(true)
        .disable_version_flag(true)
        .arg(Arg::new("help").long("help").short('h').short_alias('?').action(ArgAction::Help).help("Print this help"))
        .arg(Arg::new("ignored").num_args(0..).value_parser(ValueParser::os_string()).hide(true));
    for (name, short, kind, aliases, help) in TABLE {
        let mut arg = Arg::new(*name).long(*name).aliases(aliases.iter().copied()).help(*help);
        arg = match short {
            Some(short) => arg.short(*short),
            None => arg,
        };
        arg = arg.value_parser(ValueParser::os_string());
        arg = match kind {
            Kind::Flag => arg
                .num_args(0..=1)
                .require_equals(true)
                .default_missing_value("")
                .hide_possible_values(true)
                .value_name("…"),
            Kind::One => arg.num_args(1).allow_hyphen_values(true).value_name("VALUE"),
            Kind::Many => arg
                .num_args(1)
                .allow_hyphen_values(true)
                .action(ArgAction::Append)
                .value_name("VALUE"),
        };
        command = command.arg(arg);
    }
    command
}

pub(super) fn read(argv: impl Iterator<Item = OsString>) -> Result<Read, Refused> {
    match command().try_get_matches_from(argv) {
        Ok(matches) => Ok(Read::Given(Given(matches))),
        Err(e) if e.kind() == ErrorKind::DisplayHelp => Ok(Read::Help(e.render().to_string())),
        Err(e) => Err(Refused(format!("option parsing failed: {}", in_glibs_words(&e)))),
    }
}

fn in_glibs_words(error: &clap::Error) -> String {
    let argument = match error.get(ContextKind::InvalidArg) {
        Some(ContextValue::String(text)) => text.clone(),
        Some(ContextValue::Strings(texts)) => texts.join(" "),
        _ => return error.kind().to_string(),
    };
    // clap adds the value's name and its other forms.
    let option = argument.split([' ', '=', '[']).next().unwrap_or_default();
    match error.kind() {
        ErrorKind::UnknownArgument => format!("Unknown option {option}"),
        ErrorKind::InvalidValue => format!("Missing argument for {option}"),
        kind => format!("{kind}: {option}"),
    }
}

impl Given {
    pub(super) fn has(&self, name: &str) -> bool {
        self.0.contains_id(name)
    }

    pub(super) fn flag(&self, name: &str) -> bool {
        self.has(name)
    }

    /// Of an option that has one value, the last that was given.
    pub(super) fn one(&self, name: &str) -> Option<OsString> {
        self.0.get_one::<OsString>(name).cloned()
    }

    pub(super) fn all(&self, name: &str) -> impl Iterator<Item = OsString> + use<'_> {
        self.0.get_many::<OsString>(name).into_iter().flatten().cloned()
    }

    pub(super) fn text(&self, name: &str) -> Option<String> {
        self.one(name).map(|value| value.to_string_lossy().into_owned())
    }

    pub(super) fn path(&self, name: &str) -> Option<PathBuf> {
        self.one(name).map(PathBuf::from)
    }

    /// As strtol(3) reads with base 0: decimal, 0x…, 0….
    pub(super) fn integer(
        &self,
        name: &str,
        least: i64,
        most: i64,
    ) -> Result<Option<i64>, Refused> {
        let Some(text) = self.text(name) else { return Ok(None) };
        let (sign, digits) = match text.strip_prefix('-') {
            Some(digits) => (-1, digits),
            None => (1, text.strip_prefix('+').unwrap_or(&text)),
        };
        let (digits, base) = match digits.strip_prefix("0x").or_else(|| digits.strip_prefix("0X")) {
            Some(digits) => (digits, 16),
            None if digits.len() > 1 && digits.starts_with('0') => (&digits[1..], 8),
            None => (digits, 10),
        };
        let number = match i128::from_str_radix(digits, base) {
            Ok(number) if !digits.starts_with(['+', '-']) => sign * number,
            _ => {
                return Err(Refused(format!(
                    "option parsing failed: Cannot parse integer value “{text}” for --{name}"
                )));
            }
        };
        match i64::try_from(number) {
            Ok(number) if (least..=most).contains(&number) => Ok(Some(number)),
            _ => Err(Refused(format!(
                "option parsing failed: Integer value “{text}” for --{name} out of range"
            ))),
        }
    }

    /// Refuses options of conmon that this version does not carry out.
    pub(super) fn not_yet(&self, names: &[&str]) -> Result<(), Refused> {
        match names.iter().find(|name| self.has(name)) {
            Some(name) => Err(Refused(format!("--{name} is not supported by this version"))),
            None => Ok(()),
        }
    }
}
