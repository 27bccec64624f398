//! With a terminal: raw mode and back, keys, sizes, detaching.

use dhow_tests::{BASE, Terminal, TestEnv, requires, wait_until};
use nix::sys::signal::Signal;

#[test]
fn a_shell_on_a_terminal() {
    requires!("root", "overlay", "runc", "pty");
    let env = TestEnv::with_base();
    let mut terminal = Terminal::start(&env.dhow(&format!("run --rm -it {BASE} sh")), 33, 99);
    terminal.expect("# ");
    terminal.until_raw();
    terminal.send("stty size; tty\r");
    terminal.expect("33 99");
    terminal.expect("/dev/pts/0");
    terminal.resize(44, 111);
    // The size is passed on in its own time; the shell is asked until it has come.
    for _ in 0..200 {
        if terminal.seen().contains("44 111") {
            break;
        }
        terminal.send("stty size\r");
        std::thread::park_timeout(std::time::Duration::from_millis(50));
    }
    terminal.expect("44 111");
    terminal.send("exit 5\r");
    assert_eq!(terminal.finish(), 5);
    env.assert_no_containers();
}

#[test]
fn interrupt_reaches_the_program_inside() {
    requires!("root", "overlay", "runc", "pty");
    let env = TestEnv::with_base();
    let mut terminal = Terminal::start(&env.dhow(&format!("run --rm -it {BASE} sh -c 'trap \"echo caught; exit 3\" INT; echo ready; while :; do usleep 1000; done'")), 24, 80);
    terminal.expect("ready");
    terminal.until_raw();
    terminal.send("\x03");
    terminal.expect("caught");
    assert_eq!(terminal.finish(), 3);
}

#[test]
fn detach_keys_leave_it_running() {
    requires!("root", "overlay", "runc", "pty");
    let env = TestEnv::with_base();
    for (flags, keys) in
        [("", "\x10\x11"), ("--detach-keys ctrl-x,q", "\x18q"), ("--detach-keys d", "d")]
    {
        let mut terminal =
            Terminal::start(&env.dhow(&format!("run -it --name c {flags} {BASE} sh")), 24, 80);
        terminal.expect("# ");
        terminal.until_raw();
        terminal.send(keys);
        assert_eq!(terminal.finish(), 0, "{flags}");
        assert_eq!(env.status("c"), "running");
        let mut terminal = Terminal::start(&env.dhow(&format!("attach {flags} c")), 24, 80);
        terminal.until_raw();
        terminal.send("echo a''gain; exit 4\r");
        terminal.expect("again");
        assert_eq!(terminal.finish(), 4);
        env.until("c", "exited");
        env.ok("rm c");
    }
    let mut terminal =
        Terminal::start(&env.dhow(&format!("run -it --rm --detach-keys '' {BASE} sh")), 24, 80);
    terminal.expect("# ");
    terminal.until_raw();
    terminal.send("\x10\x11exit 2\r");
    assert_eq!(terminal.finish(), 2, "no keys, no detaching");
}

#[test]
fn the_terminal_is_restored_however_it_ends() {
    requires!("root", "overlay", "runc", "pty");
    let env = TestEnv::with_base();
    let terminal = Terminal::start(&env.dhow(&format!("run -it --name c {BASE} sh")), 24, 80);
    terminal.expect("# ");
    terminal.until_raw();
    env.ok("kill c");
    assert_eq!(terminal.finish(), 137);
    let terminal =
        Terminal::start(&env.dhow(&format!("run -it --rm {BASE} no-such-program")), 24, 80);
    assert_eq!(terminal.finish(), 127);
    let terminal = Terminal::start(
        &env.dhow(&format!("run -it --name d --sig-proxy=false {BASE} sh")),
        24,
        80,
    );
    terminal.expect("# ");
    terminal.until_raw();
    dhow_tests::Proc::of(terminal.pid()).expect("it runs").signal(Signal::SIGTERM);
    assert_eq!(terminal.finish(), 143);
}

#[test]
fn exec_on_a_terminal() {
    requires!("root", "overlay", "runc", "pty");
    let env = TestEnv::with_base();
    env.ok(&format!("run -d --name c {BASE} probe hold"));
    let mut terminal = Terminal::start(&env.dhow("exec -it c sh"), 31, 97);
    terminal.expect("# ");
    terminal.until_raw();
    terminal.send("stty size; echo $TERM\r");
    terminal.expect("31 97");
    terminal.expect("xterm");
    terminal.send("exit 9\r");
    assert_eq!(terminal.finish(), 9);
}

#[test]
fn a_terminal_without_one() {
    requires!("root", "overlay", "runc");
    let env = TestEnv::with_base();
    let output = env.dhow(&format!("run --rm -t {BASE} sh -c 'tty; echo err >&2'")).run();
    assert_eq!(
        (output.code, output.text().as_str()),
        (0, "/dev/pts/0\r\nerr\r"),
        "{}",
        output.stderr
    );
    env.ok(&format!("run -d -t --name c {BASE} sh -c 'stty size; exec probe hold'"));
    wait_until("it has a terminal though nobody is there", || env.ok("logs c").contains("holding"));
}
