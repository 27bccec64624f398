//! What the loop listens to, each with its token.

use mio::Token;

/// Something that becomes ready.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Source {
    /// A signal was caught.
    Signals,
    /// The engine has said something on the start pipe, or left.
    Start,
    /// The runtime connects to the console socket.
    Console,
    /// The runtime sends the terminal.
    ConsoleStream,
    /// The container's first process has ended (its pidfd).
    Container,
    /// Output of the container, or of its terminal.
    Stdout,
    /// Output of the container, or errors of the runtime.
    Stderr,
    /// The container's stdin (or terminal) takes bytes.
    Stdin,
    /// A client connects to the attach socket.
    Attach,
    /// A line came through `ctl`.
    Control,
    /// A line came through `winsz`.
    WindowSize,
    /// The out-of-memory killer was at work.
    Oom,
    /// The journal takes entries again.
    Journal,
    /// The container has a message for systemd.
    Notify,
    /// A client: input, room for output, or its end.
    Client(usize),
}

const FIXED: [Source; 14] = [
    Source::Signals,
    Source::Start,
    Source::Console,
    Source::ConsoleStream,
    Source::Container,
    Source::Stdout,
    Source::Stderr,
    Source::Stdin,
    Source::Attach,
    Source::Control,
    Source::WindowSize,
    Source::Oom,
    Source::Journal,
    Source::Notify,
];

impl Source {
    pub(super) fn token(self) -> Token {
        match self {
            Source::Client(number) => Token(FIXED.len() + number),
            fixed => Token(FIXED.iter().position(|s| *s == fixed).unwrap_or(usize::MAX)),
        }
    }

    pub(super) fn of(token: Token) -> Self {
        match FIXED.get(token.0) {
            Some(source) => *source,
            None => Source::Client(token.0 - FIXED.len()),
        }
    }
}
