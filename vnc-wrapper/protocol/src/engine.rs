//! Which engine saves. A snapshot is resumed by the engine that wrote it.

use std::ffi::OsStr;

/// The environment variable that names another engine than the usual one, to compare them: `native` or `criu`.
pub const VARIABLE: &str = "FREEZEFRAME_ENGINE";

/// How the native engine describes itself, in front of its version.
pub const NATIVE: &str = "freezeframe";

/// An engine.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Engine {
    /// Ours, which needs no root.
    Native,
    /// CRIU, which needs root.
    Criu,
}

impl Engine {
    /// The one that saves the sessions of root, or of a normal user.
    #[must_use]
    pub fn for_user(is_root: bool) -> Self {
        Self::named(std::env::var_os(VARIABLE).as_deref(), is_root)
    }

    fn named(name: Option<&OsStr>, is_root: bool) -> Self {
        match name.and_then(OsStr::to_str) {
            Some("native") => Self::Native,
            Some("criu") => Self::Criu,
            _ if is_root => Self::Criu,
            _ => Self::Native,
        }
    }

    /// The one that wrote a snapshot, by what its manifest says (`describe` of the wrapper's engines).
    #[must_use]
    pub fn of_manifest(described: &str) -> Self {
        if described.starts_with(NATIVE) { Self::Native } else { Self::Criu }
    }

    /// Its name, as [`VARIABLE`] has it.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::Native => "native",
            Self::Criu => "criu",
        }
    }

    /// Whether that user may use it.
    #[must_use]
    pub fn is_allowed(self, is_root: bool) -> bool {
        is_root || self == Self::Native
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn normal_users_save_by_the_native_engine_and_root_by_criu_unless_another_is_named() {
        let named = |name: &str, is_root| Engine::named(Some(OsStr::new(name)), is_root);
        assert_eq!([Engine::named(None, true), named("", true), named("criu", false)], [Engine::Criu; 3]);
        assert_eq!([Engine::named(None, false), named("native", true), named("vi", false)], [Engine::Native; 3]);
        assert!(Engine::Criu.is_allowed(true) && !Engine::Criu.is_allowed(false) && Engine::Native.is_allowed(false));
    }
}
