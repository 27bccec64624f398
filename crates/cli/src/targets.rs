//! Commands about several containers: which ones, one after the other or several at a time, and what is printed.

use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Mutex, PoisonError};

use anyhow::{Context as _, Result, bail};
use clap::Args;
use dhow_engine::request::{ContainerFilter, PsRequest};
use dhow_engine::{Engine, Status};

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
    /// The containers meant, as they are to be printed: as the user named them, by full id where the user did not.
    ///
    /// `--all` and `--filter` mean those in a status that the command can be about. With `ignore`, a missing
    /// `--cidfile` is passed over.
    pub(crate) fn resolve(
        &self,
        engine: &Engine,
        ignore: bool,
        fits: impl Fn(Status) -> bool,
    ) -> Result<Vec<String>> {
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
            let mut targets = self.names.clone();
            for file in &self.cidfile {
                if !(ignore && matches!(file.try_exists(), Ok(false))) {
                    targets.push(read_cidfile(file)?);
                }
            }
            return Ok(targets);
        }
        if self.latest {
            return Ok(vec![engine.latest()?.to_string()]);
        }
        let ids = if self.filter.is_empty() {
            engine.ids()?.iter().map(ToString::to_string).collect()
        } else {
            self.filtered(engine)?
        };
        // One that vanishes meanwhile, or cannot be read, is not one that the command can be about; ps shows the latter.
        let fits_now =
            |name: &String| engine.resolve(name).and_then(|id| engine.status(&id)).is_ok_and(&fits);
        Ok(ids.into_iter().filter(fits_now).collect())
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

/// Does something to each container, several at a time; prints each name that worked, in the order given, and every
/// error. The exit code is the worst of `code`.
pub(crate) fn each(
    targets: &[String],
    code: impl Fn(&anyhow::Error) -> u8,
    act: impl Fn(&str) -> Result<()> + Sync,
) -> Result<u8> {
    let mut worst = error::SUCCESS;
    for (target, result) in targets.iter().zip(all_at_once(targets, act)) {
        match result {
            Ok(()) => output::line(target)?,
            Err(e) => {
                error::print(&e);
                worst = worst.max(code(&e));
            }
        }
    }
    Ok(worst)
}

/// The results in the order of the targets.
fn all_at_once(targets: &[String], act: impl Fn(&str) -> Result<()> + Sync) -> Vec<Result<()>> {
    if let [target] = targets {
        return vec![act(target)];
    }
    let next = AtomicUsize::new(0);
    let results: Mutex<Vec<(usize, Result<()>)>> = Mutex::default();
    std::thread::scope(|scope| {
        for _ in 0..targets.len().min(WORKERS) {
            scope.spawn(|| {
                while let Some((at, target)) = Some(next.fetch_add(1, Ordering::Relaxed))
                    .and_then(|at| Some((at, targets.get(at)?)))
                {
                    let result = act(target);
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
    fn results_keep_the_order_of_the_targets() {
        let targets: Vec<String> = (0..100).map(|n| n.to_string()).collect();
        let results = all_at_once(&targets, |target| {
            if target.ends_with('7') { Err(anyhow::anyhow!("{target}")) } else { Ok(()) }
        });
        let failed: Vec<String> =
            results.into_iter().filter_map(|r| r.err().map(|e| e.to_string())).collect();
        assert_eq!(failed, ["7", "17", "27", "37", "47", "57", "67", "77", "87", "97"]);
    }
}
