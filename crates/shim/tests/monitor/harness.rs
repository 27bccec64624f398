//! A monitor in a directory of its own, a scripted runtime, and deadlines instead of sleeps.
//!
//! On drop everything that was started is ended, and waited for: nothing is left on the machine.

use std::ffi::OsString;
use std::fs;
use std::os::fd::AsFd;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use dhow_shim::args::{LogTarget, MonitorArgs};
use dhow_shim::attach::{AttachClient, Received, Stream};
use dhow_shim::launch::{Launch, Monitor};
use dhow_shim::log::{Format, LogReader, ReadOptions};
use dhow_shim::records::{Exit, Started};
use dhow_sys::pidfd::{Process, ProcessId};
use dhow_sys::watch::{DirWatch, wait_readable};

/// No step takes longer on a machine that works.
pub(crate) const LONG: Duration = Duration::from_secs(60);

/// Starts `payload` (a file in the bundle) as the container, or ends as `create` (another) says.
const RUNTIME: &str = r#"#!/bin/sh
echo "$@" >> "$DIR/argv"
pidfile= bundle="$DIR/bundle"
while [ $# -gt 0 ]; do
    case $1 in
    --pid-file) pidfile=$2; shift ;;
    --bundle) bundle=$2; shift ;;
    esac
    shift
done
[ -e "$bundle/create" ] && . "$bundle/create"
# Not a child of this shell, which would collect it if it ended early: setsid leaves it an orphan, the monitor's.
setsid --fork sh -c 'echo -n $$ > "$1.new"; mv "$1.new" "$1"; exec sh "$0"' "$bundle/payload" "$pidfile"
while ! [ -e "$pidfile" ]; do :; done
"#;

pub(crate) struct Session {
    dir: tempfile::TempDir,
    pub(crate) args: MonitorArgs,
    pub(crate) monitor: Option<Monitor>,
    /// The monitor's process; `None` if it had ended when we looked.
    shim: Option<Process>,
    container: Option<Process>,
}

impl Session {
    /// A session whose container is `sh` with this script.
    pub(crate) fn new(payload: &str) -> Self {
        let dir = tempfile::tempdir().unwrap();
        // What daemons leave behind when the monitor has ended is ours to collect.
        dhow_sys::daemon::adopt_orphans(true).unwrap();
        let at = |name: &str| dir.path().join(name);
        for name in ["bundle", "run", "exits", "persist"] {
            fs::create_dir(at(name)).unwrap();
        }
        fs::write(at("runtime"), RUNTIME).unwrap();
        fs::set_permissions(at("runtime"), PermissionsExt::from_mode(0o755)).unwrap();
        fs::write(at("bundle/payload"), payload).unwrap();
        let mut args = MonitorArgs::new("box", at("runtime"), at("bundle"));
        args.run_dir = Some(at("run"));
        args.container_pidfile = Some(at("run/pidfile"));
        args.monitor_pidfile = Some(at("run/monitor.pid"));
        args.exit_dir = Some(at("exits"));
        args.persist_dir = Some(at("persist"));
        args.logs = vec![LogTarget::K8sFile(at("log"))];
        Session { dir, args, monitor: None, shim: None, container: None }
    }

    pub(crate) fn path(&self, name: &str) -> PathBuf {
        self.dir.path().join(name)
    }

    pub(crate) fn write(&self, name: &str, text: &str) {
        fs::write(self.path(name), text).unwrap();
    }

    pub(crate) fn environment(&self) -> Vec<(OsString, OsString)> {
        let path = std::env::var_os("PATH").unwrap();
        vec![("PATH".into(), path), ("DIR".into(), self.dir.path().into())]
    }

    pub(crate) fn launch(&mut self) -> Result<(), dhow_shim::launch::Error> {
        let environment = self.environment();
        let program = Path::new(env!("CARGO_BIN_EXE_dhow-shim"));
        let launch = Launch {
            program,
            args: &self.args,
            environment: &environment,
            cwd: Some(self.dir.path()),
            extra_fds: Vec::new(),
            stdio: None,
        };
        let monitor = launch.spawn()?;
        self.shim = monitor.pid().unwrap().and_then(|pid| Process::open_pid(pid).unwrap());
        self.monitor = Some(monitor);
        Ok(())
    }

    /// Launches, and waits for the container; its pid.
    pub(crate) fn start(&mut self) -> i32 {
        self.launch().unwrap();
        self.wait_pid().unwrap()
    }

    pub(crate) fn wait_pid(&mut self) -> Result<i32, dhow_shim::launch::Error> {
        let pid = self.monitor.as_mut().unwrap().wait_pid(LONG)?;
        self.container = Process::open_pid(pid).unwrap();
        Ok(pid)
    }

    pub(crate) fn monitor_id(&self) -> ProcessId {
        self.monitor_process().id()
    }

    pub(crate) fn monitor_process(&self) -> &Process {
        self.shim.as_ref().unwrap()
    }

