//! What the monitor says about itself: on stderr as long as its first process is there, and by syslog(3) if it was asked to.
//!
//! INVARIANT: nothing here waits, and nothing stays open: a message that syslog does not take at once is not said.

use std::io::Write as _;
use std::os::unix::net::UnixDatagram;

use jiff::Timestamp;

use crate::options::Options;

/// How much is said.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Level {
    Error,
    Warning,
    Info,
    Debug,
    Trace,
}

impl Level {
    /// The level that conmon calls so, in whatever case.
    pub(crate) fn of(name: &str) -> Option<Self> {
        match name.to_ascii_lowercase().as_str() {
            "error" | "fatal" | "panic" => Some(Level::Error),
            "warn" | "warning" => Some(Level::Warning),
            "info" => Some(Level::Info),
            "debug" => Some(Level::Debug),
            "trace" => Some(Level::Trace),
            _ => None,
        }
    }

    /// In conmon's words, and as a priority of syslog(3).
    fn marks(self) -> (&'static str, u8) {
        match self {
            Level::Error => ("error", 3),
            Level::Warning => ("nwarn", 4),
            Level::Info => ("ninfo", 6),
            Level::Debug => ("ndebug", 7),
            Level::Trace => ("ntrace", 7),
        }
    }
}

/// Where messages go.
#[derive(Debug)]
pub(crate) struct Say {
    level: Level,
    syslog: bool,
    /// The container, as conmon shortens it.
    who: String,
}

/// The socket of syslog(3).
const SYSLOG: &str = "/dev/log";
/// The facility that a program has if it does not say: LOG_USER.
const FACILITY: u8 = 1 << 3;

impl Say {
    pub(crate) fn new(options: &Options) -> Self {
        let speech = &options.speech;
        let mut who = options.container.clone();
        if let Some(tag) = &speech.tag {
            who.push_str(": ");
            who.push_str(tag);
        }
        Say { level: speech.level, syslog: speech.syslog, who: who.chars().take(20).collect() }
    }

    pub(crate) fn error(&self, text: &str) {
        self.say(Level::Error, text);
    }

    pub(crate) fn warn(&self, text: &str) {
        self.say(Level::Warning, text);
    }

    pub(crate) fn info(&self, text: &str) {
        self.say(Level::Info, text);
    }

    pub(crate) fn debug(&self, text: &str) {
        self.say(Level::Debug, text);
    }

    /// In the first process stderr is the engine's; in the monitor it is /dev/null.
    fn say(&self, level: Level, text: &str) {
        if level > self.level {
            return;
        }
        let (word, priority) = level.marks();
        // Not eprintln!, which panics where nobody reads.
        writeln!(std::io::stderr(), "[dhow-shim:{}]: {text}", word.trim_start_matches('n')).ok();
        if self.syslog {
            // Nobody is there to be told that nobody listens.
            send(word, priority, &self.who, text).ok();
        }
    }
}

fn send(word: &str, priority: u8, who: &str, text: &str) -> std::io::Result<()> {
    let socket = UnixDatagram::unbound()?;
    socket.set_nonblocking(true)?;
    socket.connect(SYSLOG)?;
    let now = crate::monitor::logs::zone::local().to_datetime(Timestamp::now());
    let line = format!(
        "<{}>{} conmon: conmon {who} <{word}>: {text}",
        FACILITY | priority,
        now.strftime("%b %e %H:%M:%S")
    );
    socket.send(line.as_bytes()).map(drop)
}
