//! Compiles the translations of the repository's `data/po/` with gettext's `msgfmt`.

use std::path::Path;
use std::process::Command;

fn main() {
    println!("cargo::rerun-if-changed=../../data/po");
    let out = std::env::var_os("OUT_DIR").unwrap_or_default();
    let locales = Path::new(&out).join("locale");
    println!("cargo::rustc-env=FREEZEFRAME_BUILT_LOCALES={}", locales.display());
    let languages =
        std::fs::read_to_string("../../data/po/LINGUAS").unwrap_or_else(|error| panic!("data/po/LINGUAS: {error}"));
    for language in languages.lines().filter(|line| !line.is_empty()) {
        let directory = locales.join(language).join("LC_MESSAGES");
        std::fs::create_dir_all(&directory).unwrap_or_else(|error| panic!("{}: {error}", directory.display()));
        let source = format!("../../data/po/{language}.po");
        let status = Command::new("msgfmt")
            .args(["--check-format", "--output-file"])
            .arg(directory.join("freezeframe.mo"))
            .arg(&source)
            .status();
        match status {
            Ok(status) => assert!(status.success(), "msgfmt refuses {source}"),
            Err(error) => {
                panic!("msgfmt compiles the translations, and cannot be started: {error}; apt-get install gettext")
            }
        }
    }
}
