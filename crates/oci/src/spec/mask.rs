//! Paths of /proc and /sys that a container may not see or not write.

use crate::error::no_nul;
use crate::{Error, Security};

/// Hidden from every container that is not privileged: they tell about, or reach into, the machine.
const MASKED: [&str; 12] = [
    "/proc/acpi",
    "/proc/kcore",
    "/proc/keys",
    "/proc/latency_stats",
    "/proc/timer_list",
    "/proc/timer_stats",
    "/proc/sched_debug",
    "/proc/scsi",
    "/sys/firmware",
    "/sys/fs/selinux",
    "/sys/dev/block",
    // Energy counters leak other processes' secrets (CVE-2020-8694); podman masks it since 4.5.
    "/sys/devices/virtual/powercap",
];

const READ_ONLY: [&str; 6] =
    ["/proc/asound", "/proc/bus", "/proc/fs", "/proc/irq", "/proc/sys", "/proc/sysrq-trigger"];

/// The two lists of a spec.
#[derive(Debug, Default)]
pub(crate) struct Masks {
    pub(crate) masked: Vec<String>,
    pub(crate) read_only: Vec<String>,
}

pub(crate) fn masks(security: &Security) -> Result<Masks, Error> {
    for path in security.mask.iter().chain(&security.unmask) {
        no_nul("mask", path)?;
        if !path.starts_with('/') && !path.eq_ignore_ascii_case("all") {
            return Err(Error::invalid("mask", path, "the path is not absolute"));
        }
    }
    if let Some(all) = security.mask.iter().find(|path| !path.starts_with('/')) {
        return Err(Error::invalid("mask", all, "the path is not absolute"));
    }
    let kept = |paths: &[&str]| -> Vec<String> {
        let lifted = |path: &str| {
            security
                .unmask
                .iter()
                .any(|pattern| pattern.eq_ignore_ascii_case("all") || glob(pattern, path))
        };
        paths
            .iter()
            .filter(|path| !security.privileged && !lifted(path))
            .map(|&path| path.to_owned())
            .collect()
    };
    let mut masked = kept(&MASKED);
    masked.extend(security.mask.iter().cloned());
    Ok(Masks { masked, read_only: kept(&READ_ONLY) })
}

/// Shell patterns in which no wildcard matches a slash: `*`, `?`, `[a-z]`, `[^a]`, `\x`. A malformed one matches nothing.
fn glob(pattern: &str, path: &str) -> bool {
    let (pattern, path): (Vec<char>, Vec<char>) =
        (pattern.chars().collect(), path.chars().collect());
    matches(&pattern, &path)
}

/// Recursion only at `*`, with a path of this crate's own of at most a few dozen characters.
fn matches(pattern: &[char], path: &[char]) -> bool {
    let Some((&first, rest)) = pattern.split_first() else { return path.is_empty() };
    match first {
        '*' => {
            let rest = &rest[rest.iter().take_while(|&&c| c == '*').count()..];
            let reach = path.iter().take_while(|&&c| c != '/').count();
            (0..=reach).any(|n| matches(rest, &path[n..]))
        }
        '?' => path.first().is_some_and(|&c| c != '/') && matches(rest, &path[1..]),
        '[' => match (class(rest), path.first()) {
            (Some(((negated, members), after)), Some(&c)) if c != '/' => {
                let inside = members.iter().any(|&(low, high)| (low..=high).contains(&c));
                inside != negated && matches(after, &path[1..])
            }
            _ => false,
        },
        '\\' => match rest.split_first() {
            Some((literal, rest)) => path.first() == Some(literal) && matches(rest, &path[1..]),
            None => false,
        },
        literal => path.first() == Some(&literal) && matches(rest, &path[1..]),
    }
}

/// A set of characters: negated or not, and its ranges.
type Class = (bool, Vec<(char, char)>);

/// The class after a `[`, and what follows its `]`.
fn class(text: &[char]) -> Option<(Class, &[char])> {
    let negated = matches!(text.first(), Some('^' | '!'));
    let mut rest = if negated { &text[1..] } else { text };
    let mut members = Vec::new();
    loop {
        match rest {
            [']', after @ ..] if !members.is_empty() => return Some(((negated, members), after)),
            [low, '-', high, after @ ..] if *high != ']' => {
                members.push((*low, *high));
                rest = after;
            }
            [one, after @ ..] => {
                members.push((*one, *one));
                rest = after;
            }
            [] => return None,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn globs() {
        for (pattern, path, expected) in [
            ("/proc/*", "/proc/acpi", true),
            ("/proc/*", "/sys/firmware", false),
            ("/sys/*", "/sys/fs/selinux", false),
            ("/sys/*/*", "/sys/fs/selinux", true),
            ("/proc/[a-k]*", "/proc/kcore", true),
            ("/proc/[^a-k]*", "/proc/kcore", false),
            ("/proc/k?ys", "/proc/keys", true),
            ("/proc/k?ys", "/proc/k/ys", false),
            ("/proc/\\keys", "/proc/keys", true),
            ("/proc/[", "/proc/[", false),
            ("/proc/keys", "/proc/keys", true),
            ("**/acpi", "/proc/acpi", false),
        ] {
            assert_eq!(glob(pattern, path), expected, "{pattern} {path}");
        }
    }

    fn count(security: &Security) -> (usize, usize) {
        let masks = masks(security).unwrap();
        (masks.masked.len(), masks.read_only.len())
    }

    #[test]
    fn masking_and_unmasking() {
        assert_eq!(count(&Security::default()), (12, 6));
        assert_eq!(count(&Security { unmask: vec!["ALL".into()], ..Security::default() }), (0, 0));
        assert_eq!(
            count(&Security { unmask: vec!["/proc/*".into()], ..Security::default() }),
            (4, 0)
        );
        assert_eq!(
            count(&Security {
                unmask: vec!["/proc/acpi".into()],
                mask: vec!["/etc/x".into()],
                ..Security::default()
            }),
            (12, 6)
        );
        assert_eq!(
            count(&Security {
                privileged: true,
                mask: vec!["/etc/x".into()],
                ..Security::default()
            }),
            (1, 0)
        );
        assert!(masks(&Security { mask: vec!["relative".into()], ..Security::default() }).is_err());
        assert!(masks(&Security { mask: vec!["ALL".into()], ..Security::default() }).is_err());
    }

    proptest! {
        #[test]
        fn any_pattern_gives_an_answer(pattern in "[a-z/*?\\[\\]^\\\\-]{0,12}") {
            let literal = pattern.chars().all(|c| c.is_ascii_lowercase() || c == '/');
            prop_assert!(!literal || glob(&pattern, &pattern));
            glob(&pattern, "/sys/fs/selinux");
        }
    }
}
