//! Names for containers whose user gave none: an adjective and a word from the sea, which fit on a line and can be said.

use crate::error::{Error, Result};
use crate::name::ContainerName;

const ADJECTIVES: [&str; 64] = [
    "able", "amber", "ample", "ashen", "balmy", "bold", "brave", "breezy", "bright", "brisk",
    "calm", "clear", "clever", "coral", "cosy", "crisp", "dapper", "daring", "deep", "eager",
    "early", "fair", "fleet", "fond", "free", "fresh", "gentle", "gilded", "glad", "grand",
    "hardy", "hearty", "humble", "jolly", "keen", "kind", "lively", "loyal", "lucid", "merry",
    "mild", "mellow", "nimble", "noble", "patient", "placid", "plucky", "proud", "quick", "quiet",
    "ready", "serene", "silver", "sleek", "smooth", "spry", "steady", "sturdy", "sunny", "swift",
    "tidy", "trusty", "vivid", "wise",
];

const NOUNS: [&str; 64] = [
    "albatross",
    "anchor",
    "atoll",
    "barque",
    "bay",
    "beacon",
    "bosun",
    "bow",
    "breeze",
    "brig",
    "bulwark",
    "buoy",
    "cape",
    "capstan",
    "clipper",
    "cod",
    "compass",
    "cove",
    "current",
    "cutter",
    "delta",
    "dhow",
    "dolphin",
    "estuary",
    "fathom",
    "fjord",
    "galley",
    "gull",
    "harbour",
    "heron",
    "hull",
    "island",
    "jetty",
    "keel",
    "kelp",
    "ketch",
    "lagoon",
    "lantern",
    "lateen",
    "lugger",
    "mainsail",
    "marlin",
    "mast",
    "monsoon",
    "narwhal",
    "oar",
    "osprey",
    "pearl",
    "petrel",
    "pier",
    "porpoise",
    "quay",
    "reef",
    "rudder",
    "sandbar",
    "schooner",
    "sextant",
    "skiff",
    "sloop",
    "spar",
    "tern",
    "tide",
    "voyage",
    "wharf",
];

/// A name like `brisk_lateen`; from the fourth `attempt` on with a number, so that a free one is found however many
/// containers there are.
pub(crate) fn random_name(attempt: u32) -> Result<ContainerName> {
    let mut bytes = [0_u8; 6];
    dhow_sys::random::fill(&mut bytes)
        .map_err(Error::io("get random bytes from", "the kernel".as_ref()))?;
    let [a, n, numbers @ ..] = bytes;
    let adjective = ADJECTIVES[usize::from(a) % ADJECTIVES.len()];
    let noun = NOUNS[usize::from(n) % NOUNS.len()];
    match attempt {
        0..3 => format!("{adjective}_{noun}"),
        _ => format!(
            "{adjective}_{noun}{}",
            u32::from_le_bytes(numbers) % 10_u32.pow(attempt.min(9))
        ),
    }
    .parse()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_word_makes_a_valid_name_and_none_is_there_twice() {
        for (a, n) in ADJECTIVES.iter().zip(NOUNS) {
            format!("{a}_{n}").parse::<ContainerName>().unwrap();
        }
        for mut words in [ADJECTIVES.to_vec(), NOUNS.to_vec()] {
            words.sort_unstable();
            words.dedup();
            assert_eq!(words.len(), 64);
        }
    }

    #[test]
    fn later_attempts_have_numbers() {
        assert!(
            random_name(0).unwrap().as_str().bytes().all(|b| b.is_ascii_lowercase() || b == b'_')
        );
        assert!(random_name(9).unwrap().as_str().ends_with(|c: char| c.is_ascii_digit()));
    }
}
