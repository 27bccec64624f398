//! Memory of a process that lives long and is mostly idle: pages are given back when they are not needed.

use std::ffi::c_void;
use std::io;
use std::ops::{Deref, DerefMut};
use std::ptr::NonNull;

use rustix::mm::{Advice, MapFlags, ProtFlags};

/// A buffer in pages of its own. Only what was written to takes memory, until [`Pages::discard`].
#[derive(Debug)]
pub struct Pages {
    start: NonNull<u8>,
    length: usize,
}

// SAFETY: the mapping is reached through this value only.
unsafe impl Send for Pages {}

impl Pages {
    /// `length` bytes, all 0.
    ///
    /// # Errors
    /// `OutOfMemory`; `InvalidInput` for no bytes.
    pub fn new(length: usize) -> io::Result<Self> {
        // SAFETY: a new private mapping, at an address that the kernel chooses.
        let start = unsafe {
            rustix::mm::mmap_anonymous(
                std::ptr::null_mut(),
                length,
                ProtFlags::READ | ProtFlags::WRITE,
                MapFlags::PRIVATE,
            )
        }?;
        let start = NonNull::new(start.cast()).ok_or(io::ErrorKind::OutOfMemory)?;
        Ok(Pages { start, length })
    }

    /// Gives the memory back; the buffer is all 0 again.
    pub fn discard(&mut self) {
        // SAFETY: the mapping is ours, private and anonymous: its pages read as 0 afterwards.
        let done = unsafe { rustix::mm::madvise(self.raw(), self.length, Advice::LinuxDontNeed) };
        if done.is_err() {
            self.fill(0);
        }
    }

    fn raw(&self) -> *mut c_void {
        self.start.as_ptr().cast()
    }
}

impl Deref for Pages {
    type Target = [u8];

    fn deref(&self) -> &[u8] {
        // SAFETY: the mapping has `length` readable, initialised bytes and lives as long as `self`.
        unsafe { std::slice::from_raw_parts(self.start.as_ptr(), self.length) }
    }
}

impl DerefMut for Pages {
    fn deref_mut(&mut self) -> &mut [u8] {
        // SAFETY: as above, and writable; `self` is borrowed mutably.
        unsafe { std::slice::from_raw_parts_mut(self.start.as_ptr(), self.length) }
    }
}

impl Drop for Pages {
    fn drop(&mut self) {
        // SAFETY: the mapping is ours, and nothing refers to it any more.
        unsafe { rustix::mm::munmap(self.raw(), self.length) }.ok();
    }
}

/// Has the allocator give back what it holds and nobody uses.
pub fn trim() {
    #[cfg(target_env = "gnu")]
    // SAFETY: malloc_trim(3) touches free memory only; it is MT-safe.
    unsafe {
        libc::malloc_trim(0);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_buffer_is_zero_at_first_and_when_it_was_given_back() {
        let mut pages = Pages::new(3 * 4096).unwrap();
        assert!(pages.iter().all(|byte| *byte == 0));
        pages.fill(7);
        pages.discard();
        assert_eq!(pages.len(), 3 * 4096);
        assert!(pages.iter().all(|byte| *byte == 0));
        pages[5000] = 1;
        trim();
        assert_eq!(pages[5000], 1);
        assert!(Pages::new(0).is_err());
    }
}
