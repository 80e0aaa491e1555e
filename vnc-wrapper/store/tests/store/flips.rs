//! Every byte of a small store changed, and every pack cut short: each is found, none is resumed, none panics.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::{Path, PathBuf};

use freezeframe_store::manifest::Marks;
use freezeframe_store::record::Record;
use freezeframe_store::{SnapshotId, Store};

use super::support::{NEVER, Size, expected, id, quiet, resumed, save, scratch};

const VERSIONS: [(&str, u64); 2] = [("aaa", 1), ("bbb", 2)];

fn small_store(root: &Path) -> Store {
    let store = Store::open(root).unwrap();
    for (name, version) in VERSIONS {
        save(&store, &id(name), version, Size::Tiny).unwrap();
        store.pack(&id(name), &NEVER, &quiet).unwrap();
    }
    let marks = Marks { format: Marks::FORMAT, label: Some("x".into()), ..Marks::default() };
    store.write_marks(&id("aaa"), &marks).unwrap();
    store
}

fn files(root: &Path) -> Vec<PathBuf> {
    let mut files = Vec::new();
    let mut open = vec![root.join("snapshots"), root.join("store/packs"), root.join("store/index")];
    while let Some(path) = open.pop() {
        if path.is_dir() {
            open.extend(fs::read_dir(&path).unwrap().map(|entry| entry.unwrap().path()));
        } else {
            files.push(path);
        }
    }
    files.sort();
    files
}

/// Checks that the damage of `file` is found, and that exactly those snapshots that it is said to touch are refused.
fn check(store: &Store, file: &Path, context: &str, whole: &BTreeMap<SnapshotId, [BTreeMap<String, String>; 2]>) {
    let report = store.verify(None, &NEVER, &quiet).unwrap();
    let found = report.damages.iter().find(|damage| damage.path == file);
    assert!(found.is_some(), "{context} is not found: {report:?}");
    let touched: BTreeSet<SnapshotId> = report.touched().into_iter().cloned().collect();
    assert!(!touched.is_empty(), "{context} touches nothing: {report:?}");
    for (id, whole) in whole {
        match resumed(store, id) {
            Ok(found) => {
                assert!(!touched.contains(id), "{context}: {id} is resumed all the same");
                assert_eq!(found, *whole, "{context}: {id} is resumed as something else");
            }
            Err(error) => {
                assert!(touched.contains(id), "{context}: {id} is refused ({error}), and verify says nothing");
            }
        }
        // Of one snapshot the same is said.
        let alone = store.verify(Some(id), &NEVER, &quiet).unwrap();
        assert_eq!(
            alone.touched().contains(id),
            touched.contains(id),
            "{context}: {id} alone: {alone:?}, all: {report:?}"
        );
    }
}

#[test]
fn every_changed_byte_is_found_and_no_snapshot_that_it_touches_is_resumed() {
    let scratch = scratch();
    let original = scratch.path().join("original");
    small_store(&original);
    let whole: BTreeMap<_, _> = VERSIONS.map(|(name, version)| (id(name), expected(version, Size::Tiny))).into();
    let threads = std::thread::available_parallelism().map_or(2, usize::from);
    std::thread::scope(|scope| {
        for thread in 0..threads {
            let (original, whole, scratch) = (&original, &whole, scratch.path());
            scope.spawn(move || {
                let root = scratch.join(thread.to_string());
                let copied = std::process::Command::new("cp").arg("-a").args([original, &root]).status();
                assert!(copied.unwrap().success());
                let store = Store::open(&root).unwrap();
                let mut number = 0;
                for file in files(&root) {
                    let bytes = fs::read(&file).unwrap();
                    for at in 0..bytes.len() {
                        number += 1;
                        if number % threads != thread {
                            continue;
                        }
                        let mut broken = bytes.clone();
                        // Each bit in turn; sometimes all.
                        broken[at] ^= [1, 2, 4, 8, 16, 32, 64, 128, 255][at % 9];
                        fs::write(&file, &broken).unwrap();
                        check(&store, &file, &format!("byte {at} of {}", file.display()), whole);
                    }
                    fs::write(&file, &bytes).unwrap();
                }
                assert!(number > 2000, "{number}");
                assert!(store.verify(None, &NEVER, &quiet).unwrap().is_clean());
            });
        }
    });
}

