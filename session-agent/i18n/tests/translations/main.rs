//! Every string that people read is in the template, and every language has all of it.
//!
//! `FREEZEFRAME_UPDATE_TRANSLATIONS=1 cargo test -p freezeframe-i18n --test translations` rewrites the template and merges
//! it into the languages (`msgmerge`); what is new is then to be translated.
#![allow(clippy::unwrap_used, reason = "a test may fail by panicking")]

mod po;
mod sources;

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};
use std::process::Command;

fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).ancestors().nth(2).unwrap().to_owned()
}

fn languages() -> Vec<String> {
    std::fs::read_to_string(root().join("data/po/LINGUAS")).unwrap().lines().map(str::to_owned).collect()
}

#[test]
fn the_template_has_every_string_and_each_language_a_translation() {
    let found = sources::strings(&root());
    let template = po::template(&found);
    let files: BTreeSet<&str> = found.iter().flat_map(|one| one.files.iter().map(String::as_str)).collect();
    let files = files.into_iter().fold(String::new(), |all, file| all + file + "\n");
    let directory = root().join("data/po");
    if std::env::var_os("FREEZEFRAME_UPDATE_TRANSLATIONS").is_some() {
        std::fs::write(directory.join("freezeframe.pot"), &template).unwrap();
        std::fs::write(directory.join("POTFILES.in"), &files).unwrap();
        for language in languages() {
            let status = Command::new("msgmerge")
                .args(["--update", "--backup=none", "--no-fuzzy-matching", "--quiet"])
                .arg(directory.join(format!("{language}.po")))
                .arg(directory.join("freezeframe.pot"))
                .status();
            assert!(status.expect("msgmerge is needed: apt-get install gettext").success());
        }
    }
    let again = "run FREEZEFRAME_UPDATE_TRANSLATIONS=1 cargo test -p freezeframe-i18n --test translations";
    let kept = std::fs::read_to_string(directory.join("freezeframe.pot")).unwrap_or_default();
    let missing: Vec<&str> = {
        let known: BTreeSet<String> = po::parse(&kept).into_iter().map(|entry| entry.id).collect();
        found.iter().map(|one| one.id.as_str()).filter(|id| !known.contains(*id)).collect()
    };
    assert!(missing.is_empty(), "no translator has seen {missing:#?}: {again}");
    assert!(kept == template, "freezeframe.pot is not of these sources: {again}");
    let potfiles = std::fs::read_to_string(directory.join("POTFILES.in")).unwrap_or_default();
    assert!(potfiles == files, "POTFILES.in is not of these sources: {again}");

    for language in languages() {
        let file = directory.join(format!("{language}.po"));
        let entries = po::parse(&std::fs::read_to_string(&file).unwrap());
        for one in &found {
            let entry = entries.iter().find(|entry| entry.id == one.id);
            let entry = entry.unwrap_or_else(|| panic!("{language}: {:?} is missing: {again}", one.id));
            assert!(!entry.fuzzy, "{language}: {:?} is fuzzy", one.id);
            assert!(
                !entry.texts.is_empty() && entry.texts.iter().all(|text| !text.is_empty()),
                "{language}: {:?}",
                one.id
            );
            assert_eq!(entry.plural, one.plural, "{language}");
            let wanted = placeholders(&one.id);
            for text in &entry.texts {
                assert_eq!(placeholders(text), wanted, "{language}: {text:?}");
                assert_eq!(text.contains('_'), one.id.contains('_'), "{language}: {text:?}: a mnemonic");
            }
        }
        let status = Command::new("msgfmt").args(["--check", "--output-file=/dev/null"]).arg(&file).status();
        assert!(status.expect("msgfmt is needed: apt-get install gettext").success());
    }
}

fn placeholders(text: &str) -> BTreeSet<&str> {
    text.split('{').skip(1).filter_map(|part| part.split_once('}')).map(|(name, _)| name).collect()
}
