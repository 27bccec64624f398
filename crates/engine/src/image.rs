//! Images in the store: finding one by what the user calls it, the list, and all that is known of one.

mod mount;
mod pattern;
mod tree;

use std::collections::{BTreeMap, HashMap};

use dhow_image::{HistoryEntry, ImageConfig, ImageReference};
use dhow_state::ContainerId;
use dhow_storage::{ChainId, Image, ImageId};

use crate::engine::Engine;
use crate::error::{Error, Object, Result};
use crate::report::{
    GraphDriver, HistoryRow, ImageInspect, ImageRootFs, ImageRow, ImagesReport, Time,
};
use crate::request::{ImageFilter, ImagesRequest};

/// How large the manifest of a stored image may be.
const MAX_MANIFEST: u64 = 4 << 20;

/// An image and the name by which it was found.
#[derive(Debug)]
pub(crate) struct FoundImage {
    pub(crate) image: Image,
    /// Fully qualified; `None` where it was found by id.
    pub(crate) name: Option<String>,
}

impl Engine {
    /// The images that satisfy every filter, newest first. A damaged one is named in the report and harms no other.
    ///
    /// # Errors
    /// The store cannot be read; an image in a filter does not exist.
    pub fn images(&self, request: &ImagesRequest) -> Result<ImagesReport> {
        let conditions = self.conditions(request)?;
        let users = self.image_users()?;
        let list = self.storage()?.images().map_err(Error::Storage)?;
        let mut report = ImagesReport {
            images: Vec::new(),
            errors: list.corrupt.into_iter().map(Error::Storage).collect(),
        };
        for (image, names) in list.images {
            match row(&image, names, &users) {
                Ok(row)
                    if conditions.iter().all(|condition| condition.holds(&row, image.created)) =>
                {
                    report.images.push(row);
                }
                Ok(_) => {}
                Err(error) => report.errors.push(error),
            }
        }
        report
            .images
            .sort_by(|a, b| b.created_at.cmp(&a.created_at).then_with(|| a.names.cmp(&b.names)));
        Ok(report)
    }

    /// Everything about one image.
    ///
    /// # Errors
    /// [`Error::NoSuch`], [`Error::Ambiguous`].
    pub fn image_inspect(&self, image: &str) -> Result<ImageInspect> {
        let image = self.find_image(image)?;
        let storage = self.storage()?;
        let names = storage.image_names(&image.id).map_err(Error::Storage)?;
        let config = config_of(&image)?;
        let manifest = storage.read_blob(&image.digest, MAX_MANIFEST).map_err(Error::Storage)?;
        Ok(ImageInspect {
            id: image.id.hex(),
            digest: image.digest.to_string(),
            repo_digests: repo_digests(&image, &names),
            repo_tags: names.iter().filter(|name| !name.contains('@')).cloned().collect(),
            parent: String::new(),
            comment: config.comment().to_owned(),
            created: Time::from_unix_nanos(image.created),
            version: config
                .other
                .get("docker_version")
                .and_then(|v| v.as_str())
                .unwrap_or_default()
                .to_owned(),
            author: config.author,
            architecture: config.architecture,
            os: config.os,
            size: image.size,
            virtual_size: image.size,
            graph_driver: self.graph_driver(&image.layers)?,
            root_fs: ImageRootFs {
                kind: "layers".to_owned(),
                layers: image.diff_ids.iter().map(ToString::to_string).collect(),
            },
            labels: config.config.labels.clone(),
            annotations: dhow_image::manifest_annotations(&manifest),
            manifest_type: dhow_image::manifest_media_type(&manifest),
            user: config.config.user.clone(),
            config: config.config,
            history: config.history,
            names_history: names,
        })
    }

    /// Whether there is such an image.
    ///
    /// # Errors
    /// The id prefix is ambiguous; the store cannot be read.
    pub fn image_exists(&self, image: &str) -> Result<bool> {
        match self.find_image(image) {
            Ok(_) => Ok(true),
            Err(Error::NoSuch { .. }) => Ok(false),
            Err(error) => Err(error),
        }
    }

