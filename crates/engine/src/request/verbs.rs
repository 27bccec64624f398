//! What the other commands can ask for.

use std::path::PathBuf;

use serde::{Deserialize, Serialize};

use super::{ContainerFilter, EnvVar, ImageFilter, Moment, Signal, Timeout, User};

/// `attach`, and the attached half of `run` and `start -a`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct Streams {
    /// The client's input goes to the container.
    pub stdin: bool,
    /// The container's stdout comes to the client.
    pub stdout: bool,
    /// The container's stderr comes to the client.
    pub stderr: bool,
}

/// A terminal's size in cells.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct WindowSize {
    /// Lines.
    pub rows: u16,
    /// Columns.
    pub columns: u16,
}

/// `attach`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct AttachRequest {
    /// Name, id or prefix.
    pub container: String,
    /// What flows.
    pub streams: Streams,
    /// The size of the client's terminal, which the container's terminal has from its first instruction on.
    #[serde(default)]
    pub window: Option<WindowSize>,
}

/// `exec`.
#[derive(Debug, Clone, PartialEq, Default, Serialize, Deserialize)]
pub struct ExecRequest {
    /// Name, id or prefix.
    pub container: String,
    /// The program and its arguments: at least one word.
    pub command: Vec<String>,
    /// `--env-file` then `--env`, over the container's environment.
    #[serde(default)]
    pub env: Vec<EnvVar>,
    /// `--user`; none: the container's.
    #[serde(default)]
    pub user: Option<User>,
    /// `--workdir`; none: the container's.
    #[serde(default)]
    pub workdir: Option<PathBuf>,
    /// `--privileged`: all capabilities.
    #[serde(default)]
    pub privileged: bool,
    /// `--tty`.
    #[serde(default)]
    pub terminal: bool,
    /// `--interactive`.
    #[serde(default)]
    pub stdin_open: bool,
    /// `--detach`: nobody reads its output.
    #[serde(default)]
    pub detach: bool,
    /// The size its terminal starts with.
    #[serde(default)]
    pub window: Option<WindowSize>,
}

/// `start`.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct StartRequest {
    /// Name, id or prefix.
    pub container: String,
}

/// `stop`.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct StopRequest {
    /// Name, id or prefix.
    pub container: String,
    /// `--time`; none: the container's own.
    #[serde(default)]
    pub timeout: Option<Timeout>,
}

/// `restart`.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct RestartRequest {
    /// Name, id or prefix.
    pub container: String,
    /// `--time`; none: the container's own.
    #[serde(default)]
    pub timeout: Option<Timeout>,
}

/// `kill`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct KillRequest {
    /// Name, id or prefix.
    pub container: String,
    /// `--signal`.
    pub signal: Signal,
}

/// `rm`.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct RemoveRequest {
    /// Name, id or prefix.
    pub container: String,
    /// `--force`: a running or paused one is stopped first, a damaged one removed all the same.
    #[serde(default)]
    pub force: bool,
    /// `--volumes`: its anonymous volumes too.
    #[serde(default)]
    pub volumes: bool,
    /// `--depend`: the containers that share its namespaces too.
    #[serde(default)]
    pub depend: bool,
    /// `--time`: how long a forced stop waits before it kills; none: the container's own.
    #[serde(default)]
    pub timeout: Option<Timeout>,
}

/// `wait`.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct WaitRequest {
    /// Name, id or prefix.
    pub container: String,
    /// `--condition`: any of these; empty: stopped or exited.
    #[serde(default)]
    pub conditions: Vec<WaitCondition>,
}

/// A state to wait for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum WaitCondition {
    /// Made, never started (podman's other name for `created`).
    Configured,
    /// Made, never started.
    Created,
    /// Its process waits to be started.
    Initialized,
    /// Running.
    Running,
    /// Paused.
    Paused,
    /// Being stopped.
    Stopping,
    /// Ended, not yet cleaned up; also met by `exited`.
    Stopped,
    /// Ended and cleaned up.
    Exited,
    /// Being removed, or gone.
    Removing,
}

/// `logs`.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct LogsRequest {
    /// Name, id or prefix.
    pub container: String,
    /// `--follow`: until the container ends.
    #[serde(default)]
    pub follow: bool,
    /// `--tail`: so many lines from the end; none: all.
    #[serde(default)]
    pub tail: Option<u64>,
    /// `--since`.
    #[serde(default)]
    pub since: Option<Moment>,
    /// `--until`.
    #[serde(default)]
    pub until: Option<Moment>,
}

/// `ps`.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(default)]
pub struct PsRequest {
    /// `--all`: those that do not run too.
    pub all: bool,
    /// `--last N`: the N created last, whatever they do.
    pub last: Option<usize>,
    /// `--size`: measure the writable layers.
    pub size: bool,
    /// `--namespace`: read which namespaces each one runs in.
    pub namespaces: bool,
    /// `--filter`: of one key any, of several keys each must hold.
    pub filters: Vec<ContainerFilter>,
}

/// `images`.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(default)]
pub struct ImagesRequest {
    /// `--all`: intermediate images too.
    pub all: bool,
    /// Only images of this name.
    pub name: Option<String>,
    /// `--filter`.
    pub filters: Vec<ImageFilter>,
}

/// `rmi`.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct RemoveImageRequest {
    /// Name, id or prefix.
    pub image: String,
    /// `--force`: all names, and the containers that use it.
    #[serde(default)]
    pub force: bool,
}

/// `commit`.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct CommitRequest {
    /// Name, id or prefix.
    pub container: String,
    /// The new image's name; none: it has only an id.
    #[serde(default)]
    pub image: Option<String>,
    /// `--author`.
    #[serde(default)]
    pub author: Option<String>,
    /// `--message`.
    #[serde(default)]
    pub message: Option<String>,
    /// `--change`: Dockerfile instructions applied to the configuration.
    #[serde(default)]
    pub changes: Vec<String>,
    /// `--pause`: freeze the container while its files are read.
    #[serde(default)]
    pub pause: bool,
    /// `--squash`: one layer instead of the image's and one more.
    #[serde(default)]
    pub squash: bool,
    /// `--include-volumes`: the container's volumes become the image's.
    #[serde(default)]
    pub include_volumes: bool,
}

/// `load`: the archive itself comes as a stream or a path beside this.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct LoadRequest {
    /// An archive file or an OCI layout directory; none: a stream.
    #[serde(default)]
    pub input: Option<PathBuf>,
}

/// `import`.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct ImportRequest {
    /// A tar archive of a root file system; none: a stream.
    #[serde(default)]
    pub input: Option<PathBuf>,
    /// The new image's name; none: it has only an id.
    #[serde(default)]
    pub reference: Option<String>,
    /// `--change`: Dockerfile instructions.
    #[serde(default)]
    pub changes: Vec<String>,
    /// `--message`.
    #[serde(default)]
    pub message: Option<String>,
}
