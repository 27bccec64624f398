//! Which boot of the machine this is.
//!
//! INVARIANT: the boot id is the only thing that tells whether what lies in a run directory is of this life: times and
//! process ids come again, and a run directory is not always on a tmpfs.

use std::io;
use std::path::Path;

/// The kernel's random id of this boot: 36 characters, hex digits and dashes (random(4)).
///
/// # Errors
/// `/proc` is not mounted or the kernel's answer is empty.
pub fn boot_id() -> io::Result<String> {
    let bytes = crate::fs::read_bounded(Path::new("/proc/sys/kernel/random/boot_id"), 4096)?;
    let text =
        String::from_utf8(bytes).map_err(|e| io::Error::new(io::ErrorKind::InvalidData, e))?;
    match text.trim() {
        "" => Err(io::Error::new(io::ErrorKind::InvalidData, "the kernel's boot id is empty")),
        id => Ok(id.to_owned()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_same_id_each_time_and_of_the_expected_shape() {
        let id = boot_id().unwrap();
        assert_eq!(id.len(), 36);
        assert!(id.bytes().all(|b| b == b'-' || b.is_ascii_hexdigit()), "{id}");
        assert_eq!(id, boot_id().unwrap());
    }
}