    /// How an image came to be, newest step first. A step after which an image was stored that is still here has its
    /// id.
    ///
    /// # Errors
    /// [`Error::NoSuch`], [`Error::Ambiguous`].
    pub fn history(&self, image: &str) -> Result<Vec<HistoryRow>> {
        let image = self.find_image(image)?;
        let names = self.storage()?.image_names(&image.id).map_err(Error::Storage)?;
        let mut history = config_of(&image)?.history;
        let with_layer = history.iter().filter(|step| !step.empty_layer).count();
        // A builder that writes no history has made layers all the same.
        let untold = image.layers.len().saturating_sub(with_layer);
        history.extend(std::iter::repeat_n(HistoryEntry::default(), untold));
        let others = if history.len() > 1 { self.by_history()? } else { HashMap::new() };
        let mut layers = 0;
        let mut rows: Vec<HistoryRow> = Vec::with_capacity(history.len());
        for (step, number) in history.iter().zip(1..) {
            let mut size = 0;
            if !step.empty_layer {
                size = image.layer_sizes.get(layers).copied().unwrap_or_default();
                layers += 1;
            }
            let below = image.layers.get(..layers).and_then(|chain| chain.last()).copied();
            rows.push(HistoryRow {
                id: others
                    .get(&(below, number))
                    .map_or_else(|| "<missing>".to_owned(), ImageId::hex),
                created: moment(step.created.as_deref()),
                created_by: step.created_by.clone(),
                size,
                comment: step.comment.clone(),
                tags: Vec::new(),
            });
        }
        rows.reverse();
        if let Some(newest) = rows.first_mut() {
            newest.id = image.id.hex();
            newest.tags = names;
        }
        Ok(rows)
    }

    /// The oldest image for each top layer and number of steps: what another image's history can be built on.
    fn by_history(&self) -> Result<HashMap<(Option<ChainId>, usize), ImageId>> {
        let mut images = self.storage()?.images().map_err(Error::Storage)?.images;
        images.sort_by_key(|(image, _)| image.created);
        let mut oldest = HashMap::new();
        for (image, _) in images {
            let Ok(config) = config_of(&image) else { continue };
            oldest.entry((image.layers.last().copied(), config.history.len())).or_insert(image.id);
        }
        Ok(oldest)
    }

    /// The image of that name, id, unique id prefix or digest.
    pub(crate) fn find_image(&self, text: &str) -> Result<Image> {
        self.find_image_named(text).map(|found| found.image)
    }

    /// As [`Engine::find_image`], with the name by which it was found. A name goes before an id; a short name is
    /// looked for under `localhost`, then docker.io, then under whatever registry there is.
    pub(crate) fn find_image_named(&self, text: &str) -> Result<FoundImage> {
        let storage = self.storage()?;
        let no_such = || Error::NoSuch { object: Object::Image, name: text.to_owned() };
        let candidates = ImageReference::candidates(text).unwrap_or_default();
        for candidate in &candidates {
            let found = match candidate.digest() {
                Some(digest) => self.find_by_digest(candidate, &digest.to_string(), text)?,
                None => found(storage.resolve_image(&candidate.to_string()), text)?
                    .map(|image| FoundImage { image, name: Some(candidate.to_string()) }),
            };
            if let Some(found) = found {
                return Ok(found);
            }
        }
        if is_id(text)
            && let Some(image) = found(storage.resolve_image(text), text)?
        {
            return Ok(FoundImage { image, name: None });
        }
        let [local, _] = candidates.as_slice() else { return Err(no_such()) };
        match self.find_by_alias(text)? {
            Some(found) => Ok(found),
            None => self.find_anywhere(local, text)?.ok_or_else(no_such),
        }
    }

    /// What registries.conf takes a short name for: an alias, or an image of a registry that is searched.
    fn find_by_alias(&self, text: &str) -> Result<Option<FoundImage>> {
        let names = match dhow_image::short_names(&self.options.registries, text) {
            Ok(names) => names,
            Err(error) => {
                tracing::debug!(%error, "the short name is looked for as it is");
                return Ok(None);
            }
        };
        for name in names {
            if let Some(image) = found(self.storage()?.resolve_image(&name.to_string()), text)? {
                return Ok(Some(FoundImage { image, name: Some(name.to_string()) }));
            }
        }
        Ok(None)
    }

    /// `name@sha256:…`: pulled under that very name, or the digest decides and the image must have that name.
    fn find_by_digest(
        &self,
        reference: &ImageReference,
        digest: &str,
        text: &str,
    ) -> Result<Option<FoundImage>> {
        let storage = self.storage()?;
        let exact = reference.digest().map(|digest| reference.with_digest(*digest).to_string());
        if let Some(name) = exact
            && let Some(image) = found(storage.resolve_image(&name), text)?
        {
            return Ok(Some(FoundImage { image, name: Some(name) }));
        }
        let Some(image) = found(storage.resolve_image(digest), digest)? else { return Ok(None) };
        let names = storage.image_names(&image.id).map_err(Error::Storage)?;
        let named =
            names.iter().any(|name| repository(name).as_deref() == Some(reference.name().as_str()));
        Ok(named.then(|| FoundImage { image, name: Some(reference.to_string()) }))
    }

