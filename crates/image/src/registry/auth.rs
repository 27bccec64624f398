//! Who asks: credentials in auth files (containers-auth.json(5), docker's config.json) and credential helpers.
//!
//! INVARIANT: a secret is in no message, no debug output and no argv; helpers get and give it through pipes. Auth files
//! are replaced atomically, with mode 0600, and keep whatever else is in them.

use std::fmt;
use std::io;
use std::path::{Path, PathBuf};
use std::time::Duration;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use dhow_sys::process::{OutputLimits, Spawn, Stdio, output};
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value, json};

use super::settings::RegistrySettings;
use crate::error::{Error, Result};

const MAX_FILE: u64 = 4 << 20;
/// A helper may have to ask a keyring that asks the user.
const HELPER_TIMEOUT: Duration = Duration::from_secs(60);
/// What docker calls its hub in its configuration.
const HUB_KEY: &str = "https://index.docker.io/v1/";

/// What proves who asks.
#[derive(Clone, PartialEq, Eq, Serialize, Deserialize)]
pub enum Credentials {
    /// A user's name and password.
    Basic {
        /// The name.
        user: String,
        /// The password.
        password: String,
    },
    /// A token that a token server gives tokens for.
    IdentityToken(String),
}

impl fmt::Debug for Credentials {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Credentials::Basic { user, .. } => {
                f.debug_struct("Basic").field("user", user).finish_non_exhaustive()
            }
            Credentials::IdentityToken(_) => f.write_str("IdentityToken"),
        }
    }
}

impl Credentials {
    /// `Basic …`, for a header.
    pub(crate) fn header(&self) -> Option<String> {
        match self {
            Credentials::Basic { user, password } => {
                Some(format!("Basic {}", STANDARD.encode(format!("{user}:{password}"))))
            }
            Credentials::IdentityToken(_) => None,
        }
    }
}

/// An auth file, as far as dhow knows it.
#[derive(Debug, Default, Deserialize)]
#[serde(rename_all = "camelCase", default)]
struct AuthFile {
    auths: Map<String, Value>,
    creds_store: Option<String>,
    cred_helpers: std::collections::BTreeMap<String, String>,
}

#[derive(Default, Deserialize)]
#[serde(default)]
struct Entry {
    auth: String,
    identitytoken: String,
}

/// The credentials for an image: those of the longest path that has some. `helpers` are registries.conf's.
pub(crate) fn find(
    settings: &RegistrySettings,
    file: Option<&Path>,
    host: &str,
    repository: &str,
    helpers: &[String],
) -> Result<Option<Credentials>> {
    let files: Vec<&Path> = match file {
        Some(file) => vec![file],
        None => settings.auth_files.iter().map(PathBuf::as_path).collect(),
    };
    for path in files {
        let Some(parsed) = read(path, file.is_some())? else { continue };
        if let Some(helper) = parsed.cred_helpers.get(host) {
            return ask(settings, helper, host);
        }
        for key in keys(host, repository) {
            if let Some(entry) = lookup(&parsed.auths, &key) {
                let entry = Entry::deserialize(entry)
                    .map_err(|e| config(path, format!("the entry {key}: {e}")))?;
                match decode(entry)
                    .map_err(|why| config(path, format!("the entry {key}: {why}")))?
                {
                    Some(found) => return Ok(Some(found)),
                    // docker leaves an empty entry where a helper has the secret.
                    None => continue,
                }
            }
        }
        if let Some(helper) = &parsed.creds_store
            && let Some(found) = ask(settings, helper, if is_hub(host) { HUB_KEY } else { host })?
        {
            return Ok(Some(found));
        }
    }
    for helper in helpers.iter().filter(|helper| *helper != "containers-auth.json") {
        if let Some(found) = ask(settings, helper, host)? {
            return Ok(Some(found));
        }
    }
    Ok(None)
}

