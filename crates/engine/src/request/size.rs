//! Amounts: bytes, and CPUs.

use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Serialize};

use super::Invalid;

/// A number of bytes. Text: a number with an optional fraction and a binary unit: `512`, `64k`, `1.5g`, `2GiB`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(transparent)]
pub struct ByteSize(pub u64);

impl FromStr for ByteSize {
    type Err = Invalid;

    fn from_str(text: &str) -> Result<Self, Invalid> {
        let invalid = |why: &str| Invalid::new("size", text, why);
        let expected = "expected a number and a unit of b, k, m, g, t or p, as in 512m";
        let end = text.find(|c: char| !c.is_ascii_digit() && c != '.').unwrap_or(text.len());
        let (number, unit) = text.split_at(end);
        let unit = unit.strip_prefix(' ').unwrap_or(unit).to_ascii_lowercase();
        let shift = match unit.as_str() {
            "" | "b" => 0,
            "k" | "kb" | "ki" | "kib" => 10,
            "m" | "mb" | "mi" | "mib" => 20,
            "g" | "gb" | "gi" | "gib" => 30,
            "t" | "tb" | "ti" | "tib" => 40,
            "p" | "pb" | "pi" | "pib" => 50,
            _ => return Err(invalid(expected)),
        };
        let too_much = || invalid("too large");
        let (whole, fraction) = number.split_once('.').unwrap_or((number, ""));
        if whole.is_empty() || fraction.contains('.') {
            return Err(invalid(expected));
        }
        let whole: u64 = whole.parse().map_err(|_| too_much())?;
        let bytes = whole.checked_mul(1 << shift).ok_or_else(too_much)?;
        // Digits that are less than a byte of the largest unit do not count; 15 fit beside a shift of 50 in u128.
        let fraction = &fraction[..fraction.len().min(15)];
        let part = match fraction {
            "" => 0,
            digits => {
                let scale = 10u128.pow(digits.len().try_into().map_err(|_| too_much())?);
                let numerator: u128 = digits.parse().map_err(|_| invalid(expected))?;
                u64::try_from((numerator << shift) / scale).map_err(|_| too_much())?
            }
        };
        bytes.checked_add(part).map(Self).ok_or_else(too_much)
    }
}

impl fmt::Display for ByteSize {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}", self.0)
    }
}

/// An amount of memory, or no limit (−1).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum MemoryLimit {
    /// At most so much.
    Bytes(ByteSize),
    /// No limit.
    Unlimited,
}

impl MemoryLimit {
    /// As the runtime specification has it: bytes, or −1.
    pub fn as_spec(self) -> i64 {
        match self {
            Self::Bytes(ByteSize(bytes)) => i64::try_from(bytes).unwrap_or(i64::MAX),
            Self::Unlimited => -1,
        }
    }
}

impl FromStr for MemoryLimit {
    type Err = Invalid;

    fn from_str(text: &str) -> Result<Self, Invalid> {
        if text == "-1" { Ok(Self::Unlimited) } else { text.parse().map(Self::Bytes) }
    }
}

/// A number of CPUs, in millionths; 0: no limit.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(transparent)]
pub struct CpuCount(u64);

impl CpuCount {
    /// The CFS quota and period in µs.
    pub fn quota_and_period(self) -> Option<(i64, u64)> {
        const PERIOD: u64 = 100_000;
        let quota = i64::try_from(u128::from(self.0) * u128::from(PERIOD) / 1_000_000).ok()?;
        (self.0 != 0).then_some((quota, PERIOD))
    }
}

impl FromStr for CpuCount {
    type Err = Invalid;

    fn from_str(text: &str) -> Result<Self, Invalid> {
        let invalid = |why: &str| Invalid::new("number of CPUs", text, why);
        let expected = "expected a number such as 1.5";
        let (whole, fraction) = text.split_once('.').unwrap_or((text, ""));
        if !(whole.bytes().chain(fraction.bytes()).all(|b| b.is_ascii_digit())
            && text.bytes().any(|b| b.is_ascii_digit()))
        {
            return Err(invalid(expected));
        }
        let whole: u64 =
            if whole.is_empty() { 0 } else { whole.parse().map_err(|_| invalid("too large"))? };
        let mut millionths = 0;
        for (digit, unit) in fraction.bytes().zip([100_000, 10_000, 1_000, 100, 10, 1]) {
            millionths += u64::from(digit - b'0') * unit;
        }
        let count = whole
            .checked_mul(1_000_000)
            .and_then(|w| w.checked_add(millionths))
            .filter(|n| *n <= 1 << 40);
        let count = count.ok_or_else(|| invalid("too large"))?;
        // The kernel takes no quota below 1 ms.
        if (1..10_000).contains(&count) {
            return Err(invalid("at least 0.01, or 0 for no limit"));
        }
        Ok(Self(count))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn reads_sizes() {
        for (text, bytes) in [
            ("0", 0),
            ("512", 512),
            ("512b", 512),
            ("64k", 65536),
            ("65536K", 65536 << 10),
            ("1.5g", 3 << 29),
            ("2GiB", 2 << 30),
            ("1 mb", 1 << 20),
            ("0.5k", 512),
            ("1.", 1),
        ] {
            assert_eq!(text.parse(), Ok(ByteSize(bytes)), "{text}");
        }
        for bad in
            ["", "k", "-1", "1x", "1.2.3m", ".5k", "18446744073709551616", "99999999p", "1mm", "½"]
        {
            assert!(bad.parse::<ByteSize>().is_err(), "{bad}");
        }
        assert_eq!(
            "12q".parse::<ByteSize>().unwrap_err().to_string(),
            r#"invalid size "12q": expected a number and a unit of b, k, m, g, t or p, as in 512m"#
        );
    }

    #[test]
    fn reads_limits_and_cpus() {
        assert_eq!("-1".parse::<MemoryLimit>().map(MemoryLimit::as_spec), Ok(-1));
        assert_eq!("1k".parse::<MemoryLimit>().map(MemoryLimit::as_spec), Ok(1024));
        assert!("-2".parse::<MemoryLimit>().is_err());
        let quota = |text: &str| text.parse::<CpuCount>().unwrap().quota_and_period();
        assert_eq!(quota("1.5"), Some((150_000, 100_000)));
        assert_eq!(quota(".5"), Some((50_000, 100_000)));
        assert_eq!(quota("0"), None);
        for bad in ["", ".", "-1", "1e3", "0.001", "99999999999999999999", "a"] {
            assert!(bad.parse::<CpuCount>().is_err(), "{bad}");
        }
    }

    proptest::proptest! {
        #[test]
        fn any_number_of_bytes_prints_and_reads_back(bytes in 0u64..) {
            proptest::prop_assert_eq!(ByteSize(bytes).to_string().parse(), Ok(ByteSize(bytes)));
        }

        #[test]
        fn never_panics(text in "[0-9.]{0,40}[ kmgtpibx]{0,4}") {
            let _size = text.parse::<ByteSize>();
            let _cpus = text.parse::<CpuCount>();
        }
    }
}
