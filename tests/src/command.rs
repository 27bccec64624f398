//! Running a program with a known environment and a deadline, and judging what it said.

use std::ffi::{OsStr, OsString};
use std::io::{Read, Write};
use std::path::{Path, PathBuf};
use std::process::{Child, ChildStdin, Command, ExitStatus, Stdio};
use std::sync::mpsc::{Receiver, RecvTimeoutError, Sender, channel};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use crate::netns::NetNs;
use crate::process::Children;
use crate::wait::{DEADLINE, wait_until_for};

/// A program about to be run.
#[derive(Debug)]
#[must_use]
pub struct Run {
    program: PathBuf,
    args: Vec<OsString>,
    env: Vec<(OsString, OsString)>,
    dir: Option<PathBuf>,
    stdin: Vec<u8>,
    deadline: Duration,
    transcript: Transcript,
    netns: Option<NetNs>,
}

/// What the commands of one test did, for the message when it fails.
pub(crate) type Transcript = Arc<Mutex<String>>;

/// What a program did.
#[derive(Debug, Clone)]
pub struct Output {
    /// The command line, for messages.
    pub line: String,
    /// The exit code; 128 + signal when killed.
    pub code: i32,
    /// All of stdout.
    pub stdout: Vec<u8>,
    /// All of stderr, as text.
    pub stderr: String,
}

impl Run {
    pub(crate) fn new(program: &Path, transcript: Transcript) -> Self {
        Self {
            program: program.to_owned(),
            args: Vec::new(),
            env: Vec::new(),
            dir: None,
            stdin: Vec::new(),
            deadline: DEADLINE,
            transcript,
            netns: None,
        }
    }

    /// The network it runs in; without, the test's own.
    pub fn netns(mut self, netns: &NetNs) -> Self {
        self.netns = Some(netns.clone());
        self
    }

    /// It runs in the machine's own network, which can fetch packages.
    pub fn host_network(mut self) -> Self {
        self.netns = None;
        self
    }

    /// Starts a command made of this one where it belongs.
    pub(crate) fn launch(&self, command: &mut Command) -> std::io::Result<Child> {
        match &self.netns {
            Some(netns) => netns.inside(|| Children::spawn(command)),
            None => Children::spawn(command),
        }
    }

    /// Appends one argument.
    pub fn arg(mut self, arg: impl AsRef<OsStr>) -> Self {
        self.args.push(arg.as_ref().to_owned());
        self
    }

    /// Appends arguments.
    pub fn args<S: AsRef<OsStr>>(mut self, args: impl IntoIterator<Item = S>) -> Self {
        self.args.extend(args.into_iter().map(|arg| arg.as_ref().to_owned()));
        self
    }

    /// Sets a variable of its otherwise fixed environment.
    pub fn env(mut self, name: impl AsRef<OsStr>, value: impl AsRef<OsStr>) -> Self {
        self.env.push((name.as_ref().to_owned(), value.as_ref().to_owned()));
        self
    }

    /// Has another program run it, whose own words come before its command line.
    pub fn under<S: AsRef<OsStr>>(mut self, program: &str, words: &[S]) -> Self {
        let mut args: Vec<OsString> = words.iter().map(|word| word.as_ref().to_owned()).collect();
        args.push(std::mem::replace(&mut self.program, program.into()).into());
        args.append(&mut self.args);
        self.args = args;
        self
    }

    /// Its working directory.
    pub fn dir(mut self, dir: &Path) -> Self {
        self.dir = Some(dir.to_owned());
        self
    }

    /// What it reads from stdin; nothing otherwise.
    pub fn stdin(mut self, bytes: impl AsRef<[u8]>) -> Self {
        self.stdin = bytes.as_ref().to_owned();
        self
    }

    /// How long it may take.
    pub fn deadline(mut self, deadline: Duration) -> Self {
        self.deadline = deadline;
        self
    }

    /// Runs it to its end.
    #[track_caller]
    pub fn run(self) -> Output {
        let stdin = self.stdin.clone();
        let running = self.spawn();
        running.feed(stdin);
        running.finish()
    }

