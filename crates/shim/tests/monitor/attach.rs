//! Clients: several, slow, stopped; input and its end.

use dhow_shim::attach::{Received, Stream};
use dhow_shim::log::{CatchUp, Ending};

use crate::harness::Session;

#[test]
fn every_client_gets_everything_and_both_streams() {
    let mut session = Session::new("read line; echo out; echo err >&2; head -c 100000 /dev/zero");
    session.args.stdin = true;
    session.start();
    let mut clients: Vec<_> = (0..3).map(|_| session.attach()).collect();
    clients[0].send(b"\n");
    let mut expected = b"out\n".to_vec();
    expected.resize(100_004, 0);
    for client in &mut clients[..2] {
        assert!(client.read_to_end(Stream::Stdout) == expected);
    }
    assert_eq!(clients[2].read_to_end(Stream::Stderr), b"err\n");
}

#[test]
fn a_stopped_client_stops_neither_container_nor_log_nor_others() {
    let mut session = Session::new("read line; head -c 30000000 /dev/zero; echo; exit 3");
    session.args.stdin = true;
    session.start();
    let mut stopped = session.attach();
    let mut reader = session.attach();
    reader.send(b"\n");
    assert_eq!(reader.read_to_end(Stream::Stdout).len(), 30_000_001);
    assert_eq!(session.wait_exit().code, 3);
    assert_eq!(session.logged(Stream::Stdout).len(), 30_000_001);
    session.wait_gone();
    // What was in its socket is still there, then it is told.
    let mut last = Received::WouldBlock;
    let mut got = 0;
    loop {
        match stopped.next().0 {
            Received::Output { len, .. } => got += len,
            Received::End => break,
            other => last = other,
        }
    }
    assert!(got < 30_000_000, "{got}");
    assert_eq!(last, Received::Dropped, "the notice has room of its own");
}

#[test]
fn a_client_that_is_too_slow_reads_on_in_the_log() {
    let mut session =
        Session::new("read line; seq 1 400000; echo warned >&2; head -c 3000000 /dev/zero; exit 4");
    session.args.stdin = true;
    session.args.attach_catch_up = true;
    session.start();
    let mut stopped = session.attach();
    stopped.send(b"\n");
    // Nobody waits for it: not the container, not the monitor at its end.
    assert_eq!(session.wait_exit().code, 4);
    session.wait_gone();
    let mut got = [Vec::new(), Vec::new()];
    let mut take = |stream, bytes: &[u8]| {
        got[usize::from(stream == Stream::Stderr)].extend_from_slice(bytes);
    };
    let place = loop {
        match stopped.next() {
            (Received::Output { stream, .. }, bytes) => take(stream, bytes),
            (Received::ReadLog(place), _) => break place,
            (other, _) => panic!("{other:?}"),
        }
    };
    assert_eq!(stopped.next().0, Received::End);
    let ending = Ending { run_dir: session.path("run"), monitor: None };
    let mut log = CatchUp::open(&session.path("log"), place, ending).unwrap();
    let mut buffer = [0; 4096];
    loop {
        match log.read(&mut buffer).unwrap() {
            Received::Output { stream, len } => take(stream, &buffer[..len]),
            Received::WouldBlock => {}
            end => {
                assert_eq!(end, Received::End);
                break;
            }
        }
    }
    assert!(got[0] == session.logged(Stream::Stdout), "{} bytes", got[0].len());
    assert_eq!(got[1], b"warned\n");
}

#[test]
fn a_client_that_was_dropped_is_told_so() {
    let mut session =
        Session::new("read line; head -c 30000000 /dev/zero; echo done >&2; read line");
    session.args.stdin = true;
    session.args.leave_stdin_open = true;
    session.start();
    let mut slow = session.attach();
    let mut other = session.attach();
    other.send(b"\n");
    let enough = |bytes: &[u8]| bytes.ends_with(b"done\n");
    assert_eq!(other.read_until(Stream::Stderr, enough), b"done\n");
    loop {
        match slow.next().0 {
            Received::Output { .. } => {}
            end => {
                assert_eq!(end, Received::Dropped);
                break;
            }
        }
    }
    assert_eq!(slow.next().0, Received::End);
    other.send(b"\n");
    assert_eq!(other.next().0, Received::End);
    assert_eq!(session.wait_exit().code, 0);
}