/// Puts credentials into an auth file, or gives them to the helper that the file names for the registry.
///
/// # Errors
/// [`Error::Config`], naming the file or the helper.
pub fn store_credentials(
    settings: &RegistrySettings,
    file: &Path,
    key: &str,
    credentials: &Credentials,
) -> Result<()> {
    let parsed = read(file, false)?.unwrap_or_default();
    if let Some(helper) = parsed.cred_helpers.get(key).or(parsed.creds_store.as_ref()) {
        let (user, secret) = match credentials {
            Credentials::Basic { user, password } => (user.as_str(), password.as_str()),
            Credentials::IdentityToken(token) => ("<token>", token.as_str()),
        };
        let input = json!({ "ServerURL": key, "Username": user, "Secret": secret });
        return run(settings, helper, "store", input.to_string().as_bytes()).map(drop);
    }
    let entry = match credentials {
        Credentials::Basic { user, password } => {
            json!({ "auth": STANDARD.encode(format!("{user}:{password}")) })
        }
        Credentials::IdentityToken(token) => {
            json!({ "auth": STANDARD.encode("<token>:"), "identitytoken": token })
        }
    };
    change(file, |auths| drop(auths.insert(key.to_owned(), entry)))
}

/// Takes credentials away; says whether there were some. No key: all of the file.
///
/// # Errors
/// [`Error::Config`], naming the file or the helper.
pub fn remove_credentials(
    settings: &RegistrySettings,
    file: &Path,
    key: Option<&str>,
) -> Result<bool> {
    let Some(parsed) = read(file, false)? else { return Ok(false) };
    let mut found = false;
    for (host, helper) in &parsed.cred_helpers {
        if key.is_none_or(|key| key == host) && ask(settings, helper, host)?.is_some() {
            run(settings, helper, "erase", host.as_bytes())?;
            found = true;
        }
    }
    let doomed: Vec<String> = parsed
        .auths
        .keys()
        .filter(|known| key.is_none_or(|key| same(known, key)))
        .cloned()
        .collect();
    if !doomed.is_empty() {
        found = true;
        change(file, |auths| auths.retain(|known, _| !doomed.contains(known)))?;
    }
    Ok(found)
}

/// The name of the user whose credentials there are for a registry.
///
/// # Errors
/// [`Error::Config`].
pub fn logged_in(settings: &RegistrySettings, file: &Path, key: &str) -> Result<Option<String>> {
    if !file.exists() {
        return Ok(None);
    }
    let (host, repository) = key.split_once('/').unwrap_or((key, ""));
    Ok(match find(settings, Some(file), host, repository, &[])? {
        Some(Credentials::Basic { user, .. }) => Some(user),
        Some(Credentials::IdentityToken(_)) => Some("<token>".to_owned()),
        None => None,
    })
}

/// The key under which the credentials of a registry are kept, with the namespace if one was given.
///
/// # Errors
/// [`Error::Reference`] for a URL or a name with a tag.
pub fn credentials_key(registry: &str) -> Result<String> {
    let bare = registry.trim_end_matches('/');
    let why = if bare.contains("://") {
        "a registry is a host name with an optional port, without a scheme"
    } else if bare.is_empty() {
        "the registry has no name"
    } else if bare.contains('@') || bare.split('/').skip(1).any(|part| part.contains(':')) {
        "a registry has no tag and no digest"
    } else {
        return Ok(if is_hub(bare) { "docker.io".to_owned() } else { bare.to_owned() });
    };
    Err(Error::Reference { text: registry.to_owned(), why })
}

