//! Where every file lies. The only place where paths are made.
//!
//! `root` survives a reboot, `run` does not. Both are parameters: two engines on different roots never meet.
//! docs/on-disk.md describes the contents.

use std::path::PathBuf;

use crate::id::ContainerId;
use crate::name::{ArtifactName, ContainerName, VolumeName};

/// The two roots.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Layout {
    /// What survives a reboot.
    pub root: PathBuf,
    /// What does not.
    pub run: PathBuf,
}

impl Layout {
    /// `root/containers`: a directory a container.
    #[must_use]
    pub fn containers(&self) -> PathBuf {
        self.root.join("containers")
    }

    /// `root/containers/<id>`: made first and removed last of all that belongs to a container.
    #[must_use]
    pub fn container_dir(&self, id: &ContainerId) -> PathBuf {
        self.containers().join(id.as_str())
    }

    /// `config.json`: immutable. A container exists when it is there.
    #[must_use]
    pub fn config(&self, id: &ContainerId) -> PathBuf {
        self.container_dir(id).join("config.json")
    }

    /// `name`: a symbolic link whose text is the container's present name.
    #[must_use]
    pub fn name_file(&self, id: &ContainerId) -> PathBuf {
        self.container_dir(id).join("name")
    }

    /// `past.json`: what is to be known of it after a reboot.
    #[must_use]
    pub fn past(&self, id: &ContainerId) -> PathBuf {
        self.container_dir(id).join("past.json")
    }

    /// `removing`: an empty file; the removal has begun and is to be finished.
    #[must_use]
    pub fn removing(&self, id: &ContainerId) -> PathBuf {
        self.container_dir(id).join("removing")
    }

    /// `volumes`: the anonymous volumes that are made for a container which is not committed yet, one a line.
    #[must_use]
    pub fn intended_volumes(&self, id: &ContainerId) -> PathBuf {
        self.container_dir(id).join("volumes")
    }

    /// `bundle/`: what the OCI runtime is given.
    #[must_use]
    pub fn bundle(&self, id: &ContainerId) -> PathBuf {
        self.container_dir(id).join("bundle")
    }

    /// `artifacts/`.
    #[must_use]
    pub fn artifacts(&self, id: &ContainerId) -> PathBuf {
        self.container_dir(id).join("artifacts")
    }

    /// `artifacts/<name>`.
    #[must_use]
    pub fn artifact(&self, id: &ContainerId, name: &ArtifactName) -> PathBuf {
        self.artifacts(id).join(name.as_str())
    }

    /// `ctr.log`: where the log goes unless the user says otherwise.
    #[must_use]
    pub fn log(&self, id: &ContainerId) -> PathBuf {
        self.container_dir(id).join("ctr.log")
    }

    /// `fs/`: belongs to storage.
    #[must_use]
    pub fn rootfs(&self, id: &ContainerId) -> PathBuf {
        self.container_dir(id).join("fs")
    }

    /// `root/names`.
    #[must_use]
    pub fn names_dir(&self) -> PathBuf {
        self.root.join("names")
    }

    /// `root/names/<name>`: a symbolic link whose text is the id of the owner.
    #[must_use]
    pub fn name(&self, name: &ContainerName) -> PathBuf {
        self.names_dir().join(name.as_str())
    }

    /// `root/volumes`.
    #[must_use]
    pub fn volumes(&self) -> PathBuf {
        self.root.join("volumes")
    }

    /// `root/volumes/<name>`.
    #[must_use]
    pub fn volume(&self, name: &VolumeName) -> PathBuf {
        self.volumes().join(name.as_str())
    }

    /// `root/volumes/<name>/volume.json`.
    #[must_use]
    pub fn volume_record(&self, name: &VolumeName) -> PathBuf {
        self.volume(name).join("volume.json")
    }

    /// `root/volumes/<name>/_data`: what containers see.
    #[must_use]
    pub fn volume_data(&self, name: &VolumeName) -> PathBuf {
        self.volume(name).join("_data")
    }

