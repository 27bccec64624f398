//! registries.conf (containers-registries.conf(5), version 2): what a name means, and where it is fetched.
//!
//! The file, then those of registries.conf.d in the order of their names: a later list of search registries replaces an
//! earlier one, a later `[[registry]]` one of the same prefix, a later alias one of the same name. INVARIANT: a file that
//! cannot be understood is an error; half of a configuration would send images to the wrong place.

use std::collections::BTreeMap;
use std::io;
use std::path::{Path, PathBuf};

use serde::Deserialize;

use crate::error::{Error, Result};
use crate::reference::ImageReference;

/// A configuration is some kilobytes; a list of aliases some ten.
const MAX_FILE: u64 = 4 << 20;

/// All files together.
#[derive(Debug, Default)]
pub(crate) struct RegistriesConf {
    /// Where short names are looked for; none: there is no file that says it.
    search: Option<Vec<String>>,
    mode: Option<ShortNameMode>,
    registries: Vec<Registry>,
    aliases: BTreeMap<String, String>,
    pub(crate) helpers: Vec<String>,
    /// For messages.
    path: PathBuf,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "lowercase")]
enum ShortNameMode {
    Enforcing,
    Permissive,
    Disabled,
}

#[derive(Debug, Default, Deserialize)]
#[serde(rename_all = "kebab-case", default)]
struct File {
    unqualified_search_registries: Option<Vec<String>>,
    short_name_mode: Option<ShortNameMode>,
    credential_helpers: Option<Vec<String>>,
    registry: Vec<Registry>,
    aliases: BTreeMap<String, String>,
    /// Version 1 had these tables.
    registries: Option<toml::Value>,
}

#[derive(Debug, Clone, Default, Deserialize)]
#[serde(rename_all = "kebab-case", default)]
struct Registry {
    prefix: String,
    location: String,
    insecure: bool,
    blocked: bool,
    mirror_by_digest_only: bool,
    mirror: Vec<Mirror>,
}

#[derive(Debug, Clone, Default, Deserialize)]
#[serde(rename_all = "kebab-case", default)]
struct Mirror {
    location: String,
    insecure: bool,
    pull_from_mirror: String,
}

/// A place where an image is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Location {
    /// `host[:port]`.
    pub(crate) host: String,
    pub(crate) repository: String,
    /// Certificates need not be right there, nor need there be any.
    pub(crate) insecure: bool,
}

impl RegistriesConf {
    /// Reads `path` and what is in `dirs`; none of them need exist.
    pub(crate) fn read(path: &Path, dirs: &[PathBuf]) -> Result<RegistriesConf> {
        let mut conf = RegistriesConf { path: path.to_path_buf(), ..RegistriesConf::default() };
        let mut files = vec![path.to_path_buf()];
        for dir in dirs {
            let mut found: Vec<PathBuf> = match std::fs::read_dir(dir) {
                Ok(entries) => entries.flatten().map(|entry| entry.path()).collect(),
                Err(e) if e.kind() == io::ErrorKind::NotFound => continue,
                Err(e) => return Err(config(dir, e.to_string())),
            };
            found.retain(|path| path.extension().is_some_and(|end| end == "conf"));
            found.sort();
            files.extend(found);
        }
        for file in files {
            match dhow_sys::fs::read_bounded(&file, MAX_FILE) {
                Ok(bytes) => conf.add(&file, &bytes)?,
                Err(e) if e.kind() == io::ErrorKind::NotFound => {}
                Err(e) => return Err(config(&file, e.to_string())),
            }
        }
        Ok(conf)
    }

    fn add(&mut self, path: &Path, bytes: &[u8]) -> Result<()> {
        let text = str::from_utf8(bytes).map_err(|e| config(path, e.to_string()))?;
        let file: File = toml::from_str(text).map_err(|e| config(path, one_line(&e)))?;
        if file.registries.is_some() {
            return Err(config(
                path,
                "it is of version 1; `[[registry]]` and `unqualified-search-registries` are known",
            ));
        }
        // A file that says nothing of it still says that there is a configuration.
        let search = file.unqualified_search_registries;
        self.search = search.or(self.search.take()).or(Some(Vec::new()));
        self.mode = file.short_name_mode.or(self.mode);
        if let Some(helpers) = file.credential_helpers {
            self.helpers = helpers;
        }
        for mut registry in file.registry {
            if registry.prefix.is_empty() {
                registry.prefix.clone_from(&registry.location);
            }
            if registry.location.is_empty() {
                if registry.prefix.is_empty() {
                    return Err(config(path, "a [[registry]] has neither a prefix nor a location"));
                }
                if !registry.prefix.starts_with("*.") {
                    registry.location.clone_from(&registry.prefix);
                }
            }
            let places = registry.mirror.iter().map(|mirror| &mirror.location);
            for place in places.chain([&registry.location, &registry.prefix]) {
                if place.contains("://") || place.ends_with('/') {
                    return Err(config(path, format!("{place:?} is not of the form host/path")));
                }
            }
            if let Some(mirror) = registry.mirror.iter().find(|mirror| mirror.location.is_empty()) {
                return Err(config(path, format!("a mirror has no location: {mirror:?}")));
            }
            self.registries.retain(|other| other.prefix != registry.prefix);
            self.registries.push(registry);
        }
        self.aliases.extend(file.aliases);
        Ok(())
    }

