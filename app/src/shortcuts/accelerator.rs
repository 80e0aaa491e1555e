//! Keys that are pressed together.

use std::fmt;

use gtk::gdk::{self, ModifierType};

/// How GTK writes each modifier (`gtk_accelerator_name`), with the other names that it reads.
const MODIFIERS: [(ModifierType, &str, &[&str]); 6] = [
    (ModifierType::CONTROL_MASK, "Control", &["Primary", "Ctrl", "Ctl"]),
    (ModifierType::SHIFT_MASK, "Shift", &["Shft"]),
    (ModifierType::ALT_MASK, "Alt", &["Mod1"]),
    (ModifierType::SUPER_MASK, "Super", &[]),
    (ModifierType::HYPER_MASK, "Hyper", &[]),
    (ModifierType::META_MASK, "Meta", &[]),
];

/// Keys of GTK and of the timeline's cards, which have them before any shortcut of the window.
const FIXED: [&str; 3] = ["F2", "F10", "<Shift>F10"];

/// A key and its modifiers, in one form: that of letters without Shift.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Accelerator {
    key: gdk::Key,
    modifiers: ModifierType,
}

/// Why keys cannot be a shortcut's.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Unfit {
    /// They are what one types with.
    Typed,
    /// They always do the same.
    Fixed,
}

impl Accelerator {
    /// A key with modifiers; others than an accelerator has are left out.
    pub(crate) fn new(key: gdk::Key, modifiers: ModifierType) -> Self {
        let known = MODIFIERS.iter().fold(ModifierType::empty(), |all, (one, ..)| all | *one);
        Self { key: key.to_lower(), modifiers: modifiers & known }
    }

    /// Reads keys as they are kept, such as `<Control>d`; none when they are written in another way, or there is no such key.
    pub(crate) fn parse(text: &str) -> Option<Self> {
        let mut modifiers = ModifierType::empty();
        let mut rest = text;
        while let Some((name, after)) = rest.strip_prefix('<').and_then(|rest| rest.split_once('>')) {
            let named = |one: &&str| one.eq_ignore_ascii_case(name);
            let (modifier, ..) =
                MODIFIERS.iter().find(|(_, written, read)| named(written) || read.iter().any(named))?;
            modifiers |= *modifier;
            rest = after;
        }
        // GDK's own question wants a text without an end inside it.
        let key = gdk::Key::from_name(rest).filter(|_| !rest.is_empty() && !rest.contains('\0'))?;
        Some(Self::new(key, modifiers))
    }

    pub(crate) fn key(&self) -> gdk::Key {
        self.key
    }

    pub(crate) fn modifiers(&self) -> ModifierType {
        self.modifiers
    }

    /// Whether a shortcut can have them.
    ///
    /// # Errors
    /// Says why not.
    pub(crate) fn check(&self) -> Result<(), Unfit> {
        if FIXED.iter().any(|fixed| Self::parse(fixed) == Some(*self)) {
            return Err(Unfit::Fixed);
        }
        let typed = (self.modifiers - ModifierType::SHIFT_MASK).is_empty() && !self.is_function_key();
        if typed { Err(Unfit::Typed) } else { Ok(()) }
    }

    /// As people read them, such as "Ctrl+S".
    pub(crate) fn say(&self) -> String {
        gtk::accelerator_get_label(self.key, self.modifiers).into()
    }

    fn is_function_key(&self) -> bool {
        let name = self.key.name();
        let number = name.as_deref().and_then(|name| name.strip_prefix('F')).map(str::parse::<u8>);
        matches!(number, Some(Ok(1..=35)))
    }
}

/// As it is kept.
impl fmt::Display for Accelerator {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (_, name, _) in MODIFIERS.iter().filter(|(one, ..)| self.modifiers.contains(*one)) {
            write!(f, "<{name}>")?;
        }
        f.write_str(&self.key.name().unwrap_or_default())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(text: &str) -> Accelerator {
        Accelerator::parse(text).unwrap_or_else(|| panic!("{text}"))
    }

    #[test]
    fn keys_are_read_and_written_as_gtk_does() {
        for text in ["<Control>d", "<Control><Shift>s", "F11", "<Shift>F11", "<Control>question", "<Alt><Super>Page_Up"]
        {
            assert_eq!(read(text).to_string(), text);
        }
        assert_eq!(read("<ctrl><SHIFT>S"), read("<Shift><Primary>s"));
        for text in ["", "Ctrl+D", "<Control>", "<Control>nokey", "<Contrl>d", "<Control", "<Release>d", "a\0b"] {
            assert_eq!(Accelerator::parse(text), None, "{text}");
        }
    }

    #[test]
    fn a_press_is_what_was_read() {
        let locked = ModifierType::CONTROL_MASK | ModifierType::LOCK_MASK | ModifierType::BUTTON1_MASK;
        assert_eq!(Accelerator::new(gdk::Key::D, locked), read("<Control>d"));
    }

    #[test]
    fn what_is_typed_is_no_shortcut() {
        for text in ["<Control>a", "<Alt>1", "<Super>space", "F1", "<Shift>F12", "F35", "<Control>Tab"] {
            assert_eq!(read(text).check(), Ok(()), "{text}");
        }
        for text in ["a", "<Shift>a", "Tab", "Return", "Delete", "<Shift>Home", "F", "1"] {
            assert_eq!(read(text).check(), Err(Unfit::Typed), "{text}");
        }
        for text in FIXED {
            assert_eq!(read(text).check(), Err(Unfit::Fixed), "{text}");
        }
    }
}