    /// Runs it; it must exit 0. Returns stdout without the last newline.
    #[track_caller]
    pub fn ok(self) -> String {
        self.run().ok()
    }

    /// Runs it; it must fail with this code and one clear error that contains `needle`.
    #[track_caller]
    pub fn fails(self, code: i32, needle: &str) -> String {
        self.run().fails(code, needle)
    }

    /// Starts it and returns at once; stdin stays open until [`Running::close_stdin`] or the end.
    #[track_caller]
    pub fn spawn(self) -> Running {
        let line = self.line();
        let mut child =
            self.command().stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
        let child = self
            .launch(&mut child)
            .unwrap_or_else(|error| panic!("cannot start `{line}`: {error}"));
        Running::new(child, line, self.deadline, self.transcript)
    }

    /// Runs it to its end with nothing to read or write; it must exit 0. Adds nothing to the time that it takes, and
    /// lets it leave processes behind that hold its streams.
    #[track_caller]
    pub fn silent(self) {
        let line = self.line();
        let mut command =
            self.command().stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null());
        let mut child = self
            .launch(&mut command)
            .unwrap_or_else(|error| panic!("cannot start `{line}`: {error}"));
        let status = child.wait().expect("it is a child");
        Children::forget(child.id());
        assert!(status.success(), "`{line}` failed: {status}");
    }

    /// The command line as one would type it.
    pub(crate) fn line(&self) -> String {
        let name = self.program.file_name().unwrap_or_default().display().to_string();
        self.args.iter().fold(name, |line, arg| line + " " + &quote(&arg.to_string_lossy()))
    }

    /// `setsid --ctty`, to which the caller gives the program.
    #[expect(clippy::disallowed_methods, reason = "the harness starts programs as a shell would")]
    pub(crate) fn setsid(&self) -> Command {
        let mut command = Command::new("/usr/bin/setsid");
        command.arg("--ctty");
        command
    }

    #[expect(
        clippy::disallowed_methods,
        reason = "the harness starts programs as a shell would, in an environment of its own"
    )]
    pub(crate) fn command(&self) -> OwnedCommand {
        let mut command = Command::new(&self.program);
        command
            .args(&self.args)
            .env_clear()
            .envs(self.env.iter().map(|(name, value)| (name, value)));
        if let Some(dir) = &self.dir {
            command.current_dir(dir);
        }
        OwnedCommand(command)
    }
}

/// A `Command` whose setters take it by value.
pub(crate) struct OwnedCommand(pub(crate) Command);

impl OwnedCommand {
    fn stdin(mut self, stdio: Stdio) -> Self {
        self.0.stdin(stdio);
        self
    }
    fn stdout(mut self, stdio: Stdio) -> Self {
        self.0.stdout(stdio);
        self
    }
    fn stderr(mut self, stdio: Stdio) -> Command {
        self.0.stderr(stdio);
        self.0
    }
}

impl Output {
    /// Stdout without the last newline; the program must have exited 0.
    #[track_caller]
    pub fn ok(&self) -> String {
        assert!(self.code == 0, "`{}` exited {}:\n{}", self.line, self.code, self.stderr);
        self.text()
    }

    /// Stdout as text, without the last newline.
    pub fn text(&self) -> String {
        let text = String::from_utf8_lossy(&self.stdout);
        text.strip_suffix('\n').unwrap_or(&text).to_owned()
    }

    /// Both streams, for searching.
    pub fn both(&self) -> String {
        format!("{}\n{}", self.text(), self.stderr)
    }

    /// Asserts the exit code and returns stdout.
    #[track_caller]
    pub fn code(&self, code: i32) -> String {
        assert!(
            self.code == code,
            "`{}` exited {}, not {code}:\n{}",
            self.line,
            self.code,
            self.both()
        );
        self.text()
    }

