//! Several processes at the same store, as several stores in one: their locks are as foreign to each other.

use std::fs;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::Duration;

use freezeframe_store::{ChunkKind, Error, GcOptions, Source, State, Store};

use super::support::{
    NEVER, Size, assert_tidy, assert_version, expected, hour, id, quiet, resumed, save, scratch, write_dump,
};

#[test]
fn several_write_at_once_and_a_collection_takes_nothing_from_them() {
    let scratch = scratch();
    let root = scratch.path().join("data");
    Store::open(&root).unwrap();
    let (running, collected) = (AtomicU64::new(3), AtomicU64::new(0));
    std::thread::scope(|scope| {
        for writer in 0..3u64 {
            let (root, running) = (&root, &running);
            scope.spawn(move || {
                for number in 0..6 {
                    // Each time as another process.
                    let store = Store::open(root).unwrap();
                    let id = id(&format!("w{writer}n{number}"));
                    save(&store, &id, writer * 10 + number, Size::Small).unwrap();
                    store.pack(&id, &NEVER, &quiet).unwrap();
                    if number % 2 == 0 {
                        store.delete(&id, hour(0)).unwrap();
                    }
                }
                running.fetch_sub(1, Ordering::SeqCst);
            });
        }
        scope.spawn(|| {
            let store = Store::open(&root).unwrap();
            while running.load(Ordering::SeqCst) > 0 {
                let options =
                    GcOptions { wait: Duration::from_millis(5), rewrite_below: 0.9, ..GcOptions::at(hour(48)) };
                match store.gc(&options, &NEVER) {
                    Ok(report) => {
                        assert!(report.unreadable.is_empty(), "{report:?}");
                        collected.fetch_add(1, Ordering::SeqCst);
                    }
                    Err(Error::Busy { .. }) => {}
                    Err(other) => panic!("{other}"),
                }
                std::thread::sleep(Duration::from_millis(3));
            }
        });
    });
    let store = Store::open(&root).unwrap();
    store.gc(&GcOptions::at(hour(48)), &NEVER).unwrap();
    assert_tidy(&store);
    for writer in 0..3u64 {
        for number in [1, 3, 5] {
            assert_version(&store, &id(&format!("w{writer}n{number}")), writer * 10 + number, Size::Small);
        }
    }
    assert_eq!(store.list_snapshots().unwrap().len(), 9);
    assert!(store.verify(None, &NEVER, &quiet).unwrap().is_clean());
}

#[test]
fn a_collection_says_that_the_store_is_busy_and_never_waits_unasked() {
    let scratch = scratch();
    let store = Store::open(scratch.path().join("data")).unwrap();
    let writer = store.chunk_writer().unwrap();
    assert!(matches!(store.gc(&GcOptions::at(hour(0)), &NEVER), Err(Error::Busy { .. })));
    drop(writer);
    store.gc(&GcOptions::at(hour(0)), &NEVER).unwrap();
}

#[test]
fn a_collection_leaves_a_snapshot_alone_that_is_being_written_and_what_nothing_refers_to_yet() {
    let scratch = scratch();
    let store = Store::open(scratch.path().join("data")).unwrap();
    let writer = store.begin_snapshot(id("aaa")).unwrap();
    write_dump(&writer.images_dir(), &writer.layer_dir(), 1, Size::Tiny);
    let gc = || store.gc(&GcOptions::at(hour(48)), &NEVER);
    assert_eq!(gc().unwrap().leftovers_removed, 0);
    writer.commit(&super::support::manifest(&id("aaa")), None).unwrap();
    assert_eq!(gc().unwrap().leftovers_removed, 0);
    assert_version(&store, &id("aaa"), 1, Size::Tiny);
    // Chunks between the end of their writer and the snapshot that will refer to them.
    let mut chunks = store.chunk_writer().unwrap();
    let hash = chunks.put(b"a chunk", ChunkKind::Data).unwrap();
    let written = chunks.finish().unwrap();
    assert!(matches!(gc(), Err(Error::Busy { .. })));
    drop(written);
    assert!(store.chunk_reader().unwrap().has(&hash));
    assert_eq!(gc().unwrap().packs_removed, 1);
    assert!(!store.chunk_reader().unwrap().has(&hash));
}

#[test]
fn a_killed_writer_leaves_what_a_collection_takes_away() {
    let scratch = scratch();
    let store = Store::open(scratch.path().join("data")).unwrap();
    let root = store.root();
    for name in ["store/raw/.dead.partial/images", "store/raw/orphan/layer", "snapshots/.dead.0123abcd.partial"] {
        fs::create_dir_all(root.join(name)).unwrap();
    }
    for name in ["store/packs/.x.pack.01234567.partial", "store/packs/00000000000000000000000000000001.pack"] {
        fs::write(root.join(name), "x").unwrap();
    }
    assert_eq!(store.gc(&GcOptions::at(hour(0)), &NEVER).unwrap().leftovers_removed, 5);
    assert_tidy(&store);
}

#[test]
fn what_is_dropped_before_its_commit_leaves_nothing() {
    let scratch = scratch();
    let store = Store::open(scratch.path().join("data")).unwrap();
    let writer = store.begin_snapshot(id("aaa")).unwrap();
    assert!(matches!(store.begin_snapshot(id("aaa")), Err(Error::Exists { .. })));
    write_dump(&writer.images_dir(), &writer.layer_dir(), 1, Size::Tiny);
    drop(writer);
    let mut chunks = store.chunk_writer().unwrap();
    for number in 0..1000u32 {
        chunks.put(&number.to_le_bytes().repeat(1000), ChunkKind::Data).unwrap();
    }
    drop(chunks);
    assert_tidy(&store);
    assert!(store.list_snapshots().unwrap().is_empty());
    save(&store, &id("aaa"), 1, Size::Tiny).unwrap();
    assert!(matches!(save(&store, &id("aaa"), 2, Size::Tiny), Err(Error::Exists { .. })));
    assert_version(&store, &id("aaa"), 1, Size::Tiny);
}

