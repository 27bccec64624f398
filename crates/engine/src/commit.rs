//! `commit`: an image of what a container has made of its own.

use dhow_image::{Draft, HistoryEntry};
use dhow_state::Status;
use dhow_storage::{ImageId, Limits};
use serde_json::{Map, Value};

use crate::config::{ContainerConfig, ImageUsed, RootfsSource};
use crate::engine::Engine;
use crate::error::{Error, Result};
use crate::import::{changes, new_name};
use crate::request::CommitRequest;

impl Engine {
    /// Makes an image of the container's image, its changes as one more layer, and its configuration; with `squash`, of
    /// its whole file system as the only layer. The container is paused while its files are read if the request says so
    /// and it runs; no lock is held.
    ///
    /// # Errors
    /// [`Error::NoSuch`]; a container without an image; a name or instruction that is none.
    pub fn commit(&self, request: &CommitRequest) -> Result<ImageId> {
        let changes = changes(&request.changes)?;
        let name = request.image.as_deref().map(new_name).transpose()?;
        let id = self.resolve(&request.container)?;
        let config = self.config_of(&self.snapshot(&id)?)?;
        let (RootfsSource::Layers(_), Some(used)) = (&config.rootfs, &config.image) else {
            return Err(Error::Invalid(format!(
                "container {id} was made with --rootfs: there is no image to build on"
            )));
        };

        let storage = self.storage()?;
        let lease = storage.lease().map_err(Error::Storage)?;
        let base =
            storage.image(&used.id.parse().map_err(Error::Storage)?).map_err(Error::Storage)?;
        let mut draft = Draft::on(storage, &base).map_err(Error::Image)?;
        settle(&mut draft, &config, request);
        draft.change(&changes);

        let paused = request.pause && self.status(&id)? == Status::Running;
        if paused {
            self.pause(id.as_str())?;
        }
        let rootfs = self.rootfs(&id, &config)?;
        let from = format!("container {}", id.short());
        if request.squash {
            draft.squash();
        }
        let written = draft.write_layer(&lease, &from, &Limits::default(), |out| {
            if request.squash {
                self.export(id.as_str(), out)
            } else {
                rootfs.diff(out).map_err(Error::Storage)
            }
        });
        let resumed = if paused { self.unpause(id.as_str()) } else { Ok(()) };
        let image = written.and_then(|_| {
            draft.push_history(step(&config, used, request));
            draft.store(&lease, name.as_ref()).map_err(Error::Image)
        });
        drop(lease);
        if image.is_err() {
            self.tidy_images();
        }
        let image = image?;
        resumed.map_err(|error| Error::While {
            what: format!(
                "image {} was made, but container {} could not be unpaused",
                image.id.short(),
                id.short()
            ),
            source: Box::new(error),
        })?;
        Ok(image.id)
    }
}

/// What the container was told to be goes before what its image says.
fn settle(draft: &mut Draft, config: &ContainerConfig, request: &CommitRequest) {
    if let Some(author) = &request.author {
        draft.set_author(author);
    }
    let settings = draft.settings();
    settings.env.clone_from(&config.spec.env);
    settings.entrypoint.clone_from(&config.entrypoint);
    settings.cmd.clone_from(&config.command);
    settings.labels.clone_from(&config.labels);
    settings.user.clone_from(&config.spec.user);
    if let Some(cwd) = &config.spec.cwd {
        settings.working_dir.clone_from(&cwd.path);
    }
    if request.include_volumes {
        let empty = || Value::Object(Map::new());
        settings
            .volumes
            .extend(config.volumes.iter().map(|volume| (volume.destination.clone(), empty())));
    }
}

fn step(config: &ContainerConfig, used: &ImageUsed, request: &CommitRequest) -> HistoryEntry {
    HistoryEntry {
        created_by: config.spec.args.join(" "),
        author: request.author.clone().unwrap_or_default(),
        comment: request.message.clone().unwrap_or_else(|| format!("FROM {}", used.name)),
        ..HistoryEntry::default()
    }
}