    /// A short name under any registry: `tool:1` may be `example.org/team/tool:1`.
    fn find_anywhere(&self, short: &ImageReference, text: &str) -> Result<Option<FoundImage>> {
        let storage = self.storage()?;
        let suffix = format!("/{}", short.repository());
        let mut matching: Vec<(String, ImageId)> = storage.names().map_err(Error::Storage)?;
        matching.retain(|(name, _)| {
            name.parse::<ImageReference>()
                .is_ok_and(|other| other.tag() == short.tag() && other.name().ends_with(&suffix))
        });
        let Some((name, id)) = matching.first().cloned() else { return Ok(None) };
        if matching.iter().any(|(_, other)| *other != id) {
            let candidates: Vec<String> = matching.into_iter().map(|(name, _)| name).collect();
            return Err(Error::Ambiguous {
                object: Object::Image,
                name: text.to_owned(),
                candidates: candidates.join(", "),
            });
        }
        let image = storage.image(&id).map_err(Error::Storage)?;
        Ok(Some(FoundImage { image, name: Some(name) }))
    }

    /// The containers made of each image, by its id.
    pub(crate) fn image_users(&self) -> Result<HashMap<ImageId, Vec<ContainerId>>> {
        let mut users: HashMap<ImageId, Vec<ContainerId>> = HashMap::new();
        for id in self.store.ids().map_err(Error::State)? {
            // A container that cannot be read, or has gone meanwhile, is no reason not to list images.
            let Ok(config) = self.snapshot(&id).and_then(|snapshot| self.config_of(&snapshot))
            else {
                continue;
            };
            if let Some(image) = config.image.and_then(|used| used.id.parse().ok()) {
                users.entry(image).or_default().push(id);
            }
        }
        Ok(users)
    }

    /// The layers that containers stand on, for the collection of those that nobody needs. `None`: a container cannot
    /// be read, so nobody knows what it needs.
    pub(crate) fn layers_in_use(&self) -> Option<Vec<ChainId>> {
        let mut layers = Vec::new();
        for id in self.store.ids().ok()? {
            let config = match self.snapshot(&id) {
                Ok(snapshot) => self.config_of(&snapshot).ok()?,
                Err(Error::NoSuch { .. }) => continue,
                Err(_) => return None,
            };
            if let crate::config::RootfsSource::Layers(chain) = config.rootfs {
                layers.extend(chain);
            }
        }
        layers.extend(self.layers_mounted().ok()?);
        Some(layers)
    }

    /// Removes what a failed or killed command has left in the image store. Best effort: the next one tries again.
    pub(crate) fn tidy_images(&self) {
        let collected = self.storage().map(|storage| storage.collect(&|| self.layers_in_use()));
        match collected {
            Ok(Ok(collected)) => tracing::debug!(?collected, "image store tidied"),
            Ok(Err(error)) => tracing::debug!(%error, "image store not tidied"),
            Err(error) => tracing::debug!(%error, "image store not tidied"),
        }
    }

    fn conditions(&self, request: &ImagesRequest) -> Result<Vec<Condition>> {
        let now = i64::try_from(jiff::Timestamp::now().as_nanosecond()).unwrap_or(i64::MAX);
        let mut conditions: Vec<Condition> =
            request.name.iter().map(|name| Condition::Reference(name.clone())).collect();
        for filter in &request.filters {
            conditions.push(match filter {
                ImageFilter::Before(image) => Condition::Before(self.find_image(image)?.created),
                ImageFilter::Since(image) => Condition::Since(self.find_image(image)?.created),
                ImageFilter::Until(moment) => Condition::Until(moment.resolve(now)),
                ImageFilter::Dangling(dangling) => Condition::Dangling(*dangling),
                ImageFilter::Label(label) => Condition::Label(label.clone()),
                ImageFilter::Reference(pattern) => Condition::Reference(pattern.clone()),
                ImageFilter::Id(prefix) => Condition::Id(prefix.clone()),
                ImageFilter::Containers(used) => Condition::Containers(*used),
                ImageFilter::ReadOnly(read_only) => Condition::ReadOnly(*read_only),
            });
        }
        Ok(conditions)
    }

