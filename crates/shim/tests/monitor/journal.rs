//! systemd's journal, syslog and the service manager: sockets of ours in the place of theirs, in a mount namespace.

use std::os::fd::AsFd as _;
use std::os::unix::net::UnixDatagram;
use std::path::Path;
use std::time::Duration;

use dhow_sys::process::{OutputLimits, Spawn, output};
use dhow_sys::watch::wait_readable;

use crate::harness::{LONG, Session};

const ID: &str = "0123456789abcdef";
const CONMON: &str = "/usr/bin/conmon";
const SHIM: &str = env!("CARGO_BIN_EXE_dhow-shim");

/// What takes /run/systemd/journal/socket and /dev/log to `$DIR`, and becomes the program.
const WITH_SOCKETS: &str = r#"
mkdir -p "$DIR/dev" && mount --rbind /dev "$DIR/dev" && mount -t tmpfs dev /dev &&
touch /dev/null && mount --bind "$DIR/dev/null" /dev/null && ln -s "$DIR/syslog" /dev/log &&
mount -t tmpfs run /run && mkdir -p /run/systemd && ln -s "$DIR/journal" /run/systemd/journal || exit 99
exec "$@"
"#;

/// Runs a monitor in the foreground; the datagrams that came to the journal and to syslog.
fn run(session: &Session, monitor: &str, options: &[&str]) -> [Vec<Vec<u8>>; 2] {
    std::fs::create_dir_all(session.path("journal")).unwrap();
    let sockets = ["journal/socket", "syslog"].map(|name| {
        let socket = UnixDatagram::bind(session.path(name)).unwrap();
        socket.set_nonblocking(true).unwrap();
        socket
    });
    let spawn = Spawn::new("/usr/bin/unshare")
        .args(["--mount", "sh", "-c", WITH_SOCKETS, "sh", monitor, "--sync", "-c", ID, "-u", "u"])
        .args(["-b".into(), session.path("bundle").into_os_string(), "-r".into()])
        .args([session.path("runtime").into_os_string(), "-p".into()])
        .arg(session.path("run/pidfile"))
        .args(["--full-attach"])
        .args(options.iter().copied())
        .envs(session.environment())
        .cwd(session.path("bundle"));
    let child = spawn.spawn().unwrap();
    let mut got: [Vec<Vec<u8>>; 2] = Default::default();
    let mut buffer = vec![0; 1 << 20];
    loop {
        let fds = [sockets[0].as_fd(), sockets[1].as_fd(), child.as_fd()];
        let ready = wait_readable(&fds, Some(LONG)).unwrap().expect("nothing comes");
        let mut read = 0;
        for (socket, got) in sockets.iter().zip(&mut got) {
            while let Ok(length) = socket.recv(&mut buffer) {
                got.push(buffer[..length].to_vec());
                read += 1;
            }
        }
        if ready == 2 && read == 0 {
            break;
        }
    }
    child.wait().unwrap();
    for name in ["journal/socket", "syslog"] {
        std::fs::remove_file(session.path(name)).unwrap();
    }
    got
}

fn is_able() -> bool {
    let able = nix::unistd::geteuid().is_root() && Path::new(CONMON).exists();
    assert!(able || std::env::var_os("STRICT").is_none_or(|v| v != "1"), "root and conmon needed");
    able
}

/// What tells where in conmon's source the entry was made is not ours to say.
fn without_code(entry: &[u8]) -> String {
    let text = String::from_utf8_lossy(entry).into_owned();
    match text.find("CODE_FILE=") {
        Some(at) => text[..at].to_owned(),
        None => text,
    }
}

#[test]
fn the_journal_gets_what_conmon_sends() {
    if !is_able() {
        return;
    }
    // One write a read: `wait` for the byte that says that the last was taken would need a client.
    let payload = "echo one; echo; printf '\\001\\377two\\n'; head -c 20000 /dev/zero | tr '\\0' x; echo; printf last";
    for options in [&["-n", "box"][..], &[], &["-n", "box", "--log-tag", "tag"]] {
        let options = [&["-l", "journald"], options].concat();
        let both = [CONMON, SHIM].map(|monitor| {
            let session = Session::new(payload);
            let [journal, _] = run(&session, monitor, &options);
            journal.iter().map(|entry| without_code(entry)).collect::<Vec<_>>()
        });
        assert!(both[0].len() >= 6, "{:?}", both[0]);
        // Where a long line is cut depends on how it was read; what is in the entries together does not.
        assert_eq!(both[0][..3], both[1][..3]);
        assert_eq!(both[0].last(), both[1].last());
        let xs = |entries: &[String]| -> usize {
            entries[3..].iter().map(|entry| entry.matches('x').count()).sum()
        };
        let partial = |entries: &[String]| {
            entries.iter().filter(|e| e.contains("CONTAINER_PARTIAL_MESSAGE=true\n")).count()
        };
        let names = |entries: &[String]| -> usize {
            entries[3..]
                .iter()
                .map(|entry| entry.split('\n').next().unwrap().matches("box").count())
                .sum()
        };
        assert_eq!((xs(&both[0]), names(&both[0])), (xs(&both[1]), names(&both[1])));
        assert_eq!(partial(&both[0]), partial(&both[1]));
    }
}

