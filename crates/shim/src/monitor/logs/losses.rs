//! What a log could not take. INVARIANT: it is counted, and told when it begins and when it is over; never silent.

use std::fmt::Display;
use std::io;

/// Of one log.
#[derive(Debug, Default)]
pub(super) struct Losses {
    /// Of records that are not in it.
    pub(super) bytes: u64,
    /// Why the last one is not.
    failing: Option<io::Error>,
    /// Whether that was told.
    told: bool,
}

impl Losses {
    pub(super) fn add(&mut self, bytes: u64, why: io::Error) {
        self.bytes += bytes;
        self.failing.get_or_insert(why);
    }

    /// A record was taken.
    pub(super) fn over(&mut self) {
        self.failing = None;
    }

    /// What is to be told now, if that has changed.
    pub(super) fn news(&mut self, log: impl Display) -> Option<String> {
        match (&self.failing, self.told) {
            (Some(why), false) => {
                self.told = true;
                Some(format!("output is lost: cannot write to {log}: {why}"))
            }
            (None, true) => {
                self.told = false;
                Some(format!("{log} is written to again; {} bytes of it were lost", self.bytes))
            }
            _ => None,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn it_is_told_once_when_it_begins_and_once_when_it_is_over() {
        let mut losses = Losses::default();
        assert_eq!(losses.news("log"), None);
        losses.over();
        assert_eq!(losses.news("log"), None);
        losses.add(7, io::ErrorKind::StorageFull.into());
        losses.add(5, io::ErrorKind::StorageFull.into());
        let begun = losses.news("log").unwrap();
        assert!(begun.starts_with("output is lost: cannot write to log: "), "{begun}");
        losses.add(1, io::ErrorKind::StorageFull.into());
        assert_eq!(losses.news("log"), None);
        losses.over();
        assert_eq!(
            losses.news("log").unwrap(),
            "log is written to again; 13 bytes of it were lost"
        );
        assert_eq!(losses.news("log"), None);
    }
}
