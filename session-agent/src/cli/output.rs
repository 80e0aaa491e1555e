//! What is printed: one JSON document, or text for people.

use std::io::{self, Write};

use freezeframe_api::{Error, ErrorKind, Result};
use serde::Serialize;
use serde_json::json;

/// How results are printed.
#[derive(Clone, Copy, Debug)]
pub(super) struct Output {
    pub(super) json: bool,
}

impl Output {
    /// Prints a result: the record as JSON, or what `text` makes of it.
    pub(super) fn print<T: Serialize>(self, record: &T, text: impl FnOnce(&T) -> String) -> Result<()> {
        let out = if self.json {
            serde_json::to_string(record)
                .map_err(|e| Error::new(ErrorKind::Failed, format!("cannot write the answer as JSON: {e}")))?
        } else {
            text(record)
        };
        write_out(out.as_bytes(), true)
    }

    /// Prints an error: on standard output as JSON, else on standard error for people.
    pub(super) fn error(self, error: &Error) {
        if self.json {
            let mut told = json!({"name": error.kind.name(), "message": error.message, "hint": error.hint});
            if !error.key.is_empty() {
                told["key"] = json!(error.key);
            }
            let document = json!({ "error": told });
            // Nobody is left to tell when this cannot be written.
            let _ = write_out(document.to_string().as_bytes(), true);
            return;
        }
        crate::stderr::say(format_args!("sessionctl: {}", clean_lines(&error.message)));
        if !error.hint.is_empty() {
            crate::stderr::say(format_args!("{}", clean_lines(&error.hint)));
        }
    }
}

/// Writes to standard output; a reader that left early is no error.
pub(super) fn write_out(bytes: &[u8], line: bool) -> Result<()> {
    let mut out = io::stdout().lock();
    let end: &[u8] = if line && !bytes.is_empty() { b"\n" } else { b"" };
    match out.write_all(bytes).and_then(|()| out.write_all(end)).and_then(|()| out.flush()) {
        Err(e) if e.kind() != io::ErrorKind::BrokenPipe => {
            Err(Error::new(ErrorKind::Failed, format!("cannot write to standard output: {e}")))
        }
        _ => Ok(()),
    }
}

/// Text from inside a session, made harmless for a terminal.
pub(super) fn clean(text: &str) -> String {
    freezeframe_text::line(text, usize::MAX)
}

fn clean_lines(text: &str) -> String {
    freezeframe_text::lines(text, usize::MAX)
}

/// Columns, aligned to the left; `empty` when there is no row.
pub(super) fn table(head: &[&str], rows: &[Vec<String>], empty: &str) -> String {
    if rows.is_empty() {
        return empty.to_owned();
    }
    let head: Vec<String> = head.iter().map(|h| (*h).to_owned()).collect();
    let all: Vec<Vec<String>> =
        std::iter::once(&head).chain(rows).map(|row| row.iter().map(|cell| clean(cell)).collect()).collect();
    let width = |column: usize| all.iter().filter_map(|r| r.get(column)).map(|c| c.chars().count()).max().unwrap_or(0);
    let widths: Vec<usize> = (0..head.len()).map(width).collect();
    let line = |row: &Vec<String>| {
        let cells = row.iter().zip(&widths).map(|(cell, width)| format!("{cell:<width$}"));
        cells.collect::<Vec<_>>().join("  ").trim_end().to_owned()
    };
    all.iter().map(line).collect::<Vec<_>>().join("\n")
}

/// Text cut to `limit` characters.
pub(super) fn shorten(text: &str, limit: usize) -> String {
    if text.chars().count() <= limit {
        return text.to_owned();
    }
    text.chars().take(limit.saturating_sub(1)).chain(['…']).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn tables_are_aligned_and_harmless() {
        let rows = vec![vec!["ä".into(), "x\x1b[31m".into()], vec!["long".into(), String::new()]];
        assert_eq!(table(&["A", "B"], &rows, ""), "A     B\nä     x\u{fffd}[31m\nlong");
        assert_eq!(table(&["A"], &[], "nothing"), "nothing");
        assert_eq!(shorten("abcdef", 4), "abc…");
    }
}
