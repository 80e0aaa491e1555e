//! The user's language.
//!
//! English is in the sources; `po/` has the other languages, which `build.rs` compiles. Strings of `.ui` files are
//! translated by GTK. In Rust:
//!
//! ```ignore
//! gettext("Try Again")
//! gettext_f("{name} is running", &[("name", &name)])
//! ngettext_f("{n} snapshot", "{n} snapshots", count, &[("n", &count.to_string())])
//! ```
//!
//! The first argument has to be a literal: `tests/translations.rs` reads it from the source, and fails for one that no
//! translator has seen. Placeholders have names, so that a translation may use another order.

use std::path::{Path, PathBuf};

pub(crate) use gettextrs::gettext;

/// The name of the files with translations.
const DOMAIN: &str = "freezeframe";

/// Says where the translations are. The language itself is the environment's: GTK takes it when it starts.
pub(crate) fn start() {
    let started = gettextrs::bindtextdomain(DOMAIN, directory())
        .and_then(|_| gettextrs::bind_textdomain_codeset(DOMAIN, "UTF-8"))
        .and_then(|_| gettextrs::textdomain(DOMAIN));
    if let Err(error) = started {
        tracing::warn!(%error, "no translations; everything is in English");
    }
}

/// Where translations lie: beside the installed program, or where the build has put them.
fn directory() -> PathBuf {
    let program = std::env::current_exe().unwrap_or_default();
    let installed = program.ancestors().nth(2).unwrap_or(Path::new("/usr")).join("share/locale");
    let built = Path::new(env!("FREEZEFRAME_BUILT_LOCALES"));
    // A program in `bin` is an installed one, of which the build's directory may be gone.
    let in_bin = program.parent().is_some_and(|directory| directory.ends_with("bin"));
    if in_bin || !built.is_dir() { installed } else { built.to_owned() }
}

/// The translation with `{name}` replaced by the value of that name.
pub(crate) fn gettext_f(text: &str, values: &[(&str, &str)]) -> String {
    fill(&gettext(text), values)
}

/// The translation for that many, with `{name}` replaced by the value of that name.
pub(crate) fn ngettext_f(one: &str, many: &str, count: u64, values: &[(&str, &str)]) -> String {
    // Languages look at the last digits at most, so a larger number's form is that of its last nine.
    let count = if count > 1_000_000_000 { 1_000_000_000 + count % 1_000_000_000 } else { count };
    fill(&gettextrs::ngettext(one, many, count as u32), values)
}

/// One pass, so that a value which looks like a placeholder stays what it is.
fn fill(text: &str, values: &[(&str, &str)]) -> String {
    let mut filled = String::with_capacity(text.len());
    let mut rest = text;
    while let Some(start) = rest.find('{') {
        filled.push_str(&rest[..start]);
        rest = &rest[start..];
        let known = rest.find('}').and_then(|end| {
            let (_, value) = values.iter().find(|(name, _)| *name == &rest[1..end])?;
            Some((end, value))
        });
        let Some((end, value)) = known else {
            filled.push('{');
            rest = &rest[1..];
            continue;
        };
        filled.push_str(value);
        rest = &rest[end + 1..];
    }
    filled.push_str(rest);
    filled
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn placeholders_are_filled_by_name() {
        let values = [("a", "1"), ("name", "{a}")];
        assert_eq!(fill("{name} of {a} {b} {", &values), "{a} of 1 {b} {");
        assert_eq!(fill("", &values), "");
        assert_eq!(ngettext_f("{n} file", "{n} files", 1, &[("n", "1")]), "1 file");
        assert_eq!(ngettext_f("{n} file", "{n} files", u64::MAX, &[("n", "many")]), "many files");
    }
}
