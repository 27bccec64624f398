//! `create`: reserve the id and the name, then commit the configuration.
//!
//! ORDER: everything that can be refused is refused by the plan, before anything is made. Then the record says
//! *creating*, the name is taken, directories and volumes are made, and `config.json` is written last: before it the
//! container does not exist, after it it does.

use dhow_state::{ContainerName, Locked, Reservation};

use crate::config::{ContainerConfig, ImageUsed, RootfsSource};
use crate::engine::Engine;
use crate::error::{Error, Object, Result};
use crate::plan::{self, Inputs};
use crate::request::{CreateRequest, RemoveRequest, Source, Timeout};

/// A container that was made.
#[derive(Debug, Clone)]
pub struct Created {
    /// Its id.
    pub id: dhow_state::ContainerId,
    /// What the user should know, though it is no error.
    pub warnings: Vec<String>,
}

impl Engine {
    /// Makes a container. It is not started, and nothing of it is mounted.
    ///
    /// # Errors
    /// What the request asks for cannot be; nothing is left behind then.
    pub fn create(&self, request: &CreateRequest) -> Result<Created> {
        let name: Option<ContainerName> =
            request.name.as_deref().map(str::parse).transpose().map_err(Error::State)?;
        if let (Some(name), false) = (&name, request.replace) {
            // The reservation decides; this is for a clear error before the image is looked at.
            if let Ok(owner) = self.store.resolve_name(name) {
                return Err(Error::NameInUse { name: name.to_string(), by: owner.to_string() });
            }
        }
        let id = dhow_state::ContainerId::random().map_err(Error::State)?;
        let (config, warnings) = self.plan(&id, request)?;
        // The runtime is looked for now, so that one that is missing, or cannot do this, is an error of create and not of
        // some later start.
        self.runtime(&config)?;
        if let (Some(name), true) = (&name, request.replace) {
            self.replace(name)?;
        }
        let locked = self.store.reserve(&id, name.as_ref()).map_err(|e| match e {
            dhow_state::Error::NameInUse { name, by } => Error::NameInUse {
                name: name.to_string(),
                by: by.map_or_else(|| "another command".into(), |id| id.to_string()),
            },
            other => Error::State(other),
        })?;
        self.furnish(locked, request, &config)?;
        Ok(Created { id, warnings })
    }

    /// Everything between the reservation and the commit. On an error the reservation is dropped, which undoes it.
    fn furnish(
        &self,
        reservation: Reservation,
        request: &CreateRequest,
        config: &ContainerConfig,
    ) -> Result<()> {
        let mut made = Vec::new();
        let furnished = (|| {
            for volume in &config.volumes {
                if reservation
                    .create_volume(&volume.name, volume.anonymous)
                    .map_err(Error::State)?
                    && !volume.anonymous
                {
                    made.push(volume.name.clone());
                }
            }
            self.rootfs(reservation.id(), config)?.prepare().map_err(Error::Storage)?;
            let payload = serde_json::value::to_raw_value(config).map_err(|e| {
                Error::Invalid(format!("the container's configuration cannot be written down: {e}"))
            })?;
            let locked = reservation.commit(payload, request.auto_remove).map_err(Error::State)?;
            // An image removed since the plan has taken its layers with it, unless the commit was there first.
            if let RootfsSource::Layers(chain) = &config.rootfs
                && let Err(e) = self.storage()?.confirm(chain)
            {
                self.forget(locked)?;
                return Err(Error::Storage(e));
            }
            Ok(())
        })();
        if furnished.is_err() {
            // An anonymous one goes with the reservation.
            self.drop_volumes(&made);
        }
        furnished
    }

    /// Undoes a commit.
    fn forget(&self, mut locked: Locked) -> Result<()> {
        locked.begin_removal(false).map_err(Error::State)?;
        locked.finish_removal().map_err(Error::State)
    }

    fn plan(
        &self,
        id: &dhow_state::ContainerId,
        request: &CreateRequest,
    ) -> Result<(ContainerConfig, Vec<String>)> {
        let image = match &request.source {
            Source::Image(name) => Some((name, self.find_image_named(name)?)),
            Source::Rootfs(_) => None,
        };
        let parsed = image
            .as_ref()
            .map(|(name, found)| {
                let configuration: oci_spec::image::ImageConfiguration =
                    serde_json::from_str(found.image.config.get()).map_err(|e| Error::Corrupt {
                        what: format!("image {}", found.image.id),
                        path: self.options.root.join("images"),
                        why: e.to_string(),
                    })?;
                let used = ImageUsed {
                    id: found.image.id.to_string(),
                    digest: found.image.digest,
                    name: found.name.clone().unwrap_or_else(|| found.image.id.to_string()),
                    asked: (*name).clone(),
                };
                Ok::<_, Error>((used, configuration))
            })
            .transpose()?;
        let rootfs = match (&request.source, &image) {
            (Source::Rootfs(rootfs), _) => {
                let path = std::fs::canonicalize(&rootfs.path)
                    .map_err(Error::io("use the root file system", &rootfs.path))?;
                if !path.is_dir() {
                    return Err(Error::Invalid(format!(
                        "the root file system {} is not a directory",
                        path.display()
                    )));
                }
                if rootfs.overlay {
                    RootfsSource::OverlayOf(path)
                } else {
                    RootfsSource::Directory(path)
                }
            }
            (Source::Image(_), found) => RootfsSource::Layers(
                found.as_ref().map(|(_, found)| found.image.layers.clone()).unwrap_or_default(),
            ),
        };
        if rootfs_is_root(&rootfs) {
            return Err(Error::Invalid(
                "--rootfs /: the host's own root can only be used below an overlay, as in /:O"
                    .into(),
            ));
        }
        plan::plan(Inputs {
            id,
            host: self.host()?,
            request,
            rootfs,
            image: parsed.as_ref().map(|(used, configuration)| (used.clone(), configuration)),
            networks: self.networks(),
            find: &|name| self.resolve(name),
            volume_dir: &|name| self.layout().volume_data(name),
            log: self.layout().log(id),
            search: &self.options.search,
            runtime: self.options.runtime.clone(),
        })
    }

    /// `--replace`: removes the owner of the name, whatever it does.
    fn replace(&self, name: &ContainerName) -> Result<()> {
        let Ok(owner) = self.store.resolve_name(name) else { return Ok(()) };
        let request = RemoveRequest {
            container: owner.to_string(),
            force: true,
            timeout: Some(Timeout::Seconds(0)),
            ..RemoveRequest::default()
        };
        match self.remove(&request) {
            Err(Error::NoSuch { object: Object::Container, .. }) | Ok(()) => Ok(()),
            Err(e) => Err(Error::While {
                what: format!("cannot replace container {owner}"),
                source: Box::new(e),
            }),
        }
    }
}

fn rootfs_is_root(rootfs: &RootfsSource) -> bool {
    matches!(rootfs, RootfsSource::Directory(dir) if dir == std::path::Path::new("/"))
}