fn change(path: &Path, edit: impl FnOnce(&mut Map<String, Value>)) -> Result<()> {
    let failed = |e: io::Error| config(path, e.to_string());
    let mut document: Map<String, Value> = match dhow_sys::fs::read_bounded(path, MAX_FILE) {
        Ok(bytes) if bytes.trim_ascii().is_empty() => Map::new(),
        Ok(bytes) => serde_json::from_slice(&bytes).map_err(|e| config(path, e.to_string()))?,
        Err(e) if e.kind() == io::ErrorKind::NotFound => Map::new(),
        Err(e) => return Err(failed(e)),
    };
    let auths = document.entry("auths").or_insert_with(|| Value::Object(Map::new()));
    let Value::Object(auths) = auths else { return Err(config(path, "`auths` is no object")) };
    edit(auths);
    if let Some(dir) = path.parent() {
        dhow_sys::fs::create_dir_all(dir, 0o700).map_err(failed)?;
    }
    let text = serde_json::to_vec_pretty(&document).map_err(|e| config(path, e.to_string()))?;
    dhow_sys::fs::write_atomic(path, &text, 0o600, dhow_sys::fs::Durability::Durable)
        .map_err(failed)
}

fn read(path: &Path, must_exist: bool) -> Result<Option<AuthFile>> {
    match dhow_sys::fs::read_bounded(path, MAX_FILE) {
        Ok(bytes) if bytes.trim_ascii().is_empty() => Ok(None),
        Ok(bytes) => {
            let parsed = if path.file_name().is_some_and(|name| name == ".dockercfg") {
                serde_json::from_slice(&bytes)
                    .map(|auths| AuthFile { auths, ..AuthFile::default() })
            } else {
                serde_json::from_slice(&bytes)
            };
            // Not the parser's words: they might quote what is in the file.
            parsed.map(Some).map_err(|e| {
                config(path, format!("it is no auth file: line {} column {}", e.line(), e.column()))
            })
        }
        Err(e) if e.kind() == io::ErrorKind::NotFound && !must_exist => Ok(None),
        Err(e) => Err(config(path, e.to_string())),
    }
}

/// `host/a/b`, `host/a`, `host`.
fn keys(host: &str, repository: &str) -> Vec<String> {
    let host = if is_hub(host) { "docker.io" } else { host };
    let full = format!("{host}/{repository}");
    let full = full.trim_end_matches('/');
    let mut keys = vec![full.to_owned()];
    keys.extend(full.rmatch_indices('/').map(|(at, _)| full.get(..at).unwrap_or(full).to_owned()));
    keys
}

fn lookup<'a>(auths: &'a Map<String, Value>, key: &str) -> Option<&'a Value> {
    auths
        .get(key)
        .or_else(|| auths.iter().find(|(known, _)| same(known, key)).map(|(_, value)| value))
}

/// docker writes URLs as keys.
fn same(known: &str, key: &str) -> bool {
    if known == key {
        return true;
    }
    let Some((_, bare)) = known.split_once("://") else { return false };
    let host = bare.split('/').next().unwrap_or_default();
    host == key || (is_hub(host) && key == "docker.io")
}

pub(crate) fn is_hub(host: &str) -> bool {
    matches!(host, "docker.io" | "index.docker.io" | "registry-1.docker.io")
}

fn decode(entry: Entry) -> Result<Option<Credentials>, &'static str> {
    if !entry.identitytoken.is_empty() {
        return Ok(Some(Credentials::IdentityToken(entry.identitytoken)));
    }
    if entry.auth.is_empty() {
        return Ok(None);
    }
    let bytes = STANDARD.decode(entry.auth.trim()).map_err(|_| "it is not base64")?;
    let text = String::from_utf8(bytes).map_err(|_| "it is not UTF-8")?;
    let (user, password) = text.split_once(':').ok_or("it has no colon")?;
    // Some tools fill up with zeros.
    let password = password.trim_end_matches('\0');
    Ok(Some(Credentials::Basic { user: user.to_owned(), password: password.to_owned() }))
}

#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
struct Answer {
    #[serde(default)]
    username: String,
    #[serde(default)]
    secret: String,
}

