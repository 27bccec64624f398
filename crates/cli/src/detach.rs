//! Finding the detach keys in what the user types.
//!
//! INVARIANT: what comes out is what went in, in order and complete, up to the first occurrence of the keys; bytes that
//! may be the beginning of the keys are held back until the next byte tells.

use dhow_engine::request::DetachKeys;

/// Watches a stream of typed bytes.
#[derive(Debug)]
pub(crate) struct Detector {
    keys: Vec<u8>,
    /// How many of the keys the last bytes match; they are held back.
    matched: usize,
}

impl Detector {
    /// Without keys it lets everything through.
    pub(crate) fn new(keys: &DetachKeys) -> Self {
        Self { keys: keys.bytes().to_vec(), matched: 0 }
    }

    /// Appends to `out` what is to be passed on; true when the keys are complete, after which nothing more must be fed.
    pub(crate) fn feed(&mut self, typed: &[u8], out: &mut Vec<u8>) -> bool {
        if self.keys.is_empty() {
            out.extend_from_slice(typed);
            return false;
        }
        for &byte in typed {
            // On a mismatch the longest end of the held bytes that can still begin the keys stays held (as in KMP).
            while self.matched > 0 && self.keys.get(self.matched) != Some(&byte) {
                let shorter = self.shorter_match();
                out.extend_from_slice(&self.keys[..self.matched - shorter]);
                self.matched = shorter;
            }
            if self.keys.get(self.matched) == Some(&byte) {
                self.matched += 1;
            } else {
                out.push(byte);
            }
            if self.matched == self.keys.len() {
                return true;
            }
        }
        false
    }

    /// What is still held back, when no more input comes.
    pub(crate) fn finish(&mut self) -> &[u8] {
        let held = &self.keys[..self.matched];
        self.matched = 0;
        held
    }

    /// The longest proper end of the held bytes that is also their beginning.
    fn shorter_match(&self) -> usize {
        let held = &self.keys[..self.matched];
        (0..held.len()).rev().find(|&len| held.ends_with(&held[..len])).unwrap_or(0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn run(keys: &[u8], chunks: &[&[u8]]) -> (Vec<u8>, bool) {
        let mut detector = Detector { keys: keys.to_vec(), matched: 0 };
        let mut out = Vec::new();
        for chunk in chunks {
            if detector.feed(chunk, &mut out) {
                return (out, true);
            }
        }
        out.extend_from_slice(detector.finish());
        (out, false)
    }

    #[test]
    fn keys_end_the_stream_even_across_reads() {
        assert_eq!(run(&[16, 17], &[b"ab\x10", b"\x11cd"]), (b"ab".to_vec(), true));
        assert_eq!(run(&[16, 17], &[b"a\x10b\x10"]), (b"a\x10b\x10".to_vec(), false));
        assert_eq!(run(&[16, 17], &[b"\x10\x10\x11"]), (b"\x10".to_vec(), true));
        assert_eq!(run(b"", &[b"abc"]), (b"abc".to_vec(), false));
        assert_eq!(run(b"aab", &[b"aaab"]), (b"a".to_vec(), true));
    }

    proptest::proptest! {
        #[test]
        fn what_goes_in_comes_out_up_to_the_keys(
            keys in proptest::collection::vec(0u8..3, 1..4),
            chunks in proptest::collection::vec(proptest::collection::vec(0u8..3, 0..5), 0..8),
        ) {
            let input: Vec<u8> = chunks.concat();
            let at = input.windows(keys.len()).position(|window| window == keys);
            let expected = input[..at.unwrap_or(input.len())].to_vec();
            let chunks: Vec<&[u8]> = chunks.iter().map(Vec::as_slice).collect();
            proptest::prop_assert_eq!(run(&keys, &chunks), (expected, at.is_some()));
        }
    }
}
