//! Which runtime is used: the one that was asked for, or the first that is installed and can run on this machine.

use super::{Runtime, RuntimeError, RuntimeKind};
use crate::{CgroupVersion, Host};
use rustix::fs::{Access, access};
use std::ffi::OsStr;
use std::path::{Path, PathBuf};

/// The fastest first.
const ORDER: [&str; 3] = ["crun", "runc", "youki"];

impl Runtime {
    /// The runtime called `requested` (a name to look for in `dirs`, or a path), else the first of crun, runc and youki that
    /// is in `dirs` and can run on `host`. It will keep its state in `state_root`, so that two engines never meet.
    ///
    /// # Errors
    /// [`RuntimeError::NotInstalled`] says what was tried.
    pub fn find(
        requested: Option<&str>,
        dirs: &[PathBuf],
        state_root: &Path,
        host: &Host,
    ) -> Result<Runtime, RuntimeError> {
        let made = |path: PathBuf| Runtime {
            kind: RuntimeKind::of(&path),
            path,
            state_root: state_root.to_path_buf(),
            without_cgroups: false,
        };
        if let Some(requested) = requested.filter(|name| !name.is_empty()) {
            let path = if requested.contains('/') {
                Some(PathBuf::from(requested)).filter(|path| is_executable(path))
            } else {
                search(requested, dirs)
            };
            return path.map(made).ok_or_else(|| not_installed(&[requested], dirs, ""));
        }
        let usable = ORDER.iter().filter(|name| refusal(name, host).is_none());
        let found = usable.clone().find_map(|name| search(name, dirs));
        let refused = ORDER.iter().find_map(|name| refusal(name, host)).unwrap_or_default();
        found
            .map(made)
            .ok_or_else(|| not_installed(&usable.copied().collect::<Vec<_>>(), dirs, refused))
    }

    /// The same runtime for a container that has no cgroup of its own (`--cgroups=disabled`).
    ///
    /// # Errors
    /// [`RuntimeError::Unsupported`]: only crun can do this.
    pub fn without_cgroups(self) -> Result<Runtime, RuntimeError> {
        match self.kind {
            RuntimeKind::Crun => Ok(Runtime { without_cgroups: true, ..self }),
            _ => Err(RuntimeError::Unsupported {
                message: format!(
                    "{} cannot run a container without cgroups; crun can",
                    self.name()
                ),
            }),
        }
    }
}

impl RuntimeKind {
    pub(super) fn of(path: &Path) -> RuntimeKind {
        let name = path.file_name().and_then(OsStr::to_str).unwrap_or_default();
        match name {
            _ if name.starts_with("runc") => RuntimeKind::Runc,
            _ if name.starts_with("crun") => RuntimeKind::Crun,
            _ if name.starts_with("youki") => RuntimeKind::Youki,
            _ => RuntimeKind::Other,
        }
    }
}

/// Why a runtime cannot run here.
fn refusal(name: &str, host: &Host) -> Option<&'static str> {
    let hybrid = host.cgroup.version == CgroupVersion::Hybrid;
    (name == "crun" && hybrid).then_some("; crun refuses a machine with cgroups in hybrid mode")
}

fn search(name: &str, dirs: &[PathBuf]) -> Option<PathBuf> {
    dirs.iter().map(|dir| dir.join(name)).find(|path| is_executable(path))
}

fn is_executable(path: &Path) -> bool {
    path.is_file() && access(path, Access::EXEC_OK).is_ok()
}

fn not_installed(names: &[&str], dirs: &[PathBuf], remark: &str) -> RuntimeError {
    let dirs: Vec<String> = dirs.iter().map(|dir| dir.display().to_string()).collect();
    let names = names.join(", ");
    let message = if names.contains('/') {
        format!("no OCI runtime: {names} is not an executable file")
    } else {
        format!("no OCI runtime: looked for {names} in {}{remark}", dirs.join(":"))
    };
    RuntimeError::NotInstalled { message }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::CgroupHost;
    use crate::host::tests::generous;
    use std::os::unix::fs::PermissionsExt;

    fn executable(dir: &Path, name: &str, mode: u32) {
        let path = dir.join(name);
        std::fs::File::create(&path).unwrap();
        std::fs::set_permissions(&path, std::fs::Permissions::from_mode(mode)).unwrap();
    }

    fn hybrid() -> Host {
        let host = generous();
        Host {
            cgroup: CgroupHost { version: CgroupVersion::Hybrid, ..host.cgroup.clone() },
            ..host
        }
    }

    #[test]
    fn the_first_that_can_run_here() {
        let dir = tempfile::tempdir().unwrap();
        let dirs = [PathBuf::from("/nonexistent"), dir.path().to_path_buf()];
        let find = |name: Option<&str>, host: &Host| {
            Runtime::find(name, &dirs, Path::new("/state"), host)
                .map(|r| r.name())
                .map_err(|e| e.to_string())
        };
        let looked = format!(
            "no OCI runtime: looked for crun, runc, youki in /nonexistent:{}",
            dir.path().display()
        );
        assert_eq!(find(None, &generous()).unwrap_err(), looked);
        executable(dir.path(), "youki", 0o755);
        executable(dir.path(), "crun", 0o755);
        executable(dir.path(), "runc", 0o644);
        assert_eq!(find(None, &generous()).unwrap(), "crun");
        assert_eq!(find(None, &hybrid()).unwrap(), "youki", "crun cannot, runc is not executable");
        assert_eq!(find(Some("crun"), &hybrid()).unwrap(), "crun", "what is asked for is taken");
        std::fs::remove_file(dir.path().join("youki")).unwrap();
        assert!(
            find(None, &hybrid())
                .unwrap_err()
                .ends_with("crun refuses a machine with cgroups in hybrid mode")
        );
        assert!(
            find(Some("runc"), &generous())
                .unwrap_err()
                .starts_with("no OCI runtime: looked for runc in ")
        );
        assert_eq!(
            find(Some("/etc/passwd"), &generous()).unwrap_err(),
            "no OCI runtime: /etc/passwd is not an executable file"
        );
        let path = dir.path().join("crun");
        assert_eq!(find(path.to_str(), &hybrid()).unwrap(), "crun");
    }

    #[test]
    fn only_crun_runs_without_cgroups() {
        let dir = tempfile::tempdir().unwrap();
        executable(dir.path(), "crun-1.8", 0o755);
        executable(dir.path(), "runc", 0o755);
        let dirs = [dir.path().to_path_buf()];
        let find =
            |name| Runtime::find(Some(name), &dirs, Path::new("/state"), &generous()).unwrap();
        let args = find("crun-1.8").without_cgroups().unwrap().global_args();
        assert_eq!(args, ["--root", "/state", "--cgroup-manager=disabled"]);
        assert!(
            find("runc")
                .without_cgroups()
                .unwrap_err()
                .to_string()
                .contains("cannot run a container without cgroups")
        );
    }
}
