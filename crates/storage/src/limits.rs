//! How much an archive may ask for.

/// Bounds on one archive or layer, so that a small file cannot fill the memory or the disk.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Limits {
    /// Uncompressed bytes.
    pub bytes: u64,
    /// Uncompressed bytes for each compressed one …
    pub ratio: u64,
    /// … looked at beyond this many: honest files of zeros compress a thousandfold.
    pub ratio_from: u64,
    /// Entries of the archive.
    pub entries: u64,
    /// Bytes of one path or link target.
    pub path: usize,
    /// Bytes of the extended header (long names, attributes) of one entry.
    pub header: usize,
    /// Pieces of a sparse file.
    pub pieces: usize,
}

impl Default for Limits {
    fn default() -> Limits {
        Limits {
            bytes: 256 << 30,
            ratio: 200,
            ratio_from: 2 << 30,
            entries: 4_000_000,
            path: 4096,
            header: 1 << 20,
            pieces: 1 << 18,
        }
    }
}
