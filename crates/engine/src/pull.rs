//! `pull`, `login` and `logout`: what has to do with registries.

use std::path::Path;

use dhow_image::{Credentials, Progress, PullOptions, Pulled, RegistrySettings};
use dhow_storage::Image;

use crate::engine::Engine;
use crate::error::{Error, Result};
use crate::image::config_of;
use crate::report::PulledImage;
use crate::request::{PullPolicy, PullRequest};

/// Prefixes that say where an image is, for podman: those of files are what `load` reads.
const TRANSPORTS: [&str; 6] =
    ["docker-archive:", "oci-archive:", "oci:", "dir:", "docker-daemon:", "containers-storage:"];

impl Engine {
    /// Sees to it that an image is here, as the policy has it.
    ///
    /// # Errors
    /// [`Error::NoSuch`] where it must be here and is not; [`Error::Image`], naming the registry.
    pub fn pull(&self, request: &PullRequest, progress: &Progress) -> Result<Vec<PulledImage>> {
        if let Some(transport) = TRANSPORTS.iter().find(|t| request.image.starts_with(**t)) {
            return Err(Error::Invalid(format!(
                "{transport} is no registry: use `load --input` for archives and directories"
            )));
        }
        let name = request.image.strip_prefix("docker://").unwrap_or(&request.image);
        let mut settings = self.options.registries.clone();
        if let Some(policy) = &request.signature_policy {
            settings.policy.clone_from(policy);
        }
        let options = PullOptions {
            platform: request.platform.resolve(),
            access: request.access.clone(),
            ..PullOptions::default()
        };
        if request.all_tags {
            let pulled =
                dhow_image::pull_all_tags(self.storage()?, &settings, name, &options, progress);
            let pulled = pulled.inspect_err(|_| self.tidy_images())?;
            return Ok(pulled.iter().map(|one| report(request, one)).collect());
        }
        if request.policy != PullPolicy::Always
            && let Some(image) = self.local(name, request, &settings, &options)?
        {
            return Ok(vec![PulledImage { id: image.id.hex(), ..PulledImage::default() }]);
        }
        let pulled = dhow_image::pull(self.storage()?, &settings, name, &options, progress);
        let pulled = pulled.inspect_err(|_| self.tidy_images())?;
        Ok(vec![report(request, &pulled)])
    }

    /// The image here, if the policy is content with it.
    fn local(
        &self,
        name: &str,
        request: &PullRequest,
        settings: &RegistrySettings,
        options: &PullOptions,
    ) -> Result<Option<Image>> {
        let image = match self.find_image(name) {
            Ok(image) => image,
            // What is called localhost, without a port, was made here or is nowhere.
            Err(Error::NoSuch { .. })
                if request.policy != PullPolicy::Never && !name.starts_with("localhost/") =>
            {
                return Ok(None);
            }
            Err(error) => return Err(error),
        };
        let never = request.policy == PullPolicy::Never;
        if request.platform.is_given() && !options.platform.serves(&config_of(&image)?.platform()) {
            if never {
                return Err(Error::Invalid(format!(
                    "image {name} is not for {}",
                    options.platform
                )));
            }
            return Ok(None);
        }
        if request.policy == PullPolicy::Newer {
            match dhow_image::remote_digests(settings, name, options) {
                Ok(digests) if !digests.contains(&image.digest) => return Ok(None),
                Ok(_) => {}
                Err(error) => tracing::debug!(%error, "nobody knows whether there is a newer one"),
            }
        }
        Ok(Some(image))
    }

    /// Shows credentials to a registry and keeps them in an auth file, by default the first of the settings.
    ///
    /// # Errors
    /// [`Error::Image`]: the registry does not take them, or the file cannot be written.
    pub fn login(
        &self,
        registry: &str,
        credentials: &Credentials,
        access: &dhow_image::Access,
    ) -> Result<()> {
        let key = dhow_image::credentials_key(registry)?;
        let settings = &self.options.registries;
        dhow_image::log_in(settings, access, &key, credentials)?;
        let file = self.auth_file(access.auth_file.as_deref())?;
        Ok(dhow_image::store_credentials(settings, file, &key, credentials)?)
    }

    /// Forgets the credentials of a registry, or of all; says whether there were some.
    ///
    /// # Errors
    /// [`Error::Image`], naming the file.
    pub fn logout(&self, registry: Option<&str>, auth_file: Option<&Path>) -> Result<bool> {
        let key = registry.map(dhow_image::credentials_key).transpose()?;
        let file = self.auth_file(auth_file)?;
        Ok(dhow_image::remove_credentials(&self.options.registries, file, key.as_deref())?)
    }

    /// Who is logged in to a registry.
    ///
    /// # Errors
    /// [`Error::Image`], naming the file.
    pub fn logged_in(&self, registry: &str, auth_file: Option<&Path>) -> Result<Option<String>> {
        let key = dhow_image::credentials_key(registry)?;
        let file = self.auth_file(auth_file)?;
        Ok(dhow_image::logged_in(&self.options.registries, file, &key)?)
    }

    /// Which file that is, for the user.
    ///
    /// # Errors
    /// There is none.
    pub fn auth_file_name(&self, given: Option<&Path>) -> Result<String> {
        Ok(self.auth_file(given)?.display().to_string())
    }

    fn auth_file<'a>(&'a self, given: Option<&'a Path>) -> Result<&'a Path> {
        let usual = self.options.registries.auth_files.first().map(std::path::PathBuf::as_path);
        given.or(usual).ok_or_else(|| Error::Invalid("there is no auth file".to_owned()))
    }
}

fn report(request: &PullRequest, pulled: &Pulled) -> PulledImage {
    let wanted = request.platform.resolve();
    let warning = (!wanted.serves(&pulled.platform)).then(|| {
        format!("the image is for {}, which is not the {wanted} that was expected", pulled.platform)
    });
    PulledImage { id: pulled.id.hex(), name: Some(pulled.name.to_string()), warning }
}
