//! The control FIFO: lines `TYPE A B`, engine to monitor. `1 ROWS COLUMNS` resizes the terminal, `2 0 0` reopens the log.

use std::fmt;
use std::io;
use std::path::Path;
use std::str::FromStr;

/// The largest number that may stand in a message.
pub const LIMIT: u16 = 1000;

/// A message to the monitor.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Control {
    /// The terminal has a new size.
    Resize {
        /// Height in characters.
        rows: u16,
        /// Width in characters.
        columns: u16,
    },
    /// The log file was moved away: go on in a new one.
    ReopenLog,
}

/// Sends `message` through the FIFO at `ctl`.
///
/// Numbers above [`LIMIT`] are cut to it: no terminal is that large, and a monitor refuses them.
///
/// # Errors
/// `ENXIO` where no monitor reads the FIFO; `NotFound`.
pub fn send(ctl: &Path, message: &Control) -> io::Result<()> {
    dhow_sys::pipe::write_fifo(ctl, format!("{message}\n").as_bytes())
}

impl fmt::Display for Control {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Control::Resize { rows, columns } => {
                write!(f, "1 {} {}", rows.min(&LIMIT), columns.min(&LIMIT))
            }
            Control::ReopenLog => write!(f, "2 0 0"),
        }
    }
}

/// A line that is no message.
#[derive(Debug, PartialEq, Eq, thiserror::Error)]
#[error("no control message: `{0}`")]
pub struct Unknown(String);

impl FromStr for Control {
    type Err = Unknown;

    /// As scanf's `%d %d %d` reads it: three decimal numbers; what follows them is ignored.
    fn from_str(line: &str) -> Result<Self, Unknown> {
        let unknown = || Unknown(line.chars().take(80).collect());
        let mut fields = line.split_ascii_whitespace();
        let mut number = || {
            fields
                .next()
                .and_then(|f| f.parse::<u16>().ok())
                .filter(|n| *n <= LIMIT)
                .ok_or_else(unknown)
        };
        match (number()?, number()?, number()?) {
            (1, rows, columns) => Ok(Control::Resize { rows, columns }),
            (2, _, _) => Ok(Control::ReopenLog),
            _ => Err(unknown()),
        }
    }
}

/// Puts lines together from what reads of a FIFO give.
#[derive(Debug)]
pub struct Lines {
    /// Stands before each line in thought.
    prefix: &'static str,
    pending: Vec<u8>,
    /// A line went on for longer than any message: it is skipped up to its end.
    skipping: bool,
}

impl Lines {
    /// No message is longer.
    const LONGEST: usize = 199;

    /// Lines of `ctl`.
    #[must_use]
    pub fn ctl() -> Self {
        Lines { prefix: "", pending: Vec::new(), skipping: false }
    }

    /// Lines of `winsz`, `ROWS COLUMNS`: all are resizes.
    #[must_use]
    pub fn winsz() -> Self {
        Lines { prefix: "1 ", ..Self::ctl() }
    }

    /// Takes what was read; gives the lines that are complete, each on its own (a bad one does not spoil the next).
    pub fn push(&mut self, bytes: &[u8]) -> Vec<Result<Control, Unknown>> {
        let mut messages = Vec::new();
        for piece in bytes.split_inclusive(|b| *b == b'\n') {
            let (text, ended) = match piece.split_last() {
                Some((b'\n', text)) => (text, true),
                _ => (piece, false),
            };
            if self.pending.len() + text.len() > Self::LONGEST {
                self.skipping = true;
            } else {
                self.pending.extend_from_slice(text);
            }
            if ended {
                let line = format!("{}{}", self.prefix, String::from_utf8_lossy(&self.pending));
                messages.push(if self.skipping { Err(Unknown(line)) } else { line.parse() });
                self.pending.clear();
                self.skipping = false;
            }
        }
        messages
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const RESIZE: Control = Control::Resize { rows: 33, columns: 101 };

    #[test]
    fn messages_round_trip() {
        for message in [RESIZE, Control::ReopenLog] {
            assert_eq!(message.to_string().parse(), Ok(message));
        }
        assert_eq!(Control::Resize { rows: 5000, columns: 1 }.to_string(), "1 1000 1");
    }

    #[test]
    fn what_conmon_takes_and_refuses() {
        assert_eq!("1 0033 101 extra 7".parse(), Ok(RESIZE));
        for bad in [
            "",
            "1",
            "1 2",
            "3 1 1",
            "1 -1 1",
            "1 1001 1",
            "1 0x10 1",
            "1 2.5 3",
            "x 1 1",
            "2 1 1001",
            "1 1 99999999999",
        ] {
            assert!(bad.parse::<Control>().is_err(), "{bad}");
        }
    }

    #[test]
    fn lines_are_put_together_and_a_bad_one_spoils_no_other() {
        let mut lines = Lines::ctl();
        assert!(lines.push(b"1 33 ").is_empty());
        assert_eq!(
            lines.push(b"101\nrubbish\n2 0 0\n1 3"),
            [Ok(RESIZE), Err(Unknown("rubbish".into())), Ok(Control::ReopenLog)]
        );
        assert_eq!(lines.push(b"3 101\n"), [Ok(RESIZE)]);
    }

    #[test]
    fn a_window_size_is_a_resize() {
        assert_eq!(Lines::winsz().push(b"33 101\n"), [Ok(RESIZE)]);
    }

    #[test]
    fn an_endless_line_is_skipped_up_to_its_end() {
        let mut lines = Lines::ctl();
        for _ in 0..100 {
            assert!(lines.push(&[b'1'; 100]).is_empty());
        }
        let messages = lines.push(b"\n1 33 101\n");
        assert!(messages[0].is_err());
        assert_eq!(messages[1], Ok(RESIZE));
    }
}
