//! Lengths of time as users write them.

use std::str::FromStr;

use jiff::{SignedDuration, Span, SpanRelativeTo};
use serde::Deserialize;

/// How long deleted snapshots can be brought back; a day where nothing is said.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize)]
#[serde(try_from = "String")]
pub struct KeepDeleted(pub SignedDuration);

impl Default for KeepDeleted {
    fn default() -> Self {
        Self(SignedDuration::from_hours(24))
    }
}

impl FromStr for KeepDeleted {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let span = text.trim().parse::<Span>().ok();
        // A day is 24 hours here, whatever the clocks do.
        let duration = span.and_then(|span| span.to_duration(SpanRelativeTo::days_are_24_hours()).ok());
        duration
            .filter(|duration| !duration.is_negative())
            .map(Self)
            .ok_or_else(|| format!("{text:?} is no length of time: write for example \"1 day\", \"12h\" or \"0s\""))
    }
}

impl TryFrom<String> for KeepDeleted {
    type Error = String;
    fn try_from(text: String) -> Result<Self, String> {
        text.parse()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lengths_of_time_are_read_as_people_write_them() {
        for (text, hours) in [("1 day", 24), ("0s", 0), ("12h", 12), ("2 weeks", 336), ("1 day 2 hours", 26)] {
            assert_eq!(text.parse(), Ok(KeepDeleted(SignedDuration::from_hours(hours))), "{text}");
        }
        for bad in ["", "-1 day", "1 day ago", "1", "soon", "1 month"] {
            assert!(bad.parse::<KeepDeleted>().unwrap_err().contains("12h"), "{bad}");
        }
    }
}
