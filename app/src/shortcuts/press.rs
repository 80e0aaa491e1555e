//! What a press means while new keys are asked for.

use gtk::gdk::{Key, ModifierType};

use super::accelerator::{Accelerator, Unfit};
use super::keymap::Keymap;
use super::table::Shortcut;

/// What a press means.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Press {
    /// These are the keys.
    Take,
    /// They would be, but another shortcut has them.
    Taken(Shortcut),
    /// They cannot be.
    Refuse(Unfit),
    /// No keys at all.
    Disable,
    /// All stays as it is.
    Cancel,
    /// It is for the buttons of the window.
    Move,
}

impl Press {
    /// What these keys mean when those of this shortcut are asked for.
    pub(crate) fn new(keymap: &Keymap, shortcut: Shortcut, pressed: Accelerator) -> Self {
        match (pressed.key(), pressed.modifiers() - ModifierType::SHIFT_MASK) {
            (Key::Escape, others) if others.is_empty() => return Self::Cancel,
            (Key::BackSpace, others) if others.is_empty() => return Self::Disable,
            (Key::Tab | Key::Return | Key::KP_Enter | Key::space, others) if others.is_empty() => return Self::Move,
            _ => {}
        }
        match (pressed.check(), keymap.owner(pressed)) {
            (Err(unfit), _) => Self::Refuse(unfit),
            (Ok(()), Some(other)) if other != shortcut => Self::Taken(other),
            (Ok(()), _) => Self::Take,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_press_has_a_meaning() {
        let press = |keys: &str| {
            let pressed = Accelerator::parse(keys).unwrap_or_else(|| panic!("{keys}"));
            Press::new(&Keymap::default(), Shortcut::Snapshot, pressed)
        };
        for (keys, meaning) in [
            ("<Control>d", Press::Take),
            ("F5", Press::Take),
            // Its own.
            ("<Control>s", Press::Take),
            ("<Control>n", Press::Taken(Shortcut::StartDesktop)),
            ("<Shift>F11", Press::Taken(Shortcut::LeaveDesktop)),
            ("d", Press::Refuse(Unfit::Typed)),
            ("F2", Press::Refuse(Unfit::Fixed)),
            ("Escape", Press::Cancel),
            ("BackSpace", Press::Disable),
            ("<Control>BackSpace", Press::Take),
            ("<Shift>Tab", Press::Move),
            ("<Alt>Return", Press::Take),
        ] {
            assert_eq!(press(keys), meaning, "{keys}");
        }
    }
}
