//! Random bytes from the kernel.

use std::io;

/// Fills the buffer with bytes that nobody can guess (getrandom(2)).
///
/// # Errors
/// What the kernel says; waits, early in a boot, until it has enough.
pub fn fill(buffer: &mut [u8]) -> io::Result<()> {
    let mut rest = buffer;
    while !rest.is_empty() {
        // SAFETY: the pointer and the length are those of a live, exclusively borrowed slice.
        let n = unsafe { libc::getrandom(rest.as_mut_ptr().cast(), rest.len(), 0) };
        match usize::try_from(n) {
            Ok(n) => rest = rest.get_mut(n..).unwrap_or_default(),
            Err(_) => {
                let error = io::Error::last_os_error();
                if error.kind() != io::ErrorKind::Interrupted {
                    return Err(error);
                }
            }
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    #[test]
    fn long_buffers_are_filled_to_the_end() {
        let mut bytes = vec![0_u8; 4096];
        super::fill(&mut bytes).unwrap();
        // A run of 32 zeros has a chance of 2^-244.
        assert!(bytes.chunks(32).all(|c| c.iter().any(|b| *b != 0)));
        super::fill(&mut []).unwrap();
    }
}
