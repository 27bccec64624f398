//! `init`: everything between a configuration on disk and a process that waits to be started.
//!
//! Every step can be repeated: mounts are decided from the kernel's table, files are written anew, the leftovers of an
//! earlier life are removed first. What fails is undone by [`Engine::tear_down`], the same code that cleans up after a
//! container that has ended.

use std::path::{Path, PathBuf};
use std::time::Duration;

use dhow_oci::{BundlePaths, Mount, MountKind, Namespace, Runtime, SpecRequest};
use dhow_shim::args::{Dialect, ExitCommand, LogLimits, LogTarget, MonitorArgs};
use dhow_shim::launch::{self, Launch};
use dhow_state::{Phase, Status};
use dhow_sys::fs::{Durability, write_atomic};
use dhow_sys::pidfd::ProcessId;
use dhow_sys::process::Stdio;
use dhow_sys::root::Root;

use crate::config::{ContainerConfig, OverlayUse};
use crate::engine::{Engine, Held};
use crate::error::{Error, Result};
use crate::etc;
use crate::request::{LogDriver, NamespaceKind, RestartPolicy};

/// How long a runtime may take to create a container: conmon's callers wait as long.
const CREATE_TIMEOUT: Duration = Duration::from_secs(240);

impl Engine {
    /// Mounts the container, and has the runtime create it; its process waits for `start`.
    ///
    /// # Errors
    /// [`Error::InvalidState`] unless it is created, stopped or exited; the runtime's refusal.
    pub fn init(&self, container: &str) -> Result<()> {
        let id = self.resolve(container)?;
        self.start_dependencies(&id)?;
        let mut held = self.hold(&id)?;
        self.require_startable(&held, "init")?;
        if held.status() == Status::Stopped {
            self.finish_life(&mut held)?;
        }
        self.initialize(&mut held)
    }

    /// The locked half of init. A failure is undone before it is returned.
    pub(crate) fn initialize(&self, held: &mut Held) -> Result<()> {
        held.locked.begin_init().map_err(Error::State)?;
        match self.bring_up(held) {
            Ok(()) => Ok(()),
            Err(e) => {
                // The first error is the user's. Where the undoing fails too, the record still says what was begun, and
                // the next command undoes it.
                if let Err(undo) = self.undo_init(held, &e) {
                    tracing::debug!(id = %held.id(), error = %undo, "cannot undo a failed init");
                }
                Err(e)
            }
        }
    }

    /// Takes down what a failed init or start has put up; the container is as it was, but for the reason.
    pub(crate) fn undo_init(&self, held: &mut Held, e: &Error) -> Result<()> {
        let why = crate::error::chain(e);
        self.tear_down(held)?;
        held.locked
            .update(|record| {
                record.phase = Phase::Configured;
                record.error = Some(why);
            })
            .map_err(Error::State)
    }

    fn bring_up(&self, held: &mut Held) -> Result<()> {
        let id = held.id().clone();
        let config = &held.config;
        let run = self.run_dir(&id);
        let bundle = self.layout().bundle(&id);
        let name = held.locked.snapshot().name.to_string();

        let rootfs = self.rootfs(&id, config)?;
        let mounted = rootfs
            .mount(&dhow_storage::MountOptions {
                volatile: held.locked.snapshot().config.auto_remove,
                ..dhow_storage::MountOptions::default()
            })
            .map_err(Error::Storage)?;
        let root =
            Root::open(&mounted).map_err(Error::io("open the root file system", &mounted))?;

        let mut spec = config.spec.clone();
        let mut paths = BundlePaths { rootfs: mounted.clone(), ..BundlePaths::default() };
        self.join_namespaces(config, &mut spec, &mut paths)?;
        if let Some(size) = config.shm_size {
            let shm = self.shm_dir(&id);
            dhow_storage::mount_shm(&shm, size, None).map_err(Error::Storage)?;
            paths.shm = Some(shm);
        } else if spec.namespaces.ipc == Namespace::Host {
            paths.shm = Some(PathBuf::from("/dev/shm"));
        }
        let host_name = dhow_oci::hostname(&spec, self.host()?).map_err(Error::Spec)?;
        let attached = self.reserve_networks(&id, &name, config)?;
        if let Some(attached) = &attached {
            spec.namespaces.network = Namespace::Path(attached.attachment.namespace.clone());
        }
        let whose = etc::Whose { id: &id, name: &name, host_name: &host_name, config };
        etc::write(
            &run.join("etc"),
            &whose,
            attached.as_ref().map(|a| &a.attachment),
            &root,
            &mut paths,
        )?;
        self.share_network_files(config, &mut paths);
        self.mount_volumes(&id, config, &root, &mut spec)?;

        let runtime = self.runtime(config)?;
        let mut generated =
            dhow_oci::generate(&spec, &paths, self.host()?, &root).map_err(Error::Spec)?;
        runtime.hand_over_filter(&mut generated);
        dhow_sys::fs::create_dir_all(&bundle, 0o700)
            .map_err(Error::io("create the bundle", &bundle))?;
        let json = bundle.join("config.json");
        write_atomic(&json, &dhow_oci::to_json(&generated), 0o600, Durability::Volatile)
            .map_err(Error::io("write the runtime spec", &json))?;

        let (container, monitor) =
            self.while_connecting(attached.as_ref(), || self.launch(held, &name, &runtime))?;
        held.locked
            .update(|record| {
                record.phase = Phase::Created;
                record.init = Some(container);
                record.monitor = monitor;
                record.error = None;
            })
            .map_err(Error::State)
    }

