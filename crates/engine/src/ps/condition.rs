//! The conditions of `ps --filter`, with the containers and images they name looked up.
//!
//! Of one key any value may hold, of several keys each must; labels must hold all, as in podman and docker.

use std::mem::{Discriminant, discriminant};

use dhow_state::Snapshot;
use dhow_storage::ChainId;

use crate::config::{ContainerConfig, RootfsSource};
use crate::engine::Engine;
use crate::error::{Error, Result};
use crate::request::{ContainerFilter, NamespaceMode, RestartPolicy};

/// All conditions of a request.
pub(super) struct Conditions {
    groups: Vec<Vec<Condition>>,
    about_status: bool,
}

/// One condition.
enum Condition {
    /// A filter that the container alone decides.
    Plain(ContainerFilter),
    CreatedBefore(i64),
    CreatedAfter(i64),
    Ancestor {
        text: String,
        image: Option<(String, Vec<ChainId>)>,
    },
}

/// What conditions look at.
struct Facts<'a> {
    id: &'a str,
    name: &'a str,
    status: String,
    exit_code: Option<i32>,
    created: i64,
    config: &'a ContainerConfig,
}

impl Conditions {
    /// Looks up what the filters name.
    pub(super) fn new(engine: &Engine, filters: &[ContainerFilter]) -> Result<Conditions> {
        let mut groups: Vec<(Option<Discriminant<ContainerFilter>>, Vec<Condition>)> = Vec::new();
        for filter in filters {
            let condition = resolve(engine, filter)?;
            // A label stands alone: it is never one of several that would do.
            let key = (!matches!(filter, ContainerFilter::Label(_))).then(|| discriminant(filter));
            match groups.iter_mut().find(|(other, _)| key.is_some() && *other == key) {
                Some((_, group)) => group.push(condition),
                None => groups.push((key, vec![condition])),
            }
        }
        let about_status = filters
            .iter()
            .any(|f| matches!(f, ContainerFilter::Status(_) | ContainerFilter::Exited(_)));
        Ok(Conditions {
            groups: groups.into_iter().map(|(_, group)| group).collect(),
            about_status,
        })
    }

    /// Whether they choose among containers by what these do, so that those that run are not preferred.
    pub(super) fn about_status(&self) -> bool {
        self.about_status
    }

    /// Whether they hold.
    pub(super) fn hold(&self, snapshot: &Snapshot, config: &ContainerConfig) -> bool {
        if self.groups.is_empty() {
            return true;
        }
        self.hold_for(&Facts {
            id: snapshot.id().as_str(),
            name: snapshot.name.as_str(),
            status: snapshot.status().to_string(),
            exit_code: snapshot.exit_code(),
            created: snapshot.config.created,
            config,
        })
    }

    fn hold_for(&self, facts: &Facts<'_>) -> bool {
        self.groups.iter().all(|group| group.iter().any(|condition| condition.holds(facts)))
    }
}

fn resolve(engine: &Engine, filter: &ContainerFilter) -> Result<Condition> {
    let created =
        |name: &str| Ok::<i64, Error>(engine.snapshot(&engine.resolve(name)?)?.config.created);
    Ok(match filter {
        ContainerFilter::Before(name) => Condition::CreatedBefore(created(name)?),
        ContainerFilter::Since(name) => Condition::CreatedAfter(created(name)?),
        ContainerFilter::Until(moment) => {
            Condition::CreatedBefore(moment.resolve(dhow_state::now()))
        }
        ContainerFilter::Ancestor(text) => {
            let image = match engine.find_image(text) {
                Ok(image) => Some((image.id.hex(), image.layers)),
                // Containers of an image that was removed by force still know its name and id.
                Err(Error::NoSuch { .. }) => None,
                Err(other) => return Err(other),
            };
            Condition::Ancestor { text: text.clone(), image }
        }
        other => Condition::Plain(other.clone()),
    })
}

impl Condition {
    fn holds(&self, facts: &Facts<'_>) -> bool {
        match self {
            Condition::CreatedBefore(moment) => facts.created < *moment,
            Condition::CreatedAfter(moment) => facts.created > *moment,
            Condition::Ancestor { text, image } => descends(facts.config, text, image.as_ref()),
            Condition::Plain(filter) => plain(filter, facts),
        }
    }
}

fn plain(filter: &ContainerFilter, facts: &Facts<'_>) -> bool {
    let config = facts.config;
    match filter {
        ContainerFilter::Id(prefix) => facts.id.starts_with(prefix.as_str()),
        ContainerFilter::Name(pattern) => ContainerFilter::name_matches(pattern, facts.name),
        ContainerFilter::Label(wanted) => wanted.matches(&config.labels),
        ContainerFilter::Status(wanted) => same_status(wanted, &facts.status),
        ContainerFilter::Exited(code) => {
            same_status("exited", &facts.status) && facts.exit_code == Some(*code)
        }
        ContainerFilter::Volume(wanted) => config.mounts_shown.iter().any(|mount| {
            mount.name.as_ref() == Some(wanted)
                || mount.destination == *wanted
                || mount.source == *wanted
        }),
        ContainerFilter::RestartPolicy(wanted) => policy_name(config.restart) == wanted,
        ContainerFilter::Network(wanted) => {
            network_name(config) == *wanted
                || config.networks.iter().any(|of| of.network.as_str() == wanted)
        }
        // Looked up by `resolve`; as it stands it holds for nobody.
        ContainerFilter::Before(_)
        | ContainerFilter::Since(_)
        | ContainerFilter::Until(_)
        | ContainerFilter::Ancestor(_) => false,
    }
}

