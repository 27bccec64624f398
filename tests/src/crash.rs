//! Enumerating crash points: a program is SIGKILLed before its N-th system call of a kind, for N = 1, 2, … until it
//! completes, and whatever it left must be found and repaired by the next commands.
//!
//! strace follows threads and forked children but lets go of a child at its `execve`, so only the program under test is
//! killed, never the runtime that it started. INVARIANT: no hook in the programs themselves.

mod scenario;

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::Path;
use std::sync::Mutex;
use std::sync::atomic::{AtomicUsize, Ordering};

pub use scenario::{SCENARIOS, Scenario};

use crate::env::{TestEnv, binary};
use crate::image;

/// A kind of system call, with everything that does the same.
#[derive(Debug, Clone, Copy)]
pub struct Class {
    /// Its name, for the report.
    pub name: &'static str,
    /// What strace calls its members; `?`: unknown to some architectures.
    pub calls: &'static str,
}

/// The kinds that change what is on disk or in the kernel.
pub const CLASSES: &[Class] = &[
    Class { name: "rename", calls: "?rename,?renameat,renameat2" },
    Class { name: "mkdir", calls: "?mkdir,mkdirat" },
    Class { name: "symlink", calls: "?symlink,symlinkat,?link,linkat" },
    Class { name: "unlink", calls: "?unlink,unlinkat,?rmdir" },
    Class { name: "mount", calls: "mount,?fsmount,?move_mount,?open_tree,?mount_setattr" },
    Class { name: "umount", calls: "umount2" },
    Class { name: "execve", calls: "execve,execveat" },
    Class { name: "spawn", calls: "clone,?clone3,?fork,?vfork" },
    Class { name: "fsync", calls: "fsync,fdatasync,?syncfs" },
    Class { name: "lock", calls: "flock" },
    Class { name: "write", calls: "write,?writev,pwrite64,sendto,sendmsg,pidfd_send_signal" },
];

/// Which program is killed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Victim {
    /// `dhow`, running the scenario's command.
    Dhow,
    /// `dhow-shim`, while `dhow` runs the command.
    Shim,
}

/// What was found.
#[derive(Debug, Default)]
pub struct Findings {
    /// How many points were tried.
    pub points: usize,
    /// What went wrong at which point.
    pub failures: Vec<String>,
}

/// No command makes more calls of a kind than this; more means that the counting is wrong.
const ENDLESS: usize = 400;

/// Tries every point of the scenarios, `jobs` at a time; `limit` bounds the points of one scenario and kind.
pub fn run(
    scenarios: &[(&Scenario, Victim)],
    jobs: usize,
    limit: Option<usize>,
    say: &(dyn Fn(&str) + Sync),
) -> Findings {
    let work: Vec<_> = scenarios
        .iter()
        .flat_map(|pair| CLASSES.iter().map(move |class| (pair.0, pair.1, class)))
        .collect();
    let (next, findings) = (AtomicUsize::new(0), Mutex::new(Findings::default()));
    std::thread::scope(|scope| {
        for _ in 0..jobs {
            scope.spawn(|| {
                while let Some((scenario, victim, class)) =
                    work.get(next.fetch_add(1, Ordering::Relaxed))
                {
                    let (points, failures) =
                        enumerate(scenario, *victim, class, limit.unwrap_or(ENDLESS));
                    say(&format!(
                        "{:<9} {:<8} {:<8} {points:>3} points, {} failed",
                        scenario.name,
                        victim.name(),
                        class.name,
                        failures.len()
                    ));
                    let mut findings = findings.lock().expect("no poison");
                    findings.points += points;
                    findings.failures.extend(failures);
                }
            });
        }
    });
    findings.into_inner().expect("no poison")
}

impl Victim {
    fn name(self) -> &'static str {
        match self {
            Self::Dhow => "dhow",
            Self::Shim => "shim",
        }
    }
}

