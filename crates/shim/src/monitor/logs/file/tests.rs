//! What ends up in the files.

use std::fs;

use dhow_shim::log::{LogReader, ReadOptions};
use proptest::prelude::*;

use super::*;

const NO_LIMITS: LogLimits = LogLimits { max_size: None, max_total: None, rotate: None };

struct Fixture {
    dir: tempfile::TempDir,
    file: LogFile,
}

fn log(format: Format, limits: LogLimits) -> Fixture {
    let dir = tempfile::tempdir().unwrap();
    let file = LogFile::open(dir.path().join("log"), format, limits).unwrap();
    Fixture { dir, file }
}

impl Fixture {
    fn write(&mut self, stream: Stream, chunk: &[u8]) {
        self.file.write(
            "2026-01-02T03:04:05Z".parse().unwrap(),
            Offset::UTC,
            stream,
            chunk,
            &mut [0; 9000],
        );
    }

    fn text(&self, name: &str) -> String {
        String::from_utf8(fs::read(self.dir.path().join(name)).unwrap()).unwrap()
    }

    fn lines(&self, name: &str) -> Vec<String> {
        self.text(name)
            .lines()
            .map(|l| l.strip_prefix("2026-01-02T03:04:05.000000000+00:00 ").unwrap().to_owned())
            .collect()
    }

    /// The bytes of a stream, as the reader sees them in all files.
    fn read(&self, format: Format, wanted: Stream) -> Vec<u8> {
        let reader =
            LogReader::open(&self.dir.path().join("log"), format, ReadOptions::default()).unwrap();
        let mut bytes = Vec::new();
        for line in reader.map(Result::unwrap).filter(|l| l.stream == wanted) {
            bytes.extend_from_slice(&line.bytes);
            bytes.extend((!line.partial).then_some(b'\n'));
        }
        bytes
    }
}

#[test]
fn k8s_records_are_conmons() {
    let mut log = log(Format::K8sFile, NO_LIMITS);
    log.write(Stream::Stdout, b"one\n\ntwo");
    log.write(Stream::Stderr, b"three\n");
    log.write(Stream::Stdout, b"...\n");
    assert_eq!(
        log.lines("log"),
        ["stdout F one", "stdout F ", "stdout P two", "stderr F three", "stdout F ..."]
    );
    log.write(Stream::Stdout, &vec![b'x'; 20_000]);
    let lengths: Vec<_> =
        log.lines("log")[5..].iter().map(|l| l.len() - "stdout P ".len()).collect();
    assert_eq!(lengths, [8192, 8192, 3616]);
}

#[test]
fn many_short_lines_take_several_batches() {
    let mut log = log(Format::K8sFile, NO_LIMITS);
    let chunk: Vec<u8> = (0..5000).flat_map(|n| format!("{n}\n").into_bytes()).collect();
    log.write(Stream::Stdout, &chunk);
    assert_eq!(log.read(Format::K8sFile, Stream::Stdout), chunk);
    assert_eq!(log.file.size, fs::metadata(log.dir.path().join("log")).unwrap().len());
}

#[test]
fn a_full_file_is_replaced_or_rotated() {
    // 45 bytes before the content, 1 behind: two records of four bytes a file.
    let limits = |rotate| LogLimits { max_size: Some(100), max_total: None, rotate };
    let mut replaced = log(Format::K8sFile, limits(None));
    let mut rotated = log(Format::K8sFile, limits(Some(2)));
    for n in 0..7 {
        replaced.write(Stream::Stdout, format!("{n}...\n").as_bytes());
        rotated.write(Stream::Stdout, format!("{n}...\n").as_bytes());
    }
    assert_eq!(replaced.lines("log"), ["stdout F 6..."]);
    assert!(!replaced.dir.path().join("log.1").exists());
    assert_eq!(rotated.lines("log"), ["stdout F 6..."]);
    assert_eq!(rotated.lines("log.1"), ["stdout F 4...", "stdout F 5..."]);
    assert_eq!(rotated.lines("log.2"), ["stdout F 2...", "stdout F 3..."]);
    assert!(!rotated.dir.path().join("log.3").exists());
    assert_eq!(rotated.read(Format::K8sFile, Stream::Stdout), b"2...\n3...\n4...\n5...\n6...\n");
}

