//! Messages of the monitor to its engine, over the sync pipe (and the attach pipe): one write, one line of JSON each.
//!
//! INVARIANT: a line is at most [`LINE`] bytes long, newline included: readers use a buffer of that size, and a packet
//! that does not fit it is cut.

use std::fmt::Write as _;

use serde::Deserialize;

/// The longest line, its newline included.
pub const LINE: usize = 4096;

/// Names the descriptor of the sync pipe.
pub const SYNC_PIPE: &str = "_OCI_SYNCPIPE";
/// Names the descriptor of the start pipe.
pub const START_PIPE: &str = "_OCI_STARTPIPE";
/// Names the descriptor of the attach pipe.
pub const ATTACH_PIPE: &str = "_OCI_ATTACHPIPE";

/// Under which name the number goes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Key {
    /// `--api-version` was given.
    Data,
    /// Without it: the pid of a container.
    Pid,
    /// Without it: the exit code of an exec session.
    ExitCode,
}

impl Key {
    fn name(self) -> &'static str {
        match self {
            Key::Data => "data",
            Key::Pid => "pid",
            Key::ExitCode => "exit_code",
        }
    }
}

/// A message as it is read.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
pub struct Message {
    /// A pid, an exit code, 0 (ready), or −1 for a failure.
    #[serde(alias = "data", alias = "pid", alias = "exit_code")]
    pub value: i32,
    /// What the failure was.
    pub message: Option<String>,
}

impl Message {
    /// Reads a line.
    ///
    /// # Errors
    /// If it is none of the messages.
    pub fn parse(line: &[u8]) -> serde_json::Result<Self> {
        serde_json::from_slice(line)
    }
}

/// Makes a line: `{"KEY": N}` or `{"KEY": N, "message": "TEXT"}`, a newline at its end.
///
/// Bytes that are not UTF-8 are replaced, since the line has to be JSON. A text that is too long loses its beginning: the
/// end of what a runtime says is where the reason is.
#[must_use]
pub fn line(key: Key, value: i32, message: Option<&[u8]>) -> Vec<u8> {
    let mut line = format!("{{\"{}\": {value}", key.name());
    if let Some(text) = message.filter(|m| !m.is_empty()) {
        line.push_str(", \"message\": \"");
        let room = LINE - line.len() - "\"}\n".len();
        line.push_str(&escape_the_end(&String::from_utf8_lossy(text), room));
        line.push('"');
    }
    line.push_str("}\n");
    line.into_bytes()
}

/// The longest end of `text` whose escaped form takes at most `room` bytes, escaped.
fn escape_the_end(text: &str, room: usize) -> String {
    let mut used = 0;
    let mut from = text.len();
    for (at, c) in text.char_indices().rev() {
        let mut one = String::new();
        escape(c, &mut one);
        used += one.len();
        if used > room {
            break;
        }
        from = at;
    }
    let mut escaped = String::new();
    text[from..].chars().for_each(|c| escape(c, &mut escaped));
    escaped
}

fn escape(c: char, to: &mut String) {
    match c {
        '\\' | '"' | '/' => to.extend(['\\', c]),
        '\n' => to.push_str("\\n"),
        '\r' => to.push_str("\\r"),
        '\t' => to.push_str("\\t"),
        '\u{8}' => to.push_str("\\b"),
        '\u{c}' => to.push_str("\\f"),
        '\0'..='\u{1f}' | '\u{7f}' => {
            // Writing to a String does not fail.
            write!(to, "\\u{:04x}", u32::from(c)).ok();
        }
        c => to.push(c),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lines_are_conmons() {
        assert_eq!(line(Key::Data, 9817, None), b"{\"data\": 9817}\n");
        assert_eq!(line(Key::Pid, 1, Some(b"")), b"{\"pid\": 1}\n");
        assert_eq!(
            line(Key::ExitCode, -1, Some(b"a/b \"c\"\n\x01\x7f")),
            b"{\"exit_code\": -1, \"message\": \"a\\/b \\\"c\\\"\\n\\u0001\\u007f\"}\n"
        );
    }

    #[test]
    fn a_long_text_keeps_its_end_and_fits() {
        for filler in ["x", "é", "\n", "\u{1}", "\\"] {
            let text = format!("{}the reason", filler.repeat(5000));
            let line = line(Key::Data, -1, Some(text.as_bytes()));
            assert!(line.len() <= LINE && line.len() > LINE - 8, "{}", line.len());
            assert!(Message::parse(&line).unwrap().message.unwrap().ends_with("the reason"));
        }
    }

    proptest::proptest! {
        #[test]
        fn every_text_round_trips(text in "\\PC{0,200}|[\\x00-\\x7f]{0,200}", value: i32) {
            let message = Message::parse(&line(Key::Data, value, Some(text.as_bytes()))).unwrap();
            proptest::prop_assert_eq!(message.value, value);
            proptest::prop_assert_eq!(message.message.unwrap_or_default(), text);
        }
    }
}
