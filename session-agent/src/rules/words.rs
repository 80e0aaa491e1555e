//! Times and sizes for people.

use jiff::{Timestamp, Zoned};

/// "Today, 17:42", "Yesterday, 17:42", "Friday, 17:42", "3 May, 17:42" or "3 May 2025, 17:42", in the zone of `now`.
pub fn moment(then: Timestamp, now: &Zoned) -> String {
    let then = then.to_zoned(now.time_zone().clone());
    let days = (now.date() - then.date()).get_days();
    let day = match days {
        0 => "Today".to_owned(),
        1 => "Yesterday".to_owned(),
        2..=6 => then.strftime("%A").to_string(),
        _ if then.year() == now.year() => then.strftime("%-d %B").to_string(),
        _ => then.strftime("%-d %B %Y").to_string(),
    };
    format!("{day}, {}", then.strftime("%H:%M"))
}

/// As [`moment`], of an RFC 3339 time; the text itself when it is none.
pub fn moment_of(text: &str, now: &Zoned) -> String {
    text.parse().map_or_else(|_| text.to_owned(), |then| moment(then, now))
}

/// "512 B", "3.4 MiB".
#[allow(clippy::cast_precision_loss, reason = "three digits are shown")]
pub fn bytes(count: u64) -> String {
    let mut value = count as f64;
    for unit in ["B", "KiB", "MiB", "GiB"] {
        if value < 1024.0 {
            return if unit == "B" { format!("{count} B") } else { format!("{value:.1} {unit}") };
        }
        value /= 1024.0;
    }
    format!("{value:.1} TiB")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn moments_are_told_as_people_do() {
        let now: Zoned = "2026-11-22T00:30:00+01:00[Europe/Berlin]".parse().unwrap();
        for (then, text) in [
            ("2026-11-21T23:10:00Z", "Today, 00:10"),
            ("2026-11-21T22:59:00Z", "Yesterday, 23:59"),
            ("2026-11-20T16:42:00Z", "Friday, 17:42"),
            ("2026-11-15T16:42:00Z", "15 November, 17:42"),
            ("2025-05-03T15:42:00Z", "3 May 2025, 17:42"),
        ] {
            assert_eq!(moment(then.parse().unwrap(), &now), text);
            assert_eq!(moment_of(then, &now), text);
        }
        assert_eq!(moment_of("", &now), "");
    }

    #[test]
    fn sizes_have_one_digit_after_the_point() {
        assert_eq!(bytes(512), "512 B");
        assert_eq!(bytes(3_565_158), "3.4 MiB");
        assert_eq!(bytes(1 << 40), "1.0 TiB");
    }
}
