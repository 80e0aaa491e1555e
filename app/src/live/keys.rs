//! Which keys the session believes to be held.

use std::collections::BTreeMap;

use freezeframe_rfb::ClientMessage;

/// What stands for "no symbol" in X.
const VOID: u32 = 0x00ff_ffff;

/// The keys that are down, by the keyboard's own number, with the symbol that the session was told.
///
/// By number, because the symbol changes under a held key: Shift down, A down, Shift up, and what goes up is an "a".
#[derive(Debug, Default)]
pub(crate) struct HeldKeys {
    held: BTreeMap<u32, u32>,
}

impl HeldKeys {
    /// A key went down, or repeats. Numbers are the hardware's, symbols X keysyms, which GDK's key values are.
    pub(crate) fn press(&mut self, number: u32, keysym: u32) -> Option<ClientMessage> {
        if keysym == 0 || keysym == VOID {
            return None;
        }
        // A key that repeats under another modifier keeps its first symbol: one press, one release.
        let keysym = *self.held.entry(number).or_insert(keysym);
        Some(ClientMessage::Key { down: true, keysym })
    }

    /// A key went up. Nothing to say when the session never heard of it.
    pub(crate) fn release(&mut self, number: u32) -> Option<ClientMessage> {
        self.held.remove(&number).map(|keysym| ClientMessage::Key { down: false, keysym })
    }

    /// All keys up: the keyboard goes elsewhere, and their releases with it.
    pub(crate) fn release_all(&mut self) -> Vec<ClientMessage> {
        std::mem::take(&mut self.held).into_values().map(|keysym| ClientMessage::Key { down: false, keysym }).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn key(down: bool, keysym: u32) -> Option<ClientMessage> {
        Some(ClientMessage::Key { down, keysym })
    }

    #[test]
    fn what_went_down_goes_up() {
        let mut keys = HeldKeys::default();
        assert_eq!(keys.press(50, 0xffe1), key(true, 0xffe1));
        assert_eq!(keys.press(38, 0x41), key(true, 0x41));
        assert_eq!(keys.release(50), key(false, 0xffe1));
        // GDK calls it "a" by now.
        assert_eq!(keys.press(38, 0x61), key(true, 0x41));
        assert_eq!(keys.release(38), key(false, 0x41));
        assert_eq!(keys.release(38), None);
    }

    #[test]
    fn nothing_stays_held() {
        let mut keys = HeldKeys::default();
        keys.press(50, 0xffe1);
        keys.press(64, 0xffe9);
        assert_eq!(keys.press(9, VOID), None);
        assert_eq!(keys.release_all().len(), 2);
        assert_eq!(keys.release_all(), []);
    }
}