#[test]
fn labels_and_no_marks_of_parts() {
    if !is_able() {
        return;
    }
    let session = Session::new("echo '<4>careful'; echo err >&2; printf part");
    let options = ["-l", "journald", "--log-label", "A=1", "--no-container-partial-message"];
    let [journal, _] = run(&session, SHIM, &options);
    let mut entries: Vec<_> = journal.iter().map(|entry| without_code(entry)).collect();
    entries.sort();
    let tail = |priority| {
        format!(
            "CONTAINER_ID_FULL={ID}\nPRIORITY={priority}\nCONTAINER_ID=0123456789ab\nSYSLOG_IDENTIFIER=0123456789ab\nA=1\n"
        )
    };
    let line = |text: &str| {
        format!("MESSAGE\n{}\0\0\0\0\0\0\0{text}\n", char::from(u8::try_from(text.len()).unwrap()))
    };
    let mut expected = [
        line("err\n") + &tail(3),
        line("careful\n") + &tail(4),
        "MESSAGE=part\n".to_owned() + &tail(6),
    ];
    expected.sort();
    assert_eq!(entries, expected);
}

#[test]
fn a_burst_is_in_the_journal_whole_though_its_queue_is_short() {
    if !is_able() {
        return;
    }
    let session = Session::new("i=0; while [ $i -lt 2000 ]; do echo line $i; i=$((i+1)); done");
    let [journal, _] = run(&session, SHIM, &["-l", "journald"]);
    let lines: Vec<_> = journal.iter().map(|entry| without_code(entry)).collect();
    assert_eq!(lines.len(), 2000);
    for (number, line) in lines.iter().enumerate() {
        assert!(line.contains(&format!("line {number}\n")), "{line}");
    }
}

#[test]
fn syslog_is_told_at_the_level_that_was_asked_for() {
    if !is_able() {
        return;
    }
    let with = |options: &[&str]| {
        let session = Session::new("exit 3");
        let [_, syslog] = run(&session, SHIM, &[&["-l", "none"], options].concat());
        syslog.iter().map(|line| String::from_utf8_lossy(line).into_owned()).collect::<Vec<_>>()
    };
    assert_eq!(with(&["--log-level", "trace"]), [""; 0]);
    assert_eq!(with(&["--syslog"]), [""; 0]);
    let said = with(&["--syslog", "--log-level", "DEBUG"]);
    let pid = said.iter().find(|line| line.contains(" <ndebug>: container PID: ")).unwrap();
    // `<15>Nov 28 03:14:55 conmon: conmon ID <ndebug>: …`
    assert!(pid.starts_with("<15>") && pid.contains(&format!(" conmon: conmon {ID} ")), "{pid}");
    assert!(said.iter().any(|line| line.ends_with("the container has ended with 3")), "{said:?}");
}

#[test]
fn messages_for_systemd_are_forwarded() {
    for host in ["host", "@"] {
        let session = Session::new("exec sleep 1000");
        let path = session.path("host");
        let (host, socket) = if host == "@" {
            use std::os::linux::net::SocketAddrExt as _;
            let name = format!("dhow-test{}", path.display());
            let address = std::os::unix::net::SocketAddr::from_abstract_name(&name).unwrap();
            (format!("@{name}"), UnixDatagram::bind_addr(&address).unwrap())
        } else {
            (path.display().to_string(), UnixDatagram::bind(&path).unwrap())
        };
        socket.set_nonblocking(true).unwrap();
        std::fs::create_dir(session.path("bundle/notify")).unwrap();
        let spawn = Spawn::new(SHIM)
            .args(["-c", "box", "-u", "box", "--sync", "-l", "none", "--full-attach", "-r"])
            .arg(session.path("runtime"))
            .args(["-T", "30", "--sdnotify-socket", &host])
            .envs(session.environment())
            .cwd(session.path("bundle"));
        let child = spawn.spawn().unwrap();
        session.wait_for("bundle", "pidfile-box");
        let container = UnixDatagram::unbound().unwrap();
        container.connect(session.path("bundle/notify/notify.sock")).unwrap();
        container.send(b"MAINPID=1").unwrap();
        container.send(b"FDSTORE=1\nREADY=1\nSTATUS=up").unwrap();
        assert!(wait_readable(&[socket.as_fd()], Some(LONG)).unwrap().is_some());
        let mut buffer = [0; 256];
        let length = socket.recv(&mut buffer).unwrap();
        assert_eq!(&buffer[..length], b"READY=1\nSTATUS=up");
        child.signal(15).unwrap();
        assert_eq!(child.wait().unwrap().code(), Some(143));
    }
}

#[test]
fn without_a_place_for_messages_there_is_no_container() {
    let session = Session::new("exit 0");
    let spawn = Spawn::new(SHIM)
        .args(["-c", "box", "-u", "box", "--sync", "-l", "none", "--full-attach", "-r"])
        .arg(session.path("runtime"))
        .args(["--sdnotify-socket", "/host"])
        .envs(session.environment())
        .cwd(session.path("bundle"));
    let limits = OutputLimits { timeout: Some(Duration::from_secs(60)), ..Default::default() };
    assert_eq!(output(spawn, &limits).unwrap().status.code(), Some(1));
    assert!(!session.path("argv").exists());
}
