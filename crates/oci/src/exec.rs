//! The process spec of a further program in a running container (`exec`): the container's own, changed as asked.
//!
//! Everything that confines the container's process is inherited: bounding set, no_new_privs, AppArmor profile, labels,
//! limits, OOM score, umask. (The seccomp filter is the runtime's to take from the container's spec.)

use crate::capability::{self, CapSet};
use crate::error::no_nul;
use crate::spec::{Environment, check_args, console_size, spec_user};
use crate::user::{self, User};
use crate::{Error, ExecRequest, Host, SpecRequest};
use dhow_sys::root::Root;
use oci_spec::runtime::{LinuxCapabilities, Process};
use serde::Deserialize;
use std::path::PathBuf;

/// The process spec for `exec` in the container made from `request`, whose spec has `container` as its process.
///
/// Without a user of its own the program runs as the container's user with the container's groups. An exec as somebody
/// else gets that user's groups, and a non-root one no capability beyond the bounding set.
///
/// # Errors
/// As [`crate::generate`]; [`Error::NoWorkdir`] is the runtime's to find, since mounts may hold the directory.
pub fn exec_process(
    exec: &ExecRequest,
    request: &SpecRequest,
    container: &Process,
    host: &Host,
    root: &Root,
) -> Result<Process, Error> {
    check_args(&exec.args)?;
    let own_user = user::resolve(root, &request.user, &request.group_add)?;
    let user = match exec.user.as_deref() {
        Some(asked) if !asked.is_empty() => user::resolve(root, asked, &[])?,
        _ => own_user.clone(),
    };
    let mut process = container.clone();
    process
        .set_terminal(exec.terminal.then_some(true))
        .set_console_size(
            exec.console_size.filter(|_| exec.terminal).map(console_size).transpose()?,
        )
        .set_user(spec_user(&user, container.user().umask()))
        .set_args(Some(exec.args.clone()))
        .set_env(Some(environment(exec, request, container, &own_user, &user)?))
        .set_cwd(cwd(exec, container)?)
        .set_capabilities(Some(capabilities(exec, request, container, host, &own_user, &user)));
    Ok(process)
}

fn capabilities(
    exec: &ExecRequest,
    request: &SpecRequest,
    container: &Process,
    host: &Host,
    own_user: &User,
    user: &User,
) -> LinuxCapabilities {
    let own = container.capabilities().as_ref();
    let bounding = if exec.privileged || request.security.privileged {
        host.capabilities
    } else {
        CapSet::from_spec(own.and_then(|caps| caps.bounding().as_ref()))
    };
    if user.uid == 0 {
        return capability::sets(bounding, bounding, CapSet::EMPTY);
    }
    // What `--cap-add` gave the container's user holds for that user alone.
    let ambient = if user.uid == own_user.uid {
        CapSet::from_spec(own.and_then(|caps| caps.ambient().as_ref()))
    } else {
        CapSet::EMPTY
    };
    capability::sets(bounding, ambient, ambient)
}

/// The container's environment; `HOME` follows the user where nobody said otherwise.
fn environment(
    exec: &ExecRequest,
    request: &SpecRequest,
    container: &Process,
    own_user: &User,
    user: &User,
) -> Result<Vec<String>, Error> {
    let mut env = Environment::parse(container.env().as_deref().unwrap_or_default())?;
    let said = Environment::parse(&request.env)?;
    if said.get("HOME").is_none() && user.home != own_user.home && env.get("HOME").is_some() {
        env.set("HOME", &user.home);
    }
    env.extend(Environment::parse(&exec.env)?);
    env.finish()
}

fn cwd(exec: &ExecRequest, container: &Process) -> Result<PathBuf, Error> {
    let Some(cwd) = exec.cwd.as_deref().filter(|cwd| !cwd.is_empty()) else {
        return Ok(container.cwd().clone());
    };
    no_nul("workdir", cwd)?;
    if !cwd.starts_with('/') {
        return Err(Error::invalid("workdir", cwd, "the path is not absolute"));
    }
    Ok(PathBuf::from(cwd))
}

