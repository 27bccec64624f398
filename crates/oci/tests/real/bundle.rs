//! A bundle in a temporary directory: a root file system of busybox, and the runtime to run it with.

use crate::{busybox, runtime, skip};
use dhow_oci::{BundlePaths, Host, Runtime, SpecRequest, generate, to_json};
use dhow_sys::process::{OutputLimits, Spawn, output};
use dhow_sys::root::Root;
use std::fs;
use std::os::unix::fs::{PermissionsExt, symlink};
use std::path::PathBuf;
use std::time::Duration;
use tempfile::TempDir;

pub(crate) const TIMEOUT: Duration = Duration::from_secs(60);

const PASSWD: &str = "root:x:0:0:root:/root:/bin/sh\nalice:x:1000:1000::/home/alice:/bin/sh\n";
const GROUP: &str = "root:x:0:\nalice:x:1000:\nvideo:x:44:alice\n";
const APPLETS: [&str; 21] = [
    "sh", "true", "cat", "ls", "id", "mount", "sleep", "env", "stat", "pwd", "hostname", "grep",
    "touch", "mkdir", "df", "cut", "sort", "head", "printf", "tail", "date",
];

pub(crate) struct Bundle {
    pub(crate) runtime: Runtime,
    pub(crate) host: Host,
    pub(crate) paths: BundlePaths,
    pub(crate) dir: PathBuf,
    pub(crate) id: String,
    _temp: TempDir,
}

/// What a container printed and how it ended.
#[derive(Debug)]
pub(crate) struct Ran {
    pub(crate) stdout: String,
    pub(crate) stderr: String,
    pub(crate) code: Option<i32>,
}

impl Bundle {
    /// `None` where the machine lacks something.
    pub(crate) fn new(name: &str) -> Option<Bundle> {
        let temp = tempfile::tempdir().unwrap();
        let host = Host::probe().unwrap();
        let (Some(busybox), Some(runtime)) =
            (busybox(), runtime(&temp.path().join("state"), &host))
        else {
            skip("root, an OCI runtime and busybox-static");
            return None;
        };
        let rootfs = temp.path().join("rootfs");
        for dir in ["bin", "etc", "root", "home/alice"] {
            fs::create_dir_all(rootfs.join(dir)).unwrap();
        }
        fs::set_permissions(&rootfs, fs::Permissions::from_mode(0o755)).unwrap();
        fs::copy(busybox, rootfs.join("bin/busybox")).unwrap();
        for applet in APPLETS {
            symlink("busybox", rootfs.join("bin").join(applet)).unwrap();
        }
        fs::write(rootfs.join("etc/passwd"), PASSWD).unwrap();
        fs::write(rootfs.join("etc/group"), GROUP).unwrap();
        let id = format!("dhow-oci-{name}-{}", std::process::id());
        let paths = BundlePaths { rootfs, ..BundlePaths::default() };
        Some(Bundle { runtime, host, paths, dir: temp.path().to_path_buf(), id, _temp: temp })
    }

    /// Writes config.json.
    pub(crate) fn write(&self, request: &SpecRequest) {
        let root = Root::open(&self.paths.rootfs).unwrap();
        let request = SpecRequest {
            cgroup: dhow_oci::Cgroup { path: format!("/{}", self.id), ..request.cgroup.clone() },
            container_id: "0123456789abcdef".into(),
            ..request.clone()
        };
        let spec = generate(&request, &self.paths, &self.host, &root).unwrap();
        fs::write(self.dir.join("config.json"), to_json(&spec)).unwrap();
    }

    pub(crate) fn spawn(&self, verb: &str) -> Spawn {
        Spawn::new(self.runtime.path())
            .args(self.runtime.global_args())
            .arg(verb)
            .envs(self.runtime.environment())
    }

    /// Runs the container to its end.
    pub(crate) fn run(&self, request: &SpecRequest) -> Ran {
        self.write(request);
        let spawn = self.spawn("run").arg("--bundle").arg(&self.dir).arg(&self.id);
        self.capture(spawn)
    }

    /// Runs a shell script in the container.
    pub(crate) fn script(&self, request: &SpecRequest, script: &str) -> String {
        let args = ["sh", "-c", script].map(str::to_owned).to_vec();
        let ran = self.run(&SpecRequest { args, ..request.clone() });
        assert_eq!(ran.code, Some(0), "{ran:?}");
        ran.stdout
    }

    pub(crate) fn capture(&self, spawn: Spawn) -> Ran {
        let limits = OutputLimits { timeout: Some(TIMEOUT), ..OutputLimits::default() };
        let done = output(spawn, &limits).unwrap();
        Ran {
            stdout: String::from_utf8_lossy(&done.stdout).into_owned(),
            stderr: String::from_utf8_lossy(&done.stderr).into_owned(),
            code: done.status.code(),
        }
    }
}

impl Drop for Bundle {
    fn drop(&mut self) {
        self.runtime.delete(&self.id, true).ok();
    }
}
