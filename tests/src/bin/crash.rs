//! Tries every crash point of dhow and dhow-shim, prints how many there were, and fails if one is not survived.

use std::process::ExitCode;

use dhow_tests::crash::{self, SCENARIOS, Scenario, Victim};

const HELP: &str = "\
crash [--bounded] [--jobs N] [--shim | --dhow] [SCENARIO…]
  --bounded    a few points of each kind, for CI
scenarios: create init start run-d stop rm rm-f run-rm commit load";

/// With `--bounded`, the points of one command and kind that are tried.
const FEW: usize = 12;

#[expect(clippy::print_stdout, clippy::print_stderr, reason = "this is a program for a terminal")]
fn main() -> ExitCode {
    let (mut jobs, mut limit, mut names, mut dhow, mut shim) = (2, None, Vec::new(), true, true);
    let mut args = std::env::args().skip(1);
    while let Some(arg) = args.next() {
        match arg.as_str() {
            "--bounded" => limit = Some(FEW),
            "--jobs" => jobs = args.next().and_then(|text| text.parse().ok()).unwrap_or(2),
            "--shim" => dhow = false,
            "--dhow" => shim = false,
            name if Scenario::find(name).is_some() => names.push(name.to_owned()),
            _ => {
                eprintln!("{HELP}");
                return ExitCode::FAILURE;
            }
        }
    }
    if let Some(missing) = dhow_tests::missing(&["root", "overlay", "runc", "strace"]) {
        eprintln!("crash points need {missing}");
        return if dhow_tests::strict() { ExitCode::FAILURE } else { ExitCode::SUCCESS };
    }
    let chosen = SCENARIOS
        .iter()
        .filter(|scenario| names.is_empty() || names.iter().any(|name| name == scenario.name));
    let pairs: Vec<_> = chosen
        .flat_map(|scenario| {
            let victims = [(Victim::Dhow, dhow), (Victim::Shim, shim && scenario.has_monitor())];
            victims
                .into_iter()
                .filter(|(_, wanted)| *wanted)
                .map(move |(victim, _)| (scenario, victim))
        })
        .collect();
    // A failing point is told in its own line; the harness's panics would be told twice.
    std::panic::set_hook(Box::new(|_| {}));
    let findings = crash::run(&pairs, jobs, limit, &|line| println!("{line}"));
    for failure in &findings.failures {
        println!("\nFAILED {failure}");
    }
    println!("\n{} crash points tried, {} failed", findings.points, findings.failures.len());
    if findings.failures.is_empty() && findings.points > 0 {
        ExitCode::SUCCESS
    } else {
        ExitCode::FAILURE
    }
}
