//! The table of `ps` on fixed reports, as podman 4.3.1 lays it out.

use clap::Parser;
use dhow_engine::report::{Namespaces, Time};
use dhow_engine::report::{PortMapping, PsSize};
use expect_test::{Expect, expect};

use super::*;

/// 2026-11-23T18:40:00Z.
const NOW: i64 = 1_795_459_200;

#[derive(Debug, clap::Parser)]
struct CommandLine {
    #[command(flatten)]
    args: Args,
}

fn seconds_ago(seconds: i64) -> Time {
    Time::from_unix_nanos((NOW - seconds) * 1_000_000_000 + 5)
}

fn rows() -> Vec<PsRow> {
    let row = PsRow {
        image: "localhost/busy:1".into(),
        image_id: "0fc222e2ab908dc9".into(),
        ..PsRow::default()
    };
    vec![
        PsRow {
            id: "1f56e9c5bd3ef46bf0a5".into(),
            command: vec!["sleep".into(), "1000".into()],
            created: seconds_ago(200_000),
            started_at: seconds_ago(5),
            names: vec!["web".into()],
            labels: [("a".to_owned(), "b".to_owned())].into(),
            mounts: vec!["/data".into()],
            pid: 9202,
            namespaces: Namespaces { pid: "4026532180".into(), ..Namespaces::default() },
            size: Some(PsSize { rw_size: 12, root_fs_size: 1_982_305 }),
            ports: vec![PortMapping {
                host_port: 8080,
                container_port: 80,
                range: 1,
                protocol: "tcp".into(),
                ..PortMapping::default()
            }],
            state: "running".into(),
            ..row.clone()
        },
        PsRow {
            id: "4756086f8d39026396d5".into(),
            command: vec!["sh".into(), "-c".into(), "echo hi; echo err >&2; exit 3".into()],
            created: seconds_ago(4000),
            exited: true,
            exited_at: seconds_ago(70),
            exit_code: 3,
            names: vec!["done".into()],
            state: "exited".into(),
            ..row.clone()
        },
        PsRow {
            id: "9fa53fae5f428cc347e3".into(),
            created: seconds_ago(0),
            names: vec!["mk".into()],
            state: "created".into(),
            ..row.clone()
        },
        PsRow {
            id: "8766fd6df624d0c2cea1".into(),
            created: seconds_ago(30),
            names: vec!["pz".into()],
            state: "paused".into(),
            ..row
        },
    ]
}

#[expect(clippy::needless_pass_by_value, reason = "what is expected stands in the call")]
fn check(line: &[&str], expected: Expect) {
    let args = CommandLine::parse_from([&["ps"], line].concat()).args;
    let text = Format::parse_option(args.format.as_deref()).and_then(|format| {
        let mut rows = rows();
        sort(&mut rows, args.sort);
        render(&rows, &args, &format, Timestamp::from_second(NOW).unwrap())
    });
    expected.assert_eq(&text.unwrap_or_else(|error| format!("error: {error:#}\n")));
}