    /// Starts the monitor, which has the runtime create the container; the identities of both processes.
    fn launch(
        &self,
        held: &Held,
        name: &str,
        runtime: &Runtime,
    ) -> Result<(ProcessId, Option<ProcessId>)> {
        let id = held.id();
        let config = &held.config;
        let run = self.run_dir(id);
        let mut args = MonitorArgs::new(id.to_string(), runtime.path(), self.layout().bundle(id));
        args.session = id.to_string();
        args.name = Some(name.to_owned());
        args.runtime_args = runtime.global_args();
        args.run_dir = Some(run.clone());
        args.container_pidfile =
            Some(config.pidfile.clone().unwrap_or_else(|| self.layout().pidfile(id)));
        args.monitor_pidfile = Some(
            config.monitor_pidfile.clone().unwrap_or_else(|| self.layout().monitor_pidfile(id)),
        );
        args.terminal = config.spec.terminal;
        args.stdin = config.stdin;
        args.timeout = (config.timeout > 0).then_some(config.timeout);
        args.logs = vec![log_target(config)];
        args.log_limits = LogLimits {
            max_size: config.log.max_size,
            rotate: config.log.max_size.is_some(),
            max_files: config.log.max_files,
            ..LogLimits::default()
        };
        args.attach_catch_up = config.log.whole().is_some();
        args.dialect = Dialect::of(&self.options.monitor);
        if args.dialect == Dialect::Conmon {
            // Its bundle is the run directory: the runtime finds the specification there too.
            link_spec(&self.layout().bundle(id), &run)?;
        }
        // A log that outlives the boot is synced at exit; one that goes with its container need not be.
        args.sync_log = false;
        args.exit_command = Some(self.exit_command(held));
        let launch = Launch {
            program: &self.options.monitor,
            args: &args,
            environment: &self.options.environment,
            // An older conmon marks the out-of-memory killer's work in its working directory.
            cwd: (args.dialect == Dialect::Conmon).then_some(run.as_path()),
            extra_fds: Vec::new(),
            stdio: match config.log.driver {
                LogDriver::Passthrough => Some([Stdio::Inherit, Stdio::Inherit, Stdio::Inherit]),
                _ => None,
            },
        };
        let mut monitor = launch.spawn().map_err(|e| monitor_error(id, e))?;
        let pid = monitor.wait_pid(CREATE_TIMEOUT).map_err(|e| monitor_error(id, e))?;
        // The monitor's own record has the identity as it was when it saw the process; a foreign monitor has none.
        if let Some(started) = held.locked.started().map_err(Error::State)? {
            return Ok((started.container, Some(started.monitor)));
        }
        let container = ProcessId::of(pid).map_err(|source| Error::Io {
            action: "look at the container's process in",
            path: PathBuf::from(format!("/proc/{pid}")),
            source,
        })?;
        let monitor = monitor.pid().ok().flatten().and_then(|pid| ProcessId::of(pid).ok());
        Ok((container, monitor))
    }

    /// What the monitor runs when the container has ended.
    fn exit_command(&self, held: &Held) -> ExitCommand {
        let mut argv = self.options.exit_command.clone();
        argv.extend(["container", "cleanup"].map(Into::into));
        argv.push(held.id().as_str().into());
        // A command that attends the container cleans up itself. Restarting must not wait for it.
        let attended = self.attended(held.id());
        let lock =
            (held.config.restart == RestartPolicy::No && attended.exists()).then_some(attended);
        ExitCommand { argv, delay: None, lock }
    }

    /// Puts the namespaces of other containers, which must run by now, in place of the private ones.
    fn join_namespaces(
        &self,
        config: &ContainerConfig,
        spec: &mut SpecRequest,
        paths: &mut BundlePaths,
    ) -> Result<()> {
        for join in &config.joins {
            let snapshot = self.snapshot(&join.container)?;
            let init = snapshot.init().filter(|init| init.is_alive().unwrap_or(false)).ok_or_else(
                || Error::InvalidState {
                    verb: "share the namespaces of",
                    id: join.container.clone(),
                    status: snapshot.status(),
                    hint: "; start it first",
                },
            )?;
            let path = PathBuf::from(format!("/proc/{}/ns/{}", init.pid, proc_name(join.kind)));
            let slot = match join.kind {
                NamespaceKind::Pid => &mut spec.namespaces.pid,
                NamespaceKind::Ipc => {
                    let shm = self.shm_dir(&join.container);
                    if dhow_sys::mountinfo::is_mount_point(&shm).unwrap_or(false) {
                        paths.shm = Some(shm);
                    } else {
                        return Err(Error::Invalid(format!(
                            "the ipc namespace of container {} is not shareable; make it with --ipc shareable",
                            join.container
                        )));
                    }
                    &mut spec.namespaces.ipc
                }
                NamespaceKind::Uts => &mut spec.namespaces.uts,
                NamespaceKind::Network => &mut spec.namespaces.network,
                NamespaceKind::Cgroup => spec.namespaces.cgroup.get_or_insert(Namespace::Private),
            };
            *slot = Namespace::Path(path);
        }
        Ok(())
    }

