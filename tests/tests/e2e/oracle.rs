//! podman as the oracle: the same line on both, the same seen by the user.

use dhow_tests::podman::Podman;
use dhow_tests::{BASE, TestEnv, requires};

/// Lines that are the same on both, run one after the other; what they print and their exit codes are compared.
const LINES: &[&str] = &[
    "run --name a IMG sh -c 'echo out; exit 3'",
    "run --rm IMG pwd",
    "run --rm -e A=b -e C IMG sh -c 'echo $A-$C-$HOME-$PATH'",
    "run --rm --user user IMG id",
    "run --rm --user 1000:2000 --group-add other IMG id",
    "run --rm --entrypoint echo IMG x y",
    "run --rm --cap-drop all IMG probe status CapEff",
    "run --rm --cap-add net_admin --user 1000 IMG probe status CapPrm",
    "run --rm IMG probe status CapBnd",
    "run --rm IMG probe status Umask",
    "run --rm --umask 077 IMG probe status Umask",
    "run --rm IMG ls /dev",
    "run --rm -v named:/data IMG ls -l /data/seed",
    "run --rm --tmpfs /x IMG sh -c 'stat -c %a /x'",
    "run --rm --read-only IMG touch /tmp/x",
    "run --rm --shm-size 1m IMG sh -c 'df -k /dev/shm | tail -n 1 | cut -c 1-40'",
    "run --rm IMG no-such-program",
    "run --rm IMG /etc/passwd",
    "ps -a --format '{{.Names}} {{.Image}} {{.Command}} {{.Exited}}'",
    "ps -a --format '{{.Names}}\t{{.Labels}}'",
    "ps -aq --filter name=nothing",
    "inspect --format '{{.State.Status}} {{.State.ExitCode}} {{.State.Running}} {{.Path}} {{.Args}}' a",
    "inspect --format '{{.Config.Cmd}} {{.Config.WorkingDir}} {{.Config.User}} {{.Config.Tty}}' a",
    "inspect --format '{{.HostConfig.Privileged}} {{.HostConfig.Memory}}' a",
    "inspect --format '{{.Name}} {{.ImageName}} {{.RestartCount}}' a",
    "logs a",
    "diff a",
    "start -a a",
    "wait a",
    "create --name b --label x=y IMG true",
    "ps -a --filter label=x=y --format '{{.Names}} {{.Status}}'",
    "rename b c",
    "rm c",
    "rm nobody",
    "stop a",
    "images --format '{{.Repository}}:{{.Tag}}'",
    "image inspect --format '{{.Config.Cmd}} {{.Architecture}} {{.Os}} {{.RepoTags}}' IMG",
    "tag IMG other:1",
    "untag other:1 other:1",
    "rm a",
    "images -q --filter reference=none",
];

#[test]
fn the_same_as_podman() {
    requires!("root", "overlay", "runc", "podman");
    let env = TestEnv::with_base();
    let podman = Podman::new(&env);
    podman.load_base();
    let mut differ = Vec::new();
    for line in LINES {
        let words: Vec<String> = dhow_tests::split(line)
            .into_iter()
            .map(|word| if word == "IMG" { BASE.to_owned() } else { word })
            .collect();
        // A private network without netavark is what dhow has until networking lands.
        let mut theirs = words.clone();
        if ["run", "create"].contains(&words[0].as_str()) {
            theirs.insert(1, "--network=none".to_owned());
        }
        let mine = env.dhow("").args(&words).run();
        let theirs = podman.podman("").args(&theirs).run();
        // A new container's id is nobody else's.
        let same = words[0] == "create" || mine.text() == theirs.text();
        if mine.code != theirs.code || !same {
            differ.push(format!(
                "`{line}`\n  dhow   [{}] {:?} {}\n  podman [{}] {:?} {}",
                mine.code,
                mine.text(),
                mine.stderr.trim(),
                theirs.code,
                theirs.text(),
                theirs.stderr.trim()
            ));
        }
    }
    assert!(
        differ.is_empty(),
        "{} of {} lines differ:\n{}",
        differ.len(),
        LINES.len(),
        differ.join("\n")
    );
}

#[test]
fn what_podman_saves_is_loaded() {
    requires!("root", "overlay", "runc", "podman");
    let env = TestEnv::new();
    let podman = Podman::new(&env);
    podman.load_base();
    for format in ["docker-archive", "oci-archive", "oci-dir"] {
        let target = env.file(format);
        podman.ok(&format!("save -q --format {format} -o {target} {BASE}"));
        env.ok(&format!("load -q -i {target}"));
        assert_eq!(env.ok(&format!("run --rm {BASE} cat /data/seed")), "seed", "{format}");
        env.ok("rmi -a -f");
    }
    podman.ok(&format!("tag {BASE} localhost/second:2"));
    let target = env.file("both.tar");
    podman.ok(&format!("save -q --multi-image-archive -o {target} {BASE} localhost/second:2"));
    env.ok(&format!("load -q -i {target}"));
    assert_eq!(env.ok("run --rm second:2 cat /data/seed"), "seed");
}
