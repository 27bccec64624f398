//! `--pid`, `--ipc`, `--uts`, `--network` and `--cgroupns`.

use std::fmt;
use std::path::PathBuf;

use serde::{Deserialize, Serialize};

use super::Invalid;

/// Which namespace an option is about.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum NamespaceKind {
    /// Process ids.
    Pid,
    /// System V IPC, POSIX queues, /dev/shm.
    Ipc,
    /// Host name.
    Uts,
    /// Network.
    Network,
    /// View of the cgroup tree.
    Cgroup,
}

/// Where a namespace comes from.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum NamespaceMode {
    /// A new one. An ipc namespace of this mode cannot be joined by other containers.
    Private,
    /// `--ipc shareable`: a new one that others may join.
    Shareable,
    /// The host's.
    Host,
    /// A new one that stays bare: no interface but loopback; with `--ipc none`, no /dev/shm.
    None,
    /// Another container's, by name, id or prefix.
    Container(String),
    /// The one a file refers to.
    Path(PathBuf),
}

impl NamespaceKind {
    fn flag(self) -> &'static str {
        match self {
            Self::Pid => "pid namespace",
            Self::Ipc => "ipc namespace",
            Self::Uts => "uts namespace",
            Self::Network => "network",
            Self::Cgroup => "cgroup namespace",
        }
    }

    fn expected(self) -> &'static str {
        match self {
            Self::Ipc => "expected private, shareable, host, none, container:NAME or ns:PATH",
            Self::Network => "expected none, private, host, container:NAME or ns:PATH",
            Self::Pid | Self::Uts | Self::Cgroup => {
                "expected private, host, container:NAME or ns:PATH"
            }
        }
    }
}

impl NamespaceMode {
    /// Reads the mode of one kind of namespace: not every mode exists for every kind.
    pub fn parse(kind: NamespaceKind, text: &str) -> Result<Self, Invalid> {
        let invalid = |why: String| Invalid::new(kind.flag(), text, why);
        match text.split_once(':') {
            None => match (text, kind) {
                ("private", _) => Ok(Self::Private),
                ("host", _) => Ok(Self::Host),
                ("shareable", NamespaceKind::Ipc) => Ok(Self::Shareable),
                ("none", NamespaceKind::Ipc | NamespaceKind::Network) => Ok(Self::None),
                _ => Err(invalid(kind.expected().to_owned())),
            },
            Some(("container", name)) if !name.is_empty() => Ok(Self::Container(name.to_owned())),
            Some(("container", _)) => {
                Err(invalid("the container's name is missing: expected container:NAME".into()))
            }
            Some(("ns", path)) if path.starts_with('/') => Ok(Self::Path(path.into())),
            Some(("ns", _)) => Err(invalid("the path must be absolute: expected ns:PATH".into())),
            Some(_) => Err(invalid(kind.expected().to_owned())),
        }
    }
}

impl fmt::Display for NamespaceMode {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Private => f.write_str("private"),
            Self::Shareable => f.write_str("shareable"),
            Self::Host => f.write_str("host"),
            Self::None => f.write_str("none"),
            Self::Container(name) => write!(f, "container:{name}"),
            Self::Path(path) => write!(f, "ns:{}", path.display()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_kind_has_its_modes() {
        use NamespaceKind::{Cgroup, Ipc, Network, Pid, Uts};
        for kind in [Pid, Ipc, Uts, Network, Cgroup] {
            for text in ["private", "host", "container:a", "ns:/proc/1/ns/pid"] {
                assert_eq!(NamespaceMode::parse(kind, text).unwrap().to_string(), text);
            }
            for bad in ["", "container:", "ns:", "ns:rel", "what", "what:ever"] {
                assert!(NamespaceMode::parse(kind, bad).is_err(), "{bad}");
            }
        }
        assert!(NamespaceMode::parse(Ipc, "shareable").is_ok());
        assert!(NamespaceMode::parse(Pid, "shareable").is_err());
        assert!(NamespaceMode::parse(Ipc, "none").is_ok());
        assert!(NamespaceMode::parse(Pid, "none").is_err());
    }
}
