//! What a user asks of the engine: plain data, and the parsers of its words.
//!
//! Every type here can be serialised, so that a command line, an API socket and a test say the same thing the
//! same way. The parsers (`FromStr`) accept podman's syntax, turn it into types that cannot hold a wrong value,
//! and name in the error what would have been right.
//!
//! Nothing here looks at the machine: no file is opened, no environment read, no relative path resolved. Whoever
//! builds a request does that ([`CreateRequest`] says where it matters); the engine's plan does the rest.

mod create;
mod detach_keys;
mod device;
mod env;
mod filter;
mod hosts;
mod images;
mod invalid;
mod label;
mod log;
mod mount;
mod namespace;
mod network;
mod restart;
mod rootfs;
mod security;
mod signal;
mod size;
mod sysctl;
mod time;
mod tmpfs;
mod ulimit;
mod user;
mod verbs;
mod volume;

pub use create::{
    CgroupMode, CreateRequest, HostsOptions, InitOptions, LifetimeOptions, NamespaceOptions,
    ProcessOptions, ResourceOptions, SecurityOptions, Source,
};
pub use detach_keys::DetachKeys;
pub use device::{Device, DeviceAccess, DeviceCgroupRule, DeviceKind};
pub use dhow_network::{
    CreateNetwork, Driver as NetworkDriver, IpNet, LeaseRange, NetworkName, SubnetRequest,
};
pub use env::{EnvArgument, EnvVar, parse_env_file};
pub use filter::{ContainerFilter, ImageFilter, LabelMatch};
pub use hosts::HostEntry;
pub use images::{PlatformRequest, PruneRequest, PullPolicy, PullRequest, SaveRequest};
pub use invalid::Invalid;
pub use label::{Label, parse_label_file};
pub use log::{LogDriver, LogOption, LogOptions};
pub use mount::{BindMount, Mount, MountOptions, Propagation, Relabel, VolumeMount, VolumeSource};
pub use namespace::{NamespaceKind, NamespaceMode};
pub use network::{
    Expose, MacAddress, NetworkArgument, NetworkChoice, NetworkFilter, NetworkOptions, Publish,
    alias,
};
pub use restart::RestartPolicy;
pub use rootfs::Rootfs;
pub use security::{Capability, SeccompChoice, SecurityOption};
pub use signal::Signal;
pub use size::{ByteSize, CpuCount, MemoryLimit};
pub use sysctl::{Sysctl, SysctlNamespace};
pub use time::{Moment, Timeout, parse_span};
pub use tmpfs::{TmpfsMount, TmpfsOptions, TmpfsSize};
pub use ulimit::{LimitName, LimitValue, Ulimit};
pub use user::User;
pub use verbs::{
    AttachRequest, CommitRequest, ExecRequest, ImagesRequest, ImportRequest, KillRequest,
    LoadRequest, LogsRequest, PsRequest, RemoveImageRequest, RemoveRequest, RestartRequest,
    StartRequest, StopRequest, Streams, WaitCondition, WaitRequest, WindowSize,
};
pub use volume::parse_volume;
