//! The monitor beside conmon: what an idle one holds in memory, what output costs, how soon the pid is known.
//!
//! Both get the same command line and the same runtime, the probe, which does nothing but start a process. Rounds are
//! interleaved.

use std::fs;
use std::io::Read as _;
use std::os::fd::{AsFd, AsRawFd, OwnedFd};
use std::os::unix::fs::symlink;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use nix::fcntl::{FcntlArg, FdFlag, fcntl};
use nix::sys::signal::{Signal, kill};
use nix::sys::socket::{AddressFamily, SockFlag, SockType, socketpair};
use nix::sys::wait::{Id, WaitPidFlag, waitid, waitpid};
use nix::unistd::Pid;

use crate::env::{TestEnv, binary};
use crate::image::probe;
use crate::process::Children;
use crate::wait_until_for;

const GIB: u64 = 1 << 30;
const PATIENCE: Duration = Duration::from_secs(120);

/// What an idle monitor holds, averages in KiB.
#[derive(Debug, Default)]
pub struct Footprint {
    /// Which monitor.
    pub name: &'static str,
    /// Its share of what it shares, and what it has alone.
    pub pss: f64,
    /// What it has alone.
    pub uss: f64,
    /// All that is mapped in.
    pub rss: f64,
    /// The most threads of any.
    pub threads: u64,
    /// How often all of them together were woken in the time that was watched.
    pub wakeups: u64,
}

/// What carrying output cost: MiB a second, and seconds of the monitor's CPU a GiB; one each a round.
#[derive(Debug)]
pub struct Throughput {
    /// Which monitor, which driver.
    pub name: String,
    /// MiB a second.
    pub rates: Vec<f64>,
    /// Seconds a GiB.
    pub cpu: Vec<f64>,
}

/// Everything that `bench shim` measures.
#[derive(Debug)]
pub struct Figures {
    /// One a monitor.
    pub footprints: Vec<Footprint>,
    /// How long the idle ones were watched.
    pub watched: Duration,
    /// Two drivers a monitor.
    pub throughput: Vec<Throughput>,
    /// From spawn to the pid on the sync pipe.
    pub latency: Vec<super::Times>,
}

/// Measures `idle` idle monitors, `rounds` of output, and ten times as many starts.
pub fn run(idle: usize, rounds: usize) -> Figures {
    let env = TestEnv::new();
    let mut monitors = vec![("dhow-shim", binary("dhow-shim"))];
    if crate::missing(&["conmon"]).is_none() {
        monitors.push(("conmon", PathBuf::from("/usr/bin/conmon")));
    }
    let watched = Duration::from_secs(20);
    let footprints = monitors
        .iter()
        .map(|(name, program)| footprint(&env, name, program, idle, watched))
        .collect();
    let mut throughput = Vec::new();
    for driver in ["k8s-file", "none"] {
        for (name, _) in &monitors {
            let name = format!("{name}, {driver}");
            throughput.push(Throughput { name, rates: Vec::new(), cpu: Vec::new() });
        }
    }
    for _ in 0..rounds {
        let mut places = throughput.iter_mut();
        for driver in ["k8s-file", "none"] {
            for (_, program) in &monitors {
                let (rate, cpu) = carry(&env, program, driver);
                let place = places.next().expect("as many as there are pairs");
                place.rates.push(rate);
                place.cpu.push(cpu);
            }
        }
    }
    let mut latency: Vec<_> =
        monitors.iter().map(|(name, _)| super::times(&format!("{name}, to the pid"))).collect();
    for _ in 0..rounds * 20 {
        for ((_, program), times) in monitors.iter().zip(&mut latency) {
            times.rounds.push(begin(&env, program));
        }
    }
    Figures { footprints, watched, throughput, latency }
}

/// A container under a monitor.
struct Session {
    dir: PathBuf,
    container: Pid,
    monitor: Pid,
    to_pid: Duration,
    /// Held until the container is wanted no more.
    _sync: OwnedFd,
}

impl Session {
    /// Starts a monitor whose container runs the probe with these words.
    fn start(env: &TestEnv, program: &Path, driver: &str, words: &[&str]) -> Self {
        let dir = PathBuf::from(env.make_dir(&format!("bench-{}", unique())));
        fs::create_dir_all(dir.join("exits")).expect("a directory");
        symlink(probe(), dir.join("runtime")).expect("a link");
        put(&dir.join("payload"), words.join("\n").as_bytes());
        let (sync, its_sync) = pair();
        let at = |name: &str| dir.join(name).display().to_string();
        let log = match driver {
            "k8s-file" => format!("k8s-file:{}", at("log")),
            other => other.to_owned(),
        };
        let start = Instant::now();
        let run = env
            .tool(program)
            .args(["--api-version", "-c", "box", "-u", "box", "-r", &at("runtime"), "-b"])
            .arg(&dir)
            .args(["-p", &at("pidfile"), "--conmon-pidfile", &at("monitor.pid")])
            .args(["--exit-dir", &at("exits"), "--full-attach", "--no-sync-log", "-l", &log])
            .env("_OCI_SYNCPIPE", its_sync.as_raw_fd().to_string());
        run.silent();
        drop(its_sync);
        let mut line = [0; 256];
        let mut reader = fs::File::from(sync.try_clone().expect("a descriptor"));
        let len = reader.read(&mut line).expect("the monitor says the pid");
        let to_pid = start.elapsed();
        let said = String::from_utf8_lossy(&line[..len]).into_owned();
        let digits: String = said.chars().filter(char::is_ascii_digit).collect();
        let container = digits.parse().unwrap_or_else(|_| panic!("no pid in {said:?}"));
        let monitor = fs::read_to_string(dir.join("monitor.pid")).expect("a pidfile");
        let monitor = monitor.trim().parse().expect("a pid");
        Session {
            dir,
            container: Pid::from_raw(container),
            monitor: Pid::from_raw(monitor),
            to_pid,
            _sync: sync,
        }
    }

