//! Spinners that turn only while they are seen.

use gtk::prelude::*;

/// Turns the spinner whenever it is shown. GTK 4 animates one that is switched on also on a page of a stack that nobody
/// sees, and the whole window is laid out and drawn sixty times a second for it.
pub(crate) fn turn_while_seen(spinner: &gtk::Spinner) {
    spinner.connect_map(gtk::Spinner::start);
    spinner.connect_unmap(gtk::Spinner::stop);
}

#[cfg(test)]
mod tests {
    use std::path::Path;

    fn files(directory: &Path, found: &mut Vec<std::path::PathBuf>) {
        for entry in std::fs::read_dir(directory).unwrap() {
            let path = entry.unwrap().path();
            if path.is_dir() {
                files(&path, found);
            } else if path.extension().is_some_and(|ending| ending == "ui") {
                found.push(path);
            }
        }
    }

    #[test]
    fn none_is_switched_on_where_nobody_may_see_it() {
        let mut found = Vec::new();
        files(&Path::new(env!("CARGO_MANIFEST_DIR")).join("src"), &mut found);
        assert!(found.len() > 5, "{found:?}");
        for file in found {
            let text = std::fs::read_to_string(&file).unwrap();
            assert!(!text.contains("name=\"spinning\""), "{}: leave it to turn_while_seen", file.display());
        }
    }
}
