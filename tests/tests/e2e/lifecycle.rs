//! create, init, start, pause, unpause, wait, rename, rm: what each does in each status, for one and for several.

use dhow_tests::{BASE, TestEnv, requires};

#[test]
fn the_statuses_in_order() {
    requires!("root", "overlay", "runc");
    let env = TestEnv::with_base();
    env.ok(&format!("create --name c {BASE} probe hold"));
    assert_eq!(env.status("c"), "created");
    env.assert_quiet();
    env.ok("init c");
    assert_eq!(env.status("c"), "initialized");
    env.ok("start c");
    assert_eq!(env.status("c"), "running");
    env.ok("pause c");
    assert_eq!(env.status("c"), "paused");
    env.ok("unpause c");
    assert_eq!(env.status("c"), "running");
    env.ok("kill c");
    env.until("c", "exited");
    assert_eq!(env.inspect("c", "{{.State.ExitCode}}"), "137");
    env.ok("start c");
    assert_eq!(env.status("c"), "running");
    assert_eq!(env.inspect("c", "{{.State.ExitCode}}"), "0");
    env.ok("stop -t 0 c");
    assert_eq!(env.status("c"), "exited");
    env.ok("rm c");
    env.assert_no_containers();
}

#[test]
fn what_is_refused_in_which_status() {
    requires!("root", "overlay", "runc");
    let env = TestEnv::with_base();
    env.ok(&format!("create --name c {BASE} probe hold"));
    for verb in ["pause c", "unpause c", "kill c", "exec c true", "attach c"] {
        env.fails(verb, 125, "c");
    }
    env.ok("stop c");
    env.ok("start c");
    env.ok("start c");
    env.fails("init c", 125, "c");
    env.fails("unpause c", 125, "c");
    env.fails("rm c", 2, "running");
    env.ok("pause c");
    env.fails("pause c", 125, "paused");
    env.fails("start c", 125, "paused");
    env.fails("rm c", 2, "paused");
    env.fails("exec c true", 125, "paused");
    env.ok("rm -f -t 0 c");
    env.assert_no_containers();
}

#[test]
fn stopping_what_never_ran_or_has_ended_is_success() {
    requires!("root", "overlay", "runc");
    let env = TestEnv::with_base();
    env.ok(&format!("create --name made {BASE} true"));
    env.code(&format!("run --name ended {BASE} probe exit 3"), 3);
    env.ok("stop made ended");
    assert_eq!(env.inspect("ended", "{{.State.ExitCode}}"), "3");
    env.ok("init made");
    env.ok("stop -t 0 made");
    assert_ne!(env.status("made"), "initialized");
}

#[test]
fn wait_gives_the_code_however_it_came_about() {
    requires!("root", "overlay", "runc");
    let env = TestEnv::with_base();
    env.ok(&format!("create --name never {BASE} true"));
    env.code(&format!("run --name ended {BASE} probe exit 3"), 3);
    assert_eq!(env.ok("wait never ended"), "0\n3");
    env.ok(&format!("run -d --name runs {BASE} probe hold"));
    let waits: Vec<_> = (0..4).map(|_| env.dhow("wait runs").spawn()).collect();
    let condition = env.dhow("wait --condition paused runs").spawn();
    env.ok("pause runs");
    assert_eq!(condition.finish().code, 0);
    env.ok("unpause runs");
    env.ok("kill -s INT runs");
    env.ok("kill -s KILL runs");
    for wait in waits {
        assert_eq!(wait.finish().ok(), "137");
    }
    env.fails("wait nobody", 125, "nobody");
    assert_eq!(env.ok("wait --ignore nobody"), "-1");
}

#[test]
fn rename_moves_the_name_and_frees_the_old_one() {
    requires!("root", "overlay", "runc");
    let env = TestEnv::with_base();
    let id = env.ok(&format!("run -d --name a {BASE} probe hold"));
    env.ok(&format!("create --name taken {BASE}"));
    env.fails("rename a taken", 125, "taken");
    env.fails("rename a no/slash", 125, "no/slash");
    env.ok("rename a b");
    assert_eq!(env.inspect("b", "{{.Id}} {{.Name}}"), format!("{id} b"));
    env.fails("inspect a", 125, "a");
    env.ok(&format!("create --name a {BASE}"));
}

