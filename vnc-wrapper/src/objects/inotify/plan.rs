//! Which deeds make a queue's events again, in order. Pure.

use super::Event;

/// `IN_ISDIR`.
const IS_DIRECTORY: u32 = libc::IN_ISDIR;

/// What is done so that one event, or the two of a rename, arise.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Step {
    /// Something is done to an entry of a watched directory.
    Named { wd: i32, deed: Deed, name: Vec<u8>, directory: bool },
    /// Something is done to the watched object itself.
    Own { wd: i32, deed: Deed },
    /// One rename makes both halves.
    Rename { from: (i32, Vec<u8>), to: (i32, Vec<u8>), directory: bool },
    /// One event more than the queue holds.
    Overflow,
}

/// What is done to one thing.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Deed {
    Access,
    Modify,
    Attributes,
    CloseWritten,
    CloseRead,
    Open,
    MoveAway,
    MoveHere,
    Create,
    Delete,
    MoveItself,
}

impl Deed {
    /// The event that it makes.
    pub(crate) fn mask(self) -> u32 {
        match self {
            Self::Access => libc::IN_ACCESS,
            Self::Modify => libc::IN_MODIFY,
            Self::Attributes => libc::IN_ATTRIB,
            Self::CloseWritten => libc::IN_CLOSE_WRITE,
            Self::CloseRead => libc::IN_CLOSE_NOWRITE,
            Self::Open => libc::IN_OPEN,
            Self::MoveAway => libc::IN_MOVED_FROM,
            Self::MoveHere => libc::IN_MOVED_TO,
            Self::Create => libc::IN_CREATE,
            Self::Delete => libc::IN_DELETE,
            Self::MoveItself => libc::IN_MOVE_SELF,
        }
    }

    fn of(mask: u32) -> Option<Self> {
        let all = [
            Self::Access,
            Self::Modify,
            Self::Attributes,
            Self::CloseWritten,
            Self::CloseRead,
            Self::Open,
            Self::MoveAway,
            Self::MoveHere,
            Self::Create,
            Self::Delete,
            Self::MoveItself,
        ];
        all.into_iter().find(|deed| deed.mask() == mask)
    }

    /// Whether it can be done to a watched object itself.
    fn is_own(self) -> bool {
        !matches!(self, Self::MoveAway | Self::MoveHere | Self::Create | Self::Delete)
    }
}

/// The steps that make `events`, of which the queue consists. `pairs` tells whether the program hears of both halves of
/// renames: one may then have been read already, with a cookie that cannot be had again.
///
/// # Errors
/// Why an event cannot be made, for people.
pub(crate) fn steps(events: &[Event], pairs: bool) -> Result<Vec<Step>, String> {
    let mut steps = Vec::with_capacity(events.len());
    let mut rest = events.iter().peekable();
    let mut is_first = true;
    while let Some(event) = rest.next() {
        if (event.wd, event.mask) == (-1, libc::IN_Q_OVERFLOW) {
            steps.push(Step::Overflow);
            // If what follows is half of a rename, the other was lost with the others.
            is_first = false;
            continue;
        }
        let directory = event.mask & IS_DIRECTORY != 0;
        let unmakeable = || format!("one says {} and cannot be made anew", words(event.mask));
        let deed = Deed::of(event.mask & !IS_DIRECTORY).ok_or_else(unmakeable)?;
        let named = |deed| Step::Named { wd: event.wd, deed, name: event.name.clone(), directory };
        let step = if event.name.is_empty() {
            if !deed.is_own() {
                return Err(unmakeable());
            }
            Step::Own { wd: event.wd, deed }
        } else if deed == Deed::MoveItself {
            return Err(unmakeable());
        } else if deed == Deed::MoveAway {
            // Both halves are queued at once, one after the other (`fsnotify_move`).
            let other =
                rest.next_if(|o| o.cookie == event.cookie && o.mask == libc::IN_MOVED_TO | (event.mask & IS_DIRECTORY));
            match other {
                Some(to) => {
                    Step::Rename { from: (event.wd, event.name.clone()), to: (to.wd, to.name.clone()), directory }
                }
                // The other half may be in another directory that nobody watches.
                None => named(deed),
            }
        } else if deed == Deed::MoveHere && is_first && pairs {
            return Err("the first is half of a rename".to_owned());
        } else {
            named(deed)
        };
        steps.push(step);
        is_first = false;
    }
    Ok(steps)
}

/// The name of an event that nothing of ours makes.
fn words(mask: u32) -> String {
    let known = [
        (libc::IN_IGNORED, "that a watch has ended (IN_IGNORED)"),
        (libc::IN_UNMOUNT, "that a file system was unmounted (IN_UNMOUNT)"),
        (libc::IN_DELETE_SELF, "that what is watched was deleted (IN_DELETE_SELF)"),
    ];
    let found = known.iter().find(|(bit, _)| mask & bit != 0);
    found.map_or_else(|| format!("{mask:#x}"), |(_, words)| (*words).to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn event(wd: i32, mask: u32, cookie: u32, name: &str) -> Event {
        Event { wd, mask, cookie, name: name.as_bytes().to_vec() }
    }

    #[test]
    fn halves_of_a_rename_are_made_by_one() {
        let events = [
            event(1, libc::IN_CREATE | IS_DIRECTORY, 0, "d"),
            event(1, libc::IN_MOVED_FROM, 7, "a"),
            event(2, libc::IN_MOVED_TO, 7, "b"),
            event(1, libc::IN_MOVED_FROM, 8, "c"),
            event(1, libc::IN_MODIFY, 0, ""),
        ];
        let expected = [
            Step::Named { wd: 1, deed: Deed::Create, name: b"d".to_vec(), directory: true },
            Step::Rename { from: (1, b"a".to_vec()), to: (2, b"b".to_vec()), directory: false },
            Step::Named { wd: 1, deed: Deed::MoveAway, name: b"c".to_vec(), directory: false },
            Step::Own { wd: 1, deed: Deed::Modify },
        ];
        assert_eq!(steps(&events, true).unwrap(), expected);
    }

    #[test]
    fn a_first_half_may_be_missing_where_nobody_pairs_them_or_it_was_lost() {
        let moved = [event(1, libc::IN_MOVED_TO, 7, "a")];
        let step = Step::Named { wd: 1, deed: Deed::MoveHere, name: b"a".to_vec(), directory: false };
        assert_eq!(steps(&moved, false).unwrap(), std::slice::from_ref(&step));
        assert!(steps(&moved, true).is_err());
        let [moved] = moved;
        assert_eq!(steps(&[event(-1, libc::IN_Q_OVERFLOW, 0, ""), moved], true).unwrap(), [Step::Overflow, step]);
    }

    #[test]
    fn what_cannot_be_made_is_named() {
        let refused = |event| steps(&[event], true).unwrap_err();
        let why = refused(event(1, libc::IN_IGNORED, 0, ""));
        assert!(why.contains("IN_IGNORED"), "{why}");
        refused(event(1, libc::IN_OPEN | libc::IN_ACCESS, 0, "a"));
        refused(event(1, libc::IN_CREATE, 0, ""));
        refused(event(1, libc::IN_MOVE_SELF, 0, "a"));
    }
}
