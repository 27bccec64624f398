//! The environment: read once, here and nowhere else.
//!
//! `DHOW_ROOT`, `DHOW_RUNROOT`, `DHOW_RUNTIME`, `DHOW_CONMON` and `DHOW_LOG_LEVEL` stand in for the global flags of
//! the same names. Where registries' files are follows `CONTAINERS_REGISTRIES_CONF`, `REGISTRY_AUTH_FILE`, `DOCKER_CONFIG`,
//! `HOME` and the XDG directories; proxies are those of `https_proxy`, `http_proxy` and `no_proxy`.

use std::ffi::{OsStr, OsString};
use std::os::unix::ffi::OsStrExt as _;
use std::path::PathBuf;

use dhow_engine::RegistrySettings;

/// The variables of this process.
#[derive(Debug, Clone, Default)]
pub(crate) struct Environment {
    variables: Vec<(OsString, OsString)>,
}

/// What the runtime and the monitor get to see: enough to find programs and to make temporary files.
const PASSED_ON: [&str; 5] =
    ["PATH", "TMPDIR", "HOME", "XDG_RUNTIME_DIR", "DBUS_SESSION_BUS_ADDRESS"];
/// Where programs are looked for when there is no `PATH`.
const DEFAULT_PATH: &str = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin";

impl Environment {
    pub(crate) fn read() -> Self {
        Self { variables: std::env::vars_os().collect() }
    }

    /// A variable that is set and not empty.
    pub(crate) fn get(&self, name: &str) -> Option<&OsStr> {
        let found = self.variables.iter().find(|(known, _)| known == name);
        found.map(|(_, value)| value.as_os_str()).filter(|value| !value.is_empty())
    }

    /// A variable that is text.
    pub(crate) fn text(&self, name: &str) -> Option<&str> {
        self.get(name).and_then(OsStr::to_str)
    }

    /// The variables that are text, for `--env NAME`.
    pub(crate) fn text_variables(&self) -> Vec<(String, String)> {
        let text = |os: &OsString| os.to_str().map(str::to_owned);
        self.variables
            .iter()
            .filter_map(|(name, value)| Some((text(name)?, text(value)?)))
            .collect()
    }

    /// The directories of `PATH`.
    pub(crate) fn search_path(&self) -> Vec<PathBuf> {
        let path = self.get("PATH").unwrap_or(OsStr::from_bytes(DEFAULT_PATH.as_bytes()));
        std::env::split_paths(path).filter(|dir| dir.is_absolute()).collect()
    }

    /// Where what is known of registries is kept, as containers-registries.conf(5), containers-auth.json(5) and their
    /// like have it.
    pub(crate) fn registries(&self) -> RegistrySettings {
        let dir = |name: &str| self.get(name).map(PathBuf::from);
        let home = dir("HOME");
        let user = dir("XDG_CONFIG_HOME").or_else(|| Some(home.as_ref()?.join(".config")));
        let user = user.map(|dir| dir.join("containers"));
        let system = PathBuf::from("/etc/containers");
        let ours = |name: &str| user.as_ref().map(|dir| dir.join(name));
        let own_file = |name: &str| ours(name).filter(|path| path.is_file());
        let told = dir("CONTAINERS_REGISTRIES_CONF");
        let registries_dirs = match &told {
            // Whoever names a file means that one.
            Some(_) => Vec::new(),
            None => [system.join("registries.conf.d")]
                .into_iter()
                .chain(ours("registries.conf.d"))
                .collect(),
        };
        let runtime = dir("XDG_RUNTIME_DIR").unwrap_or_else(|| "/run/containers/0".into());
        let auth_files = match dir("REGISTRY_AUTH_FILE") {
            Some(file) => vec![file],
            None => {
                let primary = match self.get("XDG_RUNTIME_DIR") {
                    Some(_) => runtime.join("containers/auth.json"),
                    None => runtime.join("auth.json"),
                };
                let docker = dir("DOCKER_CONFIG").or_else(|| Some(home.as_ref()?.join(".docker")));
                [primary]
                    .into_iter()
                    .chain(ours("auth.json"))
                    .chain(docker.map(|dir| dir.join("config.json")))
                    .chain(home.as_ref().map(|dir| dir.join(".dockercfg")))
                    .collect()
            }
        };
        let proxy = |names: [&str; 2]| names.into_iter().find_map(|name| self.text(name));
        RegistrySettings {
            registries_conf: told
                .or_else(|| own_file("registries.conf"))
                .unwrap_or_else(|| system.join("registries.conf")),
            registries_dirs,
            policy: own_file("policy.json").unwrap_or_else(|| system.join("policy.json")),
            auth_files,
            cert_dirs: ours("certs.d")
                .into_iter()
                .chain([system.join("certs.d"), "/etc/docker/certs.d".into()])
                .collect(),
            search: self.search_path(),
            environment: self.passed_on(),
            https_proxy: proxy(["https_proxy", "HTTPS_PROXY"]).map(str::to_owned),
            http_proxy: self.text("http_proxy").map(str::to_owned),
            no_proxy: proxy(["no_proxy", "NO_PROXY"]).map(str::to_owned),
        }
    }

    /// What helpers of the engine are started with.
    pub(crate) fn passed_on(&self) -> Vec<(OsString, OsString)> {
        let mut passed: Vec<_> = self
            .variables
            .iter()
            .filter(|(name, _)| PASSED_ON.iter().any(|passed| name == passed))
            .cloned()
            .collect();
        if !passed.iter().any(|(name, _)| name == "PATH") {
            passed.push(("PATH".into(), DEFAULT_PATH.into()));
        }
        passed
    }
}

#[cfg(test)]
impl Environment {
    /// An environment made up for a test.
    pub(crate) fn of(variables: &[(&str, &str)]) -> Self {
        Self {
            variables: variables.iter().map(|(name, value)| (name.into(), value.into())).collect(),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn helpers_see_little_and_always_a_path() {
        let environment = Environment::of(&[("SECRET", "x"), ("HOME", "/root"), ("DHOW_ROOT", "")]);
        let names: Vec<_> = environment.passed_on().into_iter().map(|(name, _)| name).collect();
        assert_eq!(names, ["HOME", "PATH"]);
        assert_eq!(environment.get("DHOW_ROOT"), None);
        assert_eq!(environment.search_path().len(), 6);
    }
}
