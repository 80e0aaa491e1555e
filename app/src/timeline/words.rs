//! Times, sizes and states in words, in the user's language.

use freezeframe_api::records::SnapshotRow;
use gtk::glib;
use jiff::civil::{Date, DateTime};

use crate::i18n::{gettext, gettext_f};

/// A day as seen from another: "Today", "Yesterday", "Thursday", "12 November".
pub(crate) fn day(today: Date, date: Date) -> String {
    let ago = i64::from((today - date).get_days());
    match ago {
        0 => gettext("Today"),
        1 => gettext("Yesterday"),
        // Translators: a day of the last week, as strftime(3) writes it: "Thursday".
        2..=6 => format(date, &gettext("%A")),
        // Translators: a day of this year, as strftime(3) writes it: "12 November".
        _ if date.year() == today.year() => format(date, &gettext("%-d %B")),
        // Translators: a day of another year, as strftime(3) writes it: "12 November 2025".
        _ => format(date, &gettext("%-d %B %Y")),
    }
}

/// A time of day: "17:42".
pub(crate) fn time(time: DateTime) -> String {
    format!("{:02}:{:02}", time.hour(), time.minute())
}

/// A moment as seen from a day: "Yesterday, 17:42".
pub(crate) fn moment(today: Date, when: DateTime) -> String {
    // Translators: a moment: "Yesterday, 17:42".
    gettext_f("{day}, {time}", &[("day", &day(today, when.date())), ("time", &time(when))])
}

/// A date by strftime(3), in the user's language.
pub(crate) fn format(date: Date, pattern: &str) -> String {
    let (year, month, day) = (i32::from(date.year()), i32::from(date.month()), i32::from(date.day()));
    glib::DateTime::from_local(year, month, day, 12, 0, 0.0)
        .and_then(|date| date.format(pattern))
        .map_or_else(|_| date.to_string(), |text| text.trim().to_owned())
}

/// "12.3 MB".
pub(crate) fn bytes(bytes: u64) -> String {
    glib::format_size(bytes).to_string()
}

/// What it takes and how long it stood still: "12.3 MB · 140 MB shared · 0.4 s pause".
pub(crate) fn cost(row: &SnapshotRow) -> String {
    let mut parts = vec![bytes(row.own_bytes)];
    if row.shared_bytes > 0 {
        // Translators: bytes that a snapshot has in common with others.
        parts.push(gettext_f("{size} shared", &[("size", &bytes(row.shared_bytes))]));
    }
    parts.push(pause(row.pause_ms));
    parts.join(" · ")
}

/// "0.41 s pause", "38 ms pause".
pub(crate) fn pause(milliseconds: f64) -> String {
    if milliseconds < 100.0 {
        return gettext_f("{n} ms pause", &[("n", &format!("{milliseconds:.0}"))]);
    }
    gettext_f("{n} s pause", &[("n", &format!("{:.2}", milliseconds / 1000.0))])
}

/// What sets a snapshot apart: icon and word of each mark.
pub(crate) fn marks(row: &SnapshotRow) -> Vec<(&'static str, String)> {
    let damaged = row.state == "damaged";
    [
        (damaged, "dialog-warning-symbolic", gettext("Damaged")),
        (row.pinned, "view-pin-symbolic", gettext("Pinned")),
        (row.state == "committing", "document-save-symbolic", gettext("Being packed")),
        (row.verified && !damaged, "emblem-ok-symbolic", gettext("Verified")),
        (row.imported, "folder-download-symbolic", gettext("Imported")),
        (row.automatic, "alarm-symbolic", gettext("Automatic")),
    ]
    .into_iter()
    .filter(|(has, ..)| *has)
    .map(|(_, icon, word)| (icon, word))
    .collect()
}

/// A session's state.
pub(crate) fn state(state: &str) -> String {
    match state {
        "running" => gettext("Running"),
        "starting" => gettext("Starting"),
        "saving" => gettext("Being saved"),
        "stopping" => gettext("Stopping"),
        "crashed" => gettext("Crashed"),
        other => other.to_owned(),
    }
}

/// A message of the agent, which begins small and has no full stop, as a sentence.
pub(crate) fn sentence(message: &str) -> String {
    let mut letters = message.trim_end_matches('.').chars();
    letters.next().map_or_else(String::new, |first| first.to_uppercase().chain(letters).chain(['.']).collect())
}

#[cfg(test)]
mod tests {
    use jiff::civil::date;

    use super::*;

    #[test]
    fn days_are_named_as_people_do() {
        let today = date(2026, 11, 22);
        assert_eq!(day(today, today), "Today");
        assert_eq!(day(today, date(2026, 11, 21)), "Yesterday");
        assert_eq!(day(today, date(2026, 11, 19)), "Thursday");
        assert_eq!(day(today, date(2026, 11, 12)), "12 November");
        assert_eq!(day(today, date(2025, 11, 12)), "12 November 2025");
        // A clock that was wrong once: what is of tomorrow is said by its date.
        assert_eq!(day(today, date(2026, 11, 23)), "23 November");
        assert_eq!(moment(today, date(2026, 11, 21).at(17, 42, 9, 0)), "Yesterday, 17:42");
    }

    #[test]
    fn costs_leave_out_what_is_nothing() {
        let mut row = SnapshotRow { own_bytes: 12_300_000, pause_ms: 412.0, ..SnapshotRow::default() };
        assert_eq!(cost(&row).replace('\u{a0}', " "), "12.3 MB · 0.41 s pause");
        row.shared_bytes = 140_000_000;
        row.pause_ms = 38.0;
        assert_eq!(cost(&row).replace('\u{a0}', " "), "12.3 MB · 140.0 MB shared · 38 ms pause");
    }

    #[test]
    fn sentences_end_once() {
        assert_eq!(sentence("it broke"), "It broke.");
        assert_eq!(sentence("It broke."), "It broke.");
        assert_eq!(sentence(""), "");
    }
}