#[test]
fn nothing_is_logged_beyond_the_total() {
    let mut log = log(Format::K8sFile, LogLimits { max_total: Some(120), ..NO_LIMITS });
    log.write(Stream::Stdout, b"0...\n1...\n2...\n3...\n4...\n");
    log.write(Stream::Stdout, b"5...\n");
    assert_eq!(log.lines("log"), ["stdout F 0...", "stdout F 1...", "stdout F 2..."]);
}

#[test]
fn a_file_that_was_moved_away_is_made_again() {
    let mut log = log(Format::K8sFile, NO_LIMITS);
    log.write(Stream::Stdout, b"one\n");
    log.file.reopen();
    log.write(Stream::Stdout, b"two\n");
    fs::rename(log.dir.path().join("log"), log.dir.path().join("old")).unwrap();
    log.file.reopen();
    log.write(Stream::Stdout, b"three\n");
    assert_eq!(log.lines("old"), ["stdout F one", "stdout F two"]);
    assert_eq!(log.lines("log"), ["stdout F three"]);
}

#[test]
fn a_failing_write_is_counted_and_a_torn_record_is_ended() {
    let mut log = log(Format::K8sFile, NO_LIMITS);
    log.write(Stream::Stdout, b"one\n");
    let writable =
        std::mem::replace(&mut log.file.file, fs::File::open(log.dir.path().join("log")).unwrap());
    log.write(Stream::Stdout, b"lost\n");
    assert_eq!(log.file.lost(), 45 + 5);
    log.file.file = writable;
    pipe::write(&log.file.file, b"2026-01-02T03:04:05.000000000+00:00 torn").unwrap();
    log.file.torn = true;
    log.write(Stream::Stdout, b"two\n");
    assert_eq!(log.lines("log"), ["stdout F one", "torn", "stdout F two"]);
}

#[test]
fn json_holds_characters_together() {
    let mut log = log(Format::JsonFile, NO_LIMITS);
    log.write(Stream::Stdout, b"a\xf0\x9f");
    log.write(Stream::Stdout, b"\x98\x80b\n\xc3");
    log.file.finish("2026-01-02T03:04:05Z".parse().unwrap(), true);
    let tail = "\",\"stream\":\"stdout\",\"time\":\"2026-01-02T03:04:05Z\"}\n";
    assert_eq!(
        log.text("log"),
        format!("{{\"log\":\"a{tail}{{\"log\":\"😀b\\n{tail}{{\"log\":\"\\ufffd{tail}")
    );
}

fn chunks() -> impl Strategy<Value = Vec<(bool, Vec<u8>)>> {
    let byte = prop_oneof![6 => any::<u8>(), 2 => Just(b'\n'), 2 => Just(b'x')];
    let chunk = prop_oneof![9 => proptest::collection::vec(byte, 1..80), 1 => (8180_usize..20_000).prop_map(|n| vec![b'y'; n])];
    proptest::collection::vec((any::<bool>(), chunk), 0..12)
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]

    #[test]
    fn whatever_the_chunks_are_the_bytes_of_each_stream_come_back(
        chunks in chunks(), rotate in any::<bool>(),
    ) {
        let limits = LogLimits { max_size: rotate.then_some(5000), max_total: None, rotate: rotate.then_some(1000) };
        let mut log = log(Format::K8sFile, limits);
        let mut expected = [Vec::new(), Vec::new()];
        for (stderr, chunk) in &chunks {
            log.write(if *stderr { Stream::Stderr } else { Stream::Stdout }, chunk);
            expected[usize::from(*stderr)].extend_from_slice(chunk);
        }
        prop_assert_eq!(&log.read(Format::K8sFile, Stream::Stdout), &expected[0]);
        prop_assert_eq!(&log.read(Format::K8sFile, Stream::Stderr), &expected[1]);
    }

    #[test]
    fn text_comes_back_from_json_whatever_the_chunks_are(text in "\\PC{0,200}|[a-z\n😀é]{0,200}", cuts in proptest::collection::vec(1_usize..9, 0..60)) {
        let mut log = log(Format::JsonFile, NO_LIMITS);
        let mut rest = text.as_bytes();
        for cut in cuts.into_iter().chain([usize::MAX]) {
            let (chunk, left) = rest.split_at(cut.min(rest.len()));
            rest = left;
            log.write(Stream::Stdout, chunk);
        }
        prop_assert_eq!(log.read(Format::JsonFile, Stream::Stdout), text.into_bytes());
    }
}
