//! `run`: streams, exit codes, `--rm`, `-d`, the files it writes.

use dhow_tests::{BASE, Image, Layer, Proc, TestEnv, requires, wait_until};
use nix::sys::signal::Signal;

#[test]
fn output_and_exit_code_are_the_containers_own() {
    requires!("root", "overlay", "runc");
    let env = TestEnv::with_base();
    let output = env.dhow(&format!("run --rm {BASE} sh -c 'echo out; echo err >&2; exit 7'")).run();
    assert_eq!((output.code, output.text().as_str(), output.stderr.as_str()), (7, "out", "err\n"));
    env.assert_no_containers();
}

#[test]
fn a_signal_death_is_128_plus_n() {
    requires!("root", "overlay", "runc");
    let env = TestEnv::with_base();
    env.code(&format!("run --rm --init {BASE} sh -c 'kill -9 $$'"), 137);
    env.code(&format!("run --rm --init {BASE} sh -c 'kill -TERM $$'"), 143);
}

#[test]
fn no_such_program_is_127_and_not_executable_126() {
    requires!("root", "overlay", "runc");
    let env = TestEnv::with_base();
    env.fails(&format!("run --rm {BASE} no-such-program"), 127, "no-such-program");
    env.fails(&format!("run --rm {BASE} /no/such/program"), 127, "/no/such/program");
    env.fails(&format!("run --rm {BASE} /etc/passwd"), 126, "/etc/passwd");
    env.fails(&format!("run --rm {BASE} /etc"), 126, "/etc");
    env.assert_no_containers();
}

#[test]
fn a_failed_run_without_rm_leaves_a_container_that_can_be_seen_and_removed() {
    requires!("root", "overlay", "runc");
    let env = TestEnv::with_base();
    env.fails(&format!("run --name bad {BASE} no-such-program"), 127, "no-such-program");
    assert_eq!(env.status("bad"), "created");
    env.assert_quiet();
    env.ok("rm bad");
    env.assert_no_containers();
}

#[test]
fn stdin_reaches_the_container_only_with_interactive() {
    requires!("root", "overlay", "runc");
    let env = TestEnv::with_base();
    let text = "line\n".repeat(50_000);
    let count = env.dhow(&format!("run --rm -i {BASE} probe count")).stdin(&text).ok();
    assert_eq!(count, text.len().to_string());
    assert_eq!(env.dhow(&format!("run --rm {BASE} probe count")).stdin(&text).ok(), "0");
}

#[test]
fn a_filter_in_a_pipe_loses_no_byte() {
    requires!("root", "overlay", "runc");
    let env = TestEnv::with_base();
    let all: Vec<u8> = (0..=255).collect();
    let bytes = all.repeat(8192);
    let output = env.dhow(&format!("run --rm -i {BASE} cat")).stdin(&bytes).run();
    assert!(
        output.stdout == bytes,
        "{} bytes came back, {} were sent",
        output.stdout.len(),
        bytes.len()
    );
}

#[test]
fn the_last_output_before_the_end_is_not_lost() {
    requires!("root", "overlay", "runc");
    let env = TestEnv::with_base();
    for _ in 0..5 {
        let output = env.dhow(&format!("run --rm {BASE} probe spew 1000000")).run();
        assert_eq!(output.stdout.len(), 1_000_000 / 64 * 64);
    }
}

#[test]
fn detached_prints_the_full_id_and_returns() {
    requires!("root", "overlay", "runc");
    let env = TestEnv::with_base();
    let id = env.ok(&format!("run -d --name c {BASE} probe hold"));
    assert!(id.len() == 64 && id.chars().all(|c| c.is_ascii_hexdigit()), "{id:?} is no id");
    assert_eq!(env.status("c"), "running");
    assert_eq!(env.id("c"), id);
    env.ok("rm -f -t 0 c");
    env.assert_no_containers();
}

#[test]
fn detached_with_rm_is_removed_when_it_ends_with_nobody_there() {
    requires!("root", "overlay", "runc");
    let env = TestEnv::with_base();
    env.ok(&format!("run -d --rm -v /anonymous {BASE} true"));
    wait_until("the monitor removes the container", || {
        env.reap();
        env.ids_on_disk().is_empty() && Proc::of_env(env.path()).is_empty()
    });
    env.assert_no_containers();
}

