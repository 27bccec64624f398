//! `--security-opt`, `--cap-add` and `--cap-drop`.

use std::fmt;
use std::path::{Component, Path, PathBuf};
use std::str::FromStr;

use serde::{Deserialize, Serialize};

use super::{Invalid, SecurityOptions};

/// A capability by its full name (`CAP_NET_ADMIN`), or `ALL`. Text: any case, the prefix may be left out.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct Capability(Option<u8>); // the kernel's number; none: all

const ALL: &str = "ALL";

/// capabilities(7), in the kernel's order.
const CAPABILITIES: [&str; 41] = [
    "CAP_CHOWN",
    "CAP_DAC_OVERRIDE",
    "CAP_DAC_READ_SEARCH",
    "CAP_FOWNER",
    "CAP_FSETID",
    "CAP_KILL",
    "CAP_SETGID",
    "CAP_SETUID",
    "CAP_SETPCAP",
    "CAP_LINUX_IMMUTABLE",
    "CAP_NET_BIND_SERVICE",
    "CAP_NET_BROADCAST",
    "CAP_NET_ADMIN",
    "CAP_NET_RAW",
    "CAP_IPC_LOCK",
    "CAP_IPC_OWNER",
    "CAP_SYS_MODULE",
    "CAP_SYS_RAWIO",
    "CAP_SYS_CHROOT",
    "CAP_SYS_PTRACE",
    "CAP_SYS_PACCT",
    "CAP_SYS_ADMIN",
    "CAP_SYS_BOOT",
    "CAP_SYS_NICE",
    "CAP_SYS_RESOURCE",
    "CAP_SYS_TIME",
    "CAP_SYS_TTY_CONFIG",
    "CAP_MKNOD",
    "CAP_LEASE",
    "CAP_AUDIT_WRITE",
    "CAP_AUDIT_CONTROL",
    "CAP_SETFCAP",
    "CAP_MAC_OVERRIDE",
    "CAP_MAC_ADMIN",
    "CAP_SYSLOG",
    "CAP_WAKE_ALARM",
    "CAP_BLOCK_SUSPEND",
    "CAP_AUDIT_READ",
    "CAP_PERFMON",
    "CAP_BPF",
    "CAP_CHECKPOINT_RESTORE",
];

impl Capability {
    /// `CAP_…` or `ALL`.
    pub fn as_str(&self) -> &'static str {
        self.0.and_then(|number| CAPABILITIES.get(usize::from(number)).copied()).unwrap_or(ALL)
    }

    /// Whether it stands for all of them.
    pub fn is_all(&self) -> bool {
        self.0.is_none()
    }
}

impl FromStr for Capability {
    type Err = Invalid;

    fn from_str(text: &str) -> Result<Self, Invalid> {
        let upper = text.to_ascii_uppercase();
        if upper == ALL {
            return Ok(Self(None));
        }
        let short = upper.strip_prefix("CAP_").unwrap_or(&upper);
        let known = (0u8..).zip(CAPABILITIES).find(|(_, name)| &name[4..] == short);
        known.map(|(number, _)| Self(Some(number))).ok_or_else(|| {
            Invalid::new(
                "capability",
                text,
                "unknown: expected a name of capabilities(7), as in NET_ADMIN, or ALL",
            )
        })
    }
}

impl fmt::Display for Capability {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

impl TryFrom<String> for Capability {
    type Error = Invalid;

    fn try_from(text: String) -> Result<Self, Invalid> {
        text.parse()
    }
}

impl From<Capability> for String {
    fn from(capability: Capability) -> Self {
        capability.as_str().to_owned()
    }
}

/// Which system calls are allowed.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum SeccompChoice {
    /// The default profile.
    #[default]
    Default,
    /// All of them.
    Unconfined,
    /// A profile in the JSON form of the containers world.
    File(PathBuf),
}

/// One `--security-opt`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum SecurityOption {
    /// `no-new-privileges[=true|false]`.
    NoNewPrivileges(bool),
    /// `seccomp=unconfined` or `seccomp=FILE`.
    Seccomp(SeccompChoice),
    /// `apparmor=PROFILE`.
    Apparmor(String),
    /// `label=…`.
    Label(String),
    /// `mask=PATH[:PATH…]`.
    Mask(Vec<PathBuf>),
    /// `unmask=PATH[:PATH…]`.
    Unmask(Vec<PathBuf>),
    /// `unmask=ALL`.
    UnmaskAll,
}

impl SecurityOption {
    /// Adds the option to what has been asked for; of a choice the last one given wins.
    pub fn apply(self, to: &mut SecurityOptions) {
        match self {
            Self::NoNewPrivileges(on) => to.no_new_privileges = on,
            Self::Seccomp(choice) => to.seccomp = choice,
            Self::Apparmor(profile) => to.apparmor = Some(profile),
            Self::Label(label) => to.labels.push(label),
            Self::Mask(paths) => to.mask.extend(paths),
            Self::Unmask(paths) => to.unmask.extend(paths),
            Self::UnmaskAll => to.unmask_all = true,
        }
    }
}