    /// What a name as the user writes it may stand for, in the order in which it is tried.
    pub(crate) fn resolve(&self, text: &str) -> Result<Vec<ImageReference>> {
        if ImageReference::is_qualified(text) {
            return Ok(vec![text.parse()?]);
        }
        let short: ImageReference = text.parse()?;
        let (name, _) = text.split_once('@').unwrap_or((text, ""));
        let (name, suffix) = match name.split_once(':') {
            Some((name, _)) => (name, text.get(name.len()..).unwrap_or_default()),
            None => (name, text.get(name.len()..).unwrap_or_default()),
        };
        if self.mode != Some(ShortNameMode::Disabled)
            && let Some(full) = self.aliases.get(name).filter(|full| !full.is_empty())
        {
            return Ok(vec![format!("{full}{suffix}").parse()?]);
        }
        // Without any configuration a short name is what docker takes it for.
        let Some(search) = &self.search else { return Ok(vec![short]) };
        let why = match search.as_slice() {
            [] => format!(
                "it has no registry, and neither an alias nor unqualified-search-registries in {} give it one; write it in full, as in {short}",
                self.path.display()
            ),
            [_, _, ..]
                if self.mode.unwrap_or(ShortNameMode::Enforcing) == ShortNameMode::Enforcing =>
            {
                format!(
                    "it may be one of {}: write it in full (short-name-mode is enforcing)",
                    search.join(", ")
                )
            }
            registries => {
                return registries
                    .iter()
                    .map(|registry| format!("{registry}/{text}").parse())
                    .collect();
            }
        };
        Err(Error::ShortName { name: text.to_owned(), why })
    }

    /// Where an image is fetched: its mirrors, then its registry.
    pub(crate) fn locations(&self, reference: &ImageReference) -> Result<Vec<Location>> {
        let name = reference.name();
        let Some((registry, length)) = self.best(&name) else {
            return Ok(vec![location(&name, false)]);
        };
        if registry.blocked {
            let prefix = &registry.prefix;
            return Err(Error::Blocked {
                reference: reference.to_string(),
                prefix: prefix.clone(),
            });
        }
        let rest = name.get(length..).unwrap_or_default();
        let by_digest = reference.digest().is_some();
        let mut found = Vec::new();
        for mirror in &registry.mirror {
            let used = match mirror.pull_from_mirror.as_str() {
                "digest-only" => by_digest,
                "tag-only" => !by_digest,
                _ => by_digest || !registry.mirror_by_digest_only,
            };
            if used {
                found.push(location(&format!("{}{rest}", mirror.location), mirror.insecure));
            }
        }
        // A wildcard without a location leaves the name as it is.
        let own = match registry.location.as_str() {
            "" => name.clone(),
            own => format!("{own}{rest}"),
        };
        found.push(location(&own, registry.insecure));
        Ok(found)
    }

    /// Where an image is pushed to: the registry itself, never a mirror.
    pub(crate) fn origin(&self, reference: &ImageReference) -> Result<Location> {
        let mut found = self.locations(reference)?;
        Ok(found.pop().unwrap_or_else(|| location(&reference.name(), false)))
    }

    /// Is a registry called insecure?
    pub(crate) fn is_insecure(&self, host: &str) -> bool {
        self.best(host).is_some_and(|(registry, _)| registry.insecure)
    }

    /// The registry with the longest prefix that fits, and how much of the name it covers.
    fn best(&self, name: &str) -> Option<(&Registry, usize)> {
        let fitting = self.registries.iter().filter_map(|r| Some((r, covered(&r.prefix, name)?)));
        fitting.max_by_key(|(registry, length)| (*length, registry.prefix.len()))
    }
}

/// How many bytes of the name a prefix covers: up to the end of a host or path component, `*.` any subdomains.
fn covered(prefix: &str, name: &str) -> Option<usize> {
    if let Some(suffix) = prefix.strip_prefix('*') {
        let host = name.split('/').next()?;
        let (domain, _) = host.split_once(':').unwrap_or((host, ""));
        return [host, domain].into_iter().find(|host| host.ends_with(suffix)).map(str::len);
    }
    let rest = name.strip_prefix(prefix)?;
    (rest.is_empty() || rest.starts_with('/')).then_some(prefix.len())
}

fn location(name: &str, insecure: bool) -> Location {
    let (host, repository) = name.split_once('/').unwrap_or((name, ""));
    Location { host: host.to_owned(), repository: repository.to_owned(), insecure }
}

/// A parser's message with its place and without its picture.
fn one_line(error: &toml::de::Error) -> String {
    error.message().to_owned()
}

