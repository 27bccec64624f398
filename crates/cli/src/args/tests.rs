//! Whole command lines, and what becomes of them.

use dhow_engine::request::{CreateRequest, Source};
use expect_test::{Expect, expect};

use super::*;

fn parsed(line: &str) -> Result<Cli> {
    cli(parse(line.split(' ').map(OsString::from), &Environment::of(&[])))
}

fn cli(parsed: Result<Parsed>) -> Result<Cli> {
    match parsed? {
        Parsed::Run(cli) => Ok(*cli),
        Parsed::Shown(code) => panic!("help was shown: {code}"),
    }
}

fn error(line: &str) -> String {
    match parsed(line) {
        Ok(_) => panic!("{line}: accepted"),
        Err(e) => e.to_string().lines().next().unwrap_or_default().to_owned(),
    }
}

/// The request of a `create` or `run`.
fn request(words: &[&str]) -> CreateRequest {
    let environment = Environment::of(&[("HOME", "/root"), ("LC_ALL", "C"), ("LC_TIME", "C")]);
    let argv = words.iter().map(OsString::from);
    match cli(parse(argv, &environment)).unwrap().command {
        Command::SharedContainer(ContainerCommand::Create(args)) => {
            args.request(&environment).unwrap()
        }
        other => panic!("{other:?}"),
    }
}

/// What a command line asks for beside the defaults, as JSON.
fn check(line: &str, expected: &Expect) {
    let words: Vec<&str> =
        std::iter::once("dhow create").flat_map(|l| l.split(' ')).chain(line.split(' ')).collect();
    let request = request(&words);
    let plain = CreateRequest {
        create_command: request.create_command.clone(),
        ..CreateRequest::new(request.source.clone())
    };
    let (asked, plain) =
        (serde_json::to_value(&request).unwrap(), serde_json::to_value(&plain).unwrap());
    expected.assert_eq(&format!("{:#}\n", difference(&asked, &plain).unwrap_or_default()));
}

/// The parts of `a` that are not in `b`.
fn difference(a: &serde_json::Value, b: &serde_json::Value) -> Option<serde_json::Value> {
    match (a.as_object(), b.as_object()) {
        _ if a == b => None,
        (Some(a), Some(b)) => {
            let differ = a.iter().filter_map(|(key, value)| {
                let other = b.get(key).unwrap_or(&serde_json::Value::Null);
                Some((key.clone(), difference(value, other)?))
            });
            Some(serde_json::Value::Object(differ.collect()))
        }
        _ => Some(a.clone()),
    }
}

#[test]
fn the_grammar_is_consistent() {
    command().debug_assert();
}

#[test]
fn every_command_has_examples() {
    fn without(command: &clap::Command, path: &str, found: &mut Vec<String>) {
        for sub in command.get_subcommands().filter(|sub| !sub.is_hide_set()) {
            let path = format!("{path} {}", sub.get_name());
            if sub.has_subcommands() {
                without(sub, &path, found);
            } else if sub.get_about().is_none() || sub.get_after_help().is_none() {
                found.push(path);
            }
        }
    }
    let mut found = Vec::new();
    without(&command(), "dhow", &mut found);
    found.retain(|path| !path.ends_with(" exists"));
    assert_eq!(found, [""; 0]);
}

