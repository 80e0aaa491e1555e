//! `config.toml`: what a user may set. All of it is optional; a key that is not known is an error.

use std::collections::BTreeMap;
use std::io;
use std::ops::RangeInclusive;
use std::path::Path;

use freezeframe_api::{Error, ErrorKind};
use freezeframe_store::bounded;
use freezeframe_store::retention::Rules;
use serde::{Deserialize, Deserializer};

use crate::rules::duration::KeepDeleted;
use crate::rules::shortcuts;
use crate::rules::size::Size;

/// What is told with every error.
const KNOWN: &str = "Known keys: default_base, default_size (as \"1280x800\"), keep_deleted (as \"1 day\"), verify_saves \
                     (true or false); in [retention] keep_last, hourly, daily, weekly, monthly, budget (as \"40 GiB\"); \
                     in [automatic] enabled, minutes, only_if_changed; in [limits] processes, memory_percent; in [notifications] snapshots; in [shortcuts] the app's shortcuts, \
                     such as snapshot (as \"<Control>d\").";

/// Most bytes of the file. What people write there has some hundred.
pub const MOST: u64 = 1 << 20;

/// The configuration.
#[derive(Clone, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Config {
    /// The base of a session that names none.
    pub default_base: Option<String>,
    /// The size of a session that names none, as `1280x800`.
    pub default_size: Option<Size>,
    /// How long deleted snapshots can be brought back, as `"1 day"`.
    #[serde(default)]
    pub keep_deleted: KeepDeleted,
    /// Whether every snapshot is restored on the side once it is saved, to see that it can be.
    #[serde(default)]
    pub verify_saves: bool,
    /// Which snapshots are kept; everything is when there is no rule.
    #[serde(default)]
    pub retention: Rules,
    /// Whether, and how often, sessions are saved by themselves.
    #[serde(default)]
    pub automatic: Automatic,
    /// What a session may take of the machine.
    #[serde(default)]
    pub limits: Limits,
    /// What is told by notifications.
    #[serde(default)]
    pub notifications: Notifications,
    /// The app's keyboard shortcuts that are not as it comes, by id.
    #[serde(default, deserialize_with = "shortcuts::deserialize")]
    pub shortcuts: BTreeMap<String, String>,
}

/// The table `[automatic]`.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Automatic {
    /// Off unless the user says so.
    pub enabled: bool,
    /// Minutes between two snapshots of a session.
    #[serde(deserialize_with = "minutes")]
    pub minutes: u32,
    /// Only when the screen is not as it was at the last such snapshot.
    pub only_if_changed: bool,
}

impl Automatic {
    /// From a minute to a week.
    pub const MINUTES: RangeInclusive<u32> = 1..=10_080;
}

impl Default for Automatic {
    fn default() -> Self {
        Self { enabled: false, minutes: 15, only_if_changed: true }
    }
}

fn minutes<'de, D: Deserializer<'de>>(deserializer: D) -> Result<u32, D::Error> {
    let minutes = u32::deserialize(deserializer)?;
    if Automatic::MINUTES.contains(&minutes) {
        return Ok(minutes);
    }
    Err(serde::de::Error::custom(format!("{minutes} is out of range: minutes go from 1 to 10080, which is a week")))
}

/// The table `[limits]`: of each session, where the machine can enforce it (`sessionctl doctor`).
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Limits {
    /// Processes and threads; 0 for no limit.
    #[serde(deserialize_with = "processes")]
    pub processes: u32,
    /// Part of the machine's memory, in percent; 0 for no limit.
    #[serde(deserialize_with = "memory_percent")]
    pub memory_percent: u32,
}

impl Limits {
    /// With fewer there is no desktop; the kernel has no more (PID_MAX_LIMIT, include/linux/threads.h).
    pub const PROCESSES: RangeInclusive<u32> = 100..=4_194_304;
    /// The whole of it.
    pub const MEMORY_PERCENT: RangeInclusive<u32> = 1..=100;

    /// Why these cannot be, if they cannot.
    ///
    /// # Errors
    /// The key, and what it may be.
    pub fn check(&self) -> Result<(), String> {
        let rules = [
            ("processes", self.processes, Self::PROCESSES),
            ("memory_percent", self.memory_percent, Self::MEMORY_PERCENT),
        ];
        for (key, value, range) in rules {
            if value != 0 && !range.contains(&value) {
                return Err(format!(
                    "{key} cannot be {value}: it is 0 for no limit, or {} to {}",
                    range.start(),
                    range.end()
                ));
            }
        }
        Ok(())
    }
}

impl Default for Limits {
    fn default() -> Self {
        Self { processes: 8192, memory_percent: 80 }
    }
}

fn processes<'de, D: Deserializer<'de>>(deserializer: D) -> Result<u32, D::Error> {
    let limits = Limits { processes: u32::deserialize(deserializer)?, ..Limits::default() };
    limits.check().map(|()| limits.processes).map_err(serde::de::Error::custom)
}

fn memory_percent<'de, D: Deserializer<'de>>(deserializer: D) -> Result<u32, D::Error> {
    let limits = Limits { memory_percent: u32::deserialize(deserializer)?, ..Limits::default() };
    limits.check().map(|()| limits.memory_percent).map_err(serde::de::Error::custom)
}

/// The table `[notifications]`.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Notifications {
    /// Of snapshots that were asked for.
    pub snapshots: bool,
}

impl Default for Notifications {
    fn default() -> Self {
        Self { snapshots: true }
    }
}