fn config(path: &Path, why: impl Into<String>) -> Error {
    Error::Config { path: path.to_path_buf(), why: why.into() }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn conf(text: &str) -> RegistriesConf {
        let mut conf = RegistriesConf::default();
        conf.add(Path::new("test.conf"), text.as_bytes()).unwrap();
        conf
    }

    fn resolved(conf: &RegistriesConf, text: &str) -> String {
        match conf.resolve(text) {
            Ok(names) => names.iter().map(ToString::to_string).collect::<Vec<_>>().join(" "),
            Err(e) => format!("error: {e}"),
        }
    }

    fn located(conf: &RegistriesConf, text: &str) -> String {
        match conf.locations(&text.parse().unwrap()) {
            Ok(found) => found
                .iter()
                .map(|l| {
                    format!("{}{}/{}", if l.insecure { "!" } else { "" }, l.host, l.repository)
                })
                .collect::<Vec<_>>()
                .join(" "),
            Err(e) => format!("error: {e}"),
        }
    }

    #[test]
    fn short_names() {
        let digest = format!("@sha256:{}", "a".repeat(64));
        let none = RegistriesConf::default();
        assert_eq!(resolved(&none, "tool:1"), "docker.io/library/tool:1");
        assert!(resolved(&conf(""), "tool").contains("neither an alias"));
        let one = conf(
            "unqualified-search-registries = ['a.example']\n[aliases]\n\"tool\" = \"b.example/x/tool\"\n\"x/y\"='c.example/y'",
        );
        assert_eq!(resolved(&one, "tool"), "b.example/x/tool:latest");
        assert_eq!(resolved(&one, "tool:2"), "b.example/x/tool:2");
        assert_eq!(resolved(&one, &format!("tool{digest}")), format!("b.example/x/tool{digest}"));
        assert_eq!(resolved(&one, "x/y:3"), "c.example/y:3");
        assert_eq!(resolved(&one, "other"), "a.example/other:latest");
        assert_eq!(resolved(&one, "localhost/other"), "localhost/other:latest");
        let two = "unqualified-search-registries = ['a.example', 'b.example:5000']\n";
        assert!(resolved(&conf(two), "t").contains("a.example, b.example:5000"));
        let permissive = conf(&format!("{two}short-name-mode='permissive'"));
        assert_eq!(resolved(&permissive, "t:1"), "a.example/t:1 b.example:5000/t:1");
        assert!(resolved(&permissive, "UPPER").starts_with("error"));
    }

    #[test]
    fn the_longest_prefix_says_where() {
        let conf = conf(
            r#"
            [[registry]]
            location = "a.example"
            insecure = true
            [[registry]]
            prefix = "a.example/team"
            location = "b.example:5000/moved"
            [[registry.mirror]]
            location = "m.example/cache"
            [[registry.mirror]]
            location = "n.example"
            insecure = true
            pull-from-mirror = "digest-only"
            [[registry]]
            prefix = "a.example/team/secret"
            blocked = true
            [[registry]]
            prefix = "*.corp.example"
            insecure = true
            "#,
        );
        assert_eq!(located(&conf, "a.example/x/y"), "!a.example/x/y");
        assert_eq!(
            located(&conf, "a.example/team/t:1"),
            "m.example/cache/t b.example:5000/moved/t"
        );
        let digest = format!("a.example/team/t@sha256:{}", "a".repeat(64));
        assert_eq!(
            located(&conf, &digest),
            "m.example/cache/t !n.example/t b.example:5000/moved/t"
        );
        assert_eq!(located(&conf, "a.example/teamwork"), "!a.example/teamwork");
        assert!(located(&conf, "a.example/team/secret/x").contains("blocks a.example"));
        assert_eq!(located(&conf, "r.corp.example:5000/x"), "!r.corp.example:5000/x");
        assert_eq!(located(&conf, "corp.example/x"), "corp.example/x");
        assert!(conf.is_insecure("a.example") && !conf.is_insecure("b.example"));
        let origin = conf.origin(&"a.example/team/t".parse().unwrap()).unwrap();
        assert_eq!(origin.host, "b.example:5000");
    }

    #[test]
    fn later_files_go_before_earlier_ones() {
        let mut conf = conf(
            "unqualified-search-registries=['a.example']\n[[registry]]\nlocation='r.example'\nblocked=true",
        );
        conf.add(Path::new("b"), b"[[registry]]\nprefix='r.example'\n[aliases]\nx='y.example/x'")
            .unwrap();
        assert_eq!(located(&conf, "r.example/x"), "r.example/x");
        assert_eq!(resolved(&conf, "t"), "a.example/t:latest");
        for bad in [
            "[registries.search]\nregistries=[]",
            "x = [",
            "[[registry]]\ninsecure=true",
            "[[registry]]\nlocation='https://a.example'",
            "short-name-mode='odd'",
        ] {
            let error = conf.add(Path::new("bad.conf"), bad.as_bytes()).unwrap_err();
            assert!(error.to_string().contains("bad.conf"), "{error}");
        }
    }
}