/// `docker-credential-<helper> get`; that it knows nothing is no error.
fn ask(settings: &RegistrySettings, helper: &str, server: &str) -> Result<Option<Credentials>> {
    let Some(out) = run(settings, helper, "get", server.as_bytes())? else { return Ok(None) };
    let answer: Answer = serde_json::from_slice(&out)
        .map_err(|_| config(Path::new(helper), "the credential helper's answer is no JSON"))?;
    Ok(match (answer.username.as_str(), answer.secret) {
        (_, secret) if secret.is_empty() => None,
        ("<token>", secret) => Some(Credentials::IdentityToken(secret)),
        (user, password) => Some(Credentials::Basic { user: user.to_owned(), password }),
    })
}

fn run(
    settings: &RegistrySettings,
    helper: &str,
    verb: &str,
    input: &[u8],
) -> Result<Option<Vec<u8>>> {
    let name = format!("docker-credential-{helper}");
    let failed = |why: String| config(Path::new(&name), why);
    if helper.contains('/') {
        return Err(failed("a credential helper is a name, not a path".to_owned()));
    }
    let program = settings.search.iter().map(|dir| dir.join(&name)).find(|path| path.is_file());
    let program = program.ok_or_else(|| failed("there is no such credential helper".to_owned()))?;
    let stdin = Stdio::bytes(input).map_err(|e| failed(e.to_string()))?;
    let spawn =
        Spawn::new(program).arg(verb).envs(settings.environment.iter().cloned()).stdin(stdin);
    let limits = OutputLimits { timeout: Some(HELPER_TIMEOUT), ..OutputLimits::default() };
    let done = output(spawn, &limits).map_err(|e| failed(e.to_string()))?;
    if done.status.success() {
        return Ok(Some(done.stdout));
    }
    let said = String::from_utf8_lossy(&done.stdout).trim().to_owned();
    if verb == "get" && said.contains("not found") {
        return Ok(None);
    }
    Err(failed(format!("`{verb}` failed: {said}")))
}

