//! Each engine with the other's monitor: podman with dhow-shim as its conmon, dhow with conmon. What a user sees is the
//! same as with the engine's own.

use dhow_tests::podman::Podman;
use dhow_tests::{BASE, Run, Terminal, TestEnv, binary, requires, wait_until};

const CONMON: &str = "/usr/bin/conmon";

/// An engine: the command line of its own to run.
type Engine<'a> = &'a dyn Fn(&str) -> Run;

/// Everything that goes through a monitor; what was seen, to be compared.
fn use_monitor(engine: Engine<'_>) -> Vec<String> {
    let mut seen = Vec::new();
    let mut see = |what: &str, run: Run| {
        let output = run.run();
        seen.push(format!("{what}: {} {:?} {:?}", output.code, output.text(), output.stderr));
    };
    let run = |flags: &str, script: &str| {
        engine(&format!("run --network none {flags} {BASE} sh -c")).arg(script)
    };
    let megabytes = vec![b'x'; 3_000_000];

    see("run", run("--name a", "echo out; echo err >&2; printf last; exit 3"));
    see("logs", engine("logs a"));
    see("killed", run("--rm", "kill -9 $$"));
    see("no such program", engine(&format!("run --rm --network none {BASE} /nonexistent")));
    see("input", run("--rm -i", "wc -c").stdin(&megabytes));
    see("binary", run("--rm -i", "cat | md5sum").stdin([0, 255, 10, 128, 13]));

    run("-d --name d", "trap 'echo bye; exit 7' TERM; echo up; while :; do usleep 10000; done")
        .ok();
    wait_until("the container is up", || engine("logs d").run().text().contains("up"));
    see("exec", engine("exec d sh -c").arg("echo in; echo err >&2; exit 5"));
    see("exec input", engine("exec -i d wc -c").stdin(&megabytes));
    see("exec of nothing", engine("exec d /nonexistent"));
    engine("exec -d d touch /made").ok();
    wait_until("the detached session did its work", || engine("exec d ls /made").run().code == 0);
    let mut terminal = Terminal::start(&engine("exec -it d sh"), 33, 99);
    terminal.expect("# ");
    terminal.until_raw();
    terminal.send("stty size; exit 6\r");
    terminal.expect("33 99");
    seen.push(format!("exec -it: {}", terminal.finish()));

    let follower = engine("logs -f d").spawn();
    follower.expect("up");
    see_stop(engine, &mut seen);
    seen.push(format!("logs -f: {:?}", follower.finish().text()));

    run("-d --name two", "while ! [ -e /go ]; do echo tick; usleep 20000; done; echo end; exit 4")
        .ok();
    let clients = [(); 2].map(|()| engine("attach --no-stdin two").spawn());
    clients.iter().for_each(|client| client.expect("tick"));
    engine("exec two touch /go").ok();
    for client in clients {
        let output = client.finish();
        let text = output.text();
        seen.push(format!("attach: {}", text.trim_start_matches("tick\n").trim_end()));
        seen.push(format!("attach's code: {}", output.code));
    }

    let mut terminal =
        Terminal::start(&engine(&format!("run --rm -it --network none {BASE} sh")), 44, 111);
    terminal.expect("# ");
    terminal.until_raw();
    terminal.send("stty size; exit 8\r");
    terminal.expect("44 111");
    seen.push(format!("run -it: {}", terminal.finish()));

    run("-d --name r --restart on-failure:2", "echo again; exit 1").ok();
    let count = || engine("inspect --format {{.RestartCount}}-{{.State.Status}} r").ok();
    wait_until("it was restarted", || count() == "2-exited");
    seen.push(format!("--restart: {:?}", engine("logs r").ok()));
    seen
}

fn see_stop(engine: Engine<'_>, seen: &mut Vec<String>) {
    engine("stop -t 20 d").ok();
    seen.push(format!("stop: {}", engine("wait d").ok()));
    let state = "{{.State.Status}} {{.State.ExitCode}} {{.State.OOMKilled}}";
    seen.push(format!("state: {}", engine("inspect --format").arg(state).arg("d").ok()));
}

/// The program that attends a running container.
fn monitor_of(engine: Engine<'_>) -> String {
    engine(&format!("run -d --network none --name m {BASE} sleep 1000")).ok();
    let pid = engine("inspect --format {{.State.ConmonPid}} m").ok();
    let program =
        std::fs::read_link(format!("/proc/{pid}/exe")).expect("a running container has a monitor");
    engine("rm -f -t 0 m").ok();
    program.display().to_string()
}

