//! JSON written by somebody else, read strictly.
//!
//! INVARIANT: a document with a key twice in one object is refused. Readers differ in which of the two they take, so
//! that a signature or a scan could be of one meaning and a container of the other.

use std::collections::HashSet;
use std::fmt;

use serde::de::{self, Deserialize, DeserializeOwned, Deserializer, MapAccess, SeqAccess, Visitor};

/// How large a manifest, index or configuration may be, as in other implementations.
pub(crate) const MAX_DOCUMENT: u64 = 4 << 20;

/// Reads `bytes` as a `T`; the error is a sentence about what is wrong.
pub(crate) fn parse<T: DeserializeOwned>(bytes: &[u8]) -> Result<T, String> {
    serde_json::from_slice::<UniqueKeys>(bytes).map_err(|e| format!("invalid JSON: {e}"))?;
    serde_json::from_slice(bytes).map_err(|e| format!("invalid document: {e}"))
}

/// For fields that others write as `null` where they mean "none".
pub(crate) fn null_as_default<'de, D: Deserializer<'de>, T: Deserialize<'de> + Default>(
    deserializer: D,
) -> Result<T, D::Error> {
    Ok(Option::deserialize(deserializer)?.unwrap_or_default())
}

/// Any JSON value in which no object has a key twice. Nesting is bounded by serde_json itself.
struct UniqueKeys;

impl<'de> Deserialize<'de> for UniqueKeys {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<UniqueKeys, D::Error> {
        deserializer.deserialize_any(UniqueKeys)
    }
}

impl<'de> Visitor<'de> for UniqueKeys {
    type Value = UniqueKeys;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a JSON value")
    }

    fn visit_bool<E>(self, _: bool) -> Result<UniqueKeys, E> {
        Ok(UniqueKeys)
    }

    fn visit_i64<E>(self, _: i64) -> Result<UniqueKeys, E> {
        Ok(UniqueKeys)
    }

    fn visit_u64<E>(self, _: u64) -> Result<UniqueKeys, E> {
        Ok(UniqueKeys)
    }

    fn visit_f64<E>(self, _: f64) -> Result<UniqueKeys, E> {
        Ok(UniqueKeys)
    }

    fn visit_str<E>(self, _: &str) -> Result<UniqueKeys, E> {
        Ok(UniqueKeys)
    }

    fn visit_unit<E>(self) -> Result<UniqueKeys, E> {
        Ok(UniqueKeys)
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut seq: A) -> Result<UniqueKeys, A::Error> {
        while seq.next_element::<UniqueKeys>()?.is_some() {}
        Ok(UniqueKeys)
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<UniqueKeys, A::Error> {
        let mut seen = HashSet::new();
        while let Some(key) = map.next_key::<String>()? {
            if seen.contains(&key) {
                return Err(de::Error::custom(format_args!("the key {key:?} occurs twice")));
            }
            seen.insert(key);
            map.next_value::<UniqueKeys>()?;
        }
        Ok(UniqueKeys)
    }
}

#[cfg(test)]
mod tests {
    use serde_json::Value;

    use super::*;

    #[test]
    fn a_key_twice_is_refused_at_any_depth() {
        for text in
            [r#"{"a":1,"a":1}"#, r#"{"x":[{"y":{"a":1,"b":2,"a":3}}]}"#, r#"{"a":1,"\u0061":2}"#]
        {
            let error = parse::<Value>(text.as_bytes()).unwrap_err();
            assert!(error.contains("twice"), "{text}: {error}");
        }
        parse::<Value>(br#"{"a":{"a":1},"b":{"a":1.5,"c":[null,true,-1,"x"]}}"#).unwrap();
    }

    #[test]
    fn deep_nesting_and_trailing_bytes_are_errors() {
        let deep = "[".repeat(100_000);
        assert!(parse::<Value>(deep.as_bytes()).is_err());
        assert!(parse::<Value>(b"{} {}").is_err());
        assert!(parse::<Value>(b"").is_err());
    }
}
