//! PAX extended headers, pax(1): records `<length> <key>=<value>\n`, whose values may hold any byte.

use crate::error::{Error, Result};

/// What the records of one entry say; a key without a value says nothing.
#[derive(Debug, Default)]
pub(super) struct Extended {
    pub(super) path: Option<Vec<u8>>,
    pub(super) link: Option<Vec<u8>>,
    pub(super) size: Option<u64>,
    pub(super) uid: Option<u64>,
    pub(super) gid: Option<u64>,
    pub(super) mtime: Option<(i64, u32)>,
    pub(super) xattrs: Vec<(Vec<u8>, Vec<u8>)>,
    pub(super) sparse: Sparse,
}

/// GNU's three ways to write a sparse file in PAX.
#[derive(Debug, Default)]
pub(super) struct Sparse {
    /// 1.0: the map is the beginning of the data.
    pub(super) map_in_data: bool,
    /// 0.1 and 0.0: the map itself.
    pub(super) map: Vec<(u64, u64)>,
    pub(super) name: Option<Vec<u8>>,
    pub(super) real_size: Option<u64>,
    is_sparse: bool,
    half: Option<u64>,
}

impl Sparse {
    pub(super) fn is_sparse(&self) -> bool {
        self.is_sparse
    }
}

const XATTR: &[u8] = b"SCHILY.xattr.";
/// XATTR_NAME_MAX of the kernel.
const MAX_XATTR_NAME: usize = 255;

impl Extended {
    /// Takes in the records of one extended header.
    pub(super) fn parse(&mut self, mut data: &[u8], max_pieces: usize) -> Result<()> {
        while !data.is_empty() {
            // GNU tar ends the records of a block with NUL bytes at times.
            if data.iter().all(|byte| *byte == 0) {
                return Ok(());
            }
            let (key, value, rest) =
                record(data).ok_or_else(|| Error::archive("malformed extended header"))?;
            self.set(key, value, max_pieces)
                .ok_or_else(|| Error::archive(format!("bad value of `{}`", lossy(key))))?;
            data = rest;
        }
        Ok(())
    }

    fn set(&mut self, key: &[u8], value: &[u8], max_pieces: usize) -> Option<()> {
        if let Some(name) = key.strip_prefix(XATTR) {
            let bad = name.is_empty() || name.len() > MAX_XATTR_NAME || name.contains(&0);
            self.xattrs.retain(|(known, _)| known != name);
            self.xattrs.push((name.to_vec(), value.to_vec()));
            return (!bad).then_some(());
        }
        let text = (!value.is_empty()).then(|| value.to_vec());
        match key {
            b"path" => self.path = text,
            b"linkpath" => self.link = text,
            b"size" => self.size = optional(value)?,
            b"uid" => self.uid = optional(value)?,
            b"gid" => self.gid = optional(value)?,
            b"mtime" => self.mtime = if value.is_empty() { None } else { Some(time(value)?) },
            b"GNU.sparse.major" | b"GNU.sparse.minor" => {
                self.sparse.is_sparse = true;
                self.sparse.map_in_data |= key == b"GNU.sparse.major" && value == b"1";
            }
            b"GNU.sparse.name" => self.sparse.name = text,
            b"GNU.sparse.realsize" | b"GNU.sparse.size" => {
                self.sparse.is_sparse = true;
                self.sparse.real_size = Some(number(value)?);
            }
            b"GNU.sparse.offset" => self.sparse.half = Some(number(value)?),
            b"GNU.sparse.numbytes" => self.push(number(value)?, max_pieces)?,
            b"GNU.sparse.map" => {
                for part in value.split(|byte| *byte == b',') {
                    let part = number(part)?;
                    match self.sparse.half {
                        None => self.sparse.half = Some(part),
                        Some(_) => self.push(part, max_pieces)?,
                    }
                }
            }
            _ => {}
        }
        Some(())
    }

    fn push(&mut self, length: u64, max_pieces: usize) -> Option<()> {
        let offset = self.sparse.half.take()?;
        self.sparse.map.push((offset, length));
        (self.sparse.map.len() <= max_pieces).then_some(())
    }
}

/// One record: key, value, what follows.
fn record(data: &[u8]) -> Option<(&[u8], &[u8], &[u8])> {
    let digits = data.iter().position(|byte| *byte == b' ')?;
    let length = usize::try_from(number(data.get(..digits)?)?).ok()?;
    let body = data.get(digits + 1..length)?.strip_suffix(b"\n")?;
    let equals = body.iter().position(|byte| *byte == b'=')?;
    Some((body.get(..equals)?, body.get(equals + 1..)?, data.get(length..)?))
}

