//! The payload of end-to-end tests: a static program that says what it sees from inside.
//!
//! It needs nothing of the root file system, so that it also runs as the only file of an image.

use std::fs;
use std::io::{Read, Write};
use std::process::ExitCode;

fn main() -> ExitCode {
    let args: Vec<String> = std::env::args().skip(1).collect();
    let args: Vec<&str> = args.iter().map(String::as_str).collect();
    match args.as_slice() {
        ["show"] => show(),
        ["status", field] => println!("{}", status(field)),
        ["args", rest @ ..] => rest.iter().for_each(|arg| println!("{arg}")),
        ["exit", code] => return ExitCode::from(code.parse::<u8>().expect("an exit code")),
        ["spew", bytes] => spew(bytes.parse().expect("a count")),
        ["both"] => {
            println!("to stdout");
            eprintln!("to stderr");
        }
        ["hold"] => {
            println!("holding");
            loop {
                std::thread::park();
            }
        }
        ["lines", bytes] => lines(bytes.parse().expect("a count")),
        ["create", rest @ ..] => create(rest),
        ["eat", mib] => eat(mib.parse().expect("a count")),
        ["count"] => {
            let mut bytes = Vec::new();
            std::io::stdin().read_to_end(&mut bytes).expect("stdin");
            println!("{}", bytes.len());
        }
        ["serve", text] => serve(text),
        ["fetch", address] => return fetch(address),
        ["ask", server, name] => ask(server, name),
        ["read", path] => print!("{}", fs::read_to_string(path).unwrap_or_else(|e| format!("{e}\n"))),
        other => {
            eprintln!("probe: unknown request {other:?}");
            return ExitCode::from(99);
        }
    }
    ExitCode::SUCCESS
}

/// One line a fact, `name=value`.
fn show() {
    for field in [
        "Uid", "Gid", "Groups", "CapInh", "CapPrm", "CapEff", "CapBnd", "CapAmb", "NoNewPrivs", "Seccomp", "Umask",
    ] {
        println!("{field}={}", status(field));
    }
    println!("cwd={}", std::env::current_dir().map_or_else(|e| e.to_string(), |p| p.display().to_string()));
    println!("hostname={}", read("/proc/sys/kernel/hostname"));
    println!("oom_score_adj={}", read("/proc/self/oom_score_adj"));
    println!("pid={}", std::process::id());
    for line in read("/proc/self/limits").lines().skip(1) {
        println!("limit={line}");
    }
    for (name, value) in std::env::vars() {
        println!("env={name}={value}");
    }
    for ns in ["pid", "ipc", "uts", "net", "cgroup", "mnt", "user"] {
        let link = fs::read_link(format!("/proc/self/ns/{ns}")).map(|p| p.display().to_string());
        println!("ns={}", link.unwrap_or_default());
    }
    for line in read("/proc/self/mountinfo").lines() {
        println!("mount={line}");
    }
    for fd in fs::read_dir("/proc/self/fd").expect("/proc/self/fd") {
        let fd = fd.expect("an entry");
        let target = fs::read_link(fd.path()).map(|p| p.display().to_string()).unwrap_or_default();
        if !target.starts_with("/proc/") {
            println!("fd={}:{target}", fd.file_name().display());
        }
    }
}

fn status(field: &str) -> String {
    let status = read("/proc/self/status");
    let line = status.lines().find_map(|line| line.strip_prefix(field)?.strip_prefix(':'));
    line.map(|value| value.split_whitespace().collect::<Vec<_>>().join(" ")).unwrap_or_default()
}

fn read(path: &str) -> String {
    fs::read_to_string(path).map(|text| text.trim_end().to_owned()).unwrap_or_else(|e| e.to_string())
}

/// Answers every connection to port 80 with a text, over HTTP.
fn serve(text: &str) {
    let listener = std::net::TcpListener::bind("[::]:80").or_else(|_| std::net::TcpListener::bind("0.0.0.0:80"));
    for stream in listener.expect("port 80").incoming() {
        let mut stream = stream.expect("a connection");
        let mut request = [0; 4096];
        let _length = stream.read(&mut request);
        let length = text.len();
        let _sent = write!(stream, "HTTP/1.0 200 OK\r\nContent-Length: {length}\r\n\r\n{text}");
    }
}

