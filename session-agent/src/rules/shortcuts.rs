//! Keyboard shortcuts that the user has changed: kept for the app, which alone knows what they are for.

use std::collections::BTreeMap;

use serde::{Deserialize, Deserializer};

/// What is told with an error.
pub const HINT: &str = "Write the keys as GTK has them, such as \"<Control>d\" or \"<Shift>F11\"; \"\" is for no keys.";

/// Far more than there are.
const MOST: usize = 200;
/// Longer than any id, and than any keys with all modifiers.
const LONGEST: usize = 80;

/// Whether they can be kept: ids of lower case letters, digits and hyphens, and keys that are written as
/// `gtk_accelerator_parse` reads them. Neither has to be known here; another version of the app may know it.
///
/// # Errors
/// Says which shortcut cannot be kept, and why.
pub fn check(shortcuts: &BTreeMap<String, String>) -> Result<(), String> {
    if shortcuts.len() > MOST {
        return Err(format!("{} shortcuts are too many: at most {MOST} are kept", shortcuts.len()));
    }
    for (id, keys) in shortcuts {
        if !is_id(id) {
            return Err(format!("no shortcut can be named {id:?}: write lower case letters, digits and hyphens"));
        }
        if !keys.is_empty() && !is_accelerator(keys) {
            return Err(format!("the shortcut {id} cannot have the keys {keys:?}"));
        }
    }
    Ok(())
}

fn is_id(id: &str) -> bool {
    let fits = |c: char| c.is_ascii_lowercase() || c.is_ascii_digit() || c == '-';
    !id.is_empty() && id.len() <= LONGEST && id.chars().all(fits)
}

/// Modifiers in angle brackets, and then a key's name.
fn is_accelerator(keys: &str) -> bool {
    let mut rest = keys;
    while let Some((modifier, after)) = rest.strip_prefix('<').and_then(|rest| rest.split_once('>')) {
        if modifier.is_empty() || !modifier.chars().all(|c| c.is_ascii_alphanumeric()) {
            return false;
        }
        rest = after;
    }
    keys.len() <= LONGEST && !rest.is_empty() && rest.chars().all(|c| c.is_ascii_alphanumeric() || c == '_')
}

/// Reads the table `[shortcuts]`.
///
/// # Errors
/// As [`check`].
pub fn deserialize<'de, D: Deserializer<'de>>(deserializer: D) -> Result<BTreeMap<String, String>, D::Error> {
    let shortcuts = BTreeMap::deserialize(deserializer)?;
    check(&shortcuts).map(|()| shortcuts).map_err(serde::de::Error::custom)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_gtk_can_read_is_kept() {
        let one = |id: &str, keys: &str| check(&BTreeMap::from([(id.to_owned(), keys.to_owned())]));
        for keys in ["", "F11", "<Shift>F11", "<Control><Alt>comma", "<Primary>XF86Launch1", "<Control>KP_0"] {
            assert_eq!(one("snapshot", keys), Ok(()), "{keys}");
        }
        let long = "F".repeat(81);
        for keys in ["Ctrl+S", "<Control>", "<>s", "<Control", "<Control>s\n", "<Control>ß", " ", &long] {
            assert!(one("snapshot", keys).unwrap_err().contains("snapshot"), "{keys}");
        }
        for id in ["", "Snapshot", "full screen", "a=b", &long] {
            assert!(one(id, "F5").is_err(), "{id}");
        }
        // Another version's.
        assert_eq!(one("make-coffee-2", "<Hyper>c"), Ok(()));
        let many = (0..201).map(|n| (format!("a{n}"), String::new())).collect();
        assert!(check(&many).unwrap_err().contains("200"));
    }
}