    pub(crate) fn attach(&self) -> Client {
        Client {
            client: AttachClient::connect(&self.path("run/attach")).unwrap(),
            buffer: vec![0; 8192],
        }
    }

    pub(crate) fn started(&self) -> Started {
        serde_json::from_slice(&fs::read(self.path("run/started.json")).unwrap()).unwrap()
    }

    /// Waits for the exit record.
    pub(crate) fn wait_exit(&self) -> Exit {
        self.wait_for("run", "exit.json");
        serde_json::from_slice(&fs::read(self.path("run/exit.json")).unwrap()).unwrap()
    }

    /// Waits until `name` is in `directory`.
    pub(crate) fn wait_for(&self, directory: &str, name: &str) {
        let directory = self.path(directory);
        let watch = DirWatch::new(&directory).unwrap();
        let deadline = Instant::now() + LONG;
        while !directory.join(name).exists() {
            let left = deadline.saturating_duration_since(Instant::now());
            assert!(!left.is_zero(), "{name} did not appear; {:?}", self.listing());
            watch.wait(&[], Some(left)).unwrap();
        }
    }

    /// Waits until the monitor has ended.
    pub(crate) fn wait_gone(&self) {
        if let Some(shim) = &self.shim {
            assert!(
                shim.wait_exit(Some(LONG)).unwrap(),
                "the monitor goes on; {:?}",
                self.listing()
            );
        }
    }

    pub(crate) fn listing(&self) -> Vec<PathBuf> {
        fs::read_dir(self.path("run")).unwrap().map(|entry| entry.unwrap().path()).collect()
    }

    pub(crate) fn text(&self, name: &str) -> String {
        fs::read_to_string(self.path(name)).unwrap_or_else(|e| panic!("{name}: {e}"))
    }

    /// What the log holds of a stream.
    pub(crate) fn logged(&self, stream: Stream) -> Vec<u8> {
        joined(
            LogReader::open(&self.path("log"), Format::K8sFile, ReadOptions::default()).unwrap(),
            stream,
        )
    }
}

/// The bytes of a stream in a log.
pub(crate) fn joined(reader: LogReader, stream: Stream) -> Vec<u8> {
    let mut bytes = Vec::new();
    for line in reader.map(Result::unwrap).filter(|line| line.stream == stream) {
        bytes.extend_from_slice(&line.bytes);
        bytes.extend((!line.partial).then_some(b'\n'));
    }
    bytes
}

impl Drop for Session {
    fn drop(&mut self) {
        for process in [&self.container, &self.shim].into_iter().flatten() {
            process.signal(9).ok();
            process.wait_exit(Some(LONG)).ok();
            dhow_sys::daemon::reap(Some(process.id().pid)).ok();
        }
    }
}

pub(crate) struct Client {
    pub(crate) client: AttachClient,
    buffer: Vec<u8>,
}

impl Client {
    /// The next that is not nothing.
    pub(crate) fn next(&mut self) -> (Received, &[u8]) {
        loop {
            match self.client.receive(&mut self.buffer).unwrap() {
                Received::WouldBlock => {
                    let ready = wait_readable(&[self.client.as_fd()], Some(LONG)).unwrap();
                    assert!(ready.is_some(), "nothing comes");
                }
                other @ Received::Output { len, .. } => return (other, &self.buffer[..len]),
                other => return (other, &[]),
            }
        }
    }

    /// All of one stream up to the end, or until `enough` says so.
    pub(crate) fn read_until(&mut self, wanted: Stream, enough: impl Fn(&[u8]) -> bool) -> Vec<u8> {
        let mut bytes = Vec::new();
        while !enough(&bytes) {
            match self.next() {
                (Received::Output { stream, .. }, output) if stream == wanted => {
                    bytes.extend_from_slice(output);
                }
                (Received::Output { .. }, _) => {}
                (Received::End, _) => break,
                (other, _) => panic!("{other:?}"),
            }
        }
        bytes
    }

    pub(crate) fn read_to_end(&mut self, wanted: Stream) -> Vec<u8> {
        self.read_until(wanted, |_| false)
    }

    /// Waits until `text` has come.
    pub(crate) fn expect(&mut self, text: &str) -> String {
        let contains = |bytes: &[u8]| String::from_utf8_lossy(bytes).contains(text);
        let bytes = self.read_until(Stream::Stdout, contains);
        let said = String::from_utf8_lossy(&bytes).into_owned();
        assert!(said.contains(text), "{text:?} did not come: {said:?}");
        said
    }

    /// Sends all of it, waiting for room.
    pub(crate) fn send(&mut self, mut bytes: &[u8]) {
        while !bytes.is_empty() {
            let sent = self.client.send(bytes).unwrap();
            bytes = &bytes[sent..];
            if sent == 0 {
                let mut fds =
                    [nix::poll::PollFd::new(self.client.as_fd(), nix::poll::PollFlags::POLLOUT)];
                assert!(nix::poll::poll(&mut fds, 60_000_u16).unwrap() > 0, "input is not taken");
            }
        }
    }
}