    /// Asserts a failure that a user can read: this code, exactly one line `Error: …`, no panic, `needle` in it.
    #[track_caller]
    pub fn fails(&self, code: i32, needle: &str) -> String {
        let errors: Vec<&str> =
            self.stderr.lines().filter(|line| line.starts_with("Error: ")).collect();
        assert!(
            self.code == code,
            "`{}` exited {}, not {code}:\n{}",
            self.line,
            self.code,
            self.both()
        );
        assert!(
            errors.len() == 1,
            "`{}` gave {} errors, not one:\n{}",
            self.line,
            errors.len(),
            self.both()
        );
        assert!(!self.stderr.contains("panicked"), "`{}` panicked:\n{}", self.line, self.stderr);
        let text = errors[0].to_lowercase();
        assert!(
            text.contains(&needle.to_lowercase()),
            "`{}`: {needle:?} is not in:\n{}",
            self.line,
            self.stderr
        );
        self.stderr.clone()
    }
}

/// A program that runs beside the test.
#[derive(Debug)]
pub struct Running {
    child: Child,
    line: String,
    deadline: Duration,
    transcript: Transcript,
    input: Mutex<Option<Sender<Vec<u8>>>>,
    output: Arc<Mutex<(Vec<u8>, Vec<u8>)>>,
    closed: Receiver<()>,
}

impl Running {
    fn new(mut child: Child, line: String, deadline: Duration, transcript: Transcript) -> Self {
        let output = Arc::new(Mutex::new((Vec::new(), Vec::new())));
        let (done, closed) = channel();
        if let Some(out) = child.stdout.take() {
            pump(out, Arc::clone(&output), |both| &mut both.0, done.clone());
        }
        if let Some(err) = child.stderr.take() {
            pump(err, Arc::clone(&output), |both| &mut both.1, done);
        }
        let input = child.stdin.take().map(writer);
        Self { child, line, deadline, transcript, input: Mutex::new(input), output, closed }
    }

    /// Its process id.
    pub fn pid(&self) -> u32 {
        self.child.id()
    }

    /// What it has written to stdout until now.
    pub fn seen(&self) -> String {
        String::from_utf8_lossy(&self.output.lock().expect("no poison").0).into_owned()
    }

    /// What it has written to stderr until now.
    pub fn complained(&self) -> String {
        String::from_utf8_lossy(&self.output.lock().expect("no poison").1).into_owned()
    }

    /// Waits until stdout contains `text`.
    #[track_caller]
    pub fn expect(&self, text: &str) {
        let seen = || self.seen().contains(text);
        wait_until_for(
            self.deadline,
            &format!(
                "`{}` prints {text:?}; so far {:?}{:?}",
                self.line,
                self.seen(),
                self.complained()
            ),
            seen,
        );
    }

    /// Writes to its stdin, without waiting for it to read.
    #[track_caller]
    pub fn send(&self, bytes: impl AsRef<[u8]>) {
        let input = self.input.lock().expect("no poison");
        // A program that ended no longer reads: that is the test's to judge by its exit code.
        input.as_ref().expect("stdin is open").send(bytes.as_ref().to_owned()).unwrap_or_default();
    }

    /// Closes its stdin once everything sent is written.
    pub fn close_stdin(&self) {
        *self.input.lock().expect("no poison") = None;
    }

    fn feed(&self, bytes: Vec<u8>) {
        self.send(bytes);
        self.close_stdin();
    }

    /// Sends it a signal.
    pub fn signal(&self, signal: nix::sys::signal::Signal) {
        let pid = nix::unistd::Pid::from_raw(i32::try_from(self.pid()).expect("a pid"));
        nix::sys::signal::kill(pid, signal).expect("the child is there: nobody else waits for it");
    }

    /// Whether it has ended.
    pub fn ended(&mut self) -> bool {
        self.child.try_wait().expect("wait").is_some()
    }