#[test]
fn raw_files_stay_while_somebody_reads_them() {
    let scratch = scratch();
    let store = Store::open(scratch.path().join("data")).unwrap();
    save(&store, &id("aaa"), 1, Size::Tiny).unwrap();
    let Source::Raw(raw) = store.source(&id("aaa")).unwrap() else { panic!("not raw") };
    store.pack(&id("aaa"), &NEVER, &quiet).unwrap();
    assert_eq!(store.state(&id("aaa")).unwrap(), State::Whole);
    assert!(raw.images.join("pages-1.img").exists() && raw.layer.join("home").exists());
    store.gc(&GcOptions::at(hour(0)), &NEVER).unwrap();
    assert!(raw.images.join("pages-1.img").exists());
    // A new reader reads the packed one.
    assert!(matches!(store.source(&id("aaa")).unwrap(), Source::Packed));
    let images = raw.images.clone();
    drop(raw);
    store.gc(&GcOptions::at(hour(0)), &NEVER).unwrap();
    assert!(!images.exists());
    assert_eq!(resumed(&store, &id("aaa")).unwrap(), expected(1, Size::Tiny));
}

#[test]
fn packing_can_be_cancelled_and_done_again() {
    let scratch = scratch();
    let store = Store::open(scratch.path().join("data")).unwrap();
    save(&store, &id("aaa"), 1, Size::Small).unwrap();
    let cancel = AtomicBool::new(false);
    let result = store.pack(&id("aaa"), &cancel, &|progress| {
        assert!(progress.done <= progress.total);
        cancel.store(progress.done > 100_000, Ordering::SeqCst);
    });
    assert!(matches!(result, Err(Error::Cancelled)), "{result:?}");
    assert_eq!(store.state(&id("aaa")).unwrap(), State::Committing);
    assert_eq!(store.own_bytes(&id("aaa")).unwrap(), None);
    let far = AtomicU64::new(0);
    let seen = |progress: freezeframe_store::Progress| far.store(progress.done, Ordering::SeqCst);
    let report = store.pack(&id("aaa"), &NEVER, &seen).unwrap();
    assert_eq!(far.load(Ordering::SeqCst), report.raw_bytes);
    assert_eq!(store.own_bytes(&id("aaa")).unwrap(), Some(report.new_bytes));
    // Twice is once.
    assert_eq!(store.pack(&id("aaa"), &NEVER, &quiet).unwrap(), report);
}

#[test]
fn two_do_not_pack_the_same_snapshot() {
    let scratch = scratch();
    let store = Store::open(scratch.path().join("data")).unwrap();
    save(&store, &id("aaa"), 1, Size::Tiny).unwrap();
    let other = Store::open(store.root()).unwrap();
    let met = AtomicBool::new(false);
    store
        .pack(&id("aaa"), &NEVER, &|_| {
            let busy = matches!(other.pack(&id("aaa"), &NEVER, &quiet), Err(Error::Busy { .. }));
            met.store(busy || met.load(Ordering::SeqCst), Ordering::SeqCst);
        })
        .unwrap();
    assert!(met.load(Ordering::SeqCst));
    assert!(matches!(store.pack(&id("bbb"), &NEVER, &quiet), Err(Error::NotFound { .. })));
}

#[test]
fn a_second_snapshot_costs_what_changed() {
    let scratch = scratch();
    let store = Store::open(scratch.path().join("data")).unwrap();
    let packed = |name: &str, version| {
        save(&store, &id(name), version, Size::Small).unwrap();
        store.pack(&id(name), &NEVER, &quiet).unwrap()
    };
    let first = packed("aaa", 1);
    assert!(first.new_bytes * 3 < first.raw_bytes, "{first:?}");
    assert!(packed("bbb", 1).new_bytes < 2000);
    let changed = packed("ccc", 2);
    assert!(changed.new_bytes < 20_000, "5 pages of 256 random bytes each and their lists: {changed:?}");
}

#[test]
fn what_could_not_be_read_is_counted_when_it_is_mended() {
    let scratch = scratch();
    let store = Store::open(scratch.path().join("data")).unwrap();
    for (name, version) in [("aaa", 1), ("bbb", 2)] {
        save(&store, &id(name), version, Size::Small).unwrap();
        store.pack(&id(name), &NEVER, &quiet).unwrap();
    }
    let whole = store.sharing(&NEVER).unwrap();
    let shared = |sharing: &freezeframe_store::Sharing| sharing.shared_bytes(&id("bbb"), |_| true);
    assert!(!whole.is_partial() && shared(&whole) > 0);

    let packs: Vec<_> = fs::read_dir(store.root().join("store/packs")).unwrap().map(|e| e.unwrap().path()).collect();
    let contents: Vec<_> = packs.iter().map(|pack| fs::read(pack).unwrap()).collect();
    for pack in &packs {
        fs::write(pack, "").unwrap();
    }
    let partial = store.sharing(&NEVER).unwrap();
    assert!(partial.is_partial() && shared(&partial) == 0, "{partial:?}");
    for (pack, content) in packs.iter().zip(&contents) {
        fs::write(pack, content).unwrap();
    }
    assert_eq!(store.sharing(&NEVER).unwrap(), whole);
}
