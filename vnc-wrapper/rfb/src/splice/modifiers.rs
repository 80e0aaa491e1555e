//! The modifier keys that a viewer holds down.

use serde::{Deserialize, Serialize};

/// Modifier keys that are down, with the messages that said so. A server lets go of them when its viewer leaves.
#[derive(Debug, Default, Serialize, Deserialize)]
pub(super) struct Modifiers(Vec<(u32, Vec<u8>)>);

impl Modifiers {
    /// More than any keyboard has.
    const MAX: usize = 32;

    pub(super) fn note(&mut self, down: bool, keysym: u32, message: &[u8]) {
        // X11's keysymdef.h: Shift to Hyper but not the locks, AltGr, Mode_switch.
        let holds = matches!(keysym, 0xffe1..=0xffe4 | 0xffe7..=0xffee | 0xfe03 | 0xff7e);
        if !holds {
            return;
        }
        self.0.retain(|(other, _)| *other != keysym);
        if down && self.0.len() < Self::MAX {
            self.0.push((keysym, message.to_vec()));
        }
    }

    /// The messages that said so.
    pub(super) fn down(&self) -> impl Iterator<Item = &Vec<u8>> {
        self.0.iter().map(|(_, message)| message)
    }
}
