//! What a store goes through in the tests that kill it: every kind of write, and what has to be true however far it came.

use std::time::Duration;

use freezeframe_store::manifest::Marks;
use freezeframe_store::record::Record;
use freezeframe_store::{ChunkKind, Error, GcOptions, SnapshotId, State, Store};

use super::support::{NEVER, Size, assert_tidy, assert_version, hour, id, manifest, names, quiet, save};

/// Something that the store has said is done.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Fact {
    /// The snapshot of that version is there from now on.
    There(&'static str, u64),
    /// It is packed.
    Packed(&'static str),
    /// It may vanish from now on.
    MayGo(&'static str),
    /// It is gone for good.
    Gone(&'static str),
    /// It bears a new label.
    Labelled(&'static str),
}

/// All snapshots that the scenario makes, and their versions.
const ALL: [(&str, u64); 4] = [("aaa", 1), ("bbb", 2), ("ccc", 3), ("ddd", 2)];

/// How the scenario ends when a collection lacked the room to rewrite packs.
pub(crate) const POSTPONED: &str = "packs were not rewritten";

/// How large its dumps are.
pub(crate) const SIZE: Size = Size::Small;

pub(crate) fn gc_options() -> GcOptions {
    // Rewrites every pack that is not wholly live, so that this is met too.
    GcOptions { rewrite_below: 1.0, ..GcOptions::at(hour(48)) }
}

/// Goes through everything, telling of what is done; ends with the first error.
pub(crate) fn run(store: &Store, mut done: impl FnMut(Fact)) -> Result<(), Error> {
    let pack = |name| store.pack(&id(name), &NEVER, &quiet);
    for (name, version) in [ALL[0], ALL[1]] {
        save(store, &id(name), version, SIZE)?;
        done(Fact::There(name, version));
        pack(name)?;
        done(Fact::Packed(name));
    }
    save(store, &id("ccc"), 3, SIZE)?;
    done(Fact::There("ccc", 3));
    done(Fact::MayGo("aaa"));
    store.delete(&id("aaa"), hour(0))?;
    let report = store.gc(&gc_options(), &NEVER)?;
    done(Fact::Gone("aaa"));
    if report.packs_postponed > 0 {
        return Err(Error::Unsupported { path: store.root().to_owned(), reason: POSTPONED });
    }
    let marks = Marks { format: Marks::FORMAT, label: Some("new".into()), pinned: true, ..Marks::default() };
    store.write_marks(&id("bbb"), &marks)?;
    done(Fact::Labelled("bbb"));
    // As an import does: chunks first, then a snapshot that refers to them.
    let mut writer = store.chunk_writer()?;
    store.for_each_chunk(&id("bbb"), &mut |_, chunk| writer.put(chunk, ChunkKind::Data).map(drop))?;
    writer.put(b"something new", ChunkKind::Data)?;
    let content = store.content(&id("bbb"))?;
    store.commit_packed(&manifest(&id("ddd")), Some(b"png"), &content, &writer.finish()?)?;
    done(Fact::There("ddd", 2));
    done(Fact::Packed("ddd"));
    pack("ccc")?;
    done(Fact::Packed("ccc"));
    Ok(())
}

/// Checks a store that was opened again after it went through everything up to `facts`.
pub(crate) fn check(store: &Store, facts: &[Fact]) {
    let has = |fact: Fact| facts.contains(&fact);
    let present = names(&store.root().join("snapshots"));
    for (name, version) in ALL {
        let there = present.iter().any(|n| n == name);
        let id = id(name);
        if has(Fact::There(name, version)) && !has(Fact::MayGo(name)) {
            assert!(there, "{name} is lost, with {facts:?}");
        }
        assert!(!(there && has(Fact::Gone(name))), "{name} is back");
        if !there {
            continue;
        }
        assert_version(store, &id, version, SIZE);
        if has(Fact::Packed(name)) {
            assert_eq!(store.state(&id).unwrap(), State::Whole, "{name}");
        }
        let label = store.marks(&id).unwrap().label;
        assert!(label.as_deref() == Some("new") || !has(Fact::Labelled(name)), "{name} has lost its label");
    }
    let report = store.verify(None, &NEVER, &quiet).unwrap();
    assert!(report.is_clean(), "{report:?} with {facts:?}");
}

/// Checks it, collects, finishes what is pending, and checks again. What killed writers left must be gone.
pub(crate) fn check_and_mend(store: &Store, facts: &[Fact]) {
    check(store, facts);
    // What nobody deleted stays.
    let options = GcOptions { wait: Duration::from_secs(5), ..gc_options() };
    let report = store.gc(&options, &NEVER).unwrap();
    assert!(report.unreadable.is_empty(), "{report:?}");
    assert_tidy(store);
    for id in store.pending().unwrap() {
        store.pack(&id, &NEVER, &quiet).unwrap();
    }
    assert_eq!(store.pending().unwrap(), Vec::<SnapshotId>::new());
    check(store, facts);
    assert_tidy(store);
    let report = store.gc(&options, &NEVER).unwrap();
    assert!(report.packs_rewritten == 0 || report.bytes_after < report.bytes_before, "{report:?}");
    check(store, facts);
}