#[test]
fn podmans_everyday_lines_are_understood() {
    check(
        "IMAGE",
        &expect![[r#"
        null
    "#]],
    );
    check(
        "-it --rm --name web IMAGE sh -c x --rm",
        &expect![[r#"
        {
          "auto_remove": true,
          "command": [
            "sh",
            "-c",
            "x",
            "--rm"
          ],
          "name": "web",
          "process": {
            "stdin_open": true,
            "terminal": true
          }
        }
    "#]],
    );
    check(
        "-e A=1 -e HOME -e LC_* -e NOWHERE --unsetenv B -w /w -u 1:2 --group-add a,b --entrypoint x IMAGE",
        &expect![[r#"
        {
          "process": {
            "entrypoint": [
              "x"
            ],
            "env": [
              {
                "name": "A",
                "value": "1"
              },
              {
                "name": "HOME",
                "value": "/root"
              },
              {
                "name": "LC_ALL",
                "value": "C"
              },
              {
                "name": "LC_TIME",
                "value": "C"
              }
            ],
            "groups": [
              "a",
              "b"
            ],
            "unset_env": [
              "B"
            ],
            "user": "1:2",
            "workdir": "/w"
          }
        }
    "#]],
    );
    check(
        "-v /a:/b:ro,z -v data:/d --mount type=bind,src=/s,dst=/t --tmpfs /run:size=1m --read-only IMAGE",
        &expect![[r#"
        {
          "mounts": [
            {
              "destination": "/b",
              "options": {
                "chown": false,
                "copy": null,
                "dev": null,
                "exec": null,
                "overlay": false,
                "propagation": null,
                "read_only": true,
                "recursive": null,
                "relabel": "shared",
                "suid": null,
                "upper_dir": null,
                "work_dir": null
              },
              "source": "/a",
              "type": "bind"
            },
            {
              "destination": "/d",
              "options": {
                "chown": false,
                "copy": null,
                "dev": null,
                "exec": null,
                "overlay": false,
                "propagation": null,
                "read_only": null,
                "recursive": null,
                "relabel": null,
                "suid": null,
                "upper_dir": null,
                "work_dir": null
              },
              "source": {
                "named": "data"
              },
              "type": "volume"
            },
            {
              "destination": "/t",
              "options": {
                "chown": false,
                "copy": null,
                "dev": null,
                "exec": null,
                "overlay": false,
                "propagation": null,
                "read_only": null,
                "recursive": null,
                "relabel": null,
                "suid": null,
                "upper_dir": null,
                "work_dir": null
              },
              "source": "/s",
              "type": "bind"
            },
            {
              "destination": "/run",
              "options": {
                "common": {
                  "chown": false,
                  "copy": null,
                  "dev": null,
                  "exec": null,
                  "overlay": false,
                  "propagation": null,
                  "read_only": null,
                  "recursive": null,
                  "relabel": null,
                  "suid": null,
                  "upper_dir": null,
                  "work_dir": null
                },
                "gid": null,
                "inodes": null,
                "mode": null,
                "size": {
                  "bytes": 1048576
                },
                "uid": null
              },
              "type": "tmpfs"
            }
          ],
          "security": {
            "read_only": true
          }
        }
    "#]],
    );
    check(
        "-m 1g --memory-swap -1 --cpus 1.5 --pids-limit -1 --ulimit nofile=1:2,core=-1 --oom-score-adj -500 IMAGE",
        &expect![[r#"
        {
          "process": {
            "oom_score_adj": -500
          },
          "resources": {
            "cpus": 1500000,
            "memory": 1073741824,
            "memory_swap": "unlimited",
            "pids_limit": -1,
            "ulimits": [
              "nofile=1:2",
              "core=-1:-1"
            ]
          }
        }
    "#]],
    );
    check(
        "--cap-drop all --cap-add NET_ADMIN,sys_time --security-opt seccomp=unconfined --security-opt label=disable IMAGE",
        &expect![[r#"
        {
          "security": {
            "cap_add": [
              "CAP_NET_ADMIN",
              "CAP_SYS_TIME"
            ],
            "cap_drop": [
              "ALL"
            ],
            "labels": [
              "disable"
            ],
            "seccomp": "unconfined"
          }
        }
    "#]],
    );
    check(
        "--network none --pid container:x --ipc host -h box --add-host a:1.2.3.4 --dns 1.1.1.1 --sysctl net.a=1 IMAGE",
        &expect![[r#"
        {
          "hosts": {
            "add_hosts": [
              {
                "address": "1.2.3.4",
                "names": [
                  "a"
                ]
              }
            ],
            "dns_servers": [
              "1.1.1.1"
            ]
          },
          "namespaces": {
            "ipc": "host",
            "network": "none",
            "pid": {
              "container": "x"
            }
          },
          "process": {
            "hostname": "box"
          },
          "resources": {
            "sysctls": [
              {
                "name": "net.a",
                "value": "1"
              }
            ]
          }
        }
    "#]],
    );
    check(
        "--restart on-failure:3 --stop-signal HUP --stop-timeout -1 --timeout 0 --log-driver json-file --log-opt max-size=1m IMAGE",
        &expect![[r#"
        {
          "lifetime": {
            "restart": "on-failure:3",
            "stop_signal": "SIGHUP",
            "stop_timeout": "forever"
          },
          "logging": {
            "driver": "json-file",
            "max_size": 1048576
          }
        }
    "#]],
    );
    check(
        "--rootfs /:O true",
        &expect![[r#"
        {
          "command": [
            "true"
          ]
        }
    "#]],
    );
}

#[test]
fn switches_take_values_and_the_last_counts() {
    assert!(!request(&["dhow", "create", "--rm", "--rm=false", "IMAGE"]).auto_remove);
    assert!(request(&["dhow", "create", "--rm=true", "IMAGE"]).auto_remove);
    assert_eq!(
        request(&["dhow", "create", "--name", "a", "--name=b", "IMAGE"]).name.as_deref(),
        Some("b")
    );
    assert_eq!(
        request(&["dhow", "create", "--read-only", "--read-only-tmpfs=false", "I"])
            .security
            .read_only_tmpfs,
        Some(false)
    );
    assert_eq!(
        request(&["dhow", "create", "--entrypoint", "[\"a\",\"b\"]", "I"])
            .process
            .entrypoint
            .unwrap()
            .len(),
        2
    );
    assert_eq!(
        request(&["dhow", "create", "--entrypoint", "", "I"]).process.entrypoint,
        Some(vec![])
    );
    let rootfs = request(&["dhow", "create", "--rootfs", "/:O"]).source;
    assert!(matches!(rootfs, Source::Rootfs(rootfs) if rootfs.overlay));
    assert_eq!(request(&["dhow", "create", "I", "-x", "--", "-y"]).command, ["-x", "--", "-y"]);
}

#[test]
fn errors_name_the_flag_the_value_and_what_would_be_right() {
    for (line, expected) in [
        (
            "dhow run -v /a:b IMAGE",
            expect!["--volume /a:b: the path in the container must be absolute"],
        ),
        (
            "dhow run -m 1x IMAGE",
            expect!["--memory 1x: expected a number and a unit of b, k, m, g, t or p, as in 512m"],
        ),
        ("dhow run --userns=keep-id IMAGE", expect!["--userns keep-id: not supported yet"]),
        ("dhow run --systemd=false IMAGE", expect!["--systemd false: not supported yet"]),
        (
            "dhow run --network pasta IMAGE",
            expect![
                "--network pasta: is for containers of other users than root, which are not supported yet"
            ],
        ),
        (
            "dhow run --cap-add NET_ADMIN,what IMAGE",
            expect![
                "--cap-add what: unknown: expected a name of capabilities(7), as in NET_ADMIN, or ALL"
            ],
        ),
        ("dhow run --bogus IMAGE", expect!["unexpected argument '--bogus' found"]),
        ("dhow run", expect!["the following required arguments were not provided:"]),
        (
            "dhow kill -s FOO web",
            expect![
                "--signal FOO: expected a name as in SIGTERM, TERM or RTMIN+3, or a number from 1 to 64"
            ],
        ),
        (
            "dhow stop --time soon web",
            expect!["--time soon: expected whole seconds, or -1 to wait for ever"],
        ),
        (
            "dhow start --filter colour=blue",
            expect![
                "--filter colour=blue: unknown key: expected one of id, name, label, label!, status, exited, ancestor, before, since, until, volume, restart-policy, network"
            ],
        ),
        (
            "dhow wait --condition never web",
            expect!["invalid value 'never' for '--condition <STATE>'"],
        ),
        ("dhow frobnicate", expect!["unrecognized subcommand 'frobnicate'"]),
        (
            "dhow run --cpus 1 --cpu-quota 5 IMAGE",
            expect!["the argument '--cpus <NUMBER>' cannot be used with '--cpu-quota <US>'"],
        ),
        (
            "dhow run --cgroups=split IMAGE",
            expect!["--cgroups split: not supported yet: expected enabled or disabled"],
        ),
        (
            "dhow run --oom-score-adj 2000 IMAGE",
            expect!["--oom-score-adj 2000: 2000 is not in -1000..=1000"],
        ),
    ] {
        expected.assert_eq(&error(line));
    }
}

#[test]
fn global_flags_stand_anywhere_and_the_environment_stands_in() {
    let environment =
        Environment::of(&[("DHOW_ROOT", "/env"), ("DHOW_RUNTIME", "crun"), ("DHOW_LOG_LEVEL", "")]);
    let line = ["dhow", "--runtime", "runc", "rm", "--runroot", "/x", "web"].map(OsString::from);
    let global = cli(parse(line, &environment)).unwrap().global;
    assert_eq!(global.root.as_deref(), Some(std::path::Path::new("/env")));
    assert_eq!(global.runroot.as_deref(), Some(std::path::Path::new("/x")));
    assert_eq!(global.runtime.as_deref(), Some("runc"));
    assert_eq!(global.log_level, None);
}

#[test]
fn groups_hold_the_same_commands() {
    assert!(matches!(
        parsed("dhow container run -d IMAGE").unwrap().command,
        Command::Container { command: ContainerGroup::Shared(ContainerCommand::Run(_)) }
    ));
    assert!(matches!(
        parsed("dhow image load -i x").unwrap().command,
        Command::Image { command: ImageGroup::Shared(ImageCommand::Load(_)) }
    ));
}
