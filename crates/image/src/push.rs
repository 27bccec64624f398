//! `push`: a stored image to a registry, as much of it as the registry lacks.
//!
//! A layer that the registry has under the digest with which it came is not packed at all; one that was pulled from
//! another repository of the same registry is mounted from there. What must be sent is compressed, always to the same
//! bytes, so that a second push finds it there. ORDER: blobs first, the manifest that names them last.

use std::io::Read;

use dhow_storage::{Digest, Image, Storage};
use ureq::SendBody;
use ureq::http::{Method, StatusCode};

use crate::error::{Error, Result};
use crate::manifest::{self, Descriptor};
use crate::pack::{
    Pack, PackedLayer, Words, config_bytes, each, manifest_for, pack_layer, stored_manifest,
};
use crate::progress::{Event, Progress};
use crate::pull::retrying;
use crate::reference::ImageReference;
use crate::registry::Remote;
use crate::registry::conf::RegistriesConf;
use crate::registry::settings::{Access, RegistrySettings};

/// As many at a time as podman has.
const WORKERS: usize = 6;
/// Repositories that are asked for a blob.
const MAX_SOURCES: usize = 5;

/// In what form to push.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum PushFormat {
    /// As the image is.
    #[default]
    Same,
    /// OCI.
    Oci,
    /// docker's schema 2.
    Docker,
}

/// Pushes an image; gives the digest of the manifest that the registry has now.
///
/// # Errors
/// Any of [`Error`]; the registry may then have some of the blobs, and the tag is what it was.
pub fn push(
    storage: &Storage,
    settings: &RegistrySettings,
    image: &Image,
    target: &ImageReference,
    format: PushFormat,
    access: &Access,
    progress: &Progress,
) -> Result<Digest> {
    let conf = RegistriesConf::read(&settings.registries_conf, &settings.registries_dirs)?;
    let location = conf.origin(target)?;
    let remote =
        retrying(access, progress, || Remote::open_for_push(settings, access, &conf, &location))?;
    let stored = stored_manifest(storage, image).ok().map(|(manifest, _)| manifest);
    let words = match format {
        PushFormat::Oci => Words::Oci,
        PushFormat::Docker => Words::Docker,
        PushFormat::Same => match stored.as_ref().and_then(|m| m.media_type.as_deref()) {
            Some(manifest::DOCKER_MANIFEST) => Words::Docker,
            _ => Words::Oci,
        },
    };
    let lease = storage.lease().map_err(Error::store("read the image store"))?;
    let sources = siblings(storage, image, target)?;
    let push = Push { storage, remote: &remote, access, progress, sources };
    let layers = each(image.layers.len(), WORKERS, |index| {
        let known = stored.as_ref().and_then(|manifest| manifest.layers.get(index));
        // docker's manifests know no zstd.
        let fits = |known: &&Descriptor| {
            is_packed(&known.media_type)
                && !(words == Words::Docker && known.media_type.ends_with("zstd"))
        };
        if let Some(known) = known.filter(fits)
            && push.has(&known.digest)?
        {
            progress.send(Event::Present { layer: known.digest });
            let pack = known.media_type.rsplit(['+', '.']).next().unwrap_or_default();
            return Ok(Descriptor::new(&layer_type(words, pack), known.digest, known.size));
        }
        let packed = pack_layer(storage, &lease, image, index, Pack::Gzip, &Progress::default())?;
        push.layer(&packed)?;
        Ok(Descriptor::new(&words.layer(Pack::Gzip), packed.digest, packed.size))
    })?;
    let config = config_bytes(storage, image)?;
    push.bytes(image.id.digest(), &config)?;
    let manifest = manifest_for(storage, image, &config, layers, words)?;
    push.manifest(target, &manifest, words.manifest())
}

fn is_packed(media_type: &str) -> bool {
    ["gzip", "zstd"].iter().any(|pack| media_type.ends_with(pack))
}

fn layer_type(words: Words, pack: &str) -> String {
    match words {
        Words::Oci => format!("{}+{pack}", manifest::OCI_LAYER),
        Words::Docker => format!("{}.{pack}", manifest::DOCKER_LAYER),
    }
}

/// Other repositories of the same registry that an image with layers in common came from or went to: blobs may be there.
fn siblings(storage: &Storage, image: &Image, target: &ImageReference) -> Result<Vec<String>> {
    let images = storage.images().map_err(Error::store("read the images' names"))?.images;
    let shares = |other: &Image| other.layers.iter().any(|layer| image.layers.contains(layer));
    let mut found: Vec<String> = images
        .into_iter()
        .filter(|(other, _)| shares(other))
        .flat_map(|(_, names)| names)
        .filter_map(|name| name.parse::<ImageReference>().ok())
        .filter(|name| name.registry() == target.registry())
        .map(|name| name.repository().to_owned())
        .filter(|repository| repository != target.repository())
        .collect();
    found.sort();
    found.dedup();
    found.truncate(MAX_SOURCES);
    Ok(found)
}

struct Push<'a> {
    storage: &'a Storage,
    remote: &'a Remote,
    access: &'a Access,
    progress: &'a Progress,
    sources: Vec<String>,
}