    /// Waits for its end and for the end of its streams.
    #[track_caller]
    pub fn finish(mut self) -> Output {
        self.close_stdin();
        let deadline = self.deadline;
        let mut status = None;
        let ended = || {
            status = self.child.try_wait().expect("wait");
            status.is_some()
        };
        let result = std::panic::catch_unwind(std::panic::AssertUnwindSafe(|| {
            wait_until_for(deadline, "the program ends", ended);
        }));
        if result.is_err() {
            let so_far = format!("{}{}", self.seen(), self.complained());
            self.child.kill().expect("it is a child");
            self.child.wait().expect("it is a child");
            panic!("`{}` had not ended after {deadline:?}; it said:\n{so_far}", self.line);
        }
        Children::forget(self.child.id());
        for _ in 0..2 {
            // A daemon that kept the caller's stdout open would hang every script's `$(dhow run -d …)`.
            if self.closed.recv_timeout(DEADLINE) == Err(RecvTimeoutError::Timeout) {
                panic!(
                    "`{}` ended, but something it left behind holds its stdout or stderr open",
                    self.line
                );
            }
        }
        let (stdout, stderr) = std::mem::take(&mut *self.output.lock().expect("no poison"));
        let code = exit_code(status.expect("it ended"));
        let output = Output {
            line: self.line,
            code,
            stdout,
            stderr: String::from_utf8_lossy(&stderr).into_owned(),
        };
        note(&self.transcript, &output);
        output
    }
}

fn note(transcript: &Transcript, output: &Output) {
    let mut text = transcript.lock().expect("no poison");
    let shown: String = output.text().chars().take(2000).collect();
    text.push_str(&format!("$ {}\n[{}] {shown}\n{}", output.line, output.code, output.stderr));
}

pub(crate) fn exit_code(status: ExitStatus) -> i32 {
    use std::os::unix::process::ExitStatusExt;
    status.code().unwrap_or_else(|| 128 + status.signal().unwrap_or_default())
}

type Both = (Vec<u8>, Vec<u8>);

fn pump(
    mut from: impl Read + Send + 'static,
    into: Arc<Mutex<Both>>,
    which: fn(&mut Both) -> &mut Vec<u8>,
    done: Sender<()>,
) {
    std::thread::spawn(move || {
        let mut buffer = [0; 16384];
        while let Ok(n @ 1..) = from.read(&mut buffer) {
            which(&mut into.lock().expect("no poison")).extend_from_slice(&buffer[..n]);
        }
        done.send(()).unwrap_or_default();
    });
}

fn writer(mut to: ChildStdin) -> Sender<Vec<u8>> {
    let (sender, receiver) = channel::<Vec<u8>>();
    std::thread::spawn(move || {
        for bytes in receiver {
            if to.write_all(&bytes).is_err() {
                return;
            }
        }
    });
    sender
}

/// Splits a command line at blanks; single and double quotes group, and there are no escapes.
pub fn split(line: &str) -> Vec<String> {
    let mut words = Vec::new();
    let (mut word, mut quoted, mut open) = (String::new(), None, false);
    for c in line.chars() {
        match (quoted, c) {
            (Some(quote), c) if c == quote => quoted = None,
            (Some(_), c) => word.push(c),
            (None, '\'' | '"') => (quoted, open) = (Some(c), true),
            (None, ' ' | '\n') => {
                if open || !word.is_empty() {
                    words.push(std::mem::take(&mut word));
                }
                open = false;
            }
            (None, c) => word.push(c),
        }
    }
    assert!(quoted.is_none(), "a quote is not closed in {line:?}");
    if open || !word.is_empty() {
        words.push(word);
    }
    words
}

fn quote(word: &str) -> String {
    let plain = |c: char| c.is_ascii_alphanumeric() || "-_./:=,@%+".contains(c);
    if !word.is_empty() && word.chars().all(plain) { word.to_owned() } else { format!("'{word}'") }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_line_is_split_as_a_shell_would() {
        assert_eq!(split("run  --env 'A=b c' \"\" x"), ["run", "--env", "A=b c", "", "x"]);
        assert_eq!(split("sh -c 'echo \"hi\"'"), ["sh", "-c", "echo \"hi\""]);
    }

    #[test]
    fn what_is_printed_can_be_typed() {
        let run = Run::new(Path::new("/bin/dhow"), Transcript::default()).args(["run", "a b", ""]);
        assert_eq!(run.line(), "dhow run 'a b' ''");
    }
}
