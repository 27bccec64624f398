//! Mounts of a planned container: the user's, the image's volumes, and what each becomes.

use std::collections::BTreeSet;
use std::path::{Component, Path, PathBuf};

use dhow_oci::{Mount as SpecMount, MountKind};
use dhow_state::VolumeName;
use oci_spec::image::Config as ImageConfig;

use crate::config::{MountShown, OverlayUse, VolumeUse};
use crate::engine::utf8;
use crate::error::{Error, Result};
use crate::request::{
    BindMount, CreateRequest, Mount, MountOptions, TmpfsMount, VolumeMount, VolumeSource,
};

/// All mounts, by how they come about.
#[derive(Default)]
pub(super) struct Planned {
    /// Binds and tmpfs, for the spec.
    pub(super) spec: Vec<SpecMount>,
    /// Volumes, found or made at create.
    pub(super) volumes: Vec<VolumeUse>,
    /// Host directories under an overlay.
    pub(super) overlays: Vec<OverlayUse>,
    /// Host paths whose owner becomes the container's user (`U`).
    pub(super) chowned: Vec<PathBuf>,
    /// As inspect shows them.
    pub(super) shown: Vec<MountShown>,
}

/// Plans the request's mounts and the image's volumes; `volume_dir` says where a volume's files are.
pub(super) fn mounts(
    request: &CreateRequest,
    image: Option<&ImageConfig>,
    volume_dir: &dyn Fn(&VolumeName) -> PathBuf,
) -> Result<Planned> {
    let mut planned = Planned::default();
    let mut destinations = BTreeSet::new();
    for mount in &request.mounts {
        let destination = destination(mount)?;
        if !destinations.insert(destination.clone()) {
            return Err(Error::Invalid(format!("{destination}: two mounts have this destination")));
        }
        match mount {
            Mount::Bind(bind) => planned.bind(bind, destination)?,
            Mount::Volume(volume) => planned.volume(volume, destination, volume_dir)?,
            Mount::Tmpfs(tmpfs) => planned.tmpfs(tmpfs, destination)?,
        }
    }
    for path in image.and_then(|c| c.volumes().as_ref()).into_iter().flatten() {
        let path = clean(Path::new(path), "the image's volume")?;
        if destinations.insert(path.clone()) {
            planned.add_volume(
                VolumeName::random().map_err(Error::State)?,
                true,
                path,
                &MountOptions::default(),
                volume_dir,
            );
        }
    }
    Ok(planned)
}

fn destination(mount: &Mount) -> Result<String> {
    clean(mount.destination(), "the mount destination")
}

/// An absolute path without `.` and doubled slashes; `..` is refused.
fn clean(path: &Path, what: &str) -> Result<String> {
    let mut clean = PathBuf::from("/");
    for component in path.components() {
        match component {
            Component::RootDir | Component::CurDir => {}
            Component::Normal(name) => clean.push(name),
            Component::ParentDir | Component::Prefix(_) => {
                return Err(Error::Invalid(format!(
                    "{what} {} must not have .. in it",
                    path.display()
                )));
            }
        }
    }
    if !path.is_absolute() || clean == Path::new("/") {
        return Err(Error::Invalid(format!(
            "{what} {} must be an absolute path other than /",
            path.display()
        )));
    }
    Ok(utf8(&clean)?.to_owned())
}

impl Planned {
    fn bind(&mut self, bind: &BindMount, destination: String) -> Result<()> {
        let source = utf8(&bind.source)?.to_owned();
        if !bind.source.is_absolute() {
            return Err(Error::Invalid(format!(
                "the mount source {source} must be an absolute path"
            )));
        }
        if let Err(e) = std::fs::metadata(&bind.source) {
            return Err(Error::Io { action: "mount", path: bind.source.clone(), source: e });
        }
        refuse_relabel(&bind.options)?;
        if bind.options.chown {
            self.chowned.push(bind.source.clone());
        }
        let options = options(&bind.options);
        self.show("bind", None, &source, &destination, &bind.options);
        if bind.options.overlay {
            if !bind.source.is_dir() {
                return Err(Error::Invalid(format!(
                    "{source}: only a directory can be mounted as an overlay (O)"
                )));
            }
            let upper = match (&bind.options.upper_dir, &bind.options.work_dir) {
                (Some(upper), Some(work)) => Some((upper.clone(), work.clone())),
                (None, None) => None,
                _ => {
                    return Err(Error::Invalid(
                        "upperdir= and workdir= must be given together".into(),
                    ));
                }
            };
            self.overlays.push(OverlayUse {
                source: bind.source.clone(),
                destination,
                upper,
                options,
            });
        } else {
            self.spec.push(SpecMount { kind: MountKind::Bind, source, destination, options });
        }
        Ok(())
    }

