//! The CRI's log format, as conmon writes it: `STAMP STREAM TAG CONTENT`, TAG being F for a line's end and P for a part.
//!
//! The space after the tag is there even if the content is empty. Contents are not altered, whatever bytes they are.

use std::borrow::Cow;

use jiff::Timestamp;
use jiff::tz::Offset;

use super::Record;
use crate::attach::Stream;

/// The most bytes of a line that go into one record.
pub const LONGEST: usize = 8192;
/// What stands before the tag.
pub const PREFIX: usize = 43;
/// Before the content of a record that ends a line.
pub const FULL: &[u8] = b"F ";
/// Before the content of one that does not.
pub const PARTIAL: &[u8] = b"P ";

/// The time in the zone `offset`, and the stream: all of a record up to its tag.
#[must_use]
pub fn prefix(at: Timestamp, offset: Offset, stream: Stream) -> [u8; PREFIX] {
    let local = offset.to_datetime(at);
    let east = offset.seconds() / 60;
    let mut text = *b"0000-00-00T00:00:00.000000000+00:00 stdout ";
    decimal(&mut text[0..4], local.year().unsigned_abs().into());
    decimal(&mut text[5..7], local.month().unsigned_abs().into());
    decimal(&mut text[8..10], local.day().unsigned_abs().into());
    decimal(&mut text[11..13], local.hour().unsigned_abs().into());
    decimal(&mut text[14..16], local.minute().unsigned_abs().into());
    decimal(&mut text[17..19], local.second().unsigned_abs().into());
    decimal(&mut text[20..29], local.subsec_nanosecond().unsigned_abs());
    text[29] = if east < 0 { b'-' } else { b'+' };
    decimal(&mut text[30..32], east.unsigned_abs() / 60);
    decimal(&mut text[33..35], east.unsigned_abs() % 60);
    text[36..42].copy_from_slice(stream.name().as_bytes());
    text
}

/// Writes `number` into all of `digits`.
fn decimal(digits: &mut [u8], mut number: u32) {
    for digit in digits.iter_mut().rev() {
        *digit = b"0123456789"[(number % 10) as usize];
        number /= 10;
    }
}

/// Reads a line of the file, given without its newline.
#[must_use]
pub fn parse(line: &[u8]) -> Option<Record<'_>> {
    let mut fields = line.splitn(4, |b| *b == b' ');
    let at = std::str::from_utf8(fields.next()?).ok()?.parse::<Timestamp>().ok()?;
    let stream = match fields.next()? {
        b"stdout" => Stream::Stdout,
        b"stderr" => Stream::Stderr,
        _ => return None,
    };
    let ends_line = match fields.next()? {
        b"F" => true,
        b"P" => false,
        _ => return None,
    };
    let content = Cow::Borrowed(fields.next()?);
    Some(Record { at: super::nanoseconds(at)?, stream, ends_line, content })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(at: &str, offset_seconds: i32, stream: Stream, expected: &str) {
        let at: Timestamp = at.parse().unwrap();
        let got = prefix(at, Offset::from_seconds(offset_seconds).unwrap(), stream);
        assert_eq!(std::str::from_utf8(&got).unwrap(), expected);
        let line = [&got[..], b"P a b \xff"].concat();
        let record = parse(&line).unwrap();
        assert_eq!((record.at, record.stream), (at.as_nanosecond().try_into().unwrap(), stream));
        assert_eq!((record.ends_line, &record.content[..]), (false, &b"a b \xff"[..]));
    }

    #[test]
    fn stamps_are_local_with_nine_digits_and_an_offset() {
        let at = "2026-01-02T03:04:05.000000789Z";
        check(at, 0, Stream::Stdout, "2026-01-02T03:04:05.000000789+00:00 stdout ");
        check(at, 5 * 3600 + 1800, Stream::Stderr, "2026-01-02T08:34:05.000000789+05:30 stderr ");
        check(at, -(4 * 3600), Stream::Stdout, "2026-01-01T23:04:05.000000789-04:00 stdout ");
        check(
            at,
            -(3 * 3600 + 1800),
            Stream::Stdout,
            "2026-01-01T23:34:05.000000789-03:30 stdout ",
        );
    }

    #[test]
    fn what_is_no_record() {
        let at = "2026-01-02T03:04:05.123456789+00:00";
        assert!(parse(format!("{at} stdout F ").as_bytes()).unwrap().content.is_empty());
        for bad in [
            "",
            "x",
            at,
            &format!("{at} stdout F"),
            &format!("{at} stdin F x"),
            &format!("{at} stdout Q x"),
            "2026 stdout F x",
        ] {
            assert_eq!(parse(bad.as_bytes()), None, "{bad}");
        }
    }
}
