//! Commands about several containers: which ones, one after the other or several at a time, and what is printed.

use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Mutex, PoisonError};

use anyhow::{Context as _, Result, bail};
use clap::Args;
use dhow_engine::request::{ContainerFilter, PsRequest};
use dhow_engine::{Engine, Error as EngineError, Status};

use crate::create_flags::value;
use crate::error;
use crate::output;

/// How many containers are worked on at a time: those that are being stopped mostly wait.
const WORKERS: usize = 16;
/// The largest `--cidfile`: an id and a newline, with room.
const MAX_CIDFILE: u64 = 4096;

/// The flags that say which containers.
#[derive(Debug, Args)]
pub(crate) struct Targets {
    /// Names, ids, or beginnings of ids
    #[arg(value_name = "CONTAINER")]
    pub(crate) names: Vec<String>,
    /// All containers that the command can be about
    #[arg(long, short)]
    pub(crate) all: bool,
    /// The container that was created last
    #[arg(long, short)]
    pub(crate) latest: bool,
    /// Those for which this holds, as in name=web or label=app=web
    #[arg(long, value_name = "KEY=VALUE", value_parser = value::<ContainerFilter>)]
    pub(crate) filter: Vec<ContainerFilter>,
    /// The container whose id is in this file
    #[arg(long, value_name = "FILE")]
    pub(crate) cidfile: Vec<PathBuf>,
}

impl Targets {
    /// The containers meant: as the user named them, by full id where the user did not.
    ///
    /// `--all` and `--filter` mean those in a status that the command can be about, `fits`. With `ignore`, containers
    /// and `--cidfile`s that do not exist are passed over.
    pub(crate) fn resolve(
        &self,
        engine: &Engine,
        ignore: bool,
        fits: impl Fn(Status) -> bool,
    ) -> Result<Selected> {
        let mut selected = self.resolve_any(engine, ignore)?;
        if self.all || !self.filter.is_empty() {
            // One that vanishes meanwhile, or cannot be read, is not one that the command can be about.
            let status = |name: &String| engine.resolve(name).and_then(|id| engine.status(&id));
            selected.names.retain(|name| status(name).is_ok_and(&fits));
        }
        Ok(selected)
    }

    /// The same for a command that is about containers in whatever status, damaged ones too.
    pub(crate) fn resolve_any(&self, engine: &Engine, ignore: bool) -> Result<Selected> {
        let named = !(self.names.is_empty() && self.cidfile.is_empty());
        let ways = [named, self.all, self.latest, !self.filter.is_empty() && !self.all];
        match ways.into_iter().filter(|way| *way).count() {
            0 => {
                bail!("name at least one container, or use --all, --latest, --filter or --cidfile")
            }
            1 => {}
            _ => bail!("containers' names, --all, --latest and --filter exclude each other"),
        }
        if named {
            let mut names = self.names.clone();
            for file in &self.cidfile {
                if !(ignore && matches!(file.try_exists(), Ok(false))) {
                    names.push(read_cidfile(file)?);
                }
            }
            return Ok(Selected { names, ignore_missing: ignore });
        }
        let names = if self.latest {
            vec![engine.latest()?.to_string()]
        } else if self.filter.is_empty() {
            engine.ids()?.iter().map(ToString::to_string).collect()
        } else {
            self.filtered(engine)?
        };
        // Not named by the user: one that somebody else removes meanwhile is none of his.
        Ok(Selected { names, ignore_missing: true })
    }

    fn filtered(&self, engine: &Engine) -> Result<Vec<String>> {
        let request = PsRequest { all: true, filters: self.filter.clone(), ..PsRequest::default() };
        let report = engine.ps(&request)?;
        Ok(report.rows.into_iter().map(|row| row.id).collect())
    }
}

/// The id in a `--cidfile`.
pub(crate) fn read_cidfile(file: &Path) -> Result<String> {
    let bytes = dhow_sys::fs::read_bounded(file, MAX_CIDFILE);
    let bytes = bytes.with_context(|| format!("cannot read the id file {}", file.display()))?;
    match String::from_utf8_lossy(&bytes).trim() {
        "" => bail!("the id file {} is empty", file.display()),
        id => Ok(id.to_owned()),
    }
}

/// The containers meant.
#[derive(Debug)]
pub(crate) struct Selected {
    /// As they are to be printed.
    pub(crate) names: Vec<String>,
    /// One that does not exist (any more) is passed over.
    pub(crate) ignore_missing: bool,
}

impl Selected {
    /// Does something to each container, several at a time; prints each name that worked, in order, and every error.
    /// The exit code is the worst of `code`.
    pub(crate) fn each(
        &self,
        code: impl Fn(&anyhow::Error) -> u8,
        act: impl Fn(&str) -> Result<(), EngineError> + Sync,
    ) -> Result<u8> {
        let mut worst = error::SUCCESS;
        for (name, result) in self.names.iter().zip(all_at_once(&self.names, act)) {
            match ignoring(self.ignore_missing, result.map_err(Into::into)) {
                Ok(Some(())) => output::line(name)?,
                Ok(None) => {}
                Err(e) => {
                    error::print(&e);
                    worst = worst.max(code(&e));
                }
            }
        }
        Ok(worst)
    }
}

/// The results of `act`, in the order of the names.
fn all_at_once<T: Send>(names: &[String], act: impl Fn(&str) -> T + Sync) -> Vec<T> {
    if let [name] = names {
        return vec![act(name)];
    }
    let next = AtomicUsize::new(0);
    let results = Mutex::new(Vec::new());
    std::thread::scope(|scope| {
        for _ in 0..names.len().min(WORKERS) {
            scope.spawn(|| {
                loop {
                    let at = next.fetch_add(1, Ordering::Relaxed);
                    let Some(name) = names.get(at) else { return };
                    let result = act(name);
                    results.lock().unwrap_or_else(PoisonError::into_inner).push((at, result));
                }
            });
        }
    });
    let mut results = results.into_inner().unwrap_or_else(PoisonError::into_inner);
    results.sort_by_key(|(at, _)| *at);
    results.into_iter().map(|(_, result)| result).collect()
}

/// With `ignore`, an unknown container is not an error.
pub(crate) fn ignoring<T>(ignore: bool, result: Result<T>) -> Result<Option<T>> {
    match result {
        Ok(done) => Ok(Some(done)),
        Err(e) if ignore && error::is_no_such(&e) => Ok(None),
        Err(e) => Err(e),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn results_keep_the_order_of_the_names() {
        let names: Vec<String> = (0..100).map(|n| n.to_string()).collect();
        assert_eq!(all_at_once(&names, str::to_owned), names);
    }
}
