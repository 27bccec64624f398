//! Reading logs that were written by hand.
#![expect(clippy::disallowed_methods, reason = "tests write log files with std::fs::write")]

use std::fmt::Write as _;

use proptest::prelude::*;

use super::*;

const EPOCH: i64 = 1_767_312_000_000_000_000; // 2026-01-02T00:00:00Z
const SECOND: i64 = 1_000_000_000;

/// One record a second: `o` stdout, `e` stderr, upper case if it ends its line.
fn records(tags: &str) -> String {
    let mut text = String::new();
    for (n, tag) in tags.chars().enumerate() {
        let stream = if tag.eq_ignore_ascii_case(&'o') { "stdout" } else { "stderr" };
        let end = if tag.is_uppercase() { 'F' } else { 'P' };
        writeln!(
            text,
            "2026-01-02T00:{:02}:{:02}.000000000+00:00 {stream} {end} {n}",
            n / 60,
            n % 60
        )
        .unwrap();
    }
    text
}

struct Log(tempfile::TempDir);

impl Log {
    fn new(files: &[(&str, &str)]) -> Self {
        let dir = tempfile::tempdir().unwrap();
        for (name, text) in files {
            std::fs::write(dir.path().join(name), text).unwrap();
        }
        Log(dir)
    }

    fn open(&self, options: ReadOptions) -> LogReader {
        LogReader::open(&self.0.path().join("log"), Format::K8sFile, options).unwrap()
    }

    /// Lines as `stdout:text`, a partial one with `…` at its end, what is corrupt as `!offset`.
    fn read(&self, options: ReadOptions) -> Vec<String> {
        self.open(options).map(|item| show(&item)).collect()
    }

    fn tail(&self, lines: usize) -> Vec<String> {
        self.read(ReadOptions { tail: Some(lines), ..ReadOptions::default() })
    }
}

fn show(item: &Result<LogLine, Error>) -> String {
    match item {
        Ok(line) => {
            let text = String::from_utf8_lossy(&line.bytes);
            format!("{}:{text}{}", line.stream.name(), if line.partial { "…" } else { "" })
        }
        Err(Error::Corrupt { offset, .. }) => format!("!{offset}"),
        Err(other) => panic!("{other}"),
    }
}

#[test]
fn parts_are_joined_and_streams_kept_apart() {
    let log = Log::new(&[("log", &records("oeoEOOe"))]);
    assert_eq!(
        log.read(ReadOptions::default()),
        ["stderr:13", "stdout:024", "stdout:5", "stderr:6…"]
    );
    let first = log.open(ReadOptions::default()).next().unwrap().unwrap();
    assert_eq!(first.at, EPOCH + SECOND);
}

#[test]
fn since_and_until() {
    let log = Log::new(&[("log", &records("OOOOO"))]);
    let at = |n: i64| Some(EPOCH + n * SECOND);
    assert_eq!(
        log.read(ReadOptions { since: at(3), ..ReadOptions::default() }),
        ["stdout:3", "stdout:4"]
    );
    assert_eq!(
        log.read(ReadOptions { until: at(1), ..ReadOptions::default() }),
        ["stdout:0", "stdout:1"]
    );
    assert_eq!(
        log.read(ReadOptions { since: at(1), until: at(2), tail: Some(4) }),
        ["stdout:1", "stdout:2"]
    );
}

#[test]
fn the_last_lines() {
    let log = Log::new(&[("log", &records("OOoOE"))]);
    assert_eq!(log.tail(0), [""; 0]);
    assert_eq!(log.tail(1), ["stderr:4"]);
    assert_eq!(log.tail(2), ["stdout:23", "stderr:4"]);
    assert_eq!(log.tail(3), ["stdout:1", "stdout:23", "stderr:4"]);
    assert_eq!(log.tail(100).len(), 4);
    let unfinished = Log::new(&[("log", &records("Ooe"))]);
    assert_eq!(unfinished.tail(1), ["stderr:2…"]);
    assert_eq!(unfinished.tail(2), ["stdout:1…", "stderr:2…"]);
    assert_eq!(Log::new(&[]).tail(3), [""; 0]);
    assert_eq!(Log::new(&[("log", "")]).tail(3), [""; 0]);
}

#[test]
fn a_line_of_the_last_ones_is_whole_even_if_another_stream_is_between_its_parts() {
    let log = Log::new(&[("log", &records("OoEO"))]);
    assert_eq!(log.tail(1), ["stdout:13"]);
    assert_eq!(log.tail(2), ["stderr:2", "stdout:13"]);
}

