//! The rules as a user sets them, in the table `[retention]` of `config.toml`:
//!
//! ```toml
//! [retention]
//! keep_last = 20
//! hourly = 24
//! daily = 7
//! weekly = 4
//! monthly = 6
//! budget = "40 GiB"
//! ```
//!
//! Every key is optional, and one that is left out is a rule that is off. No table keeps everything. A zero is refused:
//! it could be meant as "off" or as "keep none", and the second would cost somebody a timeline.

use std::fmt;

use serde::de::{self, Deserializer, Visitor};
use serde::{Deserialize, Serialize, Serializer};

/// What is kept. The default keeps everything.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Rules {
    /// How many of the newest.
    #[serde(deserialize_with = "count", skip_serializing_if = "Option::is_none")]
    pub keep_last: Option<u32>,
    /// How many hours.
    #[serde(deserialize_with = "count", skip_serializing_if = "Option::is_none")]
    pub hourly: Option<u32>,
    /// How many days.
    #[serde(deserialize_with = "count", skip_serializing_if = "Option::is_none")]
    pub daily: Option<u32>,
    /// How many weeks.
    #[serde(deserialize_with = "count", skip_serializing_if = "Option::is_none")]
    pub weekly: Option<u32>,
    /// How many months.
    #[serde(deserialize_with = "count", skip_serializing_if = "Option::is_none")]
    pub monthly: Option<u32>,
    /// How many bytes all of them together may take: a number, or text as `"40 GiB"`.
    #[serde(deserialize_with = "size", serialize_with = "write_size", skip_serializing_if = "Option::is_none")]
    pub budget: Option<u64>,
}

impl Rules {
    /// Whether any rule is set that keeps by number or by calendar.
    pub fn counts(&self) -> bool {
        [self.keep_last, self.hourly, self.daily, self.weekly, self.monthly].iter().any(|n| n.unwrap_or(0) > 0)
    }

    /// Whether nothing ever goes.
    pub fn keep_everything(&self) -> bool {
        !self.counts() && self.budget.is_none()
    }
}

fn count<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Option<u32>, D::Error> {
    match u32::deserialize(deserializer)? {
        0 => Err(de::Error::custom("0 would keep none; leave the key out to switch this rule off")),
        count => Ok(Some(count)),
    }
}

/// Why a text is no size.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{0:?} is no size: write a number above 0 with kB, MB, GB, TB, KiB, MiB, GiB or TiB, as \"40 GiB\"")]
pub struct BadSize(pub String);

/// The bytes that `text` says, as `40 GiB`, `1.5TB` or `5000000`.
///
/// # Errors
/// [`BadSize`] when it is none, zero, or more than 8 EiB.
pub fn parse_size(text: &str) -> Result<u64, BadSize> {
    let bad = || BadSize(text.to_owned());
    let trimmed = text.trim();
    let digits = trimmed.find(|c: char| !c.is_ascii_digit() && c != '.').unwrap_or(trimmed.len());
    let (number, unit) = trimmed.split_at(digits);
    let factor: u64 = match unit.trim().to_ascii_lowercase().as_str() {
        "" | "b" => 1,
        "kb" => 1000,
        "mb" => 1000_u64.pow(2),
        "gb" => 1000_u64.pow(3),
        "tb" => 1000_u64.pow(4),
        "kib" => 1 << 10,
        "mib" => 1 << 20,
        "gib" => 1 << 30,
        "tib" => 1 << 40,
        _ => return Err(bad()),
    };
    let (whole, part) = number.split_once('.').unwrap_or((number, ""));
    if (whole.is_empty() && part.is_empty()) || part.contains('.') || part.len() > 9 {
        return Err(bad());
    }
    let whole: u64 = if whole.is_empty() { 0 } else { whole.parse().map_err(|_| bad())? };
    let thousandths: u64 = format!("{part:0<9}").parse().map_err(|_| bad())?;
    // In wide integers, so that no size is rounded through a float.
    let bytes = u128::from(whole) * u128::from(factor) + u128::from(thousandths) * u128::from(factor) / 1_000_000_000;
    match u64::try_from(bytes) {
        Ok(bytes) if bytes > 0 && bytes <= 1 << 63 => Ok(bytes),
        _ => Err(bad()),
    }
}

fn size<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Option<u64>, D::Error> {
    struct Size;
    impl Visitor<'_> for Size {
        type Value = Option<u64>;
        fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
            f.write_str("a size, as \"40 GiB\"")
        }
        fn visit_u64<E: de::Error>(self, bytes: u64) -> Result<Self::Value, E> {
            self.visit_str(&bytes.to_string())
        }
        fn visit_i64<E: de::Error>(self, bytes: i64) -> Result<Self::Value, E> {
            self.visit_str(&bytes.to_string())
        }
        fn visit_str<E: de::Error>(self, text: &str) -> Result<Self::Value, E> {
            parse_size(text).map(Some).map_err(E::custom)
        }
    }
    deserializer.deserialize_any(Size)
}

// As text, because a TOML integer ends at 2^63 - 1.
#[expect(clippy::ref_option, reason = "the signature is serde's")]
fn write_size<S: Serializer>(bytes: &Option<u64>, serializer: S) -> Result<S::Ok, S::Error> {
    match bytes {
        Some(bytes) => serializer.collect_str(bytes),
        None => serializer.serialize_none(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(text: &str) -> Result<Rules, String> {
        toml::from_str(text).map_err(|e| e.to_string())
    }

    #[test]
    fn every_key_is_optional_and_no_key_keeps_everything() {
        assert_eq!(read("").unwrap(), Rules::default());
        assert!(Rules::default().keep_everything());
        let rules = read("keep_last = 20\nmonthly = 6\nbudget = \"40 GiB\"").unwrap();
        assert_eq!((rules.keep_last, rules.monthly, rules.budget), (Some(20), Some(6), Some(40 << 30)));
        assert_eq!(read(&toml::to_string(&rules).unwrap()).unwrap(), rules);
        assert_eq!(read("budget = 5000000").unwrap().budget, Some(5_000_000));
    }

    #[test]
    fn what_cannot_be_meant_is_refused_with_the_key() {
        for (text, said) in [
            ("yearly = 3", "unknown field `yearly`"),
            ("daily = 0", "leave the key out"),
            ("daily = -1", "daily"),
            ("hourly = 1.5", "hourly"),
            ("budget = \"40 apples\"", "40 apples"),
            ("budget = \"0 GiB\"", "above 0"),
            ("budget = 0", "above 0"),
            ("budget = -5", "-5"),
            ("budget = true", "a size"),
        ] {
            let error = read(text).unwrap_err();
            assert!(error.contains(said), "{text}: {error}");
        }
    }

    #[test]
    fn sizes_are_read_as_written() {
        for (text, bytes) in [
            ("1", 1),
            ("5 kB", 5000),
            ("1.5GiB", 3 << 29),
            (".5 MiB", 1 << 19),
            (" 2 tib ", 2 << 40),
            ("8388608 TiB", 1 << 63),
        ] {
            assert_eq!(parse_size(text), Ok(bytes), "{text}");
        }
        for bad in
            ["", ".", "GiB", "1.2.3 MB", "-1", "1e9", "8388609 TiB", "99999999999999999999999", "0.0000000001 B", "1 G"]
        {
            assert!(parse_size(bad).is_err(), "{bad}");
        }
    }
}
