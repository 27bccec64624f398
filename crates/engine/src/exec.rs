//! `exec`: a further process in a running container, with a monitor of its own.
//!
//! The lock is held for the set-up only. A session is a directory below the container's run directory; it goes when
//! its command has been waited for, with the container, or, when its monitor is dead, at the next exec.

use std::path::{Path, PathBuf};
use std::time::Duration;

use dhow_shim::args::{Dialect, Exec, LogTarget, MonitorArgs};
use dhow_shim::launch::{Launch, Monitor};
use dhow_state::{ContainerId, Status};
use dhow_sys::fs::{Durability, write_atomic};
use dhow_sys::pidfd::{Process, ProcessId};
use dhow_sys::root::Root;

use crate::engine::{Engine, Held};
use crate::error::{Error, Result};
use crate::init::monitor_error;
use crate::request::ExecRequest;
use crate::session::AttachSession;

/// How long the runtime may take to start the process.
const START_TIMEOUT: Duration = Duration::from_secs(240);

/// An exec session whose process runs.
#[derive(Debug)]
pub struct ExecSession {
    /// The session's id.
    pub id: String,
    attach: Option<AttachSession>,
    monitor: Monitor,
    dir: PathBuf,
    ended: bool,
}

impl Engine {
    /// Starts a process in the container. Unless it is detached, a client is attached from before its first output.
    ///
    /// # Errors
    /// [`Error::InvalidState`] unless the container runs; the runtime's refusal (126, 127).
    pub fn exec(&self, request: &ExecRequest) -> Result<ExecSession> {
        let held = self.hold_named(&request.container)?;
        let status = held.status();
        if status != Status::Running {
            return Err(Error::InvalidState {
                verb: "exec in",
                id: held.id().clone(),
                status,
                hint: "; only a running container can",
            });
        }
        if request.command.is_empty() {
            return Err(Error::Invalid("exec needs a command".into()));
        }
        let id = held.id().clone();
        let sessions = self.sessions(&id);
        collect(&sessions)?;
        let session = ContainerId::random().map_err(Error::State)?.to_string();
        let dir = sessions.join(&session);
        dhow_sys::fs::create_dir_all(&dir, 0o700).map_err(Error::io("create", &dir))?;
        let launched = self.launch_exec(&held, request, &session, &dir);
        // The lock has covered the set-up; the process lives without it.
        drop(held);
        match launched {
            Ok((monitor, attach)) => {
                Ok(ExecSession { id: session, attach, monitor, dir, ended: false })
            }
            Err(e) => {
                discard(&dir);
                Err(e)
            }
        }
    }

    fn launch_exec(
        &self,
        held: &Held,
        request: &ExecRequest,
        session: &str,
        dir: &Path,
    ) -> Result<(Monitor, Option<AttachSession>)> {
        let id = held.id();
        let process = dir.join("process.json");
        write_atomic(&process, &self.exec_process(held, request)?, 0o600, Durability::Volatile)
            .map_err(Error::io("write", &process))?;
        let runtime = self.runtime(&held.config)?;
        let mut args = MonitorArgs::new(id.to_string(), runtime.path(), dir);
        args.session = session.to_owned();
        args.runtime_args = runtime.global_args();
        args.run_dir = Some(dir.to_owned());
        args.container_pidfile = Some(dir.join("pidfile"));
        args.monitor_pidfile = Some(dir.join("monitor.pid"));
        args.terminal = request.terminal;
        args.stdin = request.stdin_open;
        args.logs = vec![LogTarget::None];
        args.dialect = Dialect::of(&self.options.monitor);
        args.exec = Some(Exec { process_spec: process, attach: !request.detach });
        let launch = Launch {
            program: &self.options.monitor,
            args: &args,
            environment: &self.options.environment,
            cwd: None,
            extra_fds: Vec::new(),
            stdio: None,
        };
        let mut monitor = launch.spawn().map_err(|e| monitor_error(id, e))?;
        let mut attach = None;
        if !request.detach {
            monitor.wait_ready(START_TIMEOUT).map_err(|e| monitor_error(id, e))?;
            let client = AttachSession::connect(dir, request.terminal, None)?;
            if let (true, Some(window)) = (request.terminal, request.window) {
                client.resize(window.rows, window.columns)?;
            }
            attach = Some(client);
            monitor.go().map_err(|e| monitor_error(id, e))?;
        }
        monitor.wait_pid(START_TIMEOUT).map_err(|e| monitor_error(id, e))?;
        Ok((monitor, attach))
    }

