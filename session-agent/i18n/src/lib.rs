//! The user's language.
//!
//! English is in the sources; `data/po/` has the other languages, which `build.rs` compiles. Strings of `.ui` files are
//! translated by GTK. In Rust:
//!
//! ```ignore
//! gettext("Try Again")
//! gettext_f("{name} is running", &[("name", &name)])
//! ngettext_f("{n} snapshot", "{n} snapshots", count, &[("n", &count.to_string())])
//! ```
//!
//! The first argument has to be a literal: `tests/translations` reads it from the sources of all faces, and fails for one that
//! no translator has seen. Placeholders have names, so that a translation may use another order.
//!
//! [`day`], [`time`] and [`moment`] are times as people say them.

mod date;
mod fill;
mod locale;

use std::path::{Path, PathBuf};

pub use gettextrs::gettext;

pub use date::{date, day, moment, time};

/// The name of the files with translations.
const DOMAIN: &str = "freezeframe";

/// Takes the language of the environment (locale(7): `LANGUAGE`, `LC_ALL`, `LC_MESSAGES`, `LANG`). To be called before there
/// are threads; later, and where the environment's locale is not installed, everything stays in English.
pub fn start() {
    if let Err(error) = locale::take() {
        tracing::warn!(error, "everything is in English");
    }
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
pub fn gettext_f(text: &str, values: &[(&str, &str)]) -> String {
    fill::fill(&gettext(text), values)
}

/// The translation for that many, with `{name}` replaced by the value of that name.
pub fn ngettext_f(one: &str, many: &str, count: u64, values: &[(&str, &str)]) -> String {
    // Languages look at the last digits at most, so a larger number's form is that of its last nine.
    let count = if count > 1_000_000_000 { 1_000_000_000 + count % 1_000_000_000 } else { count };
    fill::fill(&gettextrs::ngettext(one, many, count as u32), values)
}
