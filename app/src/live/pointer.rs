//! What pointer and wheel did, as RFB says it.

use freezeframe_rfb::ClientMessage;

/// Pixels of a touchpad's motion that count as one step of a wheel.
pub(crate) const PIXELS_PER_STEP: f64 = 20.0;
/// More steps than this at once are a stray number, not a finger.
const MAX_STEPS: f64 = 20.0;

/// The pointer as the session knows it.
#[derive(Debug, Default)]
pub(crate) struct Pointer {
    place: (u16, u16),
    buttons: u8,
    /// Parts of a step that touchpads report, until they make a whole one: right and down.
    rest: (f64, f64),
}

impl Pointer {
    /// It moved.
    pub(crate) fn motion(&mut self, place: (u16, u16)) -> Option<ClientMessage> {
        if self.place == place {
            return None;
        }
        self.place = place;
        Some(self.message(self.buttons))
    }

    /// A button went down or up, by GDK's number.
    pub(crate) fn button(&mut self, number: u32, down: bool) -> Option<ClientMessage> {
        // 4 to 7 are the wheel's, which comes as scrolling; of the side buttons RFB has room for "back" only.
        let bit = match number {
            1..=3 | 8 => 1 << (number - 1),
            _ => return None,
        };
        self.buttons = if down { self.buttons | bit } else { self.buttons & !bit };
        Some(self.message(self.buttons))
    }

    /// The wheel turned by steps, or parts of one: right and down are positive.
    pub(crate) fn scroll(&mut self, dx: f64, dy: f64) -> Vec<ClientMessage> {
        let mut messages = Vec::new();
        let (x, y) = (steps(&mut self.rest.0, dx), steps(&mut self.rest.1, dy));
        for (count, forth, back) in [(y, 1 << 4, 1 << 3), (x, 1 << 6, 1 << 5)] {
            let bit = if count > 0 { forth } else { back };
            for _ in 0..count.unsigned_abs() {
                messages.extend([self.message(self.buttons | bit), self.message(self.buttons)]);
            }
        }
        messages
    }

    /// All buttons up: the pointer was taken away.
    pub(crate) fn release_all(&mut self) -> Option<ClientMessage> {
        self.rest = (0.0, 0.0);
        (std::mem::take(&mut self.buttons) != 0).then(|| self.message(0))
    }

    fn message(&self, buttons: u8) -> ClientMessage {
        ClientMessage::Pointer { buttons, x: self.place.0, y: self.place.1 }
    }
}

/// Takes the whole steps out of what has gathered.
fn steps(rest: &mut f64, more: f64) -> i32 {
    if !more.is_finite() {
        return 0;
    }
    *rest = (*rest + more).clamp(-MAX_STEPS, MAX_STEPS);
    let whole = rest.trunc();
    *rest -= whole;
    whole as i32
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(x: u16, y: u16, buttons: u8) -> ClientMessage {
        ClientMessage::Pointer { buttons, x, y }
    }

    #[test]
    fn a_drag() {
        let mut pointer = Pointer::default();
        assert_eq!(pointer.motion((5, 6)), Some(at(5, 6, 0)));
        assert_eq!(pointer.motion((5, 6)), None);
        assert_eq!(pointer.button(1, true), Some(at(5, 6, 1)));
        assert_eq!(pointer.motion((7, 8)), Some(at(7, 8, 1)));
        assert_eq!(pointer.button(3, true), Some(at(7, 8, 5)));
        assert_eq!(pointer.button(1, false), Some(at(7, 8, 4)));
        assert_eq!(pointer.release_all(), Some(at(7, 8, 0)));
        assert_eq!(pointer.release_all(), None);
        assert_eq!(pointer.button(9, true), None);
        assert_eq!(pointer.button(8, true), Some(at(7, 8, 128)));
    }

    #[test]
    fn the_wheel() {
        let mut pointer = Pointer::default();
        assert_eq!(pointer.scroll(0.0, 1.0), [at(0, 0, 16), at(0, 0, 0)]);
        assert_eq!(pointer.scroll(0.0, -1.0), [at(0, 0, 8), at(0, 0, 0)]);
        assert_eq!(pointer.scroll(1.0, 0.0), [at(0, 0, 64), at(0, 0, 0)]);
        assert_eq!(pointer.scroll(-2.0, 0.0).len(), 4);
        // A touchpad's small parts gather.
        assert_eq!(pointer.scroll(0.0, 0.4), []);
        assert_eq!(pointer.scroll(0.0, 0.7).len(), 2);
        assert_eq!(pointer.scroll(f64::NAN, 1e9).len(), 40);
    }
}
