//! Names of sessions, snapshots and bases. All of them become file names, so all of them are confined to safe ones.

use std::fmt;

use serde::{Deserialize, Serialize};

use crate::error::{Error, Result};

/// Longest name of a session or base: it has to fit, with a suffix, into the 107 bytes of a Unix socket's path.
pub const MAX_NAME: usize = 40;

/// Checks that `name` can be a file name of ours.
///
/// # Errors
/// [`Error::BadName`] names the rule: 1 to [`MAX_NAME`] of `a-z A-Z 0-9 - _ .`, the first a letter or digit.
pub fn check_name(what: &'static str, name: &str) -> Result<()> {
    let fits = |byte: u8| byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'_' | b'.');
    let first = name.bytes().next();
    if name.len() <= MAX_NAME && first.is_some_and(|b| b.is_ascii_alphanumeric()) && name.bytes().all(fits) {
        return Ok(());
    }
    Err(Error::BadName {
        what,
        name: name.to_owned(),
        rule: "use 1 to 40 letters, digits, dots, dashes and underscores, beginning with a letter or digit",
    })
}

macro_rules! name_type {
    ($(#[$doc:meta])* $type:ident, $what:literal) => {
        $(#[$doc])*
        #[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
        #[serde(try_from = "String", into = "String")]
        pub struct $type(String);

        impl $type {
            /// Takes `name` if it can be one.
            ///
            /// # Errors
            /// [`Error::BadName`] with the rule that it breaks.
            pub fn new(name: impl Into<String>) -> Result<Self> {
                let name = name.into();
                check_name($what, &name)?;
                Ok(Self(name))
            }

            /// The name as text.
            pub fn as_str(&self) -> &str {
                &self.0
            }
        }

        impl TryFrom<String> for $type {
            type Error = Error;
            fn try_from(name: String) -> Result<Self> {
                Self::new(name)
            }
        }

        impl std::str::FromStr for $type {
            type Err = Error;
            fn from_str(name: &str) -> Result<Self> {
                Self::new(name)
            }
        }

        impl From<$type> for String {
            fn from(id: $type) -> String {
                id.0
            }
        }

        impl fmt::Display for $type {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str(&self.0)
            }
        }

        impl AsRef<str> for $type {
            fn as_ref(&self) -> &str {
                &self.0
            }
        }
    };
}

name_type!(
    /// The name of a session; unique among the sessions of a user that have a directory.
    SessionId,
    "session"
);
name_type!(
    /// The id of a snapshot: twelve random hexadecimal digits.
    SnapshotId,
    "snapshot"
);

impl SnapshotId {
    /// A new id, drawn at random.
    pub fn random() -> Self {
        Self(format!("{:012x}", rand::random::<u64>() >> 16))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_that_would_leave_their_directory_are_refused() {
        for bad in ["", ".", "..", ".hidden", "a/b", "a\0b", "-x", "a b", "ä", &"x".repeat(MAX_NAME + 1)] {
            assert!(SessionId::new(bad).is_err(), "{bad:?}");
        }
        for good in ["a", "desktop-1", "2026.11", &"x".repeat(MAX_NAME)] {
            assert!(SessionId::new(good).is_ok(), "{good:?}");
        }
    }

    #[test]
    fn random_ids_are_twelve_hexadecimal_digits() {
        let id = SnapshotId::random();
        assert_eq!(id.as_str().len(), 12);
        assert!(id.as_str().bytes().all(|b| b.is_ascii_hexdigit()));
    }
}
