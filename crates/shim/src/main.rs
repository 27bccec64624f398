//! `dhow-shim`, the monitor of one container or exec session: it holds their stdio, log and exit status.
//!
//! Two processes: the first reads the options, opens the log, waits for the engine's word and forks; the second is the
//! monitor. INVARIANT: one thread, one loop (`monitor`), no globals.

mod monitor;
mod options;
mod say;
mod start;

use std::process::ExitCode;

use options::{Options, Request};

#[expect(clippy::print_stdout, reason = "help and version are what was asked for")]
#[expect(clippy::print_stderr, reason = "the engine reads here why a monitor did not start")]
fn main() -> ExitCode {
    // ORDER: before anything opens a descriptor: which are whose is known by number only now.
    let inherited = match dhow_sys::daemon::InheritedFds::take() {
        Ok(fds) => fds,
        Err(e) => {
            eprintln!("dhow-shim: cannot list the open descriptors: {e}");
            return ExitCode::FAILURE;
        }
    };
    start::set_umask();
    let mut argv = std::env::args_os();
    let name = options::program_name(argv.next());
    let result = match options::parse(argv) {
        Ok(Request::Print(text)) => {
            print!("{text}");
            return ExitCode::SUCCESS;
        }
        Ok(Request::Monitor(options)) => run(*options, inherited),
        Err(refused) => Err(start::Error::Options(refused)),
    };
    match result {
        Ok(code) => code,
        Err(error) => {
            eprintln!("{name}: {}", start::with_causes(&error));
            ExitCode::FAILURE
        }
    }
}

fn run(
    options: Options,
    inherited: dhow_sys::daemon::InheritedFds,
) -> Result<ExitCode, start::Error> {
    match start::detach(options, inherited)? {
        start::Side::Starter => Ok(ExitCode::SUCCESS),
        start::Side::Monitor(setup) => Ok(monitor::run(*setup)),
    }
}
