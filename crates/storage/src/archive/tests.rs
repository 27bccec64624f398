//! The reader against archives that the `tar` crate and GNU tar's formats make, and against our own writer.

use std::io::{BufReader, Read};

use proptest::prelude::*;
use tar::{EntryType, Header};

use super::*;
use crate::{Error, Limits};

fn read_all(bytes: &[u8], limits: &Limits) -> crate::Result<Vec<(Entry, Vec<u8>)>> {
    let mut reader = Reader::new(BufReader::new(bytes), limits);
    let mut found = Vec::new();
    while let Some(entry) = reader.next_entry()? {
        let mut data = Vec::new();
        reader.read_to_end(&mut data).map_err(Error::input)?;
        found.push((entry, data));
    }
    Ok(found)
}

/// A tar of raw (type, name, data), as any tool may write it.
fn raw(entries: &[(u8, &str, &[u8])]) -> Vec<u8> {
    let mut out = Vec::new();
    for (kind, name, data) in entries {
        let mut header = Header::new_gnu();
        header.as_old_mut().name[..name.len()].copy_from_slice(name.as_bytes());
        header.set_entry_type(EntryType::new(*kind));
        header.set_mode(0o644);
        header.set_uid(0);
        header.set_gid(0);
        header.set_mtime(7);
        header.set_size(data.len() as u64);
        header.set_cksum();
        push(&mut out, &header, data);
    }
    out.extend([0; 1024]);
    out
}

fn push(out: &mut Vec<u8>, header: &Header, data: &[u8]) {
    out.extend_from_slice(header.as_bytes());
    out.extend_from_slice(data);
    out.resize(out.len().next_multiple_of(512), 0);
}

#[test]
fn long_names_of_both_kinds() {
    let long = "d/".repeat(150) + "name";
    let gnu = raw(&[
        (b'L', "././@LongLink", format!("{long}\0").as_bytes()),
        (b'K', "././@LongLink", b"target\0"),
        (b'2', "short", b""),
    ]);
    let found = read_all(&gnu, &Limits::default()).unwrap();
    assert_eq!(found[0].0.path, long.as_bytes());
    assert_eq!((found[0].0.kind, found[0].0.link.as_slice()), (Kind::Symlink, &b"target"[..]));
    let mut builder = tar::Builder::new(Vec::new());
    let mut header = Header::new_gnu();
    header.set_size(3);
    builder.append_data(&mut header, &long, &b"abc"[..]).unwrap();
    let found = read_all(&builder.into_inner().unwrap(), &Limits::default()).unwrap();
    assert_eq!((found[0].0.path.as_slice(), found[0].1.as_slice()), (long.as_bytes(), &b"abc"[..]));
}

#[test]
fn headers_that_ask_for_too_much() {
    let limits = Limits { header: 600, entries: 3, path: 100, bytes: 1000, ..Limits::default() };
    let too_large = [
        raw(&[(b'L', "x", &[b'a'; 700])]),
        raw(&[(b'x', "x", &[b'a'; 700])]),
        raw(&[(b'g', "x", &[b'a'; 700])]),
        raw(&[(b'L', "x", &[b'a'; 300]), (b'0', "y", b"")]),
        raw(&[(b'0', "a", b""), (b'0', "b", b""), (b'0', "c", b""), (b'0', "d", b"")]),
        raw(&[(b'0', "a", &[1; 1001])]),
    ];
    for (n, archive) in too_large.iter().enumerate() {
        let error = read_all(archive, &limits).unwrap_err();
        assert!(matches!(error, Error::TooLarge { .. }), "{n}: {error}");
    }
}

#[test]
fn what_is_no_archive() {
    let good = raw(&[(b'0', "file", &[1; 700])]);
    let mut bad_sum = good.clone();
    bad_sum[0] ^= 1;
    let mut unknown = raw(&[(b'M', "file", b"")]);
    unknown.truncate(512);
    for archive in [&good[..100], &good[..600], &good[..1030], &bad_sum, b"PK\x03\x04", &unknown] {
        let error = read_all(archive, &Limits::default()).unwrap_err();
        assert!(matches!(error, Error::Archive { .. }), "{error}");
    }
    assert!(read_all(b"", &Limits::default()).unwrap().is_empty());
    assert_eq!(read_all(&good[..1536], &Limits::default()).unwrap().len(), 1, "no end mark");
}

