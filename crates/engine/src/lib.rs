//! dhow's engine: the lifecycle of containers, one public method a user verb.
//!
//! The only crate that knows more than one of state, storage, oci, image, network and the monitor's protocol. Policy lives here.
//! INVARIANT: it reads no environment and no terminal, and prints nothing; requests come in and reports go out as
//! plain data ([`request`], [`report`]). INVARIANT: no lock is held while a process is waited for.
//!
//! A verb's file has its name. What several verbs share: [`Engine`] (lookup, lock), `init` (everything that is put up),
//! `cleanup` (everything that is taken down), `reconcile` (what a dead command has left), `wait`.

mod artifact;
mod attach;
mod cleanup;
mod commit;
mod config;
mod connect;
mod create;
mod diff;
mod engine;
mod error;
mod etc;
mod exec;
mod export;
mod image;
mod import;
mod info;
mod init;
mod inspect;
mod load;
mod logs;
mod mount;
mod network;
mod pause;
mod plan;
mod prune;
mod ps;
mod pull;
mod push;
mod reconcile;
mod remove;
mod rename;
pub mod report;
pub mod request;
mod restart;
mod rmi;
mod save;
mod session;
mod start;
mod stop;
mod tag;
mod volumes;
mod wait;

pub use attach::Attendance;
pub use config::{ContainerConfig, ImageUsed, RootfsSource};
pub use create::Created;
pub use dhow_image::PushFormat;
pub use dhow_image::{Access, Credentials, Event, Output, Progress, RegistrySettings, SaveFormat};
pub use dhow_state::{ContainerId, ContainerName, Status};
pub use dhow_storage::ImageId;
pub use engine::{Engine, EngineOptions, Outcome};
pub use error::{Error, Object, Result};
pub use exec::ExecSession;
pub use logs::{LogLine, LogStream};
pub use mount::MountedContainer;
pub use session::{AttachEvent, AttachSession, PACKET, Stream};