fn config(path: &Path, why: impl Into<String>) -> Error {
    Error::Config { path: path.to_path_buf(), why: why.into() }
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::PermissionsExt as _;

    use super::*;

    fn settings(dir: &Path) -> RegistrySettings {
        RegistrySettings {
            auth_files: vec![dir.join("auth.json"), dir.join("config.json")],
            search: vec![dir.to_path_buf()],
            environment: vec![("PATH".into(), "/usr/bin:/bin".into())],
            ..RegistrySettings::default()
        }
    }

    fn basic(user: &str, password: &str) -> Credentials {
        Credentials::Basic { user: user.to_owned(), password: password.to_owned() }
    }

    #[test]
    fn the_longest_path_that_has_credentials_counts() {
        let temp = tempfile::tempdir().unwrap();
        let settings = settings(temp.path());
        let file = temp.path().join("auth.json");
        assert_eq!(find(&settings, None, "r.example", "a/b", &[]).unwrap(), None);
        store_credentials(&settings, &file, "r.example", &basic("all", "1")).unwrap();
        store_credentials(&settings, &file, "r.example/a", &basic("team", "p:w")).unwrap();
        let found = |repository| find(&settings, None, "r.example", repository, &[]).unwrap();
        assert_eq!(found("a/b/c"), Some(basic("team", "p:w")));
        assert_eq!(found("ab"), Some(basic("all", "1")));
        assert_eq!(std::fs::metadata(&file).unwrap().permissions().mode() & 0o777, 0o600);
        assert!(remove_credentials(&settings, &file, Some("r.example/a")).unwrap());
        assert!(!remove_credentials(&settings, &file, Some("r.example/a")).unwrap());
        assert_eq!(found("a/b/c"), Some(basic("all", "1")));
        assert_eq!(logged_in(&settings, &file, "r.example").unwrap().as_deref(), Some("all"));
        assert!(remove_credentials(&settings, &file, None).unwrap());
        assert_eq!(found("a"), None);
        assert!(!format!("{:?}", basic("u", "secret")).contains("secret"));
    }

    #[test]
    #[expect(clippy::disallowed_methods, reason = "a test's own files")]
    fn what_docker_wrote_is_understood_and_kept() {
        let temp = tempfile::tempdir().unwrap();
        let settings = settings(temp.path());
        let file = temp.path().join("config.json");
        let auth = STANDARD.encode("u:p");
        let text = format!(
            r#"{{"auths":{{"https://index.docker.io/v1/":{{"auth":"{auth}"}},"t.example":{{"identitytoken":"T"}},"bad.example":{{"auth":"%"}}}},"HttpHeaders":{{"a":"b"}}}}"#
        );
        std::fs::write(&file, text).unwrap();
        let found = |host| find(&settings, None, host, "x", &[]);
        assert_eq!(found("docker.io").unwrap(), Some(basic("u", "p")));
        assert_eq!(found("registry-1.docker.io").unwrap(), Some(basic("u", "p")));
        assert_eq!(found("t.example").unwrap(), Some(Credentials::IdentityToken("T".to_owned())));
        assert!(found("bad.example").unwrap_err().to_string().contains("base64"));
        store_credentials(&settings, &file, "n.example", &basic("n", "n")).unwrap();
        assert!(std::fs::read_to_string(&file).unwrap().contains("HttpHeaders"));
        std::fs::write(&file, "{\"auths\": secret").unwrap();
        let error = found("docker.io").unwrap_err().to_string();
        assert!(error.contains("config.json") && !error.contains("secret"), "{error}");
    }

    #[test]
    #[expect(clippy::disallowed_methods, reason = "a test's own files")]
    fn helpers_are_asked_through_pipes() {
        let temp = tempfile::tempdir().unwrap();
        let settings = settings(temp.path());
        let helper = temp.path().join("docker-credential-test");
        let script = format!(
            "#!/bin/sh\nread server\necho \"$1 $server\" >> {0}/log\n[ \"$server\" = none.example ] && {{ echo 'credentials not found in native keychain'; exit 1; }}\necho '{{\"Username\":\"h\",\"Secret\":\"s\"}}'\n",
            temp.path().display()
        );
        std::fs::write(&helper, script).unwrap();
        std::fs::set_permissions(&helper, std::fs::Permissions::from_mode(0o755)).unwrap();
        let file = temp.path().join("auth.json");
        std::fs::write(
            &file,
            r#"{"credHelpers":{"h.example":"test","none.example":"test","gone.example":"gone"}}"#,
        )
        .unwrap();
        let found = |host| find(&settings, None, host, "x", &[]);
        assert_eq!(found("h.example").unwrap(), Some(basic("h", "s")));
        assert_eq!(found("none.example").unwrap(), None);
        assert!(found("gone.example").unwrap_err().to_string().contains("no such"));
        let of_conf = find(&settings, None, "x.example", "x", &["test".to_owned()]).unwrap();
        assert_eq!(of_conf, Some(basic("h", "s")));
        store_credentials(&settings, &file, "h.example", &basic("h", "s")).unwrap();
        assert!(remove_credentials(&settings, &file, Some("h.example")).unwrap());
        let log = std::fs::read_to_string(temp.path().join("log")).unwrap();
        assert!(log.contains("get h.example") && log.contains("erase h.example"), "{log}");
        assert!(
            log.contains("store {") && !std::fs::read_to_string(&file).unwrap().contains("auth\"")
        );
    }

    #[test]
    fn keys_of_registries() {
        assert_eq!(credentials_key("docker.io").unwrap(), "docker.io");
        assert_eq!(credentials_key("host:5000/team/").unwrap(), "host:5000/team");
        for bad in ["https://host", "", "host/x:1", "host/x@y"] {
            assert!(credentials_key(bad).is_err(), "{bad}");
        }
    }
}
