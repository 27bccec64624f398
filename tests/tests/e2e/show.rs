//! ps, inspect, info, version: what scripts read.

use dhow_tests::{BASE, TestEnv, requires};
use serde_json::Value;

#[track_caller]
fn json(env: &TestEnv, line: &str) -> Value {
    let text = env.ok(line);
    serde_json::from_str(&text)
        .unwrap_or_else(|error| panic!("`{line}` is no json: {error}\n{text}"))
}

#[test]
fn ps_lists_what_it_is_asked_for() {
    requires!("root", "overlay", "runc");
    let env = TestEnv::with_base();
    assert_eq!(env.ok("ps").lines().count(), 1);
    env.ok(&format!("create --name made -l kind=a {BASE} true"));
    env.code(&format!("run --name ended -l kind=b {BASE} probe exit 3"), 3);
    env.ok(&format!("run -d --name runs -l kind=b -v vol:/v {BASE} probe hold"));
    assert_eq!(env.ok("ps --format {{.Names}}"), "runs");
    assert_eq!(env.ok("ps -a --format {{.Names}}"), "made\nended\nruns");
    assert_eq!(env.ok("ps -n 2 --format {{.Names}}"), "ended\nruns");
    assert_eq!(env.ok("ps -a --sort names --format {{.Names}}"), "ended\nmade\nruns");
    assert_eq!(env.ok("ps -q"), env.id("runs")[..12]);
    assert_eq!(env.ok("ps -q --no-trunc"), env.id("runs"));
    for (filter, expected) in [
        ("status=exited", "ended"),
        ("status=created", "made"),
        ("status=running", "runs"),
        ("exited=3", "ended"),
        ("name=ma", "made"),
        ("label=kind=a", "made"),
        ("label=kind", "made\nended\nruns"),
        ("ancestor=base", "made\nended\nruns"),
        ("volume=vol", "runs"),
        ("before=ended", "made"),
        ("since=ended", "runs"),
    ] {
        assert_eq!(
            env.ok(&format!("ps -a --filter {filter} --format {{{{.Names}}}}")),
            expected,
            "{filter}"
        );
    }
    let id = env.id("made");
    assert_eq!(env.ok(&format!("ps -a --filter id={} --format {{{{.Names}}}}", &id[..10])), "made");
    env.fails("ps --filter nonsense=1", 125, "nonsense");
    env.fails("ps --filter status=nonsense", 125, "nonsense");
    env.fails("ps --format '{{.NoSuchField}}'", 125, "NoSuchField");
    env.fails("ps --format '{{'", 125, "");
    let table = env.ok("ps -a");
    let head = table.lines().next().expect("a header");
    assert_eq!(
        head.split_whitespace().collect::<Vec<_>>(),
        ["CONTAINER", "ID", "IMAGE", "COMMAND", "CREATED", "STATUS", "PORTS", "NAMES"]
    );
    assert!(
        table.contains("Exited (3)") && table.contains("Up ") && table.contains("Created"),
        "{table}"
    );
    assert_eq!(env.ok("ps -a --noheading").lines().count(), 3);
    assert!(env.ok("ps -a --size --format '{{.Size}}'").contains("virtual"));
}

#[test]
fn ps_as_json() {
    requires!("root", "overlay", "runc");
    let env = TestEnv::with_base();
    assert_eq!(json(&env, "ps -a --format json"), Value::Array(Vec::new()));
    let id = env.ok(&format!("run -d --name c -l a=b {BASE} probe hold"));
    let rows = json(&env, "ps --format json");
    let row = &rows[0];
    assert_eq!(row["Id"], id);
    assert_eq!(row["Names"][0], "c");
    assert_eq!(row["State"], "running");
    assert_eq!(row["Image"], BASE);
    assert_eq!(row["Command"], serde_json::json!(["probe", "hold"]));
    assert_eq!(row["Labels"]["a"], "b");
    assert_eq!(row["Pid"], env.pid("c"));
    assert_eq!(env.ok("ps --format '{{json .Names}}'").replace(' ', ""), "\"c\"".to_owned());
}

