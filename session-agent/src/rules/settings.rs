//! The settings that clients see, out of `config.toml` and back into it. What the user wrote there besides stays.

use freezeframe_api::records::{RetentionOptions, Settings};
use freezeframe_api::{Dict, Dictionary, Error, ErrorKind, Result};
use freezeframe_store::retention::Rules;
use toml_edit::{DocumentMut, Item, Table, value};

use crate::config::{Automatic, Config, Limits};
use crate::rules::shortcuts;
use crate::rules::size::Size;

/// What is set; a rule that is off is 0.
pub fn of_config(config: &Config) -> Settings {
    let size = config.default_size.unwrap_or_default();
    let rules = &config.retention;
    Settings {
        automatic: config.automatic.enabled,
        automatic_minutes: config.automatic.minutes,
        automatic_only_if_changed: config.automatic.only_if_changed,
        keep_last: rules.keep_last.unwrap_or(0),
        keep_hourly: rules.hourly.unwrap_or(0),
        keep_daily: rules.daily.unwrap_or(0),
        keep_weekly: rules.weekly.unwrap_or(0),
        keep_monthly: rules.monthly.unwrap_or(0),
        budget_bytes: rules.budget.unwrap_or(0),
        default_base: config.default_base.clone().unwrap_or_default(),
        default_width: size.width,
        default_height: size.height,
        max_processes: config.limits.processes,
        max_memory_percent: config.limits.memory_percent,
        notify: config.notifications.snapshots,
        shortcuts: config.shortcuts.clone(),
    }
}

/// `current` with the keys that `change` has.
///
/// # Errors
/// [`ErrorKind::InvalidArgument`] names the key that is unknown or whose value cannot be used.
pub fn changed(current: &Settings, change: &Dict) -> Result<Settings> {
    Settings::from_options(change)?;
    let mut merged = current.to_dict();
    for (key, value) in change {
        let value = value.try_clone().map_err(|e| Error::new(ErrorKind::InvalidArgument, format!("{key}: {e}")))?;
        merged.insert(key.clone(), value);
    }
    let settings = Settings::from_dict(&merged)?;
    check(&settings).map(|()| settings)
}

fn check(settings: &Settings) -> Result<()> {
    let invalid = |text: String| Error::new(ErrorKind::InvalidArgument, text);
    if !Automatic::MINUTES.contains(&settings.automatic_minutes) {
        let text = format!("automatic_minutes cannot be {}", settings.automatic_minutes);
        return Err(invalid(text).hint("It goes from 1 to 10080, which is a week."));
    }
    size(settings).to_string().parse::<Size>().map_err(invalid)?;
    let limits = Limits { processes: settings.max_processes, memory_percent: settings.max_memory_percent };
    limits.check().map_err(|text| invalid(format!("max_{text}")))?;
    if settings.budget_bytes > 1 << 63 {
        return Err(invalid(format!("budget_bytes cannot be {}", settings.budget_bytes)).hint("At most 2^63."));
    }
    if !settings.default_base.is_empty() {
        freezeframe_store::id::check_name("base", &settings.default_base).map_err(|e| invalid(e.to_string()))?;
    }
    shortcuts::check(&settings.shortcuts).map_err(|text| invalid(text).hint(shortcuts::HINT))?;
    Ok(())
}

fn size(settings: &Settings) -> Size {
    Size { width: settings.default_width, height: settings.default_height }
}

/// The rules that are configured, with those to try in their place.
pub fn tried(rules: &Rules, options: &RetentionOptions) -> Rules {
    fn choose<T: Copy + Default + PartialEq>(tried: Option<T>, configured: Option<T>) -> Option<T> {
        tried.map_or(configured, |n| (n != T::default()).then_some(n))
    }
    Rules {
        keep_last: choose(options.keep_last, rules.keep_last),
        hourly: choose(options.keep_hourly, rules.hourly),
        daily: choose(options.keep_daily, rules.daily),
        weekly: choose(options.keep_weekly, rules.weekly),
        monthly: choose(options.keep_monthly, rules.monthly),
        budget: choose(options.budget_bytes, rules.budget),
    }
}

