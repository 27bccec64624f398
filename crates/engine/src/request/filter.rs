//! `--filter KEY=VALUE`.

use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Serialize};

use super::{Invalid, Moment};

/// A condition on a label.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct LabelMatch {
    /// The key; a trailing `*` matches any rest.
    pub key: String,
    /// The value; none: any.
    pub value: Option<String>,
    /// `label!=`: the condition must not hold.
    pub negated: bool,
}

impl LabelMatch {
    fn parse(text: &str, negated: bool) -> Self {
        match text.split_once('=') {
            Some((key, value)) => Self { key: key.into(), value: Some(value.into()), negated },
            None => Self { key: text.into(), value: None, negated },
        }
    }

    /// Whether the labels satisfy it.
    pub fn matches<'a>(&self, labels: impl IntoIterator<Item = (&'a String, &'a String)>) -> bool {
        let key_matches = |key: &str| match self.key.strip_suffix('*') {
            Some(prefix) => key.starts_with(prefix),
            None => key == self.key,
        };
        let found = labels
            .into_iter()
            .any(|(key, value)| key_matches(key) && self.value.as_ref().is_none_or(|v| v == value));
        found != self.negated
    }
}

/// A condition on a container.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum ContainerFilter {
    /// The id begins so.
    Id(String),
    /// The name contains this ([`ContainerFilter::name_matches`]).
    Name(String),
    /// A label.
    Label(LabelMatch),
    /// The status has this name.
    Status(String),
    /// It ended with this code.
    Exited(i32),
    /// It was made from this image or one built on it.
    Ancestor(String),
    /// It was created before this container.
    Before(String),
    /// It was created after this container.
    Since(String),
    /// It was created before this time.
    Until(Moment),
    /// It uses this volume, or has a mount at this path.
    Volume(String),
    /// Its restart policy has this name.
    RestartPolicy(String),
    /// Its network mode is this.
    Network(String),
}

const STATUSES: [&str; 9] = [
    "created",
    "configured",
    "initialized",
    "running",
    "paused",
    "stopping",
    "stopped",
    "exited",
    "removing",
];

impl ContainerFilter {
    /// Whether a name satisfies a `name=` filter: it contains the text, which `^` and `$` tie to its ends.
    pub fn name_matches(pattern: &str, name: &str) -> bool {
        match (pattern.strip_prefix('^'), pattern.strip_suffix('$')) {
            (Some(_), Some(_)) if pattern.len() >= 2 => name == &pattern[1..pattern.len() - 1],
            (Some(prefix), _) => name.starts_with(prefix),
            (_, Some(suffix)) => name.ends_with(suffix),
            (None, None) => name.contains(pattern),
        }
    }
}

fn split<'a>(
    what: &'static str,
    text: &'a str,
    expected: &str,
) -> Result<(&'a str, &'a str), Invalid> {
    text.split_once('=').filter(|(_, value)| !value.is_empty()).ok_or_else(|| {
        Invalid::new(what, text, format!("expected KEY=VALUE with KEY one of {expected}"))
    })
}

const CONTAINER_KEYS: &str = "id, name, label, label!, status, exited, ancestor, before, since, until, volume, restart-policy, network";

impl FromStr for ContainerFilter {
    type Err = Invalid;

    fn from_str(text: &str) -> Result<Self, Invalid> {
        let (key, value) = split("filter", text, CONTAINER_KEYS)?;
        let invalid = |why: String| Invalid::new("filter", text, why);
        let owned = || value.to_owned();
        Ok(match key {
            "id" => Self::Id(owned()),
            "name" => Self::Name(owned()),
            "label" => Self::Label(LabelMatch::parse(value, false)),
            "label!" => Self::Label(LabelMatch::parse(value, true)),
            "status" if STATUSES.contains(&value) => Self::Status(owned()),
            "status" => {
                return Err(invalid(format!("expected a status of {}", STATUSES.join(", "))));
            }
            "exited" => Self::Exited(
                value
                    .parse()
                    .map_err(|_| invalid("expected an exit code, as in exited=0".into()))?,
            ),
            "ancestor" => Self::Ancestor(owned()),
            "before" => Self::Before(owned()),
            "since" => Self::Since(owned()),
            "until" => Self::Until(value.parse().map_err(|e: Invalid| invalid(e.why))?),
            "volume" => Self::Volume(owned()),
            "restart-policy" => Self::RestartPolicy(owned()),
            "network" => Self::Network(owned()),
            "pod" | "health" | "command" => {
                return Err(invalid(format!("the key {key} is not supported yet")));
            }
            _ => return Err(invalid(format!("unknown key: expected one of {CONTAINER_KEYS}"))),
        })
    }
}