#[test]
fn the_table() {
    check(
        &[],
        expect![[r#"
        CONTAINER ID  IMAGE             COMMAND               CREATED                 STATUS                         PORTS                 NAMES
        1f56e9c5bd3e  localhost/busy:1  sleep 1000            2 days ago              Up 5 seconds                   0.0.0.0:8080->80/tcp  web
        4756086f8d39  localhost/busy:1  sh -c echo hi; ec...  About an hour ago       Exited (3) About a minute ago                        done
        8766fd6df624  localhost/busy:1                        30 seconds ago          Paused                                               pz
        9fa53fae5f42  localhost/busy:1                        Less than a second ago  Created                                              mk
    "#]],
    );
    check(
        &["--size", "--noheading", "--sort", "names"],
        expect![[r#"
        4756086f8d39  localhost/busy:1  sh -c echo hi; ec...  About an hour ago       Exited (3) About a minute ago                        done
        9fa53fae5f42  localhost/busy:1                        Less than a second ago  Created                                              mk
        8766fd6df624  localhost/busy:1                        30 seconds ago          Paused                                               pz
        1f56e9c5bd3e  localhost/busy:1  sleep 1000            2 days ago              Up 5 seconds                   0.0.0.0:8080->80/tcp  web         12B (virtual 1.98MB)
    "#]],
    );
    check(
        &["--ns"],
        expect![[r#"
        CONTAINER ID  NAMES       PID         CGROUPNS    IPC         MNT         NET         PIDNS       USERNS      UTS
        1f56e9c5bd3e  web         9202                                                        4026532180
        4756086f8d39  done        0
        8766fd6df624  pz          0
        9fa53fae5f42  mk          0
    "#]],
    );
    check(
        &["-q"],
        expect![[r#"
        1f56e9c5bd3e
        4756086f8d39
        8766fd6df624
        9fa53fae5f42
    "#]],
    );
    check(
        &["--no-trunc", "--sort=id"],
        expect![[r#"
        CONTAINER ID          IMAGE             COMMAND                              CREATED                 STATUS                         PORTS                 NAMES
        1f56e9c5bd3ef46bf0a5  localhost/busy:1  sleep 1000                           2 days ago              Up 5 seconds                   0.0.0.0:8080->80/tcp  web
        4756086f8d39026396d5  localhost/busy:1  sh -c echo hi; echo err >&2; exit 3  About an hour ago       Exited (3) About a minute ago                        done
        8766fd6df624d0c2cea1  localhost/busy:1                                       30 seconds ago          Paused                                               pz
        9fa53fae5f428cc347e3  localhost/busy:1                                       Less than a second ago  Created                                              mk
    "#]],
    );
}

#[test]
fn templates() {
    check(
        &[
            "--format",
            "{{.ID}} {{.Names}} {{.State}} {{.Status}} {{.Label \"a\"}} {{.CreatedAt}} {{.RunningFor}}",
        ],
        expect![[r#"
        1f56e9c5bd3e web running Up 5 seconds b 2026-11-21 11:06:40.000000005 +0000 UTC 2 days ago
        4756086f8d39 done exited Exited (3) About a minute ago  2026-11-23 17:33:20.000000005 +0000 UTC About an hour ago
        8766fd6df624 pz paused Paused  2026-11-23 18:39:30.000000005 +0000 UTC 30 seconds ago
        9fa53fae5f42 mk created Created  2026-11-23 18:40:00.000000005 +0000 UTC Less than a second ago
    "#]],
    );
    check(
        &["--format", "table {{.ID}}\\t{{.Names}}\\t{{.Image}} {{.RunningFor}}"],
        expect![[r#"
        CONTAINER ID  NAMES       IMAGE             CREATED
        1f56e9c5bd3e  web         localhost/busy:1  2 days ago
        4756086f8d39  done        localhost/busy:1  About an hour ago
        8766fd6df624  pz          localhost/busy:1  30 seconds ago
        9fa53fae5f42  mk          localhost/busy:1  Less than a second ago
    "#]],
    );
    check(
        &["--format", "{{.Id}} {{.Size}}|{{join .Mounts \",\"}}|{{.Pid}}|{{.Networks}}"],
        expect![[r#"
        1f56e9c5bd3e 12B (virtual 1.98MB)|/data|9202|
        4756086f8d39 ||0|
        8766fd6df624 ||0|
        9fa53fae5f42 ||0|
    "#]],
    );
    check(
        &["--format", "{{.Health}}"],
        expect![[r#"
        error: the template asks for the field "Health", which does not exist; there are: AutoRemove, CGROUPNS, Command, Created, CreatedAt, CreatedHuman, ExitCode, Exited, ExitedAt, ID, IPC, Image, ImageID, Labels, MNT, Mounts, NET, Names, Networks, PIDNS, Pid, Pod, PodName, Ports, Restarts, RunningFor, Size, StartedAt, State, Status, USERNS, UTS
    "#]],
    );
}

#[test]
fn nothing_to_list_has_a_heading() {
    let args = CommandLine::parse_from(["ps", "--format", "table {{.ID}} {{.Names}}"]).args;
    let format = Format::parse_option(args.format.as_deref()).unwrap();
    assert_eq!(
        render(&[], &args, &format, Timestamp::UNIX_EPOCH).unwrap(),
        "CONTAINER ID  NAMES\n"
    );
    let own = render(&[], &args, &Format::DefaultTable, Timestamp::UNIX_EPOCH).unwrap();
    assert!(own.starts_with("CONTAINER ID  IMAGE"), "{own}");
    assert_eq!(render(&[], &args, &Format::Json, Timestamp::UNIX_EPOCH).unwrap(), "[]\n");
}

#[test]
fn json_is_the_report_with_two_texts() {
    let rows = rows();
    let json = PsJson::new(&rows[0], Timestamp::from_second(NOW).unwrap());
    let json = serde_json::to_value(json).unwrap();
    assert_eq!(json["Id"], "1f56e9c5bd3ef46bf0a5");
    assert_eq!(json["Status"], "Up 5 seconds");
    assert_eq!(json["CreatedAt"], "2 days ago");
    assert_eq!(json["Created"], NOW - 200_000);
}

#[test]
fn flags_that_exclude_each_other() {
    for line in [
        &["-q", "-s"][..],
        &["--ns", "--size"],
        &["-q", "--ns"],
        &["-l", "-n", "2"],
        &["-l", "-w", "1"],
        &["--sort", "nope"],
        &["-f", "nope=1"],
        &["-w", "0"],
    ] {
        let error = CommandLine::try_parse_from([&["ps"], line].concat()).expect_err("an error");
        assert_eq!(error.exit_code(), 2, "{line:?}");
    }
}
