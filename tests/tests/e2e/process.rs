//! Flags about the process, seen from inside: environment, user, directory, names, limits.

use dhow_tests::{BASE, TestEnv, requires};

/// Runs the base image with these flags and this command.
#[track_caller]
fn inside(env: &TestEnv, flags: &str, command: &str) -> String {
    env.ok(&format!("run --rm {flags} {BASE} {command}"))
}

#[test]
fn environment() {
    requires!("root", "overlay", "runc");
    let env = TestEnv::with_base();
    let file = env.write("vars", "# comment\nFROM_FILE=1\nBOTH=file\n\nHOSTVAR\nABSENT\n");
    let run = env.dhow(&format!(
        "run --rm -e A=b=c -e EMPTY= -e BOTH=flag -e HOSTVAR2 --env-file {file} {BASE} env"
    ));
    let seen = run.env("HOSTVAR", "from the host").env("HOSTVAR2", "too").env("SECRET", "no").ok();
    for line in [
        "A=b=c",
        "EMPTY=",
        "BOTH=flag",
        "FROM_FILE=1",
        "HOSTVAR=from the host",
        "HOSTVAR2=too",
        "container=podman",
    ] {
        let line = if line.starts_with("container=") { "container=" } else { line };
        assert!(
            seen.lines().any(|l| l == line || (line == "container=" && l.starts_with(line))),
            "{line} is not in {seen}"
        );
    }
    assert!(!seen.contains("SECRET") && !seen.contains("ABSENT"), "{seen}");
    assert!(seen.contains("HOME=/root") && seen.contains("HOSTNAME="), "{seen}");
    assert!(!inside(&env, "--unsetenv PATH", "/bin/env").contains("PATH="));
    assert!(inside(&env, "-t", "env").contains("TERM=xterm"));
    env.fails(&format!("run --rm -e =x {BASE} true"), 125, "=x");
    env.fails(&format!("run --rm --env-file /no/such {BASE} true"), 125, "/no/such");
}

#[test]
fn user_and_groups() {
    requires!("root", "overlay", "runc");
    let env = TestEnv::with_base();
    for (user, ids) in [
        ("0", "0 0"),
        ("user", "1000 1000"),
        ("1000", "1000 1000"),
        ("1000:2000", "1000 2000"),
        ("user:other", "1000 3000"),
        ("4711", "4711 0"),
        ("4711:4712", "4711 4712"),
    ] {
        assert_eq!(
            inside(&env, &format!("--user {user}"), "sh -c 'echo $(id -u) $(id -g)'"),
            ids,
            "--user {user}"
        );
    }
    assert_eq!(inside(&env, "--user user", "sh -c 'echo $(id -G) $HOME'"), "1000 2000 /home/user");
    assert_eq!(
        inside(&env, "--user user --group-add other --group-add 77", "id -G"),
        "1000 77 2000 3000"
    );
    for bad in ["nobody-here", "user:no-group", "-1", "4294967296", "user:"] {
        let output = env.dhow("run --rm").arg(format!("--user={bad}")).args([BASE, "true"]).run();
        assert!(
            bad == "user:" || output.code == 125 || output.code == 126,
            "--user {bad:?}: {}",
            output.both()
        );
    }
    env.assert_no_containers();
}

#[test]
fn working_directory() {
    requires!("root", "overlay", "runc");
    let env = TestEnv::with_base();
    assert_eq!(inside(&env, "", "pwd"), "/");
    assert_eq!(inside(&env, "-w /home/user", "pwd"), "/home/user");
    env.fails(&format!("run --rm -w /not/there {BASE} pwd"), 126, "/not/there");
    env.fails(&format!("create -w relative {BASE} pwd"), 125, "relative");
    env.assert_no_containers();
}