    fn graph_driver(&self, layers: &[ChainId]) -> Result<GraphDriver> {
        let storage = self.storage()?;
        let mut dirs =
            layers.iter().rev().map(|chain| storage.layer_diff(chain).display().to_string());
        let mut data = BTreeMap::new();
        if let Some(top) = dirs.next() {
            data.insert("UpperDir".to_owned(), top);
        }
        let lower: Vec<String> = dirs.collect();
        if !lower.is_empty() {
            data.insert("LowerDir".to_owned(), lower.join(":"));
        }
        Ok(GraphDriver { name: "overlay".to_owned(), data })
    }
}

/// A filter whose words have been looked up.
enum Condition {
    Before(i64),
    Since(i64),
    Until(i64),
    Dangling(bool),
    Label(crate::request::LabelMatch),
    Reference(String),
    Id(String),
    Containers(bool),
    ReadOnly(bool),
}

impl Condition {
    fn holds(&self, row: &ImageRow, created: i64) -> bool {
        match self {
            Condition::Before(than) => created < *than,
            Condition::Since(than) => created > *than,
            Condition::Until(moment) => created < *moment,
            Condition::Containers(used) => (row.containers > 0) == *used,
            // Every image is of the one store, which can be written.
            Condition::ReadOnly(read_only) => !read_only,
            Condition::Dangling(dangling) => row.dangling == *dangling,
            Condition::Label(label) => label.matches(&row.labels),
            Condition::Reference(pattern) => {
                row.names.iter().any(|name| pattern::matches(pattern, name))
            }
            Condition::Id(prefix) => {
                row.id.starts_with(prefix.strip_prefix("sha256:").unwrap_or(prefix))
            }
        }
    }
}

/// The configuration of a stored image.
pub(crate) fn config_of(image: &Image) -> Result<ImageConfig> {
    ImageConfig::parse(image.config.get().as_bytes())
        .map_err(|why| Error::Invalid(format!("image {} is damaged: {why}", image.id.short())))
}

fn row(
    image: &Image,
    names: Vec<String>,
    users: &HashMap<ImageId, Vec<ContainerId>>,
) -> Result<ImageRow> {
    let created = Time::from_unix_nanos(image.created);
    Ok(ImageRow {
        id: image.id.hex(),
        repo_digests: repo_digests(image, &names),
        size: image.size,
        virtual_size: image.size,
        labels: config_of(image)?.config.labels,
        containers: users.get(&image.id).map_or(0, |users| users.len() as u64),
        digest: image.digest.to_string(),
        created,
        created_at: created,
        dangling: names.is_empty(),
        repo_tags: names.iter().filter(|name| !name.contains('@')).cloned().collect(),
        history: names.clone(),
        names,
        ..ImageRow::default()
    })
}

fn repo_digests(image: &Image, names: &[String]) -> Vec<String> {
    let mut digests: Vec<String> = names
        .iter()
        .filter_map(|name| Some(format!("{}@{}", repository(name)?, image.digest)))
        .chain(names.iter().filter(|name| name.contains('@')).cloned())
        .collect();
    digests.sort();
    digests.dedup();
    digests
}

fn repository(name: &str) -> Option<String> {
    name.parse::<ImageReference>().ok().map(|reference| reference.name())
}

fn moment(text: Option<&str>) -> Time {
    text.and_then(|text| text.parse::<jiff::Timestamp>().ok()).map_or(Time::NEVER, Time::from)
}

/// May this be an id, a prefix of one, or a digest?
fn is_id(text: &str) -> bool {
    let hex = text.strip_prefix("sha256:").unwrap_or(text);
    !hex.is_empty()
        && hex.len() <= 64
        && hex.bytes().all(|b| matches!(b, b'0'..=b'9' | b'a'..=b'f'))
}

/// The answer of a lookup: not to be there is no error yet.
fn found(answer: dhow_storage::Result<Image>, text: &str) -> Result<Option<Image>> {
    match answer {
        Ok(image) => Ok(Some(image)),
        Err(dhow_storage::Error::NotFound { .. } | dhow_storage::Error::Invalid { .. }) => Ok(None),
        Err(dhow_storage::Error::Ambiguous { candidates, .. }) => Err(Error::Ambiguous {
            object: Object::Image,
            name: text.to_owned(),
            candidates: candidates.join(", "),
        }),
        Err(error) => Err(Error::Storage(error)),
    }
}

#[cfg(test)]
mod tests;
