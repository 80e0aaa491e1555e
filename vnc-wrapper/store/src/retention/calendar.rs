//! The hour, day, week and month that an instant lies in.

use jiff::Timestamp;
use jiff::tz::TimeZone;

/// A stretch of the calendar.
#[derive(Clone, Copy, Debug)]
pub(super) enum Period {
    Hour,
    Day,
    Week,
    Month,
}

impl Period {
    /// The name of the stretch that `instant` lies in; two instants have the same one when they lie in the same.
    pub(super) fn of(self, instant: Timestamp, timezone: &TimeZone) -> String {
        let local = timezone.to_datetime(instant);
        match self {
            // The offset distinguishes the two hours that bear one name when the clocks go back.
            Self::Hour => format!("{} {:02}:00{}", local.date(), local.hour(), timezone.to_offset(instant)),
            Self::Day => local.date().to_string(),
            Self::Week => {
                let week = local.date().iso_week_date();
                format!("{:04}-W{:02}", week.year(), week.week())
            }
            Self::Month => format!("{:04}-{:02}", local.year(), local.month()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn name(period: Period, instant: &str) -> String {
        // The rule of central Europe, written out: no test depends on the machine's time zones.
        let timezone = TimeZone::posix("CET-1CEST,M3.5.0,M10.5.0/3").unwrap();
        period.of(instant.parse().unwrap(), &timezone)
    }

    #[test]
    fn stretches_are_those_of_the_time_zone() {
        assert_eq!(name(Period::Day, "2026-11-21T22:59:59Z"), "2026-11-21");
        assert_eq!(name(Period::Day, "2026-11-21T23:00:00Z"), "2026-11-22");
        assert_eq!(name(Period::Month, "2026-10-31T22:59:59Z"), "2026-10");
        assert_eq!(name(Period::Month, "2026-10-31T23:00:00Z"), "2026-11");
    }

    #[test]
    fn a_week_begins_on_monday_and_its_year_is_that_of_its_thursday() {
        assert_eq!(name(Period::Week, "2026-11-22T12:00:00Z"), "2026-W47");
        assert_eq!(name(Period::Week, "2026-11-23T12:00:00Z"), "2026-W48");
        assert_eq!(name(Period::Week, "2027-01-03T12:00:00Z"), "2026-W53");
    }

    #[test]
    fn an_hour_that_the_clocks_repeat_is_two() {
        let (first, second) = (name(Period::Hour, "2026-10-25T00:30:00Z"), name(Period::Hour, "2026-10-25T01:30:00Z"));
        assert_eq!((first.as_str(), second.as_str()), ("2026-10-25 02:00+02", "2026-10-25 02:00+01"));
    }
}