#[test]
fn signals_are_proxied_to_the_container() {
    requires!("root", "overlay", "runc");
    let env = TestEnv::with_base();
    let run = env.dhow(&format!("run --rm {BASE} sh -c 'trap \"echo got it; exit 5\" TERM; echo ready; while :; do usleep 1000; done'")).spawn();
    run.expect("ready");
    run.signal(Signal::SIGTERM);
    let output = run.finish();
    assert_eq!((output.code, output.text().as_str()), (5, "ready\ngot it"));
}

#[test]
fn without_sig_proxy_a_signal_ends_the_client_only() {
    requires!("root", "overlay", "runc");
    let env = TestEnv::with_base();
    let run = env.dhow(&format!("run --sig-proxy=false --name c {BASE} sh -c 'echo ready; while :; do usleep 1000; done'")).spawn();
    run.expect("ready");
    run.signal(Signal::SIGTERM);
    assert_eq!(run.finish().code, 143);
    assert_eq!(env.status("c"), "running");
}

#[test]
fn a_killed_client_does_not_take_the_container_along() {
    requires!("root", "overlay", "runc");
    let env = TestEnv::with_base();
    let run = env.dhow(&format!("run --name c --rm {BASE} sh -c 'echo ready; while ! test -e /tmp/go; do usleep 1000; done; exit 3'")).spawn();
    run.expect("ready");
    run.signal(Signal::SIGKILL);
    assert_eq!(run.finish().code, 137);
    assert_eq!(env.status("c"), "running");
    let wait = env.dhow("wait c").spawn();
    env.ok("exec c touch /tmp/go");
    assert_eq!(wait.finish().ok(), "3");
    wait_until("--rm holds without the client", || {
        env.reap();
        env.ids_on_disk().is_empty()
    });
}

#[test]
fn the_files_asked_for_are_written_and_removed() {
    requires!("root", "overlay", "runc");
    let env = TestEnv::with_base();
    let (cid, pid, monitor) = (env.file("cid"), env.file("pid"), env.file("monitor"));
    let id = env.ok(&format!("run -d --cidfile {cid} --pidfile {pid} --conmon-pidfile {monitor} --name c {BASE} probe hold"));
    assert_eq!(std::fs::read_to_string(&cid).expect("cidfile").trim(), id);
    assert_eq!(std::fs::read_to_string(&pid).expect("pidfile").trim(), env.pid("c").to_string());
    assert_eq!(
        std::fs::read_to_string(&monitor).expect("pidfile").trim(),
        env.monitor("c").pid.to_string()
    );
    env.fails(&format!("run --rm --cidfile {cid} {BASE} true"), 125, &cid);
    assert_eq!(env.ids_on_disk(), std::slice::from_ref(&id));
    env.ok(&format!("stop -t 0 --cidfile {cid}"));
    env.ok(&format!("rm --cidfile {cid}"));
    env.assert_no_containers();
}

#[test]
fn attach_chooses_streams() {
    requires!("root", "overlay", "runc");
    let env = TestEnv::with_base();
    let output = env.dhow(&format!("run --rm -a stdout {BASE} probe both")).run();
    assert_eq!((output.text().as_str(), output.stderr.as_str()), ("to stdout", ""));
    let output = env.dhow(&format!("run --rm -a stderr {BASE} probe both")).run();
    assert_eq!((output.text().as_str(), output.stderr.as_str()), ("", "to stderr\n"));
    env.fails(&format!("run --rm -a nonsense {BASE} true"), 125, "nonsense");
}

#[test]
fn timeout_kills_the_container() {
    requires!("root", "overlay", "runc");
    let env = TestEnv::with_base();
    let output = env.dhow(&format!("run --rm --timeout 1 {BASE} probe hold")).run();
    assert_eq!(output.code, 137, "killed, and nothing else (podman: 255): {}", output.both());
}

