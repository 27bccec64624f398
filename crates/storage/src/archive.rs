//! Tar archives: what an entry is, a bounded reader, a writer.
//!
//! The `tar` crate knows the header block. What it leaves out is here: its reader takes long names and attributes of any
//! size into memory, knows PAX sizes and sparse files in part only, and its `unpack` goes by paths. The reader here
//! reads forward only, allocates no more than its [`Limits`](crate::Limits), and knows nothing of a file system; the
//! writer writes PAX where the plain header does not do.

mod pax;
mod reader;
mod sparse;
mod writer;

pub use reader::Reader;
pub use writer::Writer;

/// What an entry makes.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Kind {
    /// A regular file.
    File,
    /// Another name for the file that [`Entry::link`] names in the same archive, or in a layer below.
    HardLink,
    /// A symbolic link.
    Symlink,
    /// A directory.
    Directory,
    /// A character device.
    Character,
    /// A block device.
    Block,
    /// A named pipe.
    Fifo,
}

/// One entry. Names are bytes as in the archive: not checked, not even for `..`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Entry {
    /// Name.
    pub path: Vec<u8>,
    /// What it makes.
    pub kind: Kind,
    /// Target of a link, else empty.
    pub link: Vec<u8>,
    /// Permission bits, with set-user-id, set-group-id and sticky.
    pub mode: u32,
    /// Owner.
    pub uid: u32,
    /// Group.
    pub gid: u32,
    /// Seconds and nanoseconds since 1970.
    pub mtime: (i64, u32),
    /// Length of the file, holes included.
    pub size: u64,
    /// Major and minor number of a device.
    pub device: (u32, u32),
    /// Extended attributes, in the archive's order.
    pub xattrs: Vec<(Vec<u8>, Vec<u8>)>,
    /// (offset, length) of the data of a sparse file, in order; `None`: no holes.
    pub pieces: Option<Vec<(u64, u64)>>,
}

impl Entry {
    /// An entry with nothing but a name and a kind: mode 0, owned by root, of 1970.
    pub fn new(path: impl Into<Vec<u8>>, kind: Kind) -> Entry {
        Entry {
            path: path.into(),
            kind,
            link: Vec::new(),
            mode: 0,
            uid: 0,
            gid: 0,
            mtime: (0, 0),
            size: 0,
            device: (0, 0),
            xattrs: Vec::new(),
            pieces: None,
        }
    }
}

/// Length of a tar block.
const BLOCK: usize = 512;

/// Bytes that fill up the last block of `length` bytes.
fn padding(length: u64) -> u64 {
    length.wrapping_neg() % 512
}

#[cfg(test)]
mod tests;
