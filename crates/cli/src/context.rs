//! What every command is given: the global flags, the environment, and the engine they lead to.

use std::ffi::OsString;
use std::path::{Path, PathBuf, absolute};

use anyhow::{Context as _, Result, bail};
use dhow_engine::{Engine, EngineOptions};

use crate::args::Global;
use crate::environment::Environment;

/// The surroundings of a command.
#[derive(Debug)]
pub(crate) struct Context {
    global: Global,
    pub(crate) environment: Environment,
}

const DEFAULT_ROOT: &str = "/var/lib/dhow";
const DEFAULT_RUNROOT: &str = "/run/dhow";
const MONITOR: &str = "dhow-shim";

impl Context {
    pub(crate) fn new(global: Global, environment: Environment) -> Self {
        Self { global, environment }
    }

    /// Opens the engine. Commands that do not need it do not call this.
    pub(crate) fn engine(&self) -> Result<Engine> {
        if !rustix::process::geteuid().is_root() {
            bail!("dhow must be run by root: containers of other users are not supported yet");
        }
        Ok(Engine::open(self.engine_options()?)?)
    }

    fn engine_options(&self) -> Result<EngineOptions> {
        let root = self.directory("root", self.global.root.as_deref(), DEFAULT_ROOT)?;
        let run = self.directory("runroot", self.global.runroot.as_deref(), DEFAULT_RUNROOT)?;
        let program =
            std::env::current_exe().context("cannot find out the path of this program")?;
        let search = self.environment.search_path();
        let monitor = self.monitor(&program, &search)?;
        let mut exit_command: Vec<OsString> = vec![
            program.into(),
            "--root".into(),
            (&root).into(),
            "--runroot".into(),
            (&run).into(),
        ];
        exit_command.extend(["--conmon".into(), (&monitor).into()]);
        if let Some(runtime) = &self.global.runtime {
            exit_command.extend(["--runtime".into(), runtime.into()]);
        }
        Ok(EngineOptions {
            root,
            run,
            runtime: self.global.runtime.clone(),
            monitor,
            search,
            exit_command,
            environment: self.environment.passed_on(),
            registries: self.environment.registries(),
        })
    }

    fn directory(&self, flag: &str, given: Option<&Path>, default: &str) -> Result<PathBuf> {
        let path = given.unwrap_or(Path::new(default));
        absolute(path)
            .with_context(|| format!("--{flag} {:?} is not a directory's path", path.display()))
    }

    /// The monitor: as told, else beside this program, else in the search path.
    fn monitor(&self, program: &Path, search: &[PathBuf]) -> Result<PathBuf> {
        if let Some(given) = &self.global.conmon {
            return absolute(given)
                .with_context(|| format!("--conmon {:?} is not a file's path", given.display()));
        }
        let beside = program.parent().map(|dir| dir.join(MONITOR));
        let mut candidates = beside.into_iter().chain(search.iter().map(|dir| dir.join(MONITOR)));
        // Where it is nowhere, the first start fails and names the place where it should be; ps and images need none.
        let first = candidates.next().unwrap_or_else(|| MONITOR.into());
        if first.is_file() {
            return Ok(first);
        }
        Ok(candidates.find(|path| path.is_file()).unwrap_or(first))
    }
}