impl Config {
    /// Reads `file`; an absent one is an empty one.
    ///
    /// # Errors
    /// [`ErrorKind::InvalidArgument`] names the file and the key.
    pub fn read(file: &Path) -> Result<Self, Error> {
        let refused = |reason: String| {
            Error::new(ErrorKind::InvalidArgument, format!("cannot use {}: {reason}", file.display())).hint(KNOWN)
        };
        match bounded::read_text(file, MOST) {
            Ok(text) => Self::parse(&text).map_err(refused),
            Err(e) if e.kind() == io::ErrorKind::NotFound => Ok(Self::default()),
            Err(e) => Err(refused(e.to_string())),
        }
    }

    /// Reads the text of a file.
    ///
    /// # Errors
    /// The text says which key cannot be used, and why.
    pub fn parse(text: &str) -> Result<Self, String> {
        toml::from_str(text).map_err(|e| e.message().to_owned())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(text: &str) -> Result<Config, Error> {
        let dir = tempfile::tempdir().unwrap();
        let file = dir.path().join("config.toml");
        std::fs::write(&file, text).unwrap();
        Config::read(&file)
    }

    #[test]
    fn an_absent_file_is_an_empty_one() {
        assert_eq!(Config::read(Path::new("/nonexistent/config.toml")).unwrap(), Config::default());
    }

    /// Issue 9, number 15.
    #[test]
    fn a_file_without_end_is_refused_by_name() {
        for endless in ["/dev/zero", "/proc/self"] {
            let error = Config::read(Path::new(endless)).unwrap_err();
            assert!(error.message.contains(endless) && error.message.contains("not a file"), "{error}");
        }
        let error = read(&"# much\n".repeat(200_000)).unwrap_err();
        assert!(error.message.contains("config.toml") && error.message.contains("more than 1048576 bytes"), "{error}");
    }

    #[test]
    fn keys_are_read_and_unknown_ones_named_with_the_file() {
        let config = read("default_base = \"xfce\"\ndefault_size = \"1024x768\"\n").unwrap();
        assert_eq!(config.default_size, Some(Size { width: 1024, height: 768 }));
        let error = read("defualt_base = \"xfce\"\n").unwrap_err();
        assert!(error.message.contains("defualt_base") && error.message.contains("config.toml"), "{error}");
        let error = read("default_size = \"12x12\"\n").unwrap_err();
        assert!(error.message.contains("320x200"), "{error}");
        let config = read("keep_deleted = \"2 days\"\n[retention]\ndaily = 7\nbudget = \"1 GiB\"\n").unwrap();
        assert_eq!(config.keep_deleted, "48h".parse().unwrap());
        assert_eq!((config.retention.daily, config.retention.budget), (Some(7), Some(1 << 30)));
        let error = read("[retention]\nyearly = 3\n").unwrap_err();
        assert!(error.message.contains("yearly") && error.hint.contains("monthly"), "{error:?}");
        assert!(read("[retention]\ndaily = 0\n").is_err());
        let config = read("[automatic]\nenabled = true\n[notifications]\nsnapshots = false\n").unwrap();
        assert_eq!(config.automatic, Automatic { enabled: true, ..Automatic::default() });
        assert!(!config.notifications.snapshots);
        let config = read("[limits]\nprocesses = 0\n").unwrap();
        assert_eq!(config.limits, Limits { processes: 0, ..Limits::default() });
        let error = read("[limits]\nmemory_percent = 101\n").unwrap_err();
        assert!(error.message.contains("memory_percent cannot be 101") && error.hint.contains("[limits]"), "{error:?}");
        assert!(read("[limits]\nprocesses = 3\n").unwrap_err().message.contains("100 to"));
        assert!(read("[automatic]\nminutes = 0\n").unwrap_err().message.contains("10080"));
        assert!(read("keep_deleted = \"-1 day\"\n").unwrap_err().message.contains("1 day"));
        let config = read("[shortcuts]\nsnapshot = \"<Control>d\"\nfuture = \"\"\n").unwrap();
        assert_eq!((config.shortcuts["snapshot"].as_str(), config.shortcuts["future"].as_str()), ("<Control>d", ""));
        let error = read("[shortcuts]\nsnapshot = \"Ctrl+D\"\n").unwrap_err();
        assert!(error.message.contains("Ctrl+D") && error.hint.contains("<Control>d"), "{error:?}");
    }

    proptest::proptest! {
        #![proptest_config(proptest::prelude::ProptestConfig::with_cases(200))]
        /// A file that somebody mistyped is read, or refused with its name and the keys that there are.
        #[test]
        fn no_text_panics(
            changes in proptest::collection::vec((0..1000_usize, "\\PC{0,8}", 0..9_usize), 0..5),
            any in proptest::option::weighted(0.2, "\\PC{0,200}"),
        ) {
            let mut text: Vec<char> = "default_base = \"xfce\"\ndefault_size = \"1024x768\"\nkeep_deleted = \"2 days\"\n\
                [retention]\nkeep_last = 3\nhourly = 4\ndaily = 7\nweekly = 1\nmonthly = 2\nbudget = \"1.5 GiB\"\n".chars().collect();
            for (at, new, gone) in changes {
                let at = at % (text.len() + 1);
                text.splice(at..(at + gone).min(text.len()), new.chars());
            }
            let text = any.unwrap_or_else(|| text.into_iter().collect());
            if let Err(error) = read(&text) {
                assert!(error.message.contains("config.toml") && error.hint.contains("keep_last"), "{error:?}");
            }
        }
    }
}
