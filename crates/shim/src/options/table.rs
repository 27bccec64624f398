//! Every option with its help: what the grammar reads, `--help` prints and the manual page lists.

/// What comes with an option.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Kind {
    Flag,
    /// One value; of several the last.
    One,
    /// A list.
    Many,
    /// A number of 32 bits.
    Int,
    /// A number of 64 bits.
    Long,
}

/// One option.
#[derive(Debug)]
pub(super) struct Row {
    pub(super) name: &'static str,
    pub(super) letter: Option<char>,
    pub(super) kind: Kind,
    /// Older names, understood and not shown.
    pub(super) aliases: &'static [&'static str],
    /// What its value is called.
    pub(super) value: &'static str,
    pub(super) help: &'static str,
}

impl Row {
    pub(super) fn is_called(&self, name: &[u8]) -> bool {
        self.name.as_bytes() == name || self.aliases.iter().any(|alias| alias.as_bytes() == name)
    }
}

/// Options of a kind, under a heading.
pub(super) struct Section {
    pub(super) heading: &'static str,
    pub(super) rows: &'static [Row],
}

pub(super) fn rows() -> impl Iterator<Item = &'static Row> {
    SECTIONS.iter().flat_map(|section| section.rows)
}

const fn row(
    name: &'static str,
    letter: Option<char>,
    kind: Kind,
    aliases: &'static [&'static str],
    value: &'static str,
    help: &'static str,
) -> Row {
    Row { name, letter, kind, aliases, value, help }
}

use Kind::{Flag, Int, Long, Many, One};

