//! Standard error, for what people read there.

use std::fmt;
use std::io::{self, Write};

/// Writes a line to standard error. What cannot be written (a full disk, a reader that is gone) is dropped: `eprintln!`
/// would panic, after the work is done and before its result is told.
pub fn say(line: fmt::Arguments<'_>) {
    let _ = writeln!(io::stderr().lock(), "{line}");
}
