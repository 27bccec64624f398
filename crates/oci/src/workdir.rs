//! The working directory in the root file system: the image's is made where it is missing, the user's must be there.

use crate::error::no_nul;
use crate::user::User;
use crate::{Error, SpecRequest};
use dhow_sys::root::Root;
use oci_spec::runtime::Mount;
use std::io;
use std::path::{Path, PathBuf};

/// The `cwd` of the process. CRASH: a directory made here belongs to the container's own layer and goes with it.
pub(crate) fn prepare(
    request: &SpecRequest,
    user: &User,
    mounts: &[Mount],
    root: &Root,
) -> Result<PathBuf, Error> {
    let Some(cwd) = &request.cwd else { return Ok(PathBuf::from("/")) };
    no_nul("workdir", &cwd.path)?;
    let path = Path::new(&cwd.path);
    if !path.is_absolute() {
        return Err(Error::invalid("workdir", &cwd.path, "the path is not absolute"));
    }
    // What a mount covers is not in the root file system: only the runtime can see it.
    if mounts.iter().any(|mount| path.starts_with(mount.destination())) {
        return Ok(path.to_path_buf());
    }
    match root.metadata(path) {
        Ok(found) if found.is_dir() => Ok(path.to_path_buf()),
        Ok(_) => {
            Err(Error::invalid("workdir", &cwd.path, "it is not a directory in the container"))
        }
        Err(e) if e.kind() == io::ErrorKind::NotFound && cwd.create => {
            root.create_dir_all(path, 0o755, Some((user.uid, user.gid)))
                .map_err(Error::io("make, in the container, the workdir", path))?;
            Ok(path.to_path_buf())
        }
        Err(e) if matches!(e.kind(), io::ErrorKind::NotFound | io::ErrorKind::NotADirectory) => {
            Err(Error::NoWorkdir {
                path: crate::error::shorten(&cwd.path),
                id: request.container_id.clone(),
            })
        }
        Err(e) => Err(Error::io("find, in the container, the workdir", path)(e)),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::Cwd;

    fn prepare_in(dir: &Path, path: &str, create: bool, mounted: &str) -> Result<PathBuf, String> {
        let request = SpecRequest {
            cwd: Some(Cwd { path: path.into(), create }),
            container_id: "0123".into(),
            ..SpecRequest::default()
        };
        let metadata = std::fs::metadata(dir).unwrap();
        let (uid, gid) = (
            std::os::unix::fs::MetadataExt::uid(&metadata),
            std::os::unix::fs::MetadataExt::gid(&metadata),
        );
        let user = User { uid, gid, additional_gids: Vec::new(), name: None, home: "/".into() };
        let mut mount = Mount::default();
        mount.set_destination(mounted.into());
        prepare(&request, &user, &[mount], &Root::open(dir).unwrap()).map_err(|e| e.to_string())
    }

    #[test]
    fn made_for_the_image_and_required_of_the_user() {
        let dir = tempfile::tempdir().unwrap();
        let root = dir.path();
        assert_eq!(
            prepare_in(root, "/app/x", false, "/vol").unwrap_err(),
            r#"workdir "/app/x" does not exist on container 0123"#
        );
        assert!(!root.join("app").exists());
        assert_eq!(prepare_in(root, "/app/x", true, "/vol").unwrap(), Path::new("/app/x"));
        assert!(root.join("app/x").is_dir());
        assert!(prepare_in(root, "/app/x", false, "/vol").is_ok());
        assert!(prepare_in(root, "/vol/deep", false, "/vol").is_ok());
        assert!(!root.join("vol").exists());
        std::fs::File::create(root.join("file")).unwrap();
        assert_eq!(
            prepare_in(root, "/file", true, "/vol").unwrap_err(),
            r#"invalid workdir "/file": it is not a directory in the container"#
        );
        assert!(prepare_in(root, "/file/x", true, "/vol").is_err());
        assert!(prepare_in(root, "rel", true, "/vol").is_err());
        assert!(prepare_in(root, "/a\0", true, "/vol").is_err());
    }

    #[test]
    fn links_do_not_lead_out() {
        let dir = tempfile::tempdir().unwrap();
        let outside = tempfile::tempdir().unwrap();
        std::os::unix::fs::symlink(outside.path(), dir.path().join("app")).unwrap();
        let made = prepare_in(dir.path(), "/app/x", true, "/vol");
        assert!(made.is_ok(), "{made:?}");
        assert!(!outside.path().join("x").exists());
    }
}
