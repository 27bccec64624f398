//! `start`: init where it is needed, then the runtime's `start`.
//!
//! CRASH: the record says *starting* before the runtime is asked. Whoever finds it so with no command at work asks the
//! runtime whether the process runs (reconcile.rs). The monitor's exit record counts in every phase: no exit code is lost.

use std::path::Path;

use dhow_state::{ContainerId, Phase, Status};

use crate::engine::{Engine, Held, Outcome};
use crate::error::{Error, Result};
use crate::request::{AttachRequest, StartRequest};
use crate::session::AttachSession;

impl Engine {
    /// Starts the container, after those whose namespaces it shares.
    ///
    /// # Errors
    /// [`Error::InvalidState`] while it is paused or being removed; the runtime's refusal.
    pub fn start(&self, request: &StartRequest) -> Result<Outcome> {
        let id = self.resolve(&request.container)?;
        self.start_id(&id)
    }

    pub(crate) fn start_id(&self, id: &ContainerId) -> Result<Outcome> {
        self.start_dependencies(id)?;
        let mut held = self.hold(id)?;
        if held.status() == Status::Running {
            return Ok(Outcome::AlreadyThere);
        }
        self.ready(&mut held)?;
        self.launch_process(&mut held, 0)?;
        Ok(Outcome::Done)
    }

    /// Starts the container with a client attached from before its first instruction: no output is lost.
    ///
    /// # Errors
    /// As [`Engine::start`]; the monitor's socket cannot be reached.
    pub fn start_attached(&self, request: &AttachRequest) -> Result<AttachSession> {
        let id = self.resolve(&request.container)?;
        self.start_dependencies(&id)?;
        let mut held = self.hold(&id)?;
        if held.status() == Status::Running {
            return self.connect(&held);
        }
        self.ready(&mut held)?;
        let session = self.connect(&held)?;
        if let (true, Some(window)) = (session.terminal(), request.window) {
            session.resize(window.rows, window.columns)?;
        }
        self.launch_process(&mut held, 0)?;
        Ok(session)
    }

    /// Refuses what cannot be started, and initialises what is not.
    fn ready(&self, held: &mut Held) -> Result<()> {
        self.require_startable(held, "start")?;
        if held.status() == Status::Stopped {
            self.finish_life(held)?;
        }
        if held.status() != Status::Initialized {
            self.initialize(held)?;
        }
        Ok(())
    }

    pub(crate) fn require_startable(&self, held: &Held, verb: &'static str) -> Result<()> {
        let hint = match held.status() {
            Status::Created | Status::Stopped | Status::Exited => return Ok(()),
            Status::Initialized if verb == "start" => return Ok(()),
            Status::Paused => "; unpause it first",
            _ => "",
        };
        Err(Error::InvalidState { verb, id: held.id().clone(), status: held.status(), hint })
    }

    /// The runtime's `start`, between the intent and the fact; `restarts`: how often the policy has done so before. A
    /// failure tears the container down.
    pub(crate) fn launch_process(&self, held: &mut Held, restarts: u32) -> Result<()> {
        held.locked
            .update(|record| record.restart_count = restarts)
            .and_then(|()| held.locked.begin_start())
            .map_err(Error::State)?;
        let started = self.runtime(&held.config)?.start(held.id().as_str());
        if let Err(e) = started {
            let e = Error::Runtime(e);
            self.undo_init(held, &e)?;
            return Err(e);
        }
        held.locked.update(|record| record.phase = Phase::Running).map_err(Error::State)
    }

    /// Starts the containers whose namespaces this one shares. ORDER: before the lock of the dependent is taken, so that
    /// no two locks are held.
    pub(crate) fn start_dependencies(&self, id: &ContainerId) -> Result<()> {
        let config = self.config_of(&self.snapshot(id)?)?;
        let mut done: Vec<&ContainerId> = Vec::new();
        for join in &config.joins {
            if join.container == *id || done.contains(&&join.container) {
                continue;
            }
            self.start_id(&join.container).map_err(|e| Error::While {
                what: format!(
                    "cannot start container {}, whose namespaces {} shares",
                    join.container,
                    id.short()
                ),
                source: Box::new(e),
            })?;
            done.push(&join.container);
        }
        Ok(())
    }

    fn connect(&self, held: &Held) -> Result<AttachSession> {
        let log = held.config.log.whole().map(Path::to_owned);
        AttachSession::connect(&self.run_dir(held.id()), held.config.spec.terminal, log)
    }
}