#[test]
fn names_ids_and_prefixes() {
    requires!("root", "overlay", "runc");
    let env = TestEnv::with_base();
    let ids: Vec<String> = (0..18).map(|_| env.ok(&format!("create {BASE}"))).collect();
    let id = &ids[0];
    assert_eq!(env.inspect(&id[..12], "{{.Id}}"), *id);
    // Seventeen ids cannot all differ in the first of sixteen digits.
    let shared = (0..16)
        .map(|n| format!("{n:x}"))
        .find(|digit| ids.iter().filter(|id| id.starts_with(digit)).count() > 1);
    let shared = shared.expect("two ids share their first digit");
    env.fails(&format!("rm {shared}"), 125, "ambiguous");
    // A name wins over a prefix (Q54).
    let named = env.ok(&format!("create --name {shared} {BASE}"));
    assert_eq!(env.inspect(&shared, "{{.Id}}"), named);
    for wildcard in ["%", "_", "*", "[a-f]"] {
        assert_ne!(env.dhow("rm").arg(wildcard).run().code, 0);
    }
    assert_eq!(env.ids_on_disk().len(), 19);
    assert_ne!(env.dhow(&format!("rm {}", id.to_uppercase())).run().code, 0);
}

#[test]
fn several_at_once_go_on_after_an_error() {
    requires!("root", "overlay", "runc");
    let env = TestEnv::with_base();
    for name in ["a", "b"] {
        env.ok(&format!("create --name {name} {BASE} probe hold"));
    }
    let output = env.dhow("start a nobody b").run();
    assert_eq!(output.code, 125);
    assert_eq!(output.text(), "a\nb");
    assert!(output.stderr.contains("nobody"));
    assert_eq!(env.ok("pause a b"), "a\nb");
    assert_eq!(env.ok("unpause --all").lines().count(), 2);
    assert_eq!(env.ok("stop -t 0 --all").lines().count(), 2);
    assert_eq!(env.ok("start --all").lines().count(), 2);
    assert_eq!(env.ok("kill --all").lines().count(), 2);
    let output = env.dhow("rm -f nobody a").run();
    assert_eq!(
        (output.code, output.text().as_str()),
        (0, "a"),
        "podman's rm -f does not mind: {}",
        output.stderr
    );
    env.fails("rm nobody", 1, "nobody");
    assert_eq!(env.ok("rm -f --all").lines().count(), 1);
    assert_eq!(env.ok("rm --ignore nobody"), "");
    env.assert_no_containers();
}

#[test]
fn latest_is_the_one_created_last() {
    requires!("root", "overlay", "runc");
    let env = TestEnv::with_base();
    env.ok(&format!("create --name z {BASE} probe hold"));
    env.ok(&format!("create --name a {BASE} probe hold"));
    env.ok("start --latest");
    assert_eq!((env.status("z"), env.status("a")), ("created".into(), "running".into()));
    assert_eq!(env.ok("ps -l --format {{.Names}}"), "a");
    env.ok("stop -t 0 -l");
    env.ok("rm -l");
    assert_eq!(env.ok("ps -a --format {{.Names}}"), "z");
}

#[test]
fn start_attached_gives_output_and_code() {
    requires!("root", "overlay", "runc");
    let env = TestEnv::with_base();
    env.ok(&format!("create -i --name c {BASE} sh -c 'cat; exit 9'"));
    for _ in 0..2 {
        let output = env.dhow("start -a -i c").stdin("in and out").run();
        assert_eq!((output.code, output.text().as_str()), (9, "in and out"));
    }
    assert_eq!(env.ok("start c"), "c");
    env.ok("kill c");
    assert_eq!(env.ok("wait c"), "137");
}

#[test]
fn the_name_is_checked() {
    requires!("root", "overlay", "runc");
    let env = TestEnv::with_base();
    for name in ["a/b", "..", ".", "-a", "a b", "ä", "", "a\nb"] {
        let output = env.dhow("create").arg(format!("--name={name}")).arg(BASE).run();
        assert_eq!(output.code, 125, "the name {name:?} was accepted: {}", output.both());
    }
    env.ok(&format!("create --name A.b_c-9 {BASE}"));
    env.fails(&format!("create --name A.b_c-9 {BASE}"), 125, "in use");
    env.ok("rm A.b_c-9");
    env.assert_no_containers();
}

#[test]
fn anonymous_volumes_go_with_rm_v_only() {
    requires!("root", "overlay", "runc");
    let env = TestEnv::with_base();
    let volumes = || {
        std::fs::read_dir(env.root("volumes"))
            .map_or(0, |entries| entries.flatten().filter(|e| e.file_name().len() == 64).count())
    };
    env.ok(&format!("run --name c -v /one -v /two {BASE} true"));
    assert_eq!(volumes(), 2);
    env.ok("rm -v c");
    assert_eq!(volumes(), 0);
    env.ok(&format!("run --rm -v /one {BASE} true"));
    assert_eq!(volumes(), 0);
}
