//! podman as an oracle: the same command line on both, in a private configuration and storage.

use crate::command::{Run, split};
use crate::env::TestEnv;

/// podman with storage of its own inside an environment; everything of it is removed on drop.
#[derive(Debug)]
pub struct Podman<'a> {
    env: &'a TestEnv,
    conf: String,
    storage: String,
}

impl<'a> Podman<'a> {
    /// An empty store.
    #[track_caller]
    pub fn new(env: &'a TestEnv) -> Self {
        Self::with_conmon(env, "/usr/bin/conmon")
    }

    /// The same, with this program as conmon. podman looks at its version and takes the next in `$PATH` if it does not like
    /// that: a test that means this one looks at `ConmonPid`.
    #[track_caller]
    pub fn with_conmon(env: &'a TestEnv, conmon: &str) -> Self {
        let conf = "[containers]\ndefault_ulimits = [\"nofile=1024:2048\", \"nproc=1024:2048\"]\nlog_driver = \"k8s-file\"\n\
             [engine]\nruntime = \"runc\"\ncgroup_manager = \"cgroupfs\"\nevents_logger = \"file\"\n";
        let conf = format!("{conf}conmon_path = [\"{conmon}\"]\n");
        let storage = format!(
            "[storage]\ndriver = \"overlay\"\ngraphroot = \"{0}/store\"\nrunroot = \"{0}/run\"\n",
            env.file("podman")
        );
        env.make_dir("podman");
        Self {
            env,
            conf: env.write("containers.conf", conf),
            storage: env.write("storage.conf", storage),
        }
    }

    /// podman with this command line.
    pub fn podman(&self, line: &str) -> Run {
        let run = self
            .env
            .tool("/usr/bin/podman")
            .env("CONTAINERS_CONF", &self.conf)
            .env("CONTAINERS_STORAGE_CONF", &self.storage);
        run.args([
            "--root",
            &self.env.file("podman/store"),
            "--runroot",
            &self.env.file("podman/run"),
        ])
        .args([
            "--tmpdir",
            &self.env.file("podman/tmp"),
            "--cgroup-manager",
            "cgroupfs",
            "--runtime",
            "runc",
        ])
        .args(["--network-config-dir", &self.env.file("podman/net")])
        .args(split(line))
    }

    /// Runs podman, which must succeed.
    #[track_caller]
    pub fn ok(&self, line: &str) -> String {
        self.podman(line).ok()
    }

    /// Loads the base image.
    #[track_caller]
    pub fn load_base(&self) {
        self.podman("load -q -i").arg(crate::image::base_archive()).ok();
    }
}

impl Drop for Podman<'_> {
    fn drop(&mut self) {
        if !std::thread::panicking() {
            for line in ["rm --all --force --time 0", "rmi --all --force"] {
                self.podman(line).ok();
            }
            // The overlay store keeps its own directory mounted.
            self.env
                .tool("/usr/bin/umount")
                .args(["-l", &self.env.file("podman/store/overlay")])
                .run();
        }
    }
}
