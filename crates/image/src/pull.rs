//! `pull`: an image of a registry into the store.
//!
//! Every layer is downloaded by one of several threads into a file, and extracted from that file while it grows: the
//! network, the checks, the decompression and the disk work at the same time. ORDER: what the image needs is claimed
//! before it is looked for; all layers are in the store before the image is recorded.
//! CRASH: what a killed pull leaves are downloads (`Storage::partial`), where the next one goes on, and layers that no
//! image refers to yet, which it finds.

mod download;

use std::time::Duration;

use dhow_storage::{ChainId, Digest, ImageId, LayerSource, Lease, Limits, NewImage, Storage};

use self::download::{Downloads, Wanted};
use crate::config::ImageConfig;
use crate::error::{Error, Result};
use crate::manifest::{self, Document, Manifest};
use crate::platform::Platform;
use crate::policy;
use crate::progress::{Event, Progress};
use crate::reference::ImageReference;
use crate::registry::conf::RegistriesConf;
use crate::registry::settings::{Access, RegistrySettings};
use crate::registry::{Found, Remote};

/// How deep indexes may nest.
const MAX_DEPTH: usize = 8;

/// How to pull.
#[derive(Debug, Clone, Default)]
pub struct PullOptions {
    /// Which image of a multi-platform index; this machine's by default.
    pub platform: Platform,
    /// How the registry is reached.
    pub access: Access,
    /// What each layer may ask for.
    pub limits: Limits,
}

/// An image that has been pulled.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Pulled {
    /// Its id.
    pub id: ImageId,
    /// The name that it has now.
    pub name: ImageReference,
    /// What it says it is for.
    pub platform: Platform,
}

/// An image as its registry describes it: its documents read and verified.
struct Description {
    manifest: Vec<u8>,
    parsed: Manifest,
    config: Vec<u8>,
    image: ImageConfig,
}

/// Pulls the image that `text` means.
///
/// # Errors
/// Any of [`Error`]; the store then has the image it had before, if any.
pub fn pull(
    storage: &Storage,
    settings: &RegistrySettings,
    text: &str,
    options: &PullOptions,
    progress: &Progress,
) -> Result<Pulled> {
    let (name, remote, found) = locate(settings, text, options, progress)?;
    fetch(storage, &name, &remote, found, options, progress)
}

/// Pulls every tag of a repository.
///
/// # Errors
/// As [`pull`]; the images before the one at fault are in the store then.
pub fn pull_all_tags(
    storage: &Storage,
    settings: &RegistrySettings,
    text: &str,
    options: &PullOptions,
    progress: &Progress,
) -> Result<Vec<Pulled>> {
    let conf = RegistriesConf::read(&settings.registries_conf, &settings.registries_dirs)?;
    let mut failed = None;
    for name in conf.resolve(text)? {
        let tags = conf.locations(&name).and_then(|locations| {
            attempt(&locations, |location| {
                retrying(&options.access, progress, || {
                    Remote::open(settings, &options.access, &conf, location)?.tags()
                })
            })
        });
        match tags {
            Ok(tags) => {
                let pull_tag = |tag: String| {
                    pull(storage, settings, &format!("{}:{tag}", name.name()), options, progress)
                };
                return tags.into_iter().map(pull_tag).collect();
            }
            Err(error) => failed = Some(error),
        }
    }
    Err(failed.unwrap_or_else(|| nowhere(text)))
}

/// The digest that the registry has for a name now: of the manifest or index.
///
/// # Errors
/// As [`pull`].
pub fn remote_digests(
    settings: &RegistrySettings,
    text: &str,
    options: &PullOptions,
) -> Result<Vec<Digest>> {
    let progress = Progress::default();
    let (_, remote, found) = locate(settings, text, options, &progress)?;
    let top = found.digest;
    let (_, manifest) = image_manifest(&remote, found, &options.platform)?;
    Ok(vec![top, Digest::of(&manifest)])
}

/// Finds the first place that has the image.
fn locate(
    settings: &RegistrySettings,
    text: &str,
    options: &PullOptions,
    progress: &Progress,
) -> Result<(ImageReference, Remote, Found)> {
    let conf = RegistriesConf::read(&settings.registries_conf, &settings.registries_dirs)?;
    let mut failed = None;
    for name in conf.resolve(text)? {
        policy::check(&settings.policy, &name)?;
        let locations = conf.locations(&name)?;
        progress.send(Event::Trying { name: name.to_string() });
        let found = attempt(&locations, |location| {
            retrying(&options.access, progress, || {
                let remote = Remote::open(settings, &options.access, &conf, location)?;
                let found = remote.manifest(&name)?;
                Ok((remote, found))
            })
        });
        match found {
            Ok((remote, found)) => return Ok((name, remote, found)),
            Err(error) => {
                tracing::debug!(%name, %error, "not found there");
                failed = Some(error);
            }
        }
    }
    Err(failed.unwrap_or_else(|| nowhere(text)))
}

