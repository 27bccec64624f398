//! Flags that podman's `create` and `run` have and dhow does not have yet.
//!
//! They are known, so that the error says so and does not guess at a misspelt flag; they are hidden from the help, and
//! each one is refused: a flag that is accepted is one that works.

use clap::{Arg, ArgAction, ArgMatches, Args, Command, FromArgMatches};

/// Refused flags that take a value.
const WITH_VALUE: &[&str] = &[
    "blkio-weight-device",
    "cgroup-conf",
    "chrootdirs",
    "decryption-key",
    "device-read-bps",
    "device-read-iops",
    "device-write-bps",
    "device-write-iops",
    "env-merge",
    "gidmap",
    "gpus",
    "group-entry",
    "health-cmd",
    "health-interval",
    "health-log-destination",
    "health-on-failure",
    "health-retries",
    "health-start-period",
    "health-startup-cmd",
    "health-startup-interval",
    "health-startup-retries",
    "health-startup-success",
    "health-startup-timeout",
    "health-timeout",
    "hosts-file",
    "hostuser",
    "image-volume",
    "init-ctr",
    "intel-rdt-clos-id",
    "kernel-memory",
    "link",
    "link-local-ip",
    "passwd-entry",
    "personality",
    "pod",
    "pod-id-file",
    "preserve-fd",
    "preserve-fds",
    "rdt-class",
    "requires",
    "sdnotify",
    "seccomp-policy",
    "secret",
    "storage-opt",
    "subgidname",
    "subuidname",
    "systemd",
    "uidmap",
    "userns",
    "volume-driver",
    "volumes-from",
];

/// Refused switches.
const SWITCHES: &[&str] = &[
    "disable-content-trust",
    "env-host",
    "http-proxy",
    "no-healthcheck",
    "no-hostname",
    "oom-kill-disable",
    "passwd",
    "rmi",
];

/// The refused flags, to be flattened into a command.
#[derive(Debug, Clone, Default)]
pub(crate) struct Refused;

impl Args for Refused {
    fn augment_args(command: Command) -> Command {
        let values = WITH_VALUE.iter().map(|name| refused(name).action(ArgAction::Append));
        let switches = SWITCHES.iter().map(|name| {
            refused(name)
                .action(ArgAction::Append)
                .num_args(0..=1)
                .require_equals(true)
                .default_missing_value("")
        });
        command.args(values).args(switches)
    }

    fn augment_args_for_update(command: Command) -> Command {
        Self::augment_args(command)
    }
}

fn refused(name: &'static str) -> Arg {
    Arg::new(name)
        .long(name)
        .hide(true)
        .value_parser(|_: &str| Err::<String, _>("not supported yet"))
}

impl FromArgMatches for Refused {
    fn from_arg_matches(_: &ArgMatches) -> Result<Self, clap::Error> {
        Ok(Self)
    }

    fn update_from_arg_matches(&mut self, _: &ArgMatches) -> Result<(), clap::Error> {
        Ok(())
    }
}
