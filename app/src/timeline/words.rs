//! Sizes and states in words; times too, in the user's language.

use freezeframe_api::records::SnapshotRow;
use gtk::glib;

pub(crate) use crate::i18n::{date, day, moment, time};
use crate::i18n::{gettext, gettext_f};

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
        // It was restored.
        (row.verified && !damaged, "emblem-ok-symbolic", gettext("Verified")),
        // It was read back, and nobody has restored it.
        (row.intact && !row.verified && !damaged, "emblem-ok-symbolic", gettext("Intact")),
        (!row.resume_failure.is_empty(), "dialog-warning-symbolic", gettext("Could not be resumed")),
        // The clock was wrong when it was taken, or is wrong now.
        (row.future, "dialog-warning-symbolic", gettext("From the future")),
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
    use super::*;

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