/// What is the same with any monitor, lest all fail in the same way.
fn assert_sound(seen: &[String]) {
    for expected in [
        "run: 3 \"out\\nlast\" \"err\\n\"",
        "input: 0 \"3000000\" \"\"",
        "exec: 5 \"in\" \"err\\n\"",
        "exec input: 0 \"3000000\" \"\"",
        "exec -it: 6",
        "stop: 7",
        "state: exited 7 false",
        "logs -f: \"up\\nbye\"",
        "attach: end",
        "run -it: 8",
        "--restart: \"again\\nagain\\nagain\"",
    ] {
        assert!(seen.iter().any(|seen| seen == expected), "{expected} is not among {seen:#?}");
    }
}

fn assert_same(theirs: &[String], ours: &[String]) {
    for (theirs, ours) in theirs.iter().zip(ours) {
        assert_eq!(theirs, ours);
    }
    assert_eq!(theirs.len(), ours.len());
}

#[test]
fn podman_with_dhow_shim_is_podman() {
    requires!("root", "overlay", "runc", "podman", "conmon", "pty");
    let shim = binary("dhow-shim").display().to_string();
    let [theirs, ours] = [CONMON, &shim].map(|conmon| {
        let env = TestEnv::new();
        let podman = Podman::with_conmon(&env, conmon);
        podman.load_base();
        let engine = |line: &str| podman.podman(line);
        assert!(monitor_of(&engine).ends_with(conmon.rsplit('/').next().unwrap()));
        let mut seen = use_monitor(&engine);
        podman
            .podman("run -d --network none --name h --health-interval disable --health-cmd")
            .args(["test -e /well", BASE, "sleep", "1000"])
            .ok();
        seen.push(format!("ill: {}", podman.podman("healthcheck run h").run().code));
        podman.ok("exec h touch /well");
        seen.push(format!("well: {}", podman.podman("healthcheck run h").run().code));
        seen
    });
    assert_same(&theirs, &ours);
    assert_sound(&ours);
    assert!(ours.ends_with(&["ill: 1".to_owned(), "well: 0".to_owned()]), "{ours:?}");
    assert_same(&theirs, &ours);
}

#[test]
fn dhow_with_conmon_is_dhow() {
    requires!("root", "overlay", "runc", "conmon", "pty");
    let shim = binary("dhow-shim").display().to_string();
    let [ours, theirs] = [&shim, CONMON].map(|conmon| {
        let env = TestEnv::with_base();
        let engine = |line: &str| {
            env.bare().args(env.global()).args(["--conmon", conmon]).args(dhow_tests::split(line))
        };
        assert!(monitor_of(&engine).ends_with(conmon.rsplit('/').next().unwrap()));
        let seen = use_monitor(&engine);
        engine("rm -f -t 0 --all").ok();
        env.assert_no_containers();
        seen
    });
    assert_sound(&ours);
    assert_same(&theirs, &ours);
}

/// What takes the journal's socket to `$1`, and becomes the rest.
const WITH_JOURNAL: &str = r#"
mount -t tmpfs run /run && mkdir -p /run/systemd && ln -s "$1" /run/systemd/journal || exit 99
shift
exec "$@"
"#;

#[test]
fn podmans_containers_are_in_the_journal() {
    requires!("root", "overlay", "runc", "podman", "conmon");
    let shim = binary("dhow-shim").display().to_string();
    let [theirs, ours] = [CONMON, &shim].map(|conmon| {
        let env = TestEnv::new();
        let podman = Podman::with_conmon(&env, conmon);
        podman.load_base();
        let journal = env.make_dir("journal");
        let socket = std::os::unix::net::UnixDatagram::bind(format!("{journal}/socket")).unwrap();
        socket.set_read_timeout(Some(std::time::Duration::from_secs(60))).unwrap();
        let line = format!("run -d --network none --name j --log-driver journald {BASE} sh -c");
        let run = podman.podman(&line).arg("echo one; usleep 100000; printf last");
        let words = ["--mount", "sh", "-c", WITH_JOURNAL, "sh", &journal];
        run.under("/usr/bin/unshare", &words).ok();
        let mut entries = Vec::new();
        let mut buffer = vec![0; 65536];
        while entries.len() < 2 {
            let length = socket.recv(&mut buffer).unwrap();
            let text = String::from_utf8_lossy(&buffer[..length]).into_owned();
            // podman's own events go there too.
            if text.contains("\nSYSLOG_IDENTIFIER=podman\n") {
                continue;
            }
            let text = text.split("CODE_FILE=").next().unwrap().to_owned();
            entries.push(text.replace(&podman.ok("inspect --format {{.Id}} j"), "ID"));
        }
        let short: String = podman.ok("inspect --format {{.Id}} j").chars().take(12).collect();
        entries.iter().map(|entry| entry.replace(&short, "SHORT")).collect::<Vec<_>>()
    });
    assert_same(&theirs, &ours);
    assert!(ours[0].contains("one\n") && ours[0].contains("CONTAINER_NAME=j\n"), "{ours:?}");
    assert!(ours[1].contains("CONTAINER_PARTIAL_MESSAGE=true\n"), "{ours:?}");
}
