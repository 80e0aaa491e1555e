//! Search as one types: every word has to be in a snapshot's words or in the names of its day.

use std::collections::HashMap;

use jiff::civil::Date;

use super::model::Snapshot;
use super::words;

/// What is looked for.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Query {
    words: Vec<String>,
}

impl Query {
    pub(crate) fn new(text: &str) -> Self {
        Self { words: text.to_lowercase().split_whitespace().map(str::to_owned).collect() }
    }

    /// Whether it asks for anything.
    pub(crate) fn is_empty(&self) -> bool {
        self.words.is_empty()
    }

    /// Places in the list of those that fit, in order.
    pub(crate) fn find(&self, snapshots: &[Snapshot], today: Date) -> Vec<usize> {
        if self.is_empty() {
            return (0..snapshots.len()).collect();
        }
        let mut days: HashMap<Date, String> = HashMap::new();
        let fits = |(at, snapshot): (usize, &Snapshot)| {
            let day = days.entry(snapshot.local.date()).or_insert_with_key(|date| day_words(today, *date));
            let time = words::time(snapshot.local);
            let has = |word: &String| {
                snapshot.words.contains(word.as_str()) || day.contains(word.as_str()) || time.starts_with(word.as_str())
            };
            self.words.iter().all(has).then_some(at)
        };
        snapshots.iter().enumerate().filter_map(fits).collect()
    }

    /// Whether a session of these words fits; it is of today.
    pub(crate) fn fits(&self, text: &str) -> bool {
        let text = text.to_lowercase();
        self.words.iter().all(|word| text.contains(word))
    }
}

/// All names of a day: as the timeline shows it, with weekday and month in full, and in digits.
fn day_words(today: Date, date: Date) -> String {
    let english = match i64::from((today - date).get_days()) {
        0 => "today",
        1 => "yesterday",
        _ => "",
    };
    let shown = words::day(today, date);
    let full = words::date(date, "%A %-d %B %Y");
    format!("{shown}\n{full}\n{date}\n{english}").to_lowercase()
}

#[cfg(test)]
mod tests {
    use freezeframe_api::records::{SnapshotRow, WindowRow};
    use jiff::civil::date;
    use jiff::tz::TimeZone;
    use proptest::prelude::*;

    use super::*;
    use crate::timeline::model::newest_first;

    fn some() -> Vec<Snapshot> {
        let window = WindowRow { title: "Quarterly report — LibreOffice".into(), application: "soffice".into() };
        let rows = vec![
            SnapshotRow {
                snapshot: "a".into(),
                session: "work".into(),
                label: "Before the Übung".into(),
                created: "2026-11-21T17:42:00.000Z".into(),
                windows: vec![window],
                ..SnapshotRow::default()
            },
            SnapshotRow {
                snapshot: "b".into(),
                session: "play".into(),
                created: "2026-11-12T08:00:00.000Z".into(),
                ..SnapshotRow::default()
            },
        ];
        newest_first(rows, &TimeZone::UTC)
    }

    #[test]
    fn words_are_found_wherever_they_are() {
        let today = date(2026, 11, 22);
        let find = |text: &str| Query::new(text).find(&some(), today);
        for text in
            ["übung", "REPORT", "soffice", "work", "yesterday", "saturday", "2026-11-21", "17:4", "work yesterday"]
        {
            assert_eq!(find(text), [0], "{text}");
        }
        for text in ["play", "12 november", "thursday", "08:00"] {
            assert_eq!(find(text), [1], "{text}");
        }
        assert_eq!(find(" "), [0, 1]);
        assert_eq!(find("november"), [0, 1]);
        assert!(find("work thursday").is_empty());
    }

    proptest! {
        #[test]
        fn more_words_never_find_more(a in "[a-z0-9]{0,3}", b in "[a-zäÖ:-]{0,3}") {
            let today = date(2026, 11, 22);
            let all = some();
            let both = Query::new(&format!("{a} {b}")).find(&all, today);
            let one = Query::new(&a).find(&all, today);
            prop_assert!(both.iter().all(|at| one.contains(at)));
            prop_assert!(both.windows(2).all(|pair| pair[0] < pair[1]));
        }
    }
}