#[test]
fn pax_size_wins_over_the_header() {
    let mut out = Vec::new();
    let mut header = Header::new_ustar();
    header.set_entry_type(EntryType::XHeader);
    header.set_size(10);
    header.set_cksum();
    push(&mut out, &header, b"10 size=3\n");
    let mut header = Header::new_ustar();
    header.as_old_mut().name[0] = b'f';
    header.set_size(0);
    header.set_cksum();
    push(&mut out, &header, b"abc");
    let mut last = Header::new_ustar();
    last.as_old_mut().name[0] = b'g';
    last.set_size(0);
    last.set_cksum();
    push(&mut out, &last, b"");
    let found = read_all(&out, &Limits::default()).unwrap();
    assert_eq!((found.len(), found[0].1.as_slice()), (2, &b"abc"[..]));
}

/// A GNU sparse header with `pieces` and a real size.
fn old_sparse(pieces: &[(u64, u64)], real_size: u64, data: &[u8]) -> Vec<u8> {
    let mut header = Header::new_gnu();
    header.as_old_mut().name[0] = b's';
    header.set_entry_type(EntryType::GNUSparse);
    header.set_size(data.len() as u64);
    let gnu = header.as_gnu_mut().unwrap();
    gnu.set_real_size(real_size);
    for (slot, (offset, length)) in gnu.sparse.iter_mut().zip(pieces) {
        slot.set_offset(*offset);
        slot.set_length(*length);
    }
    let more = pieces.get(4..).unwrap_or_default();
    gnu.set_is_extended(!more.is_empty());
    header.set_cksum();
    let mut out = header.as_bytes().to_vec();
    for (n, block) in more.chunks(21).enumerate() {
        let mut extended = tar::GnuExtSparseHeader::new();
        for (slot, (offset, length)) in extended.sparse_mut().iter_mut().zip(block) {
            slot.set_offset(*offset);
            slot.set_length(*length);
        }
        extended.set_is_extended((n + 1) * 21 < more.len());
        out.extend_from_slice(extended.as_bytes());
    }
    out.extend_from_slice(data);
    out.resize(out.len().next_multiple_of(512), 0);
    out.extend([0; 1024]);
    out
}

#[test]
fn sparse_files_of_the_old_form() {
    let pieces: Vec<(u64, u64)> = (0..60).map(|n| (n * 10_000, 2)).collect();
    let found = read_all(&old_sparse(&pieces, 1_000_000, &[7; 120]), &Limits::default()).unwrap();
    assert_eq!(found[0].0.size, 1_000_000);
    assert_eq!(found[0].0.pieces.as_ref().unwrap(), &pieces);
    assert_eq!(found[0].1, [7; 120]);
}

#[test]
fn sparse_maps_that_lie() {
    for (pieces, size, data) in [
        (vec![(0, 2), (1, 2)], 10, 4),
        (vec![(5, 2), (0, 2)], 10, 4),
        (vec![(9, 2)], 10, 2),
        (vec![(u64::MAX >> 8, 2)], 10, 2),
        (vec![(0, 2)], 10, 4),
    ] {
        let archive = old_sparse(&pieces, size, &vec![1; data]);
        let error = read_all(&archive, &Limits::default()).unwrap_err();
        assert!(matches!(error, Error::Archive { .. }), "{pieces:?}: {error}");
    }
    let many: Vec<(u64, u64)> = (0..100).map(|n| (n, 0)).collect();
    let limits = Limits { pieces: 50, ..Limits::default() };
    let error = read_all(&old_sparse(&many, 100, b""), &limits).unwrap_err();
    assert!(matches!(error, Error::TooLarge { .. }), "{error}");
    let limits = Limits { bytes: 1 << 20, ..Limits::default() };
    let error = read_all(&old_sparse(&[(0, 2)], 1 << 40, b"ab"), &limits).unwrap_err();
    assert!(matches!(error, Error::TooLarge { .. }), "{error}");
}

