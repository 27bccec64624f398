//! `--volume [[SOURCE:]DESTINATION[:OPTIONS]]`.

use super::Invalid;
use super::mount::{BindMount, Field, Mount, MountOptions, VolumeMount, VolumeSource, destination};

/// Reads a `--volume`.
///
/// A source that begins with `/` or `.` is a path of the host, any other a volume's name; no
/// source means an anonymous volume. A colon in a path is written `\:`.
pub fn parse_volume(text: &str) -> Result<Mount, Invalid> {
    let invalid = |why: String| Invalid::new("volume", text, why);
    let fields = split_at_colons(text);
    let fields: Vec<&str> = fields.iter().map(String::as_str).collect();
    let (source, path, words) = match fields[..] {
        [path] => (None, path, ""),
        [source, path] => (Some(source), path, ""),
        [source, path, words] => (Some(source), path, words),
        _ => {
            return Err(invalid("too many colons: expected [SOURCE:]DESTINATION[:OPTIONS]".into()));
        }
    };
    if source == Some("") {
        return Err(invalid("the source is empty: expected [SOURCE:]DESTINATION[:OPTIONS]".into()));
    }
    let destination = destination(path).map_err(|why| invalid(why.into()))?;
    let is_path = source.is_some_and(|source| source.starts_with(['/', '.']));
    let options = options(words, is_path).map_err(invalid)?;
    Ok(match source {
        Some(source) if is_path => {
            Mount::Bind(BindMount { source: source.into(), destination, options })
        }
        Some(source) => {
            let source = VolumeSource::Named(name(source).map_err(invalid)?);
            Mount::Volume(VolumeMount { source, destination, options })
        }
        None => {
            Mount::Volume(VolumeMount { source: VolumeSource::Anonymous, destination, options })
        }
    })
}

fn options(words: &str, is_path: bool) -> Result<MountOptions, String> {
    let mut options = MountOptions::default();
    for word in words.split(',').filter(|word| !word.is_empty()) {
        let field = Field::new(word);
        let known = match word {
            "copy" | "nocopy" if !is_path => {
                field.once(&mut options.copy, word == "copy").map(|()| true)?
            }
            "copy" | "nocopy" => {
                return Err(format!("{word} is for volumes, not for paths of the host"));
            }
            // Docker Desktop's words for what a Linux mount does anyway.
            "consistent" | "cached" | "delegated" => true,
            _ => options.apply(&field)?,
        };
        if !known {
            return Err(format!(
                "unknown option {word:?}: expected ro, rw, z, Z, O, U, [r]bind, [no]copy, [no]exec, [no]dev, [no]suid or \
                 [r]shared, [r]slave, [r]private, [r]unbindable"
            ));
        }
    }
    options.check()?;
    Ok(options)
}

/// Checks a volume's name.
pub(super) fn name(name: &str) -> Result<String, String> {
    let mut bytes = name.bytes();
    let good = bytes.next().is_some_and(|b| b.is_ascii_alphanumeric())
        && bytes.all(|b| b.is_ascii_alphanumeric() || b"_.-".contains(&b));
    if good {
        Ok(name.to_owned())
    } else {
        Err(format!(
            "{name:?} is not a volume's name (letters, digits, _ . -); a path of the host begins with / or ./"
        ))
    }
}

fn split_at_colons(text: &str) -> Vec<String> {
    let mut fields = vec![String::new()];
    let mut chars = text.chars().peekable();
    while let Some(c) = chars.next() {
        match (c, fields.last_mut()) {
            (':', _) => fields.push(String::new()),
            ('\\', Some(field)) if chars.next_if_eq(&':').is_some() => field.push(':'),
            (c, Some(field)) => field.push(c),
            (_, None) => {}
        }
    }
    fields
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(text: &str) -> String {
        match parse_volume(text) {
            Ok(mount) => format!("{mount:?}"),
            Err(e) => e.why,
        }
    }

    fn bind(text: &str) -> BindMount {
        match parse_volume(text) {
            Ok(Mount::Bind(mount)) => mount,
            other => panic!("{other:?}"),
        }
    }

    #[test]
    fn tells_paths_names_and_anonymous_volumes_apart() {
        assert!(matches!(
            parse_volume("/data"),
            Ok(Mount::Volume(VolumeMount { source: VolumeSource::Anonymous, .. }))
        ));
        assert!(
            matches!(parse_volume("v:/data"), Ok(Mount::Volume(VolumeMount { source: VolumeSource::Named(n), .. })) if n == "v")
        );
        assert_eq!(bind("./here:/data").source.to_str(), Some("./here"));
        assert_eq!(bind("/a\\:b:/data:ro").source.to_str(), Some("/a:b"));
    }

    #[test]
    fn reads_options() {
        let mount = bind("/a:/b:ro,z,rslave,U,noexec");
        assert_eq!(mount.options.words(), ["ro", "noexec", "rslave"]);
        assert!(
            mount.options.chown && mount.options.relabel == Some(super::super::Relabel::Shared)
        );
        assert!(bind("/a:/b:O,upperdir=/u,workdir=/w").options.overlay);
        assert!(
            matches!(parse_volume("v:/b:nocopy"), Ok(Mount::Volume(m)) if m.options.copy == Some(false))
        );
    }

    #[test]
    fn says_what_is_wrong() {
        for (text, words) in [
            ("", "must be absolute"),
            (":/b", "source is empty"),
            ("/a:b", "must be absolute"),
            ("/a:/", "root directory"),
            ("/a:/b:ro:rw", "too many colons"),
            ("/a:/b:rw,ro", "said already"),
            ("/a:/b:z,Z", "said already"),
            ("/a:/b:shared,private", "said already"),
            ("/a:/b:sparkling", "unknown option"),
            ("/a:/b:nocopy", "for volumes"),
            ("/a:/b:workdir=/w,O", "together"),
            ("a/b:/c", "not a volume's name"),
            ("..:/c", ""),
        ] {
            assert!(read(text).contains(words), "{text}: {}", read(text));
        }
    }

    proptest::proptest! {
        #[test]
        fn never_panics(text in "[a-zO/.:\\\\,=é]{0,30}") {
            let _read = parse_volume(&text);
        }

        #[test]
        fn a_plain_pair_comes_back(source in "/[a-z]{1,8}", path in "/[a-z]{1,8}") {
            let mount = bind(&format!("{source}:{path}"));
            proptest::prop_assert_eq!(mount.source.to_str(), Some(source.as_str()));
            proptest::prop_assert_eq!(mount.destination.to_str(), Some(path.as_str()));
        }
    }
}
