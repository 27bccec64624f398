//! Timing a whole `run` beside podman and beside the bare runtime.
//!
//! Rounds are interleaved, so that a busy moment of the machine strikes all alike, and medians are compared: the ratios
//! mean something, the milliseconds belong to the machine.

pub mod shim;

use std::path::Path;
use std::time::{Duration, Instant};

use nix::sys::wait::waitpid;
use nix::unistd::Pid;
use serde_json::{Value, json};

use crate::env::TestEnv;
use crate::image::BASE;
use crate::podman::Podman;
use crate::process::Children;

/// The times of one competitor.
#[derive(Debug)]
pub struct Times {
    /// What was run.
    pub name: String,
    /// One a round.
    pub rounds: Vec<Duration>,
}

impl Times {
    /// The middle one.
    pub fn median(&self) -> Duration {
        let mut sorted = self.rounds.clone();
        sorted.sort();
        sorted.get(sorted.len() / 2).copied().unwrap_or_default()
    }

    /// The shortest one.
    pub fn best(&self) -> Duration {
        self.rounds.iter().min().copied().unwrap_or_default()
    }
}

/// `run --rm --network none IMAGE true` by dhow and podman, and create, start, delete by the bare runtime.
pub fn run(rounds: usize) -> Vec<Times> {
    let env = TestEnv::with_base().runtime("runc");
    let podman = crate::missing(&["podman"]).is_none().then(|| Podman::new(&env));
    if let Some(podman) = &podman {
        podman.load_base();
    }
    let bundle = bare_bundle(&env);
    let line = format!("run --rm --network none {BASE} true");
    let mut all = vec![
        times("runc create + start + delete"),
        times("dhow run --rm"),
        times("dhow run --rm (log-driver none)"),
        times("podman run --rm"),
    ];
    let quiet = format!("run --rm --log-driver none --network none {BASE} true");
    for round in 0..=rounds {
        let mut measured = vec![
            timed(|| bare(&env, &bundle)),
            timed(|| env.dhow(&line).silent()),
            timed(|| env.dhow(&quiet).silent()),
        ];
        measured.extend(podman.as_ref().map(|podman| timed(|| podman.podman(&line).silent())));
        // The first round fills caches.
        if round > 0 {
            all.iter_mut().zip(measured).for_each(|(times, time)| times.rounds.push(time));
        }
    }
    all.retain(|times| !times.rounds.is_empty());
    env.ok("rm -f -t 0 -a");
    for hierarchy in std::fs::read_dir("/sys/fs/cgroup").into_iter().flatten().flatten() {
        // The runtime removes what it made in a hierarchy that it uses; the rest are empty directories.
        std::fs::remove_dir(hierarchy.path().join(bare_cgroup())).ok();
    }
    all
}

fn bare_cgroup() -> String {
    format!("dhow-bench-{}", std::process::id())
}

/// `ps -a` and the lookup of one name among `count` containers.
pub fn among(count: usize, rounds: usize) -> Vec<Times> {
    let env = TestEnv::with_base();
    for number in 0..count {
        env.ok(&format!("create --name c{number} {BASE} true"));
    }
    let mut all = vec![
        times(&format!("dhow ps -a, {count} containers")),
        times(&format!("dhow inspect NAME, {count} containers")),
    ];
    for _ in 0..rounds {
        all[0].rounds.push(timed(|| env.dhow("ps -a").silent()));
        all[1].rounds.push(timed(|| env.dhow("container inspect c0").silent()));
    }
    all
}

fn times(name: &str) -> Times {
    Times { name: name.to_owned(), rounds: Vec::new() }
}

fn timed(work: impl FnOnce()) -> Duration {
    let start = Instant::now();
    work();
    start.elapsed()
}

/// The very spec that dhow gives to the runtime, on the root file system of a container that dhow has initialised.
fn bare_bundle(env: &TestEnv) -> String {
    env.ok(&format!("create --name bench --network none {BASE} true"));
    env.ok("init bench");
    let id = env.id("bench");
    let merged = env.inspect("bench", "{{.GraphDriver.Data.MergedDir}}");
    let config = ["bundle/config.json", "config.json"]
        .iter()
        .map(|name| env.root(&format!("containers/{id}/{name}")));
    let text = config
        .filter_map(|path| std::fs::read_to_string(path).ok())
        .find(|text| text.contains("ociVersion"));
    let mut spec: Value =
        serde_json::from_str(&text.expect("an initialised container has a bundle")).expect("json");
    spec["root"]["path"] = json!(merged);
    spec["linux"]["cgroupsPath"] = json!(format!("/{}", bare_cgroup()));
    let bundle = env.make_dir("bundle");
    env.write("bundle/config.json", serde_json::to_vec(&spec).expect("json"));
    bundle
}

/// create, start, wait for the end, delete.
fn bare(env: &TestEnv, bundle: &str) {
    let (root, pidfile) = (env.file("runc"), env.file("bare.pid"));
    let runc = |words: &[&str]| env.tool("/usr/sbin/runc").args(["--root", &root]).args(words);
    runc(&["create", "--bundle", bundle, "--pid-file", &pidfile, "bare"]).silent();
    runc(&["start", "bare"]).silent();
    let pid = std::fs::read_to_string(Path::new(&pidfile))
        .expect("runc wrote it")
        .trim()
        .parse()
        .expect("a pid");
    // The container's process came to us when runc left: we are its subreaper.
    waitpid(Pid::from_raw(pid), None).ok();
    runc(&["delete", "bare"]).silent();
    Children::reap();
}
