//! Archives: what is read of each kind, and which of them are refused.

use super::*;

#[test]
fn names_stay_inside() {
    assert_eq!(normalize("./a//b/../c").as_deref(), Some("a/c"));
    assert_eq!(normalize("./").as_deref(), Some(""));
    for out in ["/a", "..", "a/../..", "../a"] {
        assert_eq!(normalize(out), None, "{out}");
    }
    assert_eq!(link_target("x/layer.tar", "../y.tar").as_deref(), Some("y.tar"));
    assert_eq!(link_target("layer.tar", "y.tar").as_deref(), Some("y.tar"));
    assert_eq!(link_target("layer.tar", "../y.tar"), None);
    assert_eq!(link_target("layer.tar", "/y.tar"), None);
}

#[test]
fn compressions_are_told_from_the_first_bytes() {
    let packing = |bytes: &'static [u8]| {
        let (packing, mut reader) = Packing::peek(bytes).unwrap();
        let mut all = Vec::new();
        reader.read_to_end(&mut all).unwrap();
        assert_eq!(all, bytes);
        packing
    };
    assert_eq!(packing(b"\x1f\x8b\x08rest"), Packing::Gzip);
    assert_eq!(packing(b"\x28\xb5\x2f\xfdrest"), Packing::Zstd);
    assert_eq!(packing(b"BZh9"), Packing::Bzip2);
    assert_eq!(packing(b"\xfd7zXZ\0"), Packing::Xz);
    assert_eq!(packing(b"x"), Packing::None);
    assert_eq!(packing(b""), Packing::Empty);
}

/// The index of a tar file with these bytes.
fn index_of(bytes: &[u8]) -> Result<index::Index, index::Fault> {
    use std::io::Write;
    let mut file = tempfile::tempfile().unwrap();
    file.write_all(bytes).unwrap();
    index::Index::read(file)
}

#[test]
fn long_names_and_pax_sizes_are_read() {
    let mut builder = tar::Builder::new(Vec::new());
    let long = format!("{}/file", "d".repeat(150));
    let mut header = tar::Header::new_gnu();
    header.set_size(3);
    builder.append_data(&mut header, &long, &b"abc"[..]).unwrap();
    builder.append_pax_extensions([("path", &b"caf\xc3\xa9"[..]), ("size", b"4")]).unwrap();
    let mut header = tar::Header::new_ustar();
    header.set_path("short").unwrap();
    // The size of the pax header counts.
    header.set_size(0);
    header.set_cksum();
    builder.append(&header, &b""[..]).unwrap();
    let mut bytes = builder.into_inner().unwrap();
    let end = bytes.len() - 1024;
    bytes.splice(end..end, [b"defg".as_slice(), &[0; 508]].concat());
    let index = index_of(&bytes).unwrap();
    for (name, content) in [(long.as_str(), "abc"), ("café", "defg")] {
        let (mut reader, size) = index.open(name).unwrap().unwrap();
        let mut text = String::new();
        reader.read_to_string(&mut text).unwrap();
        assert_eq!((text.as_str(), size), (content, content.len() as u64));
    }
    assert!(index.open("short").unwrap().is_none());
}

#[test]
fn extension_headers_are_bounded() {
    let mut header = tar::Header::new_gnu();
    header.set_entry_type(tar::EntryType::GNULongName);
    header.set_path("././@LongLink").unwrap();
    header.set_size(2 << 20);
    header.set_cksum();
    let bytes = [header.as_bytes().as_slice(), &vec![b'a'; 2 << 20]].concat();
    assert!(
        matches!(index_of(&bytes), Err(index::Fault::Entry(_, why)) if why.contains("too large"))
    );
}

proptest::proptest! {
    #[test]
    fn damaged_archives_never_panic(flips in proptest::collection::vec((0usize..4096, proptest::prelude::any::<u8>()), 0..8)) {
        let mut bytes = crate::fixture::layer(&[("a", "1"), ("b/c", "2"), ("d", "3")]);
        for (at, value) in flips {
            if let Some(byte) = bytes.get_mut(at) {
                *byte = value;
            }
        }
        if let Ok(index) = index_of(&bytes) {
            for name in ["a", "b/c", "d"] {
                if let Ok(Some((mut reader, size))) = index.open(name) {
                    let mut content = Vec::new();
                    reader.read_to_end(&mut content).unwrap();
                    proptest::prop_assert_eq!(content.len() as u64, size);
                }
            }
        }
    }
}