    /// Kills the container if it is there still, and waits for the monitor; nanoseconds that this had the CPU.
    fn end(self, and_kill: bool) -> u64 {
        if and_kill {
            // The monitor has not reaped it: the pid is still its own.
            kill(self.container, Signal::SIGKILL).ok();
        }
        // We are its subreaper. As a zombie it still tells what it used.
        waitid(Id::Pid(self.monitor), WaitPidFlag::WEXITED | WaitPidFlag::WNOWAIT)
            .expect("the monitor is our child");
        let stat = fs::read_to_string(format!("/proc/{}/schedstat", self.monitor));
        let spent = stat.ok().and_then(|text| text.split(' ').next()?.parse().ok());
        waitpid(self.monitor, None).expect("the monitor is our child");
        fs::remove_dir_all(&self.dir).expect("ours");
        Children::reap();
        spent.unwrap_or_default()
    }
}

fn footprint(
    env: &TestEnv,
    name: &'static str,
    program: &Path,
    idle: usize,
    watched: Duration,
) -> Footprint {
    let sessions: Vec<_> =
        (0..idle).map(|_| Session::start(env, program, "k8s-file", &["hold"])).collect();
    for session in &sessions {
        // The container has spoken, so the monitor has logged: it is as it will be.
        let log = session.dir.join("log");
        wait_until_for(PATIENCE, "something is logged", || {
            fs::metadata(&log).is_ok_and(|found| found.len() > 0)
        });
    }
    let before: u64 = sessions.iter().map(|session| switches(session.monitor)).sum();
    let pidfd = rustix::process::pidfd_open(
        rustix::process::Pid::from_raw(sessions[0].monitor.as_raw()).expect("a pid"),
        rustix::process::PidfdFlags::empty(),
    )
    .expect("the monitor lives");
    // Nothing is to happen: a monitor that ends would be seen at once.
    let mut fds = [nix::poll::PollFd::new(pidfd.as_fd(), nix::poll::PollFlags::POLLIN)];
    let timeout = u16::try_from(watched.as_millis()).expect("a minute at most");
    assert_eq!(nix::poll::poll(&mut fds, timeout).expect("poll"), 0, "an idle monitor has ended");
    let after: u64 = sessions.iter().map(|session| switches(session.monitor)).sum();
    let mut sum = Footprint { name, wakeups: after - before, ..Footprint::default() };
    let count = f64::from(u32::try_from(idle).unwrap_or(u32::MAX));
    for session in &sessions {
        let pid = session.monitor;
        let maps = fs::read_to_string(format!("/proc/{pid}/smaps_rollup")).expect("smaps_rollup");
        sum.pss += kib(&maps, "Pss:") / count;
        sum.uss += (kib(&maps, "Private_Clean:") + kib(&maps, "Private_Dirty:")) / count;
        sum.rss += kib(&maps, "Rss:") / count;
        let status = fs::read_to_string(format!("/proc/{pid}/status")).expect("status");
        sum.threads = sum.threads.max(number(&status, "Threads:"));
    }
    for session in sessions {
        session.end(true);
    }
    sum
}

/// A GiB of lines: MiB a second and the monitor's CPU seconds.
fn carry(env: &TestEnv, program: &Path, driver: &str) -> (f64, f64) {
    let start = Instant::now();
    let session = Session::start(env, program, driver, &["lines", &GIB.to_string()]);
    let exit = session.dir.join("exits/box");
    wait_until_for(PATIENCE, "the container has ended", || exit.exists());
    let took = start.elapsed().as_secs_f64();
    let spent = session.end(false);
    (1024.0 / took, Duration::from_nanos(spent).as_secs_f64())
}

fn begin(env: &TestEnv, program: &Path) -> Duration {
    let session = Session::start(env, program, "k8s-file", &["hold"]);
    let time = session.to_pid;
    session.end(true);
    time
}

fn switches(pid: Pid) -> u64 {
    let status = fs::read_to_string(format!("/proc/{pid}/status")).expect("status");
    number(&status, "voluntary_ctxt_switches:")
}

fn kib(text: &str, name: &str) -> f64 {
    f64::from(u32::try_from(number(text, name)).unwrap_or(u32::MAX))
}

fn number(text: &str, name: &str) -> u64 {
    let value = text.lines().find_map(|line| line.strip_prefix(name));
    let digits: String = value.unwrap_or_default().chars().filter(char::is_ascii_digit).collect();
    digits.parse().unwrap_or_default()
}

/// A packet socket of ours, and one that the next program inherits.
fn pair() -> (OwnedFd, OwnedFd) {
    let (ours, its) =
        socketpair(AddressFamily::Unix, SockType::SeqPacket, None, SockFlag::SOCK_CLOEXEC)
            .expect("a socket pair");
    fcntl(&its, FcntlArg::F_SETFD(FdFlag::empty())).expect("fcntl");
    (ours, its)
}

#[expect(clippy::disallowed_methods, reason = "a file of this benchmark that nobody else reads")]
fn put(path: &Path, bytes: &[u8]) {
    fs::write(path, bytes).expect("a file");
}

fn unique() -> usize {
    use std::sync::atomic::{AtomicUsize, Ordering};
    static NEXT: AtomicUsize = AtomicUsize::new(0);
    NEXT.fetch_add(1, Ordering::Relaxed)
}
