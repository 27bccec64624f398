//! A moment as reports carry it: UTC, nanoseconds, and a value for "never".
//!
//! In JSON it is RFC 3339 with as many digits as it needs; "never" is the first moment of year one, as in every
//! engine written in Go, so that tools which know that value go on knowing it.

use jiff::Timestamp;
use serde::{Deserialize, Serialize};

/// Seconds of 0001-01-01T00:00:00Z before the Unix epoch.
const YEAR_ONE: i64 = -62_135_596_800;

/// A moment, or never.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Time(Timestamp);

impl Time {
    /// It has not happened.
    pub const NEVER: Time = Time(Timestamp::constant(YEAR_ONE, 0));

    /// From nanoseconds since the Unix epoch, as records keep them.
    #[must_use]
    pub fn from_unix_nanos(nanos: i64) -> Time {
        // An i64 of nanoseconds reaches from 1677 to 2262, well inside what a timestamp can hold.
        Time(Timestamp::from_nanosecond(i128::from(nanos)).unwrap_or(Self::NEVER.0))
    }

    /// From an optional number of nanoseconds since the Unix epoch: `None` is [`Time::NEVER`].
    #[must_use]
    pub fn from_unix_nanos_or_never(nanos: Option<i64>) -> Time {
        nanos.map_or(Time::NEVER, Time::from_unix_nanos)
    }

    /// Whether it has happened at all.
    #[must_use]
    pub fn is_never(self) -> bool {
        self == Time::NEVER
    }

    /// The moment as jiff knows it.
    #[must_use]
    pub fn timestamp(self) -> Timestamp {
        self.0
    }

    /// Whole seconds since the Unix epoch; negative for [`Time::NEVER`].
    #[must_use]
    pub fn unix_seconds(self) -> i64 {
        self.0.as_second()
    }
}

impl Default for Time {
    fn default() -> Self {
        Time::NEVER
    }
}

impl From<Timestamp> for Time {
    fn from(timestamp: Timestamp) -> Self {
        Time(timestamp)
    }
}

/// `#[serde(with = "…")]` for fields that podman shows as seconds since the epoch.
pub(super) mod unix_seconds {
    use super::Time;
    use jiff::Timestamp;
    use serde::{Deserialize, Deserializer, Serializer, de::Error};

    pub(in crate::report) fn serialize<S: Serializer>(
        time: &Time,
        serializer: S,
    ) -> Result<S::Ok, S::Error> {
        serializer.serialize_i64(time.unix_seconds())
    }

    pub(in crate::report) fn deserialize<'de, D: Deserializer<'de>>(
        deserializer: D,
    ) -> Result<Time, D::Error> {
        let seconds = i64::deserialize(deserializer)?;
        Timestamp::from_second(seconds).map(Time).map_err(D::Error::custom)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn json_is_what_go_prints() {
        let json = |time: Time| serde_json::to_string(&time).unwrap();
        assert_eq!(json(Time::NEVER), "\"0001-01-01T00:00:00Z\"");
        assert_eq!(
            json(Time::from_unix_nanos(1_795_458_704_029_417_270)),
            "\"2026-11-23T18:31:44.02941727Z\""
        );
        assert_eq!(json(Time::from_unix_nanos(0)), "\"1970-01-01T00:00:00Z\"");
        assert_eq!(serde_json::from_str::<Time>("\"0001-01-01T00:00:00Z\"").unwrap(), Time::NEVER);
        assert!(Time::default().is_never());
        assert_eq!(Time::from_unix_nanos_or_never(None), Time::NEVER);
        assert_eq!(Time::NEVER.unix_seconds(), YEAR_ONE);
    }

    #[test]
    fn the_ends_of_the_range_are_moments() {
        assert!(!Time::from_unix_nanos(i64::MIN).is_never());
        assert!(!Time::from_unix_nanos(i64::MAX).is_never());
    }
}
