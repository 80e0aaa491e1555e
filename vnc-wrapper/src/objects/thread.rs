//! What threads have set for themselves and no file of /proc shows.

use std::io;

use super::{CLOSE, Session, Trouble};
use crate::container::processes::Process;
use crate::kernel::thread_settings::{self, Setting};

/// What would be lost of a process; nothing where the kernel does not let us see.
pub(super) fn look(process: &Process, session: &Session<'_>) -> io::Result<Vec<Trouble>> {
    let Some(kernel) = session.kernel().filter(|_| process.state != 'Z') else { return Ok(Vec::new()) };
    let known = thread_settings::of(kernel, process.outside).unwrap_or_default();
    Ok(known.into_iter().map(|setting| Trouble::blocking(object(setting), CLOSE)).collect())
}

fn object(setting: Setting) -> &'static str {
    match setting {
        Setting::Dispatch => {
            "it handles system calls itself (PR_SET_SYSCALL_USER_DISPATCH), which the engine would take from it"
        }
        Setting::NoTimeStamp => "it has its time stamp counter switched off (PR_SET_TSC), which the engine would lose",
        Setting::Landlock => "it has given up rights (Landlock), which the engine would give back to it",
        Setting::Segments => "it has memory segments of its own (modify_ldt), which the engine would lose",
    }
}