fn nowhere(text: &str) -> Error {
    Error::ShortName { name: text.to_owned(), why: "there is no registry to ask".to_owned() }
}

/// The first of several places that answers well; the error of the last, which is the registry itself.
fn attempt<L, T>(locations: &[L], mut ask: impl FnMut(&L) -> Result<T>) -> Result<T> {
    let mut failed = None;
    for location in locations {
        match ask(location) {
            Ok(found) => return Ok(found),
            Err(error) => {
                tracing::debug!(%error, "a place does not have it");
                failed = Some(error);
            }
        }
    }
    Err(failed.unwrap_or_else(|| nowhere("")))
}

/// Tries again what the network broke.
pub(crate) fn retrying<T>(
    access: &Access,
    progress: &Progress,
    mut work: impl FnMut() -> Result<T>,
) -> Result<T> {
    let mut attempt = 0;
    loop {
        match work() {
            Err(error @ Error::Network { .. }) if attempt < access.retry => {
                progress.send(Event::Retrying { why: chain(&error) });
                pause(access, attempt);
                attempt += 1;
            }
            other => return other,
        }
    }
}

/// Waits before the next attempt: there is nothing whose event would say that the network is better.
fn pause(access: &Access, attempt: u32) {
    let delay = access.retry_delay.unwrap_or(Duration::from_secs(1 << attempt.min(5)));
    let (keep, nobody) = std::sync::mpsc::channel::<()>();
    // It ends by its time: nobody sends.
    let _timed_out = nobody.recv_timeout(delay);
    drop(keep);
}

fn chain(error: &Error) -> String {
    let cause = std::error::Error::source(error);
    cause.map_or_else(|| error.to_string(), |cause| format!("{error}: {cause}"))
}

/// Follows indexes to the manifest for the platform.
fn image_manifest(
    remote: &Remote,
    mut found: Found,
    platform: &Platform,
) -> Result<(Manifest, Vec<u8>)> {
    let host = &remote.client.host;
    for _ in 0..MAX_DEPTH {
        let entry = format!("manifest {}", found.digest);
        let malformed =
            |why: String| Error::Malformed { archive: host.clone(), entry: entry.clone(), why };
        match manifest::parse(&found.bytes, &found.media_type).map_err(malformed)? {
            Document::Manifest(manifest) => return Ok((*manifest, found.bytes)),
            Document::Index(index) => {
                let chosen = manifest::choose(host, &entry, &index.manifests, platform)?;
                let expected = chosen.media_type.clone();
                found = remote.manifest_by_digest(&chosen.digest)?;
                // The descriptor decides what it is read as.
                found.media_type = expected;
            }
        }
    }
    Err(Error::Malformed {
        archive: host.clone(),
        entry: "the index".to_owned(),
        why: "indexes in it are nested too deeply".to_owned(),
    })
}

fn describe(remote: &Remote, found: Found, platform: &Platform) -> Result<Description> {
    let (parsed, manifest) = image_manifest(remote, found, platform)?;
    let archive = || remote.client.host.clone();
    let entry = || format!("image {}", remote.repository);
    let unsupported =
        |what: String| Error::Unsupported { archive: archive(), entry: entry(), what };
    let malformed = |why: String| Error::Malformed { archive: archive(), entry: entry(), why };
    if !manifest::is_config(&parsed.config.media_type) {
        return Err(unsupported(format!("an artifact of type {:?}", parsed.config.media_type)));
    }
    for layer in &parsed.layers {
        if manifest::is_foreign(&layer.media_type) {
            return Err(unsupported(format!(
                "the foreign layer {}, which must come from somewhere else than the registry,",
                layer.digest
            )));
        }
        if !manifest::is_layer(&layer.media_type) {
            return Err(unsupported(format!("a layer of type {:?}", layer.media_type)));
        }
    }
    let config = remote.read_blob(&parsed.config.digest, parsed.config.size)?;
    let image = ImageConfig::parse(&config).map_err(malformed)?;
    let (said, layers) = (image.rootfs.diff_ids.len(), parsed.layers.len());
    if said != layers {
        return Err(malformed(format!("it has {layers} layers, and its configuration has {said}")));
    }
    Ok(Description { manifest, parsed, config, image })
}

