//! The size of a display.

use std::fmt;
use std::str::FromStr;

use serde::Deserialize;

/// Width and height in pixels, within what the display server takes.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize)]
#[serde(try_from = "String")]
pub struct Size {
    /// 320 to 7680.
    pub width: u16,
    /// 200 to 4320.
    pub height: u16,
}

impl Default for Size {
    fn default() -> Self {
        Self { width: 1280, height: 800 }
    }
}

impl fmt::Display for Size {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}x{}", self.width, self.height)
    }
}

impl FromStr for Size {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let rule = || format!("{text:?} is not a size: write WIDTHxHEIGHT, from 320x200 to 7680x4320");
        let (width, height) = text.split_once(['x', 'X', '×']).ok_or_else(rule)?;
        let (Ok(width), Ok(height)) = (width.parse(), height.parse()) else { return Err(rule()) };
        if (320..=7680).contains(&width) && (200..=4320).contains(&height) {
            Ok(Self { width, height })
        } else {
            Err(rule())
        }
    }
}

impl TryFrom<String> for Size {
    type Error = String;
    fn try_from(text: String) -> Result<Self, String> {
        text.parse()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sizes_within_the_limits_are_taken_and_others_refused() {
        for good in ["1280x800", "320x200", "7680x4320"] {
            assert_eq!(good.parse::<Size>().unwrap().to_string(), good);
        }
        for bad in ["", "x", "1280", "1280x", "319x200", "320x199", "7681x4320", "-1x5", "1280x800x2", "99999x99999"] {
            assert!(bad.parse::<Size>().unwrap_err().contains("7680x4320"), "{bad}");
        }
    }
}
