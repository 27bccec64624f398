//! Images and file systems on disk: blobs by digest, layers by chain id, image records, container roots.
//!
//! ```text
//! root/blobs/sha256/<hex>          content, verified before it gets its name
//! root/layers/<chain hex>/         layer.json and diff/: one extracted layer, never written again
//! root/images/<id hex>/image.json  what an image is made of, its configuration included
//! root/images/names/<name>         symlink to ../<id hex>
//! root/partial/<hex>               a download that is not finished
//! root/tmp/                        what is being made; each part owned by a flock beside it
//! ```
//! INVARIANT: whatever has its final name is complete: it was made under `tmp`, brought to the disk with one syncfs, and
//! renamed. What a killed process leaves is under `tmp`, and whoever finds its lock free removes it ([`collect`]).
//! INVARIANT: no count of references is stored. What may go is derived from the image records, the leases of running
//! processes and what the caller says its containers use.
//! INVARIANT: a path from an archive or an image is resolved by the kernel inside its own root, see `dhow_sys::root`.
//!
//! This crate knows nothing of registries, archives' manifests, or a container's life.
//!
//! [`collect`]: Storage::collect

pub mod archive;
mod attributes;
mod blob;
mod changes;
mod collect;
mod copy;
mod digest;
mod error;
mod export;
mod image;
mod layer;
mod lease;
mod limits;
mod merged;
mod names;
mod partial;
mod rootfs;
mod shm;
mod store;
mod stream;
#[cfg(test)]
mod testing;

pub use blob::Blob;
pub use changes::{Change, ChangeKind};
pub use collect::{Collected, InUse, Removed};
pub use copy::copy_tree;
pub use digest::{ChainId, DiffId, Digest, ImageId};
pub use error::{Error, Result};
pub use export::export;
pub use image::{Image, ImageList, NewImage};
pub use layer::{Layer, LayerSource, LayerTar};
pub use lease::Lease;
pub use limits::Limits;
pub use partial::Partial;
pub use rootfs::{Base, MountOptions, RootFs, tree_size};
pub use shm::{mount_shm, unmount_shm};
pub use store::{Storage, StorageOptions};
pub use stream::{Decompressed, decompress};