/// Appends a record, whose length counts its own digits.
pub(super) fn push_record(out: &mut Vec<u8>, key: &[u8], value: &[u8]) {
    let body = key.len() + value.len() + 3;
    let mut length = body + 1;
    while length != body + length.to_string().len() {
        length = body + length.to_string().len();
    }
    out.extend_from_slice(length.to_string().as_bytes());
    out.push(b' ');
    out.extend_from_slice(key);
    out.push(b'=');
    out.extend_from_slice(value);
    out.push(b'\n');
}

/// The key of an extended attribute.
pub(super) fn xattr_key(name: &[u8]) -> Vec<u8> {
    [XATTR, name].concat()
}

/// Decimal digits and nothing else; twenty are enough for any number here.
pub(super) fn number(digits: &[u8]) -> Option<u64> {
    if digits.is_empty() || digits.len() > 20 || !digits.iter().all(u8::is_ascii_digit) {
        return None;
    }
    std::str::from_utf8(digits).ok()?.parse().ok()
}

fn optional(value: &[u8]) -> Option<Option<u64>> {
    if value.is_empty() { Some(None) } else { Some(Some(number(value)?)) }
}

/// `seconds[.fraction]`, perhaps negative: then the fraction counts away from zero too.
fn time(value: &[u8]) -> Option<(i64, u32)> {
    let (negative, value) = match value.strip_prefix(b"-") {
        Some(rest) => (true, rest),
        None => (false, value),
    };
    let (whole, fraction) = match value.iter().position(|byte| *byte == b'.') {
        Some(dot) => (value.get(..dot)?, value.get(dot + 1..)?),
        None => (value, &b""[..]),
    };
    let seconds = i64::try_from(number(whole)?).ok()?;
    let mut nanos = 0;
    for place in 0..9 {
        let digit = fraction.get(place).copied().unwrap_or(b'0');
        nanos = nanos * 10 + u32::from(digit.is_ascii_digit().then(|| digit - b'0')?);
    }
    match (negative, nanos) {
        (false, _) => Some((seconds, nanos)),
        (true, 0) => Some((-seconds, 0)),
        (true, _) => Some((-seconds - 1, 1_000_000_000 - nanos)),
    }
}

fn lossy(bytes: &[u8]) -> String {
    let short = bytes.get(..bytes.len().min(80)).unwrap_or_default();
    String::from_utf8_lossy(short).into_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parse(records: &[(&str, &[u8])]) -> Result<Extended> {
        let mut data = Vec::new();
        for (key, value) in records {
            push_record(&mut data, key.as_bytes(), value);
        }
        let mut extended = Extended::default();
        extended.parse(&data, 4)?;
        Ok(extended)
    }

    #[test]
    fn values_may_hold_any_byte() {
        let found = parse(&[("SCHILY.xattr.security.capability", b"\x01\n\0="), ("path", b"a\nb")])
            .unwrap();
        assert_eq!(found.xattrs, [(b"security.capability".to_vec(), b"\x01\n\0=".to_vec())]);
        assert_eq!(found.path.unwrap(), b"a\nb");
    }

    #[test]
    fn times() {
        assert_eq!(time(b"12.5"), Some((12, 500_000_000)));
        assert_eq!(time(b"-1.25"), Some((-2, 750_000_000)));
        assert_eq!(time(b"-7"), Some((-7, 0)));
        assert_eq!(time(b"1.1234567891"), Some((1, 123_456_789)));
        for bad in ["", ".", "1.x", "x", "--1", "99999999999999999999"] {
            assert_eq!(time(bad.as_bytes()), None, "{bad}");
        }
    }

    #[test]
    fn malformed_records_are_refused() {
        for data in ["5 a=b", "99 a=b\n", "x a=b\n", "4 a=\n\n", "3 a\n", " a=b\n"] {
            assert!(Extended::default().parse(data.as_bytes(), 4).is_err(), "{data:?}");
        }
        assert!(parse(&[("size", b"-1")]).is_err());
        assert!(parse(&[("SCHILY.xattr.", b"x")]).is_err());
        assert!(parse(&[("GNU.sparse.map", b"0,1,2,1,4,1,6,1,8,1")]).is_err());
    }

    proptest::proptest! {
        #[test]
        fn records_round_trip(path in proptest::collection::vec(1u8..=255, 1..300)) {
            let found = parse(&[("path", &path)]).unwrap();
            proptest::prop_assert_eq!(found.path.unwrap(), path);
        }

        #[test]
        fn any_bytes_are_read_without_panic(data in proptest::collection::vec(0u8..=255, 0..60)) {
            if let Err(error) = Extended::default().parse(&data, 4) {
                let is_archive = matches!(error, Error::Archive { .. });
                proptest::prop_assert!(is_archive);
            }
        }
    }
}
