//! `sessionctl`: the terminal's face. A plain D-Bus client without state of its own.
//!
//! Results go to standard output (with `--json` one document, errors included); progress and messages go to standard
//! error. Exit codes: 0 done, 1 failed, 2 usage, 3 not found, 4 refused by pre-flight, 5 agent unreachable.

pub mod args;
mod file;
mod job;
mod output;
mod reach;
pub mod variables;
mod verbs;

use std::process::ExitCode;

use clap::Parser;
use freezeframe_api::{Error, ErrorKind, Result};

use args::Cli;
use output::Output;

/// The whole program.
pub fn main() -> ExitCode {
    let cli = match Cli::try_parse() {
        Ok(cli) => cli,
        Err(error) => return usage(&error),
    };
    variables::hide_own_values();
    let output = Output { json: cli.json };
    match run(cli, output) {
        Ok(code) => code,
        Err(error) => {
            output.error(&error);
            ExitCode::from(exit_code(error.kind))
        }
    }
}

fn run(cli: Cli, output: Output) -> Result<ExitCode> {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
    let runtime = runtime.map_err(|e| Error::new(ErrorKind::Failed, format!("cannot start: {e}")))?;
    runtime.block_on(verbs::run(cli.verb, output))
}

/// The exit code of an error, as scripts rely on it.
fn exit_code(kind: ErrorKind) -> u8 {
    match kind {
        ErrorKind::InvalidArgument => 2,
        ErrorKind::NotFound => 3,
        ErrorKind::Refused => 4,
        ErrorKind::Unreachable => 5,
        ErrorKind::Exists
        | ErrorKind::NeedsRoot
        | ErrorKind::MachineLacks
        | ErrorKind::Busy
        | ErrorKind::Cancelled
        | ErrorKind::Damaged
        | ErrorKind::NoSpace
        | ErrorKind::Interrupted
        | ErrorKind::Failed
        | ErrorKind::Untrusted
        | ErrorKind::NotAvailable => 1,
    }
}

fn usage(error: &clap::Error) -> ExitCode {
    let json = std::env::args_os().skip(1).take_while(|a| a != "--").any(|a| a == "--json");
    if json && error.use_stderr() {
        let text = error.render().to_string();
        let first = text.lines().next().unwrap_or_default().trim_start_matches("error: ");
        let error = Error::new(ErrorKind::InvalidArgument, first).hint("`sessionctl help` shows all verbs.");
        Output { json }.error(&error);
        return ExitCode::from(2);
    }
    // Nobody is left to tell when this cannot be written.
    let _ = error.print();
    ExitCode::from(if error.use_stderr() { 2 } else { 0 })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn exit_codes_are_those_of_the_contract() {
        assert_eq!(exit_code(ErrorKind::NotFound), 3);
        assert_eq!(exit_code(ErrorKind::Refused), 4);
        assert_eq!(exit_code(ErrorKind::Unreachable), 5);
        assert_eq!(exit_code(ErrorKind::NeedsRoot), 1);
        assert_eq!(exit_code(ErrorKind::NotAvailable), 1);
    }
}
