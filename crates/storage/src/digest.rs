//! Names made from content: digests of blobs, and the ids of layers and images that derive from them.
//!
//! INVARIANT: only SHA-256 exists here; a value of these types is well formed, so its hex text is a safe file name.

use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Serialize};
use sha2::{Digest as _, Sha256};

use crate::Error;

const ALGORITHM: &str = "sha256:";

/// `sha256:` and 64 hexadecimal digits.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct Digest([u8; 32]);

impl Digest {
    /// The digest of `bytes`.
    pub fn of(bytes: impl AsRef<[u8]>) -> Digest {
        Digest(Sha256::digest(bytes.as_ref()).into())
    }

    /// The digest of all that `reader` gives.
    ///
    /// # Errors
    /// That of reading.
    pub fn of_reader(mut reader: impl std::io::Read) -> std::io::Result<Digest> {
        let mut hasher = Sha256::new();
        let mut buffer = vec![0; 128 * 1024];
        loop {
            match reader.read(&mut buffer) {
                Ok(0) => return Ok(Digest::from_hasher(hasher)),
                Ok(n) => hasher.update(&buffer[..n]),
                Err(e) if e.kind() == std::io::ErrorKind::Interrupted => {}
                Err(e) => return Err(e),
            }
        }
    }

    pub(crate) fn from_hasher(hasher: Sha256) -> Digest {
        Digest(hasher.finalize().into())
    }

    /// The 64 digits without the algorithm.
    pub fn hex(&self) -> String {
        use std::fmt::Write as _;
        self.0.iter().fold(String::with_capacity(64), |mut text, byte| {
            // Writing to a String cannot fail.
            let _infallible = write!(text, "{byte:02x}");
            text
        })
    }

    fn from_hex(hex: &str) -> Option<Digest> {
        let mut bytes = [0; 32];
        if hex.len() != 64 {
            return None;
        }
        for (byte, digits) in bytes.iter_mut().zip(hex.as_bytes().chunks_exact(2)) {
            let [high, low] = digits else { return None };
            *byte = digit(*high)? << 4 | digit(*low)?;
        }
        Some(Digest(bytes))
    }
}

/// Upper case is no digest: one value must have one text.
fn digit(byte: u8) -> Option<u8> {
    match byte {
        b'0'..=b'9' => Some(byte - b'0'),
        b'a'..=b'f' => Some(byte - b'a' + 10),
        _ => None,
    }
}

impl FromStr for Digest {
    type Err = Error;

    fn from_str(text: &str) -> Result<Digest, Error> {
        let hex = text.strip_prefix(ALGORITHM);
        hex.and_then(Digest::from_hex).ok_or_else(|| Error::Invalid {
            what: "digest",
            value: text.to_owned(),
            why: "expected sha256: and 64 lower-case hexadecimal digits",
        })
    }
}

impl fmt::Display for Digest {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{ALGORITHM}{}", self.hex())
    }
}

