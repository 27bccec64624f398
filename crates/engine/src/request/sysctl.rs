//! `--sysctl NAME=VALUE`.

use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Serialize};

use super::Invalid;

/// A kernel parameter of one of the container's namespaces.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Sysctl {
    /// With dots: `net.ipv4.ip_forward`.
    pub name: String,
    /// As written to /proc/sys.
    pub value: String,
}

/// Which namespace keeps a parameter apart for a container.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum SysctlNamespace {
    /// kernel.msg*, kernel.sem, kernel.shm*, fs.mqueue.*
    Ipc,
    /// net.*
    Network,
    /// kernel.domainname
    Uts,
}

impl Sysctl {
    /// The namespace it belongs to: with the host's namespace in its place it must be refused.
    pub fn namespace(&self) -> SysctlNamespace {
        match self.name.as_str() {
            name if name.starts_with("net.") => SysctlNamespace::Network,
            "kernel.domainname" => SysctlNamespace::Uts,
            _ => SysctlNamespace::Ipc,
        }
    }
}

fn is_namespaced(name: &str) -> bool {
    const IPC: &[&str] = &[
        "kernel.msgmax",
        "kernel.msgmnb",
        "kernel.msgmni",
        "kernel.sem",
        "kernel.shmall",
        "kernel.shmmax",
        "kernel.shmmni",
        "kernel.shm_rmid_forced",
    ];
    IPC.contains(&name)
        || name == "kernel.domainname"
        || ["net.", "fs.mqueue."]
            .iter()
            .any(|prefix| name.strip_prefix(prefix).is_some_and(|rest| !rest.is_empty()))
}

impl FromStr for Sysctl {
    type Err = Invalid;

    fn from_str(text: &str) -> Result<Self, Invalid> {
        let invalid = |why: &str| Invalid::new("sysctl", text, why);
        let (name, value) = text
            .split_once('=')
            .ok_or_else(|| invalid("expected NAME=VALUE, as in net.ipv4.ip_forward=1"))?;
        // Both separators are usual; a dot inside a name (an interface's) is written as a slash beside dots.
        let name = if name.contains('/') && !name.contains('.') {
            name.replace('/', ".")
        } else {
            name.to_owned()
        };
        let name = name.as_str();
        if name.contains("..") || name.contains("/../") || name.starts_with('/') {
            return Err(invalid("the name must not lead out of /proc/sys"));
        }
        if !is_namespaced(name) {
            return Err(invalid(
                "only parameters of the container's own namespaces can be set: net.*, fs.mqueue.*, kernel.msg*, \
                 kernel.sem, kernel.shm*, kernel.domainname (the host name is --hostname's)",
            ));
        }
        Ok(Self { name: name.to_owned(), value: value.to_owned() })
    }
}

impl fmt::Display for Sysctl {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}={}", self.name, self.value)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_namespaced_parameters_are_taken() {
        for good in [
            "net.ipv4.ip_forward=1",
            "kernel.shmmax=99",
            "fs.mqueue.msg_max=5",
            "kernel.domainname=d",
        ] {
            assert_eq!(good.parse::<Sysctl>().unwrap().to_string(), good);
        }
        assert_eq!("net/ipv4/ip_forward=1".parse::<Sysctl>().unwrap().name, "net.ipv4.ip_forward");
        for bad in [
            "",
            "a",
            "kernel.panic=1",
            "kernel.hostname=h",
            "vm.swappiness=1",
            "net.=1",
            "net/../kernel/panic=1",
            "=1",
        ] {
            assert!(bad.parse::<Sysctl>().is_err(), "{bad}");
        }
        assert_eq!("net.x=1".parse::<Sysctl>().unwrap().namespace(), SysctlNamespace::Network);
        assert_eq!("kernel.sem=1".parse::<Sysctl>().unwrap().namespace(), SysctlNamespace::Ipc);
    }
}
