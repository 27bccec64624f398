//! Quantities in words: spans of time and sizes, as every container engine writes them.
//!
//! Pure: the present moment is an argument.

use dhow_engine::report::Time;
use jiff::Timestamp;

/// The time since `then`, followed by "ago"; empty for [`Time::NEVER`].
pub(crate) fn ago(then: Time, now: Timestamp) -> String {
    if then.is_never() { String::new() } else { format!("{} ago", since(then, now)) }
}

/// The time since `then`. A moment in the future (a clock that was set back) counts as just now.
pub(crate) fn since(then: Time, now: Timestamp) -> String {
    let seconds = now.as_second().saturating_sub(then.unix_seconds());
    duration(u64::try_from(seconds).unwrap_or(0))
}

/// A span of time in one unit, coarser the longer it is.
pub(crate) fn duration(seconds: u64) -> String {
    const MINUTE: u64 = 60;
    const HOUR: u64 = 60 * MINUTE;
    const DAY: u64 = 24 * HOUR;
    const WEEK: u64 = 7 * DAY;
    const MONTH: u64 = 30 * DAY;
    const YEAR: u64 = 365 * DAY;
    // Hours are rounded to the nearest, all else is cut.
    let hours = (seconds + HOUR / 2) / HOUR;
    match seconds {
        0 => "Less than a second".to_owned(),
        1 => "1 second".to_owned(),
        2..MINUTE => format!("{seconds} seconds"),
        _ if seconds < 2 * MINUTE => "About a minute".to_owned(),
        _ if seconds < HOUR => format!("{} minutes", seconds / MINUTE),
        _ if hours == 1 => "About an hour".to_owned(),
        _ if hours < 48 => format!("{hours} hours"),
        _ if seconds < 2 * WEEK => format!("{} days", seconds / DAY),
        _ if seconds < 2 * MONTH => format!("{} weeks", seconds / WEEK),
        _ if seconds < 2 * YEAR => format!("{} months", seconds / MONTH),
        _ => format!("{} years", seconds / YEAR),
    }
}

/// The moment as Go prints one, which is what podman's templates show: `2026-11-23 18:31:12 +0000 UTC`.
pub(crate) fn moment(then: Time) -> String {
    then.timestamp().strftime("%Y-%m-%d %H:%M:%S%.f +0000 UTC").to_string()
}

/// The beginning of a text, with dots in place of what is too much.
pub(crate) fn shortened(text: &str, limit: usize) -> String {
    match text.char_indices().nth(limit) {
        None => text.to_owned(),
        Some(_) => text.chars().take(limit.saturating_sub(3)).chain("...".chars()).collect(),
    }
}

/// The first twelve digits of an id, with or without `sha256:` before them.
pub(crate) fn short_id(id: &str) -> &str {
    let digits = id.strip_prefix("sha256:").unwrap_or(id);
    digits.get(..12).unwrap_or(digits)
}

/// A size in decimal units with three significant digits and no space: `12B`, `1.98MB`.
pub(crate) fn size(bytes: u64) -> String {
    let (number, unit) = scaled(bytes);
    format!("{number}{unit}")
}

/// The same with a space before the unit, as the lists of images have it: `12 B`, `1.98 MB`.
pub(crate) fn spaced_size(bytes: u64) -> String {
    let (number, unit) = scaled(bytes);
    format!("{number} {unit}")
}

/// Three significant digits and their unit.
fn scaled(bytes: u64) -> (String, &'static str) {
    const UNITS: [&str; 7] = ["B", "kB", "MB", "GB", "TB", "PB", "EB"];
    let mut unit = 0;
    let mut divisor: u64 = 1;
    // 999.5 of a unit would be rounded to 1000: that is 1 of the next.
    while unit + 1 < UNITS.len() && u128::from(bytes) * 2 >= 1999 * u128::from(divisor) {
        divisor *= 1000;
        unit += 1;
    }
    let hundredths = |digits: u32| {
        let scale = 10_u128.pow(digits);
        let rounded =
            (u128::from(bytes) * scale * 2 + u128::from(divisor)) / (2 * u128::from(divisor));
        (rounded / scale, rounded % scale)
    };
    let (whole, fraction, digits) = match (hundredths(2), hundredths(1)) {
        ((whole, fraction), _) if whole < 10 => (whole, fraction, 2),
        (_, (whole, fraction)) if whole < 100 => (whole, fraction, 1),
        _ => (hundredths(0).0, 0, 0),
    };
    let mut number =
        if digits == 0 { whole.to_string() } else { format!("{whole}.{fraction:0digits$}") };
    if number.contains('.') {
        number.truncate(number.trim_end_matches('0').trim_end_matches('.').len());
    }
    (number, UNITS[unit])
}