/// A newtype over [`Digest`] with the same text.
macro_rules! digest_newtype {
    ($(#[$doc:meta])* $name:ident) => {
        $(#[$doc])*
        #[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
        #[serde(try_from = "String", into = "String")]
        pub struct $name(Digest);

        impl $name {
            /// The value as a plain digest.
            pub fn digest(&self) -> &Digest {
                &self.0
            }

            /// The 64 digits without the algorithm.
            pub fn hex(&self) -> String {
                self.0.hex()
            }
        }

        impl From<Digest> for $name {
            fn from(digest: Digest) -> $name {
                $name(digest)
            }
        }

        impl FromStr for $name {
            type Err = Error;

            fn from_str(text: &str) -> Result<$name, Error> {
                text.parse().map($name)
            }
        }
    };
}

digest_newtype! {
    /// Digest of a layer's uncompressed tar.
    DiffId
}

digest_newtype! {
    /// Digest that stands for a layer together with all layers under it, OCI image-spec `config.md`, "Layer ChainID".
    ChainId
}

impl ChainId {
    /// The chain of a lowest layer.
    pub fn root(diff_id: &DiffId) -> ChainId {
        ChainId(diff_id.0)
    }

    /// The chain of a layer on top of this one.
    pub fn child(&self, diff_id: &DiffId) -> ChainId {
        ChainId(Digest::of(format!("{} {}", self.0, diff_id.0)))
    }

    /// The chain of a layer on top of `parent`, or of a lowest one.
    pub fn above(parent: Option<&ChainId>, diff_id: &DiffId) -> ChainId {
        parent.map_or_else(|| ChainId::root(diff_id), |parent| parent.child(diff_id))
    }

    /// The chains of a whole image, the lowest layer first.
    pub fn chain(diff_ids: &[DiffId]) -> Vec<ChainId> {
        let mut chains: Vec<ChainId> = Vec::with_capacity(diff_ids.len());
        for diff_id in diff_ids {
            chains.push(ChainId::above(chains.last(), diff_id));
        }
        chains
    }
}

/// Digest of an image's configuration. Written as 64 digits, without the algorithm, as users know it.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct ImageId(Digest);

impl ImageId {
    /// The id as a digest.
    pub fn digest(&self) -> &Digest {
        &self.0
    }

    /// All 64 digits.
    pub fn hex(&self) -> String {
        self.0.hex()
    }

    /// The twelve digits that lists show.
    pub fn short(&self) -> String {
        let mut hex = self.0.hex();
        hex.truncate(12);
        hex
    }
}

impl From<Digest> for ImageId {
    fn from(digest: Digest) -> ImageId {
        ImageId(digest)
    }
}

impl FromStr for ImageId {
    type Err = Error;

    fn from_str(text: &str) -> Result<ImageId, Error> {
        let hex = text.strip_prefix(ALGORITHM).unwrap_or(text);
        Digest::from_hex(hex).map(ImageId).ok_or_else(|| Error::Invalid {
            what: "image id",
            value: text.to_owned(),
            why: "expected 64 lower-case hexadecimal digits",
        })
    }
}

/// Text forms that every type here has in the same way.
macro_rules! text_forms {
    ($($name:ident),*) => {$(
        impl TryFrom<String> for $name {
            type Error = Error;

            fn try_from(text: String) -> Result<$name, Error> {
                text.parse()
            }
        }

        impl From<$name> for String {
            fn from(value: $name) -> String {
                value.to_string()
            }
        }

        impl fmt::Debug for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                fmt::Display::fmt(self, f)
            }
        }
    )*};
}

text_forms!(Digest, DiffId, ChainId, ImageId);

impl fmt::Display for DiffId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

impl fmt::Display for ChainId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

impl fmt::Display for ImageId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0.hex())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const EMPTY: &str = "sha256:e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855";

    #[test]
    fn digest_of_nothing() {
        assert_eq!(Digest::of("").to_string(), EMPTY);
        assert_eq!(EMPTY.parse::<Digest>().unwrap(), Digest::of(""));
        assert_eq!(serde_json::to_string(&Digest::of("")).unwrap(), format!("\"{EMPTY}\""));
    }

    #[test]
    fn what_is_no_digest() {
        let upper = EMPTY.to_uppercase();
        for text in ["", "sha256:", &EMPTY[7..], &EMPTY[..70], &upper, "sha512:00", "sha256:../x"] {
            assert!(text.parse::<Digest>().is_err(), "{text}");
            assert!(serde_json::from_str::<Digest>(&format!("\"{text}\"")).is_err(), "{text}");
        }
    }

    #[test]
    fn image_ids_come_with_and_without_algorithm() {
        let id: ImageId = EMPTY.parse().unwrap();
        assert_eq!(id, EMPTY[7..].parse().unwrap());
        assert_eq!((id.to_string().as_str(), id.short().as_str()), (&EMPTY[7..], "e3b0c44298fc"));
    }

    /// The example of the image specification: ChainID(A|B) = Digest(ChainID(A) + " " + DiffID(B)).
    #[test]
    fn chain_ids() {
        let (a, b): (DiffId, DiffId) = (Digest::of("a").into(), Digest::of("b").into());
        let chain = ChainId::chain(&[a, b]);
        assert_eq!(chain[0].digest(), a.digest());
        assert_eq!(*chain[1].digest(), Digest::of(format!("{a} {b}")));
    }

    proptest::proptest! {
        #[test]
        fn text_round_trips(bytes: [u8; 32]) {
            let digest = Digest(bytes);
            proptest::prop_assert_eq!(digest.to_string().parse::<Digest>().unwrap(), digest);
        }
    }
}