#[test]
fn rotated_files_are_read_first() {
    let all = records("OOOOOO");
    let lines: Vec<_> = all.split_inclusive('\n').collect();
    let log = Log::new(&[
        ("log.2", &lines[..2].concat()),
        ("log.1", &lines[2..4].concat()),
        ("log", &lines[4..].concat()),
    ]);
    let expected: Vec<_> = (0..6).map(|n| format!("stdout:{n}")).collect();
    assert_eq!(log.read(ReadOptions::default()), expected);
    for wanted in 0..7 {
        assert_eq!(log.tail(wanted), expected[6_usize.saturating_sub(wanted)..], "{wanted}");
    }
}

#[test]
fn what_is_corrupt_is_told_once_and_stops_nothing() {
    let records = records("OO");
    let (first, second) = records.split_at(records.len() / 2);
    let torn = &second[..second.len() - 8];
    let log = Log::new(&[("log", &format!("{first}rubbish\n{second}{torn}"))]);
    let (rubbish, rest) = (first.len(), first.len() + 8 + second.len());
    assert_eq!(
        log.read(ReadOptions::default()),
        ["stdout:0".into(), format!("!{rubbish}"), "stdout:1".into(), format!("!{rest}")]
    );
}

#[test]
fn a_line_longer_than_any_record_takes_bounded_memory() {
    let mut text = records("O");
    text.push_str(&"x".repeat(3 * LONGEST_RECORD));
    text.push('\n');
    let at = records("O").len();
    text.push_str(&records("O"));
    let log = Log::new(&[("log", &text)]);
    let read = log.read(ReadOptions::default());
    assert_eq!((read.len(), read[0].as_str(), read[2].as_str()), (3, "stdout:0", "stdout:0"));
    assert!(read[1].starts_with('!'), "{read:?}");
    assert!(at > 0);
    assert_eq!(log.tail(1), ["stdout:0"]);
    assert_eq!(log.tail(2).len(), 3);
}

#[test]
fn a_follower_that_is_late_reads_what_was_rotated_away_meanwhile() {
    let dir = tempfile::tempdir().unwrap();
    let (log, run) = (dir.path().join("log"), dir.path().join("run"));
    std::fs::create_dir(&run).unwrap();
    let all = records("OOOO");
    let lines: Vec<_> = all.split_inclusive('\n').collect();
    std::fs::write(&log, lines[0]).unwrap();
    let mut reader = LogReader::open(&log, Format::K8sFile, ReadOptions::default()).unwrap();
    reader.follow(Ending { run_dir: run.clone(), monitor: None }).unwrap();
    assert_eq!(show(&reader.next().unwrap()), "stdout:0");
    assert!(matches!(reader.next_within(Some(Duration::ZERO)), Ok(Next::TimedOut)));
    for line in &lines[1..] {
        std::fs::rename(dir.path().join("log.1"), dir.path().join("log.2")).ok();
        std::fs::rename(&log, dir.path().join("log.1")).unwrap();
        std::fs::write(&log, line).unwrap();
    }
    // The file that was read first is gone by now: after it comes the oldest that is left.
    std::fs::write(run.join(crate::files::EXIT), "{}").unwrap();
    let rest: Vec<_> = reader.map(|item| show(&item)).collect();
    assert_eq!(rest, ["stdout:1", "stdout:2", "stdout:3"]);
}

#[test]
fn a_follower_gives_out_parts_at_once() {
    let dir = tempfile::tempdir().unwrap();
    let log = dir.path().join("log");
    std::fs::write(&log, records("o")).unwrap();
    let mut reader = LogReader::open(&log, Format::K8sFile, ReadOptions::default()).unwrap();
    reader.follow(Ending { run_dir: dir.path().to_path_buf(), monitor: None }).unwrap();
    assert_eq!(show(&reader.next().unwrap()), "stdout:0…");
}

proptest! {
    #[test]
    fn the_last_lines_are_the_last_of_all_lines(tags in "[oOeE]{0,60}", wanted in 0_usize..70) {
        // A line without an end is given out at the end of all, wherever its parts were: not here.
        let log = Log::new(&[("log", &records(&format!("{tags}OE")))]);
        let all = log.read(ReadOptions::default());
        prop_assert_eq!(log.tail(wanted), &all[all.len().saturating_sub(wanted)..]);
    }
}