/// The process of a bundle's config.json, without building the rest of it.
///
/// # Errors
/// [`Error::Json`]
pub fn read_process(config_json: &[u8]) -> Result<Process, Error> {
    #[derive(Deserialize)]
    struct OnlyProcess {
        process: Process,
    }
    serde_json::from_slice::<OnlyProcess>(config_json)
        .map(|spec| spec.process)
        .map_err(|source| Error::Json { what: "the container's config.json", source })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::host::tests::generous;
    use crate::{BundlePaths, Security};

    const PASSWD: &[u8] =
        b"root:x:0:0::/root:\nalice:x:1000:1000::/home/alice:\nbob:x:1001:1001::/home/bob:\n";

    fn shown(request: &SpecRequest, exec: &ExecRequest) -> Result<String, String> {
        let dir = tempfile::tempdir().unwrap();
        std::fs::create_dir(dir.path().join("etc")).unwrap();
        for (name, text) in [
            ("passwd", PASSWD),
            ("group", b"alice:x:1000:\nbob:x:1001:\nvideo:x:44:bob\n".as_slice()),
        ] {
            let path = dir.path().join("etc").join(name);
            dhow_sys::fs::write_atomic(&path, text, 0o644, dhow_sys::fs::Durability::Volatile)
                .unwrap();
        }
        let root = Root::open(dir.path()).unwrap();
        let request = SpecRequest { args: vec!["sleep".into()], ..request.clone() };
        let spec = crate::generate(&request, &BundlePaths::default(), &generous(), &root).unwrap();
        let json = serde_json::to_vec(&spec).unwrap();
        let container = read_process(&json).unwrap();
        let exec = ExecRequest { args: vec!["id".into()], ..exec.clone() };
        let p = exec_process(&exec, &request, &container, &generous(), &root)
            .map_err(|e| e.to_string())?;
        let caps = p.capabilities().as_ref().unwrap();
        let count =
            |set: &Option<oci_spec::runtime::Capabilities>| set.as_ref().map_or(0, |set| set.len());
        let home =
            p.env().iter().flatten().find(|e| e.starts_with("HOME=")).cloned().unwrap_or_default();
        Ok(format!(
            "{}:{} {:?} {home} bounding {} effective {} ambient {} nnp {:?} {}",
            p.user().uid(),
            p.user().gid(),
            p.user().additional_gids().clone().unwrap_or_default(),
            count(caps.bounding()),
            count(caps.effective()),
            count(caps.ambient()),
            p.no_new_privileges(),
            p.cwd().display(),
        ))
    }

    fn user(name: &str) -> ExecRequest {
        ExecRequest { user: Some(name.into()), ..ExecRequest::default() }
    }

    #[test]
    fn users_and_capabilities() {
        let plain = SpecRequest::default();
        assert_eq!(
            shown(&plain, &ExecRequest::default()).unwrap(),
            "0:0 [] HOME=/root bounding 14 effective 14 ambient 0 nnp None /"
        );
        assert_eq!(
            shown(&plain, &user("bob")).unwrap(),
            "1001:1001 [1001, 44] HOME=/home/bob bounding 14 effective 0 ambient 0 nnp None /"
        );
        let privileged =
            ExecRequest { privileged: true, cwd: Some("/tmp".into()), ..ExecRequest::default() };
        assert_eq!(
            shown(&plain, &privileged).unwrap(),
            "0:0 [] HOME=/root bounding 41 effective 41 ambient 0 nnp None /tmp"
        );

        let security = Security {
            cap_add: vec!["net_admin".into()],
            no_new_privileges: true,
            ..Security::default()
        };
        let alice = SpecRequest {
            user: "alice".into(),
            group_add: vec!["77".into()],
            security,
            ..SpecRequest::default()
        };
        assert_eq!(
            shown(&alice, &ExecRequest::default()).unwrap(),
            "1000:1000 [1000, 77] HOME=/home/alice bounding 15 effective 1 ambient 1 nnp Some(true) /"
        );
        assert_eq!(
            shown(&alice, &user("bob")).unwrap(),
            "1001:1001 [1001, 44] HOME=/home/bob bounding 15 effective 0 ambient 0 nnp Some(true) /"
        );
        assert_eq!(
            shown(&alice, &user("root")).unwrap(),
            "0:0 [0] HOME=/root bounding 15 effective 15 ambient 0 nnp Some(true) /"
        );

        let home = SpecRequest { env: vec!["HOME=/said".into()], ..SpecRequest::default() };
        assert!(shown(&home, &user("bob")).unwrap().contains("HOME=/said"));
        let env = ExecRequest { env: vec!["HOME=/mine".into()], ..user("bob") };
        assert!(shown(&home, &env).unwrap().contains("HOME=/mine"));
    }

    #[test]
    fn refused() {
        let plain = SpecRequest::default();
        assert!(shown(&plain, &user("nope")).unwrap_err().starts_with("unable to find user nope"));
        assert!(
            shown(&plain, &ExecRequest { cwd: Some("rel".into()), ..ExecRequest::default() })
                .is_err()
        );
        assert!(
            shown(&plain, &ExecRequest { env: vec!["x".into()], ..ExecRequest::default() })
                .is_err()
        );
        assert!(read_process(b"{}").is_err());
    }
}
