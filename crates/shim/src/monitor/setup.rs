//! Makes everything that has to be there before the runtime is started.

use std::io;
use std::os::fd::AsRawFd;
use std::path::{Path, PathBuf};

use dhow_shim::attach::Stream;
use dhow_shim::files;
use dhow_sys::memory::Pages;
use dhow_sys::pipe;
use mio::unix::SourceFd;
use mio::{Interest, Poll};
use signal_hook::consts::{SIGALRM, SIGCHLD, SIGHUP, SIGINT, SIGQUIT, SIGTERM, SIGUSR1, SIGUSR2};
use signal_hook_mio::v1_0::Signals;

use super::clients::Clients;
use super::console::Console;
use super::control::Fifos;
use super::exit::Outcome;
use super::notify::Notify;
use super::output::Output;
use super::report::Reporter;
use super::runtime::Ends;
use super::source::Source;
use super::stdin::Stdin;
use super::{CHUNK, Monitor, Rest, State};
use crate::start::Setup;

/// A monitor ready to start the runtime; or, with the engine told, what is left to do.
pub(super) fn monitor(setup: Setup) -> Result<Monitor, Box<(Outcome, Rest)>> {
    let Setup { options, logs, say, sync, start, attach, inherited, oom_score, environment } =
        setup;
    let reporter = Reporter::new(sync, attach, options.keys);
    let base = (|| {
        let poll = Poll::new()?;
        // Those that are no use to us are caught too: their default is our death.
        let mut signals =
            Signals::new([SIGCHLD, SIGTERM, SIGINT, SIGQUIT, SIGHUP, SIGUSR1, SIGUSR2, SIGALRM])?;
        poll.registry().register(&mut signals, Source::Signals.token(), Interest::READABLE)?;
        io::Result::Ok((poll, signals, Pages::new(CHUNK)?))
    })();
    let failed = |reporter: &Reporter, error: &io::Error| {
        reporter.failure(format!("the monitor cannot begin: {error}").as_bytes());
        Outcome { code: 1, signal: None, message: None }
    };
    let (poll, signals, scratch) = match base {
        Ok(base) => base,
        Err(e) => {
            let rest = Rest { exit: options.exit, environment, oom_score };
            return Err(Box::new((failed(&reporter, &e), rest)));
        }
    };
    let stdio = options.stdio;
    let clients =
        Clients::none(options.patience, stdio.stdin && !stdio.leave_stdin_open && !stdio.terminal);
    let mut monitor = Monitor {
        clients,
        options,
        environment,
        oom_score,
        inherited: Some(inherited),
        poll,
        signals,
        reporter,
        logs,
        say,
        stdin: Stdin::none(stdio.terminal),
        outputs: [Output::none(Stream::Stdout), Output::none(Stream::Stderr)],
        held: Vec::new(),
        console: None,
        terminal: None,
        size: None,
        fifos: None,
        notify: None,
        link: None,
        ends: Ends::default(),
        oom: None,
        oom_seen: false,
        state: State::Holding(None),
        scratch: Some(scratch),
        moved: 0,
    };
    match monitor.prepare(start) {
        Ok(()) => Ok(monitor),
        Err(e) => {
            let outcome = failed(&monitor.reporter, &e);
            let Monitor { options, environment, oom_score, .. } = monitor;
            Err(Box::new((outcome, Rest { exit: options.exit, environment, oom_score })))
        }
    }
}

impl Monitor {
    fn prepare(&mut self, start: Option<std::os::fd::OwnedFd>) -> io::Result<()> {
        if let Some(host) = &self.options.notify {
            let bundle = self.options.runtime.bundle.as_deref();
            self.notify = Some(Notify::listen(bundle, host, self.poll.registry())?);
        }
        self.make_stdio()?;
        // ORDER: attach, ctl, winsz, then the word on the attach pipe: the engine connects when it has heard that.
        // Output that is passed through is nobody's to attach to.
        let served = self.options.run_dir.clone().filter(|_| !self.options.stdio.passthrough);
        if let Some(run_dir) = served {
            let registry = self.poll.registry();
            self.clients.listen(&run_dir.join(files::ATTACH), registry)?;
            self.fifos = Some(Fifos::make(&run_dir, registry)?);
            if let Some(link) = &self.options.link {
                self.link = Some(Link::make(link, &run_dir)?);
            }
        }
        self.reporter.ready_to_attach();
        if let Some(start) = &start {
            let mut source = SourceFd(&start.as_raw_fd());
            self.poll.registry().register(
                &mut source,
                Source::Start.token(),
                Interest::READABLE,
            )?;
        }
        self.state = State::Holding(start);
        Ok(())
    }

    fn make_stdio(&mut self) -> io::Result<()> {
        let stdio = self.options.stdio;
        if stdio.passthrough {
            self.ends.ours = true;
            return Ok(());
        }
        let registry = self.poll.registry();
        if stdio.terminal {
            let directory = self.options.run_dir.clone().unwrap_or_else(std::env::temp_dir);
            self.console = Some(Console::listen(&directory, registry)?);
        } else {
            if stdio.stdin {
                let (reader, writer) = pipe::pipe()?;
                self.ends.stdin = Some(reader);
                self.stdin = Stdin::pipe(writer, registry)?;
            }
            let (reader, writer) = pipe::pipe()?;
            self.ends.stdout = Some(writer);
            self.outputs[0].listen(reader, Interest::READABLE, registry)?;
        }
        let (reader, writer) = pipe::pipe()?;
        self.ends.stderr = Some(writer);
        self.outputs[1].listen(reader, Interest::READABLE, registry)
    }
}

/// The symbolic link by which an engine finds the run directory; gone with this.
#[derive(Debug)]
pub(super) struct Link(PathBuf);

impl Link {
    fn make(link: &Path, run_dir: &Path) -> io::Result<Self> {
        let target = std::path::absolute(run_dir)?;
        match std::fs::remove_file(link) {
            Err(e) if e.kind() != io::ErrorKind::NotFound => return Err(e),
            _ => {}
        }
        if let Some(directory) = link.parent() {
            dhow_sys::fs::create_dir_all(directory, 0o755)?;
        }
        std::os::unix::fs::symlink(target, link)?;
        Ok(Link(link.to_path_buf()))
    }
}

impl Drop for Link {
    fn drop(&mut self) {
        std::fs::remove_file(&self.0).ok();
    }
}

/// The pid that the runtime wrote; why there is none, in words for the engine.
pub(super) fn read_pidfile(path: &Path) -> Result<i32, String> {
    let text = dhow_sys::fs::read_bounded(path, 64)
        .map_err(|e| format!("cannot read {}: {e}", path.display()))?;
    let pid = std::str::from_utf8(&text)
        .ok()
        .and_then(|text| text.trim().parse().ok())
        .filter(|pid: &i32| *pid > 0);
    pid.ok_or_else(|| format!("{} holds no pid", path.display()))
}