    fn volume(
        &mut self,
        volume: &VolumeMount,
        destination: String,
        volume_dir: &dyn Fn(&VolumeName) -> PathBuf,
    ) -> Result<()> {
        let (name, anonymous) = match &volume.source {
            VolumeSource::Named(name) => (name.parse().map_err(Error::State)?, false),
            VolumeSource::Anonymous => (VolumeName::random().map_err(Error::State)?, true),
        };
        if volume.options.overlay {
            return Err(Error::Invalid(format!(
                "{destination}: a volume cannot be mounted as an overlay (O) yet"
            )));
        }
        refuse_relabel(&volume.options)?;
        self.add_volume(name, anonymous, destination, &volume.options, volume_dir);
        Ok(())
    }

    fn add_volume(
        &mut self,
        name: VolumeName,
        anonymous: bool,
        destination: String,
        asked: &MountOptions,
        volume_dir: &dyn Fn(&VolumeName) -> PathBuf,
    ) {
        let source = volume_dir(&name);
        self.show("volume", Some(name.to_string()), &source.to_string_lossy(), &destination, asked);
        self.volumes.push(VolumeUse {
            name,
            destination,
            options: options(asked),
            anonymous,
            copy_up: asked.copy.unwrap_or(true),
            chown: asked.chown,
        });
    }

    fn tmpfs(&mut self, tmpfs: &TmpfsMount, destination: String) -> Result<()> {
        refuse_relabel(&tmpfs.options.common)?;
        self.show("tmpfs", None, "tmpfs", &destination, &tmpfs.options.common);
        self.spec.push(SpecMount {
            kind: MountKind::Tmpfs,
            source: "tmpfs".to_owned(),
            destination,
            options: tmpfs.options.words(),
        });
        Ok(())
    }

    fn show(
        &mut self,
        kind: &str,
        name: Option<String>,
        source: &str,
        destination: &str,
        asked: &MountOptions,
    ) {
        let propagation = match kind {
            "tmpfs" => String::new(),
            _ => asked.propagation.map_or_else(|| "rprivate".to_owned(), |p| p.to_string()),
        };
        self.shown.push(MountShown {
            kind: kind.to_owned(),
            name,
            source: source.to_owned(),
            destination: destination.to_owned(),
            options: match kind {
                "tmpfs" => Vec::new(),
                // The access and the propagation have fields of their own.
                _ => options(asked)
                    .into_iter()
                    .filter(|w| w != "ro" && w != "rw" && *w != propagation)
                    .collect(),
            },
            rw: asked.read_only != Some(true),
            propagation: propagation.clone(),
        });
    }
}

/// The words of mount(8) for a bind: what was asked for above podman's defaults.
fn options(asked: &MountOptions) -> Vec<String> {
    let mut words = asked.words();
    let mut default = |said: bool, word: &str| {
        if !said {
            words.push(word.to_owned());
        }
    };
    default(asked.recursive.is_some(), "rbind");
    default(asked.propagation.is_some(), "rprivate");
    default(asked.suid.is_some(), "nosuid");
    default(asked.dev.is_some(), "nodev");
    words
}

/// `z` and `Z` relabel for SELinux: without it there is nothing to do, with it dhow cannot yet.
fn refuse_relabel(options: &MountOptions) -> Result<()> {
    if options.relabel.is_some() && Path::new("/sys/fs/selinux/enforce").exists() {
        return Err(Error::Invalid(
            "the mount options z and Z: dhow computes no SELinux labels yet".into(),
        ));
    }
    Ok(())
}