#[test]
fn inspect_of_containers_and_images() {
    requires!("root", "overlay", "runc");
    let env = TestEnv::with_base();
    env.ok(&format!("create --name c --memory 64m --hostname box -e A=b -v /tmp:/t:ro --restart on-failure:3 {BASE} echo hi"));
    let all = json(&env, "inspect c");
    let it = &all[0];
    assert_eq!(it["Name"], "c");
    assert_eq!(it["State"]["Status"], "created");
    assert_eq!(it["Config"]["Hostname"], "box");
    assert_eq!(it["Config"]["Cmd"], serde_json::json!(["echo", "hi"]));
    assert_eq!(it["HostConfig"]["Memory"], 64 << 20);
    assert_eq!(it["HostConfig"]["RestartPolicy"]["Name"], "on-failure");
    assert_eq!(it["HostConfig"]["RestartPolicy"]["MaximumRetryCount"], 3);
    assert_eq!(it["Mounts"][0]["Destination"], "/t");
    assert_eq!(it["Mounts"][0]["RW"], false);
    assert_eq!(it["ImageName"], BASE);
    assert_eq!(
        env.ok(&format!("inspect --type image --format {{{{.Id}}}} {BASE}")),
        it["Image"].as_str().expect("an id")
    );
    assert_eq!(
        env.ok("inspect -f '{{range .Config.Env}}{{println .}}{{end}}' c")
            .lines()
            .filter(|line| *line == "A=b")
            .count(),
        1
    );
    assert!(
        json(&env, &format!("inspect {BASE}"))[0]["RootFS"]["Layers"][0]
            .as_str()
            .expect("a digest")
            .starts_with("sha256:")
    );
    let output = env.dhow("inspect nobody c").run();
    assert_eq!(output.code, 125);
    assert!(output.stderr.contains("nobody"));
    env.fails("inspect --type container base", 125, "base");
    env.fails("inspect --format '{{.Nope}}' c", 125, "Nope");
}

#[test]
fn info_and_version() {
    requires!("root", "overlay", "runc");
    let env = TestEnv::with_base();
    let info = json(&env, "info --format json");
    assert_eq!(
        info["store"]["graphRoot"],
        env.root("").display().to_string().trim_end_matches('/')
    );
    assert_eq!(info["store"]["containerStore"]["number"], 0);
    assert!(info["host"]["ociRuntime"]["name"].as_str().is_some());
    assert!(env.ok("info").contains("graphRoot"));
    assert_eq!(env.ok("version --format '{{.Client.Version}}'"), env!("CARGO_PKG_VERSION"));
    assert!(env.ok("version").contains(env!("CARGO_PKG_VERSION")));
    assert!(env.bare().arg("--version").ok().contains(env!("CARGO_PKG_VERSION")));
}

#[test]
fn every_command_has_help_and_none_takes_nonsense() {
    let env = TestEnv::new();
    let commands = "create init start run attach exec stop kill restart pause unpause wait ps inspect logs rm rename mount unmount export \
        import load commit diff images rmi tag untag history info version";
    for command in commands.split_whitespace() {
        assert!(env.ok(&format!("{command} --help")).contains("Usage"), "{command}");
        env.fails(&format!("{command} --no-such-flag"), 125, "--no-such-flag");
    }
    for command in [
        "container create",
        "container ls",
        "container exec",
        "container rm",
        "image ls",
        "image rm",
        "image load",
        "image tag",
    ] {
        assert!(env.ok(&format!("{command} --help")).contains("Usage"), "{command}");
    }
    env.fails("no-such-command", 125, "no-such-command");
}

#[test]
fn a_closed_pipe_is_no_panic() {
    requires!("root", "overlay", "runc");
    let env = TestEnv::with_base();
    for name in 0..20 {
        env.ok(&format!("create --name c{name} {BASE}"));
    }
    let dhow = dhow_tests::binary("dhow").display().to_string();
    let line = format!(
        "{dhow} {} inspect $(seq -f c%g 0 19) | head -c 1; test ${{PIPESTATUS[0]}} -ne 101 -a ${{PIPESTATUS[0]}} -ne 134",
        env.global().join(" ")
    );
    let output = env.tool("/bin/bash").args(["-c", &line]).run();
    assert!(!output.stderr.contains("panicked"), "{}", output.stderr);
}