/// All points of one scenario and kind.
fn enumerate(
    scenario: &Scenario,
    victim: Victim,
    class: &Class,
    limit: usize,
) -> (usize, Vec<String>) {
    let (mut points, mut failures) = (0, Vec::new());
    let mut env = None;
    for number in 1..=limit {
        let world = env.take().unwrap_or_else(|| scenario.world());
        let tried =
            catch_unwind(AssertUnwindSafe(|| attempt(&world, scenario, victim, class, number)));
        if let Err(panic) = &tried {
            let why = panic
                .downcast_ref::<String>()
                .cloned()
                .or_else(|| panic.downcast_ref::<&str>().map(|text| (*text).to_owned()));
            failures.push(format!(
                "{} {} before {} no. {number}: {}",
                scenario.name,
                victim.name(),
                class.name,
                why.unwrap_or_default()
            ));
            world.abandon();
            points += 1;
            // Each failure costs a deadline, and so many tell enough.
            if failures.len() > 5 {
                break;
            }
            continue;
        }
        env = Some(world);
        if tried.is_ok_and(|killed| !killed) {
            break;
        }
        points += 1;
    }
    (points, failures)
}

/// One point: prepare, kill, look, repair, look again. Whether the program was killed at all.
fn attempt(
    env: &TestEnv,
    scenario: &Scenario,
    victim: Victim,
    class: &Class,
    number: usize,
) -> bool {
    (scenario.prepare)(env);
    let log = env.write("trace", "");
    let trace = [
        "-f".to_owned(),
        "-qq".to_owned(),
        "--detach-on=execve".to_owned(),
        format!("--output={log}"),
        format!("--trace={}", class.calls),
        format!("--inject={}:signal=KILL:when={number}", class.calls),
    ];
    match victim {
        Victim::Dhow => {
            let run =
                env.tool("/usr/bin/strace").args(&trace).arg(binary("dhow")).args(env.global());
            run.args(crate::split(scenario.command))
                .args(scenario.archive.then(image::base_archive))
                .run();
        }
        Victim::Shim => {
            let shim = binary("dhow-shim");
            let script = format!(
                "#!/bin/sh\nexec /usr/bin/strace -D '{}' '{}' \"$@\"\n",
                trace.join("' '"),
                shim.display()
            );
            let wrapper = env.write("shim", script);
            executable(Path::new(&wrapper));
            env.dhow("--conmon").arg(&wrapper).args(crate::split(scenario.command)).run();
        }
    }
    env.reap();
    let ids = env.ids_on_disk();
    env.ok("ps -a");
    env.ok("images");
    (scenario.repair)(env);
    env.assert_no_containers_soon(&ids);
    // Only now: a monitor may meet its end as late as in the repair, when its container ends.
    reached(&std::fs::read_to_string(&log).unwrap_or_default(), number)
}

/// Whether some thread made its `number`-th call of the kind, so that it was killed there.
fn reached(log: &str, number: usize) -> bool {
    let mut counts = std::collections::BTreeMap::new();
    for line in log.lines().filter(|line| line.contains('(') && !line.contains(" resumed>")) {
        *counts.entry(line.split_whitespace().next().unwrap_or_default()).or_insert(0usize) += 1;
    }
    log.contains("killed by SIGKILL") && counts.values().any(|count| *count >= number)
}

fn executable(path: &Path) {
    use std::os::unix::fs::PermissionsExt;
    std::fs::set_permissions(path, std::fs::Permissions::from_mode(0o755))
        .expect("a file of our own");
}

#[cfg(test)]
mod tests {
    use super::reached;

    #[test]
    fn a_kill_is_told_from_a_completion() {
        let killed =
            "7 mkdir(\"a\", 0777) = 0\n7 mkdir(\"b\", 0777) = ?\n7 +++ killed by SIGKILL +++\n";
        assert!(reached(killed, 2) && !reached(killed, 3));
        assert!(!reached("7 mkdir(\"a\", 0777) = 0\n7 +++ exited with 0 +++\n", 1));
    }
}