/// Gets `/` from ADDRESS:PORT over HTTP, and prints the body.
fn fetch(address: &str) -> ExitCode {
    let second = Some(std::time::Duration::from_secs(1));
    let address = address.parse().expect("an address and a port");
    let got = std::net::TcpStream::connect_timeout(&address, second.unwrap_or_default()).and_then(|mut stream| {
        stream.set_read_timeout(second)?;
        stream.write_all(b"GET / HTTP/1.0\r\n\r\n")?;
        let mut answer = String::new();
        stream.read_to_string(&mut answer).map(|_| answer)
    });
    match got {
        Ok(answer) => println!("{}", answer.split_once("\r\n\r\n").map_or("", |(_, body)| body)),
        Err(e) => {
            eprintln!("{e}");
            return ExitCode::FAILURE;
        }
    }
    ExitCode::SUCCESS
}

/// Asks a name server for the IPv4 addresses of a name, and prints the response code and them.
fn ask(server: &str, name: &str) {
    let mut query = vec![0x12, 0x34, 1, 0, 0, 1, 0, 0, 0, 0, 0, 0];
    for label in name.split('.') {
        query.push(u8::try_from(label.len()).expect("a short label"));
        query.extend(label.bytes());
    }
    query.extend([0, 0, 1, 0, 1]);
    let socket = std::net::UdpSocket::bind("0.0.0.0:0").expect("a socket");
    socket.set_read_timeout(Some(std::time::Duration::from_secs(5))).expect("a timeout");
    socket.send_to(&query, (server.parse::<std::net::IpAddr>().expect("an address"), 53)).expect("it is sent");
    let mut answer = [0; 1500];
    let Ok(length) = socket.recv(&mut answer) else {
        println!("silence");
        return;
    };
    let mut found = Vec::new();
    // Names in answers are pointers of two bytes, then type, class, time to live, length, data.
    let mut rest = answer.get(query.len()..length).unwrap_or_default();
    while rest.len() >= 12 {
        let data = usize::from(u16::from_be_bytes([rest[10], rest[11]]));
        if rest[2..4] == [0, 1] && data == 4 && rest.len() >= 16 {
            found.push(std::net::Ipv4Addr::new(rest[12], rest[13], rest[14], rest[15]).to_string());
        }
        rest = rest.get(12 + data..).unwrap_or_default();
    }
    found.sort();
    println!("{} {}", answer[3] & 15, found.join(" "));
}

/// Lines of 64 bytes, numbered, so that a lost one is noticed.
fn spew(bytes: u64) {
    let mut out = std::io::BufWriter::new(std::io::stdout().lock());
    for line in 0..bytes / 64 {
        writeln!(out, "{line:063}").expect("stdout");
    }
}

/// Lines of 100 bytes, in writes of 64 KiB: as fast as they are taken.
fn lines(bytes: usize) {
    let line = [[b'x'; 99].as_slice(), b"\n"].concat();
    let block = line.repeat(655);
    let mut out = std::io::stdout().lock();
    for _ in 0..bytes / block.len() {
        out.write_all(&block).expect("stdout");
    }
    out.write_all(&block[..bytes % block.len()]).expect("stdout");
}

/// The least that a monitor takes for an OCI runtime's `create`: starts this program again, with the words in the
/// bundle's file `payload`.
fn create(args: &[&str]) {
    let option = |name: &str| {
        let at = args.iter().position(|arg| *arg == name).expect("an option");
        args[at + 1]
    };
    let words = fs::read_to_string(format!("{}/payload", option("--bundle"))).expect("a payload");
    let child = std::process::Command::new("/proc/self/exe").args(words.lines()).spawn();
    fs::write(option("--pid-file"), child.expect("a process").id().to_string()).expect("a pid file");
}

/// Touches memory until the kernel objects.
fn eat(mib: usize) {
    let mut held = Vec::new();
    for _ in 0..mib {
        held.push(vec![1u8; 1 << 20]);
    }
    println!("ate {}", held.iter().map(Vec::len).sum::<usize>() >> 20);
}
