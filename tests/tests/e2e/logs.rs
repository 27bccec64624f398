//! `logs`, and the log drivers.

use dhow_tests::{BASE, TestEnv, requires};

#[test]
fn what_was_said_where() {
    requires!("root", "overlay", "runc");
    let env = TestEnv::with_base();
    env.ok(&format!("run --name c {BASE} sh -c 'echo one; echo two >&2; printf unended'"));
    let output = env.dhow("logs c").run();
    assert_eq!((output.text().as_str(), output.stderr.as_str()), ("one\nunended", "two\n"));
    let stamped = env.dhow("logs -t c").run().text();
    let first = stamped.lines().next().expect("a line");
    assert!(first.ends_with(" one") && first.starts_with("20") && first.contains('T'), "{first}");
    env.ok(&format!("run --name d {BASE} echo other"));
    assert!(env.ok("logs -n c d").lines().any(|line| line.ends_with("other") && line.len() > 5));
}

#[test]
fn tail_since_until() {
    requires!("root", "overlay", "runc");
    let env = TestEnv::with_base();
    env.ok(&format!("run --name c {BASE} sh -c 'seq 1 5; usleep 1200000; seq 6 8'"));
    assert_eq!(env.ok("logs --tail 2 c"), "7\n8");
    assert_eq!(env.ok("logs --tail 0 c"), "");
    assert_eq!(env.ok("logs --tail 100 c").lines().count(), 8);
    assert_eq!(env.ok("logs --tail -1 c").lines().count(), 8);
    let stamps = env.ok("logs -t c");
    let sixth = stamps
        .lines()
        .nth(5)
        .and_then(|line| line.split(' ').next())
        .expect("six lines")
        .to_owned();
    assert_eq!(env.ok(&format!("logs --since {sixth} c")), "6\n7\n8");
    // Lines that were written at once have one time.
    let until = env.ok(&format!("logs --until {sixth} c"));
    assert!(until.starts_with("1\n2\n3\n4\n5\n6"), "{until}");
    assert_eq!(env.ok("logs --since 1h c").lines().count(), 8);
    assert_eq!(env.ok("logs --until 1h c"), "");
    for bad in ["--since nonsense", "--until nonsense", "--tail x"] {
        env.fails(&format!("logs {bad} c"), 125, bad.split(' ').nth(1).expect("two words"));
    }
    env.fails("logs nobody", 125, "nobody");
}

#[test]
fn follow_ends_with_the_container() {
    requires!("root", "overlay", "runc");
    let env = TestEnv::with_base();
    let gate = env.make_dir("gate");
    env.ok(&format!("run -d --name c -v {gate}:/gate {BASE} sh -c 'echo first; while ! test -e /gate/go; do usleep 1000; done; echo last'"));
    let follow = env.dhow("logs -f c").spawn();
    follow.expect("first");
    env.write("gate/go", "");
    assert_eq!(follow.finish().ok(), "first\nlast");
    assert_eq!(env.dhow("logs -f c").ok(), "first\nlast");
}

#[test]
fn long_lines_and_binary_come_back_as_they_were() {
    requires!("root", "overlay", "runc");
    let env = TestEnv::with_base();
    let long = format!("{}\n", "x".repeat(100_000));
    let odd: Vec<u8> = (0..=255u8).chain(*b"\r\n\n\nend\n").collect();
    for driver in ["k8s-file", "json-file"] {
        let text = [long.as_bytes(), if driver == "k8s-file" { &odd } else { b"" }].concat();
        env.dhow(&format!("run -i --name c --log-driver {driver} {BASE} cat")).stdin(&text).ok();
        assert!(env.dhow("logs c").run().stdout == text, "{driver}");
        env.ok("rm c");
    }
}

#[test]
fn drivers() {
    requires!("root", "overlay", "runc");
    let env = TestEnv::with_base();
    env.ok(&format!("run --name none --log-driver none {BASE} echo x"));
    env.fails("logs none", 125, "none");
    let path = env.file("own.log");
    env.ok(&format!("run --name own --log-opt path={path} {BASE} echo x"));
    let line = std::fs::read_to_string(&path).expect("the log is where it was asked for");
    assert!(line.ends_with(" stdout F x\n"), "{line}");
    env.ok(&format!(
        "run --name json --log-driver json-file --log-opt path={path}.json {BASE} echo x"
    ));
    let line =
        std::fs::read_to_string(format!("{path}.json")).expect("the log is where it was asked for");
    let json: serde_json::Value =
        serde_json::from_str(line.trim()).unwrap_or_else(|error| panic!("{line}: {error}"));
    assert_eq!((json["log"].as_str(), json["stream"].as_str()), (Some("x\n"), Some("stdout")));
    assert_eq!(env.ok("logs json"), "x");
    let output = env.dhow(&format!("run --rm --log-driver passthrough {BASE} probe both")).run();
    assert_eq!((output.text().as_str(), output.stderr.as_str()), ("to stdout", "to stderr\n"));
    env.fails(&format!("run --rm --log-driver nonsense {BASE} true"), 125, "nonsense");
    env.fails(&format!("run --rm --log-opt nonsense=1 {BASE} true"), 125, "nonsense");
    env.ok("rm -a");
    env.assert_no_containers();
}

#[test]
fn a_limit_loses_the_oldest_not_the_newest() {
    requires!("root", "overlay", "runc");
    let env = TestEnv::with_base();
    env.ok(&format!("run --name c --log-opt max-size=100k {BASE} probe spew 1000000"));
    let log = env.ok("logs c");
    assert!(
        log.ends_with(&format!("{:063}", 1_000_000 / 64 - 1)),
        "the last line is there: {:?}",
        log.lines().last()
    );
    let size: u64 = std::fs::read_dir(env.root("containers").join(env.id("c")))
        .expect("it is there")
        .flatten()
        .map(|entry| {
            if entry.file_name().to_string_lossy().contains("log") {
                entry.metadata().map_or(0, |meta| meta.len())
            } else {
                0
            }
        })
        .sum();
    assert!(size < 400_000, "the limit is kept: {size}");
}
