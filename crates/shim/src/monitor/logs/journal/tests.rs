//! Entries against those that conmon 2.1.6 was seen to send. No socket: what would be sent waits.

use super::*;

fn log(change: impl FnOnce(&mut Journal)) -> JournalLog {
    let mut journal = Journal {
        container: "abcdefghijklmnopqrst".to_owned(),
        name: Some("box".into()),
        tag: None,
        labels: Vec::new(),
        marks_partial: true,
    };
    change(&mut journal);
    let mut log = JournalLog::new(&journal);
    // An entry in front that no journal takes: the others stay behind it.
    let (socket, listener) = full_socket();
    log.socket = Some(socket);
    std::mem::forget(listener);
    log
}

/// A socket whose queue is full, and who would have to read it.
fn full_socket() -> (DatagramSocket, std::os::unix::net::UnixDatagram) {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("socket");
    let listener = std::os::unix::net::UnixDatagram::bind(&path).unwrap();
    let socket = DatagramSocket::connect(&path).unwrap();
    while socket.send(b"x").unwrap() {}
    (socket, listener)
}

fn entries(log: &JournalLog) -> Vec<String> {
    log.waiting.iter().map(|entry| String::from_utf8_lossy(entry).into_owned()).collect()
}

/// An entry as text: what does not vary is left out.
fn entry(message: &str, priority: u8, partial: &str) -> String {
    let message = if message.contains('\n') {
        let mut length = String::new();
        (message.len() as u64).to_le_bytes().iter().for_each(|b| length.push(char::from(*b)));
        format!("MESSAGE\n{length}{message}\n")
    } else {
        format!("MESSAGE={message}\n")
    };
    format!(
        "{message}CONTAINER_ID_FULL=abcdefghijklmnopqrst\nPRIORITY={priority}\nCONTAINER_ID=abcdefghijkl\nCONTAINER_NAME=box\nSYSLOG_IDENTIFIER=box\n{partial}"
    )
}

const PARTIAL: &str = "CONTAINER_PARTIAL_MESSAGE=true\n";

#[test]
fn a_line_is_an_entry_however_it_comes() {
    let mut log = log(|_| {});
    log.write(Stream::Stdout, b"one\ntw");
    log.write(Stream::Stderr, b"err\n");
    log.write(Stream::Stdout, b"o\n\n");
    let expected =
        [entry("one\n", 6, ""), entry("err\n", 3, ""), entry("two\n", 6, ""), entry("\n", 6, "")];
    assert_eq!(entries(&log), expected);
}

#[test]
fn a_long_line_is_cut_and_its_last_part_is_not_marked() {
    let mut log = log(|_| {});
    log.write(Stream::Stdout, &[b'a'; 8193]);
    log.write(Stream::Stdout, &[b'a'; 8191]);
    log.write(Stream::Stdout, b"\nb");
    log.end_entry(Stream::Stdout, true);
    let full = "a".repeat(8192);
    let lengths: Vec<_> = log.waiting.iter().map(Vec::len).collect();
    assert_eq!(lengths.len(), 4, "{lengths:?}");
    assert_eq!(entries(&log)[0], entry(&full, 6, PARTIAL));
    assert_eq!(entries(&log)[1], entry(&full, 6, PARTIAL));
    assert_eq!(entries(&log)[2], entry("\n", 6, ""));
    assert_eq!(entries(&log)[3], entry("b", 6, PARTIAL));
    assert!(log.is_clogged());
}

#[test]
fn a_line_of_the_longest_length_keeps_its_newline() {
    let mut log = log(|_| {});
    let mut line = vec![b'a'; 8192];
    line.push(b'\n');
    log.write(Stream::Stdout, &line);
    assert_eq!(log.waiting.len(), 1);
    assert!(!entries(&log)[0].contains("PARTIAL"));
}

#[test]
fn the_priority_may_be_said_by_the_line() {
    let mut log = log(|journal| journal.marks_partial = false);
    log.write(Stream::Stdout, b"<3");
    log.write(Stream::Stdout, b">bad\n<9>x\nplain\n");
    log.write(Stream::Stderr, b"<7>");
    log.write(Stream::Stderr, &[b'a'; 8192]);
    log.write(Stream::Stderr, b"\n");
    let all = entries(&log);
    assert_eq!(all[0], entry("bad\n", 3, ""));
    assert_eq!(all[1], entry("<9>x\n", 6, ""));
    assert_eq!(all[2], entry("plain\n", 6, ""));
    assert_eq!(all[3], entry(&"a".repeat(8189), 7, ""));
    assert_eq!(all[4], entry("aaa\n", 7, ""), "the priority is the whole line's");
}

#[test]
fn tag_labels_and_a_container_without_a_name() {
    let mut with_tag = log(|journal| {
        journal.tag = Some("tag".into());
        journal.labels = vec!["A_1=x".into(), "B=".into()];
    });
    with_tag.write(Stream::Stdout, b"x");
    with_tag.end_entry(Stream::Stdout, true);
    assert!(entries(&with_tag)[0].ends_with(
        "CONTAINER_ID=abcdefghijkl\nCONTAINER_TAG=tag\nCONTAINER_NAME=box\nSYSLOG_IDENTIFIER=tag\nCONTAINER_PARTIAL_MESSAGE=true\nA_1=x\nB=\n"
    ));
    let mut without_name = log(|journal| journal.name = None);
    without_name.write(Stream::Stdout, b"x\n");
    assert!(
        entries(&without_name)[0]
            .ends_with("CONTAINER_ID=abcdefghijkl\nSYSLOG_IDENTIFIER=abcdefghijkl\n")
    );
}

#[test]
fn what_the_journal_does_not_take_is_counted_when_it_is_over() {
    let mut log = log(|_| {});
    log.write(Stream::Stdout, b"lost\n");
    let bytes = log.waiting[0].len() as u64;
    log.finish();
    assert_eq!((log.losses.bytes, log.is_clogged()), (bytes, false));
    assert!(log.losses.news("the journal").is_some());
}

proptest::proptest! {
    #[test]
    fn any_chunking_gives_the_same_bytes(
        text in proptest::collection::vec(proptest::prop_oneof![3 => proptest::prelude::Just(b'\n'), 20 => proptest::prelude::any::<u8>()], 0..3000),
        cuts in proptest::collection::vec(0_usize..3000, 0..20),
    ) {
        let mut log = log(|_| {});
        let mut cuts: Vec<_> = cuts.into_iter().map(|cut| cut.min(text.len())).collect();
        cuts.sort_unstable();
        let mut from = 0;
        for to in cuts.into_iter().chain([text.len()]) {
            log.write(Stream::Stdout, &text[from..to]);
            from = to;
        }
        log.end_entry(Stream::Stdout, true);
        let joined: Vec<u8> = log.waiting.iter().flat_map(|entry| message(entry)).copied().collect();
        // A priority at the beginning of a line is not part of it.
        let expected: Vec<u8> = text.split_inclusive(|b| *b == b'\n').flat_map(|line| match line {
            [b'<', b'0'..=b'7', b'>', rest @ ..] => rest,
            line => line,
        }).copied().collect();
        proptest::prop_assert_eq!(joined, expected);
    }
}

/// The message of an entry.
fn message(entry: &[u8]) -> &[u8] {
    let rest = entry.strip_prefix(b"MESSAGE").unwrap();
    if let Some(value) = rest.strip_prefix(b"=") {
        return &value[..value.iter().position(|b| *b == b'\n').unwrap()];
    }
    let length = u64::from_le_bytes(rest[1..9].try_into().unwrap());
    &rest[9..9 + usize::try_from(length).unwrap()]
}
