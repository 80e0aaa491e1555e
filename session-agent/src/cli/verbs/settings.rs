//! What the user has set, and what the snapshots take.

use std::collections::BTreeMap;

use freezeframe_api::dict::Field;
use freezeframe_api::records::{Settings, StorageUse};
use freezeframe_api::{Dict, Dictionary, Error, ErrorKind, Result};
use freezeframe_store::retention::parse_size;
use zbus::zvariant::{OwnedValue, Value};

use crate::cli::output::{Output, clean, table};
use crate::cli::reach::Agent;
use crate::rules::settings::budget;
use crate::rules::words;

/// Shows the settings, after those that are given are set.
pub(super) async fn settings(agent: &Agent, changes: &[(String, String)], output: Output) -> Result<()> {
    if !changes.is_empty() {
        let now = agent.manager.settings().await?;
        agent.manager.set_settings(&read(&now, changes)?).await?;
    }
    let settings = Settings::from_dict(&agent.manager.settings().await?)?;
    output.print(&settings, describe)
}

/// How a shortcut is set.
const SHORTCUTS_HINT: &str = "Write shortcuts.snapshot=\"<Control>d\", or default in place of the keys.";
/// How a rule that is not set is shown, and taken back; other words for nothing follow.
const OFF: &str = "off";
/// A budget or keys of a shortcut that are not there. No key of GTK has that name.
const NONE: &str = "none";
/// The base of who has set none. No base can have a name with blanks.
const ONLY_ONE: &str = "the only one";
/// A shortcut as it comes.
const DEFAULT: &str = "default";
/// A shortcut is set by its id after this.
const SHORTCUT: &str = "shortcuts.";

/// What is to be set, each value of the kind that its key has.
fn read(now: &Dict, changes: &[(String, String)]) -> Result<Dict> {
    let (shortcuts, others): (Vec<_>, Vec<_>) = changes.iter().partition(|(key, _)| key.starts_with(SHORTCUT));
    let mut dict =
        others.into_iter().map(|(key, text)| Ok((key.clone(), value(now, key, text)?))).collect::<Result<Dict>>()?;
    if !shortcuts.is_empty() {
        // They are set as a whole.
        let mut all = Settings::from_dict(now)?.shortcuts;
        for (key, keys) in shortcuts {
            let id = key[SHORTCUT.len()..].to_owned();
            match keys.as_str() {
                DEFAULT => drop(all.remove(&id)),
                NONE => drop(all.insert(id, String::new())),
                keys => drop(all.insert(id, keys.to_owned())),
            }
        }
        dict.extend(Field::put(&all).map(|all| ("shortcuts".to_owned(), all)));
    }
    Ok(dict)
}

/// `text` as a value of the kind that `key` has.
fn value(now: &Dict, key: &str, text: &str) -> Result<OwnedValue> {
    let invalid = |text: String| Error::new(ErrorKind::InvalidArgument, text);
    let Some(there) = now.get(key) else {
        let mut known: Vec<&str> = now.keys().map(String::as_str).collect();
        known.sort_unstable();
        return Err(invalid(format!("there is no setting {key:?}")).hint(format!("Settings: {}.", known.join(", "))));
    };
    let wrong = |rule: &str| invalid(format!("{key} cannot be {text:?}: {rule}"));
    let number = "write a number";
    Ok(match &**there {
        Value::Bool(_) => OwnedValue::from(match text {
            "true" | "on" | "yes" => true,
            "false" | "off" | "no" => false,
            _ => return Err(wrong("write true or false")),
        }),
        Value::U16(_) => OwnedValue::from(text.parse::<u16>().map_err(|_| wrong(number))?),
        // As `describe` shows a rule or a budget that is not set.
        Value::U32(_) if key.starts_with("keep_") && text == OFF => OwnedValue::from(0u32),
        Value::U32(_) if key.starts_with("max_") && text == NONE => OwnedValue::from(0u32),
        Value::U32(_) => OwnedValue::from(text.parse::<u32>().map_err(|_| wrong(number))?),
        Value::U64(_) if text == "0" || text == NONE => OwnedValue::from(0u64),
        Value::U64(_) => OwnedValue::from(parse_size(text).map_err(|e| invalid(e.to_string()))?),
        Value::Dict(_) => return Err(invalid(format!("{key} are set one by one")).hint(SHORTCUTS_HINT)),
        _ => {
            let text = if key == "default_base" && text == ONLY_ONE { "" } else { text };
            OwnedValue::try_from(Value::from(text)).map_err(zbus::Error::from)?
        }
    })
}

/// Each setting with its value, as [`read`] takes it back.
fn describe(s: &Settings) -> String {
    let rule = |count: u32| if count == 0 { OFF.to_owned() } else { count.to_string() };
    let budget = if s.budget_bytes == 0 { NONE.to_owned() } else { budget(s.budget_bytes) };
    let most = |count: u32| if count == 0 { NONE.to_owned() } else { count.to_string() };
    let base = if s.default_base.is_empty() { ONLY_ONE.to_owned() } else { clean(&s.default_base) };
    let rows = [
        ("automatic", s.automatic.to_string()),
        ("automatic_minutes", s.automatic_minutes.to_string()),
        ("automatic_only_if_changed", s.automatic_only_if_changed.to_string()),
        ("keep_last", rule(s.keep_last)),
        ("keep_hourly", rule(s.keep_hourly)),
        ("keep_daily", rule(s.keep_daily)),
        ("keep_weekly", rule(s.keep_weekly)),
        ("keep_monthly", rule(s.keep_monthly)),
        ("budget_bytes", budget),
        ("default_base", base),
        ("default_width", s.default_width.to_string()),
        ("default_height", s.default_height.to_string()),
        ("max_processes", most(s.max_processes)),
        ("max_memory_percent", most(s.max_memory_percent)),
        ("notify", s.notify.to_string()),
    ];
    let mut lines = rows.map(|(key, value)| format!("{key:<26} {value}")).join("\n");
    for (id, keys) in shortcuts(&s.shortcuts) {
        lines.push_str(&format!("\n{:<26} {keys}", format!("{SHORTCUT}{id}")));
    }
    lines
}