fn fetch(
    storage: &Storage,
    name: &ImageReference,
    remote: &Remote,
    found: Found,
    options: &PullOptions,
    progress: &Progress,
) -> Result<Pulled> {
    let mut found = Some(found);
    let described = retrying(&options.access, progress, || match found.take() {
        Some(found) => describe(remote, found, &options.platform),
        None => describe(remote, remote.manifest(name)?, &options.platform),
    })?;
    let lease = storage.lease().map_err(Error::store("write to the image store"))?;
    let layers = match apply(storage, &lease, remote, &described, options, progress) {
        // What an earlier pull has left was not what it should be: everything once more from the beginning.
        Err(failed) if failed.1 => {
            tracing::debug!(error = %failed.0, "an earlier download was damaged");
            apply(storage, &lease, remote, &described, options, progress)
        }
        other => other,
    }
    .map_err(|failed| failed.0)?;
    let kept = kept_name(name);
    let new = NewImage {
        created: described.image.created_nanos(),
        config: described.config,
        manifest: Some(described.manifest),
        layers,
        names: vec![kept.to_string()],
    };
    let stored = lease.add_image(&new).map_err(Error::store(format!("record the image {name}")))?;
    Ok(Pulled { id: stored.id, name: kept, platform: described.image.platform() })
}

/// A tag says less than a digest beside it: an image asked for by both is known by the digest, as with podman.
fn kept_name(name: &ImageReference) -> ImageReference {
    match name.digest() {
        Some(digest) => name.with_digest(*digest),
        None => name.clone(),
    }
}

type Applied = std::result::Result<Vec<dhow_storage::Layer>, Box<(Error, bool)>>;

/// Downloads and extracts the layers. The error says whether another attempt without what earlier ones left may help.
fn apply(
    storage: &Storage,
    lease: &Lease<'_>,
    remote: &Remote,
    described: &Description,
    options: &PullOptions,
    progress: &Progress,
) -> Applied {
    let final_error = |error| Box::new((error, false));
    let diff_ids = &described.image.rootfs.diff_ids;
    let chains = ChainId::chain(diff_ids);
    lease.claim(&chains).map_err(Error::store("write to the image store")).map_err(final_error)?;
    let layers = described.parsed.layers.iter().zip(&chains);
    let wanted = layers.map(|(layer, chain)| Wanted {
        digest: layer.digest,
        size: layer.size,
        chain: *chain,
    });
    let downloads = Downloads::new(storage, remote, &options.access, progress, wanted);
    let result = std::thread::scope(|scope| {
        downloads.start(scope);
        let sources: Vec<LayerSource<'_>> = described
            .parsed
            .layers
            .iter()
            .zip(diff_ids)
            .map(|(layer, diff_id)| {
                let source = LayerSource::new(*diff_id, || downloads.open(&layer.digest));
                // The digest of the uncompressed bytes is checked anyway.
                let packed = layer.digest != *diff_id.digest();
                if packed { source.with_digest(layer.digest) } else { source }
            })
            .collect();
        let applied = lease.apply_all(&sources, &options.limits);
        downloads.stop();
        applied
    });
    match result {
        Ok(layers) => {
            downloads.forget();
            Ok(layers)
        }
        Err(source) => {
            // Where a download failed, the extraction failed because of it.
            if let Some(error) = downloads.failure() {
                return Err(final_error(error));
            }
            let wrong = is_content(&source);
            let again = wrong && downloads.resumed();
            if wrong {
                downloads.forget();
            }
            let action = format!("extract the layers of {}", remote.repository);
            Err(Box::new((Error::store(action)(source), again)))
        }
    }
}

/// Is it what came that is wrong, rather than this machine?
fn is_content(error: &dhow_storage::Error) -> bool {
    match error {
        dhow_storage::Error::DigestMismatch { .. }
        | dhow_storage::Error::Archive { .. }
        | dhow_storage::Error::Hostile { .. }
        | dhow_storage::Error::TooLarge { .. } => true,
        // A decoder's complaint on its way through a file's write has no number of the kernel's.
        dhow_storage::Error::Io { source, .. } => source.raw_os_error().is_none(),
        _ => false,
    }
}

#[cfg(test)]
mod tests;