#[test]
fn sparse_files_of_the_pax_forms() {
    let mut map = b"2\n0\n1\n4096\n2\n".to_vec();
    map.resize(512, 0);
    map.extend_from_slice(b"abc");
    let mut one_zero = Vec::new();
    for (key, value) in
        [("GNU.sparse.major", "1"), ("GNU.sparse.minor", "0"), ("GNU.sparse.name", "real")]
    {
        pax::push_record(&mut one_zero, key.as_bytes(), value.as_bytes());
    }
    pax::push_record(&mut one_zero, b"GNU.sparse.realsize", b"5000");
    let mut zero_one = Vec::new();
    pax::push_record(&mut zero_one, b"GNU.sparse.size", b"5000");
    pax::push_record(&mut zero_one, b"GNU.sparse.map", b"0,1,4096,2");
    pax::push_record(&mut zero_one, b"GNU.sparse.name", b"real");
    let archives = [
        raw(&[(b'x', "x", &one_zero), (b'0', "GNUSparseFile.0/f", &map)]),
        raw(&[(b'x', "x", &zero_one), (b'0', "GNUSparseFile.0/f", b"abc")]),
    ];
    for archive in archives {
        let found = read_all(&archive, &Limits::default()).unwrap();
        let (entry, data) = &found[0];
        assert_eq!((entry.path.as_slice(), entry.size), (&b"real"[..], 5000));
        assert_eq!(entry.pieces.as_deref().unwrap(), [(0, 1), (4096, 2)]);
        assert_eq!(data, b"abc");
    }
}

fn entries() -> impl Strategy<Value = (Entry, Vec<u8>)> {
    let kinds = prop::sample::select(vec![
        Kind::File,
        Kind::HardLink,
        Kind::Symlink,
        Kind::Directory,
        Kind::Character,
        Kind::Fifo,
    ]);
    let name = prop::collection::vec(prop_oneof![Just(b'/'), 1u8..=255], 1..300);
    let xattr = (prop::collection::vec(1u8..=255, 1..20), prop::collection::vec(0u8..=255, 0..40));
    (
        (kinds, name.clone(), name, 0u32..0o10000, any::<u32>(), any::<u32>()),
        (-1_000_000_000_000i64..1 << 40, 0u32..1_000_000_000, 0u32..4096, 0u32..256),
        (prop::collection::vec(xattr, 0..3), prop::collection::vec(0u8..=255, 0..2000)),
    )
        .prop_map(
            |((kind, path, link, mode, uid, gid), (s, ns, major, minor), (xattrs, data))| {
                let mut entry = Entry::new(path, kind);
                (entry.mode, entry.uid, entry.gid, entry.mtime) = (mode, uid, gid, (s, ns));
                if kind == Kind::File {
                    entry.size = data.len() as u64;
                    // A name that ends so is a directory's, to any reader.
                    while entry.path.ends_with(b"/") {
                        entry.path.push(b'x');
                    }
                }
                if matches!(kind, Kind::HardLink | Kind::Symlink) {
                    entry.link = link;
                }
                if kind == Kind::Directory && !entry.path.ends_with(b"/") {
                    entry.path.push(b'/');
                }
                if kind == Kind::Character {
                    entry.device = (major, minor);
                }
                for (name, value) in xattrs {
                    // "=" ends a key, in every PAX reader.
                    if !name.contains(&b'=')
                        && !entry.xattrs.iter().any(|(known, _)| *known == name)
                    {
                        entry.xattrs.push((name, value));
                    }
                }
                (entry, data)
            },
        )
}

proptest! {
    #[test]
    fn what_is_written_is_read(list in prop::collection::vec(entries(), 0..6)) {
        let mut writer = Writer::new(Vec::new());
        for (entry, data) in &list {
            writer.append(entry, data.as_slice()).unwrap();
        }
        let bytes = writer.finish().unwrap();
        prop_assert_eq!(bytes.len() % 512, 0);
        let found = read_all(&bytes, &Limits::default()).unwrap();
        prop_assert_eq!(found.len(), list.len());
        for ((entry, data), (wanted, content)) in found.iter().zip(&list) {
            prop_assert_eq!(entry, wanted);
            let content: &[u8] = if wanted.kind == Kind::File { content } else { b"" };
            prop_assert_eq!(data.as_slice(), content);
        }
    }

    /// Damage anywhere gives entries or an error, never a panic, and never more than was put in.
    #[test]
    fn damage_is_survived(list in prop::collection::vec(entries(), 1..4), at: prop::sample::Index,
                          byte: u8, cut: prop::sample::Index) {
        let mut writer = Writer::new(Vec::new());
        for (entry, data) in &list {
            writer.append(entry, data.as_slice()).unwrap();
        }
        let mut bytes = writer.finish().unwrap();
        let at = at.index(bytes.len());
        bytes[at] = byte;
        bytes.truncate(cut.index(bytes.len()));
        let limits = Limits { bytes: 1 << 20, ..Limits::default() };
        if let Ok(found) = read_all(&bytes, &limits) {
            prop_assert!(found.len() <= list.len() * 2);
        }
    }
}