    /// `root/networks`: belongs to network.
    #[must_use]
    pub fn networks(&self) -> PathBuf {
        self.root.join("networks")
    }

    /// `run/networks`: belongs to network.
    #[must_use]
    pub fn run_networks(&self) -> PathBuf {
        self.run.join("networks")
    }

    /// `run/containers`.
    #[must_use]
    pub fn run_containers(&self) -> PathBuf {
        self.run.join("containers")
    }

    /// `run/containers/<id>`.
    #[must_use]
    pub fn run_dir(&self, id: &ContainerId) -> PathBuf {
        self.run_containers().join(id.as_str())
    }

    /// `lock`.
    #[must_use]
    pub fn lock(&self, id: &ContainerId) -> PathBuf {
        self.run_dir(id).join("lock")
    }

    /// `record.json`: the engine's.
    #[must_use]
    pub fn record(&self, id: &ContainerId) -> PathBuf {
        self.run_dir(id).join("record.json")
    }

    /// `started.json`: the monitor's.
    #[must_use]
    pub fn started(&self, id: &ContainerId) -> PathBuf {
        self.run_dir(id).join("started.json")
    }

    /// `exit.json`: the monitor's.
    #[must_use]
    pub fn exit(&self, id: &ContainerId) -> PathBuf {
        self.run_dir(id).join("exit.json")
    }

    /// `lost.json`: the monitor's, where the log could not take all output.
    #[must_use]
    pub fn losses(&self, id: &ContainerId) -> PathBuf {
        self.run_dir(id).join("lost.json")
    }

    /// `exit`: a conmon's, which knows no other form: the exit code in decimal.
    #[must_use]
    pub fn plain_exit(&self, id: &ContainerId) -> PathBuf {
        self.run_dir(id).join("exit")
    }

    /// `oom`: an empty file of the monitor's.
    #[must_use]
    pub fn oom(&self, id: &ContainerId) -> PathBuf {
        self.run_dir(id).join("oom")
    }

    /// `attach`: the monitor's socket.
    #[must_use]
    pub fn attach(&self, id: &ContainerId) -> PathBuf {
        self.run_dir(id).join("attach")
    }

    /// `ctl`: the monitor's fifo for commands.
    #[must_use]
    pub fn ctl(&self, id: &ContainerId) -> PathBuf {
        self.run_dir(id).join("ctl")
    }

    /// `winsz`: the monitor's fifo for window sizes.
    #[must_use]
    pub fn winsz(&self, id: &ContainerId) -> PathBuf {
        self.run_dir(id).join("winsz")
    }

    /// `pidfile`: the runtime's.
    #[must_use]
    pub fn pidfile(&self, id: &ContainerId) -> PathBuf {
        self.run_dir(id).join("pidfile")
    }

    /// `monitor.pid`: the monitor's.
    #[must_use]
    pub fn monitor_pidfile(&self, id: &ContainerId) -> PathBuf {
        self.run_dir(id).join("monitor.pid")
    }

    /// `netns`: its network namespace, a mount.
    #[must_use]
    pub fn network_namespace(&self, id: &ContainerId) -> PathBuf {
        self.run_dir(id).join("netns")
    }

    /// `run/boot`: the boot that `run` is of.
    #[must_use]
    pub fn boot(&self) -> PathBuf {
        self.run.join("boot")
    }

    /// `run/lock`: for the rare steps that concern more than one container (a new boot, a stale name).
    #[must_use]
    pub fn run_lock(&self) -> PathBuf {
        self.run.join("lock")
    }

    /// `run/runtime`: the OCI runtime's own state directory.
    #[must_use]
    pub fn runtime(&self) -> PathBuf {
        self.run.join("runtime")
    }

    /// `run/exits`: the ends of containers that are removed.
    #[must_use]
    pub fn exits(&self) -> PathBuf {
        self.run.join("exits")
    }

    /// `run/exits/<id>.json`.
    #[must_use]
    pub fn exit_of_removed(&self, id: &ContainerId) -> PathBuf {
        self.exits().join(format!("{id}.json"))
    }
}
