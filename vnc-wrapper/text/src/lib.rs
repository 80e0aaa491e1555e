//! Text of foreign origin, made fit to be kept, sent and shown.
//!
//! Titles of windows, names of applications, messages of programs, names of files, records on disk and in imports: whatever
//! comes from inside a session, or from bytes that somebody else may have written, passes [`line()`] or [`lines()`] before it
//! is stored, put on a bus or shown. What they return
//!
//! - is valid UTF-8 without NUL, so that it is a string of D-Bus (D-Bus Specification, "Valid UTF-8": no U+0000);
//! - has no control character (Unicode, general category Cc), so that it moves no cursor and starts no escape sequence;
//! - has no character that changes the direction of the text around it (UAX #9: embeddings, overrides, isolates, marks), and
//!   none that is invisible by its purpose (U+FEFF, interlinear annotations, tags);
//! - has no surrogate and no noncharacter, which some libraries refuse;
//! - is not longer than asked for, in characters; what is cut off is told by `…` at the end.
//!
//! Both return what they were given when that is fit already, so passing twice changes nothing.
//!
//! The crate stands on nothing, so that the store, the protocol, the API and all that is built on them can use it.

/// Most characters of a window's title.
pub const TITLE: usize = 256;
/// Most characters of a name: of an application, a base, a program, an engine.
pub const NAME: usize = 128;
/// Most characters of a label, as the user may give one.
pub const LABEL: usize = 200;
/// Most characters of a path that is shown.
pub const PATH: usize = 1024;
/// Most characters of a message: why something failed, what stands in the way, what to do.
pub const MESSAGE: usize = 4096;

/// In place of what cannot be shown.
const REPLACEMENT: char = char::REPLACEMENT_CHARACTER;
/// At the end of what was cut.
const MORE: char = '…';

/// One line of at most `most` characters, without blanks around it. Breaks and tabs become blanks.
///
/// Bytes that are not UTF-8 (encoded surrogates among them) become U+FFFD, as do control characters and noncharacters;
/// characters that only change the direction of text, or are invisible by purpose, are left out.
pub fn line(text: impl AsRef<[u8]>, most: usize) -> String {
    clean(text.as_ref(), most, false)
}

/// As [`line()`], of a text in which line feeds stay, such as a hint.
pub fn lines(text: impl AsRef<[u8]>, most: usize) -> String {
    clean(text.as_ref(), most, true)
}

/// Whether [`line()`] would return `text` as it is.
pub fn is_line(text: &str, most: usize) -> bool {
    line(text, most) == text
}

fn clean(bytes: &[u8], most: usize, breaks: bool) -> String {
    // No character has more than four bytes. What follows these bytes is cut off anyway, unless it is invisible; and a text
    // of mostly invisible characters is nothing that anybody should see whole.
    let enough = most.saturating_add(1).saturating_mul(4);
    let (looked_at, rest) = bytes.split_at(bytes.len().min(enough));
    let looked_at = if rest.is_empty() { looked_at } else { whole_characters(looked_at) };
    let text = String::from_utf8_lossy(looked_at);
    let fit: String = text.chars().filter_map(|c| fit(c, breaks)).collect();
    let fit = fit.trim();
    if rest.is_empty() && fit.chars().count() <= most {
        return fit.to_owned();
    }
    let kept: String = fit.chars().take(most.saturating_sub(1)).collect();
    // Blanks before the dots would not be there when it passes again.
    kept.trim_end().chars().chain([MORE]).take(most).collect()
}

/// Without the beginning of a character that was cut in the middle.
fn whole_characters(bytes: &[u8]) -> &[u8] {
    let begins = |byte: &u8| byte & 0b1100_0000 != 0b1000_0000;
    match bytes.iter().rposition(begins) {
        // The last one may be whole; losing it does no harm where more is cut off than it.
        Some(last) if bytes.len() - last < 4 && bytes[last] >= 0x80 => &bytes[..last],
        _ => bytes,
    }
}

