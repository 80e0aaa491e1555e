//! What the parsers share: errors, numbers, escapes, and reading a file up to a size.

use std::fs::File;
use std::io::{self, Read};
use std::path::Path;

/// How much of a text an error shows, in bytes.
const SHOWN: usize = 200;

/// Text that is not what the kernel writes.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{field} in /proc/PID/{file} cannot be read: \"{text}\"")]
pub struct Malformed {
    /// The file.
    pub file: &'static str,
    /// What of it.
    pub field: String,
    /// What stands there, escaped; no more than a few hundred bytes.
    pub text: String,
}

impl Malformed {
    /// `field` of `file` is `text`.
    #[must_use]
    pub fn new(file: &'static str, field: &str, text: &[u8]) -> Self {
        let text = text[..text.len().min(SHOWN)].escape_ascii().to_string();
        Self { file, field: field.to_owned(), text }
    }
}

impl From<Malformed> for io::Error {
    fn from(error: Malformed) -> Self {
        Self::new(io::ErrorKind::InvalidData, error)
    }
}

/// Reads `file` in `directory`, which can have `most` bytes.
///
/// # Errors
/// When it cannot be read (ENOENT or ESRCH: the process has ended), or is longer.
pub fn read(directory: &Path, file: &str, most: u64) -> io::Result<Vec<u8>> {
    let mut bytes = Vec::new();
    File::open(directory.join(file))?.take(most + 1).read_to_end(&mut bytes)?;
    if bytes.len() as u64 > most {
        let what = format!("{}/{file} is longer than {most} bytes", directory.display());
        return Err(io::Error::new(io::ErrorKind::FileTooLarge, what));
    }
    Ok(bytes)
}

/// The lines of `text` that are not empty.
pub(super) fn lines(text: &[u8]) -> impl Iterator<Item = &[u8]> {
    text.split(|byte| *byte == b'\n').filter(|line| !line.is_empty())
}

/// The words of `text`, with blanks and tabs between.
pub(super) fn words(text: &[u8]) -> impl Iterator<Item = &[u8]> {
    text.split(|byte| matches!(byte, b' ' | b'\t')).filter(|word| !word.is_empty())
}

/// A decimal number, with a sign only where it is negative.
pub(crate) fn decimal<T: std::str::FromStr>(text: &[u8]) -> Option<T> {
    let digits = text.strip_prefix(b"-").unwrap_or(text);
    // `parse` accepts a plus sign, which the kernel never writes.
    let plain = !digits.is_empty() && digits.iter().all(u8::is_ascii_digit);
    std::str::from_utf8(text).ok().filter(|_| plain)?.parse().ok()
}

/// A number without a sign.
fn unsigned<T: TryFrom<u64>>(text: &[u8], radix: u32) -> Option<T> {
    let plain = !text.is_empty() && text.iter().all(|byte| char::from(*byte).is_digit(radix));
    let number = u64::from_str_radix(std::str::from_utf8(text).ok().filter(|_| plain)?, radix).ok()?;
    T::try_from(number).ok()
}

/// A hexadecimal number without a prefix.
pub(super) fn hex<T: TryFrom<u64>>(text: &[u8]) -> Option<T> {
    unsigned(text, 16)
}

/// An octal number.
pub(super) fn octal<T: TryFrom<u64>>(text: &[u8]) -> Option<T> {
    unsigned(text, 8)
}

/// What stands before and behind the first `at`.
pub(super) fn split(text: &[u8], at: u8) -> Option<(&[u8], &[u8])> {
    let place = text.iter().position(|byte| *byte == at)?;
    Some((&text[..place], &text[place + 1..]))
}

/// Bytes, with `\ooo` in place of some (`mangle_path` and `seq_escape` in fs/seq_file.c). A backslash that begins no such
/// escape stands for itself.
pub(super) fn unescape_octal(text: &[u8]) -> Vec<u8> {
    let mut bytes = Vec::with_capacity(text.len());
    let mut rest = text;
    while let Some((first, behind)) = rest.split_first() {
        let escaped = (*first == b'\\').then(|| behind.get(..3).and_then(octal::<u8>)).flatten();
        bytes.push(escaped.unwrap_or(*first));
        rest = if escaped.is_some() { &behind[3..] } else { behind };
    }
    bytes
}

/// A device number as the kernel has it inside (`MKDEV`, linux/kdev_t.h): major, minor.
pub(super) fn device(number: u32) -> (u32, u32) {
    (number >> 20, number & 0xf_ffff)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_have_no_sign_but_a_minus() {
        assert_eq!((decimal(b"-1"), decimal::<i32>(b"+1"), decimal::<u32>(b"-1")), (Some(-1), None, None));
        assert_eq!((decimal::<i32>(b"-"), decimal::<i32>(b""), decimal::<u8>(b"256")), (None, None, None));
        assert_eq!(
            (hex(b"fE"), hex::<u32>(b"+1"), hex::<u8>(b"100"), octal::<u8>(b"08")),
            (Some(254u8), None, None, None)
        );
    }

    #[test]
    fn a_file_that_is_too_long_is_refused() {
        let directory = tempfile::tempdir().unwrap();
        std::fs::write(directory.path().join("stat"), [b'x'; 9]).unwrap();
        assert_eq!(read(directory.path(), "stat", 9).unwrap().len(), 9);
        let error = read(directory.path(), "stat", 8).unwrap_err();
        assert!(error.to_string().ends_with("/stat is longer than 8 bytes"), "{error}");
    }

    #[test]
    fn a_backslash_without_three_digits_stands_for_itself() {
        assert_eq!(unescape_octal(br"a\040b\134c\8\04"), br"a b\c\8\04");
        assert_eq!(unescape_octal(br"\777\012"), b"\\777\n");
    }
}
