//! Speculation that threads have switched off for themselves: kept beside the images, and switched off again at a resume.

use std::collections::HashMap;
use std::io;

use serde::{Deserialize, Serialize};

use super::traced::Traced;
use crate::container::processes::has_ended;
use crate::objects::speculation::{self, Off};

/// `PR_SET_SPECULATION_CTRL` (linux/prctl.h).
const SET: u64 = 53;

/// Of a thread that has switched something off.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Speculation {
    /// The thread, as the session sees it.
    thread: u32,
    off: Vec<Off>,
}

/// Those of these threads, by their ids inside and outside.
///
/// # Errors
/// When one cannot be read.
pub(super) fn all(threads: &[(u32, u32)]) -> io::Result<Vec<Speculation>> {
    let mut all = Vec::new();
    for (inside, outside) in threads {
        match speculation::of(*outside) {
            Ok(off) if off.is_empty() => {}
            Ok(off) => all.push(Speculation { thread: *inside, off }),
            Err(error) if has_ended(&error) => {}
            Err(error) => return Err(error),
        }
    }
    Ok(all)
}

/// Has these threads switch it off again. A machine that does not let them, as one that has it off for everybody, is no reason
/// not to resume: it changes nothing of what they compute.
pub(super) fn put_back(traced: &mut Traced<'_>, threads: &[(u32, u32)], all: &[Speculation]) {
    let found: HashMap<u32, u32> = threads.iter().copied().collect();
    for kept in all {
        let Some(outside) = found.get(&kept.thread) else { continue };
        for Off { kind, how } in &kept.off {
            let given = match traced.call(*outside, libc::SYS_prctl, [SET, *kind, *how, 0, 0], None) {
                Ok(0) => Ok(()),
                Ok(error) => Err(io::Error::from_raw_os_error(i32::try_from(-error).unwrap_or(libc::EINVAL))),
                Err(error) => Err(error),
            };
            if let Err(error) = given {
                tracing::warn!("thread {} speculates again (kind {kind}): {error}", kept.thread);
            }
        }
    }
}