/// `text`, the file as it is, with what differs between `old` and `new`: comments and order stay, and a key that is as it
/// was is not touched.
///
/// # Errors
/// [`ErrorKind::InvalidArgument`] when the text is no TOML, or has a table's name for something else.
pub fn write(text: &str, old: &Settings, new: &Settings) -> Result<String> {
    let invalid = |text: String| {
        Error::new(ErrorKind::InvalidArgument, format!("config.toml cannot be changed: {text}"))
            .hint("Mend the file by hand, or move it away.")
    };
    let mut document: DocumentMut = text.parse().map_err(|e: toml_edit::TomlError| invalid(e.message().to_owned()))?;
    let mut set = |table: &str, key: &str, item: Option<Item>| put(&mut document, table, key, item).map_err(invalid);
    if new.automatic != old.automatic {
        set("automatic", "enabled", Some(value(new.automatic)))?;
    }
    if new.automatic_minutes != old.automatic_minutes {
        set("automatic", "minutes", Some(value(i64::from(new.automatic_minutes))))?;
    }
    if new.automatic_only_if_changed != old.automatic_only_if_changed {
        set("automatic", "only_if_changed", Some(value(new.automatic_only_if_changed)))?;
    }
    for (key, old, new) in [
        ("keep_last", old.keep_last, new.keep_last),
        ("hourly", old.keep_hourly, new.keep_hourly),
        ("daily", old.keep_daily, new.keep_daily),
        ("weekly", old.keep_weekly, new.keep_weekly),
        ("monthly", old.keep_monthly, new.keep_monthly),
    ] {
        if old != new {
            set("retention", key, (new > 0).then(|| value(i64::from(new))))?;
        }
    }
    if new.budget_bytes != old.budget_bytes {
        set("retention", "budget", (new.budget_bytes > 0).then(|| value(budget(new.budget_bytes))))?;
    }
    if new.default_base != old.default_base {
        set("", "default_base", (!new.default_base.is_empty()).then(|| value(&new.default_base)))?;
    }
    if size(new) != size(old) {
        set("", "default_size", Some(value(size(new).to_string())))?;
    }
    if new.max_processes != old.max_processes {
        set("limits", "processes", Some(value(i64::from(new.max_processes))))?;
    }
    if new.max_memory_percent != old.max_memory_percent {
        set("limits", "memory_percent", Some(value(i64::from(new.max_memory_percent))))?;
    }
    if new.notify != old.notify {
        set("notifications", "snapshots", Some(value(new.notify)))?;
    }
    for id in old.shortcuts.keys().filter(|id| !new.shortcuts.contains_key(*id)) {
        set("shortcuts", id, None)?;
    }
    for (id, keys) in new.shortcuts.iter().filter(|(id, keys)| old.shortcuts.get(*id) != Some(keys)) {
        set("shortcuts", id, Some(value(keys)))?;
    }
    Ok(document.to_string())
}

/// Bytes as people write them, where that is exact.
pub fn budget(bytes: u64) -> String {
    for (unit, factor) in [("TiB", 1u64 << 40), ("GiB", 1 << 30), ("MiB", 1 << 20)] {
        if bytes.is_multiple_of(factor) {
            return format!("{} {unit}", bytes / factor);
        }
    }
    bytes.to_string()
}

