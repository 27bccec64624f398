//! Prints how long a whole `run` takes beside podman and beside the bare runtime, as ratios.

use std::process::ExitCode;
use std::time::Duration;

use dhow_tests::bench::{self, Times};

#[expect(clippy::print_stdout, clippy::print_stderr, reason = "this is a program for a terminal")]
fn main() -> ExitCode {
    let rounds = match std::env::args().nth(1).map(|text| text.parse::<usize>()) {
        None => 25,
        Some(Ok(rounds)) if rounds > 0 => rounds,
        Some(_) => {
            eprintln!("bench [ROUNDS]");
            return ExitCode::FAILURE;
        }
    };
    if let Some(missing) = dhow_tests::missing(&["root", "overlay", "runc"]) {
        eprintln!("the benchmark needs {missing}");
        return ExitCode::FAILURE;
    }
    println!("machine: {}", machine());
    println!("{rounds} interleaved rounds of `run --rm --network none IMAGE true`, medians\n");
    table(&bench::run(rounds));
    println!();
    let mut rows = bench::among(1, rounds);
    rows.extend(bench::among(200, rounds));
    table(&rows);
    ExitCode::SUCCESS
}

#[expect(clippy::print_stdout, reason = "this is a program for a terminal")]
fn table(rows: &[Times]) {
    let base = rows.first().map(Times::median).unwrap_or_default();
    println!("{:<42} {:>9} {:>9} {:>7}", "", "median", "best", "ratio");
    for row in rows {
        let ratio = row.median().as_secs_f64() / base.as_secs_f64();
        println!(
            "{:<42} {:>9} {:>9} {ratio:>7.2}",
            row.name,
            millis(row.median()),
            millis(row.best())
        );
    }
}

fn millis(time: Duration) -> String {
    format!("{:.1} ms", time.as_secs_f64() * 1000.0)
}

fn machine() -> String {
    let cpus = std::fs::read_to_string("/proc/cpuinfo").unwrap_or_default();
    let model = cpus.lines().find_map(|line| line.strip_prefix("model name")).unwrap_or_default();
    let count = cpus.lines().filter(|line| line.starts_with("processor")).count();
    let kernel = std::fs::read_to_string("/proc/sys/kernel/osrelease").unwrap_or_default();
    format!("{count} × {}, Linux {}", model.trim_start_matches([' ', '\t', ':']), kernel.trim())
}