#[test]
fn every_file_cut_short_or_missing_or_too_long_is_found() {
    let scratch = scratch();
    let root = scratch.path().join("data");
    let store = small_store(&root);
    let whole: BTreeMap<_, _> = VERSIONS.map(|(name, version)| (id(name), expected(version, Size::Tiny))).into();
    for file in files(&root) {
        let bytes = fs::read(&file).unwrap();
        let pack = file.extension().is_some_and(|extension| extension == "pack");
        let step = if pack { 1 } else { 37 };
        for length in (0..bytes.len()).step_by(step) {
            fs::write(&file, &bytes[..length]).unwrap();
            check(&store, &file, &format!("{} cut to {length}", file.display()), &whole);
        }
        fs::write(&file, [&bytes[..], b"\0"].concat()).unwrap();
        check(&store, &file, &format!("{} with one byte more", file.display()), &whole);
        // Marks are there or not; an index without its pack is found, a pack without its index is garbage.
        fs::remove_file(&file).unwrap();
        let name = file.file_name().unwrap().to_string_lossy().into_owned();
        if name != "marks.json" {
            let report = store.verify(None, &NEVER, &quiet).unwrap();
            assert!(!report.touched().is_empty(), "{name} is missing: {report:?}");
            assert!(store.list_snapshots().unwrap().len() == 2);
        }
        fs::write(&file, &bytes).unwrap();
    }
    assert!(store.verify(None, &NEVER, &quiet).unwrap().is_clean());
}

#[test]
fn files_that_change_places_are_found() {
    let scratch = scratch();
    let store = small_store(&scratch.path().join("data"));
    let swap = |name: &str| {
        let [a, b] = ["aaa", "bbb"].map(|snapshot| store.snapshot_dir(&id(snapshot)).join(name));
        let (of_a, of_b) = (fs::read(&a).unwrap(), fs::read(&b).unwrap());
        fs::write(&a, of_b).unwrap();
        fs::write(&b, of_a).unwrap();
    };
    for name in ["content", "manifest.json"] {
        swap(name);
        let report = store.verify(None, &NEVER, &quiet).unwrap();
        assert_eq!(report.touched().len(), 2, "{name}: {report:?}");
        assert!(resumed(&store, &id("aaa")).is_err() && resumed(&store, &id("bbb")).is_err(), "{name}");
        swap(name);
    }
    for (directory, suffix) in [("packs", "pack"), ("index", "idx")] {
        let directory = store.root().join("store").join(directory);
        let names = super::support::names(&directory);
        let [a, b] = [&names[0], &names[1]].map(|name| directory.join(name));
        assert!(names.iter().all(|name| name.ends_with(suffix)));
        let parts = (fs::read(&a).unwrap(), fs::read(&b).unwrap());
        fs::write(&a, &parts.1).unwrap();
        fs::write(&b, &parts.0).unwrap();
        let report = store.verify(None, &NEVER, &quiet).unwrap();
        assert!(!report.touched().is_empty(), "{report:?}");
        assert!(resumed(&store, &id("aaa")).is_err(), "{suffix}");
        fs::write(&a, &parts.0).unwrap();
        fs::write(&b, &parts.1).unwrap();
    }
    assert!(store.verify(None, &NEVER, &quiet).unwrap().is_clean());
}

#[test]
fn a_snapshot_whose_content_is_damaged_while_its_raw_files_are_there_is_packed_again() {
    let scratch = scratch();
    let store = Store::open(scratch.path().join("data")).unwrap();
    save(&store, &id("aaa"), 1, Size::Tiny).unwrap();
    fs::write(store.snapshot_dir(&id("aaa")).join("content"), "damaged").unwrap();
    let report = store.verify(None, &NEVER, &quiet).unwrap();
    assert_eq!(report.damages.len(), 1, "{report:?}");
    assert_eq!(store.pending().unwrap(), [id("aaa")]);
    assert_eq!(resumed(&store, &id("aaa")).unwrap(), expected(1, Size::Tiny));
    store.pack(&id("aaa"), &NEVER, &quiet).unwrap();
    assert_eq!(resumed(&store, &id("aaa")).unwrap(), expected(1, Size::Tiny));
    assert!(store.verify(None, &NEVER, &quiet).unwrap().is_clean());
}
