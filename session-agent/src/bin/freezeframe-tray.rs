//! `freezeframe-tray`: Freezeframe beside the clock.

use std::process::ExitCode;

fn main() -> ExitCode {
    session_agent::tray::main()
}
