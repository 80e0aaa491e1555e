//! What `make install-data` puts into menus and software centres speaks every language of `data/po/`.
#![allow(clippy::unwrap_used, reason = "a test may fail by panicking")]

use std::path::{Path, PathBuf};
use std::process::Command;

fn root() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR")).ancestors().nth(2).unwrap()
}

/// The files of this directory.
fn files(directory: &Path) -> Vec<PathBuf> {
    std::fs::read_dir(directory).unwrap().map(|entry| entry.unwrap().path()).collect()
}

fn run(command: &mut Command) {
    let output = command.output().unwrap_or_else(|error| panic!("{command:?}: {error}"));
    assert!(output.status.success(), "{command:?}: {output:?}");
}

#[test]
fn desktop_entries_and_metainfo_are_installed_in_every_language() {
    let place = tempfile::tempdir().unwrap();
    let destination = format!("DESTDIR={}", place.path().display());
    run(Command::new("make")
        .args(["install-data", &destination, "PREFIX=/opt", "SYSCONFDIR=/etc"])
        .current_dir(root()));
    let languages = std::fs::read_to_string(root().join("data/po/LINGUAS")).unwrap();
    let entries =
        [files(&place.path().join("opt/share/applications")), files(&place.path().join("etc/xdg/autostart"))].concat();
    assert_eq!(entries.len(), 2);
    let components = files(&place.path().join("opt/share/metainfo"));
    for language in languages.lines() {
        for file in &entries {
            let text = std::fs::read_to_string(file).unwrap();
            for key in ["Name", "GenericName", "Comment", "Keywords"] {
                let has = |start: String| text.lines().any(|line| line.starts_with(&start));
                assert_eq!(has(format!("{key}[{language}]=")), has(format!("{key}=")), "{key}: {text}");
            }
            assert!(text.contains(&format!("Comment[{language}]=")), "{text}");
        }
        for file in &components {
            let text = std::fs::read_to_string(file).unwrap();
            let (translated, _) = text.split_once("<releases>").unwrap();
            for element in ["summary", "p", "li"] {
                let count = |start: String| translated.matches(&start).count();
                let english = count(format!("<{element}>"));
                assert!(english > 0, "{element}: {text}");
                assert_eq!(count(format!("<{element} xml:lang=\"{language}\">")), english, "{element}: {text}");
            }
        }
        assert!(place.path().join(format!("opt/share/locale/{language}/LC_MESSAGES/freezeframe.mo")).exists());
    }
    run(Command::new("desktop-file-validate").args(&entries));
    run(Command::new("appstreamcli").args(["validate", "--no-net"]).args(&components));
}