    /// The process.json for the runtime, from the container's own specification.
    fn exec_process(&self, held: &Held, request: &ExecRequest) -> Result<Vec<u8>> {
        let path = self.layout().bundle(held.id()).join("config.json");
        let spec = oci_spec::runtime::Spec::load(&path).map_err(|e| Error::Corrupt {
            what: format!("the runtime specification of container {}", held.id()),
            path: path.clone(),
            why: e.to_string(),
        })?;
        let container = spec.process().as_ref().ok_or_else(|| Error::Corrupt {
            what: format!("the runtime specification of container {}", held.id()),
            path,
            why: "it has no process".into(),
        })?;
        let rootfs =
            self.rootfs(held.id(), &held.config)?.mounted().map_err(Error::Storage)?.ok_or_else(
                || {
                    Error::Invalid(format!(
                        "the root file system of container {} has been unmounted by somebody else",
                        held.id()
                    ))
                },
            )?;
        let root = Root::open(&rootfs).map_err(Error::io("open", &rootfs))?;
        let asked = dhow_oci::ExecRequest {
            args: request.command.clone(),
            env: request.env.iter().map(ToString::to_string).collect(),
            user: request.user.as_ref().map(ToString::to_string),
            cwd: request
                .workdir
                .as_deref()
                .map(|dir| crate::engine::utf8(dir).map(str::to_owned))
                .transpose()?,
            terminal: request.terminal,
            console_size: request
                .window
                .map(|window| dhow_oci::ConsoleSize { width: window.columns, height: window.rows }),
            privileged: request.privileged,
        };
        let process =
            dhow_oci::exec_process(&asked, &held.config.spec, container, self.host()?, &root)
                .map_err(Error::Spec)?;
        Ok(dhow_oci::to_json(&process))
    }

    fn sessions(&self, id: &ContainerId) -> PathBuf {
        self.run_dir(id).join("exec")
    }

    /// The ids of a container's exec sessions whose process has not ended.
    pub(crate) fn exec_ids(&self, id: &ContainerId) -> Vec<String> {
        let Ok(entries) = std::fs::read_dir(self.sessions(id)) else { return Vec::new() };
        entries
            .flatten()
            .filter(|entry| is_live(&entry.path()))
            .filter_map(|entry| entry.file_name().into_string().ok())
            .collect()
    }
}

impl ExecSession {
    /// The client's end; `None` of a detached session.
    pub fn attach(&mut self) -> Option<&mut AttachSession> {
        self.attach.as_mut()
    }

    /// Waits for the process's end: its exit code.
    ///
    /// # Errors
    /// The monitor died first.
    pub fn wait(mut self) -> Result<i32> {
        let code = self.monitor.wait_exit(None).map_err(|e| Error::While {
            what: format!("exec session {}", self.id),
            source: Box::new(Error::Launch(e)),
        });
        self.ended = true;
        drop(self.attach.take());
        code
    }
}

impl Drop for ExecSession {
    fn drop(&mut self) {
        // One that was detached, or left by its detach keys, goes on; a later exec takes its directory away.
        if self.ended {
            discard(&self.dir);
        }
    }
}

/// Whether the session's monitor lives.
fn is_live(dir: &Path) -> bool {
    let pid = dhow_sys::fs::read_bounded(&dir.join("monitor.pid"), 32).ok();
    let pid = pid
        .and_then(|bytes| String::from_utf8(bytes).ok())
        .and_then(|text| text.trim().parse::<i32>().ok());
    let started = dhow_sys::fs::read_bounded(&dir.join(dhow_shim::files::STARTED), 1 << 16).ok();
    let started = started
        .and_then(|bytes| serde_json::from_slice::<dhow_shim::records::Started>(&bytes).ok());
    match (started, pid) {
        (Some(started), _) => started.monitor.is_alive().unwrap_or(true),
        // Not yet started: it counts while a process of that number lives.
        (None, Some(pid)) => {
            ProcessId::of(pid).is_ok_and(|id| Process::open(id).is_ok_and(|p| p.is_some()))
        }
        (None, None) => false,
    }
}

/// Removes the directories of sessions that nobody waits for any more.
fn collect(sessions: &Path) -> Result<()> {
    let entries = match std::fs::read_dir(sessions) {
        Ok(entries) => entries,
        Err(e) if e.kind() == std::io::ErrorKind::NotFound => return Ok(()),
        Err(e) => return Err(Error::io("read", sessions)(e)),
    };
    for entry in entries.flatten() {
        if !is_live(&entry.path()) {
            discard(&entry.path());
        }
    }
    Ok(())
}

fn discard(dir: &Path) {
    if let Err(e) = dhow_sys::fs::remove_tree(dir) {
        tracing::debug!(dir = %dir.display(), error = %e, "exec session not removed");
    }
}
