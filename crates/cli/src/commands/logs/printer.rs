//! Writes log lines with what stands before them.
//!
//! A line that the log has in pieces (long, or without an end yet) is put together again: only its first piece has
//! a time and a name before it. The bytes are the container's own and are not changed.

use std::io::{BufWriter, Write};

use anyhow::{Context, Result};
use dhow_engine::{LogLine, Stream};
use jiff::Timestamp;
use jiff::tz::TimeZone;

/// Foreground colours that can be read on black and on white.
const COLOURS: [u8; 6] = [36, 32, 35, 33, 34, 31];

/// What stands before the lines of a container.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Prefix {
    pub(super) text: Option<String>,
    /// Its place in the list of colours, where it has one.
    pub(super) colour: Option<usize>,
}

/// Prints the lines of several containers.
#[derive(Debug)]
pub(super) struct Printer<O: Write, E: Write> {
    stdout: BufWriter<O>,
    stderr: BufWriter<E>,
    /// Each line is written out before the next is waited for.
    at_once: bool,
    /// The zone that times are shown in, where they are.
    zone: Option<TimeZone>,
    containers: Vec<Container>,
}

#[derive(Debug)]
struct Container {
    prefix: Prefix,
    /// A piece of a line was printed last, by stream.
    within_line: [bool; 2],
}

impl<O: Write, E: Write> Printer<O, E> {
    pub(super) fn new(
        stdout: O,
        stderr: E,
        at_once: bool,
        zone: Option<TimeZone>,
        prefixes: Vec<Prefix>,
    ) -> Self {
        let containers = prefixes
            .into_iter()
            .map(|prefix| Container { prefix, within_line: [false; 2] })
            .collect();
        Printer {
            stdout: BufWriter::new(stdout),
            stderr: BufWriter::new(stderr),
            at_once,
            zone,
            containers,
        }
    }

    /// Prints a line of the container with that number.
    pub(super) fn print(&mut self, container: usize, line: &LogLine) -> Result<()> {
        let container =
            self.containers.get_mut(container).context("a line of an unknown container")?;
        let within_line = match line.stream {
            Stream::Stdout => &mut container.within_line[0],
            Stream::Stderr => &mut container.within_line[1],
        };
        let mut text = if *within_line {
            Vec::new()
        } else {
            before(&container.prefix, self.zone.as_ref(), line.at)
        };
        *within_line = line.partial;
        text.extend_from_slice(&line.bytes);
        if !line.partial {
            text.push(b'\n');
        }
        // ORDER: what was said before on the other stream is written before.
        match line.stream {
            Stream::Stdout => {
                self.stderr.flush()?;
                self.stdout.write_all(&text)?;
            }
            Stream::Stderr => {
                self.stdout.flush()?;
                self.stderr.write_all(&text)?;
            }
        }
        if self.at_once { self.finish() } else { Ok(()) }
    }

    /// Writes out what is still held back.
    pub(super) fn finish(&mut self) -> Result<()> {
        self.stdout.flush()?;
        self.stderr.flush()?;
        Ok(())
    }
}

fn before(prefix: &Prefix, zone: Option<&TimeZone>, at: i64) -> Vec<u8> {
    let mut text = String::new();
    match (&prefix.text, prefix.colour) {
        (Some(name), Some(colour)) => {
            text.push_str(&format!("\x1b[{}m{name}\x1b[0m ", COLOURS[colour % COLOURS.len()]));
        }
        (Some(name), None) => text.push_str(&format!("{name} ")),
        (None, _) => {}
    }
    if let Some(zone) = zone {
        let moment = Timestamp::from_nanosecond(at.into())
            .unwrap_or_default()
            .to_zoned_datetime(zone.clone());
        let offset = if moment.offset().is_zero() {
            "Z".to_owned()
        } else {
            moment.strftime("%:z").to_string()
        };
        text.push_str(&format!("{}{offset} ", moment.strftime("%Y-%m-%dT%H:%M:%S%.f")));
    }
    text.into_bytes()
}

#[cfg(test)]
mod tests {
    use super::*;
    use expect_test::{Expect, expect};

    fn prefix(text: Option<&str>, colour: Option<usize>) -> Prefix {
        Prefix { text: text.map(str::to_owned), colour }
    }

    #[expect(clippy::needless_pass_by_value, reason = "what is expected stands in the call")]
    fn check(
        zone: Option<TimeZone>,
        prefixes: Vec<Prefix>,
        lines: &[(usize, Stream, &str)],
        expected: Expect,
    ) {
        let (mut stdout, mut stderr) = (Vec::new(), Vec::new());
        let mut printer = Printer::new(&mut stdout, &mut stderr, false, zone, prefixes);
        for (container, stream, text) in lines {
            let partial = !text.ends_with('\n');
            let bytes = text.trim_end_matches('\n').as_bytes().to_vec();
            printer
                .print(
                    *container,
                    &LogLine { at: 1_795_458_704_197_175_150, stream: *stream, bytes, partial },
                )
                .unwrap();
        }
        printer.finish().unwrap();
        drop(printer);
        let text = |bytes: Vec<u8>| String::from_utf8(bytes).unwrap().replace('\x1b', "ESC");
        expected.assert_eq(&format!("stdout:\n{}stderr:\n{}", text(stdout), text(stderr)));
    }

    #[test]
    fn lines_go_where_they_came_from() {
        check(
            None,
            vec![prefix(None, None)],
            &[
                (0, Stream::Stdout, "hi\n"),
                (0, Stream::Stderr, "err\n"),
                (0, Stream::Stdout, "no end"),
            ],
            expect![[r#"
            stdout:
            hi
            no endstderr:
            err
        "#]],
        );
    }

    #[test]
    fn pieces_of_a_line_have_one_prefix() {
        let lines = [
            (0, Stream::Stdout, "a"),
            (1, Stream::Stderr, "x\n"),
            (0, Stream::Stderr, "e\n"),
            (0, Stream::Stdout, "b\n"),
            (0, Stream::Stdout, "c\n"),
        ];
        check(
            Some(TimeZone::UTC),
            vec![prefix(Some("web"), None), prefix(Some("db"), Some(7))],
            &lines,
            expect![[r#"
            stdout:
            web 2026-11-23T18:31:44.19717515Z ab
            web 2026-11-23T18:31:44.19717515Z c
            stderr:
            ESC[32mdbESC[0m 2026-11-23T18:31:44.19717515Z x
            web 2026-11-23T18:31:44.19717515Z e
        "#]],
        );
    }

    #[test]
    fn times_are_in_the_zone() {
        let zone = TimeZone::fixed(jiff::tz::offset(-5));
        check(
            Some(zone),
            vec![prefix(None, None)],
            &[(0, Stream::Stdout, "hi\n")],
            expect![[r#"
            stdout:
            2026-11-23T13:31:44.19717515-05:00 hi
            stderr:
        "#]],
        );
    }
}
