//! The command line against conmon's.

use dhow_shim::args::{Exec, ExitCommand, LogLimits as GivenLimits, MonitorArgs};

use super::*;

const LEAST: &[&str] = &["-c", "id", "-u", "id", "-r", "/bin/sh", "-l", "none"];

fn parsed(more: &[&str]) -> Result<Options, String> {
    match parse(LEAST.iter().chain(more).map(OsString::from)) {
        Ok(Request::Monitor(options)) => Ok(*options),
        Ok(Request::Print(text)) => Err(text),
        Err(refused) => Err(refused.to_string()),
    }
}

fn refused(more: &[&str]) -> String {
    parsed(more).unwrap_err()
}

#[test]
fn glibs_grammar() {
    let options = parsed(&[
        "--api-version",
        "1",
        "--exit-command",
        "/bin/true",
        "--exit-command-arg",
        "--root",
        "--exit-command-arg",
        "",
        "--exit-command-arg=--x",
        "--terminal=1",
        "stray",
        "--timeout=0x10",
        "--exit-dir",
        "a",
        "--exit-dir",
        "b",
    ]);
    let options = options.unwrap();
    assert_eq!(options.exit.command.unwrap(), ["/bin/true", "--root", "", "--x"]);
    assert!(options.stdio.terminal);
    assert_eq!(options.timeout, Some(Duration::from_secs(16)));
    assert_eq!(options.exit.exit_dir.unwrap(), Path::new("b"));
    assert_eq!(options.keys, (Some(Key::Data), None));
}

#[test]
fn conmons_error_texts() {
    assert_eq!(refused(&["--foo"]), "option parsing failed: Unknown option --foo");
    assert_eq!(refused(&["--exit-dir"]), "option parsing failed: Missing argument for --exit-dir");
    assert_eq!(
        refused(&["--timeout", "abc"]),
        "option parsing failed: Cannot parse integer value “abc” for --timeout"
    );
    assert_eq!(
        refused(&["--log-max-files", "2147483648"]),
        "option parsing failed: Integer value “2147483648” for --log-max-files out of range"
    );
    assert_eq!(refused(&["--log-max-files", "-1"]), "log-max-files must be non-negative");
    assert_eq!(
        refused(&["--log-rotate", "--log-max-files", "0"]),
        "log-max-files must be at least 1 when log-rotate is enabled"
    );
    assert_eq!(refused(&["--log-level", "loud"]), "No such log level loud");
    assert_eq!(refused(&["--exec-attach"]), "Attach can only be specified with exec");
    assert_eq!(
        refused(&["-e", "--exec-attach"]),
        "Attach can only be specified for a non-legacy exec session"
    );
    assert_eq!(refused(&["-e"]), "Exec process spec path not provided. Use --exec-process-spec");
    assert_eq!(
        refused(&["-r", "/nonexistent"]),
        "Runtime path /nonexistent is not valid: No such file or directory"
    );
    assert_eq!(
        refused(&["-e", "--restore", "x"]),
        "Cannot use 'exec' and 'restore' at the same time"
    );
    assert_eq!(
        refused(&["--exit-delay=-1"]),
        "Delay before invoking exit command must be greater than or equal to 0"
    );
    let bare = |argv: &[&str]| parse(argv.iter().map(OsString::from)).unwrap_err().to_string();
    assert_eq!(bare(&[]), "Container ID not provided. Use --cid");
    assert_eq!(bare(&["-c", "x"]), "Container UUID not provided. Use --cuuid");
    assert_eq!(bare(&["-c", "x", "-u", "x"]), "Runtime path not provided. Use --runtime");
    assert_eq!(
        bare(&["-c", "x", "-u", "x", "-r", "/bin/sh"]),
        "Log driver not provided. Use --log-path"
    );
}

#[test]
fn glibs_corners() {
    let failed = |argv: &[&str]| {
        let text = refused(argv);
        text.strip_prefix("option parsing failed: ").unwrap_or_else(|| panic!("{text}")).to_owned()
    };
    // Put together, the value is the next word; nothing is abbreviated.
    assert_eq!(failed(&["-cABC"]), "Missing argument for -c");
    assert_eq!(failed(&["--ci", "x"]), "Unknown option --ci");
    assert_eq!(failed(&["--ci=x"]), "Unknown option --ci=x");
    assert_eq!(failed(&["-tZ"]), "Unknown option -tZ");
    assert_eq!(failed(&["-t=1"]), "Unknown option -t=1");
    assert_eq!(failed(&["-T", "abc"]), "Cannot parse integer value “abc” for -T");
    assert_eq!(failed(&["--timeout", ""]), "Cannot parse integer value “” for --timeout");
    assert_eq!(failed(&["--timeout", "5 "]), "Cannot parse integer value “5 ” for --timeout");
    assert_eq!(failed(&["--timeout", "0x"]), "Cannot parse integer value “0x” for --timeout");
    assert_eq!(
        failed(&["--log-size-max", "9223372036854775808"]),
        "Integer value “9223372036854775808” for --log-size-max out of range"
    );
    let options = parsed(&["-ti", "-T", " 010", "--", "--foo", "-Z"]).unwrap();
    assert!(options.stdio.terminal && options.stdio.stdin);
    assert_eq!(options.timeout, Some(Duration::from_secs(8)));
    assert_eq!(parsed(&["--timeout", "-5"]).unwrap().timeout, None);
    assert!(parsed(&["-tc", "other"]).unwrap().container == "other");
    assert_eq!(parsed(&["--restore-arg", "-x"]).unwrap().runtime.options, ["-x"]);
}

