//! `dhow create`.

use std::fs::File;
use std::io::Write as _;
use std::path::{Path, PathBuf};

use anyhow::{Context as _, Result, bail};
use dhow_engine::request::CreateRequest;
use dhow_engine::{ContainerId, Engine};

use crate::context::Context;
use crate::create_flags::CreateFlags;
use crate::environment::Environment;
use crate::error::{SUCCESS, warn_line};
use crate::output;

#[derive(Debug, clap::Args)]
#[command(
    override_usage = "dhow create [OPTIONS] IMAGE [COMMAND [ARG...]]",
    after_help = "Examples:
  dhow create --name web -v data:/srv IMAGE httpd
  dhow create --rootfs -t -i /srv/debian:O bash
  dhow start -ai web"
)]
pub(crate) struct Args {
    #[command(flatten)]
    flags: CreateFlags,
}

impl Args {
    /// The container asked for.
    pub(crate) fn request(self, environment: &Environment) -> Result<CreateRequest> {
        if !self.flags.attach.is_empty() {
            bail!("--attach is for run: use `dhow start --attach` for a container that exists");
        }
        self.flags.request(environment, &command_line())
    }
}

pub(crate) fn run(args: Args, context: &Context) -> Result<u8> {
    let pull = args.flags.pull.clone();
    let request = args.request(&context.environment)?;
    let engine = context.engine()?;
    pull.ensure(&engine, &request)?;
    let id = create(&engine, &request)?;
    output::line(id.as_str())?;
    Ok(SUCCESS)
}

/// This process's command line, for inspect.
pub(crate) fn command_line() -> Vec<std::ffi::OsString> {
    std::env::args_os().collect()
}

/// Makes the container, writes its id file and prints the warnings.
pub(crate) fn create(engine: &Engine, request: &CreateRequest) -> Result<ContainerId> {
    let id_file = request.cid_file.as_deref().map(IdFile::reserve).transpose()?;
    let created = engine.create(request)?;
    if let Some(file) = id_file {
        file.write(created.id.as_str())?;
    }
    for warning in &created.warnings {
        warn_line(&format!("Warning: {warning}"));
    }
    Ok(created.id)
}

/// A `--cidfile` that is ours: removed again unless an id gets into it.
#[derive(Debug)]
struct IdFile {
    path: Option<PathBuf>,
    file: File,
}

impl IdFile {
    /// ORDER: before the container is made, so that a file that exists stops us while nothing has been done.
    fn reserve(path: &Path) -> Result<Self> {
        let file = File::create_new(path).with_context(|| {
            format!(
                "cannot make the id file {}: it must not exist, another container may be using it",
                path.display()
            )
        })?;
        Ok(Self { path: Some(path.to_owned()), file })
    }

    fn write(mut self, id: &str) -> Result<()> {
        let path = self.path.take();
        let name = path.as_deref().unwrap_or(Path::new("")).display().to_string();
        self.file
            .write_all(id.as_bytes())
            .with_context(|| format!("cannot write the id file {name}"))
    }
}

impl Drop for IdFile {
    fn drop(&mut self) {
        if let Some(path) = &self.path {
            std::fs::remove_file(path).ok();
        }
    }
}
