//! Times as people say them, in the language of the other words.
//!
//! The names of days and months are strings as all others are, rather than the C library's (`nl_langinfo`): those follow `LC_TIME`,
//! and `LANGUAGE` alone would leave an English day in a German sentence.

use jiff::civil::{Date, DateTime, Weekday};
use jiff::fmt::strtime;

use crate::{gettext, gettext_f};

/// A day as seen from another: "Today", "Yesterday", "Thursday", "12 November", "12 November 2025".
pub fn day(today: Date, day: Date) -> String {
    let ago = i64::from((today - day).get_days());
    match ago {
        0 => gettext("Today"),
        1 => gettext("Yesterday"),
        // Translators: a day of the last week, as strftime(3) writes it: "Thursday".
        2..=6 => date(day, &gettext("%A")),
        // Translators: a day of this year, as strftime(3) writes it: "12 November".
        _ if day.year() == today.year() => date(day, &gettext("%-d %B")),
        // Translators: a day of another year, as strftime(3) writes it: "12 November 2025".
        _ => date(day, &gettext("%-d %B %Y")),
    }
}

/// A time of day: "17:42".
pub fn time(time: DateTime) -> String {
    format!("{:02}:{:02}", time.hour(), time.minute())
}

/// A moment as seen from a day: "Yesterday, 17:42".
pub fn moment(today: Date, when: DateTime) -> String {
    // Translators: a moment: "Yesterday, 17:42".
    gettext_f("{day}, {time}", &[("day", &day(today, when.date())), ("time", &time(when))])
}

/// A date by strftime(3), with names in the user's language; a pattern that is none gives "2026-11-22".
pub fn date(date: Date, pattern: &str) -> String {
    let literal = |name: String| name.replace('%', "%%");
    let named = pattern.replace("%A", &literal(weekday(date))).replace("%B", &literal(month(date)));
    strtime::format(&named, date).unwrap_or_else(|_| date.to_string())
}

fn weekday(date: Date) -> String {
    match date.weekday() {
        Weekday::Monday => gettext("Monday"),
        Weekday::Tuesday => gettext("Tuesday"),
        Weekday::Wednesday => gettext("Wednesday"),
        Weekday::Thursday => gettext("Thursday"),
        Weekday::Friday => gettext("Friday"),
        Weekday::Saturday => gettext("Saturday"),
        Weekday::Sunday => gettext("Sunday"),
    }
}

fn month(date: Date) -> String {
    match date.month() {
        1 => gettext("January"),
        2 => gettext("February"),
        3 => gettext("March"),
        4 => gettext("April"),
        5 => gettext("May"),
        6 => gettext("June"),
        7 => gettext("July"),
        8 => gettext("August"),
        9 => gettext("September"),
        10 => gettext("October"),
        11 => gettext("November"),
        _ => gettext("December"),
    }
}

#[cfg(test)]
mod tests {
    use jiff::civil::date as on;

    use super::*;

    #[test]
    fn days_are_named_as_people_do() {
        let today = on(2026, 11, 22);
        assert_eq!(day(today, today), "Today");
        assert_eq!(day(today, on(2026, 11, 21)), "Yesterday");
        assert_eq!(day(today, on(2026, 11, 19)), "Thursday");
        assert_eq!(day(today, on(2026, 11, 12)), "12 November");
        assert_eq!(day(today, on(2025, 11, 12)), "12 November 2025");
        // A clock that was wrong once: what is of tomorrow is said by its date.
        assert_eq!(day(today, on(2026, 11, 23)), "23 November");
        assert_eq!(moment(today, on(2026, 11, 21).at(17, 42, 9, 0)), "Yesterday, 17:42");
    }

    #[test]
    fn every_day_and_month_has_its_name() {
        let mut some = on(2026, 1, 1);
        while some.year() == 2026 {
            assert_eq!(date(some, "%A %-d %B %Y"), strtime::format("%A %-d %B %Y", some).unwrap());
            some = some.tomorrow().unwrap();
        }
        assert_eq!(date(on(2026, 5, 3), "%"), "2026-05-03");
    }
}
