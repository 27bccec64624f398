//! The signature policy (containers-policy.json(5)): may an image of that name be taken at all?
//!
//! dhow verifies no signatures. INVARIANT: what it cannot check it refuses; only `insecureAcceptAnything` lets an image
//! through, and every requirement of the scope must.

use std::collections::HashMap;
use std::io;
use std::path::Path;

use serde::Deserialize;

use crate::document;
use crate::error::{Error, Result};
use crate::reference::ImageReference;

const MAX_FILE: u64 = 4 << 20;

#[derive(Debug, Deserialize)]
struct Policy {
    default: Vec<Requirement>,
    #[serde(default)]
    transports: HashMap<String, HashMap<String, Vec<Requirement>>>,
}

#[derive(Debug, Deserialize)]
struct Requirement {
    #[serde(rename = "type")]
    kind: String,
}

/// Refuses what the policy in `path` does not let through. Without such a file everything is let through.
pub(crate) fn check(path: &Path, reference: &ImageReference) -> Result<()> {
    let config = |why: String| Error::Config { path: path.to_path_buf(), why };
    let bytes = match dhow_sys::fs::read_bounded(path, MAX_FILE) {
        Err(e) if e.kind() == io::ErrorKind::NotFound => return Ok(()),
        other => other.map_err(|e| config(e.to_string()))?,
    };
    let policy: Policy = document::parse(&bytes).map_err(config)?;
    let (scope, requirements) = policy.requirements(reference);
    let refuse = |why: String| {
        let why = format!("{why} for {scope} in {}", path.display());
        Err(Error::Policy { reference: reference.to_string(), why })
    };
    if requirements.is_empty() {
        return refuse("there is no requirement".to_owned());
    }
    for requirement in requirements {
        match requirement.kind.as_str() {
            "insecureAcceptAnything" => {}
            "reject" => return refuse("it says `reject`".to_owned()),
            other => {
                return refuse(format!(
                    "it asks for {other:?}, and dhow cannot verify signatures: it refuses what it cannot check,"
                ));
            }
        }
    }
    Ok(())
}

impl Policy {
    /// The requirements of the narrowest scope that there is: the image, its repository, each namespace, the host, any
    /// subdomain, the transport, everything.
    fn requirements(&self, reference: &ImageReference) -> (String, &[Requirement]) {
        let scopes = self.transports.get("docker");
        let found = scopes.and_then(|scopes| {
            let name = reference.name();
            let mut candidates = vec![reference.to_string(), name.clone()];
            candidates.extend(
                name.rmatch_indices('/').filter_map(|(at, _)| name.get(..at)).map(str::to_owned),
            );
            let host = reference.registry();
            candidates.extend(
                host.match_indices('.')
                    .filter_map(|(at, _)| host.get(at..))
                    .map(|rest| format!("*{rest}")),
            );
            candidates.push(String::new());
            candidates.into_iter().find_map(|scope| {
                let requirements = scopes.get(&scope)?;
                let shown = if scope.is_empty() { "docker".to_owned() } else { scope };
                Some((shown, requirements.as_slice()))
            })
        });
        found.unwrap_or_else(|| ("the default".to_owned(), &self.default))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn answer(policy: &str, image: &str) -> String {
        let temp = tempfile::tempdir().unwrap();
        let path = temp.path().join("policy.json");
        dhow_sys::fs::write_atomic(
            &path,
            policy.as_bytes(),
            0o600,
            dhow_sys::fs::Durability::Volatile,
        )
        .unwrap();
        match check(&path, &image.parse().unwrap()) {
            Ok(()) => "accepted".to_owned(),
            Err(e) => e.to_string(),
        }
    }

    #[test]
    fn the_narrowest_scope_decides() {
        let policy = r#"{"default":[{"type":"reject"}],"transports":{"docker":{
            "r.example":[{"type":"insecureAcceptAnything"}],
            "r.example/team":[{"type":"reject"}],
            "r.example/team/ok":[{"type":"insecureAcceptAnything"}],
            "r.example/team/ok:bad":[{"type":"reject"}],
            "r.example/signed":[{"type":"signedBy","keyType":"GPGKeys","keyPath":"/k"}],
            "*.corp.example":[{"type":"insecureAcceptAnything"}],
            "both.example":[{"type":"insecureAcceptAnything"},{"type":"sigstoreSigned"}]},
            "docker-daemon":{"":[{"type":"insecureAcceptAnything"}]}}}"#;
        for (image, expected) in [
            ("r.example/x", "accepted"),
            ("r.example/team/x", "reject"),
            ("r.example/team/ok:1", "accepted"),
            ("r.example/team/ok:bad", "reject"),
            ("r.example/signed:1", "cannot verify signatures"),
            ("a.b.corp.example/x", "accepted"),
            ("both.example/x", "sigstoreSigned"),
            ("other.example/x", "the default"),
        ] {
            let said = answer(policy, image);
            assert!(said.contains(expected), "{image}: {said}");
        }
    }

    #[test]
    fn a_policy_that_is_none_refuses() {
        let path = Path::new("/nonexistent/policy.json");
        check(path, &"r.example/x".parse().unwrap()).unwrap();
        for bad in
            ["", "{}", "[]", r#"{"default":[],"default":[{"type":"insecureAcceptAnything"}]}"#]
        {
            assert!(answer(bad, "r.example/x").contains("cannot use"), "{bad}");
        }
        assert!(answer(r#"{"default":[]}"#, "r.example/x").contains("no requirement"));
    }
}