#[test]
fn a_client_slower_than_the_container_but_reading_loses_nothing() {
    let mut session = Session::new("read line; head -c 20000000 /dev/zero");
    session.args.stdin = true;
    session.start();
    let mut client = session.attach();
    client.send(b"\n");
    let mut got = 0;
    // Work between reads, as a client that compresses would do.
    let mut digest = 0_u64;
    while let (Received::Output { len, .. }, bytes) = client.next() {
        got += len;
        for _ in 0..20 {
            digest =
                bytes.iter().fold(digest, |d, b| d.wrapping_mul(31).wrapping_add(u64::from(*b)));
        }
    }
    assert_eq!((got, digest), (20_000_000, 0));
}

#[test]
fn megabytes_of_input_arrive_and_the_end_after_them() {
    let mut session = Session::new("cat > $DIR/copy; echo copied");
    session.args.stdin = true;
    session.start();
    let input: Vec<u8> =
        (0..5_000_000_u32).map(|n| n.to_le_bytes()[0] ^ n.to_le_bytes()[1]).collect();
    let mut client = session.attach();
    client.send(&input);
    client.client.close_stdin().unwrap();
    // The half that is left still gets output.
    assert_eq!(client.read_to_end(Stream::Stdout), b"copied\n");
    assert!(std::fs::read(session.path("copy")).unwrap() == input);
}

#[test]
fn input_of_a_client_that_left_is_delivered_first() {
    let mut session = Session::new("read gate < $DIR/gate; wc -c");
    session.args.stdin = true;
    nix::unistd::mkfifo(&session.path("gate"), nix::sys::stat::Mode::S_IRWXU).unwrap();
    session.start();
    let mut output = session.attach();
    let mut input = session.attach();
    // More than the pipe holds, less than pipe, monitor and socket do.
    input.send(&[b'x'; 150_000]);
    drop(input);
    session.write("gate", "go\n");
    assert_eq!(output.read_to_end(Stream::Stdout), b"150000\n");
}

#[test]
fn leave_stdin_open_survives_a_clients_end() {
    let mut session = Session::new("read one; read two; echo $one $two");
    session.args.stdin = true;
    session.args.leave_stdin_open = true;
    session.start();
    let mut first = session.attach();
    first.send(b"1\n");
    first.client.close_stdin().unwrap();
    let mut second = session.attach();
    second.send(b"2\n");
    assert_eq!(second.read_to_end(Stream::Stdout), b"1 2\n");
}

#[test]
fn without_stdin_input_is_thrown_away_and_the_container_reads_the_end() {
    let mut session = Session::new("cat; read gate < $DIR/gate; echo over");
    nix::unistd::mkfifo(&session.path("gate"), nix::sys::stat::Mode::S_IRWXU).unwrap();
    session.start();
    let mut client = session.attach();
    client.send(&vec![b'x'; 1_000_000]);
    session.write("gate", "go\n");
    assert_eq!(client.read_to_end(Stream::Stdout), b"over\n");
}

#[test]
fn clients_that_come_and_go_leave_no_descriptor() {
    let mut session = Session::new("read line");
    session.args.stdin = true;
    session.args.leave_stdin_open = true;
    session.start();
    let directory = format!("/proc/{}/fd", session.monitor_id().pid);
    let open = || std::fs::read_dir(&directory).unwrap().count();
    let before = open();
    for _ in 0..50 {
        drop(session.attach());
    }
    // A round trip: all that came before it has been handled.
    let mut last = session.attach();
    last.send(b"\n");
    assert_eq!(last.next().0, Received::End);
    assert!(before > 0);
    assert_eq!(session.wait_exit().code, 0);

    let mut session = Session::new("read line; echo $line; read line");
    session.args.stdin = true;
    session.args.leave_stdin_open = true;
    session.start();
    let directory = format!("/proc/{}/fd", session.monitor_id().pid);
    let open = || std::fs::read_dir(&directory).unwrap().count();
    let mut stays = session.attach();
    for _ in 0..50 {
        drop(session.attach());
    }
    stays.send(b"echo\n");
    stays.expect("echo");
    let after = open();
    assert!(after < 25, "{after} descriptors");
}
