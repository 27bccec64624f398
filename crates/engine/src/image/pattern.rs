//! `--filter reference=PATTERN`: shell patterns over the ways an image's name can be written.

use dhow_image::ImageReference;

/// Does the pattern match the name, with or without its registry, directories and tag? As with podman, `*` stays
/// within one component.
pub(super) fn matches(pattern: &str, name: &str) -> bool {
    let Ok(reference) = name.parse::<ImageReference>() else { return glob(pattern, name) };
    let tag = reference.tag().map(|tag| format!(":{tag}")).unwrap_or_default();
    let (full, repository) = (reference.name(), reference.repository());
    let last = repository.rsplit('/').next().unwrap_or(repository);
    [full.as_str(), repository, last]
        .iter()
        .any(|form| glob(pattern, form) || glob(pattern, &format!("{form}{tag}")))
        || glob(pattern, &reference.familiar())
}

/// `*` is any text without a slash, `?` one such character, `[a-z]` one of a set; a backslash protects.
fn glob(pattern: &str, text: &str) -> bool {
    let (pattern, text): (Vec<char>, Vec<char>) =
        (pattern.chars().collect(), text.chars().collect());
    // Where to go on when what follows the last star does not match: the star takes one character more.
    let (mut p, mut t) = (0, 0);
    let mut retry: Option<(usize, usize)> = None;
    while t < text.len() || p < pattern.len() {
        if pattern.get(p) == Some(&'*') {
            retry = Some((p + 1, t));
            p += 1;
            continue;
        }
        if let Some(next) = text.get(t).and_then(|c| one(&pattern[p..], *c)) {
            p += next;
            t += 1;
            continue;
        }
        match retry {
            Some((after, taken)) if taken < text.len() && text[taken] != '/' => {
                retry = Some((after, taken + 1));
                (p, t) = (after, taken + 1);
            }
            _ => return false,
        }
    }
    true
}

/// How much of the pattern matches this one character; `None`: it does not.
fn one(pattern: &[char], c: char) -> Option<usize> {
    match pattern {
        ['?', ..] => (c != '/').then_some(1),
        ['\\', literal, ..] => (*literal == c).then_some(2),
        ['[', rest @ ..] => {
            let close = rest.iter().position(|c| *c == ']')?;
            let (negated, set) = match rest.get(..close)? {
                ['^' | '!', set @ ..] => (true, set),
                set => (false, set),
            };
            let inside = set.windows(3).any(|w| w[1] == '-' && (w[0]..=w[2]).contains(&c))
                || set.contains(&c);
            (inside != negated && c != '/').then_some(close + 2)
        }
        [literal, ..] => (*literal == c).then_some(1),
        [] => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn all_ways_to_write_a_name() {
        let name = "docker.io/library/busybox:1.36";
        for pattern in [
            "busybox",
            "busybox:1.36",
            "busybox:1*",
            "busy*",
            "*box",
            "library/busybox",
            "docker.io/library/busybox:1.36",
            "*/*/busybox",
            "b?sybox",
            "[a-c]usybox",
            "[^x]usybox:*",
        ] {
            assert!(matches(pattern, name), "{pattern}");
        }
        for pattern in
            ["box", "busybox:2", "*/busybox:2*", "docker.io*", "", "[^b]usybox", "busybox?"]
        {
            assert!(!matches(pattern, name), "{pattern}");
        }
    }

    #[test]
    fn stars_that_lead_astray_end() {
        assert!(!glob(&"*a".repeat(50), &"a".repeat(30)));
        assert!(glob("*a*b", "xxaxxaxxb"));
        assert!(!glob("a*", "a/b"));
        assert!(glob("a*/b", "a/b"));
        assert!(!glob("[", "["));
        assert!(glob("\\*", "*"));
    }
}