#[cfg(test)]
mod tests {
    use super::*;
    use expect_test::expect;
    use proptest::prelude::*;

    #[test]
    fn durations_are_worded_as_docker_words_them() {
        const DAY: u64 = 86_400;
        let seconds = [
            0,
            1,
            2,
            59,
            60,
            119,
            120,
            3599,
            3600,
            5399,
            5400,
            47 * 3600,
            2 * DAY,
            13 * DAY,
            14 * DAY,
            59 * DAY,
            60 * DAY,
            729 * DAY,
            730 * DAY,
            20_000 * DAY,
        ];
        let words: Vec<String> = seconds.into_iter().map(duration).collect();
        expect![[r#"
            Less than a second
            1 second
            2 seconds
            59 seconds
            About a minute
            About a minute
            2 minutes
            59 minutes
            About an hour
            About an hour
            2 hours
            47 hours
            2 days
            13 days
            2 weeks
            8 weeks
            2 months
            24 months
            2 years
            54 years"#]]
        .assert_eq(&words.join("\n"));
    }

    #[test]
    fn sizes_have_three_digits() {
        let bytes = [
            0,
            12,
            999,
            1000,
            1004,
            1005,
            1500,
            7504,
            99_949,
            99_950,
            999_499,
            999_500,
            1_982_305,
            1_997_921,
            75_000_000,
            u64::MAX,
        ];
        let words: Vec<String> = bytes.into_iter().map(size).collect();
        expect![[r#"
            0B
            12B
            999B
            1kB
            1kB
            1.01kB
            1.5kB
            7.5kB
            99.9kB
            100kB
            999kB
            1MB
            1.98MB
            2MB
            75MB
            18.4EB"#]]
        .assert_eq(&words.join("\n"));
        assert_eq!(spaced_size(1_240_000), "1.24 MB");
    }

    #[test]
    fn moments_are_relative_to_the_present() {
        let now = Timestamp::from_second(1_000_000).unwrap();
        assert_eq!(ago(Time::from_unix_nanos(999_880_000_000_000), now), "2 minutes ago");
        assert_eq!(ago(Time::NEVER, now), "");
        // A clock that was set back.
        assert_eq!(since(Time::from_unix_nanos(2_000_000_000_000_000), now), "Less than a second");
    }

    #[test]
    fn texts_are_shortened_by_characters() {
        assert_eq!(shortened("sh -c echo hi; echo err", 20), "sh -c echo hi; ec...");
        assert_eq!(shortened("sh -c echo hi; echo ", 20), "sh -c echo hi; echo ");
        assert_eq!(shortened("ééééé", 4), "é...");
        assert_eq!(short_id("sha256:0fc222e2ab908dc9"), "0fc222e2ab90");
        assert_eq!(short_id("é"), "é");
    }

    #[test]
    fn moments_are_printed_as_go_prints_them() {
        assert_eq!(
            moment(Time::from_unix_nanos(1_795_458_704_029_417_270)),
            "2026-11-23 18:31:44.02941727 +0000 UTC"
        );
        assert_eq!(moment(Time::from_unix_nanos(0)), "1970-01-01 00:00:00 +0000 UTC");
    }

    proptest! {
        #[test]
        fn any_quantity_has_words(seconds: u64, bytes: u64) {
            prop_assert!(!duration(seconds).is_empty());
            let (number, _) = scaled(bytes);
            prop_assert!(number.chars().filter(char::is_ascii_digit).count() <= 3, "{number}");
        }
    }
}