/// A condition on an image.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum ImageFilter {
    /// It has no name (or, with false, it has one).
    Dangling(bool),
    /// A label.
    Label(LabelMatch),
    /// It was created before this image.
    Before(String),
    /// It was created after this image.
    Since(String),
    /// It was created before this time.
    Until(Moment),
    /// A name of it matches this pattern (`*` and `?`).
    Reference(String),
    /// The id begins so.
    Id(String),
    /// Containers were made of it (or, with false, none).
    Containers(bool),
    /// It is of a store that is only read; none is yet.
    ReadOnly(bool),
}

fn flag(value: &str) -> Result<bool, String> {
    match value {
        "true" | "1" => Ok(true),
        "false" | "0" => Ok(false),
        _ => Err("expected true or false".into()),
    }
}

const IMAGE_KEYS: &str =
    "dangling, label, label!, before, since, after, until, reference, id, containers, readonly";

impl FromStr for ImageFilter {
    type Err = Invalid;

    fn from_str(text: &str) -> Result<Self, Invalid> {
        let (key, value) = split("filter", text, IMAGE_KEYS)?;
        let invalid = |why: String| Invalid::new("filter", text, why);
        let owned = || value.to_owned();
        Ok(match key {
            "dangling" => Self::Dangling(flag(value).map_err(invalid)?),
            "containers" => Self::Containers(flag(value).map_err(invalid)?),
            "readonly" => Self::ReadOnly(flag(value).map_err(invalid)?),
            "label" => Self::Label(LabelMatch::parse(value, false)),
            "label!" => Self::Label(LabelMatch::parse(value, true)),
            "before" => Self::Before(owned()),
            "since" | "after" => Self::Since(owned()),
            "until" => Self::Until(value.parse().map_err(|e: Invalid| invalid(e.why))?),
            "reference" => Self::Reference(owned()),
            "id" => Self::Id(owned()),
            _ => return Err(invalid(format!("unknown key: expected one of {IMAGE_KEYS}"))),
        })
    }
}

impl fmt::Display for LabelMatch {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "label{}={}", if self.negated { "!" } else { "" }, self.key)?;
        self.value.as_ref().map_or(Ok(()), |value| write!(f, "={value}"))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn reads_container_filters() {
        assert_eq!("status=running".parse(), Ok(ContainerFilter::Status("running".into())));
        assert_eq!("exited=-1".parse(), Ok(ContainerFilter::Exited(-1)));
        let label = |text: &str| match text.parse() {
            Ok(ContainerFilter::Label(label)) => label,
            other => panic!("{other:?}"),
        };
        assert_eq!(label("label=a=b").to_string(), "label=a=b");
        assert_eq!(label("label!=a").to_string(), "label!=a");
        for bad in
            ["", "name", "name=", "status=up", "exited=x", "colour=blue", "pod=p", "until=never"]
        {
            assert!(bad.parse::<ContainerFilter>().is_err(), "{bad}");
        }
    }

    #[test]
    fn reads_image_filters() {
        assert_eq!("dangling=true".parse(), Ok(ImageFilter::Dangling(true)));
        assert_eq!("after=x".parse(), Ok(ImageFilter::Since("x".into())));
        for bad in ["dangling", "dangling=maybe", "readonly=maybe", "containers"] {
            assert!(bad.parse::<ImageFilter>().is_err(), "{bad}");
        }
    }

    #[test]
    fn labels_match_by_key_value_and_absence() {
        let labels = [("a".to_owned(), "1".to_owned()), ("app.x".to_owned(), "2".to_owned())];
        let matches = |text: &str, negated| {
            LabelMatch::parse(text, negated).matches(labels.iter().map(|(k, v)| (k, v)))
        };
        assert!(
            matches("a", false)
                && matches("a=1", false)
                && matches("app.*", false)
                && matches("b", true)
        );
        assert!(!matches("a=2", false) && !matches("1", false) && !matches("a", true));
    }

    #[test]
    fn names_match_as_podman_users_write_them() {
        let matches = ContainerFilter::name_matches;
        assert!(
            matches("we", "web")
                && matches("^we", "web")
                && matches("eb$", "web")
                && matches("^web$", "web")
        );
        assert!(!matches("^eb", "web") && !matches("^we$", "web") && !matches("we$", "web"));
    }
}