#[test]
fn what_is_not_supported_is_refused_by_name() {
    for name in ["--seccomp-notify-socket", "--seccomp-notify-plugins"] {
        let text = refused(&[name, "x"]);
        assert!(text.starts_with(&format!("{name} is not supported: ")), "{text}");
    }
}

#[test]
fn the_journal_wants_an_id_that_can_be_shortened_and_labels_with_names() {
    const LONG: &[&str] = &["-c", "0123456789abc", "-l", "journald"];
    let with = |more: &[&str]| parsed(&[LONG, more].concat());
    assert_eq!(refused(&["-l", "journald:"]), "Container ID must be longer than 12 characters");
    let journal = with(&["--log-label", "A=1", "--log-tag", "t", "-n", "box", "-l", "k8s-file:/x"])
        .unwrap()
        .log
        .journal
        .unwrap();
    assert_eq!((journal.tag.unwrap(), journal.name.unwrap()), ("t".into(), "box".into()));
    assert_eq!(journal.labels, ["A=1"]);
    assert!(journal.marks_partial);
    for label in ["A", "A=1=2", "a=1", "=1", "A-B=1"] {
        let text = with(&["--log-label", label]).unwrap_err();
        assert!(text.starts_with("Container label") && text.contains(label), "{text}");
    }
    for option in ["--log-tag", "--log-label"] {
        assert_eq!(
            refused(&["-l", "/x", option, "A=1"]),
            format!("k8s-file doesn't support {option}")
        );
        parsed(&[option, "A=1"]).unwrap();
    }
}

#[test]
fn log_targets() {
    let check = |text: &str, expected: Result<LogTarget, &str>| {
        assert_eq!(
            log_target(OsStr::new(text)),
            expected.map_err(|e| Refused(e.to_owned())),
            "{text}"
        );
    };
    check("k8s-file:/a:b", Ok(LogTarget::K8sFile("/a:b".into())));
    check(":/a", Ok(LogTarget::K8sFile("/a".into())));
    check("/a:b", Ok(LogTarget::K8sFile("/a:b".into())));
    check("/a", Ok(LogTarget::K8sFile("/a".into())));
    check(":journald", Ok(LogTarget::K8sFile("journald".into())));
    check("json-file:/a", Ok(LogTarget::JsonFile("/a".into())));
    check("off:", Ok(LogTarget::None));
    check("journald:x", Ok(LogTarget::Journald));
    check("passthrough", Ok(LogTarget::Passthrough));
    check("", Err("log-path must not be empty"));
    check(":", Err("log-path must not be empty"));
    check("k8s-file:", Err("k8s-file requires a filename"));
    check("syslog:x", Err("No such log driver syslog"));
}

#[test]
fn help_and_version_are_what_engines_look_for() {
    let printed = |argument: &str| match parse(std::iter::once(argument.into())) {
        Ok(Request::Print(text)) => text,
        other => panic!("{other:?}"),
    };
    assert!(printed("--version").starts_with("conmon version 2."));
    for argument in ["--help", "-h", "-?"] {
        assert!(
            printed(argument).contains("--exec")
                && printed(argument).contains("journald")
                && printed(argument).contains("--log-global-size-max")
        );
        assert!(printed(argument).lines().all(|line| line.chars().count() <= 100));
    }
    let page = printed("--manual");
    assert!(page.starts_with(".TH dhow-shim 1 "));
    for row in table::rows() {
        assert!(page.contains(&format!("\\-\\-{}", row.name.replace('-', "\\-"))), "{}", row.name);
    }
}

#[test]
fn what_the_library_builds_is_what_is_understood() {
    let mut args = MonitorArgs::new("id", "/bin/sh", "/bundle");
    args.run_dir = Some("/run/x".into());
    args.runtime_args = vec!["--log".into(), "-".into()];
    args.runtime_options = vec!["--preserve-fds=2".into()];
    args.logs = vec![LogTarget::K8sFile("/l:og".into()), LogTarget::JsonFile("/j".into())];
    args.log_limits =
        GivenLimits { max_size: Some(7), max_total: Some(9), rotate: true, max_files: Some(3) };
    args.exit_command = Some(ExitCommand {
        argv: vec!["/x".into(), "-y".into()],
        delay: Some(2),
        lock: Some("/l".into()),
    });
    args.exec = Some(Exec { process_spec: "/spec".into(), attach: true });
    args.timeout = Some(5);
    args.stdin = true;
    args.sync_log = false;
    let Ok(Request::Monitor(options)) = parse(args.to_argv().into_iter()) else {
        panic!("refused")
    };
    assert_eq!(options.runtime.args, ["--log", "-"]);
    assert_eq!(options.runtime.options, ["--preserve-fds=2"]);
    assert_eq!(options.run_dir.as_deref(), Some(Path::new("/run/x")));
    assert!(options.records && options.stdio.stdin && !options.log.sync && options.link.is_none());
    assert_eq!(options.log.limits.rotate, Some(3));
    assert_eq!((options.log.limits.max_size, options.log.limits.max_total), (Some(7), Some(9)));
    assert_eq!(options.log.k8s_file.as_deref(), Some(Path::new("/l:og")));
    assert_eq!(options.exit.command.unwrap(), ["/x", "-y"]);
    assert_eq!(options.exit.delay, Duration::from_secs(2));
    assert!(matches!(options.mode, Mode::Exec { attach: true, .. }));
    assert_eq!(options.keys, (Some(Key::Data), Some(Key::Data)));
}