/// Each that is changed.
fn shortcuts(changed: &BTreeMap<String, String>) -> Vec<(String, String)> {
    let keys = |keys: &str| if keys.is_empty() { NONE.to_owned() } else { clean(keys) };
    changed.iter().map(|(id, all)| (clean(id), keys(all))).collect()
}

/// Shows what the snapshots of each session take.
pub(super) async fn storage(agent: &Agent, output: Output) -> Result<()> {
    let rows = agent.manager.storage_use().await?;
    let rows: Vec<StorageUse> = rows.iter().map(StorageUse::from_dict).collect::<Result<_>>()?;
    output.print(&rows, |rows| {
        let cells = |r: &StorageUse| {
            let name = if r.session.is_empty() { "All, on disk".to_owned() } else { r.session.clone() };
            vec![name, r.snapshots.to_string(), words::bytes(r.own_bytes), words::bytes(r.raw_bytes)]
        };
        let rows: Vec<_> = rows.iter().map(cells).collect();
        table(&["SESSION", "SNAPSHOTS", "STORED", "UNCOMPRESSED"], &rows, "")
    })
}

#[cfg(test)]
mod tests {
    use proptest::strategy::Strategy as _;

    use super::*;

    #[test]
    fn shortcuts_are_set_one_by_one() {
        let shortcuts = BTreeMap::from([("quit", ""), ("search", "F3")].map(|(id, keys)| (id.into(), keys.into())));
        let now = Settings { shortcuts, ..Settings::default() };
        assert!(describe(&now).ends_with("shortcuts.quit             none\nshortcuts.search           F3"));
        let change = |key: &str, text: &str| read(&now.to_dict(), &[(key.to_owned(), text.to_owned())]);
        let all =
            |dict: Result<Dict>| Settings::from_dict(&dict.unwrap()).unwrap().shortcuts.into_iter().collect::<Vec<_>>();
        let pair = |id: &str, keys: &str| (id.to_owned(), keys.to_owned());
        let set = all(change("shortcuts.snapshot", "<Control>d"));
        assert_eq!(set, [pair("quit", ""), pair("search", "F3"), pair("snapshot", "<Control>d")]);
        assert_eq!(all(change("shortcuts.search", "default")), [pair("quit", "")]);
        assert!(change("shortcuts", "F3").unwrap_err().hint.contains("shortcuts.snapshot="));
    }

    proptest::proptest! {
        /// Every line of `sessionctl settings` is taken back, and says what was set.
        #[test]
        fn what_is_printed_is_accepted_and_means_the_same(
            flags in proptest::array::uniform3(proptest::bool::ANY),
            minutes in 1u32..=10_080,
            keep in proptest::array::uniform5(proptest::prop_oneof![proptest::strategy::Just(0), 1u32..]),
            budget in proptest::prop_oneof![
                proptest::strategy::Just(0), 1u64..=1 << 63, (1u64..4096).prop_map(|gib| gib << 30),
            ],
            base in "([a-zA-Z0-9][a-zA-Z0-9._-]{0,39})?",
            size in (320u16..=7680, 200u16..=4320),
            most in (proptest::prop_oneof![proptest::strategy::Just(0), 100u32..=4_194_304], 0u32..=100),
            shortcuts in proptest::collection::btree_map("[a-z-]{1,20}", "(<Control>[a-z0-9])?", 0..4),
        ) {
            let set = Settings {
                automatic: flags[0],
                automatic_minutes: minutes,
                automatic_only_if_changed: flags[1],
                keep_last: keep[0],
                keep_hourly: keep[1],
                keep_daily: keep[2],
                keep_weekly: keep[3],
                keep_monthly: keep[4],
                budget_bytes: budget,
                default_base: base,
                default_width: size.0,
                default_height: size.1,
                max_processes: most.0,
                max_memory_percent: most.1,
                notify: flags[2],
                shortcuts,
            };
            let lines = describe(&set);
            let pairs: Vec<(String, String)> = lines
                .lines()
                .filter_map(|line| line.split_once(' '))
                .map(|(key, value)| (key.to_owned(), value.trim().to_owned()))
                .collect();
            let unset = Settings { automatic_minutes: 15, ..Settings::default() };
            let dict = read(&unset.to_dict(), &pairs).unwrap();
            // The agent's own check takes it, too.
            let back = crate::rules::settings::changed(&unset, &dict).unwrap();
            proptest::prop_assert_eq!(back, set);
        }
    }

    #[test]
    fn values_are_read_by_the_kind_of_their_key() {
        let now = Settings::default().to_dict();
        let read = |key: &str, text: &str| value(&now, key, text);
        assert_eq!(*read("automatic", "on").unwrap(), Value::Bool(true));
        assert_eq!(*read("keep_last", "20").unwrap(), Value::U32(20));
        assert_eq!(*read("budget_bytes", "1 GiB").unwrap(), Value::U64(1 << 30));
        assert_eq!(*read("default_base", "20").unwrap(), Value::from("20"));
        for (key, text) in [("automatic", "perhaps"), ("keep_last", "-1"), ("default_width", "70000"), ("keep", "1")] {
            assert_eq!(read(key, text).unwrap_err().kind, ErrorKind::InvalidArgument, "{key}={text}");
        }
    }
}
