//! Artifacts: named blobs that belong to a container and go with it.
//!
//! A name is one component of a path and no more ([`ArtifactName`]); what it stands for lies below the container's
//! directory and nowhere else.

use dhow_state::ArtifactName;

use crate::engine::Engine;
use crate::error::{Error, Object, Result};

impl Engine {
    /// Adds a blob, or replaces the one of that name.
    ///
    /// # Errors
    /// The name is none, or the blob cannot be written.
    pub fn add_artifact(&self, container: &str, name: &str, bytes: &[u8]) -> Result<()> {
        let name: ArtifactName = name.parse().map_err(Error::State)?;
        self.hold_named(container)?.locked.add_artifact(&name, bytes).map_err(Error::State)
    }

    /// The bytes of a blob.
    ///
    /// # Errors
    /// [`Error::NoSuch`].
    pub fn artifact(&self, container: &str, name: &str) -> Result<Vec<u8>> {
        let parsed: ArtifactName = name.parse().map_err(Error::State)?;
        let id = self.resolve(container)?;
        self.store.artifacts(&id).get(&parsed).map_err(|e| absent(e, name))
    }

    /// The names of a container's blobs, sorted.
    ///
    /// # Errors
    /// There is no such container, or its directory cannot be read.
    pub fn artifacts(&self, container: &str) -> Result<Vec<ArtifactName>> {
        let id = self.resolve(container)?;
        self.store.artifacts(&id).list().map_err(Error::State)
    }

    /// Removes a blob.
    ///
    /// # Errors
    /// [`Error::NoSuch`].
    pub fn remove_artifact(&self, container: &str, name: &str) -> Result<()> {
        let parsed: ArtifactName = name.parse().map_err(Error::State)?;
        self.hold_named(container)?.locked.remove_artifact(&parsed).map_err(|e| absent(e, name))
    }
}

fn absent(e: dhow_state::Error, name: &str) -> Error {
    match e {
        dhow_state::Error::NoArtifact { .. } => {
            Error::NoSuch { object: Object::Artifact, name: name.to_owned() }
        }
        other => Error::State(other),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::engine::EngineOptions;
    use crate::request::{CreateRequest, Rootfs, Source};

    #[test]
    fn they_belong_to_their_container_and_go_with_it() {
        let dir = tempfile::tempdir().unwrap();
        let engine = Engine::open(EngineOptions {
            root: dir.path().join("root"),
            run: dir.path().join("run"),
            runtime: Some("/bin/true".into()),
            monitor: "/nonexistent".into(),
            search: Vec::new(),
            exit_command: Vec::new(),
            environment: Vec::new(),
            registries: dhow_image::RegistrySettings::default(),
        })
        .unwrap();
        let rootfs = dir.path().join("rootfs");
        std::fs::create_dir(&rootfs).unwrap();
        let mut request =
            CreateRequest::new(Source::Rootfs(Rootfs { path: rootfs, overlay: false }));
        request.command = vec!["x".into()];
        let id = engine.create(&request).unwrap().id.to_string();

        engine.add_artifact(&id, "spec", b"one").unwrap();
        engine.add_artifact(&id, "spec", b"two").unwrap();
        assert_eq!(engine.artifact(&id, "spec").unwrap(), b"two");
        for bad in ["../spec", "a/b", "", ".."] {
            assert!(engine.add_artifact(&id, bad, b"").is_err(), "{bad:?}");
            assert!(engine.artifact(&id, bad).is_err(), "{bad:?}");
        }
        let names: Vec<_> =
            engine.artifacts(&id).unwrap().iter().map(ToString::to_string).collect();
        assert_eq!(names, ["spec"]);
        engine.remove_artifact(&id, "spec").unwrap();
        let gone = engine.artifact(&id, "spec").unwrap_err();
        assert!(matches!(gone, Error::NoSuch { object: Object::Artifact, .. }), "{gone}");
        engine
            .remove(&crate::request::RemoveRequest { container: id.clone(), ..Default::default() })
            .unwrap();
        assert!(engine.add_artifact(&id, "spec", b"").is_err());
    }
}
