//! The execution domains of threads (personality(2)), which CRIU does not save.

use std::io;

use serde::{Deserialize, Serialize};

use super::traced::Traced;
use crate::container::processes::has_ended;
use crate::objects::personality::of as personality;

/// Of a thread that has another one than the usual, 0.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Domain {
    /// The thread, as the session sees it.
    thread: u32,
    personality: u32,
}

/// Those of these threads, by their ids inside and outside.
///
/// # Errors
/// When one cannot be read.
pub(super) fn all(threads: &[(u32, u32)]) -> io::Result<Vec<Domain>> {
    let mut all = Vec::new();
    for (inside, outside) in threads {
        match personality(*outside) {
            Ok(0) => {}
            Ok(personality) => all.push(Domain { thread: *inside, personality }),
            Err(error) if has_ended(&error) => {}
            Err(error) => return Err(error),
        }
    }
    Ok(all)
}

/// Gives these threads theirs.
///
/// # Errors
/// When one cannot be given.
pub(super) fn put_back(traced: &mut Traced<'_>, threads: &[(u32, u32)], all: &[Domain]) -> io::Result<()> {
    for (outside, wanted) in others(threads, all)? {
        let given = traced.call(outside, libc::SYS_personality, [wanted.into(), 0, 0, 0, 0], None);
        if given.is_err() || personality(outside)? != wanted {
            return Err(not_given(wanted, given.err()));
        }
    }
    Ok(())
}

/// Whether all of these threads have theirs already.
///
/// # Errors
/// When one has not.
pub(super) fn check(threads: &[(u32, u32)], all: &[Domain]) -> io::Result<()> {
    others(threads, all)?.first().map_or(Ok(()), |(_, wanted)| Err(not_given(*wanted, None)))
}

fn not_given(wanted: u32, why: Option<io::Error>) -> io::Error {
    let why = why.map_or_else(|| "the engine's plugin could not be used".into(), |error| error.to_string());
    io::Error::other(format!("the execution domain {wanted:#x} of a program (personality) cannot be given back: {why}"))
}

/// The threads, by their ids outside, that have another one than they should.
fn others(threads: &[(u32, u32)], all: &[Domain]) -> io::Result<Vec<(u32, u32)>> {
    let mut others = Vec::new();
    for (inside, outside) in threads {
        let wanted = all.iter().find(|domain| domain.thread == *inside).map_or(0, |domain| domain.personality);
        match personality(*outside) {
            Ok(now) if now != wanted => others.push((*outside, wanted)),
            Err(error) if !has_ended(&error) => return Err(error),
            _ => {}
        }
    }
    Ok(others)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_not_named_is_usual() {
        let own = (1, std::process::id());
        let now = personality(own.1).unwrap();
        let kept = all(&[own]).unwrap();
        assert_eq!(kept.len(), usize::from(now != 0));
        check(&[own], &kept).unwrap();
        let other = [Domain { thread: 1, personality: now ^ 1 }];
        assert_eq!(others(&[own], &other).unwrap(), [(own.1, now ^ 1)]);
        let error = check(&[own], &other).unwrap_err();
        assert!(error.to_string().contains("(personality)"), "{error}");
        // Whoever has ended meanwhile has none.
        assert_eq!(others(&[(1, u32::MAX)], &other).unwrap(), []);
    }
}