/// What stands for a character; none for one that is left out.
fn fit(c: char, breaks: bool) -> Option<char> {
    match c {
        '\n' if breaks => Some(c),
        '\t' | '\n' | '\r' | '\u{b}' | '\u{c}' | '\u{85}' | '\u{2028}' | '\u{2029}' => Some(' '),
        c if c.is_control() => Some(REPLACEMENT),
        // Marks, embeddings, overrides and isolates of direction, and the deprecated format characters after them.
        '\u{61c}' | '\u{200e}' | '\u{200f}' | '\u{202a}'..='\u{202e}' | '\u{2066}'..='\u{206f}' => None,
        // The byte order mark, interlinear annotations, tags.
        '\u{feff}' | '\u{fff9}'..='\u{fffb}' | '\u{e0000}'..='\u{e007f}' => None,
        // Noncharacters (Unicode, section 23.7).
        '\u{fdd0}'..='\u{fdef}' => Some(REPLACEMENT),
        c if u32::from(c) & 0xfffe == 0xfffe => Some(REPLACEMENT),
        c => Some(c),
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    /// What stands in the head of this crate.
    fn holds(text: &str, most: usize, breaks: bool) {
        assert!(text.chars().count() <= most, "{} characters: {text:?}", text.chars().count());
        for c in text.chars() {
            assert!(!c.is_control() || (breaks && c == '\n'), "a control character in {text:?}");
            let directs =
                matches!(c, '\u{202a}'..='\u{202e}' | '\u{2066}'..='\u{2069}' | '\u{200e}' | '\u{200f}' | '\u{61c}');
            assert!(!directs && c != '\u{feff}', "{c:?} in {text:?}");
            let noncharacter = matches!(c, '\u{fdd0}'..='\u{fdef}') || u32::from(c) & 0xfffe == 0xfffe;
            assert!(!noncharacter, "{c:?} in {text:?}");
        }
    }

    /// Mostly what makes trouble.
    fn hostile() -> impl Strategy<Value = Vec<u8>> {
        let piece = prop_oneof![
            any::<Vec<u8>>(),
            any::<char>().prop_map(|c| c.to_string().into_bytes()),
            // A lone surrogate as some programs encode it, and beginnings of characters.
            prop::sample::select(vec![
                &b"\0"[..],
                b"\x1b[2J",
                b"\xed\xa0\x80",
                b"\xf0\x9f",
                b"\xe2\x80\xae",
                b"\xe2\x81\xa6",
                b"\xef\xbb\xbf",
                b"\xef\xbf\xbe",
                b"\n",
                b"\r\n",
                b" ",
                b"a",
            ])
            .prop_map(<[u8]>::to_vec),
        ];
        prop::collection::vec(piece, 0..40).prop_map(|pieces| pieces.concat())
    }

    proptest! {
        /// Issue 9, number 7.
        #[test]
        fn whatever_comes_in_is_valid_bounded_and_printable_and_stays_so(bytes in hostile(), most in 0usize..60) {
            for (breaks, make) in [(false, line as fn(Vec<u8>, usize) -> String), (true, lines)] {
                let once = make(bytes.clone(), most);
                holds(&once, most, breaks);
                prop_assert_eq!(make(once.clone().into_bytes(), most), once);
            }
        }

        #[test]
        fn what_is_fit_is_not_changed(text in "[a-zA-Z0-9äöüß€漢字😀.,()]{0,50}") {
            prop_assert!(is_line(&text, 50));
        }
    }

    #[test]
    fn what_cannot_be_shown_is_replaced_or_left_out() {
        assert_eq!(line("a\0b", TITLE), "a\u{fffd}b");
        assert_eq!(line("invoice\u{202e}gpj.exe", TITLE), "invoicegpj.exe");
        assert_eq!(line(b"a\xed\xa0\x80b", TITLE), "a\u{fffd}\u{fffd}\u{fffd}b");
        assert_eq!(line("\u{feff}two\r\nlines\t ", TITLE), "two  lines");
        assert_eq!(lines("two\nlines\x1b[0m", TITLE), "two\nlines\u{fffd}[0m");
        assert_eq!(line("größer: 漢字 👩‍💻", TITLE), "größer: 漢字 👩‍💻");
    }

    #[test]
    fn a_megabyte_becomes_a_title() {
        let title = line("ß".repeat(1 << 19), TITLE);
        assert_eq!(title.chars().count(), TITLE);
        assert!(title.ends_with("ß…"));
        assert_eq!(line("👩".repeat(300), TITLE).chars().filter(|c| *c == REPLACEMENT).count(), 0);
        assert_eq!((line("abc", 0).as_str(), line("abc", 1).as_str(), line("abc", 3).as_str()), ("", "…", "abc"));
    }
}