#[rustfmt::skip]
pub(super) const SECTIONS: &[Section] = &[
    Section { heading: "What to monitor", rows: &[
        row("cid", Some('c'), One, &[], "ID", "The container's id: the runtime's last argument, the name of the exit file. Required"),
        row("cuuid", Some('u'), One, &[], "ID", "The session's id, the name of its link in the socket directory. Required, but for --exec without --api-version"),
        row("name", Some('n'), One, &[], "NAME", "The container's name, for the journal"),
        row("api-version", None, Flag, &[], "", "Speak the newer protocol: messages have the key `data`, and an exec session sends its pid first"),
        row("exec", Some('e'), Flag, &[], "", "Be the monitor of a process in a running container"),
        row("exec-process-spec", None, One, &[], "FILE", "The OCI process specification of that process. Required with --exec"),
        row("exec-attach", None, Flag, &[], "", "Start that process only at the second word on the start pipe. Needs --exec and --api-version"),
        row("restore", None, One, &[], "DIR", "Restore the container from the checkpoint in DIR instead of creating it"),
    ] },
    Section { heading: "The OCI runtime", rows: &[
        row("runtime", Some('r'), One, &[], "PATH", "The runtime's executable. Required"),
        row("runtime-arg", None, Many, &[], "ARG", "An argument before its sub-command; repeatable"),
        row("runtime-opt", None, Many, &["restore-arg"], "ARG", "An argument after the sub-command's own; repeatable"),
        row("bundle", Some('b'), One, &[], "DIR", "The bundle [default: the working directory; none for --exec]"),
        row("container-pidfile", Some('p'), One, &["pidfile"], "FILE", "Where the runtime writes the container's pid [default: pidfile-ID in the working directory]"),
        row("systemd-cgroup", Some('s'), Flag, &[], "", "Have it use systemd's cgroups"),
        row("no-pivot", None, Flag, &[], "", "Have it not use pivot_root"),
        row("no-new-keyring", None, Flag, &[], "", "Have it make no session keyring"),
        row("replace-listen-pid", None, Flag, &[], "", "Put the runtime's pid in the place of $LISTEN_PID, whatever that says"),
    ] },
    Section { heading: "Stdio and attached clients", rows: &[
        row("terminal", Some('t'), Flag, &[], "", "The container has a terminal"),
        row("stdin", Some('i'), Flag, &[], "", "The container has a stdin"),
        row("leave-stdin-open", None, Flag, &[], "", "Leave its stdin open when an attached client ends"),
        row("socket-dir-path", None, One, &[], "DIR", "Where links to bundles are made, for clients to connect through [default: /var/run/crio]"),
        row("full-attach", None, Flag, &[], "", "Make no such link"),
        row("attach-catch-up", None, Flag, &[], "", "Tell a client that is too slow where in the log its output goes on (not in conmon)"),
        row("attach-patience", None, Int, &[], "MS", "Milliseconds a client may keep the output waiting before it is dropped [default: 2000] (not in conmon)"),
    ] },
    Section { heading: "Logs", rows: &[
        row("log-path", Some('l'), Many, &[], "TARGET", "Where output is logged: k8s-file:PATH, PATH, json-file:PATH (not in conmon), journald, none (or off, null) or passthrough; repeatable. Required"),
        row("log-size-max", None, Long, &[], "BYTES", "The size of a log file [default: no limit]"),
        row("log-global-size-max", None, Long, &[], "BYTES", "Log no more than this in all [default: no limit]"),
        row("log-rotate", None, Flag, &[], "", "Keep a full log file as .1, .2 … instead of dropping its contents"),
        row("log-max-files", None, Int, &[], "N", "How many of those are kept [default: 1]"),
        row("log-allowlist-dir", None, Many, &[], "DIR", "Rotate only logs that are below DIR; repeatable [default: anywhere]"),
        row("log-tag", None, One, &[], "TAG", "CONTAINER_TAG and SYSLOG_IDENTIFIER in the journal"),
        row("log-label", None, Many, &[], "NAME=VALUE", "A field for the journal; repeatable"),
        row("no-container-partial-message", None, Flag, &[], "", "Leave CONTAINER_PARTIAL_MESSAGE out of the journal"),
        row("no-sync-log", None, Flag, &[], "", "Do not fsync the log at the end"),
        row("log-level", None, One, &[], "LEVEL", "What to say of the monitor's own doings: error (fatal, panic), warn, info, debug or trace [default: warn]"),
        row("syslog", None, Flag, &[], "", "Say it to syslog(3) too; without, nothing is heard once the first process has left"),
    ] },
    Section { heading: "The end", rows: &[
        row("exit-dir", None, One, &[], "DIR", "Write the exit code to DIR/ID"),
        row("persist-dir", Some('0'), One, &[], "DIR", "Write the exit code to DIR/exit, and make DIR/oom"),
        row("exit-command", None, One, &[], "PROGRAM", "The program to run when everything is over"),
        row("exit-command-arg", None, Many, &[], "ARG", "An argument of it; repeatable"),
        row("exit-delay", None, Int, &[], "SECONDS", "How long to wait before it"),
        row("exit-command-lock", None, One, &[], "FILE", "Wait for this file's flock before it, and leave it out if the file is gone then (not in conmon)"),
        row("timeout", Some('T'), Int, &[], "SECONDS", "Kill the container after so long"),
    ] },
    Section { heading: "The monitor", rows: &[
        row("conmon-pidfile", Some('P'), One, &[], "FILE", "Where the monitor's pid is written"),
        row("run-dir", None, One, &[], "DIR", "Put sockets, FIFOs and records here, not into the bundle (not in conmon)"),
        row("sdnotify-socket", None, One, &[], "PATH", "Forward the container's messages for systemd to this socket"),
        row("sync", None, Flag, &[], "", "Do not fork; end with the container's status"),
        row("version", None, Flag, &[], "", "Print the version"),
        row("manual", None, Flag, &[], "", "Print the manual page (not in conmon)"),
    ] },
    Section { heading: "Refused", rows: &[
        row("seccomp-notify-socket", None, One, &[], "PATH", "Needs plugins that are loaded into the monitor; newer conmons have not got it either"),
        row("seccomp-notify-plugins", None, One, &[], "PATHS", "As --seccomp-notify-socket"),
    ] },
];
