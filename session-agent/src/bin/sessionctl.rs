//! `sessionctl`: Freezeframe in the terminal.

use std::process::ExitCode;

fn main() -> ExitCode {
    session_agent::cli::main()
}
