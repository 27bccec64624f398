//! What the engine tells: one serialisable shape a question, with podman's field names.
//!
//! These are the shapes of `--format json`, of Go templates and, later, of an API; a column that depends on the
//! moment it is printed ("3 minutes ago") is made by whoever prints. Every shape can be read back, and a field
//! that a later version adds has a default.
//!
//! INVARIANT: nothing here opens a file or knows a terminal. A field whose feature dhow does not have yet (pods,
//! ports) says so with the same empty value that podman prints for a container that does not use it.

mod container;
mod image;
mod info;
mod network;
mod ps;
mod time;
mod usage;
mod version;

pub use container::{
    BlkioDeviceRate, BlkioDeviceWeight, ContainerInspect, ContainerState, DeviceShown, GraphDriver,
    HealthState, HostConfig, HostPort, InspectConfig, InspectMount, InspectUlimit, LogConfigShown,
    NetworkEndpoint, NetworkSettings, RestartPolicyShown,
};
pub use image::{
    DiffReport, HistoryRow, ImageInspect, ImageRootFs, ImageRow, ImagesReport, LoadedImage,
    PulledImage, RemovedImage,
};
pub use info::{
    ContainerStore, Distribution, Executable, HostInfo, ImageStore, Info, Plugins, Security,
    StoreInfo,
};
pub use network::{
    LeaseRangeShown, MemberInterface, MemberSubnet, NetworkInspect, NetworkMember, NetworksReport,
    SubnetShown,
};
pub use ps::{Namespaces, PortMapping, PsReport, PsRow, PsSize};
pub use time::Time;
pub use usage::{
    ContainerUsage, DiskUsage, ImageTree, ImageUsage, MountedImage, Pruned, TreeLayer, VolumeUsage,
};
pub use version::{Version, VersionSide};
