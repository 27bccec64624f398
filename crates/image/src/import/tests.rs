//! Import: a root file system archive, and what is no such thing.

use serde_json::Value;

use super::*;
use crate::config::ImageConfig;
use crate::fixture::*;

fn stream(bytes: &[u8]) -> Input {
    Input::Stream(Box::new(std::io::Cursor::new(bytes.to_vec())))
}

#[test]
fn a_tar_becomes_an_image() {
    let place = Place::new();
    let tar = layer(&[("etc/motd", "hello")]);
    let options = ImportOptions {
        name: Some(ImageReference::local("tool:1").unwrap()),
        changes: vec![r#"CMD ["sh"]"#.parse().unwrap(), "ENV A=b".parse().unwrap()],
        message: Some("by hand".to_owned()),
        ..ImportOptions::default()
    };
    let mut ids = Vec::new();
    for bytes in [tar.clone(), gzip(&tar), zstd(&tar)] {
        let path = place.file("x.tar", &bytes);
        let image =
            import(&place.storage, Input::Path(path), &options, &Progress::default()).unwrap();
        assert_eq!(place.read("localhost/tool:1", "etc/motd").as_deref(), Some("hello"));
        let config = ImageConfig::parse(image.config.get().as_bytes()).unwrap();
        assert_eq!(
            (config.config.cmd, config.config.env),
            (vec!["sh".to_owned()], vec!["A=b".to_owned()])
        );
        assert_eq!((config.os.as_str(), config.history[0].comment.as_str()), ("linux", "by hand"));
        assert_eq!(*image.diff_ids[0].digest(), dhow_storage::Digest::of(&tar));
        let manifest: Value =
            serde_json::from_slice(&place.storage.read_blob(&image.digest, 1 << 20).unwrap())
                .unwrap();
        assert_eq!(manifest["layers"][0]["size"], tar.len());
        assert_eq!(manifest["layers"][0]["digest"], image.diff_ids[0].to_string());
        assert_eq!(manifest["config"]["digest"], image.id.digest().to_string());
        ids.push(image.id);
    }
    // Each import is an image of its own time; the name is the last one's.
    assert_eq!(place.storage.resolve_image("localhost/tool:1").unwrap().id, ids[2]);
}

#[test]
fn what_is_no_root_file_system() {
    let cases: [(&[u8], &str); 6] = [
        (b"", "it is empty"),
        (b"hello, this is text and no archive", ""),
        (b"BZh91AY&SY", "this is bzip2"),
        (b"\xfd7zXZ\0", "this is xz"),
        (&gzip(&layer(&[("a", "1")]))[..60], ""),
        (&layer(&[("a", "1")])[..512], ""),
    ];
    for (bytes, why) in cases {
        let place = Place::new();
        let error =
            import(&place.storage, stream(bytes), &ImportOptions::default(), &Progress::default())
                .unwrap_err();
        let error = chain(&error);
        assert!(error.contains("standard input") && error.contains(why), "{error}");
        place.assert_empty();
    }
    let place = Place::new();
    let dir = Input::Path(place.dir.path().to_path_buf());
    let error =
        import(&place.storage, dir, &ImportOptions::default(), &Progress::default()).unwrap_err();
    assert!(error.to_string().contains("it is a directory"), "{error}");
}