/// Sets a key of a table (of the document itself where that has no name), or takes it away.
fn put(document: &mut DocumentMut, table: &str, key: &str, item: Option<Item>) -> Result<(), String> {
    let table = if table.is_empty() {
        document.as_table_mut()
    } else {
        let there = document.entry(table).or_insert_with(|| Item::Table(Table::new()));
        if there.is_inline_table() {
            let inline = std::mem::take(there).into_table().map_err(|_| format!("{table} is no table"))?;
            *there = Item::Table(inline);
        }
        there.as_table_mut().ok_or_else(|| format!("{table} is no table"))?
    };
    match (item, table.get_mut(key)) {
        (None, _) => drop(table.remove(key)),
        (Some(item), Some(there)) => {
            // A comment behind the value stays there.
            let decor = there.as_value().map(|v| v.decor().clone());
            *there = item;
            if let (Some(decor), Some(value)) = (decor, there.as_value_mut()) {
                *value.decor_mut() = decor;
            }
        }
        (Some(item), None) => drop(table.insert(key, item)),
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use std::collections::HashMap;

    use zbus::zvariant::OwnedValue;

    use super::*;

    fn settings(text: &str) -> Settings {
        of_config(&Config::parse(text).unwrap())
    }

    #[test]
    fn what_is_not_set_is_the_default() {
        let default = settings("");
        assert!(!default.automatic && default.automatic_only_if_changed && default.notify);
        assert_eq!((default.automatic_minutes, default.default_width, default.default_height), (15, 1280, 800));
        assert_eq!((default.keep_last, default.budget_bytes, default.default_base.as_str()), (0, 0, ""));
    }

    #[test]
    fn only_what_changes_is_written_and_comments_stay() {
        let text =
            "# mine\ndefault_base = \"xfce\" # the big one\n\n[retention]\n# a week\ndaily = 7 # days\nmonthly = 6\n";
        let old = settings(text);
        let new = Settings {
            default_base: "minimal".into(),
            keep_daily: 14,
            keep_monthly: 0,
            budget_bytes: 40 << 30,
            automatic: true,
            default_width: 1920,
            default_height: 1080,
            max_processes: 0,
            max_memory_percent: 50,
            notify: false,
            shortcuts: [("snapshot", "<Control>d"), ("quit", "")].map(|(id, keys)| (id.into(), keys.into())).into(),
            ..old.clone()
        };
        let written = write(text, &old, &new).unwrap();
        for kept in ["# mine\n", "\"minimal\" # the big one\n", "# a week\ndaily = 14 # days\n", "budget = \"40 GiB\""]
        {
            assert!(written.contains(kept), "{kept}: {written}");
        }
        assert!(written.contains("[shortcuts]\n") && written.contains("snapshot = \"<Control>d\"\n"), "{written}");
        assert!(!written.contains("monthly") && !written.contains("minutes"), "{written}");
        assert_eq!(settings(&written), new);
        assert_eq!(write(&written, &new, &new).unwrap(), written);
        let back = write(&written, &new, &old).unwrap();
        assert_eq!(settings(&back), old);
    }

    #[test]
    fn a_file_in_another_style_is_understood() {
        for text in ["retention = { daily = 7 }\n", "retention.daily = 7\n", "automatic.enabled = true\n"] {
            let old = settings(text);
            let new = Settings { keep_weekly: 3, automatic_minutes: 30, ..old.clone() };
            assert_eq!(settings(&write(text, &old, &new).unwrap()), new, "{text}");
        }
        assert!(write("retention = 3", &settings(""), &Settings { keep_last: 3, ..settings("") }).is_err());
    }

    #[test]
    fn a_change_names_its_keys_and_the_others_stay() {
        let current = settings("[retention]\ndaily = 7\n");
        let change = |key: &str, value: OwnedValue| changed(&current, &Dict::from([(key.to_owned(), value)]));
        let new = change("keep_last", 20u32.into()).unwrap();
        assert_eq!(new, Settings { keep_last: 20, ..current.clone() });
        assert!(change("keep_lats", 20u32.into()).unwrap_err().message.contains("keep_lats"));
        assert!(change("keep_last", true.into()).unwrap_err().message.contains("keep_last"));
        assert!(change("automatic_minutes", 0u32.into()).unwrap_err().hint.contains("10080"));
        assert_eq!(change("max_processes", 0u32.into()).unwrap().max_processes, 0);
        assert!(
            change("max_memory_percent", 200u32.into())
                .unwrap_err()
                .message
                .starts_with("max_memory_percent cannot be 200")
        );
        assert!(change("default_width", 12u16.into()).is_err());
        assert!(change("budget_bytes", u64::MAX.into()).is_err());
        let keys = |id: &str, keys: &str| {
            let map = HashMap::from([(id.to_owned(), keys.to_owned())]);
            change("shortcuts", zbus::zvariant::Value::from(map).try_into().unwrap())
        };
        assert_eq!(keys("quit", "").unwrap().shortcuts["quit"], "");
        let error = keys("quit", "Ctrl+Q").unwrap_err();
        assert!(error.message.contains("quit") && error.hint.contains("<Control>"), "{error:?}");
    }

    #[test]
    fn rules_to_try_stand_in_for_those_configured() {
        let rules = Rules { daily: Some(7), weekly: Some(4), ..Rules::default() };
        let options = RetentionOptions { keep_daily: Some(0), keep_last: Some(3), ..RetentionOptions::default() };
        let expected = Rules { keep_last: Some(3), weekly: Some(4), ..Rules::default() };
        assert_eq!(tried(&rules, &options), expected);
        assert_eq!(tried(&rules, &RetentionOptions::default()), rules);
    }
}
