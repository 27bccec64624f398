//! What is done when the kill comes, and how a user goes on afterwards.

use crate::command::Output;
use crate::env::TestEnv;
use crate::image::BASE;

/// A command to be killed.
#[derive(Debug)]
pub struct Scenario {
    /// Its name, for the report and for choosing it.
    pub name: &'static str,
    /// The command line.
    pub command: &'static str,
    /// Whether the base image's archive is its last argument.
    pub(super) archive: bool,
    /// Makes what the command is about.
    pub(super) prepare: fn(&TestEnv),
    /// Does what a user would do next, which must work, until nothing is left.
    pub(super) repair: fn(&TestEnv),
}

/// Every command of the list in the issue, and `run -d`.
pub const SCENARIOS: &[Scenario] = &[
    Scenario {
        name: "create",
        command: "create --name c localhost/base:latest probe hold",
        archive: false,
        prepare: nothing,
        repair: create_again,
    },
    Scenario {
        name: "init",
        command: "init c",
        archive: false,
        prepare: created,
        repair: start_again,
    },
    Scenario {
        name: "start",
        command: "start c",
        archive: false,
        prepare: created,
        repair: start_again,
    },
    Scenario {
        name: "run-d",
        command: "run -d --name c localhost/base:latest probe hold",
        archive: false,
        prepare: nothing,
        repair: run_again,
    },
    Scenario {
        name: "stop",
        command: "stop -t 0 c",
        archive: false,
        prepare: running,
        repair: stop_again,
    },
    Scenario { name: "rm", command: "rm c", archive: false, prepare: ended, repair: remove_again },
    Scenario {
        name: "rm-f",
        command: "rm -f -t 0 c",
        archive: false,
        prepare: running,
        repair: remove_again_by_force,
    },
    Scenario {
        name: "run-rm",
        command: "run --rm --name c localhost/base:latest true",
        archive: false,
        prepare: nothing,
        repair: run_again,
    },
    Scenario {
        name: "commit",
        command: "commit -q c made:1",
        archive: false,
        prepare: changed,
        repair: commit_again,
    },
    Scenario {
        name: "load",
        command: "load -q -i",
        archive: true,
        prepare: no_image,
        repair: load_again,
    },
];

impl Scenario {
    /// The scenario with this name.
    pub fn find(name: &str) -> Option<&'static Self> {
        SCENARIOS.iter().find(|scenario| scenario.name == name)
    }

    /// Whether a monitor is started by it.
    pub fn has_monitor(&self) -> bool {
        ["init", "start", "run-d", "run-rm"].contains(&self.name)
    }

    /// The environment that its points share, as long as each leaves nothing.
    pub(super) fn world(&self) -> TestEnv {
        TestEnv::with_base()
    }
}

fn nothing(_: &TestEnv) {}

fn created(env: &TestEnv) {
    env.ok(&format!("create --name c {BASE} probe hold"));
}

fn running(env: &TestEnv) {
    env.ok(&format!("run -d --name c {BASE} probe hold"));
}

fn ended(env: &TestEnv) {
    env.ok(&format!("run --name c {BASE} true"));
}

fn changed(env: &TestEnv) {
    env.ok(&format!("run --name c {BASE} sh -c 'echo made > /made'"));
}

fn no_image(env: &TestEnv) {
    env.ok("rmi -a -f");
}

/// Succeeds, or says that the thing is already there or no longer there.
#[track_caller]
fn done_or(output: &Output, words: &[&str]) -> bool {
    let known = words.iter().any(|word| output.stderr.contains(word));
    assert!(
        output.code == 0 || known,
        "`{}` exited {}: {}",
        output.line,
        output.code,
        output.stderr
    );
    output.code == 0
}

fn create_again(env: &TestEnv) {
    if !done_or(&env.dhow(&format!("create --name c {BASE} probe hold")).run(), &["in use"]) {
        env.ok("inspect c");
        env.ok("rm c");
    }
    env.ok("rm -f -a");
}

fn start_again(env: &TestEnv) {
    env.ok("start c");
    assert_eq!(env.status("c"), "running");
    env.ok("rm -f -t 0 c");
}

fn run_again(env: &TestEnv) {
    let run = || env.dhow(&format!("run --rm --name c {BASE} true")).run();
    if !done_or(&run(), &["in use"]) {
        env.ok("rm -f -t 0 c");
        run().ok();
    }
}

fn stop_again(env: &TestEnv) {
    env.ok("stop -t 0 c");
    assert_eq!(env.status("c"), "exited");
    env.ok("rm c");
}

fn remove_again(env: &TestEnv) {
    done_or(&env.dhow("rm c").run(), &["no such container", "no container"]);
}

fn remove_again_by_force(env: &TestEnv) {
    env.ok("rm -f -t 0 c");
}

fn commit_again(env: &TestEnv) {
    env.ok("commit -q c made:1");
    env.ok("rm c");
    assert_eq!(env.ok("run --rm made:1 cat /made"), "made");
    env.ok("rmi made:1");
    let listed = env.ok("images -qa");
    if listed.lines().count() > 1 {
        // The killed commit had made its image but not yet said so: it is an image like any other.
        env.ok("rmi -a -f");
        env.load_base();
    }
    assert_eq!(env.layers(), 1, "a layer that no image has is left");
}

fn load_again(env: &TestEnv) {
    env.load_base();
    assert_eq!(env.ok(&format!("run --rm {BASE} cat /data/seed")), "seed");
    assert_eq!(env.layers(), 1, "a layer that no image has is left");
}
