//! docker's json-file format: `{"log":"text\n","stream":"stdout","time":"2026-01-02T03:04:05.1Z"}`, one a line.
//!
//! A record that ends a line has the newline inside its text. JSON holds Unicode only: bytes that are none become U+FFFD.
//! A character that a cut goes through is not such a case: [`whole_characters`] keeps it together.

use std::borrow::Cow;
use std::fmt::Write as _;

use jiff::Timestamp;
use serde::Deserialize;

use super::Record;
use crate::attach::Stream;

/// The most bytes of a line that go into one record.
pub const LONGEST: usize = 16384;

/// Appends a record, its newline included.
pub fn encode(to: &mut Vec<u8>, at: Timestamp, stream: Stream, content: &[u8], ends_line: bool) {
    let mut text = String::with_capacity(content.len() + 96);
    text.push_str("{\"log\":\"");
    // Invalid sequences are replaced chunk by chunk: no copy is made of text that is valid.
    for chunk in content.utf8_chunks() {
        escape(chunk.valid(), &mut text);
        if !chunk.invalid().is_empty() {
            text.push_str("\\ufffd");
        }
    }
    if ends_line {
        text.push_str("\\n");
    }
    // Display of a Timestamp is RFC 3339 in UTC without trailing zeros. Writing to a String does not fail.
    writeln!(text, "\",\"stream\":\"{}\",\"time\":\"{at}\"}}", stream.name()).ok();
    to.extend_from_slice(text.as_bytes());
}

/// As docker escapes: what JSON demands, and what would be markup or a line's end in HTML and JavaScript.
fn escape(valid: &str, to: &mut String) {
    for c in valid.chars() {
        match c {
            '"' | '\\' => to.extend(['\\', c]),
            '\n' => to.push_str("\\n"),
            '\r' => to.push_str("\\r"),
            '\t' => to.push_str("\\t"),
            '\0'..='\u{1f}' | '<' | '>' | '&' | '\u{2028}' | '\u{2029}' => {
                write!(to, "\\u{:04x}", u32::from(c)).ok();
            }
            c => to.push(c),
        }
    }
}

/// How many bytes of `bytes` are left when a character at the end, of which more is to come, is held back.
#[must_use]
pub fn whole_characters(bytes: &[u8]) -> usize {
    // A character has at most four bytes: look at the last three for the beginning of one.
    for back in 1..=bytes.len().min(3) {
        let at = bytes.len() - back;
        let length = match bytes[at] {
            0x80..=0xbf => continue,
            0xc2..=0xdf => 2,
            0xe0..=0xef => 3,
            0xf0..=0xf4 => 4,
            _ => 1,
        };
        return if length > back { at } else { bytes.len() };
    }
    bytes.len()
}

#[derive(Deserialize)]
struct Line<'a> {
    #[serde(borrow, default)]
    log: Cow<'a, str>,
    #[serde(borrow)]
    stream: Cow<'a, str>,
    time: Timestamp,
}

/// Reads a line of the file, given without its newline.
#[must_use]
pub fn parse(line: &[u8]) -> Option<Record<'_>> {
    let line: Line<'_> = serde_json::from_slice(line).ok()?;
    let stream = match &*line.stream {
        "stdout" => Stream::Stdout,
        "stderr" => Stream::Stderr,
        _ => return None,
    };
    let ends_line = line.log.ends_with('\n');
    let mut content = match line.log {
        Cow::Borrowed(text) => Cow::Borrowed(text.as_bytes()),
        Cow::Owned(text) => Cow::Owned(text.into_bytes()),
    };
    if ends_line {
        let without = content.len() - 1;
        match &mut content {
            Cow::Borrowed(bytes) => *bytes = &bytes[..without],
            Cow::Owned(bytes) => bytes.truncate(without),
        }
    }
    Some(Record { at: super::nanoseconds(line.time)?, stream, ends_line, content })
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn encoded(content: &[u8], ends_line: bool) -> String {
        let mut line = Vec::new();
        encode(
            &mut line,
            "2026-01-02T03:04:05.120Z".parse().unwrap(),
            Stream::Stderr,
            content,
            ends_line,
        );
        String::from_utf8(line).unwrap()
    }

    #[test]
    fn records_are_dockers() {
        let tail = ",\"stream\":\"stderr\",\"time\":\"2026-01-02T03:04:05.12Z\"}\n";
        assert_eq!(
            encoded(b"a \"b\" \\ <c> \t\x01", true),
            format!("{{\"log\":\"a \\\"b\\\" \\\\ \\u003cc\\u003e \\t\\u0001\\n\"{tail}")
        );
        assert_eq!(encoded("é\u{2028}".as_bytes(), false), format!("{{\"log\":\"é\\u2028\"{tail}"));
        assert_eq!(encoded(b"a\xffb\xc3", false), format!("{{\"log\":\"a\\ufffdb\\ufffd\"{tail}"));
    }

    #[test]
    fn what_is_no_record() {
        for bad in [
            "",
            "{}",
            "{\"log\":\"x\",\"stream\":\"stdin\",\"time\":\"2026-01-02T03:04:05Z\"}",
            "{\"log\":\"x\",\"stream\":\"stdout\"}",
            "{\"log\":",
        ] {
            assert_eq!(parse(bad.as_bytes()), None, "{bad}");
        }
    }

    #[test]
    fn a_cut_character_is_held_back() {
        assert_eq!(whole_characters(b""), 0);
        assert_eq!(whole_characters(b"ab"), 2);
        assert_eq!(whole_characters("aé".as_bytes()), 3);
        assert_eq!(whole_characters(b"a\xc3"), 1);
        assert_eq!(whole_characters(b"a\xf0\x9f\x98"), 1);
        assert_eq!(whole_characters("a😀".as_bytes()), 5);
        assert_eq!(whole_characters(b"\x80\x80\x80\x80"), 4);
    }

    proptest! {
        #[test]
        fn every_line_round_trips(text in "[^\n]{0,60}", ends_line: bool) {
            let line = encoded(text.as_bytes(), ends_line);
            let record = parse(line.trim_end_matches('\n').as_bytes()).unwrap();
            prop_assert_eq!(record.content.as_ref(), text.as_bytes());
            prop_assert_eq!(record.ends_line, ends_line);
        }
    }
}
