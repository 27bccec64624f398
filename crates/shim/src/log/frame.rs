//! Cuts what was read from the container into the contents of records.

/// A part of a chunk.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Piece<'a> {
    /// Its bytes, without the newline.
    pub content: &'a [u8],
    /// Whether a newline ended it.
    pub ends_line: bool,
}

/// Cuts `chunk` at newlines, and where a line has more than `longest` bytes.
///
/// # Panics
/// If `longest` is 0.
pub fn pieces(chunk: &[u8], longest: usize) -> impl Iterator<Item = Piece<'_>> {
    assert!(longest > 0, "a piece of no bytes makes no progress");
    let mut rest = chunk;
    std::iter::from_fn(move || {
        if rest.is_empty() {
            return None;
        }
        // One byte further than a piece may be long: a newline there still ends it.
        let window = &rest[..rest.len().min(longest + 1)];
        let (content, ends_line) = match memchr::memchr(b'\n', window) {
            Some(at) => (&rest[..at], true),
            None => (&rest[..rest.len().min(longest)], false),
        };
        rest = &rest[content.len() + usize::from(ends_line)..];
        Some(Piece { content, ends_line })
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn check(chunk: &str, longest: usize, expected: &[(&str, bool)]) {
        let got: Vec<_> = pieces(chunk.as_bytes(), longest)
            .map(|p| (std::str::from_utf8(p.content).unwrap(), p.ends_line))
            .collect();
        assert_eq!(got, expected, "{chunk:?} cut at {longest}");
    }

    #[test]
    fn where_it_is_cut() {
        check("", 4, &[]);
        check("\n", 4, &[("", true)]);
        check("ab\ncd", 4, &[("ab", true), ("cd", false)]);
        check("abcd\n", 4, &[("abcd", true)]);
        check("abcde\n", 4, &[("abcd", false), ("e", true)]);
        check("abcdefgh", 4, &[("abcd", false), ("efgh", false)]);
        check("a\r\n\nb", 4, &[("a\r", true), ("", true), ("b", false)]);
    }

    proptest! {
        #[test]
        fn any_chunking_gives_the_same_bytes(
            output in proptest::collection::vec(prop_oneof![3 => Just(b'x'), 1 => Just(b'\n'), 1 => any::<u8>()], 0..300),
            cuts in proptest::collection::vec(1_usize..40, 0..60),
            longest in 1_usize..50,
        ) {
            let mut joined = Vec::new();
            let mut rest = &output[..];
            for cut in cuts.into_iter().chain(std::iter::once(usize::MAX)) {
                let (chunk, left) = rest.split_at(cut.min(rest.len()));
                rest = left;
                for piece in pieces(chunk, longest) {
                    prop_assert!(piece.content.len() <= longest);
                    prop_assert!(!piece.content.contains(&b'\n'));
                    prop_assert!(piece.ends_line || !piece.content.is_empty());
                    joined.extend_from_slice(piece.content);
                    joined.extend(piece.ends_line.then_some(b'\n'));
                }
            }
            prop_assert_eq!(joined, output);
        }
    }
}