impl FromStr for SecurityOption {
    type Err = Invalid;

    fn from_str(text: &str) -> Result<Self, Invalid> {
        let invalid = |why: &str| Invalid::new("security option", text, why);
        let (key, value) = match text.find(['=', ':']) {
            Some(at) => (&text[..at], Some(&text[at + 1..])),
            None => (text, None),
        };
        let needs = |what: &str| value.filter(|v| !v.is_empty()).ok_or_else(|| invalid(what));
        match key {
            "no-new-privileges" => match value {
                None | Some("true") => Ok(Self::NoNewPrivileges(true)),
                Some("false") => Ok(Self::NoNewPrivileges(false)),
                Some(_) => Err(invalid("expected no-new-privileges, or true or false behind it")),
            },
            "seccomp" => {
                Ok(Self::Seccomp(match needs("expected seccomp=unconfined or seccomp=FILE")? {
                    "unconfined" => SeccompChoice::Unconfined,
                    file => SeccompChoice::File(file.into()),
                }))
            }
            "apparmor" => Ok(Self::Apparmor(
                needs("expected apparmor=PROFILE or apparmor=unconfined")?.into(),
            )),
            "label" => label(needs(LABELS)?).ok_or_else(|| invalid(LABELS)),
            "mask" => paths(needs("expected mask=PATH[:PATH…]")?).map(Self::Mask).map_err(invalid),
            "unmask" => match needs("expected unmask=ALL or unmask=PATH[:PATH…]")? {
                all if all.eq_ignore_ascii_case("all") => Ok(Self::UnmaskAll),
                list => paths(list).map(Self::Unmask).map_err(invalid),
            },
            "systempaths" if value == Some("unconfined") => Ok(Self::UnmaskAll),
            "proc-opts" => Err(invalid("proc-opts is not supported yet")),
            _ => Err(invalid(
                "expected one of seccomp=, no-new-privileges, mask=, unmask=, label=, apparmor=, systempaths=unconfined",
            )),
        }
    }
}

const LABELS: &str = "expected label=disable, label=nested, or label= with user:, role:, type:, level: or filetype: and a value";

fn label(value: &str) -> Option<SecurityOption> {
    let known = matches!(value, "disable" | "nested")
        || value.split_once(':').is_some_and(|(key, rest)| {
            matches!(key, "user" | "role" | "type" | "level" | "filetype") && !rest.is_empty()
        });
    known.then(|| SecurityOption::Label(value.to_owned()))
}

fn paths(list: &str) -> Result<Vec<PathBuf>, &'static str> {
    list.split(':')
        .map(|path| {
            let path = Path::new(path);
            let plain = path.is_absolute() && !path.components().any(|c| c == Component::ParentDir);
            if plain {
                Ok(path.to_owned())
            } else {
                Err("each path must be absolute, and paths are separated by colons")
            }
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn reads_capabilities() {
        for text in ["NET_ADMIN", "net_admin", "CAP_NET_ADMIN", "cap_net_admin"] {
            assert_eq!(text.parse::<Capability>().unwrap().as_str(), "CAP_NET_ADMIN");
        }
        assert!("all".parse::<Capability>().unwrap().is_all());
        for bad in ["", "CAP_", "NET", "CAP_ALL", "CAP_CAP_CHOWN"] {
            assert!(bad.parse::<Capability>().is_err(), "{bad}");
        }
    }

    #[test]
    fn reads_security_options() {
        let read = |text: &str| text.parse::<SecurityOption>();
        assert_eq!(read("no-new-privileges"), Ok(SecurityOption::NoNewPrivileges(true)));
        assert_eq!(read("no-new-privileges:false"), Ok(SecurityOption::NoNewPrivileges(false)));
        assert_eq!(
            read("seccomp=unconfined"),
            Ok(SecurityOption::Seccomp(SeccompChoice::Unconfined))
        );
        assert_eq!(
            read("seccomp=/p:q"),
            Ok(SecurityOption::Seccomp(SeccompChoice::File("/p:q".into())))
        );
        assert_eq!(read("label=type:spc_t"), Ok(SecurityOption::Label("type:spc_t".into())));
        assert_eq!(read("label:disable"), Ok(SecurityOption::Label("disable".into())));
        assert_eq!(read("mask=/a:/b"), Ok(SecurityOption::Mask(vec!["/a".into(), "/b".into()])));
        assert_eq!(read("unmask=/proc/*"), Ok(SecurityOption::Unmask(vec!["/proc/*".into()])));
        assert_eq!(read("unmask=all"), Ok(SecurityOption::UnmaskAll));
        assert_eq!(read("systempaths=unconfined"), Ok(SecurityOption::UnmaskAll));
        for bad in [
            "",
            "seccomp",
            "seccomp=",
            "mask=a",
            "mask=/a/../b",
            "label=what",
            "label=user:",
            "foo=1",
            "no-new-privileges=1",
        ] {
            assert!(read(bad).is_err(), "{bad}");
        }
    }
}
