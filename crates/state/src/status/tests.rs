//! The whole table, and the table against a machine that plays containers, engines and accidents.

use super::*;
use expect_test::expect;
use proptest::prelude::*;

const PHASES: [Phase; 10] = [
    Phase::Configured,
    Phase::Initializing,
    Phase::Created,
    Phase::Starting,
    Phase::Running,
    Phase::Pausing,
    Phase::Paused,
    Phase::Stopping,
    Phase::Exited,
    Phase::Removing,
];

fn facts(phase: Option<Phase>) -> Facts {
    Facts {
        removing: false,
        phase,
        past: false,
        auto_remove: false,
        started: false,
        exit: false,
        alive: None,
    }
}

#[test]
fn in_this_boot() {
    let mut table =
        String::from("phase        | no facts    started+alive exit+alive exit+dead  dead\n");
    for phase in PHASES {
        let base = facts(Some(phase));
        let started = Facts { started: true, alive: Some(true), ..base };
        let columns = [
            base,
            started,
            Facts { exit: true, ..started },
            Facts { exit: true, alive: Some(false), ..started },
            Facts { alive: Some(false), ..started },
        ]
        .map(|facts| status(&facts));
        let [a, b, c, d, e] = columns;
        let phase = format!("{phase:?}");
        table += format!("{phase:12} | {a:11} {b:13} {c:10} {d:10} {e}").trim_end();
        table.push('\n');
    }
    expect![[r"
        phase        | no facts    started+alive exit+alive exit+dead  dead
        Configured   | created     created       created    created    created
        Initializing | created     initialized   stopped    stopped    stopped
        Created      | initialized initialized   stopped    stopped    stopped
        Starting     | running     running       stopped    stopped    stopped
        Running      | running     running       stopped    stopped    stopped
        Pausing      | paused      paused        stopped    stopped    stopped
        Paused       | paused      paused        stopped    stopped    stopped
        Stopping     | stopping    stopping      stopped    stopped    stopped
        Exited       | exited      exited        exited     exited     exited
        Removing     | removing    removing      removing   removing   removing
    "]]
    .assert_eq(&table);
}

#[test]
fn after_a_boot() {
    let base = facts(None);
    let past = Facts { past: true, ..base };
    assert_eq!(status(&base), Status::Created);
    assert_eq!(status(&past), Status::Exited);
    assert_eq!(status(&Facts { removing: true, ..base }), Status::Removing);
    assert_eq!(status(&Facts { removing: true, ..past }), Status::Removing);
    assert_eq!(status(&Facts { auto_remove: true, ..base }), Status::Removing);
}

#[test]
fn a_removal_that_was_begun_is_never_anything_else() {
    for phase in PHASES {
        for (started, exit, alive) in
            [(false, false, None), (true, true, Some(true)), (true, false, Some(false))]
        {
            let facts = Facts { removing: true, started, exit, alive, ..facts(Some(phase)) };
            assert_eq!(status(&facts), Status::Removing);
        }
    }
}

#[test]
fn printed_as_podman_prints_it() {
    assert_eq!(
        Status::ALL.map(|s| s.to_string()),
        [
            "created",
            "initialized",
            "running",
            "paused",
            "stopping",
            "stopped",
            "exited",
            "removing"
        ]
    );
    assert_eq!(format!("[{:>10}]", Status::Paused), "[    paused]");
}

/// What really is, as no single file says it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Process {
    None,
    Waiting,
    Running,
    Frozen,
    Ended,
}

/// A container, its monitor, and engines that can be killed between any two steps.
#[derive(Debug, Clone)]
struct World {
    facts: Facts,
    process: Process,
    monitor: bool,
    /// The engine was killed in the middle of a verb, and nobody has locked the container since.
    interrupted: bool,
    ever_started: bool,
    auto_remove: bool,
}

#[derive(Debug, Clone, Copy)]
enum Event {
    /// A verb, whose engine is killed after so many steps.
    Init(u8),
    Start(u8),
    Pause(u8),
    Unpause(u8),
    Stop(u8),
    Cleanup(u8),
    /// The process ends by itself.
    End,
    /// SIGKILL to the monitor.
    KillMonitor,
    Reboot,
}

impl World {
    fn new(auto_remove: bool) -> Self {
        World {
            facts: Facts { auto_remove, ..facts(Some(Phase::Configured)) },
            process: Process::None,
            monitor: false,
            interrupted: false,
            ever_started: false,
            auto_remove,
        }
    }

    fn end(&mut self) {
        if matches!(self.process, Process::Waiting | Process::Running | Process::Frozen) {
            self.process = Process::Ended;
            if self.monitor {
                self.facts.exit = true;
                self.monitor = false;
            }
            self.facts.alive = self.facts.alive.map(|_| false);
        }
    }

    /// The first `limit` of these steps; fewer than all: the engine was killed.
    fn run(&mut self, limit: u8, steps: &[fn(&mut World)]) {
        self.interrupted = usize::from(limit) < steps.len();
        for step in steps.iter().take(limit.into()) {
            step(self);
        }
    }

    /// What the engine does under the lock before any verb: an interrupted start is decided by asking the runtime.
    fn reconcile(&mut self) {
        if self.facts.phase == Some(Phase::Starting) && self.interrupted {
            self.facts.phase = Some(if self.process == Process::Waiting {
                Phase::Created
            } else {
                Phase::Running
            });
        }
        if self.facts.phase == Some(Phase::Pausing) && self.interrupted {
            self.facts.phase =
                Some(if self.process == Process::Frozen { Phase::Paused } else { Phase::Running });
        }
        self.interrupted = false;
    }

    fn apply(&mut self, event: Event) {
        let now = |world: &World| status(&world.facts);
        match event {
            Event::Init(limit) => {
                self.reconcile();
                if matches!(now(self), Status::Created | Status::Exited)
                    && self.process == Process::None
                {
                    self.run(
                        limit,
                        &[
                            |w| w.facts.phase = Some(Phase::Initializing),
                            |w| {
                                (w.facts.exit, w.facts.started, w.facts.alive) =
                                    (false, false, None);
                            },
                            |w| {
                                (w.process, w.monitor) = (Process::Waiting, true);
                                (w.facts.started, w.facts.alive) = (true, Some(true));
                            },
                            |w| w.facts.phase = Some(Phase::Created),
                        ],
                    );
                }
            }
            Event::Start(limit) => {
                self.reconcile();
                if now(self) == Status::Initialized {
                    self.run(
                        limit,
                        &[
                            |w| w.facts.phase = Some(Phase::Starting),
                            |w| {
                                w.facts.past = !w.auto_remove;
                                w.ever_started = true;
                            },
                            |w| w.process = Process::Running,
                            |w| w.facts.phase = Some(Phase::Running),
                        ],
                    );
                }
            }
            Event::Pause(limit) => {
                self.reconcile();
                if now(self) == Status::Running {
                    self.run(
                        limit,
                        &[
                            |w| w.facts.phase = Some(Phase::Pausing),
                            |w| w.process = Process::Frozen,
                            |w| w.facts.phase = Some(Phase::Paused),
                        ],
                    );
                }
            }
            Event::Unpause(limit) => {
                self.reconcile();
                if now(self) == Status::Paused {
                    self.run(
                        limit,
                        &[
                            |w| w.facts.phase = Some(Phase::Pausing),
                            |w| w.process = Process::Running,
                            |w| w.facts.phase = Some(Phase::Running),
                        ],
                    );
                }
            }
            Event::Stop(limit) => {
                self.reconcile();
                if matches!(now(self), Status::Initialized | Status::Running | Status::Stopping) {
                    self.run(limit, &[|w| w.facts.phase = Some(Phase::Stopping), World::end]);
                }
            }
            Event::Cleanup(limit) => {
                self.reconcile();
                if now(self) == Status::Stopped {
                    self.run(
                        limit,
                        &[
                            // The runtime's delete kills what a dead monitor has left.
                            |w| (w.process, w.monitor) = (Process::None, false),
                            |w| w.facts.phase = Some(Phase::Exited),
                        ],
                    );
                }
            }
            Event::End => self.end(),
            Event::KillMonitor => {
                self.monitor = false;
                self.facts.alive = self.facts.alive.map(|_| false);
            }
            Event::Reboot => {
                (self.process, self.monitor, self.interrupted) = (Process::None, false, false);
                self.facts = Facts {
                    past: self.facts.past,
                    auto_remove: self.facts.auto_remove,
                    ..facts(None)
                };
            }
        }
    }

    /// What may truthfully be said of the world; independent of phases but for the words that only an intent explains.
    fn check(&self) {
        let said = status(&self.facts);
        match said {
            Status::Created => {
                assert!(!self.monitor || self.interrupted || self.process == Process::None);
            }
            Status::Initialized => assert_eq!(self.process, Process::Waiting),
            Status::Running => {
                let between = self.interrupted || self.facts.phase == Some(Phase::Starting);
                assert!(self.process == Process::Running || between, "{self:?}");
                assert!(self.process != Process::Ended && self.monitor);
            }
            Status::Paused => {
                assert!(self.monitor && (self.process == Process::Frozen || self.interrupted));
            }
            Status::Stopping => assert!(self.monitor && self.process != Process::Ended),
            // Stopped is never said of a container whose monitor watches over a process.
            Status::Stopped => assert!(!self.monitor),
            Status::Exited => assert!(
                self.process == Process::None && (self.ever_started || self.facts.phase.is_some())
            ),
            Status::Removing => assert!(self.auto_remove && self.facts.phase.is_none()),
        }
        // An end that the monitor has told is never lost, whatever the engine had written before it was killed.
        if self.facts.exit
            && self.facts.phase != Some(Phase::Exited)
            && self.process == Process::Ended
        {
            assert_eq!(said, Status::Stopped, "{self:?}");
        }
    }
}

fn event() -> impl Strategy<Value = Event> {
    prop_oneof![
        3 => (0..6_u8).prop_map(Event::Init),
        3 => (0..6_u8).prop_map(Event::Start),
        1 => (0..5_u8).prop_map(Event::Pause),
        1 => (0..5_u8).prop_map(Event::Unpause),
        1 => (0..4_u8).prop_map(Event::Stop),
        2 => (0..4_u8).prop_map(Event::Cleanup),
        2 => Just(Event::End),
        1 => Just(Event::KillMonitor),
        1 => Just(Event::Reboot),
    ]
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 2000, failure_persistence: None, ..ProptestConfig::default() })]
    #[test]
    fn the_table_says_what_is(auto_remove: bool, events in prop::collection::vec(event(), 0..25)) {
        let mut world = World::new(auto_remove);
        for event in events {
            world.apply(event);
            world.check();
            if status(&world.facts) == Status::Removing {
                return Ok(());
            }
        }
    }
}