#[test]
fn replace_takes_over_the_name() {
    requires!("root", "overlay", "runc");
    let env = TestEnv::with_base();
    let first = env.ok(&format!("run -d --name c {BASE} probe hold"));
    let second = env.ok(&format!("run -d --replace --name c --stop-timeout 0 {BASE} probe hold"));
    assert_ne!(first, second);
    assert_eq!(env.ids_on_disk(), [second]);
    env.ok(&format!("create --replace --name new {BASE}"));
}

#[test]
fn what_the_image_says_is_what_runs() {
    requires!("root", "overlay", "runc");
    let env = TestEnv::with_base();
    let config = Image::new("localhost/conf:1")
        .layer(dhow_tests::image::base_layer())
        .layer(Layer::new().file("etc/motd", 0o644, "x"));
    let config = config
        .config(
            "Entrypoint",
            serde_json::json!(["/bin/sh", "-c", "echo \"$0 $1 $FOO\"; pwd; id -u; id -g; exit 4"]),
        )
        .config("Cmd", serde_json::json!(["zero", "one"]))
        .config("Env", serde_json::json!(["PATH=/bin", "FOO=bar"]))
        .config("WorkingDir", serde_json::json!("/made/by/image"))
        .config("User", serde_json::json!("user:extra"))
        .config("Labels", serde_json::json!({"a": "image", "b": "image"}))
        .config("StopSignal", serde_json::json!("SIGUSR1"));
    let archive = env.file("conf.tar");
    Image::write_docker_archive(&[config], archive.as_ref());
    env.ok(&format!("load -q -i {archive}"));
    assert_eq!(env.code("run --rm conf:1", 4), "zero one bar\n/made/by/image\n1000\n2000");
    assert_eq!(env.code("run --rm conf:1 uno due", 4), "uno due bar\n/made/by/image\n1000\n2000");
    assert_eq!(env.ok("run --rm --entrypoint echo conf:1 a b"), "a b");
    assert_eq!(env.ok("run --rm --entrypoint '[\"echo\",\"x\"]' conf:1 a"), "x a");
    env.ok("create --name c --label b=flag conf:1");
    assert_eq!(env.inspect("c", "{{.Config.Labels.a}} {{.Config.Labels.b}}"), "image flag");
    assert!(["SIGUSR1", "10"].contains(&env.inspect("c", "{{.Config.StopSignal}}").as_str()));
}

#[test]
fn a_root_file_system_in_place_and_as_an_overlay() {
    requires!("root", "overlay", "runc");
    let env = TestEnv::new();
    let dir = env.make_dir("rootfs");
    dhow_tests::image::unpack_base(dir.as_ref());
    env.ok(&format!("run --rm --rootfs {dir}:O sh -c 'echo gone > /new; rm /data/seed'"));
    assert!(!env.path().join("work/rootfs/new").exists());
    assert!(env.path().join("work/rootfs/data/seed").exists());
    env.ok(&format!("run --rm --rootfs {dir} sh -c 'echo kept > /new'"));
    assert!(env.path().join("work/rootfs/new").exists());
    env.assert_no_containers();
}

#[test]
fn the_group_form_of_the_command_is_the_same() {
    requires!("root", "overlay", "runc");
    let env = TestEnv::with_base();
    assert_eq!(env.ok(&format!("container run --rm {BASE} echo hi")), "hi");
    assert_eq!(env.ok("container ls -aq"), env.ok("ps -aq"));
    assert_eq!(env.ok("image ls -q"), env.ok("images -q"));
}

#[test]
fn a_deep_root_is_no_obstacle_to_sockets() {
    requires!("root", "overlay", "runc");
    let env = TestEnv::new();
    let deep = format!("{}/{}", env.file("deep"), "directory-of-thirty-characters/".repeat(5));
    let global =
        ["--root".to_owned(), format!("{deep}root"), "--runroot".to_owned(), format!("{deep}run")];
    let dhow = |line: &str| env.bare().args(&global).args(dhow_tests::split(line));
    dhow("load -q -i").arg(dhow_tests::image::base_archive()).ok();
    assert_eq!(
        dhow(&format!("run --rm -i {BASE} cat")).stdin("through the socket").ok(),
        "through the socket"
    );
    dhow("rmi -a -f").ok();
}