    /// Fills and mounts volumes, overlays of host directories, and changes the owners that `U` asks for.
    fn mount_volumes(
        &self,
        id: &dhow_state::ContainerId,
        config: &ContainerConfig,
        root: &Root,
        spec: &mut SpecRequest,
    ) -> Result<()> {
        let mut chowned: Vec<PathBuf> = config.chowned.clone();
        for volume in &config.volumes {
            self.fill_volume(root, volume)?;
            let source = self.layout().volume_data(&volume.name);
            if volume.chown {
                chowned.push(source.clone());
            }
            spec.mounts.push(bind(&source, &volume.destination, &volume.options)?);
        }
        for (index, overlay) in config.overlays.iter().enumerate() {
            let merged = self.mount_overlay_of(id, index, overlay)?;
            spec.mounts.push(bind(&merged, &overlay.destination, &overlay.options)?);
        }
        if !chowned.is_empty() {
            let user = dhow_oci::user::resolve(root, &spec.user, &[]).map_err(Error::Spec)?;
            for path in &chowned {
                dhow_sys::fs::change_owner(path, user.uid, user.gid)
                    .map_err(Error::io("change the owner of", path))?;
            }
        }
        Ok(())
    }

    fn mount_overlay_of(
        &self,
        id: &dhow_state::ContainerId,
        index: usize,
        overlay: &OverlayUse,
    ) -> Result<PathBuf> {
        let dir = self.overlay_dir(id).join(index.to_string());
        let (upper, work) = match &overlay.upper {
            Some((upper, work)) => (upper.clone(), work.clone()),
            None => (dir.join("upper"), dir.join("work")),
        };
        let merged = dir.join("merged");
        for path in [&upper, &work, &merged] {
            dhow_sys::fs::create_dir_all(path, 0o755).map_err(Error::io("create", path))?;
        }
        if !dhow_sys::mountinfo::is_mount_point(&merged).map_err(Error::io("look at", &merged))? {
            let lower = [overlay.source.as_path()];
            let spec = dhow_sys::mount::Overlay {
                lower: &lower,
                upper: Some(&upper),
                work: Some(&work),
                ..dhow_sys::mount::Overlay::default()
            };
            dhow_sys::mount::mount_overlay(&spec, &merged)
                .map_err(Error::io("mount an overlay on", &merged))?;
        }
        Ok(merged)
    }

    /// Where the overlays of `-v DIR:DEST:O` are mounted: with the container, so that what is written there lasts as long.
    pub(crate) fn overlay_dir(&self, id: &dhow_state::ContainerId) -> PathBuf {
        self.layout().container_dir(id).join("overlays")
    }
}

/// Makes the specification of the bundle visible in the run directory.
fn link_spec(bundle: &Path, run: &Path) -> Result<()> {
    let link = run.join("config.json");
    match std::fs::remove_file(&link) {
        Err(e) if e.kind() != std::io::ErrorKind::NotFound => {
            return Err(Error::io("remove", &link)(e));
        }
        _ => {}
    }
    std::os::unix::fs::symlink(bundle.join("config.json"), &link).map_err(Error::io("make", &link))
}

fn proc_name(kind: NamespaceKind) -> &'static str {
    match kind {
        NamespaceKind::Pid => "pid",
        NamespaceKind::Ipc => "ipc",
        NamespaceKind::Uts => "uts",
        NamespaceKind::Network => "net",
        NamespaceKind::Cgroup => "cgroup",
    }
}

fn bind(source: &Path, destination: &str, options: &[String]) -> Result<Mount> {
    Ok(Mount {
        kind: MountKind::Bind,
        source: crate::engine::utf8(source)?.to_owned(),
        destination: destination.to_owned(),
        options: options.to_vec(),
    })
}

fn log_target(config: &ContainerConfig) -> LogTarget {
    match (config.log.driver, &config.log.path) {
        (LogDriver::K8sFile, Some(path)) => LogTarget::K8sFile(path.clone()),
        (LogDriver::JsonFile, Some(path)) => LogTarget::JsonFile(path.clone()),
        (LogDriver::Passthrough, _) => LogTarget::Passthrough,
        (LogDriver::None | LogDriver::K8sFile | LogDriver::JsonFile, _) => LogTarget::None,
    }
}

/// What the monitor said, as an engine error: the runtime's words become the runtime's error.
pub(crate) fn monitor_error(id: &dhow_state::ContainerId, e: launch::Error) -> Error {
    match e {
        launch::Error::Runtime { message } => {
            Error::Runtime(dhow_oci::runtime::RuntimeError::from_text(&message))
        }
        other => Error::While {
            what: format!("the monitor of container {id}"),
            source: Box::new(Error::Launch(other)),
        },
    }
}
