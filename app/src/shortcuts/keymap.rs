//! Which keys belong to which shortcut: the table, with what the user has changed.

use std::collections::BTreeMap;

use super::accelerator::Accelerator;
use super::table::Shortcut;

/// What the user has changed, as the agent keeps it: keys by the shortcut's id, empty where it has none.
pub(crate) type Changes = BTreeMap<String, String>;

/// The keys of every shortcut. No two have the same.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Keymap {
    changes: Changes,
    /// In the order of the table.
    keys: [Option<Accelerator>; Shortcut::ALL.len()],
}

impl Default for Keymap {
    fn default() -> Self {
        Self::new(Changes::new())
    }
}

impl Keymap {
    /// The keys after these changes. Of an id or of keys that are not known nothing is heard; what was changed takes its keys
    /// from what was not, and of two with the same keys the first has them.
    pub(crate) fn new(changes: Changes) -> Self {
        let mut keys = [None; Shortcut::ALL.len()];
        let mut give = |shortcut: Shortcut, accelerator: Accelerator| {
            if !keys.contains(&Some(accelerator)) {
                keys[shortcut as usize] = Some(accelerator);
            }
        };
        let of = |shortcut: Shortcut| match changes.get(shortcut.id()).map(String::as_str) {
            Some("") => Some(None),
            Some(text) => Accelerator::parse(text).filter(|keys| keys.check().is_ok()).map(Some),
            None => None,
        };
        for shortcut in Shortcut::ALL {
            if let Some(Some(accelerator)) = of(shortcut) {
                give(shortcut, accelerator);
            }
        }
        for shortcut in Shortcut::ALL {
            if let (None, Some(accelerator)) = (of(shortcut), shortcut.default()) {
                give(shortcut, accelerator);
            }
        }
        Self { changes, keys }
    }

    /// The keys of a shortcut, if it has any.
    pub(crate) fn keys(&self, shortcut: Shortcut) -> Option<Accelerator> {
        self.keys[shortcut as usize]
    }

    /// The shortcut that has these keys.
    pub(crate) fn owner(&self, keys: Accelerator) -> Option<Shortcut> {
        Shortcut::ALL.into_iter().find(|shortcut| self.keys(*shortcut) == Some(keys))
    }

    /// Whether it has other keys than in the table.
    pub(crate) fn is_changed(&self, shortcut: Shortcut) -> bool {
        self.keys(shortcut) != shortcut.default()
    }

    /// Whether any has.
    pub(crate) fn is_any_changed(&self) -> bool {
        Shortcut::ALL.into_iter().any(|shortcut| self.is_changed(shortcut))
    }

    /// The changes that give it these keys, or none; another shortcut that has them has none then.
    pub(crate) fn with(&self, shortcut: Shortcut, keys: Option<Accelerator>) -> Changes {
        let mut changes = self.changes.clone();
        let mut set = |shortcut: Shortcut, keys: Option<Accelerator>| {
            if keys == shortcut.default() {
                changes.remove(shortcut.id());
            } else {
                let text = keys.map(|keys| keys.to_string()).unwrap_or_default();
                changes.insert(shortcut.id().to_owned(), text);
            }
        };
        if let Some(before) = keys.and_then(|keys| self.owner(keys)) {
            set(before, None);
        }
        set(shortcut, keys);
        changes
    }

    /// The changes with which it has its keys of the table again; another shortcut that has them has none then.
    pub(crate) fn reset(&self, shortcut: Shortcut) -> Changes {
        self.with(shortcut, shortcut.default())
    }

    /// The changes with which all have their keys of the table. What only another version knows stays.
    pub(crate) fn reset_all(&self) -> Changes {
        let mut changes = self.changes.clone();
        changes.retain(|id, _| Shortcut::ALL.into_iter().all(|shortcut| shortcut.id() != id));
        changes
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn changes(all: &[(&str, &str)]) -> Changes {
        all.iter().map(|(id, keys)| ((*id).to_owned(), (*keys).to_owned())).collect()
    }

    fn keymap(all: &[(&str, &str)]) -> Keymap {
        Keymap::new(changes(all))
    }

    fn read(text: &str) -> Option<Accelerator> {
        Some(Accelerator::parse(text).unwrap())
    }

    #[test]
    fn what_is_not_changed_is_of_the_table() {
        let keymap = keymap(&[("snapshot", "<Control>d"), ("quit", "")]);
        assert_eq!(keymap.keys(Shortcut::Snapshot), read("<Control>d"));
        assert_eq!(keymap.keys(Shortcut::Quit), None);
        assert_eq!(keymap.keys(Shortcut::FullScreen), read("F11"));
        assert_eq!(keymap.owner(read("<Control>d").unwrap()), Some(Shortcut::Snapshot));
        assert_eq!(keymap.owner(read("<Control>s").unwrap()), None);
        let changed: Vec<&str> =
            Shortcut::ALL.into_iter().filter(|one| keymap.is_changed(*one)).map(Shortcut::id).collect();
        assert_eq!(changed, ["snapshot", "quit"]);
        assert!(!Keymap::default().is_any_changed());
    }

    #[test]
    fn what_cannot_be_read_changes_nothing_and_stays() {
        let strange = [("future", "<Control>s"), ("search", "<Control>nokey"), ("import", "o"), ("close", "F10")];
        let keymap = keymap(&strange);
        assert!(!keymap.is_any_changed());
        let next = keymap.with(Shortcut::Snapshot, read("F5"));
        assert_eq!((next["future"].as_str(), next["snapshot"].as_str(), next.len()), ("<Control>s", "F5", 5));
        assert_eq!(keymap.reset_all(), changes(&[("future", "<Control>s")]));
    }

    #[test]
    fn no_two_have_the_same_keys() {
        // Written by hand: what was changed has them, and of two the first.
        let keymap = keymap(&[("quit", "<Control>n"), ("search", "<Control>n")]);
        assert_eq!(keymap.owner(read("<Control>n").unwrap()), Some(Shortcut::Search));
        assert_eq!((keymap.keys(Shortcut::StartDesktop), keymap.keys(Shortcut::Quit)), (None, None));
    }

    #[test]
    fn keys_are_taken_away_from_whoever_has_them() {
        let first = Keymap::default().with(Shortcut::Snapshot, read("<Control>n"));
        assert_eq!(first, changes(&[("snapshot", "<Control>n"), ("start-desktop", "")]));
        // Its own keys are no conflict.
        assert_eq!(Keymap::new(first.clone()).with(Shortcut::Snapshot, read("<Control>n")), first);
        // Back again, and the other has none.
        let back = Keymap::new(first.clone()).reset(Shortcut::StartDesktop);
        assert_eq!(back, changes(&[("snapshot", "")]));
        assert_eq!(Keymap::new(first).reset_all(), Changes::new());
        assert_eq!(Keymap::new(back).reset(Shortcut::Snapshot), Changes::new());
        assert_eq!(Keymap::default().with(Shortcut::Quit, None), changes(&[("quit", "")]));
    }
}
