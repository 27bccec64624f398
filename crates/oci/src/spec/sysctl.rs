//! Kernel parameters: only those that belong to a namespace the container has to itself.

use crate::error::no_nul;
use crate::{Error, Namespace, SpecRequest};
use std::collections::HashMap;

const IPC: [&str; 8] = [
    "kernel.msgmax",
    "kernel.msgmnb",
    "kernel.msgmni",
    "kernel.sem",
    "kernel.shmall",
    "kernel.shmmax",
    "kernel.shmmni",
    "kernel.shm_rmid_forced",
];

pub(crate) fn sysctls(request: &SpecRequest) -> Result<HashMap<String, String>, Error> {
    for (key, value) in &request.sysctls {
        no_nul("--sysctl", key)?;
        no_nul("--sysctl", value)?;
        check(key, request)?;
    }
    Ok(request.sysctls.clone().into_iter().collect())
}

fn check(key: &str, request: &SpecRequest) -> Result<(), Error> {
    let shared = |name: &str| {
        Error::invalid("--sysctl", key, format!("it would change the {name} namespace of the host"))
    };
    let plain = key.bytes().all(|b| b.is_ascii_alphanumeric() || b"._-/".contains(&b))
        && !key.contains("..");
    let namespaces = &request.namespaces;
    if !plain {
        return Err(Error::invalid("--sysctl", key, "not the name of a kernel parameter"));
    }
    if key.starts_with("net.") {
        return if namespaces.network == Namespace::Host { Err(shared("network")) } else { Ok(()) };
    }
    if IPC.contains(&key) || key.starts_with("fs.mqueue.") {
        return if namespaces.ipc == Namespace::Host { Err(shared("IPC")) } else { Ok(()) };
    }
    if key == "kernel.domainname" {
        return if namespaces.uts == Namespace::Host { Err(shared("UTS")) } else { Ok(()) };
    }
    Err(Error::invalid("--sysctl", key, "it is not allowed: it belongs to no namespace"))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::Namespaces;

    fn answer(key: &str, namespaces: Namespaces) -> String {
        let request = SpecRequest {
            sysctls: [(key.to_owned(), "1".to_owned())].into(),
            namespaces,
            ..SpecRequest::default()
        };
        sysctls(&request).map_or_else(|e| e.to_string(), |_| "ok".to_owned())
    }

    #[test]
    fn only_namespaced_ones() {
        let host = || Namespaces {
            network: Namespace::Host,
            ipc: Namespace::Host,
            uts: Namespace::Host,
            ..Namespaces::default()
        };
        for key in [
            "net.ipv4.ip_forward",
            "net.ipv4.conf.eth0/1.rp_filter",
            "kernel.msgmax",
            "fs.mqueue.msg_max",
            "kernel.domainname",
        ] {
            assert_eq!(answer(key, Namespaces::default()), "ok");
            assert!(answer(key, host()).contains("namespace of the host"), "{key}");
        }
        assert_eq!(
            answer("kernel.foo", Namespaces::default()),
            r#"invalid --sysctl "kernel.foo": it is not allowed: it belongs to no namespace"#
        );
        assert_eq!(
            answer("net.../x", Namespaces::default()),
            r#"invalid --sysctl "net.../x": not the name of a kernel parameter"#
        );
        assert!(answer("net.a b", Namespaces::default()).contains("not the name"));
    }
}
