//! A program on a terminal of its own, as when a user types.

use std::fs::File;
use std::io::{Read, Write};
use std::os::fd::{AsFd, OwnedFd};
use std::process::{Child, Stdio};
use std::sync::{Arc, Mutex};

use nix::pty::{Winsize, openpty};
use nix::sys::termios::{LocalFlags, tcgetattr};

use crate::command::{Run, exit_code};
use crate::process::Children;
use crate::wait::{DEADLINE, wait_until, wait_until_for};

/// A running program and the terminal it is on.
#[derive(Debug)]
pub struct Terminal {
    child: Child,
    line: String,
    keyboard: File,
    seen: Arc<Mutex<Vec<u8>>>,
    /// Held open so that the terminal's modes can be looked at after the program's end.
    slave: OwnedFd,
}

impl Terminal {
    /// Starts a program as the leader of a session whose terminal this is.
    #[track_caller]
    pub fn start(run: &Run, rows: u16, columns: u16) -> Self {
        let size = Winsize { ws_row: rows, ws_col: columns, ws_xpixel: 0, ws_ypixel: 0 };
        let pty = openpty(&size, None).expect("a pty");
        let line = run.line();
        let inner = run.command().0;
        // `setsid --ctty` makes stdin the controlling terminal and then becomes the program.
        let mut command = run.setsid();
        command.arg(inner.get_program()).args(inner.get_args()).env_clear();
        command
            .envs(inner.get_envs().filter_map(|(name, value)| Some((name, value?))))
            .env("TERM", "xterm");
        let end = || Stdio::from(pty.slave.try_clone().expect("a descriptor"));
        command.stdin(end()).stdout(end()).stderr(end());
        if let Some(dir) = inner.get_current_dir() {
            command.current_dir(dir);
        }
        let child = run
            .launch(&mut command)
            .unwrap_or_else(|error| panic!("cannot start `{line}`: {error}"));
        let seen = Arc::new(Mutex::new(Vec::new()));
        let screen = File::from(pty.master.try_clone().expect("a descriptor"));
        watch(screen, Arc::clone(&seen));
        Self { child, line, keyboard: File::from(pty.master), seen, slave: pty.slave }
    }

    /// All that was shown until now.
    pub fn seen(&self) -> String {
        String::from_utf8_lossy(&self.seen.lock().expect("no poison")).into_owned()
    }

    /// Waits until the screen has shown `text`.
    #[track_caller]
    pub fn expect(&self, text: &str) {
        wait_until(&format!("`{}` shows {text:?}; so far {:?}", self.line, self.seen()), || {
            self.seen().contains(text)
        });
    }

    /// Types.
    pub fn send(&mut self, keys: &str) {
        self.keyboard.write_all(keys.as_bytes()).expect("the terminal takes keys");
    }

    /// Waits until typed keys reach the program one by one and unseen.
    #[track_caller]
    pub fn until_raw(&self) {
        wait_until(&format!("`{}` makes the terminal raw", self.line), || !self.is_cooked());
    }

    /// Whether the terminal edits and echoes lines, as it did at first.
    pub fn is_cooked(&self) -> bool {
        let modes = tcgetattr(self.slave.as_fd()).expect("it is a terminal").local_flags;
        modes.contains(LocalFlags::ICANON | LocalFlags::ECHO | LocalFlags::ISIG)
    }

    /// Changes the window's size; the kernel tells the program by SIGWINCH.
    pub fn resize(&self, rows: u16, columns: u16) {
        let size =
            rustix::termios::Winsize { ws_row: rows, ws_col: columns, ws_xpixel: 0, ws_ypixel: 0 };
        rustix::termios::tcsetwinsize(&self.keyboard, size).expect("it is a terminal");
    }

    /// The pid of the program.
    pub fn pid(&self) -> u32 {
        self.child.id()
    }

    /// Waits for the program's end, asserts that the terminal is as it was, returns the exit code.
    #[track_caller]
    pub fn finish(mut self) -> i32 {
        let mut status = None;
        let said = self.seen();
        let ended = || {
            status = self.child.try_wait().expect("wait");
            status.is_some()
        };
        wait_until_for(DEADLINE, &format!("`{}` ends; it said {said:?}", self.line), ended);
        Children::forget(self.child.id());
        assert!(self.is_cooked(), "`{}` left the terminal raw", self.line);
        exit_code(status.expect("it ended"))
    }
}

impl Drop for Terminal {
    fn drop(&mut self) {
        if std::thread::panicking() {
            self.child.kill().ok();
            self.child.wait().ok();
        }
    }
}

fn watch(mut screen: File, seen: Arc<Mutex<Vec<u8>>>) {
    std::thread::spawn(move || {
        let mut buffer = [0; 4096];
        while let Ok(n @ 1..) = screen.read(&mut buffer) {
            seen.lock().expect("no poison").extend_from_slice(&buffer[..n]);
        }
    });
}
