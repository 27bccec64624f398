//! A spec's `cgroupsPath`.

use std::path::{Component, Path, PathBuf};

use crate::Error;
use crate::hierarchy::{Hierarchy, Version};

/// Where a cgroup is, before a hierarchy is looked at.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Place {
    Absolute(PathBuf),
    Relative(PathBuf),
}

/// `path`, or `id` where it is empty. No component is `.` or `..`.
pub(crate) fn resolve(path: Option<&Path>, id: &str) -> Result<Place, Error> {
    let path = path.filter(|path| !path.as_os_str().is_empty()).unwrap_or(Path::new(id));
    let text = path.to_string_lossy();
    if let [slice, _, _] = text.split(':').collect::<Vec<_>>().as_slice()
        && slice.ends_with(".slice")
    {
        return Err(Error::unsupported(format!(
            "cgroupsPath {text:?} (the systemd cgroup driver)"
        )));
    }
    let mut clean = PathBuf::new();
    for component in path.components() {
        match component {
            Component::Normal(name) => clean.push(name),
            Component::ParentDir => {
                clean.pop();
            }
            Component::RootDir | Component::CurDir | Component::Prefix(_) => {}
        }
    }
    if clean.as_os_str().is_empty() {
        return Err(Error::invalid("cgroupsPath", format!("{text:?} names no cgroup of its own")));
    }
    Ok(if path.is_absolute() { Place::Absolute(clean) } else { Place::Relative(clean) })
}

impl Place {
    pub(crate) fn below(&self, hierarchy: &Hierarchy) -> PathBuf {
        match self {
            Place::Absolute(path) => hierarchy.mount.join(path),
            Place::Relative(path) => {
                let own = match hierarchy.version {
                    Version::V1 => hierarchy.own.as_path(),
                    Version::V2 => hierarchy.own.parent().unwrap_or(Path::new("")),
                };
                hierarchy.mount.join(own).join(path)
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn below(path: &str, version: Version, own: &str) -> String {
        let hierarchy =
            Hierarchy { version, mount: "/m".into(), controllers: Vec::new(), own: own.into() };
        let path = resolve(Some(Path::new(path)), "id").unwrap().below(&hierarchy);
        path.to_str().unwrap().to_owned()
    }

    #[test]
    fn absolute_relative_and_none() {
        assert_eq!(below("/a/b", Version::V1, "own"), "/m/a/b");
        assert_eq!(below("/a/b", Version::V2, "own"), "/m/a/b");
        assert_eq!(below("a/b", Version::V1, "x/own"), "/m/x/own/a/b");
        assert_eq!(below("a/b", Version::V2, "x/own"), "/m/x/a/b");
        assert_eq!(below("a", Version::V2, ""), "/m/a");
        assert_eq!(below("", Version::V1, ""), "/m/id");
        assert_eq!(below("/../../a/./../b", Version::V1, ""), "/m/b");
        assert_eq!(below("a:b", Version::V1, ""), "/m/a:b");
    }

    #[test]
    fn what_is_refused() {
        let rows = [
            ("/", r#"invalid cgroupsPath: "/" names no cgroup of its own"#),
            ("a/..", r#"invalid cgroupsPath: "a/.." names no cgroup of its own"#),
            (
                "machine.slice:libpod:abc",
                r#"cgroupsPath "machine.slice:libpod:abc" (the systemd cgroup driver) is not supported"#,
            ),
        ];
        for (path, expected) in rows {
            assert_eq!(resolve(Some(Path::new(path)), "id").unwrap_err().to_string(), expected);
        }
    }
}
