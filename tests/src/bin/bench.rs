//! Prints how dhow and its monitor do beside podman, conmon and the bare runtime, as ratios.

use std::process::ExitCode;
use std::time::Duration;

use dhow_tests::bench::{self, Times, shim};

#[expect(clippy::print_stderr, reason = "this is a program for a terminal")]
fn main() -> ExitCode {
    let mut words = std::env::args().skip(1).peekable();
    let what = words.next_if(|word| word.parse::<usize>().is_err());
    let rounds = words.next().map(|word| word.parse::<usize>());
    let usage = || {
        eprintln!("bench [ROUNDS]\nbench shim [ROUNDS]");
        ExitCode::FAILURE
    };
    let rounds = match rounds {
        None => None,
        Some(Ok(rounds)) if rounds > 0 => Some(rounds),
        Some(_) => return usage(),
    };
    match what.as_deref() {
        None => whole_run(rounds.unwrap_or(25)),
        Some("shim") => {
            monitor(rounds.unwrap_or(5));
            ExitCode::SUCCESS
        }
        Some(_) => usage(),
    }
}

/// The monitor beside conmon.
#[expect(clippy::print_stdout, reason = "this is a program for a terminal")]
fn monitor(rounds: usize) {
    const IDLE: usize = 50;
    println!("machine: {}", machine());
    let figures = shim::run(IDLE, rounds);
    println!("\n{IDLE} idle monitors, averages; wake-ups of all in {:?}\n", figures.watched);
    println!(
        "{:<28} {:>9} {:>9} {:>9} {:>9} {:>8} {:>8}",
        "KiB", "PSS", "USS", "PSS+USS", "RSS", "threads", "wake-ups"
    );
    for row in &figures.footprints {
        println!(
            "{:<28} {:>9.0} {:>9.0} {:>9.0} {:>9.0} {:>8} {:>8}",
            row.name,
            row.pss,
            row.uss,
            row.pss + row.uss,
            row.rss,
            row.threads,
            row.wakeups
        );
    }
    println!("\n1 GiB of 100-byte lines, medians of {rounds} rounds\n");
    println!("{:<28} {:>9} {:>12}", "", "MiB/s", "CPU s/GiB");
    for row in &figures.throughput {
        println!("{:<28} {:>9.0} {:>12.2}", row.name, middle(&row.rates), middle(&row.cpu));
    }
    println!("\nfrom spawn to the pid on the sync pipe, with a runtime that does nothing\n");
    table(&figures.latency);
}

fn middle(values: &[f64]) -> f64 {
    let mut sorted = values.to_vec();
    sorted.sort_by(f64::total_cmp);
    sorted.get(sorted.len() / 2).copied().unwrap_or_default()
}

#[expect(clippy::print_stdout, clippy::print_stderr, reason = "this is a program for a terminal")]
fn whole_run(rounds: usize) -> ExitCode {
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
