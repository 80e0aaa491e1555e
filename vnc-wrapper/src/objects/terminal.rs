//! Terminals (termios(3)): lines that were typed are taken before CRIU looks and typed again (`engine/terminals.rs`).

use std::io;
use std::os::unix::fs::MetadataExt;

use super::descriptor::Descriptor;
use super::{CLOSE, Session, Trouble, WAIT};
use crate::kernel::terminal::{self, Terminal};

/// Finished lines of up to so many bytes can be kept. The kernel holds 4096 (`N_TTY_BUF_SIZE`, drivers/tty/n_tty.c): behind
/// more than this there may be some that wait where nobody can look.
const MOST_TYPED: u64 = 3072;

/// What would be lost of one.
pub(super) fn look(descriptor: &Descriptor<'_>, session: &Session<'_>) -> io::Result<Vec<Trouble>> {
    let is_one = descriptor.link.starts_with("/dev")
        && descriptor.metadata().is_some_and(|m| terminal::MAJORS.contains(&rustix::fs::major(m.rdev())));
    if !is_one || !session.is_new(descriptor) {
        return Ok(Vec::new());
    }
    let Some(copy) = descriptor.copy().and_then(|copy| copy.try_clone().ok()) else { return Ok(Vec::new()) };
    let terminal = Terminal::of(copy);
    // One that was hung up has nothing any more.
    if !terminal.is_canonical().unwrap_or(false) {
        return Ok(Vec::new());
    }
    if !session.can_type() {
        return Ok(vec![unkept()]);
    }
    let many = terminal.unread().is_ok_and(|bytes| bytes > MOST_TYPED);
    let object = "it has not yet read the many lines that were typed into its terminal";
    Ok(many.then(|| Trouble::passing(object, WAIT)).into_iter().collect())
}

/// For a terminal in canonical mode where the kernel does not let us type.
fn unkept() -> Trouble {
    Trouble::blocking("it has a terminal whose unread lines the kernel does not let us keep (TIOCSTI)", CLOSE)
}