impl Push<'_> {
    /// Is the blob in the repository, or could it be mounted there?
    fn has(&self, digest: &Digest) -> Result<bool> {
        retrying(self.access, self.progress, || {
            let action = format!("look for {digest}");
            let to = format!("{}/blobs/{digest}", self.remote.repository);
            let response = self.remote.ask(Method::HEAD, &to, &[], &action)?;
            match response.status() {
                status if status.is_success() => return Ok(true),
                StatusCode::NOT_FOUND => {}
                _ => return Err(self.remote.client.complaint(response, &action, &to)),
            }
            for source in &self.sources {
                let to = format!(
                    "{}/blobs/uploads/?mount={digest}&from={source}",
                    self.remote.repository
                );
                let headers = [("content-length", "0")];
                let response = self.remote.ask(Method::POST, &to, &headers, &action)?;
                if response.status() == StatusCode::CREATED {
                    return Ok(true);
                }
                // It has begun an upload instead, which nobody wants.
                if let Some(upload) = self.remote.client.location(&response, &to) {
                    let _cancelled = self.remote.ask(Method::DELETE, &upload, &[], &action);
                }
            }
            Ok(false)
        })
    }

    fn layer(&self, layer: &PackedLayer) -> Result<()> {
        if self.has(&layer.digest)? {
            self.progress.send(Event::Present { layer: layer.digest });
            return Ok(());
        }
        self.upload(&layer.digest, layer.size, &|| layer.open(self.storage), true)
    }

    fn bytes(&self, digest: &Digest, bytes: &[u8]) -> Result<()> {
        if self.has(digest)? {
            return Ok(());
        }
        let open = || Ok(Box::new(std::io::Cursor::new(bytes.to_vec())) as Box<dyn Read + Send>);
        self.upload(digest, bytes.len() as u64, &open, false)
    }

    /// POST for a place, PUT of everything (distribution-spec, "Pushing a blob monolithically").
    fn upload(
        &self,
        digest: &Digest,
        size: u64,
        open: &dyn Fn() -> Result<Box<dyn Read + Send>>,
        told: bool,
    ) -> Result<()> {
        let action = format!("upload {digest}");
        let client = &self.remote.client;
        retrying(self.access, self.progress, || {
            let to = format!("{}/blobs/uploads/", self.remote.repository);
            let begun = self.remote.ask(Method::POST, &to, &[("content-length", "0")], &action)?;
            if begun.status() != StatusCode::ACCEPTED {
                let what = format!("repository {}", self.remote.repository);
                return Err(client.complaint(begun, &action, &what));
            }
            let place = client
                .location(&begun, &to)
                .ok_or_else(|| client.protocol(&action, "it names no place for the upload"))?;
            let separator = if place.contains('?') { '&' } else { '?' };
            let place = format!("{place}{separator}digest={digest}");
            let length = size.to_string();
            let headers =
                [("content-type", "application/octet-stream"), ("content-length", &length)];
            let done = self.remote.send(Method::PUT, &place, &headers, &action, &mut || {
                let reader = open()?;
                Ok(if told {
                    SendBody::from_owned_reader(self.progress.watch(digest, size, reader))
                } else {
                    SendBody::from_owned_reader(reader)
                })
            })?;
            if !done.status().is_success() {
                let what = format!("repository {}", self.remote.repository);
                return Err(client.complaint(done, &action, &what));
            }
            if told {
                self.progress.send(Event::Finished { layer: *digest });
            }
            Ok(())
        })
    }

    fn manifest(
        &self,
        target: &ImageReference,
        manifest: &[u8],
        media_type: &str,
    ) -> Result<Digest> {
        let digest = Digest::of(manifest);
        if target.digest().is_some_and(|wanted| *wanted != digest) {
            return Err(Error::Mismatch {
                archive: self.remote.client.host.clone(),
                entry: format!("manifest of {target}"),
                expected: *target.digest().unwrap_or(&digest),
                found: digest,
            });
        }
        let name = match target.tag() {
            Some(tag) => tag.to_owned(),
            None => digest.to_string(),
        };
        put_manifest(self.remote, self.access, self.progress, &name, manifest, media_type)?;
        // What it has now must be what was sent.
        let action = format!("verify {target}");
        let back =
            retrying(self.access, self.progress, || self.remote.manifest_by_digest(&digest))?;
        if back.bytes != manifest {
            return Err(self.remote.client.protocol(&action, "it has changed the manifest"));
        }
        Ok(digest)
    }
}

/// Gives a manifest or index to a repository, under a tag or its digest.
fn put_manifest(
    remote: &Remote,
    access: &Access,
    progress: &Progress,
    name: &str,
    manifest: &[u8],
    media_type: &str,
) -> Result<()> {
    let action = format!("put the manifest {}:{name}", remote.repository);
    let to = format!("{}/manifests/{name}", remote.repository);
    let length = manifest.len().to_string();
    let headers = [("content-type", media_type), ("content-length", length.as_str())];
    retrying(access, progress, || {
        let done = remote.send(Method::PUT, &to, &headers, &action, &mut || {
            Ok(SendBody::from_owned_reader(std::io::Cursor::new(manifest.to_vec())))
        })?;
        if done.status().is_success() {
            return Ok(());
        }
        Err(remote.client.complaint(done, &action, &format!("repository {}", remote.repository)))
    })
}
