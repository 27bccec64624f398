//! `image prune`, `system prune`, `system df`: what nobody uses, and how much it is.

use std::collections::{HashMap, HashSet};

use dhow_state::Status;
use dhow_storage::{ChainId, ImageId};

use crate::engine::Engine;
use crate::error::{Error, Result};
use crate::report::{ContainerUsage, DiskUsage, ImageUsage, Pruned, VolumeUsage};
use crate::request::{ImageFilter, ImagesRequest, PruneRequest, RemoveRequest};

impl Engine {
    /// Removes the images that have no name, or with `all` every one that no container uses, and downloads that nobody
    /// goes on with.
    ///
    /// # Errors
    /// The store cannot be read. An image that cannot be removed is in the report.
    pub fn prune_images(&self, all: bool, filters: &[ImageFilter]) -> Result<Pruned> {
        let request = ImagesRequest { all: true, name: None, filters: filters.to_vec() };
        let found = self.images(&request)?;
        let storage = self.storage()?;
        let mut sizes: HashMap<ChainId, u64> = HashMap::new();
        for (image, _) in storage.images().map_err(Error::Storage)?.images {
            sizes.extend(image.layers.into_iter().zip(image.layer_sizes));
        }
        let mut pruned = Pruned { errors: found.errors, ..Pruned::default() };
        for row in found.images {
            if row.containers > 0 || !(all || row.dangling) {
                continue;
            }
            let removed = row.id.parse::<ImageId>().and_then(|id| {
                // One whose files are mounted is used as well.
                match storage.image(&id).map(|image| self.image_mounted_at(&image)) {
                    Ok(Ok(None)) => storage.remove_image(&id, &|| self.layers_in_use()).map(Some),
                    Ok(_) => Ok(None),
                    Err(e) => Err(e),
                }
            });
            match removed {
                Ok(Some(removed)) => {
                    let layers = removed.collected.layers.iter();
                    pruned.reclaimed += layers.filter_map(|chain| sizes.get(chain)).sum::<u64>();
                    pruned.images.push(row.id);
                }
                Ok(None) | Err(dhow_storage::Error::NotFound { .. }) => {}
                Err(error) => pruned.errors.push(Error::Storage(error)),
            }
        }
        let collected = storage.collect(&|| self.layers_in_use()).map_err(Error::Storage)?;
        let layers = collected.layers.iter();
        pruned.reclaimed += layers.filter_map(|chain| sizes.get(chain)).sum::<u64>();
        pruned.reclaimed += storage.drop_partials(true).map_err(Error::Storage)?;
        Ok(pruned)
    }

    /// Removes containers that do not run, then images as [`Engine::prune_images`] does.
    ///
    /// # Errors
    /// The stores cannot be read. What cannot be removed is in the report.
    pub fn prune(&self, request: &PruneRequest) -> Result<Pruned> {
        let mut pruned = Pruned::default();
        for id in self.ids()? {
            let idle = self.status(&id).is_ok_and(|status| {
                matches!(
                    status,
                    Status::Created | Status::Initialized | Status::Stopped | Status::Exited
                )
            });
            if !idle {
                continue;
            }
            let size = self
                .snapshot(&id)
                .and_then(|snapshot| self.size(&snapshot, &self.config_of(&snapshot)?))
                .map_or(0, |size| size.rw_size);
            let remove = RemoveRequest { container: id.to_string(), ..RemoveRequest::default() };
            match self.remove(&remove) {
                Ok(()) => {
                    pruned.reclaimed += size;
                    pruned.containers.push(id.to_string());
                }
                // Somebody has started or removed it.
                Err(Error::NoSuch { .. } | Error::InvalidState { .. }) => {}
                Err(error) => pruned.errors.push(error),
            }
        }
        let images = self.prune_images(request.all, &request.filters)?;
        pruned.images = images.images;
        pruned.reclaimed += images.reclaimed;
        pruned.errors.extend(images.errors);
        Ok(pruned)
    }

    /// What images, containers and volumes take on disk. A layer that several images have is counted once.
    ///
    /// # Errors
    /// The stores cannot be read.
    pub fn disk_usage(&self) -> Result<DiskUsage> {
        let storage = self.storage()?;
        let mut usage = DiskUsage::default();
        let images = storage.images().map_err(Error::Storage)?.images;
        let mut owners: HashMap<ChainId, (u64, usize)> = HashMap::new();
        for (image, _) in &images {
            for (chain, size) in image.layers.iter().zip(&image.layer_sizes) {
                owners.entry(*chain).or_insert((*size, 0)).1 += 1;
            }
        }
        let mut active: HashSet<ChainId> = HashSet::new();
        let users = self.image_users()?;
        for (image, names) in &images {
            let containers = users.get(&image.id).map_or(0, Vec::len);
            if containers > 0 {
                active.extend(&image.layers);
            }
            let own = |shared: bool| -> u64 {
                let layers = image.layers.iter().filter_map(|chain| owners.get(chain));
                layers.filter(|(_, count)| (*count > 1) == shared).map(|(size, _)| size).sum()
            };
            usage.images.push(ImageUsage {
                id: image.id.hex(),
                names: names.clone(),
                created: crate::report::Time::from_unix_nanos(image.created),
                size: image.size,
                shared_size: own(true),
                unique_size: own(false),
                containers: containers as u64,
            });
        }
        usage.images_size = owners.values().map(|(size, _)| size).sum();
        usage.images_reclaimable = owners
            .iter()
            .filter(|(chain, _)| !active.contains(chain))
            .map(|(_, (size, _))| size)
            .sum();
        let mut links: HashMap<String, u64> = HashMap::new();
        for id in self.ids()? {
            // One that vanishes meanwhile, or cannot be read, takes what it takes.
            let Ok(snapshot) = self.snapshot(&id) else { continue };
            let Ok(config) = self.config_of(&snapshot) else { continue };
            for volume in &config.volumes {
                *links.entry(volume.name.to_string()).or_default() += 1;
            }
            let status = snapshot.status();
            usage.containers.push(ContainerUsage {
                id: id.to_string(),
                name: snapshot.name.to_string(),
                image: config.image.as_ref().map(|image| image.name.clone()).unwrap_or_default(),
                command: config.spec.args.clone(),
                volumes: config.volumes.len() as u64,
                size: self.size(&snapshot, &config)?.rw_size,
                created: crate::report::Time::from_unix_nanos(snapshot.config.created),
                status: status.to_string(),
                active: matches!(status, Status::Running | Status::Paused | Status::Stopping),
            });
        }
        for name in self.store.volumes().names().map_err(Error::State)? {
            let size = dhow_storage::tree_size(&self.layout().volume_data(&name));
            usage.volumes.push(VolumeUsage {
                links: links.get(name.to_string().as_str()).copied().unwrap_or(0),
                size: size.map_err(Error::Storage)?,
                name: name.to_string(),
            });
        }
        Ok(usage)
    }
}