#[test]
fn host_name_and_the_files_of_etc() {
    requires!("root", "overlay", "runc");
    let env = TestEnv::with_base();
    let id = env.ok(&format!("run --name c {BASE} hostname"));
    assert!(env.id("c").starts_with(&id) && id.len() == 12, "{id}");
    assert_eq!(
        inside(
            &env,
            "--hostname box",
            "sh -c 'hostname; echo $(cat /etc/hostname); echo $HOSTNAME'"
        ),
        "box\nbox\nbox"
    );
    env.ok("rm c");
    let hosts = inside(
        &env,
        "--hostname box --add-host db:10.1.2.3 --add-host six:fd00::1",
        "cat /etc/hosts",
    );
    let line = |name: &str| {
        hosts
            .lines()
            .find(|line| line.split_whitespace().any(|word| word == name))
            .unwrap_or_default()
            .to_owned()
    };
    assert!(line("db").starts_with("10.1.2.3") && line("six").starts_with("fd00::1"), "{hosts}");
    assert!(line("localhost").starts_with("127.0.0.1"), "{hosts}");
    let dns = inside(
        &env,
        "--dns 10.9.8.7 --dns-search example.test --dns-option ndots:3",
        "cat /etc/resolv.conf",
    );
    assert!(
        dns.contains("nameserver 10.9.8.7")
            && dns.contains("search example.test")
            && dns.contains("ndots:3"),
        "{dns}"
    );
    assert!(
        !inside(&env, "", "cat /run/.containerenv").is_empty()
            || inside(&env, "", "ls /run/.containerenv").contains("containerenv")
    );
    let long = "h".repeat(65);
    for bad in [
        "--add-host nonsense",
        "--add-host a:b:c:d",
        "--dns nonsense",
        &format!("--hostname {long}"),
    ] {
        env.dhow(&format!("run --rm {bad} {BASE} true")).run().fails(125, "");
    }
    env.assert_no_containers();
}

#[test]
fn entrypoint_and_arguments() {
    requires!("root", "overlay", "runc");
    let env = TestEnv::with_base();
    assert_eq!(inside(&env, "", "probe args a 'b c' '' --rm -e"), "a\nb c\n\n--rm\n-e");
    assert_eq!(inside(&env, "--entrypoint probe", "args x"), "x");
    assert_eq!(inside(&env, "--entrypoint ''", "echo direct"), "direct");
    env.fails(&format!("create --entrypoint '' {}", BASE.replace("base", "absent")), 125, "absent");
}

#[test]
fn an_init_reaps_and_passes_signals_on() {
    requires!("root", "overlay", "runc");
    let env = TestEnv::with_base();
    let seen = inside(
        &env,
        "--init",
        "sh -c 'cat /proc/1/comm; echo $$; (usleep 1000 &) ; usleep 50000; ps | grep -c Z || true'",
    );
    let lines: Vec<&str> = seen.lines().collect();
    assert_ne!(lines[0], "sh");
    assert_ne!(lines[1], "1");
    assert_eq!(inside(&env, "", "sh -c 'echo $$'"), "1");
    env.ok(&format!("run -d --init --name c {BASE} probe hold"));
    env.ok("stop -t 20 c");
    assert_eq!(env.inspect("c", "{{.State.ExitCode}}"), "143");
    env.fails(
        &format!("run --rm --init --init-path /no/such/init {BASE} true"),
        125,
        "/no/such/init",
    );
}

#[test]
fn umask_oom_score_and_time_zone() {
    requires!("root", "overlay", "runc");
    let env = TestEnv::with_base();
    assert_eq!(inside(&env, "", "probe status Umask"), "0022");
    assert_eq!(inside(&env, "--umask 077", "probe status Umask"), "0077");
    assert_eq!(inside(&env, "--oom-score-adj 300", "cat /proc/self/oom_score_adj"), "300");
    assert_eq!(
        inside(&env, "--tz Asia/Tokyo", "sh -c 'test -s /etc/localtime && echo there'"),
        "there"
    );
    for bad in [
        "--umask 9",
        "--umask 77777",
        "--oom-score-adj 1001",
        "--oom-score-adj x",
        "--tz No/Where",
        "--tz ../../etc/passwd",
    ] {
        env.dhow(&format!("run --rm {bad} {BASE} true")).run().fails(125, "");
    }
    env.assert_no_containers();
}

#[test]
fn nothing_but_the_standard_streams_is_open() {
    requires!("root", "overlay", "runc");
    let env = TestEnv::with_base();
    let seen = inside(&env, "", "probe show");
    let open: Vec<&str> = seen.lines().filter_map(|line| line.strip_prefix("fd=")).collect();
    assert_eq!(open.len(), 3, "{open:?}");
}

#[test]
fn labels_and_annotations() {
    requires!("root", "overlay", "runc");
    let env = TestEnv::with_base();
    let file = env.write("labels", "from=file\n");
    env.ok(&format!(
        "create --name c -l a=1 --label b --label c=x=y --label-file {file} --annotation n=v {BASE}"
    ));
    assert_eq!(
        env.inspect(
            "c",
            "{{.Config.Labels.a}}|{{.Config.Labels.b}}|{{.Config.Labels.c}}|{{.Config.Labels.from}}"
        ),
        "1||x=y|file"
    );
    assert_eq!(env.inspect("c", "{{.Config.Annotations.n}}"), "v");
    env.fails(&format!("create --annotation novalue {BASE}"), 125, "novalue");
}
