//! The time zone of the log's stamps, as tzset(3) finds it: one file is read, never the whole data base.

use std::ffi::OsStr;
use std::os::unix::ffi::OsStrExt as _;
use std::path::Path;

use jiff::tz::TimeZone;

/// The machine's zone.
const LOCAL: &str = "/etc/localtime";
/// Where zones are by name.
const NAMED: &str = "/usr/share/zoneinfo";
const MAX_SIZE: u64 = 1 << 20;

/// What `$TZ` says, or the machine. Whatever cannot be found or read is UTC, as in the C library.
pub(crate) fn local() -> TimeZone {
    let variable = std::env::vars_os().find(|(name, _)| name == "TZ");
    let zone = match &variable {
        None => read(LOCAL.as_ref()),
        Some((_, value)) => named(value),
    };
    zone.unwrap_or(TimeZone::UTC)
}

/// `:NAME`, `NAME`, a path, or a rule such as `CET-1CEST,M3.5.0,M10.5.0/3`.
fn named(value: &OsStr) -> Option<TimeZone> {
    let value = value.as_bytes();
    let value = value.strip_prefix(b":").unwrap_or(value);
    if value.is_empty() {
        return None;
    }
    let file = Path::new(NAMED).join(OsStr::from_bytes(value));
    read(&file).or_else(|| TimeZone::posix(std::str::from_utf8(value).ok()?).ok())
}

fn read(file: &Path) -> Option<TimeZone> {
    let bytes = dhow_sys::fs::read_bounded(file, MAX_SIZE).ok()?;
    TimeZone::tzif(&file.to_string_lossy(), &bytes).ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_tz_may_say() {
        let offset = |value: &str| {
            let zone = named(value.as_ref())?;
            Some(zone.to_offset("2026-07-01T00:00:00Z".parse().unwrap()).seconds() / 60)
        };
        assert_eq!(offset("CET-1CEST,M3.5.0,M10.5.0/3"), Some(120));
        assert_eq!(offset("<+0530>-5:30"), Some(330));
        assert_eq!((offset(""), offset(":"), offset("no such zone")), (None, None, None));
        if Path::new(NAMED).join("Asia/Tokyo").exists() {
            let path = format!(":{NAMED}/Asia/Tokyo");
            assert_eq!((offset("Asia/Tokyo"), offset(&path)), (Some(540), Some(540)));
        }
    }
}
