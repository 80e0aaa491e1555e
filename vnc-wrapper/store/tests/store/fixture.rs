//! The first format of the store stays readable.
//!
//! `tests/fixtures/store-v1` was written by the release that introduced the format, and is never written again. To make one
//! for a later format: `FREEZEFRAME_WRITE_FIXTURE=<directory> cargo test -p freezeframe-store --test store fixture`.

use std::fs;
use std::path::Path;
use std::process::Command;

use freezeframe_store::{GcOptions, State, Store};

use super::support::{NEVER, Size, assert_version, hour, id, quiet, save, scratch};

#[test]
fn a_store_of_the_first_format_is_read_verified_and_written_to() {
    if let Some(directory) = std::env::var_os("FREEZEFRAME_WRITE_FIXTURE") {
        write(Path::new(&directory));
    }
    let fixture = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/fixtures/store-v1");
    let scratch = scratch();
    let root = scratch.path().join("data");
    assert!(Command::new("cp").arg("-a").args([&fixture, &root]).status().unwrap().success());
    let store = Store::open(&root).unwrap();
    assert!(store.verify(None, &NEVER, &quiet).unwrap().is_clean());
    assert_eq!(store.list_snapshots().unwrap().len(), 2);
    for (name, version) in [("aaa", 1), ("bbb", 2)] {
        assert_eq!(store.state(&id(name)).unwrap(), State::Whole);
        assert_eq!(store.manifest(&id(name)).unwrap().label, "a \"label\"");
        assert_version(&store, &id(name), version, Size::Small);
    }
    assert_eq!(store.marks(&id("aaa")).unwrap().label.as_deref(), Some("renamed"));
    // What is new shares with what is old.
    save(&store, &id("ccc"), 1, Size::Small).unwrap();
    let report = store.pack(&id("ccc"), &NEVER, &quiet).unwrap();
    assert!(report.new_bytes < 3000, "{report:?}");
    store.delete(&id("aaa"), hour(0)).unwrap();
    store.gc(&GcOptions { rewrite_below: 1.0, ..GcOptions::at(hour(48)) }, &NEVER).unwrap();
    assert_version(&store, &id("bbb"), 2, Size::Small);
    assert_version(&store, &id("ccc"), 1, Size::Small);
}

fn write(directory: &Path) {
    let store = Store::open(directory).unwrap();
    for (name, version) in [("aaa", 1), ("bbb", 2)] {
        save(&store, &id(name), version, Size::Small).unwrap();
        store.pack(&id(name), &NEVER, &quiet).unwrap();
    }
    let mut marks = store.marks(&id("aaa")).unwrap();
    (marks.format, marks.label) = (1, Some("renamed".into()));
    store.write_marks(&id("aaa"), &marks).unwrap();
    // Git keeps no empty directories, and the lock is made where it is needed.
    for name in ["bases", "sessions", "logs", "store/raw"] {
        fs::remove_dir(directory.join(name)).unwrap();
    }
    fs::remove_file(directory.join("store/lock")).unwrap();
}
