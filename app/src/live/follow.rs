//! When a desktop is asked to take the window's size.

use std::time::Duration;

/// How long a size has to stand before it counts: while a border is dragged there is another one with every frame.
pub(crate) const PAUSE: Duration = Duration::from_millis(300);

/// Nobody can work with less, and some desktops do not start their panels again.
const SMALLEST: (u16, u16) = (320, 200);
/// What the display takes at most ([`freezeframe_rfb::limits`]).
const LARGEST: u16 = freezeframe_rfb::limits::MAX_SIDE;

/// The sizes that the view came to rest at.
///
/// The first one is the window's own: it was made for the desktop, and looking at a desktop changes nothing. Every
/// later one is the user's.
#[derive(Debug, Default)]
pub(crate) struct Follow {
    rest: Option<(i32, i32)>,
}

impl Follow {
    /// The view came to rest; answers the size to ask for.
    pub(crate) fn settled(&mut self, room: (i32, i32)) -> Option<(u16, u16)> {
        let before = self.rest.replace(room)?;
        if before == room { None } else { size(room) }
    }
}

/// The desktop's size for a view of that size; none for one that is not shown.
pub(crate) fn size((width, height): (i32, i32)) -> Option<(u16, u16)> {
    if width <= 1 || height <= 1 {
        return None;
    }
    let side = |length: i32, least| u16::try_from(length).unwrap_or(LARGEST).clamp(least, LARGEST);
    Some((side(width, SMALLEST.0), side(height, SMALLEST.1)))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_first_size_is_no_wish() {
        let mut follow = Follow::default();
        assert_eq!(follow.settled((1280, 800)), None);
        assert_eq!(follow.settled((1280, 800)), None);
        assert_eq!(follow.settled((1000, 700)), Some((1000, 700)));
        assert_eq!(follow.settled((1000, 700)), None);
    }

    #[test]
    fn sizes_are_bounded() {
        assert_eq!(size((100, 70_000)), Some((320, LARGEST)));
        assert_eq!(size((0, 700)), None);
        assert_eq!(size((-1, -1)), None);
    }
}
