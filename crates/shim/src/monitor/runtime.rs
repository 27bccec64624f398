//! Starts the OCI runtime, with the container's stdio as its own.

use std::ffi::OsString;
use std::io;
use std::os::fd::OwnedFd;
use std::path::Path;

use dhow_sys::daemon::InheritedFds;
use dhow_sys::process::{Spawn, Stdio};

use crate::options::{Mode, Options};
use crate::start;

/// Ends of pipes that become the runtime's stdio; /dev/null in the place of those that are not there.
#[derive(Debug, Default)]
pub(super) struct Ends {
    pub(super) stdin: Option<OwnedFd>,
    pub(super) stdout: Option<OwnedFd>,
    pub(super) stderr: Option<OwnedFd>,
    /// All three are ours instead.
    pub(super) ours: bool,
}

/// The runtime's arguments.
pub(super) fn argv(options: &Options, console: Option<&Path>) -> Vec<OsString> {
    let runtime = &options.runtime;
    let mut argv: Vec<OsString> = Vec::with_capacity(24);
    let flag = |on: bool, name: &str, argv: &mut Vec<OsString>| {
        if on {
            argv.push(name.into());
        }
    };
    flag(runtime.systemd_cgroup, "--systemd-cgroup", &mut argv);
    argv.extend(runtime.args.iter().cloned());
    match &options.mode {
        Mode::Create | Mode::Restore { .. } => {
            let verb = if matches!(options.mode, Mode::Create) { "create" } else { "restore" };
            argv.extend([verb.into(), "--bundle".into()]);
            argv.extend(runtime.bundle.iter().map(Into::into));
            argv.extend(["--pid-file".into(), options.container_pidfile.clone().into()]);
            flag(runtime.no_pivot, "--no-pivot", &mut argv);
            flag(runtime.no_new_keyring, "--no-new-keyring", &mut argv);
            if let Mode::Restore { checkpoint } = &options.mode {
                argv.extend(["--detach".into(), "--image-path".into(), checkpoint.into()]);
                argv.push("--work-path".into());
                argv.extend(runtime.bundle.iter().map(Into::into));
            }
        }
        Mode::Exec { process_spec, .. } => {
            argv.extend([
                "exec".into(),
                "--pid-file".into(),
                options.container_pidfile.clone().into(),
            ]);
            argv.extend(["--process".into(), process_spec.clone().into(), "--detach".into()]);
        }
    }
    argv.extend(runtime.options.iter().cloned());
    if let Some(console) = console {
        argv.extend(["--console-socket".into(), console.into()]);
    }
    argv.push((&options.container).into());
    argv
}

/// Names the process that the descriptors of systemd's socket activation are for.
const LISTEN_PID: &str = "LISTEN_PID";

/// Whether descriptors that were meant for us go to the runtime.
fn is_listening(environment: &[(OsString, OsString)], whoever: bool) -> io::Result<bool> {
    let Some((_, value)) = environment.iter().find(|(name, _)| name == LISTEN_PID) else {
        return Ok(false);
    };
    let pid = value.to_str().and_then(|value| value.parse::<u32>().ok()).filter(|pid| *pid > 0);
    match pid {
        Some(pid) => Ok(whoever || pid == std::process::id()),
        None => Err(io::Error::new(
            io::ErrorKind::InvalidInput,
            format!("Invalid {LISTEN_PID} {}", value.display()),
        )),
    }
}

/// Starts it; its pid.
pub(super) fn spawn(
    options: &Options,
    console: Option<&Path>,
    ends: Ends,
    inherited: &InheritedFds,
    environment: &[(OsString, OsString)],
    oom_score: Option<&str>,
) -> io::Result<i32> {
    let stdio = |end: Option<OwnedFd>| match end {
        Some(end) => {
            // A process that is not root may open its /dev/stdout again.
            nix::sys::stat::fchmod(&end, nix::sys::stat::Mode::from_bits_truncate(0o777)).ok();
            Stdio::Fd(end)
        }
        None if ends.ours => Stdio::Inherit,
        None => Stdio::Null,
    };
    let mut spawn = Spawn::new(&options.runtime.path)
        .args(argv(options, console))
        .envs(environment.iter().cloned());
    spawn.stdin = stdio(ends.stdin);
    spawn.stdout = stdio(ends.stdout);
    spawn.stderr = stdio(ends.stderr);
    spawn.fds = inherited.to_pass_on()?;
    if is_listening(environment, options.runtime.replace_listen_pid)? {
        spawn.pid_variable = Some(LISTEN_PID.into());
    }
    // Without a monitor there is nobody to tell how it went.
    spawn.death_signal = Some(nix::libc::SIGKILL);
    // A child inherits the score; there is no other moment at which only it would have another.
    if let Some(score) = oom_score {
        start::set_oom_score(score).ok();
    }
    let child = spawn.spawn();
    if oom_score.is_some() {
        start::set_oom_score("-1000").ok();
    }
    Ok(child?.pid())
}