/// The image itself, or one whose layers begin with all of that image's.
fn descends(config: &ContainerConfig, text: &str, image: Option<&(String, Vec<ChainId>)>) -> bool {
    let Some(used) = &config.image else { return false };
    match image {
        Some((id, layers)) => {
            let built_on = match &config.rootfs {
                RootfsSource::Layers(chain) => !layers.is_empty() && chain.starts_with(layers),
                RootfsSource::Directory(_) | RootfsSource::OverlayOf(_) => false,
            };
            used.id == *id || built_on
        }
        None => {
            used.name == text
                || used.asked == text
                || (text.len() >= 3 && used.id.starts_with(text))
        }
    }
}

/// `configured` is created by another name, and who asks for exited ones means those not cleaned up yet too.
fn same_status(wanted: &str, status: &str) -> bool {
    let common = |status: &str| match status {
        "configured" => "created".to_owned(),
        "stopped" => "exited".to_owned(),
        other => other.to_owned(),
    };
    common(wanted) == common(status)
}

/// The policy without its count.
pub(crate) fn policy_name(policy: RestartPolicy) -> &'static str {
    match policy {
        RestartPolicy::No => "no",
        RestartPolicy::OnFailure(_) => "on-failure",
        RestartPolicy::Always => "always",
        RestartPolicy::UnlessStopped => "unless-stopped",
    }
}

fn network_name(config: &ContainerConfig) -> String {
    config.namespace_modes.network.as_ref().unwrap_or(&NamespaceMode::Private).to_string()
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use super::*;
    use crate::config::{ImageUsed, MountShown};

    fn config() -> ContainerConfig {
        let labels: BTreeMap<String, String> =
            [("a".into(), "b".into()), ("tier".into(), "web".into())].into();
        ContainerConfig {
            labels,
            restart: RestartPolicy::OnFailure(Some(3)),
            image: Some(ImageUsed {
                id: "0fc222e2ab90".into(),
                digest: dhow_storage::Digest::of(b"x"),
                name: "localhost/busy:1".into(),
                asked: "busy:1".into(),
            }),
            mounts_shown: vec![MountShown {
                name: Some("data".into()),
                destination: "/data".into(),
                ..MountShown::default()
            }],
            ..ContainerConfig::default()
        }
    }

    fn holds(filters: &[&str]) -> bool {
        let filters: Vec<ContainerFilter> =
            filters.iter().map(|text| text.parse().unwrap()).collect();
        let mut conditions = Conditions { groups: Vec::new(), about_status: false };
        for filter in &filters {
            conditions.groups.push(vec![Condition::Plain(filter.clone())]);
        }
        conditions.hold_for(&Facts {
            id: "1f56e9c5bd3e",
            name: "web",
            status: "stopped".into(),
            exit_code: Some(3),
            created: 100,
            config: &config(),
        })
    }

    #[test]
    fn each_key() {
        for (filter, expected) in [
            ("id=1f56", true),
            ("id=f56", false),
            ("name=we", true),
            ("name=^eb", false),
            ("label=a", true),
            ("label=a=b", true),
            ("label=a=c", false),
            ("label!=a", false),
            ("label!=zz", true),
            ("status=exited", true),
            ("status=stopped", true),
            ("status=running", false),
            ("exited=3", true),
            ("exited=0", false),
            ("volume=data", true),
            ("volume=/data", true),
            ("volume=/dat", false),
            ("restart-policy=on-failure", true),
            ("restart-policy=always", false),
            ("network=private", true),
            ("network=host", false),
        ] {
            assert_eq!(holds(&[filter]), expected, "{filter}");
        }
        assert!(!holds(&["label=a", "label=zz"]));
    }

    #[test]
    fn a_status_has_two_names() {
        assert!(same_status("configured", "created"));
        assert!(!same_status("created", "initialized"));
        assert!(same_status("exited", "stopped"));
    }

    #[test]
    fn an_image_that_is_gone_is_known_by_its_name() {
        assert!(descends(&config(), "busy:1", None));
        assert!(descends(&config(), "localhost/busy:1", None));
        assert!(descends(&config(), "0fc2", None));
        assert!(!descends(&config(), "busy", None));
        assert!(descends(&config(), "x", Some(&("0fc222e2ab90".into(), Vec::new()))));
        assert!(!descends(&config(), "x", Some(&("1".into(), Vec::new()))));
    }
}
