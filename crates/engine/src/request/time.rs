//! Spans and points of time.

use std::fmt;
use std::str::FromStr;
use std::time::Duration;

use jiff::civil::DateTime;
use jiff::tz::TimeZone;
use serde::{Deserialize, Serialize};

use super::Invalid;

/// How long to wait before force is used: whole seconds, or −1 for ever.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Timeout {
    /// So many seconds; 0: at once.
    Seconds(u32),
    /// Never use force.
    Forever,
}

impl Timeout {
    /// The span; none: for ever.
    pub fn duration(self) -> Option<Duration> {
        match self {
            Self::Seconds(seconds) => Some(Duration::from_secs(seconds.into())),
            Self::Forever => None,
        }
    }

    /// Seconds, the largest number meaning for ever.
    pub fn seconds(self) -> u32 {
        match self {
            Self::Seconds(seconds) => seconds,
            Self::Forever => u32::MAX,
        }
    }
}

impl FromStr for Timeout {
    type Err = Invalid;

    fn from_str(text: &str) -> Result<Self, Invalid> {
        match text {
            "-1" => Some(Self::Forever),
            digits if digits.bytes().all(|b| b.is_ascii_digit()) => {
                digits.parse().map(Self::Seconds).ok()
            }
            _ => None,
        }
        .ok_or_else(|| {
            Invalid::new("timeout", text, "expected whole seconds, or -1 to wait for ever")
        })
    }
}

impl fmt::Display for Timeout {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Seconds(seconds) => write!(f, "{seconds}"),
            Self::Forever => f.write_str("-1"),
        }
    }
}

/// A span such as `250ms`, `10s`, `1h30m`; a bare number has the unit given.
pub fn parse_span(text: &str, bare_unit: Duration) -> Result<Duration, Invalid> {
    let invalid = |why: &str| Invalid::new("duration", text, why);
    let expected = "expected a number and a unit of ns, us, ms, s, m or h, as in 1h30m";
    let mut total = Duration::ZERO;
    let mut rest = text;
    if rest.is_empty() {
        return Err(invalid(expected));
    }
    while !rest.is_empty() {
        let end = rest.find(|c: char| !c.is_ascii_digit() && c != '.').unwrap_or(rest.len());
        let (number, tail) = rest.split_at(end);
        let end = tail.find(|c: char| c.is_ascii_digit() || c == '.').unwrap_or(tail.len());
        let (unit, tail) = tail.split_at(end);
        let unit = match unit {
            "ns" => Duration::from_nanos(1),
            "us" | "µs" | "μs" => Duration::from_micros(1),
            "ms" => Duration::from_millis(1),
            "s" => Duration::from_secs(1),
            "m" => Duration::from_secs(60),
            "h" => Duration::from_secs(3600),
            "" if number == text => bare_unit,
            _ => return Err(invalid(expected)),
        };
        let number: f64 = number.parse().map_err(|_| invalid(expected))?;
        let span = Duration::try_from_secs_f64(unit.as_secs_f64() * number)
            .map_err(|_| invalid("too long"))?;
        total = total.checked_add(span).ok_or_else(|| invalid("too long"))?;
        rest = tail;
    }
    Ok(total)
}

/// A point of time, as in `--since`.
///
/// Text: RFC 3339 (`2026-01-31T12:00:00Z`), the same without an offset (local time) or with the date alone, seconds
/// since 1970 with an optional fraction, or how long ago it was (`10m`, `1h30m`).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Moment {
    /// Nanoseconds since 1970, UTC.
    At(i64),
    /// So long before now.
    Ago(Duration),
}

impl Moment {
    /// Nanoseconds since 1970, given what the time is now.
    pub fn resolve(self, now: i64) -> i64 {
        match self {
            Self::At(nanos) => nanos,
            Self::Ago(span) => {
                now.saturating_sub(i64::try_from(span.as_nanos()).unwrap_or(i64::MAX))
            }
        }
    }
}

impl FromStr for Moment {
    type Err = Invalid;

    fn from_str(text: &str) -> Result<Self, Invalid> {
        if !text.is_empty() && text.bytes().all(|b| b.is_ascii_digit() || b == b'.') {
            return unix_nanos(text).map(Self::At).ok_or_else(|| invalid_moment(text));
        }
        if let Ok(span) = parse_span(text, Duration::from_secs(1)) {
            return Ok(Self::Ago(span));
        }
        let timestamp = match text.parse::<jiff::Timestamp>() {
            Ok(timestamp) => timestamp,
            Err(_) => text
                .parse::<DateTime>()
                .ok()
                .and_then(|local| local.to_zoned_datetime(TimeZone::system()).ok())
                .ok_or_else(|| invalid_moment(text))?
                .timestamp(),
        };
        i64::try_from(timestamp.as_nanosecond()).map(Self::At).map_err(|_| invalid_moment(text))
    }
}

fn invalid_moment(text: &str) -> Invalid {
    let why = "expected a time as in 2026-01-31T12:00:00Z, seconds since 1970, or how long ago, as in 10m";
    Invalid::new("time", text, why)
}

fn unix_nanos(text: &str) -> Option<i64> {
    let (seconds, fraction) = text.split_once('.').unwrap_or((text, ""));
    if fraction.contains('.') || fraction.len() > 9 {
        return None;
    }
    let nanos: i64 = format!("{fraction:0<9}").parse().ok()?;
    seconds.parse::<i64>().ok()?.checked_mul(1_000_000_000)?.checked_add(nanos)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn reads_timeouts() {
        assert_eq!("0".parse(), Ok(Timeout::Seconds(0)));
        assert_eq!("-1".parse(), Ok(Timeout::Forever));
        for bad in ["", "-2", "1s", "99999999999", "+1"] {
            assert!(bad.parse::<Timeout>().is_err(), "{bad}");
        }
    }

    #[test]
    fn reads_spans() {
        let ms = Duration::from_millis(1);
        assert_eq!(parse_span("1h30m", ms), Ok(Duration::from_secs(5400)));
        assert_eq!(parse_span("1.5s", ms), Ok(Duration::from_millis(1500)));
        assert_eq!(parse_span("250", ms), Ok(Duration::from_millis(250)));
        for bad in ["", "h", "1x", "1h2", "-1s", "..s", "99999999999999999999999h", "s1"] {
            assert!(parse_span(bad, ms).is_err(), "{bad}");
        }
    }

    #[test]
    fn reads_moments() {
        assert_eq!("1.5".parse(), Ok(Moment::At(1_500_000_000)));
        assert_eq!("1970-01-01T00:00:02Z".parse(), Ok(Moment::At(2_000_000_000)));
        assert_eq!("1970-01-01T01:00:02+01:00".parse(), Ok(Moment::At(2_000_000_000)));
        assert_eq!("10m".parse::<Moment>().map(|m| m.resolve(600_000_000_001)), Ok(1));
        assert!(matches!("2026-01-31".parse(), Ok(Moment::At(_))));
        assert!(matches!("2026-01-31T10:00:00".parse(), Ok(Moment::At(_))));
        for bad in ["", "yesterday", "2026-13-01", "1.2.3", "1.0000000001", "99999999999999999999"]
        {
            assert!(bad.parse::<Moment>().is_err(), "{bad}");
        }
    }

    proptest::proptest! {
        #[test]
        fn never_panics(text in "[0-9.:TZhmsunµ+-]{0,24}") {
            let _moment = text.parse::<Moment>();
        }
    }
}
